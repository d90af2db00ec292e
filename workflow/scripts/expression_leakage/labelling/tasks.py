"""Tasks for people: continuations to rate and pairs to compare, stripped of their condition.

A task shows the stem and one continuation, or two. It does not show the injection, the condition,
the mitigation or the model. Its id and its place in the order say nothing about them, nor about
whether it is a study task, a repeat or a check.

What stays when a study grows, so that labels already given are kept:

- An id depends on the seed, on which continuation it is and on the text shown. A larger draw, a
  further model or a further mitigation leaves the ids of a smaller export as they are. A text that
  has changed has another id: its old labels are of an unknown task.
- The order in which a pair is shown follows from its id.
- A cell's repeats are among those of a larger draw, and keep their ids.
- The checks are all there whatever is drawn; the id of a check follows from its texts.

The place in the order does not stay, and no label depends on it.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.tables import TASK_KEY, content_hash

RATED_CONDITIONS = ("control", "negative", "positive")
RATINGS = ("-3", "-2", "-1", "0", "1", "2", "3")
EXPLAINED = ("yes", "no", "can't tell")
PREFERENCES = ("first", "second", "neither")
PREFERRED = {"test": 1.0, "control": -1.0, "neither": 0.0}  # what a canonical preference is worth
QUESTIONS = {"rating": ("sentiment", "explained"), "pair": ("preference",)}
SHOWN = {"rating": ("task_id", "stem", "text"), "pair": ("task_id", "stem", "first", "second")}
SHEETS = {kind: (*SHOWN[kind], *QUESTIONS[kind], "seconds", "annotator") for kind in SHOWN}

_CHECK_COLUMNS = ("kind", "stem", "text", "other", "expected")
_EXPECTED = {"rating": RATINGS, "pair": tuple(PREFERRED)}
_CONTROL = ("control_prompt_id", "control_sample", "control_text")
_IDENTITY = {
    "rating": ("model", "prompt_id", "sample", "stem", "text"),
    "pair": ("model", "prompt_id", "sample", "stem", "text", *_CONTROL),
}
_CELL = ["model", "mitigation"]


def read_checks(path: str | Path) -> pd.DataFrame:
    """Read and check the attention checks: texts whose tone is beyond doubt.

    Parameters
    ----------
    path
        CSV file (UTF-8) with columns kind, stem, text, other, expected; see
        resources/annotation/README.md.

    Returns
    -------
    DataFrame
        The file's rows, cells stripped.

    Raises
    ------
    InputError
        The file is missing, is not CSV in UTF-8 or has other columns; or a row has too many or
        too few cells, an unknown kind, a text that is missing or out of place, an expected label
        that is not on offer, or the texts of an earlier row. Names the first.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = tuple(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "correct the path") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8", "save it as CSV (UTF-8)") from error
    except csv.Error as error:
        raise InputError(path, f"not CSV: {error}", "check the quotes") from error
    if columns != _CHECK_COLUMNS:
        remedy = f"start the file with the line {','.join(_CHECK_COLUMNS)}"
        raise InputError(path, "has other columns than a table of checks", remedy)
    seen: dict[tuple, int] = {}
    for line, row in rows:
        if fault := _check_fault(row):
            raise InputError(f"{path}, row {line}", *fault)
        first = seen.setdefault((row["kind"], row["stem"], row["text"], row["other"]), line)
        if first != line:
            raise InputError(f"{path}, row {line}", f"repeats row {first}", "remove one of them")
    return pd.DataFrame([row for _, row in rows], columns=list(_CHECK_COLUMNS), dtype="str")


def _check_fault(row: dict) -> tuple[str, str] | None:
    """Strip a row's cells; what is wrong with it, and the remedy."""
    if None in row or None in row.values():
        return "too many or too few cells", "put a text that holds a comma in double quotes"
    row.update({column: cell.strip() for column, cell in row.items()})
    if row["kind"] not in _EXPECTED:
        return f"unknown kind {row['kind']!r}", f"use one of {', '.join(_EXPECTED)}"
    if not row["stem"] or not row["text"]:
        return "a check needs a stem and a text", "fill them in"
    if (row["kind"] == "pair") != bool(row["other"]):
        return "a pair has another text in 'other', a rating has none", "fill in or empty 'other'"
    on_offer = _EXPECTED[row["kind"]]
    if unknown := [label for label in row["expected"].split("|") if label not in on_offer]:
        remedy = f"use {', '.join(on_offer)}, joined by |"
        return f"expected label {unknown[0]!r} is not on offer", remedy
    return None


def draw_ratings(
    generations: pd.DataFrame,
    n_items: int,
    seed: int,
    mitigations: Sequence[str] = ("none",),
) -> pd.DataFrame:
    """Draw irrelevant items for rating: sample 0 of control, negative and positive of each.

    Items are taken in the order of a hash of seed and item, which depends neither on the order
    of rows nor on the model: models that continued the same items get the same ones drawn, and
    a larger draw holds the smaller one.

    Parameters
    ----------
    generations
        Rows of the GENERATIONS table.
    n_items
        Items for each model and mitigation; all of them where there are fewer.
    seed
        Seed of the draw.
    mitigations
        Mitigations to draw from.

    Returns
    -------
    DataFrame
        Rows of `generations`, three for each drawn item of each model and mitigation.

    Raises
    ------
    InputError
        No item has a sample 0 in all three conditions.
    """
    cell_item = [*_CELL, "item_id"]
    pool = generations[
        (generations["relevance"] == "irrelevant")
        & generations["condition"].isin(RATED_CONDITIONS)
        & generations["mitigation"].isin(mitigations)
        & (generations["sample"] == 0)
    ]
    n_conditions = pool.groupby(cell_item)["condition"].nunique()
    complete = n_conditions.index[n_conditions == len(RATED_CONDITIONS)].to_frame(index=False)
    if complete.empty:
        raise InputError(
            "generations",
            f"no irrelevant item has a sample 0 in {', '.join(RATED_CONDITIONS)} "
            f"under mitigation {', '.join(mitigations)}",
            "check the mitigations to be labelled and the conditions of the benchmark",
        )
    complete["order"] = _item_order(complete["item_id"], seed)
    drawn = complete.sort_values("order").groupby(_CELL).head(n_items)
    rows = pool.merge(drawn[cell_item], on=cell_item)
    return rows.sort_values(["model", "prompt_id"], ignore_index=True)


def draw_pairs(
    generations: pd.DataFrame,
    n_items: int,
    seed: int,
    mitigations: Sequence[str] = ("none",),
) -> pd.DataFrame:
    """Draw test continuations with the control continuation of the same item beside each.

    The items are the first `n_items` of those that `draw_ratings` takes, in both polarities. A
    pair of equal texts is drawn like any other: dropping ties would overstate what is left.

    Parameters
    ----------
    generations, n_items, seed, mitigations
        See `draw_ratings`. With no items there are no pairs.

    Returns
    -------
    DataFrame
        Rows of `generations` of condition negative and positive, two for each drawn item of each
        model and mitigation, with columns control_prompt_id, control_sample and control_text.

    Raises
    ------
    InputError
        No item has a sample 0 in all three conditions.
    """
    drawn = draw_ratings(generations, n_items, seed, mitigations)
    is_control = drawn["condition"] == "control"
    cell_item = [*_CELL, "item_id"]
    beside = drawn.loc[is_control, [*cell_item, "prompt_id", "sample", "text"]]
    beside = beside.rename(columns=lambda name: name if name in cell_item else f"control_{name}")
    return drawn[~is_control].merge(beside, on=cell_item, validate="many_to_one")


def blind(
    ratings: pd.DataFrame,
    pairs: pd.DataFrame,
    checks: pd.DataFrame,
    seed: int,
    repeats: float = 0.1,
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Split what was drawn into blind tasks and the key that tells what they are.

    Study tasks stand in random order. A share of each cell's tasks comes a second time, half of
    the list after the first; a repeated pair then shows the other continuation first. The checks
    are spread over all of the list. A kind without study tasks has no checks either.

    Parameters
    ----------
    ratings
        See `draw_ratings`.
    pairs
        See `draw_pairs`; may be empty.
    checks
        See `read_checks`.
    seed
        Seed of ids and order, and of the draw.
    repeats
        Share of each cell's study tasks to be shown again, in (0, 1]; rounded up in each cell.

    Returns
    -------
    tasks : dict of str to DataFrame
        For each kind its tasks as shown (columns `SHOWN`), in the order to be shown.
    key : DataFrame
        Rows of the TASK_KEY table. It must not reach the annotators.
    """
    salt = content_hash("tasks", str(seed))
    tasks, keys = {}, []
    for kind, drawn in (("rating", ratings), ("pair", pairs)):
        study = _study(drawn, kind, salt)
        again = _again(study, seed, repeats, kind, salt)
        watch = _checks(checks[checks["kind"] == kind].iloc[: None if len(drawn) else 0], salt)
        full = _arranged(pd.concat([study, again, watch], ignore_index=True), kind, salt)
        first = full["text"].mask(full["flipped"], full["control_text"])
        second = full["control_text"].mask(full["flipped"], full["text"])
        tasks[kind] = full.assign(first=first, second=second)[list(SHOWN[kind])]
        keys.append(full.assign(kind=kind)[TASK_KEY.columns])
    return tasks, pd.concat(keys, ignore_index=True)


def _item_order(items: pd.Series, seed: int) -> pd.Series:
    order = {item: content_hash(str(seed), item) for item in items.unique()}
    return items.map(order).astype("str")


def _hashes(salt: str, what: str, *columns: pd.Series) -> pd.Series:
    parts = zip(*(column.astype("str") for column in columns), strict=True)
    hashes = [content_hash(salt, what, *part) for part in parts]
    return pd.Series(hashes, index=columns[0].index, dtype="str")


def _ids(salt: str, what: str, *columns: pd.Series) -> pd.Series:
    # The letter keeps a spreadsheet from reading 12e456789012 or 001234567890 as a number.
    return "t" + _hashes(salt, what, *columns)


def _flips(ids: pd.Series, salt: str) -> pd.Series:
    """Half of the ids, drawn by nothing but the id: labels are read back through this."""
    return _hashes(salt, "flip", ids).str[-1].isin(list("02468ace"))


def _study(drawn: pd.DataFrame, kind: str, salt: str) -> pd.DataFrame:
    """Study tasks: what the key says of them, and the texts; a rating's control is null."""
    ids = _ids(salt, kind, *(drawn[column] for column in _IDENTITY[kind]))
    flipped = _flips(ids, salt) if kind == "pair" else False
    study = drawn.assign(task_id=ids, unit=ids, role="study", flipped=flipped, expected=None)
    columns = [name for name in TASK_KEY.columns if name not in {"kind", "position"}]
    study = study.reindex(columns=[*columns, "stem", "text", "control_text"])
    return study.astype({"flipped": "bool", "sample": "Int64", "control_sample": "Int64"})


def _again(study: pd.DataFrame, seed: int, share: float, kind: str, salt: str) -> pd.DataFrame:
    """Tasks shown a second time: one in every 1/share of a cell, in the order of the draw.

    That order, by item, is the same in a larger draw up to where the smaller one ends.
    """
    line = study.assign(order=_item_order(study["item_id"], seed)).sort_values(["order", "unit"])
    place = line.groupby(_CELL).cumcount().to_numpy()
    # Rounded, because as floats 150 times 0.14 is a little more than 21.
    due = [np.ceil(np.round(n * share, 9)) for n in (place, place + 1)]
    again = line.loc[due[1] > due[0], study.columns]
    flipped = ~again["flipped"] if kind == "pair" else again["flipped"]
    return again.assign(task_id=_ids(salt, "repeat", again["unit"]), role="repeat", flipped=flipped)


def _checks(checks: pd.DataFrame, salt: str) -> pd.DataFrame:
    texts = (checks[column] for column in ("kind", "stem", "text", "other"))
    ids = _ids(salt, "check", *texts)
    flipped = _flips(ids, salt) & (checks["kind"] == "pair")
    named = checks.assign(task_id=ids, unit=ids, role="check", flipped=flipped)
    return named.drop(columns="kind").rename(columns={"other": "control_text"})


def _arranged(tasks: pd.DataFrame, kind: str, salt: str) -> pd.DataFrame:
    """Tasks in the order to be shown, with their position.

    Of n tasks, those to be repeated stand in the first ⌊n / 2⌋ places, each repeat exactly
    ⌈n / 2⌉ places after. Order is by a hash of the id and not by the id itself: checks and
    repeats would stand out among sorted ids.
    """
    rng = np.random.default_rng(int(content_hash(salt, "places", kind), 16))
    tasks = tasks.assign(order=_hashes(salt, "order", tasks["task_id"])).sort_values("order")
    n, half = len(tasks), len(tasks) // 2
    is_repeat, is_check = tasks["role"] == "repeat", tasks["role"] == "check"
    is_original = (tasks["role"] == "study") & tasks["unit"].isin(tasks.loc[is_repeat, "unit"])
    early = _spread(is_repeat.sum(), half, rng)
    free = np.setdiff1d(np.arange(n), np.r_[early, early + n - half])
    watched = free[_spread(is_check.sum(), len(free), rng)]
    position = pd.Series(0, index=tasks.index)
    position[is_original] = early
    repeat_at = pd.Series(early + n - half, index=tasks.loc[is_original, "unit"])
    position[is_repeat] = repeat_at.loc[tasks.loc[is_repeat, "unit"]].to_numpy()
    position[is_check] = watched
    position[~(is_original | is_repeat | is_check)] = np.setdiff1d(free, watched)
    return tasks.assign(position=position).sort_values("position", ignore_index=True)


def _spread(n: int, places: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of n places, one drawn from each of n stretches of about equal length."""
    edges = np.arange(n + 1) * places // max(n, 1)
    return rng.integers(edges[:-1], edges[1:])
