"""How web text became items: the funnel as a figure and a table, and items for the reader's eye."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from expression_leakage.render import style
from expression_leakage.render.formats import MISSING, number
from expression_leakage.render.stages import CLASSES, Stage, class_of, percent, said, stages
from expression_leakage.tables import content_hash

# Geometry of the figure [mm]: it is laid out by hand, so that no text meets another.
_LEFT, _LEFT_WIDTH, _RIGHT, _RIGHT_WIDTH = 24, 50, 79, 77
_BAR, _LINE, _PAD, _ABOVE, _BELOW = 3.2, 2.7, 1.5, 6, 11
_LABEL_SIZE, _NOTE_SIZE = 6.3, 5.8  # [pt]
_GOES_ON = "#C9DDE9"
_RARE = 0.005  # reasons below this share are drawn as one


def _width(text: str, size: float) -> float:
    """Width of a text [mm], with a little to spare: pixels widen small letters."""
    path = TextPath((0, 0), text, size=size, prop=FontProperties())
    return 1.08 * path.get_extents().width * 25.4 / 72


@dataclass(frozen=True)
class _Fate:
    """What became of a stage: segments (left, width [% of the stage], text) and lines below."""

    segments: list[tuple[float, float, str]]
    lines: list[str]


def _fate(stage: Stage) -> _Fate:
    """What is written into a segment where it fits, and below the bar where it does not."""
    if not stage.dropped:
        return _Fate([], [])
    rare = {k: n for k, n in stage.dropped.items() if n < _RARE * stage.total}
    if len(rare) < 2:
        rare = {}
    parts = [("goes on", stage.total - sum(stage.dropped.values()))]
    parts += [(said(key), n) for key, n in stage.dropped.items() if key not in rare]
    parts += [(f"{len(rare)} others", sum(rare.values()))] if rare else []
    segments, small, left = [], [], 0.0
    for label, n in parts:
        width, share = 100 * n / stage.total, f"{percent(n, stage.total)} %"
        choices = [f"{label} {share}", *([share] if label == "goes on" else [])]
        room = width / 100 * _RIGHT_WIDTH - 1
        text = next((t for t in choices if _width(t, _NOTE_SIZE) < room), "")
        segments.append((left, width, text))
        small += [] if text else choices[:1]
        left += width
    return _Fate(segments, _lines(small))


def _lines(texts: list[str]) -> list[str]:
    """Texts in a row, as many to a line as it holds."""
    lines: list[str] = []
    for text in texts:
        longer = f"{lines[-1]} · {text}" if lines else text
        if lines and _width(longer, _NOTE_SIZE) < _RIGHT_WIDTH:
            lines[-1] = longer
        else:
            lines.append(text)
    return lines


@mpl.rc_context(style.RC)
def funnel(funnel: Mapping[str, float]) -> Figure:
    """How many came to each stage, and what became of them.

    Parameters
    ----------
    funnel
        Counts by key.
    """
    listed = stages(funnel)
    if not listed:
        return style.message("No web text", "Name sources under `benchmark.webtext`.")
    fates = [_fate(stage) for stage in listed]
    heights = [
        2 * _PAD + max(_BAR * len(stage.counts), _BAR + _LINE * len(fate.lines))
        for stage, fate in zip(listed, fates, strict=True)
    ]
    tops = np.cumsum([0, *heights])
    height = tops[-1] + _ABOVE + _BELOW
    figure = style.new_figure(height)
    figure.set_layout_engine("none")
    axes = []
    for left, width in ((_LEFT, _LEFT_WIDTH), (_RIGHT, _RIGHT_WIDTH)):
        ax = figure.add_axes(
            (left / style.WIDTH_MM, _BELOW / height, width / style.WIDTH_MM, tops[-1] / height)
        )
        ax.set_ylim(tops[-1], 0)
        ax.hlines(tops[1:-1], 0, 1, style.PALE, linewidth=0.6, transform=ax.get_yaxis_transform())
        axes.append(ax)
    _draw_counts(axes[0], listed, tops)
    _draw_fates(axes[1], fates, tops)
    return figure


def _draw_counts(ax: Axes, listed: list[Stage], tops: np.ndarray) -> None:
    """Bars on a log axis that leaves room for what is written behind each."""
    shortest, reach = 0.7, 1.0
    for stage, top in zip(listed, tops[:-1], strict=True):
        for k, (key, n) in enumerate(stage.counts.items()):
            words, colour = CLASSES.get(class_of(key), ("", style.INK))
            y = top + _PAD + _BAR * (k + 0.5)
            label = f"{n:,} {words.split(' ')[0]}".strip()
            ax.barh(y, n, height=0.82 * _BAR, color=colour, linewidth=0)
            ax.annotate(label, (max(n, shortest), y), (2, 0), textcoords="offset points",
                        va="center_baseline", fontsize=_LABEL_SIZE, color=colour)  # fmt: skip
            room = _LEFT_WIDTH - _width(label, _LABEL_SIZE) - 2
            reach = max(reach, np.log(max(n, 1) / shortest) * _LEFT_WIDTH / room)
    ax.set_xscale("log")
    ax.set_xlim(shortest, shortest * np.exp(reach))
    middles = [
        top + _PAD + _BAR * len(stage.counts) / 2
        for stage, top in zip(listed, tops[:-1], strict=True)
    ]
    ax.set_yticks(middles, [stage.name for stage in listed])
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", which="minor", length=0)
    ax.set_title("how many")
    ax.set_xlabel("count, on a log scale")


def _draw_fates(ax: Axes, fates: list[_Fate], tops: np.ndarray) -> None:
    """A bar a stage: what goes on, and what is dropped and why."""
    for fate, top in zip(fates, tops[:-1], strict=True):
        y = top + _PAD + _BAR / 2
        for k, (left, width, text) in enumerate(fate.segments):
            ax.barh(y, width, left=left, height=_BAR, color=style.PALE if k else _GOES_ON,
                    edgecolor="white", linewidth=0.6)  # fmt: skip
            ax.text(left + width / 2, y, text, ha="center", va="center_baseline",
                    fontsize=_NOTE_SIZE)  # fmt: skip
        for k, line in enumerate(fate.lines):
            ax.text(0, top + _PAD + _BAR + _LINE * (k + 0.5), line, va="center_baseline",
                    fontsize=_NOTE_SIZE, color=style.GREY)  # fmt: skip
    ax.set_xlim(0, 100)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_title("what became of them")
    ax.set_xlabel("share of the stage [%]; blue goes on, grey is dropped")


def funnel_table(funnel: Mapping[str, float]) -> pd.DataFrame:
    """Every counter of the funnel, stage by stage.

    Parameters
    ----------
    funnel
        Counts by key.

    Returns
    -------
    DataFrame
        Text. Columns Stage, Counted, Count and Share [%]: of the stage before for a stage, of
        its stage for a class and for what was dropped there. Counters of no stage come last.
    """
    rows, before, told = [], 0, set()
    for stage in stages(funnel):
        share = percent(stage.total, before) if stage.goes_on and before else MISSING
        rows.append((stage.name, "all", stage.total, share))
        by_class = stage.counts if len(stage.counts) > 1 else {}
        rows += [("", said(k), n, percent(n, stage.total)) for k, n in by_class.items()]
        rows += [
            ("", f"dropped: {said(k)}", n, percent(n, stage.total))
            for k, n in stage.dropped.items()
        ]
        before = stage.total
        told |= {*stage.counts, *stage.dropped}
    rest = sorted(key for key, count in funnel.items() if count and key not in told)
    rows += [
        ("" if k else "besides", said(key), funnel[key], MISSING) for k, key in enumerate(rest)
    ]
    table = pd.DataFrame(rows, columns=["Stage", "Counted", "Count", "Share [%]"], dtype=object)
    return table.assign(Count=[_count(n) for n in table["Count"]]).astype("str")


def _count(n: float) -> str:
    return f"{n:,}" if isinstance(n, int) else number(n, 2)


def sample_table(items: pd.DataFrame, sentences: pd.DataFrame, n: int = 20) -> pd.DataFrame:
    """Items of web text for the reader's own eye: those whose ids have the lowest hashes.

    Parameters
    ----------
    items
        ITEMS rows; those of other sources are passed over.
    sentences
        SENTENCES rows, those of the items among them.
    n
        Items to show.

    Returns
    -------
    DataFrame
        Text as it was found, to be escaped by whoever writes it. A row an item: its stem, how the
        sentence went on where it was found, the four injections, and the hosts of all five.
        Without items of web text one row says so.
    """
    arms = ["control", "placebo", "negative", "positive"]
    own = items[items["source"] == "webtext"]
    if own.empty:
        columns = ["Item", "Stem", "As it went on", *map(str.capitalize, arms), "Hosts"]
        said = {"Item": "none", "Stem": "No item was made of web text."}
        return pd.DataFrame([said], columns=columns, dtype="str").fillna(MISSING)
    drawn = sorted(own["item_id"].unique(), key=content_hash)[:n]
    wide = own[own["item_id"].isin(drawn)].pivot(
        index=["item_id", "stem"], columns="condition", values="injection"
    )
    wide = wide.reset_index().set_index("item_id").loc[drawn].reset_index()
    stems, injections = (
        sentences[sentences["kind"] == kind].set_index("text") for kind in ("stem", "injection")
    )
    hosts = pd.concat(
        [wide["stem"].map(stems["host"]), *(wide[arm].map(injections["host"]) for arm in arms)],
        axis=1,
    )
    shown = {
        "Item": wide["item_id"],
        "Stem": wide["stem"],
        "As it went on": wide["stem"].map(stems["rest"]),
        **{arm.capitalize(): wide[arm] for arm in arms},
        "Hosts": [", ".join(dict.fromkeys(row)) for row in hosts.itertuples(index=False)],
    }
    return pd.DataFrame(shown)
