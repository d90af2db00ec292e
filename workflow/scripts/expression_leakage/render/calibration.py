"""How the calibration of the instrument is shown: a table, the verdicts, and a figure."""

from collections.abc import Sequence
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from statsmodels.stats.proportion import proportion_confint

from expression_leakage.inference.calibration import COVERAGE, LEVEL_OF_TESTS, SCENARIOS
from expression_leakage.inference.verdicts import (
    INCONCLUSIVE,
    NOT_REPLICATED,
    NOT_TESTABLE,
    REPLICATED,
)
from expression_leakage.render import style
from expression_leakage.render.formats import interval, number

_CLAIMS = {
    "rate": "all",
    "agreement": "1",
    "scaling": "2",
    "polarity": "3",
    "mitigation": "4",
    "guard": "guard",
}
_VERDICTS = (REPLICATED, NOT_REPLICATED, INCONCLUSIVE, NOT_TESTABLE)
_ROW = ["claim", "quantity", "method", "shipped"]
_PANELS = (  # title, measure, scenarios, limits of the axis, target
    ("Coverage", "coverage", SCENARIOS, (59, 101), COVERAGE),
    ("Type I error", "rejected", ("null",), (-1, 41), LEVEL_OF_TESTS),
    ("Power", "rejected", ("effect",), (-3, 103), None),
)
_LOOKS = {"null": (style.INK, "o", -0.24), "effect": (style.BLUE, "s", 0.24)}


def shares(records: pd.DataFrame) -> pd.DataFrame:
    """How often each method covered the truth and rejected the null, by scenario.

    Parameters
    ----------
    records
        CALIBRATION rows.

    Returns
    -------
    DataFrame
        Columns claim, quantity, method, shipped, scenario, measure ('coverage' | 'rejected'),
        share, low, high (95 % Wilson interval of the Monte Carlo error) [%], n repetitions.
    """
    own = _ordered(records)
    covered = (own["low"] <= own["truth"]) & (own["truth"] <= own["high"])
    has_interval = own[["truth", "low", "high"]].notna().all(axis=1)
    coverage = own[has_interval].assign(hit=covered[has_interval], measure="coverage")
    tested = own[own["rejected"].notna()]
    both = [coverage, tested.assign(hit=tested["rejected"].astype(bool), measure="rejected")]
    grouped = pd.concat(both).groupby([*_ROW, "scenario", "measure"], sort=False)["hit"]
    found = grouped.agg(["sum", "size"]).reset_index()
    bounds = proportion_confint(found["sum"], found["size"], method="wilson")
    low, high = (100 * np.asarray(bound) for bound in bounds)
    share = 100 * found["sum"] / found["size"]
    # Rounding can put a bound of 0 or of all on the wrong side of the share.
    low, high = np.minimum(low, share), np.maximum(high, share)
    return found.drop(columns=["sum", "size"]).assign(
        share=share, low=low, high=high, n=found["size"]
    )


def _ordered(records: pd.DataFrame) -> pd.DataFrame:
    """Records of estimators and tests by claim and quantity, the study's own method first."""
    own = records[records["quantity"] != "verdict"]
    place = own["claim"].map(list(_CLAIMS).index)
    by = ["place", "quantity", "shipped", "method"]
    return own.assign(place=place).sort_values(by, ascending=[True, True, False, True])


def calibration_table(records: pd.DataFrame) -> pd.DataFrame:
    """Coverage, level, power and bias of every method, as text.

    Parameters
    ----------
    records
        CALIBRATION rows of both scenarios.

    Returns
    -------
    DataFrame
        Shares in percent with their Monte Carlo intervals; the bias is that of the scenario where
        it is larger, in the quantity's unit.
    """
    found = shares(records).set_index([*_ROW, "measure", "scenario"])
    own = _ordered(records)
    error = own.assign(error=own["estimate"] - own["truth"])
    bias = error.groupby([*_ROW, "scenario"])["error"].mean().unstack()

    def text(*key: object) -> str:
        return interval(*found.loc[key, ["share", "low", "high"]]) if key in found.index else "–"

    rows = []
    for key in own[_ROW].drop_duplicates().itertuples(index=False, name=None):
        claim, quantity, method, shipped = key
        biases = bias.loc[key].dropna()
        rows.append(
            {
                "Claim": _CLAIMS[claim],
                "Quantity": quantity,
                "Method": method,
                "Kind": "shipped" if shipped else "naive",
                "Coverage, null [%]": text(*key, "coverage", "null"),
                "Coverage, effect [%]": text(*key, "coverage", "effect"),
                "Type I error [%]": text(*key, "rejected", "null"),
                "Power [%]": text(*key, "rejected", "effect"),
                "Bias": number(biases.loc[biases.abs().idxmax()] if len(biases) else None, 2),
                "Repetitions": str(own["repetition"].nunique()),
            }
        )
    return pd.DataFrame(rows)


def verdict_table(records: pd.DataFrame) -> pd.DataFrame:
    """How often each claim got each verdict in each scenario [%], as text.

    Parameters
    ----------
    records
        CALIBRATION rows.
    """
    own = records[records["quantity"] == "verdict"]
    rows = []
    shown = dict(list(own.groupby(["claim", "scenario"])["method"]))
    for claim, scenario in product(_CLAIMS, SCENARIOS):
        if (claim, scenario) not in shown:
            continue
        given = shown[claim, scenario].value_counts(normalize=True)
        row = {"Claim": _CLAIMS[claim], "Scenario": f"{scenario} scenario"}
        row |= {f"{v} [%]": number(100 * given.get(v, 0.0)) for v in _VERDICTS}
        rows.append(row | {"Repetitions": str(len(shown[claim, scenario]))})
    return pd.DataFrame(rows)


@mpl.rc_context(style.RC)
def calibration(records: pd.DataFrame) -> Figure:
    """Coverage, type I error and power of every method, naive ones open, with target bands.

    Parameters
    ----------
    records
        CALIBRATION rows of both scenarios.
    """
    found = shares(records)
    lines = _lines(records)
    figure = style.new_figure(22 + 3.9 * len(lines))
    names, *axes = figure.subplots(
        1, 1 + len(_PANELS), sharey=True, width_ratios=[1.8, *[1] * len(_PANELS)]
    )
    _name_lines(names, axes, lines)
    for ax, (title, measure, scenarios, limits, target) in zip(axes, _PANELS, strict=True):
        ax.set_title(title)
        ax.set_xlabel("repetitions [%]")
        ax.set_xlim(limits)
        if target:
            ax.axvspan(100 * target[0], 100 * target[1], color=style.PALE, linewidth=0, zorder=0)
        for scenario in scenarios:
            own = found[(found["measure"] == measure) & (found["scenario"] == scenario)]
            _marks(ax, own, lines, scenario, len(scenarios) > 1)
    _legend(figure)
    return figure


def _lines(records: pd.DataFrame) -> list[tuple[str, str, str | None]]:
    """Lines of the figure from the top: (claim, quantity, None) above its methods."""
    rows = _ordered(records)[["claim", "quantity", "method"]].drop_duplicates()
    lines = []
    for (claim, quantity), own in rows.groupby(["claim", "quantity"], sort=False):
        lines += [(claim, quantity, None), *((claim, quantity, m) for m in own["method"])]
    return lines


def _marks(
    ax: Axes, own: pd.DataFrame, lines: Sequence[tuple], scenario: str, several: bool
) -> None:
    """Marks with Monte Carlo intervals; what lies off the axis stands at its border, named."""
    colour, marker, shift = _LOOKS[scenario]
    left, right = ax.get_xlim()
    for row in own.itertuples():
        y = lines.index((row.claim, row.quantity, row.method)) + (shift if several else 0)
        face = colour if row.shipped else "white"
        if left <= row.share <= right:
            reach = [[row.share - row.low], [row.high - row.share]]
            ax.errorbar(row.share, y, xerr=reach, fmt=marker, color=colour, markersize=3.2,
                        markerfacecolor=face, markeredgewidth=0.7, linewidth=0.7)  # fmt: skip
            continue
        below = row.share < left
        border, arrow = (left, "<") if below else (right, ">")
        ax.plot(border, y, arrow, color=colour, markersize=3.2, markerfacecolor=face,
                markeredgewidth=0.7, clip_on=False)  # fmt: skip
        ax.annotate(f"{row.share:.0f}", (border, y), xytext=(5 if below else -5, 0), va="center",
                    textcoords="offset points", ha="left" if below else "right",
                    fontsize=5, color=colour)  # fmt: skip


def _name_lines(names: Axes, axes: Sequence[Axes], lines: Sequence[tuple]) -> None:
    names.set_axis_off()
    names.set_xlim(0, 1)
    names.set_ylim(len(lines) - 0.4, -0.7)
    for y, (claim, quantity, method) in enumerate(lines):
        number = "" if _CLAIMS[claim] in {"all", "guard"} else f"{_CLAIMS[claim]}. "
        names.text(
            0.05 if method else 0, y, method or number + quantity, va="center", fontsize=6.2,
            fontweight="normal" if method else "bold", in_layout=False,
        )  # fmt: skip
        for ax in (names, *axes) if y and not method else ():
            ax.axhline(y - 0.5, color=style.PALE, linewidth=0.6, zorder=0)
    for ax in axes:
        ax.tick_params(axis="y", left=False, labelleft=False)


def _legend(figure: Figure) -> None:
    def handle(label: str, colour: str, marker: str, face: str) -> mpl.lines.Line2D:
        return mpl.lines.Line2D([], [], color=colour, marker=marker, linestyle="", label=label,
                                markersize=4, markerfacecolor=face)  # fmt: skip

    handles = [
        handle("null scenario", *_LOOKS["null"][:2], style.INK),
        handle("effect scenario", *_LOOKS["effect"][:2], style.BLUE),
        handle("this study's estimator", style.GREY, "D", style.GREY),
        handle("naive method", style.GREY, "D", "white"),
        mpl.patches.Patch(color=style.PALE, label="target"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
