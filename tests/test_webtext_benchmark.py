"""The benchmark of the web-text scheme, on the example that ships."""

import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPT = FOLDER / "webtext.py"
PEERS = ["datatrove", "datatrove, quick parts", "datatrove, our sentences"]


def load():
    spec = spec_from_file_location("webtext_benchmark", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_table(text):
    """Cells of a Markdown table, a list a row, below its header."""
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    return lines[0], lines[2:]


def test_everyone_is_timed_and_keeps_about_the_same(tmp_path):
    page = tmp_path / "webtext.md"
    command = [sys.executable, str(SCRIPT), "--quick", "--output", str(page)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert done.stdout == text
    header, speeds, funnels = text.split("\n\n")
    peers = PEERS if find_spec("datatrove") else []
    assert ("no datatrove, so no peers" in header) != bool(peers)
    assert f"FastWARC {version('FastWARC')}" in header

    names, rows = read_table(speeds)
    twice = "ours, default rules"
    assert [row[0] for row in rows] == ["ours", *peers, twice, twice]
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        assert float(cells["MB/s"]) > 0
        assert (cells["× the time of ours"] == "–") == (row[0] not in peers)
        assert 20 < float(cells["peak memory [MB]"]) < 2000
    assert float(rows[-1][1]) >= 0.2  # the larger file [MB]

    names, rows = read_table(funnels)
    assert names[1:] == ["ours", *peers, twice]
    left = {row[0]: [int(cell.replace(",", "")) for cell in row[1:]] for row in rows}
    with load().EXAMPLE.open("rb") as stream:
        pages = sum(record.rec_type == "conversion" for record in ArchiveIterator(stream))
    assert left["pages"] == [pages] * len(names[1:])
    order = ["pages", "pages kept", "sentences", "sentences kept", "neutral by the gate"]
    for more, fewer in (order[0:2], order[2:4], order[3:5]):
        assert all(0 < f <= m for f, m in zip(left[fewer], left[more], strict=True))
    for stage in (*order, "positive", "negative"):
        assert min(left[stage]) > 0.9 * max(left[stage])  # the same rules on the same pages


def test_the_larger_file_is_a_sound_wet_file_whose_sentences_all_differ(tmp_path):
    page, path = b"A cat sat.\nIt was 3.5 kg. A dog ran. No end", tmp_path / "larger.warc.wet.gz"
    size = load().enlarge([("http://a.example/", page)], path, 11 * len(page))
    found = []
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, check_digests="raise"):
            assert record.rec_type == "conversion"
            found.append(record.content_stream().read())
    assert sum(map(len, found)) == size >= 11 * len(page)
    assert found[0] == b"A cat sat zb.\nIt was 3.5 kg zb. A dog ran zb. No end"
    sentences = [s for text in found for s in re.split(rb"(?<=[.])\s", text)[:-1]]
    assert len(sentences) == len(set(sentences)) == 3 * len(found)


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        load().main([str(tmp_path / "none.warc.wet.gz")])
    assert "none.warc.wet.gz: no such file; tests/crawl.py makes one" in capsys.readouterr().err


def test_the_peer_is_pinned_and_changes_no_pin_of_the_study():
    named = (FOLDER / "webtext_requirements.txt").read_text(encoding="utf-8")
    pins = [line for line in named.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    root = FOLDER.parent
    study = (root / "environment.yml").read_text(encoding="utf-8").lower()
    tests = (root / "tests" / "requirements.txt").read_text(encoding="utf-8").lower()
    for pin in map(str.lower, pins):
        name = pin.split("==")[0]
        assert f"- {name}==" not in study
        assert f"\n{name}==" not in tests or f"\n{pin} " in tests
