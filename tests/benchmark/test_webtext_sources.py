import gzip
import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from expression_leakage.benchmark.webtext.sources import (
    Source,
    draw_listing,
    file_name,
    listings,
    read_listing,
    remote_key,
    resolve,
    shard_of,
    shards_of,
    shown,
    web_address,
)
from expression_leakage.errors import InputError

PATHS = [f"crawl-data/CC-MAIN-2025-30/segments/1/wet/CC-{i:05}.warc.wet.gz" for i in range(200)]
BASE = "https://data.commoncrawl.org/"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the files b, a and c of two folders."""
    monkeypatch.chdir(tmp_path)
    for name in ("pages/b.wet.gz", "pages/a.wet.gz", "pages/deep/c.wet.gz", "pages/.d.wet.gz"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


def names(*entries, **how):
    return [source.name for source in resolve(entries, **how)]


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("pages/a.wet.gz", ["pages/a.wet.gz"]),
        ("pages/*.wet.gz", ["pages/a.wet.gz", "pages/b.wet.gz"]),
        ("pages/*", ["pages/a.wet.gz", "pages/b.wet.gz"]),
        ("pages/?.wet.gz", ["pages/a.wet.gz", "pages/b.wet.gz"]),
        ("pages/[bc].wet.gz", ["pages/b.wet.gz"]),
        ("pages/**/*.gz", ["pages/a.wet.gz", "pages/b.wet.gz", "pages/deep/c.wet.gz"]),
        ("*/deep/*", ["pages/deep/c.wet.gz"]),
    ],
)
def test_paths_and_globs_name_local_files_in_order(folder, entry, found):
    assert names(entry) == found
    assert names(f"{folder}/{entry}") == [f"{folder}/{name}" for name in found]
    assert {source.kind for source in resolve([entry])} == {"local"}


def test_a_file_named_like_a_pattern_is_a_file(folder):
    for name in ("pages/x[1].gz", "pages/x1.gz"):
        Path(name).touch()
    assert names("pages/x[1].gz") == ["pages/x[1].gz"]


def test_what_is_named_twice_is_there_once(folder):
    dataset = {"dataset": "json", "split": "train"}
    entries = ["./pages/*.gz", "pages/a.wet.gz", "http://h/x", "http://h/x", dataset, dataset]
    assert len(resolve(entries)) == 4
    assert names(*entries) == names(*reversed(entries))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("pages/none.gz", "no such file: pages/none.gz — correct the path"),
        ("pages/*.warc", r"no file matches pages/\*.warc — correct the pattern"),
        ("pages", "pages is a folder — name its files"),
        ("ftp://host/x.gz", "cannot read ftp://host/x.gz — use http://, https:// or s3://"),
        ("https:///x.gz", "https:///x.gz is no address"),
        ("http://host:port/x.gz", "http://host:port/x.gz is no address"),
        ("http://[host/x.gz", r"http://\[host/x.gz is no address"),
        ("https://me:hidden@host/x?token=hidden", "https://host/x has credentials"),
        ("s3://bucket/wet/*.gz", r"s3://bucket/wet/\*.gz: patterns match local files only"),
        ({"listing": "none.gz", "files": 1}, "no such file: none.gz"),
        ({"listing": "pages/*.gz", "files": 1}, "2 listings match"),
    ],
)
def test_what_cannot_be_read_names_its_entry(folder, entry, message):
    said = f"^benchmark.webtext.sources, entry 2: {message}"
    with pytest.raises(InputError, match=said) as raised:
        resolve(["pages/a.wet.gz", entry])
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("base", ["/data/crawl/", "ftp://host/", "../"])
def test_the_base_of_a_listing_is_a_web_address(folder, base):
    entry = {"listing": "pages/a.wet.gz", "files": 1, "base": base}
    with pytest.raises(InputError, match=r"sources, entry 1, base: cannot read "):
        listings([entry])


def test_a_listing_is_read_drawn_and_resolved(folder):
    Path("wet.paths.gz").write_bytes(gzip.compress("\n".join(PATHS).encode()))
    entries = ["pages/*.gz", {"listing": "wet.paths.gz", "files": 3}]
    (listing,) = listings(entries)
    assert listing.source == Source("wet.paths.gz", "local")
    drawn = draw_listing(read_listing(listing.source.name), listing.files, listing.base)
    local = ["pages/a.wet.gz", "pages/b.wet.gz"]
    assert names(*entries) == local
    assert names(*entries, listed={listing.name: drawn}) == sorted(drawn) + local
    assert {s.kind for s in resolve(entries, {listing.name: drawn}) if "://" in s.name} == {
        "remote"
    }
    with pytest.raises(InputError, match="entry 2: its listing has not been read"):
        resolve(entries, {})


def test_listings_are_told_apart_by_what_is_drawn(folder):
    one = {"listing": "https://host/listing.gz", "files": 3}
    other = one | {"files": 4}
    elsewhere = one | {"base": "s3://mirror/"}
    found = listings(["a listing", one, other, one, elsewhere, {"dataset": "json"}])
    assert len({listing.name for listing in found}) == len(found) == 3
    assert found[0].source.kind == "remote"


def test_listings_that_differ_in_a_secret_are_two_and_do_not_tell_it():
    one = {"listing": "https://host/listing.gz?key=hidden", "files": 3}
    entries = [one, one | {"listing": "https://host/listing.gz?key=hidden2"}]
    entries += [one | {"base": "https://mirror/?key=hidden"}]
    found = [listing.name for listing in listings(entries)]
    assert len(set(found)) == 3
    assert all(name.startswith("3 of https://host/listing.gz under ") for name in found)
    assert "hidden" not in str(found)


SUM = "0123456789abcdef" * 4


def test_an_address_may_come_with_its_sum():
    (source,) = resolve([{"url": "s3://bucket/x.gz", "sha256": SUM.upper()}])
    assert (source.name, source.kind, source.sha256) == ("s3://bucket/x.gz", "remote", SUM)
    assert resolve(["s3://bucket/x.gz"])[0].sha256 is None


def test_a_sum_is_kept_where_the_address_is_named_again_without():
    summed = {"url": "http://h/x", "sha256": SUM}
    for entries in (["http://h/x", summed], [summed, "http://h/x"], [summed, summed]):
        assert [(s.name, s.sha256) for s in resolve(entries)] == [("http://h/x", SUM)]


def test_two_sums_of_an_address_are_an_error():
    entries = [{"url": "http://h/x?hidden", "sha256": digit * 64} for digit in "ab"]
    with pytest.raises(InputError, match="entry 2: http://h/x has another SHA-256 in") as raised:
        resolve(entries)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("url", ["pages/a.wet.gz", "ftp://host/x.gz", "https://me:hidden@host/x"])
def test_a_sum_is_for_addresses_only(folder, url):
    with pytest.raises(InputError, match=r"^benchmark.webtext.sources, entry 1: ") as raised:
        resolve([{"url": url, "sha256": SUM}])
    assert "hidden" not in str(raised.value)


def test_a_draw_is_of_the_smallest_hashes():
    by_hash = sorted(PATHS, key=lambda path: hashlib.sha256(path.encode()).hexdigest())
    assert draw_listing(PATHS, 7) == [BASE + path for path in by_hash[:7]]


def test_a_larger_draw_contains_a_smaller_one_in_any_order_of_the_list():
    shuffled = random.Random(0).sample(PATHS, len(PATHS))
    assert draw_listing(shuffled, 10)[:5] == draw_listing(PATHS, 5)


def test_the_base_changes_where_files_are_and_not_which():
    drawn = [address.removeprefix(BASE) for address in draw_listing(PATHS, 9)]
    for base in ("https://mirror.example/cc", "https://mirror.example/cc/"):
        assert draw_listing(PATHS, 9, base) == [f"https://mirror.example/cc/{p}" for p in drawn]


def test_addresses_in_a_listing_are_taken_as_they_stand():
    lines = ["http://host/a.gz", "https://host/b.gz?sig=1", "s3://bucket/c.gz", "/d.gz"]
    expected = {*lines[:3], "https://mirror/d.gz"}
    assert set(draw_listing(lines, 4, "https://mirror/")) == expected


def test_blank_and_repeated_lines_count_for_nothing():
    lines = ["", "a.gz", "  ", "b.gz\n", "a.gz ", "\n"]
    assert sorted(draw_listing(lines, 2, "https://h/")) == ["https://h/a.gz", "https://h/b.gz"]
    with pytest.raises(InputError, match=r"^list.txt: holds 2 paths, not 3 — draw fewer files"):
        draw_listing(lines, 3, where="list.txt")


@pytest.mark.parametrize("lines", [[], ["", " "]])
def test_a_listing_without_a_path_is_an_error(lines):
    with pytest.raises(InputError, match=r"^listing: holds no path"):
        draw_listing(lines, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../../etc/passwd", "leads upwards"),
        ("crawl/%2e%2e/x.gz", "leads upwards"),
        ("https://host/a/../x.gz", "leads upwards"),
        ("ftp://host/x.gz", "cannot read ftp://host/x.gz"),
        ("file:///etc/passwd", "cannot read file:///etc/passwd"),
        ("https://me:hidden@host/x.gz", "has credentials"),
        ("file:/etc/passwd", "is no path"),
        ("C:\\pages\\x.gz", "is no path"),
        ('<?xml version="1.0"?><Error>Access denied</Error>', "is no path"),
        ("two words", "is no path"),
    ],
)
def test_a_line_that_is_no_path_is_named(line, message):
    with pytest.raises(InputError, match=rf"^listing, line 3: .*{message}"):
        draw_listing(["a.gz", "", line], 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_listing_is_read_plain_or_gzipped_whatever_it_is_called(tmp_path, pack):
    path = tmp_path / "listing"
    path.write_bytes(pack(b"a.gz\r\nb.gz"))
    assert read_listing(path) == ["a.gz", "b.gz"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"a.gz\n" * 99)[:-9], "damaged gzip: .* — fetch the file again"),
        (gzip.compress(b"a.gz\n") + b"garbage", "damaged gzip"),
        (b"\x1f\x8bgarbage", "damaged gzip"),
        (gzip.compress(b"a.gz\n" * 99)[:10] + b"\xff" * 20, "damaged gzip"),
        (gzip.compress(b"\xff\xfe"), "is no text"),
    ],
)
def test_a_damaged_listing_is_one_line(tmp_path, content, message):
    path = tmp_path / "wet.paths.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: {message}") as raised:
        read_listing(path)
    assert "\n" not in str(raised.value)


def test_a_missing_listing_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none\.gz: no such file"):
        read_listing(tmp_path / "none.gz")


def test_a_dataset_is_one_unit_with_its_settings_and_without_its_token():
    entry = {"dataset": "allenai/c4", "split": "train", "column": "text", "limit": 9}
    entry["options"] = {"name": "en", "token": "hidden"}
    (source,) = resolve([entry])
    assert source.name.startswith("dataset allenai/c4 en train ")
    assert (source.kind, source.settings) == ("dataset", entry)
    assert "hidden" not in repr(source)


def test_datasets_that_differ_in_a_setting_are_two():
    one = {"dataset": "json", "split": "train", "options": {"data_files": "a.jsonl"}}
    others = [one | {"options": {"data_files": "b.jsonl"}}, one | {"limit": 5}, {"dataset": "json"}]
    assert len(resolve([one, *others])) == 4
    assert names(one) == names(dict(reversed(one.items())))


def test_the_shard_of_a_file_is_the_residue_of_its_hash():
    for shards in (1, 2, 8):
        expected = [int(hashlib.sha256(p.encode()).hexdigest(), 16) % shards for p in PATHS]
        assert [shard_of(path, shards) for path in PATHS] == expected


def test_a_file_more_changes_its_own_shard_only():
    sources = [Source(path, "remote") for path in PATHS[:20]]
    before = shards_of(sources[1:], 4)
    after = shards_of(random.Random(0).sample(sources, 20), 4)
    mine = shard_of(sources[0].name, 4)
    assert sources[0] in after[mine]
    after[mine].remove(sources[0])
    assert after == before


def test_shards_are_in_order_and_none_is_empty():
    sources = [Source(path, "remote") for path in reversed(PATHS[:5])]
    found = shards_of(sources, 1000)
    assert list(found) == sorted(found)
    assert sum(map(len, found.values())) == 5
    assert all(found.values())
    assert shards_of(sources, 1) == {0: sources[::-1]}


@pytest.mark.parametrize(
    ("url", "suffix"),
    [
        (f"{BASE}{PATHS[0]}", ".warc.wet.gz"),
        ("s3://bucket/a/x.wet", ".wet"),
        ("https://host/x.warc.gz?sig=a/b.c", ".warc.gz"),
        ("https://host/2025.01.02.gz", ".gz"),
        ("https://host/x.g%2Fz", ""),
        ("https://host/x.g z", ""),
        ("https://example.org/", ""),
        ("https://example.org", ""),
    ],
)
def test_a_fetched_file_is_called_by_its_hash_and_suffix(url, suffix):
    assert remote_key(url) == hashlib.sha256(url.encode()).hexdigest()[:16] + suffix


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://host/a/b.gz", "https://host/a/b.gz"),
        ("https://me:secret@host:80/a?token=secret#secret", "https://host:80/a"),
        ("https://se@cret@host/a@b", "https://host/a@b"),
        ("s3://bucket/a@b.gz", "s3://bucket/a@b.gz"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url, safe):
    assert shown(url) == safe


@pytest.mark.parametrize(
    "name", ["pages/a#1?.gz", "/home/me/a@b.gz", "https://host/a.gz", "s3://bucket/a@b.gz"]
)
def test_a_name_without_a_secret_is_told_as_it_stands(name):
    assert file_name(name) == name


def test_addresses_that_differ_in_their_query_have_two_names():
    urls = [f"https://host/x.gz?key=hidden{n}" for n in range(2)]
    names = [file_name(url) for url in urls]
    digests = [hashlib.sha256(url.encode()).hexdigest()[:8] for url in urls]
    assert names == [f"https://host/x.gz#{digest}" for digest in digests]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host/x?y=1", "http://host/x?y=1"),
        ("s3://commoncrawl/crawl-data/x.gz", f"{BASE}crawl-data/x.gz"),
        ("s3://texts/a b+c?.gz", "https://texts.s3.amazonaws.com/a%20b%2Bc%3F.gz"),
    ],
)
def test_s3_addresses_are_read_over_https(monkeypatch, url, address):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    assert web_address(url) == address


def test_an_endpoint_of_the_environment_comes_before_amazons(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://any:9000/")
    assert web_address("s3://texts/x.gz") == "http://any:9000/texts/x.gz"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3:9000")
    assert web_address("s3://texts/x.gz") == "http://s3:9000/texts/x.gz"
    assert web_address("s3://commoncrawl/x.gz") == f"{BASE}x.gz"


def test_the_module_needs_the_standard_library_only():
    code = """if True:
        import sys
        import expression_leakage.benchmark.webtext.sources
        roots = {name.partition(".")[0] for name in sys.modules}
        print(*roots - sys.stdlib_module_names - {"__main__", "expression_leakage"})
    """
    library = Path(__file__).parents[2] / "workflow/scripts"
    run = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(library)!r})\n{code}"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.split() == []
