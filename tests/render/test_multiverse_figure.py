import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expression_leakage.inference.multiverse import UNITS, VERDICTS
from expression_leakage.inference.specifications import Run, list_specifications
from expression_leakage.render.multiverse import VERDICT_LOOK, agreement_table, multiverse
from expression_leakage.render.style import save_figure
from expression_leakage.tables import SPECIFICATIONS, check

NAMES = {"agreement": "Agreement", "scaling": "Scaling", "polarity": "Polarity",
         "mitigation": "Mitigation"}  # fmt: skip
CLAIMS = {
    "claims": {
        name: {"number": k, "title": title, "verdict": "not testable"}
        for k, (name, title) in enumerate(NAMES.items(), start=1)
    }
}
CHOICES = {"metrics": ["elr", "ecr", "shift"], "thresholds": [0, 0.05, 0.2],
           "copies": ["keep", "drop"]}  # fmt: skip
PROMPTS = ("ignore_context", "last_sentence", "name_distraction", "neutral_tone")


def invented(scorers=("vader",), temperatures=(1.0,), prompts=PROMPTS, labelled=False):
    """Specifications whose numbers are invented, one of each claim without any."""
    frame = pd.MultiIndex.from_product(
        [scorers, ("none", *prompts)], names=["scorer", "mitigation"]
    ).to_frame(index=False)
    found = list_specifications(
        [Run(t, frame, frame) for t in temperatures], CHOICES, primary="vader", epsilon=0.05,
        tau=0.05, roles=dict.fromkeys(prompts, "mitigation"), has_labels=labelled,
    )  # fmt: skip
    rng, n = np.random.default_rng(2), len(found)
    scale = found["metric"].map({"elr": 1.0, "ecr": 2.5, "shift": 0.6}).fillna(0.05)
    centre = found["claim"].map({"agreement": 0.6, "scaling": -2, "polarity": 1, "mitigation": 2})
    found["estimate"] = centre * scale.where(found["claim"] != "agreement", 1)
    found["estimate"] += rng.normal(0, 1, n) * scale
    reach = rng.uniform(0.8, 1.6, n) * scale
    found["verdict"] = rng.choice(VERDICTS[:3], n, p=[0.6, 0.1, 0.3])
    lost = found.groupby("claim").tail(1).index
    found.loc[lost, "estimate"], found.loc[lost, "verdict"] = np.nan, "not testable"
    found = found.assign(
        low=found["estimate"] - reach, high=found["estimate"] + reach, reason="r", prompt="",
        unit=found["claim"].map(UNITS), baseline=5.0, n_items=240, n_samples=9000, n_excluded=0,
    )  # fmt: skip
    check(found, SPECIFICATIONS, "invented")
    return found


MANY = {"scorers": ("vader", "judge"), "temperatures": (1.0, 0.5, 0.7), "prompts": PROMPTS[:2]}


def axes_of(figure, title):
    """The curve under a title and the matrix below it."""
    place = next(k for k, ax in enumerate(figure.axes) if ax.get_title(loc="left") == title)
    return figure.axes[place], figure.axes[place + 1]


def marks(matrix):
    """Places at which each row of a matrix has a mark, by the row's label."""
    labels = [tick.get_text() for tick in matrix.get_yticklabels()]
    rows = [c for c in matrix.collections if len(c.get_segments())]
    found = {round(float(np.mean(c.get_segments()[0][:, 1]))): c for c in rows}
    return {
        label: [int(segment[0, 0]) for segment in found[row].get_segments()] if row in found else []
        for row, label in enumerate(labels)
    }


@pytest.mark.parametrize(
    ("options", "counts"), [({}, (14, 70)), ({"labelled": True}, (14, 70)), (MANY, (84, 252))]
)
def test_the_figure_draws_without_a_warning_and_names_its_axes(options, counts):
    found = invented(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = multiverse(found, CLAIMS)
        figure.canvas.draw()
    for title, n in zip(("2 Scaling", "4 Mitigation"), counts, strict=True):
        curve, matrix = axes_of(figure, title)
        assert curve.get_ylabel().startswith("effect [points")
        assert f"of {n} specifications" in matrix.get_xlabel()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert ("1 Agreement" in titles) == ("labelled" in options)


def test_effects_stand_in_order_each_in_the_colour_and_marker_of_its_verdict():
    found = invented()
    own = found[found["claim"] == "mitigation"].dropna(subset="estimate").sort_values("estimate")
    curve, _ = axes_of(multiverse(found, CLAIMS), "4 Mitigation")
    for verdict, (colour, marker) in VERDICT_LOOK.items():
        places = np.flatnonzero(own["verdict"] == verdict)
        lines = [
            line for line in curve.lines
            if line.get_color() == colour and line.get_marker() == marker
            and line.get_markerfacecolor() != "white"
        ]  # fmt: skip
        drawn = np.concatenate([line.get_xydata() for line in lines]) if lines else []
        expected = np.column_stack([places, own["estimate"].iloc[places]])
        assert np.allclose(drawn, expected), verdict
    unknown = [line for line in curve.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xydata().tolist() for line in unknown if len(line.get_xdata())] == [[[69, 0]]]


def test_the_matrix_says_what_each_specification_chose():
    found = invented()
    own = found[found["claim"] == "mitigation"].sort_values("estimate", ignore_index=True)
    _, matrix = axes_of(multiverse(found, CLAIMS), "4 Mitigation")
    shown = marks(matrix)
    assert list(shown) == [
        "ELR", "ECR", "shift", "ε, τ = 0", "ε, τ = 0.05", "ε, τ = 0.2", "copies kept",
        "copies dropped", "all prompts", *(f"without {p}" for p in PROMPTS),
    ]  # fmt: skip
    assert shown["ECR"] == np.flatnonzero(own["metric"] == "ecr").tolist()
    assert shown["ε, τ = 0.2"] == np.flatnonzero(own["threshold"] == 0.2).tolist()
    assert shown["copies kept"] == np.flatnonzero(own["copies"] == "keep").tolist()
    assert shown["all prompts"] == np.flatnonzero(own["wrappers"] == "all").tolist()


def test_the_primary_is_marked_at_its_effect():
    found = invented()
    chosen = found[(found["claim"] == "scaling") & found["is_primary"]]["estimate"].iloc[0]
    order = found[found["claim"] == "scaling"]["estimate"].sort_values(ignore_index=True)
    curve, _ = axes_of(multiverse(found, CLAIMS), "2 Scaling")
    ring = [line for line in curve.lines if line.get_markerfacecolor() == "none"]
    assert [line.get_xydata().tolist() for line in ring] == [
        [[int(np.flatnonzero(order == chosen)[0]), chosen]]
    ]


def test_choices_that_do_not_vary_are_left_out():
    alone = invented()
    _, matrix = axes_of(multiverse(alone, CLAIMS), "2 Scaling")
    assert not any("scorer" in label or "temperature" in label for label in marks(matrix))
    _, matrix = axes_of(multiverse(invented(**MANY), CLAIMS), "2 Scaling")
    assert {"scorer judge", "scorer vader", "temperature 0.5"} <= set(marks(matrix))


def test_a_claim_of_which_nothing_could_be_estimated_is_still_drawn():
    found = invented()
    found.loc[:, ["estimate", "low", "high"]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = multiverse(found.assign(verdict="not testable"), CLAIMS)
        figure.canvas.draw()
    assert "14 of 14" in axes_of(figure, "3 Polarity")[1].get_xlabel()


def test_the_figure_drawn_twice_has_the_same_bytes(tmp_path):
    found = invented(prompts=())
    files = [save_figure(multiverse(found, CLAIMS), tmp_path / f / "m") for f in "ab"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_verdicts_have_the_colours_of_the_paper_and_a_marker_each():
    paper = (Path(__file__).parents[2] / "paper" / "main.typ").read_text(encoding="utf-8")
    for verdict in VERDICTS[:3]:
        assert f'"{verdict}": rgb("{VERDICT_LOOK[verdict][0]}")' in paper
    assert len({marker for _, marker in VERDICT_LOOK.values()}) == 4


def test_the_table_counts_agreement_claim_by_claim():
    rows = [
        ("scaling", -2.0, "replicated", True), ("scaling", 0.5, "inconclusive", False),
        ("scaling", -1.0, "replicated", False), ("mitigation", None, "not testable", True),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["claim", "estimate", "verdict", "is_primary"])
    frame["unit"] = frame["claim"].map(UNITS)
    table = agreement_table(frame, CLAIMS)
    assert table.map(lambda cell: isinstance(cell, str)).all(axis=None)
    without = table[table["Specifications"] == "0"]
    assert without["Claim"].tolist() == ["1 Agreement", "3 Polarity"]
    assert table.drop(without.index).to_dict("records") == [
        {"Claim": "2 Scaling", "Primary verdict": "replicated", "Specifications": "3",
         "Same verdict [%]": "67", "Same sign [%]": "67", "Replicated": "2",
         "Not replicated": "0", "Inconclusive": "1", "Not testable": "0",
         "Effect, lowest to highest": "−2.0 to 0.5", "Unit": "points per decade"},
        {"Claim": "4 Mitigation", "Primary verdict": "not testable", "Specifications": "1",
         "Same verdict [%]": "100", "Same sign [%]": "0", "Replicated": "0",
         "Not replicated": "0", "Inconclusive": "0", "Not testable": "1",
         "Effect, lowest to highest": "–", "Unit": "points"},
    ]  # fmt: skip
