"""The preflight's findings for a terminal."""

from collections.abc import Callable

import pandas as pd

from expression_leakage.models.sizing import ATTAINED, GPU

_LONGEST_NAME = 26
_NAMES = ("model", "backend", "revision")


def _compact(count: float) -> str:
    """A count in at most six characters."""
    for unit in ("", "k", "M", "G"):
        if count < 999.5:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.0f}T"


_COLUMNS = {  # heading: column and how a value is written
    "model": ("model", str),
    "backend": ("backend", str),
    "commit": ("revision", "{:.7}".format),
    "prompts": ("n_prompts", _compact),
    "tok in": ("prompt_tokens", _compact),
    "tok out ≤": ("new_tokens_at_most", _compact),
    "mem GB": ("memory_gb", "{:.1f}".format),
    "GPU h": ("gpu_hours", "{:.2f}".format),
    "get GB": ("download_gb", "{:.2f}".format),
    "cost ≤": ("cost", "{:.2f}".format),
}


def as_text(frame: pd.DataFrame) -> str:
    """The table of all models, then problems, warnings and totals.

    Parameters
    ----------
    frame
        As `preflight.preflight` gives it.

    Returns
    -------
    str
        Its table, under 120 columns wide, has one line a model; a problem or a warning is a line.
    """
    state = frame["problem"].notna().map({True: "problem", False: "ok"})
    table = [[*_COLUMNS, "state"]]
    for (_, row), word in zip(frame.iterrows(), state, strict=True):
        table.append([*(_cell(row[name], write) for name, write in _COLUMNS.values()), word])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [_line(row, widths) for row in table]
    lines += [f"problem: {line}" for line in frame["problem"].dropna()]
    lines += [
        f"warning: {line}" for cell in frame["warnings"] if cell for line in cell.split(" | ")
    ]
    return "\n".join([*lines, *_totals(frame)]) + "\n"


def _cell(value: object, write: Callable[..., str]) -> str:
    if pd.isna(value):
        return "–"
    text = write(value)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def _line(row: list[str], widths: list[int]) -> str:
    """Names to the left, numbers to the right."""
    cells = zip(row, widths, range(len(row)), strict=True)
    aligned = (c.rjust(w) if 3 <= i < len(row) - 1 else c.ljust(w) for c, w, i in cells)
    return "  ".join(aligned).rstrip()


def _totals(frame: pd.DataFrame) -> list[str]:
    bad = int(frame["problem"].notna().sum())
    total = frame[[name for name, _ in _COLUMNS.values() if name not in _NAMES]].sum()
    return [
        f"total: {len(frame)} models, {bad} with a problem; {total['prompt_tokens']:,.0f} tokens "
        f"to read, at most {total['new_tokens_at_most']:,.0f} new ones;",
        f"  {total['gpu_hours']:.2f} GPU-hours if a GPU ({GPU}) attains {ATTAINED:.0%} of its "
        f"datasheet; {total['download_gb']:.2f} GB to download; cost at most {total['cost']:.2f}",
    ]
