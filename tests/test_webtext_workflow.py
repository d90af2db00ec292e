"""Items from web text, run as a user would: crawl files in, one job a shard, items out."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from loopback_web import Web, serving
from workspace import copy_checkout, snakemake

from expression_leakage.benchmark.webtext.release import rebuild
from expression_leakage.benchmark.webtext.sources import file_name, shard_of
from expression_leakage.tables import ITEMS, SENTENCES, read_table

FILES = 8
GLOB = "crawl/part-*.warc.wet"
QUERY = "key=s3cret"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with the example's records in eight files and one kept back."""
    folder = copy_checkout(tmp_path_factory.mktemp("checkout"))
    raw = (folder / "resources/webtext/example.warc.wet").read_bytes()
    info, *pages = re.split(rb"(?=WARC/1\.0\r\n)", raw)[1:]
    (folder / "crawl").mkdir()
    for n in range(FILES + 1):
        (folder / path_of(n)).write_bytes(info + b"".join(pages[n :: FILES + 1]))
    (folder / path_of(FILES)).rename(folder / "kept_back")
    return folder


def path_of(n: int) -> str:
    return f"crawl/part-{n}.warc.wet"


def run(folder: Path, name: str, *arguments: str, target="{}/benchmark/webtext.parquet", **webtext):
    """Run up to a target with an overlay of that name; its results folder and what was said."""
    results = f"results/{name}"
    overlay = {"results": results, "benchmark": {"webtext": webtext}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    done = snakemake(folder, target.format(results), *arguments, "--configfile", f"{name}.yaml")
    return folder / results, done


def built(*arguments, **webtext) -> tuple[Path, str]:
    results, done = run(*arguments, **webtext)
    assert done.returncode == 0, done.stdout[-4000:]
    return results, done.stdout


def jobs(said: str) -> dict[str, int]:
    """How many jobs of each rule are listed."""
    found = re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE)
    return {rule: int(n) for rule, n in found if rule != "total"}


def shards_run(said: str) -> set[int]:
    """Shards whose candidates are made."""
    listed = re.findall(r"^rule webtext_candidates:\n(?:    .*\n)+", said, flags=re.MULTILINE)
    return {int(re.search(r"wildcards: shard=(\d+)", job)[1]) for job in listed}


@pytest.fixture(scope="module")
def eight(checkout):
    return built(checkout, "eight", sources=[GLOB], shards=8)[0]


def test_a_new_file_reruns_only_its_shard(checkout, eight):
    # A name that falls to a shard that has a file already.
    taken = {shard_of(path_of(n), 8) for n in range(FILES)}
    name = next(p for n in range(99) if shard_of(p := f"crawl/part-x{n}.warc.wet", 8) in taken)
    (checkout / name).write_bytes((checkout / "kept_back").read_bytes())
    _, said = built(checkout, "eight", "--dry-run", sources=[GLOB], shards=8)
    (checkout / name).unlink()
    assert shards_run(said) == {shard_of(name, 8)}
    assert jobs(said) == {"webtext_candidates": 1, "webtext_sentences": 1, "webtext_items": 1}


@pytest.mark.slow
def test_a_file_without_a_record_fails_its_shard_by_name(checkout):
    broken = "crawl/broken.warc.wet"
    (checkout / broken).write_text("<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>")
    results, done = run(checkout, "broken", sources=[path_of(0), broken], shards=8)
    assert done.returncode != 0
    shard = shard_of(broken, 8)
    assert shard != shard_of(path_of(0), 8)
    log = (results / f"logs/webtext_candidates/{shard}.log").read_text(encoding="utf-8")
    assert f"{broken}: begins with <?xml and is an error page — fetch the file again" in log
    assert f"error: {broken}: begins with <?xml" in done.stdout
    assert "Traceback" not in log
    made = {path.name for path in (results / "benchmark/webtext").glob("candidates-*")}
    assert made == {f"candidates-{shard_of(path_of(0), 8)}.parquet"}


@pytest.mark.parametrize("shards", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_any_number_of_shards_gives_the_same_bytes(checkout, eight, shards):
    results, _ = built(checkout, f"of{shards}", sources=[GLOB], shards=shards)
    assert len(list((results / "benchmark/webtext").glob("candidates-*"))) == shards
    for name in ("webtext.parquet", "webtext_sentences.parquet", "webtext_funnel.json"):
        assert (results / "benchmark" / name).read_bytes() == (
            eight / "benchmark" / name
        ).read_bytes()
    assert json.loads((results / "benchmark/webtext_funnel.json").read_text())["items"] > 20


@pytest.mark.slow
def test_a_release_gives_the_items_back(checkout):
    settings = {"sources": [GLOB], "shards": 8, "open_licences": []}
    results, _ = built(checkout, "eight", target="{}/benchmark/release", **settings)
    folder = results / "benchmark/release"
    assert read_table(results / "benchmark/webtext.parquet", ITEMS)["stem"].iloc[0] not in "".join(
        path.read_text(encoding="utf-8") for path in folder.glob("*[!t]")
    )
    paths = [checkout / path_of(n) for n in range(FILES)]
    items, _ = rebuild(folder, {path.name: path for path in paths})
    pd.testing.assert_frame_equal(items, read_table(results / "benchmark/webtext.parquet", ITEMS))


@pytest.mark.slow
def test_remote_files_and_listings_are_fetched_read_and_let_go(checkout, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    paths = [f"/crawl-data/{n}.warc.wet.gz" for n in range(FILES)]
    with serving(Web()) as web:
        for n, path in enumerate(paths):
            web.add(path, gzip.compress((checkout / path_of(n)).read_bytes()))
        web.files[paths[0]].failing = [503]
        listed = web.add("/wet.paths.gz", gzip.compress("\n".join(paths[1:]).encode()))
        listed += f"?{QUERY}"
        alone = f"{web.url}{paths[0]}?{QUERY}"

        def draw(files: int) -> tuple[Path, str, list[str], Counter]:
            """Results, what was said, what was drawn, and how often each address was asked for."""
            web.asked.clear()
            listing = {"listing": listed, "files": files, "base": web.url}
            results, said = built(
                checkout, "remote", sources=[alone, listing], shards=4, documents={"min_words": 20}
            )
            (drawn,) = json.loads((results / "benchmark/webtext/listed.json").read_text()).values()
            return results, said, drawn, Counter(web.url + path for path, _ in web.asked)

        results, said, drawn, asked = draw(2)
        assert asked == {alone: 2, listed: 1, **dict.fromkeys(drawn, 1)}
        assert len(set(drawn) & {web.url + path for path in paths[1:]}) == 2
        _, _, more, asked = draw(3)
        assert more[:2] == drawn
        again = {url for url in [alone, *more] if shard_of(url, 4) == shard_of(more[2], 4)}
        assert asked == dict.fromkeys([listed, *again], 1)
    assert not list(results.glob("benchmark/webtext/fetched/*"))
    found = read_table(results / "benchmark/webtext_sentences.parquet", SENTENCES)
    assert set(found["file"]) == {file_name(alone), *more}
    assert QUERY not in said
    kept = [path for path in results.rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert not [path for path in kept if QUERY.encode() in path.read_bytes()]
