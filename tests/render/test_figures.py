import warnings

import numpy as np
import pytest
from invented_study import FAMILIES, ORGANISMS, ROLES, study
from matplotlib.colors import to_hex

from expression_leakage.render.contrasts import MATCHED
from expression_leakage.render.figures import FIGURES, draw
from expression_leakage.render.style import ORGANISM_NOTE, save_figure


def material(kind, labelled=False):
    organisms = FAMILIES[kind]["organisms"]
    return study(kind, labelled) | {"scorer": "vader", "organisms": organisms, "roles": ROLES}


def texts(figure):
    figure.canvas.draw()
    return " ".join(t.get_text() for t in figure.findobj(match=lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize("kind", ["default", "hub"])
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_without_a_warning_and_names_its_axes(name, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(name, material(kind, labelled=True))
        figure.canvas.draw()
    assert figure.axes
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in figure.axes if ax.axison)


def test_a_family_of_one_size_is_a_marker_without_a_line():
    figure = draw("scaling", material("default"))
    (legend,) = figure.legends
    shown = {t.get_text(): h for t, h in zip(legend.texts, legend.legend_handles, strict=True)}
    assert shown["tiny"].get_linestyle() == "None"
    assert shown["tiny"].get_marker() == "s"
    assert shown[ORGANISM_NOTE].get_linestyle() == "-"
    for ax in figure.axes:
        lines = [n for n in ax.lines if to_hex(n.get_color()) == to_hex(shown["tiny"].get_color())]
        assert [len(line.get_xdata()) for line in lines] == [1, 1]  # a mean, and its mark


def test_every_size_is_named_and_seeds_of_a_size_stand_apart_on_a_wide_axis():
    figure = draw("scaling", material("default"))
    figure.canvas.draw()
    ax = figure.axes[2]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["34k", "166k", "734k", "2M", "135M"]
    marks = next(n.get_xdata() for n in ax.lines if len(n.get_xdata()) == len(ORGANISMS))
    places = np.sort(np.log10(marks.astype(float)))
    low, high = np.log10(ax.get_xlim())
    assert np.diff(places).min() > 0.015 * (high - low)


def test_the_note_on_organisms_names_who_is_none():
    for name in ("polarity", "placebo"):
        assert f"{ORGANISM_NOTE} (not tiny)" in texts(draw(name, material("default")))


def test_relatedness_stands_in_the_balance_only_where_a_source_has_it():
    shown = material("default")
    frame = shown["balance"]
    ax = draw("balance", shown).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == [label for *_, label in MATCHED]
    marks = sum(len(n.get_xdata()) for n in ax.lines if n.get_marker() in "os^<>")
    pairs = {(comparison, covariate) for comparison, covariate, _ in MATCHED}
    drawn = [key in pairs for key in zip(frame["comparison"], frame["covariate"], strict=True)]
    assert marks == sum(drawn)
    without = shown | {"balance": frame[frame["covariate"] != "cosine"]}
    labels = draw("balance", without).axes[0].get_yticklabels()
    assert not any("relatedness" in label.get_text() for label in labels)
    assert len(labels) == 5


@pytest.mark.parametrize("name", ["scaling", "mitigation", "balance"])
def test_a_figure_drawn_twice_has_the_same_bytes(name, tmp_path):
    files = [save_figure(draw(name, material("default")), tmp_path / f / name) for f in "ab"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert [p.suffix for p in files[0]] == [".pdf", ".svg", ".png"]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["scaling", "polarity", "mitigation", "placebo"])
def test_organisms_are_named_as_such_and_hub_models_are_not(name):
    assert ORGANISM_NOTE in texts(draw(name, material("default")))
    assert ORGANISM_NOTE not in texts(draw(name, material("hub")))


def test_without_labels_the_figure_says_what_is_missing_and_how_to_supply_it():
    said = texts(draw("agreement", material("default")))
    assert "No labels by people yet" in said
    assert "docs/labels.md" in said
    assert "labels/*" in said


def test_flagged_models_are_marked():
    shown = material("default")
    flagged = shown["claims"]["guards"]["flagged"]
    assert flagged  # the invented study has one that repeats itself
    assert texts(draw("placebo", shown)).count("flagged: ") >= len(flagged)


def test_the_mitigation_axis_holds_every_interval_and_the_declared_threshold_and_little_else():
    shown = material("default")
    claim = shown["claims"]["claims"]["mitigation"]
    base = next(e["value"] for e in claim["evidence"] if e["name"] == "baseline")
    reductions = [e for e in claim["evidence"] if e["name"].startswith("reduction_")]
    low, high = draw("mitigation", shown).axes[0].get_xlim()
    inner = [-e[bound] for e in reductions for bound in ("low", "high")]
    inner += [0, -claim["thresholds"]["reduction_share"] * base]
    assert low < min(inner)
    assert max(inner) < high
    assert high - low < 1.6 * (max(inner) - min(inner))
