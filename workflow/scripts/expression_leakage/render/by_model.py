"""Figures with one mark a model: leakage by size, by polarity, and under a placebo."""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from expression_leakage.metrics import CHANCE
from expression_leakage.render import style
from expression_leakage.render.formats import compact_count

_PANELS = (  # title, relevance, polarity
    ("Leakage, both polarities", "irrelevant", "both"),
    ("Context use", "relevant", "both"),
    ("Leakage, negative injection", "irrelevant", "negative"),
    ("Leakage, positive injection", "irrelevant", "positive"),
)
_ELR = "expression leak rate [%]"


@mpl.rc_context(style.RC)
def scaling(estimates: pd.DataFrame, scorer: str, organisms: Iterable[str]) -> Figure:
    """Leakage and context use against the number of parameters, one colour a family.

    Parameters
    ----------
    estimates
        ESTIMATES rows.
    scorer
        Scorer to show.
    organisms
        Families trained by the workflow.
    """
    rates = leak_rates(estimates, scorer)
    families = sorted(rates["family"].unique())
    figure = style.new_figure(118)
    axes = figure.subplots(2, 2, sharex=True)
    leakage = [ax for ax, panel in zip(axes.flat, _PANELS, strict=True) if panel[1] != "relevant"]
    for ax in leakage[1:]:
        ax.sharey(leakage[0])
    for ax, (title, relevance, polarity) in zip(axes.flat, _PANELS, strict=True):
        shown = rates[(rates["relevance"] == relevance) & (rates["polarity"] == polarity)]
        _size_panel(ax, shown, families)
        colour = style.POLARITY_COLOURS[polarity]
        ax.set_title(title, color=colour)
        ax.set_ylabel(f"leak rate, {relevance} stems [%]")
    _label_sizes(axes[1], rates["n_parameters"].unique())
    axes[0, 1].annotate(
        "chance", (1.01, CHANCE), xycoords=("axes fraction", "data"), va="center",
        annotation_clip=False, color=style.GREY, fontsize=6.5,
    )  # fmt: skip
    figure.get_layout_engine().set(wspace=0.06, hspace=0.05)
    _family_legend(figure, rates, organisms)
    return figure


def leak_rates(estimates: pd.DataFrame, scorer: str, estimand: str = "elr") -> pd.DataFrame:
    """Rows of single models without a mitigation prompt, items of all sources, in plot order."""
    rows = estimates[
        (estimates["estimand"] == estimand)
        & (estimates["scorer"] == scorer)
        & (estimates["mitigation"] == "none")
        & (estimates["source"] == "all")
        & (estimates["model"] != "all")
    ]
    return rows.sort_values(["family", "n_parameters", "model"], ignore_index=True)


def _size_panel(ax: Axes, rows: pd.DataFrame, families: list[str]) -> None:
    ax.axhline(CHANCE, color=style.GREY, linestyle=(0, (4, 3)), linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    sizes = rows["n_parameters"]
    step = 0.02 * _decades(sizes.min(), sizes.max())
    for number, family in enumerate(families):
        own = rows[rows["family"] == family].dropna(subset="estimate")
        colour, marker = family_look(number)
        sns.lineplot(own, x="n_parameters", y="estimate", errorbar=None, color=colour, ax=ax)
        # Seeds of one size stand side by side, or their intervals would hide each other.
        place = own.groupby("n_parameters").cumcount()
        middle = (own.groupby("n_parameters")["model"].transform("size") - 1) / 2
        x = own["n_parameters"] * 10 ** (step * (place - middle))
        ax.errorbar(
            x, own["estimate"], reach(own), fmt=marker, color=colour, linewidth=0.8,
            markeredgecolor="white", markeredgewidth=0.4, zorder=3,
        )  # fmt: skip


def family_look(number: int) -> tuple[str, str]:
    """Colour and marker of a family by its place in the alphabet; colours outlast the markers."""
    colours, markers = style.FAMILY_COLOURS, style.FAMILY_MARKERS
    shift = number // len(colours)
    return colours[number % len(colours)], markers[(number + shift) % len(markers)]


def reach(rows: pd.DataFrame) -> np.ndarray:
    """Distances of estimates to their bounds, shape (2, n)."""
    return np.abs([rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]])


def _decades(low: float, high: float) -> float:
    """Decades from one size to another; of sizes that hardly differ, what an axis shows of them."""
    return max(float(np.log10(high / low)), 0.1)


def _label_sizes(axes: Iterable[Axes], sizes: np.ndarray) -> None:
    """Label the sizes themselves, leaving out those too near the one before."""
    sizes = np.sort(sizes)
    gap = 0.12 * _decades(sizes[0], sizes[-1])
    ticks = [sizes[0]]
    for size in sizes[1:]:
        if np.log10(size / ticks[-1]) >= gap:
            ticks.append(size)
    for ax in axes:
        ax.set_xticks(ticks, [compact_count(n) for n in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("parameters")


def _family_legend(figure: Figure, rates: pd.DataFrame, organisms: Iterable[str]) -> None:
    handles = []
    sizes = rates.groupby("family")["n_parameters"].nunique()  # in the order of the alphabet
    for number, (family, n) in enumerate(sizes.items()):
        colour, marker = family_look(number)
        label = style.ORGANISM_NOTE if family in organisms else family
        if family in organisms and family != "organism":
            label = f"{family}: {style.ORGANISM_NOTE}"
        line = "-" if n > 1 else "none"
        handles.append(
            mpl.lines.Line2D(
                [], [], color=colour, linestyle=line, marker=marker, markersize=4, label=label
            )
        )
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4))


@mpl.rc_context(style.RC)
def polarity(estimates: pd.DataFrame, scorer: str, organisms: Iterable[str]) -> Figure:
    """Negative against positive leakage, paired by model."""
    rates = leak_rates(estimates, scorer)
    rates = rates[rates["relevance"] == "irrelevant"]
    figure, ax, order = _model_rows(rates, organisms)
    pairs = rates.pivot(index="model", columns="polarity", values="estimate")
    rows = pairs.index.map(order)
    ax.hlines(rows, pairs["negative"], pairs["positive"], color=style.PALE, linewidth=3, zorder=1)
    for name, shift in (("negative", -0.14), ("positive", 0.14)):
        own = rates[rates["polarity"] == name]
        ax.errorbar(
            own["estimate"], own["model"].map(order) + shift, xerr=reach(own),
            fmt=style.POLARITY_MARKERS[name], color=style.POLARITY_COLOURS[name],
            linewidth=0.8, label=f"{name} injection",
        )  # fmt: skip
    ax.set_xlabel(f"{_ELR}, irrelevant stems")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


@mpl.rc_context(style.RC)
def placebo(
    estimates: pd.DataFrame, claims: dict, scorer: str, organisms: Iterable[str]
) -> Figure:  # fmt: skip
    """Placebo leak rate of each model against chance; models that fail a guard are marked.

    Parameters
    ----------
    claims
        Content of ``claims.json``.
    estimates, scorer, organisms
        As in `scaling`.
    """
    rates = leak_rates(estimates, scorer, "placebo_elr")
    rates = rates[rates["relevance"] == "irrelevant"]
    figure, ax, order = _model_rows(rates, organisms)
    failed = failed_guards(claims)
    off = rates["model"].map(lambda model: "placebo" in failed.get(model, ()))
    for own, colour, marker, label in (
        (rates[~off], style.INK, "o", "interval includes 50"),
        (rates[off], style.VERMILION, "X", "flagged: interval misses 50"),
    ):
        if len(own):
            ax.errorbar(
                own["estimate"], own["model"].map(order), xerr=reach(own), fmt=marker,
                color=colour, linewidth=0.8, markersize=4.5, label=label,
            )  # fmt: skip
    for model, guards in failed.items():
        ax.annotate(
            f"flagged: {', '.join(guards)}", (1.01, order[model]), annotation_clip=False,
            xycoords=("axes fraction", "data"), va="center", fontsize=6.5, color=style.VERMILION,
        )  # fmt: skip
    ax.set_xlabel("placebo leak rate [%]: a second neutral injection against the first")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def failed_guards(claims: dict) -> dict[str, list[str]]:
    """Guards that each flagged model failed, of the content of ``claims.json``."""
    failed: dict[str, list[str]] = {}
    for check in claims["guards"]["checks"]:
        if check["passed"] is False:
            failed.setdefault(check["model"], []).append(check["guard"])
    return failed


def _model_rows(
    rates: pd.DataFrame, organisms: Iterable[str]
) -> tuple[Figure, Axes, dict[str, int]]:
    """A figure with one row a model, the largest of a family last, and each model's row."""
    models = rates.drop_duplicates("model")
    order = {model: row for row, model in enumerate(models["model"])}
    figure = style.new_figure(min(28 + 5.2 * len(order), 200))
    ax = figure.subplots()
    labels = [f"{m}  ({compact_count(n)})" for m, n in models[["model", "n_parameters"]].to_numpy()]
    ax.set_yticks(range(len(order)), labels)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    for row in np.flatnonzero(models["family"].ne(models["family"].shift()))[1:]:
        ax.axhline(row - 0.5, color=style.PALE, linewidth=0.8, zorder=0)
    ax.axvline(CHANCE, color=style.GREY, linestyle=(0, (4, 3)), linewidth=0.8, zorder=0)
    ax.set_ylabel("model (parameters)")
    families = set(models["family"])
    if families & set(organisms):
        others = ", ".join(sorted(families - set(organisms)))
        note = style.ORGANISM_NOTE + (f" (not {others})" if others else "")
        ax.set_title(note, fontweight="normal", fontsize=7, color=style.GREY)
    return figure, ax, order
