"""The benchmark of reading label files, on few tasks."""

import csv
import json
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "labels.py"


def load():
    spec = spec_from_file_location("labels_benchmark", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(table):
    """The cells of a Markdown table, a dictionary a row, by its first column."""
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()]
    return {cells[0]: dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]}


def test_every_format_is_timed_and_gives_the_same_labels(tmp_path):
    page = tmp_path / "labels.md"
    command = [sys.executable, str(SCRIPT), "--quick", "--output", str(page)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert done.stdout == text
    header, table = text.split("\n\n")
    module = load()
    sdk = module.sdk_version(module.SDK)
    assert (f"label-studio-sdk {sdk}" if sdk else "no label-studio-sdk, so no conv") in header
    assert f"pandas {version('pandas')}" in header
    assert "100 annotations of 50 tasks by two annotators, every tenth skipped" in header
    rows = rows_of(table)
    ours, peers = [f"ours, {name}" for name in module.FORMATS], [*module.CONVERTER] if sdk else []
    assert list(rows) == [*ours, "json.load", *peers]
    for who, cells in rows.items():
        assert cells["labels"] == ("100" if who == "json.load" else "90")
        assert re.fullmatch(r"\d+\.\d\d–\d+\.\d\d", cells["range"])
        assert 5 < float(cells["peak memory [MB]"]) < 2000
    assert module.sdk_version(tmp_path / "none") == module.sdk_version(Path(sys.executable)) == ""
    assert rows["ours, Label Studio JSON"]["rejected"] == "10"
    assert rows["ours, Label Studio CSV"]["rejected"] == "0"


def test_the_files_of_one_study_hold_the_same_labels(tmp_path):
    module = load()
    module.make(tmp_path / "study", 20)
    tasks = json.loads((tmp_path / "study" / "labels.json").read_text(encoding="utf-8"))
    from_json = {
        (task["data"]["task_id"], one["completed_by"]): [
            result["value"]["choices"] for result in one["result"]
        ]
        for task in tasks
        for one in task["annotations"]
        if not one["was_cancelled"]
    }
    with (tmp_path / "study" / "labels.csv").open(encoding="utf-8", newline="") as file:
        from_csv = {
            (row["task_id"], int(row["annotator"])): [[row["sentiment"]], [row["explained"]]]
            for row in csv.DictReader(file)
        }
    assert from_csv == from_json
    assert len(from_csv) == 36
    assert len({tuple(map(tuple, answer)) for answer in from_csv.values()}) > 5


def test_contestants_that_disagree_end_the_run(monkeypatch, tmp_path):
    module = load()
    counts = iter(range(100))

    def alone(who, *_):
        return {"who": who, "seconds": 1, "cpu": 1, "memory": 9, "labels": next(counts)}

    monkeypatch.setattr(module, "alone", alone)
    with pytest.raises(SystemExit, match="they disagree on the labels"):
        module.main(["--quick", "--output", str(tmp_path / "labels.md"), "--sdk", "/none"])
