import warnings

import pandas as pd
import pytest

from expression_leakage.render import style
from expression_leakage.render.calibration import calibration, calibration_table, verdict_table
from expression_leakage.tables import CALIBRATION, check

METHODS = (  # claim, quantity, method, shipped, share covered, share rejected
    ("agreement", "Spearman, pooled", "item-cluster bootstrap", True, 0.9, None),
    ("agreement", "Spearman, pooled", "Fisher z on rows", False, 0.3, None),
    ("scaling", "slope [logits/decade]", "permutation of sizes", True, None, 0.1),
    ("scaling", "slope [logits/decade]", "binomial GLM on sample pairs", False, 0.7, 0.9),
    ("rate", "ELR of a model [%]", "t over items", True, 1.0, None),
)


@pytest.fixture(scope="module")
def records():
    """Ten repetitions a scenario: round shares, and estimates a quarter above their truth."""
    rows = []
    for scenario in ("null", "effect"):
        for repetition in range(10):
            common = {"scenario": scenario, "repetition": repetition}
            for claim, quantity, method, shipped, covered, rejected in METHODS:
                row = {"claim": claim, "quantity": quantity, "method": method, "shipped": shipped}
                row |= {"truth": None, "estimate": None, "low": None, "high": None}
                if covered is not None:
                    low = 0.5 if repetition < 10 * covered else 1.1
                    row |= {"truth": 1.0, "estimate": 1.25, "low": low, "high": 1.5}
                row["rejected"] = None if rejected is None else repetition < 10 * rejected
                rows.append(common | row)
            verdict = "replicated" if scenario == "effect" and repetition < 4 else "inconclusive"
            rows += [
                common
                | dict.fromkeys(["truth", "estimate", "low", "high", "rejected"])
                | {"claim": claim, "quantity": "verdict", "method": verdict, "shipped": True}
                for claim in ("scaling", "mitigation", "polarity")
            ]
    frame = pd.DataFrame(rows)
    numbers = ["truth", "estimate", "low", "high"]
    frame = frame.astype(dict.fromkeys(numbers, float) | {"rejected": "boolean"})
    return check(frame, CALIBRATION, "records").to_pandas()


def test_the_table_holds_shares_with_their_monte_carlo_intervals(records):
    table = calibration_table(records)
    assert table.map(lambda cell: isinstance(cell, str)).all(axis=None)
    rows = table.set_index("Method")
    # Wilson's interval of 9 in 10.
    assert rows.loc["item-cluster bootstrap", "Coverage, null [%]"] == "90.0 [59.6, 98.2]"
    assert rows.loc["item-cluster bootstrap", "Type I error [%]"] == "–"
    assert rows.loc["permutation of sizes", "Coverage, effect [%]"] == "–"
    assert rows.loc["permutation of sizes", "Type I error [%]"] == "10.0 [1.8, 40.4]"
    assert rows.loc["binomial GLM on sample pairs", "Power [%]"] == "90.0 [59.6, 98.2]"
    assert rows.loc["t over items", "Bias"] == "0.25"
    assert set(table["Repetitions"]) == {"10"}


def test_claims_stand_in_order_and_the_studys_own_method_comes_first(records):
    table = calibration_table(records)
    assert list(table["Claim"]) == ["all", "1", "1", "2", "2"]
    assert list(table["Kind"]) == ["shipped", "shipped", "naive", "shipped", "naive"]


def test_verdicts_are_shares_of_repetitions(records):
    table = verdict_table(records)
    assert list(table["Claim"]) == ["2", "2", "3", "3", "4", "4"]
    table = table[table["Claim"] == "2"].set_index("Scenario")
    assert table.loc["effect scenario", "replicated [%]"] == "40.0"
    assert table.loc["effect scenario", "inconclusive [%]"] == "60.0"
    assert table.loc["null scenario", "inconclusive [%]"] == "100.0"
    assert table.loc["null scenario", "not testable [%]"] == "0.0"


def drawn(records):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = calibration(records)
        figure.canvas.draw()
    return figure


def test_naive_marks_are_open_and_targets_shaded(records):
    figure = drawn(records)
    _, coverage, level, power = figure.axes
    marks = [m for m in coverage.lines if m.get_marker() in {"o", "s", "<"}]
    is_open = {m.get_markerfacecolor() == "white" for m in marks}
    assert is_open == {True, False}
    for ax, (low, high) in ((coverage, (93, 97)), (level, (3, 7))):
        (band,) = ax.patches
        assert band.get_x() == pytest.approx(low)
        assert band.get_width() == pytest.approx(high - low)
    assert not power.patches


def test_what_lies_off_the_axis_is_named_at_its_border(records):
    figure = drawn(records)
    coverage = figure.axes[1]
    said = [t.get_text() for t in coverage.texts]
    assert said == ["30", "30"]  # Fisher's z, in both scenarios
    arrows = [m for m in coverage.lines if m.get_marker() == "<"]
    places = [x for arrow in arrows for x in arrow.get_xdata()]
    assert places == [coverage.get_xlim()[0]] * 2


def test_labels_stay_on_the_page_and_apart_from_the_marks(records):
    figure = drawn(records)
    names, coverage = figure.axes[:2]
    edge = coverage.get_window_extent().x0
    for text in names.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= edge, text.get_text()


def test_a_figure_drawn_twice_has_the_same_bytes(records, tmp_path):
    files = [style.save_figure(calibration(records), tmp_path / f / "calibration") for f in "ab"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
