import gzip
import json
import re
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from expression_leakage.benchmark.webtext.read import read_dataset, read_wet
from expression_leakage.errors import InputError

FIXTURE = Path(__file__).parents[2] / "resources/webtext/example.warc.wet"


@pytest.fixture
def raw():
    return FIXTURE.read_bytes()


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "pages.warc.wet") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def members(raw: bytes) -> list[bytes]:
    return [gzip.compress(r, mtime=0) for r in re.split(rb"(?=WARC/1\.0\r\n)", raw) if r]


def test_the_fixture_reads_as_warcio_reads_it():
    with FIXTURE.open("rb") as stream:
        iterator = WarcioIterator(stream, check_digests="raise")
        expected = []
        for record in iterator:
            content, offset = record.content_stream().read(), iterator.get_record_offset()
            headers = record.rec_headers
            assert len(content) == int(headers["Content-Length"])
            if record.rec_type == "conversion":
                record_id = headers["WARC-Record-ID"].strip("<>")
                expected.append((headers["WARC-Target-URI"], record_id, offset, content.decode()))
    pages = list(read_wet(FIXTURE))
    assert [(p.url, p.record_id, p.offset, p.text) for p in pages] == expected
    assert len(pages) >= 30


def test_the_fixture_names_no_real_host(raw):
    hosts = re.findall(rb"https?://([^/\s]+)", raw)
    assert all(re.fullmatch(rb"(?:[\w-]+\.)*example\.(?:com|net|org)", h) for h in hosts)


def test_gzip_gives_the_same_text_and_offsets_of_members(raw, write):
    parts = members(raw)
    plain = list(read_wet(FIXTURE))
    zipped = list(read_wet(write(b"".join(parts), "pages.warc.wet.gz")))
    assert [(p.url, p.text) for p in zipped] == [(p.url, p.text) for p in plain]
    assert zipped[0].offset == len(parts[0])


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_member_is_an_error(raw, write, kept):
    *whole, last = members(raw)
    path = write(b"".join([*whole, last[: int(kept * len(last))]]), "pages.warc.wet.gz")
    with pytest.raises(InputError, match=r"cut short: .* fetch the file again"):
        list(read_wet(path))


@pytest.mark.parametrize("kept", [4, 60, 250, 600])
def test_a_truncated_plain_file_is_an_error(raw, write, kept):
    last = raw.rindex(b"WARC/1.0\r\n")
    with pytest.raises(InputError, match=r"cut short|not WARC"):
        list(read_wet(write(raw[: last + kept])))


def test_flipped_bytes_are_an_error(raw, write):
    with pytest.raises(InputError, match="does not match its WARC-Block-Digest"):
        list(read_wet(write(raw.replace(b"Route 14 runs", b"Route 41 runs"))))


@pytest.mark.parametrize("change", [-40, 40])
def test_a_wrong_content_length_is_an_error(raw, write, change):
    first = raw.index(b"conversion")
    at = raw.index(b"Content-Length: ", first) + len(b"Content-Length: ")
    end = raw.index(b"\r\n", at)
    length = str(int(raw[at:end]) + change).encode()
    with pytest.raises(InputError, match=r"WARC-Block-Digest|not WARC"):
        list(read_wet(write(raw[:at] + length + raw[end:])))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no page"),
        (b"<html><body><h1>503 Slow down</h1></body></html>", "not WARC after 0 pages"),
        (gzip.compress(b"<html><body>Not found</body></html>"), "not WARC after 0 pages"),
    ],
)
def test_a_file_that_is_no_wet_is_an_error_of_one_line(write, content, message):
    with pytest.raises(InputError, match=message) as caught:
        list(read_wet(write(content)))
    assert "\n" not in str(caught.value)


def test_a_file_with_a_warcinfo_record_only_holds_no_page(raw, write):
    second = raw.index(b"WARC/1.0\r\n", 10)
    with pytest.raises(InputError, match="holds no page"):
        list(read_wet(write(raw[:second])))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list(read_wet(tmp_path / "none.wet"))


def test_long_records_are_left_out():
    lengths = {p.url: len(p.text.encode()) for p in read_wet(FIXTURE)}
    cap = sorted(lengths.values())[-4]
    kept = {p.url for p in read_wet(FIXTURE, max_bytes=cap)}
    assert kept == {url for url, length in lengths.items() if length <= cap}


@pytest.fixture
def jsonl(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    path = tmp_path / "pages.jsonl"
    rows = [{"text": f"Page {i}.", "url": f"https://example.org/{i}"} for i in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_dataset_is_streamed_up_to_the_limit(jsonl):
    pages = list(read_dataset("json", "train", "text", 3, data_files=jsonl))
    assert [p.text for p in pages] == ["Page 0.", "Page 1.", "Page 2."]
    assert (pages[2].url, pages[2].record_id) == ("https://example.org/2", "json:train:2")


def test_a_column_that_is_missing_is_named(jsonl):
    with pytest.raises(InputError, match="no column 'body' among text, url"):
        list(read_dataset("json", "train", "body", data_files=jsonl))


def test_a_dataset_that_is_missing_is_an_error(jsonl):
    with pytest.raises(InputError, match="cannot be read") as caught:
        list(read_dataset("json", "train", "text", data_files=jsonl + ".gone"))
    assert "\n" not in str(caught.value)
