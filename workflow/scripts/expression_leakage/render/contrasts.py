"""Figures of contrasts: mitigation prompts, people against the scorer, balance of the arms."""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from expression_leakage.inference.rectify import match_labels
from expression_leakage.render import style
from expression_leakage.render.by_model import reach
from expression_leakage.render.formats import interval, number

# What the design matches, top to bottom; charged arms differ from control in valence by intent.
MATCHED = (
    ("positive-negative", "n_words", "positive − negative, length"),
    ("positive-negative", "abs_valence", "positive − negative, |valence|"),
    ("positive-control", "n_words", "positive − control, length"),
    ("negative-control", "n_words", "negative − control, length"),
    ("placebo-control", "n_words", "placebo − control, length"),
    ("positive-negative", "cosine", "positive − negative, relatedness to stem"),
    ("positive-control", "cosine", "positive − control, relatedness to stem"),
    ("negative-control", "cosine", "negative − control, relatedness to stem"),
    ("placebo-control", "cosine", "placebo − control, relatedness to stem"),
)
_BAND, _EDGE = 0.1, 0.5
_ROW_PAD = 0.9  # above and below the lines of a comparison [lines]


@mpl.rc_context(style.RC)
def mitigation(claims: dict, roles: dict[str, str], organisms: Iterable[str]) -> Figure:
    """Change of leakage under each prompt wrapper, with simultaneous intervals.

    Parameters
    ----------
    claims
        Content of ``claims.json``.
    roles
        Role of each wrapper: baseline | mitigation | placebo.
    organisms
        Families trained by the workflow.
    """
    claim = claims["claims"]["mitigation"]
    changes = prompt_changes(claim, roles)
    if changes.empty:
        return style.message("No mitigation prompt ran.", "Name wrappers under `mitigations`.")
    base = next(e["value"] for e in claim["evidence"] if e["name"] == "baseline")
    share = claim["thresholds"]["reduction_share"]
    figure = style.new_figure(34 + 6.5 * len(changes))
    ax = figure.subplots()
    tested = changes["role"].eq("mitigation").to_numpy()
    rows = np.arange(len(changes)) + 0.6 * ~tested  # others stand apart, below
    for own, colour, marker, label in (
        (tested, style.INK, "o", "mitigation prompt"),
        (~tested, style.GREY, "D", "placebo wrapper: added text unrelated to mood"),
    ):
        if own.any():
            x = changes[own]
            ax.errorbar(x["estimate"], rows[own], xerr=reach(x), fmt=marker, color=colour,
                        linewidth=1, markersize=4.5, label=label)  # fmt: skip
    ax.axvline(0, color=style.GREY, linestyle=(0, (4, 3)), linewidth=0.8, zorder=0)
    if base is not None and base > 0:
        _threshold(ax, changes, -share * base, share)
    ax.set_yticks(rows, changes["mitigation"])
    ax.set_ylim(rows[-1] + 0.6, -0.6)
    ax.tick_params(axis="y", length=0)
    note = f"; {style.ORGANISM_NOTE}" if organisms else ""
    ax.set_xlabel(f"change of leakage against no prompt [points]\nmean over models{note}")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def prompt_changes(claim: dict, roles: dict[str, str]) -> pd.DataFrame:
    """Change of leakage by prompt, of the evidence of claim 4; mitigations first.

    Returns
    -------
    DataFrame
        Columns mitigation, role, estimate, low, high [points; below zero: leaks less], n_items,
        note.
    """
    prefix = "reduction_"
    rows = [
        {
            "mitigation": entry["name"].removeprefix(prefix),
            "role": roles[entry["name"].removeprefix(prefix)],
            "estimate": _negative(entry["value"]),
            "low": _negative(entry["high"]),
            "high": _negative(entry["low"]),
            "n_items": entry["n"],
            "note": entry["note"],
        }
        for entry in claim["evidence"]
        if entry["name"].startswith(prefix)
    ]
    columns = ["mitigation", "role", "estimate", "low", "high", "n_items", "note"]
    frame = pd.DataFrame(rows, columns=columns)
    numbers = frame[["estimate", "low", "high"]].astype(float)
    frame[numbers.columns] = numbers
    return frame.sort_values(
        "role", key=lambda role: role.ne("mitigation"), kind="stable", ignore_index=True
    )


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _threshold(ax: Axes, changes: pd.DataFrame, at: float, share: float) -> None:
    """Mark the declared threshold, and keep it and no prompt at all in view."""
    low = min(changes["low"].min(), 1.25 * at)
    high = max(changes["high"].max(), 0)
    pad = 0.05 * (high - low)
    ax.set_xlim(low - pad, high + pad)
    ax.axvspan(low - pad, at, color=style.GREEN, alpha=0.08, linewidth=0, zorder=0)
    ax.axvline(at, color=style.GREEN, linewidth=1, zorder=0)
    text = "halves the leak" if share == 0.5 else f"takes {share:.0%} of the leak"
    ax.annotate(
        f"← {text}", (at, 1), (-3, 2), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right", va="bottom", color=style.GREEN, fontsize=7,
    )  # fmt: skip


@mpl.rc_context(style.RC)
def agreement(
    people: pd.DataFrame, scores: pd.DataFrame, claims: dict, ingest_report: dict
) -> Figure:  # fmt: skip
    """The automatic score against people's mean rating; without labels, what is missing.

    Parameters
    ----------
    people
        One row per labelled continuation (`labelling.aggregation.aggregate`), possibly none.
    scores
        SCORES rows of the primary scorer, at least those of the labelled continuations.
    claims
        Content of ``claims.json``.
    ingest_report
        Content of ``ingest_report.json``.
    """
    matched = match_labels(people, scores) if len(people) else people.assign(human=[])
    matched = matched.dropna(subset=["human", "sentiment"])
    if matched.empty:
        return style.message("No labels by people yet", missing_labels(ingest_report))
    figure = style.new_figure(78)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _scatter(left, matched)
    _correlations(right, claims["claims"]["agreement"])
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def missing_labels(ingest_report: dict) -> str:
    """What is missing for a comparison with people, and how to supply it."""
    places = ", ".join(ingest_report["looked_in"]) or "nowhere: labels.files is empty"
    rejected = sum(ingest_report["ingest"]["rejected"].values())
    said = f"Files looked for: {places}."
    if ingest_report["ingest"]["rows"]:
        said += f" Rows read: {ingest_report['ingest']['rows']}, rejected: {rejected}."
    return (
        f"{said}\nThe automatic score cannot be compared with human judgment without them.\n"
        "Give the exported tasks to annotators and run again: docs/labels.md says how."
    )


def _scatter(ax: Axes, matched: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)  # ratings fall on few values: spread them a little
    ax.axline((0, 0), slope=1, color=style.PALE, linewidth=1, zorder=0)
    for condition, own in matched.groupby("condition"):
        ax.plot(
            own["human"] + rng.uniform(-0.05, 0.05, len(own)), own["sentiment"], "o",
            color=style.CONDITION_COLOURS.get(condition, style.INK), markersize=3, alpha=0.6,
            markeredgewidth=0, label=condition,
        )  # fmt: skip
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    ax.set_title(f"{len(matched)} continuations", fontweight="normal")
    ax.set_xlabel("sentiment, mean rating by people")
    ax.set_ylabel("sentiment, automatic")


def _correlations(ax: Axes, claim: dict) -> None:
    entries = [e for e in claim["evidence"] if e["name"].startswith("spearman_")]
    for row, entry in enumerate(entries):
        condition = entry["name"].removeprefix("spearman_")
        colour = style.CONDITION_COLOURS.get(condition, style.INK)
        if entry["low"] is None:
            ax.annotate("not estimable", (0, row), va="center", color=style.GREY)
            continue
        below, above = entry["value"] - entry["low"], entry["high"] - entry["value"]
        bounds = [[max(below, 0)], [max(above, 0)]]  # near 1 a bound may round past the value
        ax.errorbar(entry["value"], row, xerr=bounds, fmt="s", color=colour, linewidth=1)
        text = interval(entry["value"], entry["low"], entry["high"], 2)
        ax.annotate(text, (entry["value"], row), (0, 5), textcoords="offset points",
                    ha="center", color=colour, fontsize=6.5)  # fmt: skip
    limit = claim["thresholds"]["spearman"]
    ax.axvline(limit, color=style.GREEN, linewidth=1, zorder=0)
    ax.annotate(
        f"declared threshold {limit:g} →", (limit, 1), (-2, 2), fontsize=6.5, ha="right",
        xycoords=("data", "axes fraction"), textcoords="offset points", color=style.GREEN,
    )  # fmt: skip
    ax.set_yticks(range(len(entries)), [f"{e['name'][9:]}\n(n = {e['n']})" for e in entries])
    ax.set_ylim(len(entries) - 0.5, -0.6)
    ax.set_xlim(min(-0.1, *(e["low"] or 0 for e in entries)) - 0.05, 1.02)
    ax.set_xlabel("Spearman correlation with people")


@mpl.rc_context(style.RC)
def balance(balance: pd.DataFrame) -> Figure:
    """Standardised mean differences of the arms' injections, as far as the design matches them.

    Parameters
    ----------
    balance
        Rows of `benchmark.pairing.balance`.
    """
    groups = list(balance.groupby(["source", "relevance"]).groups)
    rows = _love_rows(balance)
    tops = rows.drop_duplicates("label")["y"].to_numpy() - _ROW_PAD
    figure = style.new_figure(34 + 2.2 * (rows["y"].max() + _ROW_PAD))
    ax = figure.subplots()
    ax.axvspan(-_BAND, _BAND, color=style.PALE, linewidth=0, zorder=0)
    ax.axvline(0, color=style.GREY, linewidth=0.8, zorder=0)
    sources = sorted(balance["source"].unique())
    for source, relevance in groups:
        place = sources.index(source)
        colour, marker = style.FAMILY_COLOURS[place], style.FAMILY_MARKERS[place]
        face = colour if relevance == "irrelevant" else "white"
        own = rows[(rows["source"] == source) & (rows["relevance"] == relevance)]
        _love_marks(ax, own, colour, marker, face)
        ax.plot([], [], marker, color=colour, markerfacecolor=face, markersize=4.5,
                label=f"{source}, {relevance} (n = {own['n'].iloc[0]})")  # fmt: skip
    middles = rows.groupby("label", sort=False)["y"].mean()
    ax.set_yticks(middles, middles.index)
    ax.set_ylim(rows["y"].max() + _ROW_PAD, 0)
    ax.set_xlim(-_EDGE * 1.2, _EDGE * 1.2)
    for top in tops[1:]:
        ax.axhline(top, color=style.PALE, linewidth=0.6, zorder=0)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"standardised mean difference (band: ±{_BAND}; arrows: beyond ±{_EDGE})")
    figure.legend(loc="outside upper center", ncols=3, title="items by source and kind of stem")
    return figure


def _love_rows(balance: pd.DataFrame) -> pd.DataFrame:
    """What is matched, with its place from the top: a line a group, and room between labels.

    Only groups that have the covariate take a line, so that one which few have takes little room.
    """
    labels = pd.DataFrame(MATCHED, columns=["comparison", "covariate", "label"])
    rows = labels.merge(balance, how="inner", on=["comparison", "covariate"])
    label = rows["label"].ne(rows["label"].shift()).cumsum() - 1
    return rows.assign(y=np.arange(len(rows)) + _ROW_PAD * (2 * label + 1))


def _love_marks(ax: Axes, rows: pd.DataFrame, colour: str, marker: str, face: str) -> None:
    """One group's differences; those beyond the edge become arrows with their value."""
    inside = rows["smd"].abs() <= _EDGE
    ax.plot(rows.loc[inside, "smd"], rows.loc[inside, "y"], marker, color=colour,
            markerfacecolor=face, markersize=4.5)  # fmt: skip
    for y, value in rows.loc[~inside, ["y", "smd"]].dropna().to_numpy():
        side = np.sign(value)
        ax.plot(side * _EDGE, y, ">" if side > 0 else "<", color=colour,
                markerfacecolor=face, markersize=4.5)  # fmt: skip
        text = number(value, 2) if np.isfinite(value) else "constant arms differ"
        ax.annotate(text, (side * _EDGE, y), (side * 5, 0), textcoords="offset points",
                    ha="left" if side > 0 else "right", va="center", fontsize=6,
                    color=colour)  # fmt: skip
