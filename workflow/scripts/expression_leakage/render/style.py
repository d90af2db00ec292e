"""One look for every figure: colours, type and sizes, and files whose bytes never change."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart under the common forms of colour blindness.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, INK, GREY, PALE = "#E69F00", "#56B4E9", "#222222", "#767676", "#E6E6E6"
POLARITY_COLOURS = {"negative": BLUE, "positive": VERMILION, "both": INK}
POLARITY_MARKERS = {"negative": "o", "positive": "D", "both": "s"}
FAMILY_COLOURS = (INK, GREEN, PURPLE, ORANGE, SKY, BLUE, VERMILION)
FAMILY_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CONDITION_COLOURS = {"control": GREY, "negative": BLUE, "positive": VERMILION}

WIDTH_MM = 160  # the text of a one-column page
ORGANISM_NOTE = "organism = small model trained by this workflow"

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "savefig.dpi": 180,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.hashsalt": "expression-leakage",
}
# Neither the hour nor the version of a library may change a figure's bytes.
_NO_METADATA = {
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def new_figure(height_mm: float) -> Figure:
    """An empty figure as wide as the text, with room kept for labels."""
    return Figure(figsize=(WIDTH_MM / 25.4, height_mm / 25.4), layout="constrained")


def save_figure(figure: Figure, stem: str | Path) -> list[Path]:
    """Write ``<stem>.pdf``, ``.svg`` and ``.png``, each aside first, then renamed.

    Returns
    -------
    list of Path
        The three files. Equal figures give equal bytes.
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, metadata in _NO_METADATA.items():
        path = stem.with_name(f"{stem.name}.{kind}")
        part = path.with_name(path.name + ".part")
        with mpl.rc_context(RC):
            figure.savefig(part, format=kind, metadata=metadata)
        part.replace(path)
        written.append(path)
    return written


def message(title: str, text: str) -> Figure:
    """A figure that says why there is nothing to draw, and what to do about it."""
    figure = new_figure(42)
    figure.text(0.5, 0.66, title, ha="center", va="center", fontsize=10, fontweight="bold")
    figure.text(0.5, 0.32, text, ha="center", va="center", fontsize=8, color=GREY)
    return figure
