import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "inference.py"


def rows_of(table):
    """The cells of a Markdown table, a dictionary a row, by its first column."""
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()]
    return {cells[0]: dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]}


def test_everyone_estimates_the_same_and_is_timed(tmp_path):
    page = tmp_path / "inference.md"
    command = [sys.executable, str(SCRIPT), "--quick", "--output", str(page)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert done.stdout == text
    header, everyone, stages, memory = text.split("\n\n")
    assert "4 models × 40 items × 3 conditions × 2 mitigations × 3 samples: 2880 rows" in header
    rows = rows_of(everyone)
    own, by_group = "bootstrap, 500 draws", ["group-by, 3 draws", "group-by, 500 draws"]
    assert list(rows) == ["matrix", "GLM", "GEE", own, *by_group]
    for who in ("GLM", "GEE", by_group[0]):
        assert float(rows[who]["estimates"]) < 1e-8
        assert float(rows[who]["standard errors"]) < 1e-3
    # 500 draws leave a standard error uncertain by 3 %; this is the worst of many
    assert 0 < float(rows[own]["standard errors"]) < 0.2
    assert rows[by_group[1]]["range"] == "extrapolated"
    assert float(rows[by_group[1]]["seconds"]) > float(rows[by_group[0]]["seconds"])
    for who in list(rows)[:-1]:
        assert float(rows[who]["peak memory [MB]"]) > 10
    seconds = {stage: float(row["seconds"]) for stage, row in rows_of(stages).items()}
    total = seconds.pop("in all, without reading")
    assert total == pytest.approx(sum(seconds.values()) - seconds["reading"], abs=0.05)
    assert "CPU-seconds" in memory


def test_a_contestant_that_disagrees_ends_the_run():
    spec = importlib.util.spec_from_file_location("inference_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(50, 2))
    regression = (np.array([0.5, -0.5]), np.array([1.0, 2.0, 1.0, 1.0]))
    found = dict.fromkeys(["matrix", "GLM", "GEE"], regression)
    found |= {"bootstrap": (draws, draws.std(axis=0))}
    found |= {"group-by": (draws[:5], draws[:5].std(axis=0))}
    apart = module.differences(found)
    assert (apart.loc[["GLM", "GEE", "group-by"]] == 0).all(axis=None)
    estimates, errors = regression
    for wrong in [(estimates + 2e-8, errors), (estimates, errors * 1.002)]:
        with pytest.raises(AssertionError, match="GEE disagrees"):
            module.differences(found | {"GEE": wrong})
    with pytest.raises(AssertionError, match="group-by disagrees"):
        module.differences(found | {"group-by": (draws[1:6], draws[1:6].std(axis=0))})
