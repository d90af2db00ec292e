"""The specification curves of the claims, and how far the specifications agree."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from expression_leakage.inference.multiverse import VERDICTS, summarise
from expression_leakage.inference.specifications import ALL_PROMPTS, OWN_METRIC
from expression_leakage.render import style
from expression_leakage.render.by_model import reach
from expression_leakage.render.formats import MISSING, number

# The colours of the paper; markers tell the verdicts apart without them.
_LOOKS = (("#00785a", "o"), ("#c04a00", "s"), ("#8a6200", "D"), (style.GREY, "X"))
VERDICT_LOOK = dict(zip(VERDICTS, _LOOKS, strict=True))
_CHOICES = {
    "metric": {"elr": "ELR", "ecr": "ECR", "shift": "shift"}.get,
    "threshold": "ε, τ = {:g}".format,
    "scorer": "scorer {}".format,
    "copies": {"keep": "copies kept", "drop": "copies dropped"}.get,
    "temperature": "temperature {:g}".format,
    "wrappers": lambda name: "all prompts" if name == ALL_PROMPTS else name,
}
_OWN = {OWN_METRIC, "keep", ALL_PROMPTS}
_WIDE = "mitigation"  # its sets of prompts make many specifications: a band of its own
_CURVE_MM, _ROW_MM, _AROUND_MM = 36, 3.2, 16  # heights
_CURVES_MM = 120  # width left for the curves of a band


@mpl.rc_context(style.RC)
def multiverse(specifications: pd.DataFrame, claims: dict) -> Figure:
    """A specification curve a claim: the effects in order, and below each what was chosen.

    Bars are 95 % intervals. What could not be estimated stands last, on the zero line. Choices
    that do not vary are left out.

    Parameters
    ----------
    specifications
        SPECIFICATIONS rows.
    claims
        Content of ``claims.json``, for the numbers and titles of the claims.
    """
    by_number = sorted(claims["claims"].items(), key=lambda entry: entry[1]["number"])
    titles = {name: f"{claim['number']} {claim['title']}" for name, claim in by_number}
    parts = {
        name: own.sort_values(["estimate", "metric"], ignore_index=True)
        for name in titles
        if len(own := specifications[specifications["claim"] == name])
    }
    bands = [[n for n in parts if n != _WIDE], [n for n in parts if n == _WIDE]]
    bands = [[(parts[n], titles[n]) for n in band] for band in bands if band]
    choices = [_varying([part for part, _ in band]) for band in bands]
    heights = [_CURVE_MM + _AROUND_MM + _ROW_MM * len(rows) for rows in choices]
    figure = style.new_figure(sum(heights) + 8)
    outer = figure.add_gridspec(len(bands), 1, height_ratios=heights, hspace=0.06)
    for place, band, rows in zip(outer, bands, choices, strict=True):
        widths = np.sqrt([max(len(part), 8) for part, _ in band])
        inner = place.subgridspec(
            2, len(band), height_ratios=[_CURVE_MM, _ROW_MM * max(len(rows), 1)],
            width_ratios=widths, hspace=0,
        )  # fmt: skip
        for column, (part, title) in enumerate(band):
            curve = figure.add_subplot(inner[0, column])
            below = figure.add_subplot(inner[1, column], sharex=curve)
            each_mm = _CURVES_MM * widths[column] / widths.sum() / max(len(part), 4)
            size = float(np.clip(1.9 * each_mm, 0.7, 4))
            _curve(curve, part, title, size)
            _matrix(below, part, rows, size, labelled=column == 0)
    figure.legend(handles=_handles(specifications), loc="outside upper center", ncols=5)
    _settle(figure)
    return figure


def _settle(figure: Figure) -> None:
    """Fix where the axes stand; a nested layout solved twice may differ in its last bits."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position(np.round(ax.get_position().bounds, 4))


def _varying(parts: Sequence[pd.DataFrame]) -> list[tuple[str, object]]:
    """Choice and value of every row below the curves, for the choices that vary under a claim."""
    together, rows = pd.concat(parts), []
    for choice in _CHOICES:
        if any(part[choice].nunique(dropna=False) > 1 for part in parts):
            known = together[choice].dropna()
            values = known[known != ""].unique()
            # What the study itself chose comes first.
            rows += [(choice, v) for v in sorted(values, key=lambda v: (v not in _OWN, v))]
    return rows


def _curve(ax: Axes, part: pd.DataFrame, title: str, size: float) -> None:
    ax.set_title(title)
    ax.set_ylabel(f"effect [{part['unit'].iloc[0]}]")
    ax.axhline(0, color=style.GREY, linestyle=(0, (4, 3)), linewidth=0.8, zorder=0)
    for verdict, (colour, marker) in VERDICT_LOOK.items():
        own = part[part["verdict"] == verdict]
        known = own.dropna(subset="estimate")
        ax.errorbar(
            known.index, known["estimate"], reach(known), fmt=marker, color=colour,
            markersize=max(size, 1.6), linewidth=min(0.9, size / 3), markeredgewidth=0, zorder=3,
        )  # fmt: skip
        unknown = own.index.difference(known.index)
        ax.plot(unknown, np.zeros(len(unknown)), marker, color=colour, markersize=size,
                markerfacecolor="white", markeredgewidth=0.6, linestyle="")  # fmt: skip
    chosen = part[part["is_primary"]].fillna({"estimate": 0})
    _mark_primary(ax, chosen)
    ax.plot(chosen.index, chosen["estimate"], "o", markersize=size + 4, markerfacecolor="none",
            markeredgecolor=style.INK, markeredgewidth=0.9, zorder=4)  # fmt: skip
    ax.set_xlim(-0.8, max(len(part), 4) - 0.2)
    ax.tick_params(axis="x", bottom=False, labelbottom=False)
    ax.spines["bottom"].set_visible(False)


def _matrix(
    ax: Axes, part: pd.DataFrame, rows: Sequence[tuple[str, object]], size: float, labelled: bool
) -> None:  # fmt: skip
    """A mark where a specification (across) makes a choice (down)."""
    colours = part["verdict"].map(lambda verdict: VERDICT_LOOK[verdict][0])
    shaded = False
    for row, (choice, value) in enumerate(rows):
        shaded ^= row > 0 and choice != rows[row - 1][0]
        if shaded:
            ax.axhspan(row - 0.5, row + 0.5, color=style.PALE, alpha=0.6, linewidth=0, zorder=0)
        made = np.flatnonzero(part[choice] == value)
        ax.vlines(made, row - 0.3, row + 0.3, colours.iloc[made], linewidth=size, zorder=3)
    _mark_primary(ax, part[part["is_primary"]])
    labels = [_CHOICES[choice](value) for choice, value in rows]
    ax.set_yticks(range(len(rows)), labels if labelled else [""] * len(rows), fontsize=6.3)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="both", length=0, labelbottom=False)
    ax.spines[:].set_visible(False)
    same = int((part["verdict"] == part.loc[part["is_primary"], "verdict"].iloc[0]).sum())
    ax.set_xlabel(f"{same} of {len(part)} specifications\nhave the primary's verdict")


def _mark_primary(ax: Axes, chosen: pd.DataFrame) -> None:
    for place in chosen.index:
        ax.axvspan(place - 0.5, place + 0.5, color=style.SKY, alpha=0.3, linewidth=0, zorder=1)


def _handles(specifications: pd.DataFrame) -> list[Line2D]:
    given = set(specifications["verdict"])
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=0.9, label=verdict)
        for verdict, (colour, marker) in VERDICT_LOOK.items()
        if verdict in given
    ]
    ring = {"markerfacecolor": style.SKY, "markeredgecolor": style.INK, "markeredgewidth": 0.9}
    primary = Line2D([], [], linestyle="", marker="o", markersize=6, label="primary", **ring)
    return [*handles, primary]


def agreement_table(specifications: pd.DataFrame, claims: dict) -> pd.DataFrame:
    """How far the specifications of each claim agree with the primary, as a frame of strings.

    Parameters
    ----------
    specifications, claims
        As in `multiverse`.
    """
    found, rows = summarise(specifications), []
    for name, claim in sorted(claims["claims"].items(), key=lambda entry: entry[1]["number"]):
        if name not in found.index:
            rows.append(
                {
                    "Claim": f"{claim['number']} {claim['title']}",
                    "Primary verdict": claim["verdict"],
                    "Specifications": "0",
                }
            )
            continue
        own = found.loc[name]
        digits = 2 if own["unit"] == "correlation" else 1
        bounds = [number(own[bound], digits) for bound in ("lowest", "highest")]
        rows.append(
            {
                "Claim": f"{claim['number']} {claim['title']}",
                "Primary verdict": own["verdict"],
                "Specifications": str(own["n"]),
                "Same verdict [%]": number(100 * own["same_verdict"], 0),
                "Same sign [%]": number(100 * own["same_sign"], 0),
                **{verdict.capitalize(): str(own[verdict]) for verdict in VERDICTS},
                "Effect, lowest to highest": MISSING if MISSING in bounds else " to ".join(bounds),
                "Unit": own["unit"],
            }
        )
    return pd.DataFrame(rows, dtype="str").fillna(MISSING)
