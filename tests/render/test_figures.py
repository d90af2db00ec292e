import warnings

import pytest
from invented_study import ROLES, study

from expression_leakage.render.figures import FIGURES, draw
from expression_leakage.render.style import ORGANISM_NOTE, save_figure


def material(kind, labelled=False):
    organisms = ["organism"] if kind == "organisms" else []
    return study(kind, labelled) | {"scorer": "vader", "organisms": organisms, "roles": ROLES}


def texts(figure):
    figure.canvas.draw()
    return " ".join(t.get_text() for t in figure.findobj(match=lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize("kind", ["organisms", "hub"])
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_without_a_warning_and_names_its_axes(name, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(name, material(kind, labelled=True))
        figure.canvas.draw()
    assert figure.axes
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in figure.axes if ax.axison)


@pytest.mark.parametrize("name", ["scaling", "mitigation", "balance"])
def test_a_figure_drawn_twice_has_the_same_bytes(name, tmp_path):
    files = [save_figure(draw(name, material("organisms")), tmp_path / f / name) for f in "ab"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert [p.suffix for p in files[0]] == [".pdf", ".svg", ".png"]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["scaling", "polarity", "mitigation", "placebo"])
def test_organisms_are_named_as_such_and_hub_models_are_not(name):
    assert ORGANISM_NOTE in texts(draw(name, material("organisms")))
    assert ORGANISM_NOTE not in texts(draw(name, material("hub")))


def test_without_labels_the_figure_says_what_is_missing_and_how_to_supply_it():
    said = texts(draw("agreement", material("organisms")))
    assert "No labels by people yet" in said
    assert "docs/labels.md" in said
    assert "labels/*" in said


def test_flagged_models_are_marked():
    shown = material("organisms")
    flagged = shown["claims"]["guards"]["flagged"]
    assert flagged  # the invented study has one that repeats itself
    assert texts(draw("placebo", shown)).count("flagged: ") >= len(flagged)


def test_the_mitigation_axis_holds_every_interval_and_the_declared_threshold_and_little_else():
    shown = material("organisms")
    claim = shown["claims"]["claims"]["mitigation"]
    base = next(e["value"] for e in claim["evidence"] if e["name"] == "baseline")
    reductions = [e for e in claim["evidence"] if e["name"].startswith("reduction_")]
    low, high = draw("mitigation", shown).axes[0].get_xlim()
    inner = [-e[bound] for e in reductions for bound in ("low", "high")]
    inner += [0, -claim["thresholds"]["reduction_share"] * base]
    assert low < min(inner)
    assert max(inner) < high
    assert high - low < 1.6 * (max(inner) - min(inner))
