import hashlib
import json
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.benchmark.webtext.pair import pair
from expression_leakage.benchmark.webtext.read import read_pages
from expression_leakage.benchmark.webtext.release import rebuild, release
from expression_leakage.errors import InputError
from expression_leakage.tables import SENTENCES, check, content_hash

SETTINGS = {
    "sources": ["https://example.org/a.wet.gz?token=hunter2"],
    "read": {"max_bytes": 100_000},
    "open_licences": ["CC BY 4.0"],
    "per_stem": 1,
}
HOME = "/home/someone/crawl"
FUNNEL = {"pages": 12, "items": 20}
NOUNS = (
    "kettle", "lantern", "ferry", "ledger", "orchard", "pulley", "cabinet", "violin", "compass",
    "anvil", "bridge", "loom",
)  # fmt: skip
# White space that a stem's joined words do not keep, and characters of two bytes.
GAPS = [" ", "  ", "\u00a0", "\t"]


def sentence(page: int, k: int) -> str:
    """A sentence of ten words, like no other."""
    gap = GAPS[(page + k) % len(GAPS)]
    return f"The{gap}old {NOUNS[page]} of café {k} was{gap}kept near the harbour."


def wet(path, pages):
    """Write a WET file without digests: a changed page is as sound as before."""
    records = []
    for page in pages:
        lines = ["Home | Contact"] + [f"{sentence(page, k)} Übrigens." for k in range(12)]
        body = ("\r\n" if page % 2 else "\n").join(lines).encode()
        head = (
            "WARC/1.0\r\nWARC-Type: conversion\r\n"
            f"WARC-Target-URI: https://host{page % 3}.example.org/{page}\r\n"
            f"WARC-Record-ID: <urn:uuid:{page}>\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        records.append(head.encode() + body + b"\r\n\r\n")
    path.write_bytes(b"".join(records))
    return path


def sentences_in(path, name):
    """SENTENCES rows, class by turns; the licence of one host is known."""
    classes = [
        ("stem", "neutral"),
        *(("injection", p) for p in ("neutral", "positive", "negative")),
    ]
    rows = []
    for page in read_pages(path, name, Counter()):
        number = int(page.record_id.rpartition(":")[2])
        for k in range(12):
            whole = sentence(number, k)
            kind, polarity = classes[k % 4]
            words = whole.split()
            is_stem = kind == "stem"
            text = " ".join(words[:7]) if is_stem else whole
            rows.append(
                {
                    "kind": kind,
                    "polarity": polarity,
                    "hash": content_hash(text.lower()),
                    "text": text,
                    "rest": " ".join(words[7:]) if is_stem else "",
                    "valence": {"neutral": 0.0, "positive": 0.6, "negative": -0.6}[polarity],
                    "rest_valence": 0.0,
                    "n_words": len(text.split()),
                    "url": page.url,
                    "host": page.url.split("/")[2],
                    "file": page.file,
                    "snapshot": page.snapshot,
                    "record_id": page.record_id,
                    "offset": page.offset,
                    "start": page.text.index(whole),
                    "licence": "CC BY 4.0" if "host0" in page.url else "",
                }
            )
    return pd.DataFrame(rows)


def embed(texts):
    return np.tile(np.float32([1, 0]), (len(texts), 1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files by their released name, and the items and sentences that came of them."""
    folder = tmp_path_factory.mktemp("crawl")
    files = {
        "a.warc.wet": wet(folder / "a.wet", range(6)),
        "b.warc.wet": wet(folder / "b.wet", range(6, 12)),
    }
    found = pd.concat([sentences_in(path, f"{HOME}/{name}") for name, path in files.items()])
    found = found.sort_values(list(SENTENCES.key), ignore_index=True)
    check(found, SENTENCES, "sentences")
    items, _ = pair(found, embed, Tolerances())
    return files, items, found


@pytest.fixture
def released(made, tmp_path):
    _, items, found = made
    counts = release(items, found, FUNNEL, SETTINGS, tmp_path / "release")
    return tmp_path / "release", counts


def test_the_same_items_come_back(made, released):
    files, items, found = made
    folder, counts = released
    again, sentences = rebuild(folder, files)
    pd.testing.assert_frame_equal(again, items)
    stems = (found["kind"] == "stem") & found["text"].isin(items["stem"])
    injections = (found["kind"] == "injection") & found["text"].isin(items["injection"])
    used = found[stems | injections].reset_index(drop=True)
    used["file"] = used["file"].str.removeprefix(f"{HOME}/")
    pd.testing.assert_frame_equal(sentences, used[SENTENCES.columns], check_dtype=False)
    assert counts["sentences"] == len(used) > counts["sentences_with_text"] > 0
    assert counts["items"] == items["item_id"].nunique() > 20


def test_text_is_published_only_where_its_licence_allows_it(made, released):
    _, _, found = made
    folder, counts = released
    table = pq.read_table(folder / "sentences.parquet").to_pandas()
    is_open = table["licence"] == "CC BY 4.0"
    assert table.loc[is_open, ["text", "rest"]].notna().all(axis=None)
    assert table.loc[~is_open, ["text", "rest"]].isna().all(axis=None)
    assert is_open.sum() == counts["sentences_with_text"]
    withheld = found.loc[found["licence"] != "CC BY 4.0"]
    columns = [pq.read_table(path).to_pandas() for path in sorted(folder.glob("*.parquet"))]
    cells = {str(c) for frame in columns for name in frame for c in frame[name]}
    assert not cells & set(withheld["text"])
    said = (folder / "README.md").read_text("utf-8") + (folder / "settings.json").read_text("utf-8")
    assert not any(text in said for text in found["text"])


def test_the_readme_says_what_there_is_and_no_source_is_published(released):
    folder, counts = released
    said = (folder / "README.md").read_text("utf-8")
    assert f"- {counts['items']} items" in said
    assert "`sentences.parquet`, `offset`: offset of the record in its file [bytes]" in said
    settings = json.loads((folder / "settings.json").read_text("utf-8"))
    assert settings["funnel"] == FUNNEL
    assert settings["settings"]["per_stem"] == 1
    assert "sources" not in settings["settings"]
    assert not any(b"hunter2" in path.read_bytes() for path in folder.iterdir())


def renamed(found, names):
    """Sentences of files that are called something else."""
    return found.assign(file=found["file"].map(lambda name: names[name.rpartition("/")[2][0]]))


def test_no_folder_of_the_maker_is_published(made, released, tmp_path):
    _, items, found = made
    assert not any(b"someone" in path.read_bytes() for path in released[0].iterdir())
    rows = renamed(found, {"a": "/home/someone/ds#0123abcd", "b": "hub/name#4567cdef"})
    ids = rows["file"] + ":train:" + rows["offset"].astype(str)
    rows = rows.assign(record_id=ids, url=ids)
    release(items, rows, FUNNEL, SETTINGS, tmp_path / "datasets")
    assert not any(b"someone" in path.read_bytes() for path in (tmp_path / "datasets").iterdir())
    table = pq.read_table(tmp_path / "datasets/sentences.parquet").to_pandas()
    assert set(table["file"]) == {"ds#0123abcd", "hub/name#4567cdef"}
    told = table["file"] + ":train:" + table["offset"].astype(str)
    assert (table["record_id"] == told).all()
    assert (table["url"] == told).all()


def test_files_of_one_base_name_are_told_apart(made, tmp_path):
    files, items, found = made
    paths = {"a": "/home/one/x.wet", "b": "/home/two/x.wet"}
    release(items, renamed(found, paths), FUNNEL, SETTINGS, tmp_path)
    named = {k: f"x.wet#{hashlib.sha256(p.encode()).hexdigest()[:8]}" for k, p in paths.items()}
    given = {named[k]: files[f"{k}.warc.wet"] for k in paths}
    again, sentences = rebuild(tmp_path, given)
    pd.testing.assert_frame_equal(again, items)
    assert set(sentences["file"]) == set(given)


def test_an_address_is_published_as_it_stands(made, tmp_path):
    _, items, found = made
    names = {"a": "https://host/x.wet", "b": "https://host/x.wet#0123abcd"}
    release(items, renamed(found, names), FUNNEL, SETTINGS, tmp_path)
    table = pq.read_table(tmp_path / "sentences.parquet").to_pandas()
    assert set(table["file"]) == set(names.values())


def test_text_of_a_dataset_comes_back_only_if_it_is_published(made, tmp_path):
    _, items, found = made
    rows = renamed(found, {"a": "allenai/c4", "b": "allenai/c4"})
    rows = rows.assign(record_id=rows["file"] + ":train:" + rows["offset"].astype(str))
    release(items, rows, FUNNEL, SETTINGS, tmp_path / "some")
    with pytest.raises(InputError, match="datasets cannot be rebuilt from files: allenai/c4 — "):
        rebuild(tmp_path / "some", {})
    every = SETTINGS | {"open_licences": ["CC BY 4.0", ""]}
    release(items, rows, FUNNEL, every, tmp_path / "all")
    pd.testing.assert_frame_equal(rebuild(tmp_path / "all", {})[0], items)


def test_the_rule_of_the_readme_finds_a_sentence_without_the_library(made, released):
    files, _, _ = made
    table = pq.read_table(released[0] / "sentences.parquet").to_pandas()
    for row in table[table["kind"] == "stem"].itertuples():
        raw = files[row.file].read_bytes()[row.offset :]
        assert f"<{row.record_id}>".encode() in raw[:300]
        body = raw.partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")[0]
        page = body.decode().replace("\r\n", "\n")
        end, left = row.start, row.n_characters
        while left:
            left -= not page[end].isspace()
            end += 1
        joined = " ".join(page[row.start : end].split())
        assert hashlib.sha256(joined.encode()).hexdigest() == row.sha256
        assert joined.endswith(" kept near the harbour.")


def test_a_changed_page_is_named_sentence_by_sentence(made, released, tmp_path):
    files, items, found = made
    path = tmp_path / "changed.wet"
    raw = files["b.warc.wet"].read_bytes()
    victim = found[(found["record_id"] == "urn:uuid:7") & found["text"].isin(items["stem"])].iloc[0]
    old = sentence(7, int(victim["text"].split()[5])).encode()
    assert raw.count(old) == 1
    path.write_bytes(raw.replace(old, old.replace(b"harbour", b"airport")))
    with pytest.raises(InputError, match=r"1 of \d+ sentences are not where they were") as caught:
        rebuild(released[0], files | {"b.warc.wet": path})
    said = f"{victim['hash']} ({victim['url']}#{victim['start']} in b.warc.wet)"
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pages_that_are_gone_are_named(made, released, tmp_path):
    files, _, found = made
    shorter = wet(tmp_path / "short.wet", range(6, 11))
    with pytest.raises(InputError, match="sentences are not where they were") as caught:
        rebuild(released[0], files | {"b.warc.wet": shorter})
    gone = found[found["record_id"] == "urn:uuid:11"].iloc[0]
    assert gone["url"] in str(caught.value)
    assert found[found["record_id"] == "urn:uuid:10"].iloc[0]["url"] not in str(caught.value)


def test_a_file_that_is_not_given_is_named_unless_its_text_is_published(made, tmp_path):
    files, items, found = made
    release(items, found, FUNNEL, SETTINGS, tmp_path / "some")
    with pytest.raises(InputError, match=r"1 files not given: b.warc.wet"):
        rebuild(tmp_path / "some", {"a.warc.wet": files["a.warc.wet"]})
    every = SETTINGS | {"open_licences": ["CC BY 4.0", ""]}
    release(items, found, FUNNEL, every, tmp_path / "all")
    pd.testing.assert_frame_equal(rebuild(tmp_path / "all", {})[0], items)


def test_published_text_that_was_changed_is_named(made, tmp_path):
    _, items, found = made
    every = SETTINGS | {"open_licences": ["CC BY 4.0", ""]}
    release(items, found, FUNNEL, every, tmp_path)
    path = tmp_path / "sentences.parquet"
    table = pq.read_table(path).to_pandas()
    table.loc[3, "text"] = "Another text."
    table.to_parquet(path)
    with pytest.raises(InputError, match=f"1 of {len(table)} sentences.*{table['hash'][3]}"):
        rebuild(tmp_path, {})


def test_items_of_other_sentences_are_refused(made, tmp_path):
    _, items, found = made
    others = found[found["text"] != items["stem"].iloc[0]]
    with pytest.raises(InputError, match="is no stem among the sentences"):
        release(items, others, FUNNEL, SETTINGS, tmp_path)


def test_the_order_of_rows_changes_no_byte(made, released, tmp_path):
    _, items, found = made
    release(items.sample(frac=1, random_state=1), found.sample(frac=1, random_state=2), FUNNEL,
            SETTINGS, tmp_path / "again")  # fmt: skip
    files = sorted(released[0].iterdir())
    assert [f.name for f in files] == [
        "README.md", "items.parquet", "sentences.parquet", "settings.json"
    ]  # fmt: skip
    for file in files:
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
