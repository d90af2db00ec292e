import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPT = FOLDER / "study.py"
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def load():
    spec = importlib.util.spec_from_file_location("study_timings", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study = load()


def note(results, name, seconds, memory, cpu):
    """Write a timing as Snakemake does."""
    path = results / "timings" / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    row = f"{seconds}\t0:00:01\t{memory}\t9\t9\t9\t0\t0\t50\t{cpu}\n"
    path.write_text(HEADER + row, encoding="utf-8")


@pytest.fixture
def results(tmp_path):
    note(tmp_path, "train_organism/a", 30, 500, 28)
    note(tmp_path, "train_organism/b", 50, 600, 47)
    note(tmp_path, "score/vader/a", 15, 200, 10)
    note(tmp_path, "score/sst2/a", 4, 900, 12.5)
    note(tmp_path, "estimate", 1, "NA", "NA")
    return tmp_path


def test_jobs_are_summed_by_their_rule_longest_first(results):
    table = study.by_stage(study.read_timings(results))
    assert list(table.index) == ["train_organism", "score", "estimate"]
    assert list(table["jobs"]) == [2, 2, 1]
    assert list(table["seconds"]) == [80, 19, 1]
    assert list(table["mean"]) == [40, 9.5, 1]
    assert list(table["share"]) == [80, 19, 1]
    assert list(table["memory"].iloc[:2]) == [600, 900]
    assert list(table["cpu"].iloc[:2]) == [75, 22.5]
    assert table.loc["estimate", ["memory", "cpu"]].isna().all()


def test_the_page_holds_the_table_its_total_and_what_dominates(results, tmp_path, capsys):
    output = tmp_path / "out" / "study.md"
    study.main(["--results", str(results), "--output", str(output)])
    page = output.read_text(encoding="utf-8")
    assert capsys.readouterr().out == page
    lines = page.splitlines()
    assert lines[0].startswith("| stage | jobs | total [s] |")
    assert "| `train_organism` | 2 | 80.0 | 40.0 | 80.0 | 600 | 75.0 |" in lines
    assert "| `estimate` | 1 | 1.0 | 1.0 | 1.0 | – | – |" in lines
    assert "| all | 5 | 100.0 | 20.0 | 100.0 | 900 | 97.5 |" in lines
    assert lines[-1] == "`train_organism` takes 80 % of the seconds of all jobs, in 2 jobs."


def test_stages_that_only_together_take_half_are_named_together(tmp_path):
    for stage, seconds in {"a": 40, "b": 35, "c": 25}.items():
        note(tmp_path, stage, seconds, 1, 1)
    said = study.dominating(study.by_stage(study.read_timings(tmp_path)))
    assert said == "`a` and `b` together take 75 % of the seconds of all jobs, in 2 jobs."


def test_exactly_half_is_enough(tmp_path):
    for stage, seconds in {"a": 5, "b": 3, "c": 2}.items():
        note(tmp_path, stage, seconds, 1, 1)
    said = study.dominating(study.by_stage(study.read_timings(tmp_path)))
    assert said == "`a` takes 50 % of the seconds of all jobs, in 1 job."


def test_timings_of_another_study_below_are_left_out(results):
    note(results / "tiny", "estimate", 1000, 1, 1)
    assert study.by_stage(study.read_timings(results)).loc["estimate", "seconds"] == 1


def test_without_timings_one_line_says_how_to_make_them(tmp_path):
    with pytest.raises(SystemExit, match="no timings — run the study first") as error:
        study.main(["--results", str(tmp_path), "--output", str(tmp_path / "study.md")])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "study.md").exists()


@pytest.mark.parametrize("content", ["", "a\tb\n1\t2\n", HEADER, HEADER.replace("\t", ",") + "x\n"])
def test_a_file_that_is_no_timing_is_named(results, tmp_path, content):
    (results / "timings" / "broken.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"broken\.tsv: .* — delete it") as error:
        study.main(["--results", str(results), "--output", str(tmp_path / "study.md")])
    assert "\n" not in str(error.value)


def rows_of(table):
    """The cells of a Markdown table, a dictionary a row."""
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]


def test_generation_is_timed_beside_its_peers(tmp_path):
    page = tmp_path / "generation.md"
    command = [sys.executable, str(FOLDER / "generation.py"), "--quick", "--device", "cpu"]
    done = subprocess.run([*command, "--output", str(page)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert done.stdout == text
    header, everyone, floors = text.split("\n\n")
    harness = importlib.util.find_spec("lm_eval") is not None
    assert ("no lm_eval, so no HFLM" in header) != harness
    assert "threads: 1; torch" in header
    rows = {row["who"]: row for row in rows_of(everyone)}
    peers = ["HFLM", "HFLM, all rows"] if harness else []
    assert list(rows) == [*peers, "pipeline", "generate", "LocalModel"]
    for row in rows.values():
        assert row["model"] == "1M float32"
        rate = row["tokens per CPU-second"]
        assert int(rate) > 0
        assert row["range"] == f"{rate}–{rate}"  # of one round
        assert float(row["× generate"]) > 0
        assert 0 <= float(row["× floor"]) < 1
    assert rows["generate"]["× generate"] == "1.00"
    (floor,) = rows_of(floors)
    # 4 rows through the output matrix and one layer's: attention 4 × 16 × 16, network 3 × 16 × 32
    products = 2 * 4 * (16 * 32_000 + 4 * 16 * 16 + 3 * 16 * 32) / 1e9
    assert float(floor["products [GFLOP]"]) == pytest.approx(products, rel=1e-3)
    assert all(float(value) > 0 for name, value in floor.items() if name != "floor of")


def test_peers_are_pinned_and_no_part_of_the_study():
    named = (FOLDER / "requirements.txt").read_text(encoding="utf-8")
    pins = [line for line in named.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    environment = (FOLDER.parent / "environment.yml").read_text(encoding="utf-8").lower()
    for pin in pins:
        assert f"- {pin.split('==')[0].lower()}==" not in environment
