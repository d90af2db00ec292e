"""Files that figures and tables are made from, by the name that their functions ask for."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from expression_leakage.labelling.aggregation import aggregate
from expression_leakage.tables import (
    CALIBRATION,
    ESTIMATES,
    GOLD_AGREEMENT,
    ITEMS,
    LABELS,
    SCORES,
    SENTENCES,
    SPECIFICATIONS,
    THRESHOLDS,
    read_table,
)


def _read_json(path: str | Path) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


READERS: dict[str, Callable[..., object]] = {
    "balance": pd.read_csv,
    "claims": _read_json,
    "estimates": lambda path: read_table(path, ESTIMATES),
    "funnel": _read_json,
    "item_tables": lambda paths: read_table(paths, ITEMS),
    "gold": lambda path: read_table(path, GOLD_AGREEMENT),
    "ingest_report": _read_json,
    "people_report": _read_json,
    "people": lambda path: aggregate(read_table(path, LABELS)),
    "records": lambda paths: read_table(paths, CALIBRATION),
    "scores": lambda paths: read_table(paths, SCORES),
    "sentences": lambda path: read_table(path, SENTENCES),
    "specifications": lambda path: read_table(path, SPECIFICATIONS),
    "thresholds": lambda path: read_table(path, THRESHOLDS),
}


def read_sources(files: Mapping[str, object]) -> dict[str, object]:
    """Read every file whose name has a reader; the others (the library itself) are passed over.

    Parameters
    ----------
    files
        Path, or list of paths, by name: the named input of a job.
    """
    return {name: READERS[name](path) for name, path in files.items() if name in READERS}
