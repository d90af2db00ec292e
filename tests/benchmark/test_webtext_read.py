import gzip
import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator as WarcioIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from expression_leakage.benchmark.webtext.read import ReadLimits, read_dataset, read_pages
from expression_leakage.errors import InputError

FIXTURE = Path(__file__).parents[2] / "resources/webtext/example.warc.wet"
HTML = "text/html; charset=utf-8"


def read(path: Path, name: str = "pages", **limits: float) -> tuple[list, Counter]:
    funnel = Counter()
    return list(read_pages(path, name, funnel, ReadLimits(**limits))), funnel


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


def response(i: int, body: bytes, media: str = HTML, status: str = "200 OK", **headers: str):
    """Arguments of a record as wget writes it: the address in brackets, the answer as it came."""
    http = [("Content-Type", media), *((k.replace("_", "-"), v) for k, v in headers.items())]
    return {
        "uri": f"<http://127.0.0.1/{i}.html>",
        "record_type": "response",
        "payload": io.BytesIO(body),
        "http_headers": StatusAndHeaders(status, http, protocol="HTTP/1.0"),
    }


def warc(*records: dict, zipped: bool = True, **info: str) -> bytes:
    """A file as wget writes it: a warcinfo record, then a request and a response for each page."""
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=zipped)
    writer.write_record(writer.create_warcinfo_record("crawl.warc.gz", {"software": "x"} | info))
    for record in records:
        request = StatusAndHeaders("GET / HTTP/1.1", [("Host", "127.0.0.1")], is_http_request=True)
        writer.write_record(
            writer.create_warc_record(record["uri"], "request", http_headers=request)
        )
        writer.write_record(writer.create_warc_record(**record))
    return stream.getvalue()


def as_warcio_reads(path: Path, kind: str) -> list[tuple]:
    with path.open("rb") as stream:
        iterator = WarcioIterator(stream, check_digests="raise")
        found = []
        for record in iterator:
            content, offset = record.content_stream().read(), iterator.get_record_offset()
            if record.rec_type == kind:
                names = "WARC-Target-URI", "WARC-Record-ID"
                url, record_id = (record.rec_headers[name].strip("<>") for name in names)
                found.append((url, record_id, offset, content))
    return found


def test_the_fixture_reads_as_warcio_reads_it():
    expected = [
        (*rest, content.decode()) for *rest, content in as_warcio_reads(FIXTURE, "conversion")
    ]
    pages, funnel = read(FIXTURE)
    assert [(p.url, p.record_id, p.offset, p.text) for p in pages] == expected
    assert len(pages) >= 30
    assert funnel["bytes_text"] == sum(len(text.encode()) for *_, text in expected)
    assert funnel["records"] == len(pages) + funnel["records_other"]


def test_the_fixture_names_no_real_host(raw):
    hosts = re.findall(rb"https?://([^/\s]+)", raw)
    assert all(re.fullmatch(rb"(?:[\w-]+\.)*example\.(?:com|net|org)", h) for h in hosts)


def test_gzip_gives_the_same_text_and_offsets_of_members(raw, write):
    parts = members(raw)
    plain, counted = read(FIXTURE)
    zipped, funnel = read(write(b"".join(parts), "pages.warc.wet.gz"))
    assert [(p.url, p.text) for p in zipped] == [(p.url, p.text) for p in plain]
    assert zipped[0].offset == len(parts[0])
    assert funnel == counted


@pytest.mark.parametrize("zipped", [True, False])
def test_a_crawl_reads_as_warcio_reads_it(write, zipped):
    bodies = [f"<p>Page {i} of the crawl.</p>".encode() for i in range(20)]
    path = write(warc(*(response(i, b) for i, b in enumerate(bodies)), zipped=zipped), "no-name")
    expected = as_warcio_reads(path, "response")
    assert [content for *_, content in expected] == bodies
    pages, funnel = read(path)
    assert [(p.url, p.record_id, p.offset) for p in pages] == [tuple(r[:3]) for r in expected]
    assert [p.text for p in pages] == [f"Page {i} of the crawl." for i in range(20)]
    assert (funnel["records"], funnel["records_other"]) == (41, 21)


def test_only_html_that_was_found_is_extracted(write):
    path = write(
        warc(
            response(0, b"<p>Kept.", "Text/HTML"),
            response(1, b"<p>Kept too.", "application/xhtml+xml;charset=utf-8"),
            response(2, b"<p>Gone.", status="404 Not Found"),
            response(3, b"<p>Elsewhere.", status="301 Moved"),
            response(4, b"%PDF-1.4", "application/pdf"),
            response(5, b"{}", "application/json"),
            response(6, b"zip", Content_Encoding="gzip"),
        )
    )
    pages, funnel = read(path)
    assert [p.text for p in pages] == ["Kept.", "Kept too."]
    kept = {k: funnel[k] for k in ("records_status", "records_type", "records_http")}
    assert kept == {"records_status": 2, "records_type": 2, "records_http": 1}


def test_a_compressed_answer_is_unpacked_up_to_the_limit(write):
    packed = [gzip.compress(b"<p>" + b"word " * n) for n in (10, 10_000_000)]
    path = write(warc(*(response(i, b, Content_Encoding="gzip") for i, b in enumerate(packed))))
    pages, funnel = read(path)
    assert [p.text for p in pages] == [("word " * 10).strip()]
    assert funnel["records_oversize"] == 1


def test_a_record_without_address_or_id_is_left_out(raw, write):
    lines = re.findall(rb"WARC-(?:Target-URI|Record-ID): \S+\r\n", raw)
    url, record_id = lines[1], lines[4]  # of the first page and of the second
    whole, _ = read(FIXTURE)
    path = write(raw.replace(url, b"", 1).replace(record_id, b"", 1))
    pages, funnel = read(path)
    assert [p.text for p in pages] == [p.text for p in whole[2:]]
    assert funnel["records_headers"] == 2


@pytest.mark.parametrize(
    ("info", "name", "snapshot"),
    [
        ({"isPartOf": "CC-MAIN-2025-30"}, "CC-MAIN-2021-04/x.wet.gz", "CC-MAIN-2025-30"),
        ({}, "s3://x/crawl-data/CC-MAIN-2021-04/wet/x-00001.wet.gz", "CC-MAIN-2021-04"),
        ({}, "CC-MAIN-20250707183638-20250707213638-00000.warc.wet.gz", ""),
    ],
)
def test_the_snapshot_is_that_of_the_warcinfo_or_else_of_the_name(write, info, name, snapshot):
    (page,), _ = read(write(warc(response(0, b"<p>Page."), **info)), name)
    assert (page.file, page.snapshot) == (name, snapshot)


def test_line_ends_are_lf_and_controls_go(write):
    stream = io.BytesIO()
    writer = WARCWriter(stream)
    text = "\ufeffOne.\r\nTwo.\rThree.\tTab\x00\x0c, \x85é." + " More of the same." * 40
    payload = io.BytesIO(text.encode())
    writer.write_record(writer.create_warc_record("http://a/", "conversion", payload=payload))
    (page,), _ = read(write(stream.getvalue()))
    assert page.text == "One.\nTwo.\nThree.\tTab, é." + " More of the same." * 40


def test_long_records_are_left_out():
    lengths = {p.url: len(p.text.encode()) for p in read(FIXTURE)[0]}
    cap = sorted(lengths.values())[-4]
    kept, funnel = read(FIXTURE, max_bytes=cap)
    assert {p.url for p in kept} == {url for url, length in lengths.items() if length <= cap}
    assert funnel["records_oversize"] == len(lengths) - len(kept)


def test_pages_come_before_the_file_is_read_and_counts_with_the_end(raw, write):
    path = write(raw + b"x" * 100_000)
    funnel = Counter()
    pages = read_pages(path, "pages", funnel)
    first = next(pages)
    assert not funnel
    pages.close()
    length = len(first.text.encode())
    assert funnel == Counter(records=2, records_other=1, bytes_text=length)


def test_a_file_with_a_warcinfo_record_only_holds_no_page(raw, write):
    second = raw.index(b"WARC/1.0\r\n", 10)
    with pytest.raises(InputError, match=r"pages: holds no page .*1 records, 1 records_other"):
        read(write(raw[:second]))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.wet")


BAD_URLS = ["http://[foo/", "http://[::1", "http://a\u2100b.org/", "http://a]b/"]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_record_whose_address_cannot_be_parsed_is_left_out(raw, write, url):
    old = re.findall(rb"WARC-Target-URI: (\S+)\r\n", raw)[0]
    whole, _ = read(FIXTURE)
    pages, funnel = read(write(raw.replace(old, url.encode(), 1)))
    assert [p.text for p in pages] == [p.text for p in whole[1:]]
    assert funnel["records_headers"] == 1


@pytest.fixture
def jsonl(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    def jsonl(rows: list[dict], name: str = "pages.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return jsonl


def rows_read(path, limit=None, column="text", **limits):
    funnel = Counter()
    limits = ReadLimits(**limits)
    return (
        list(read_dataset("json", "train", column, limit, funnel, limits, data_files=path)),
        funnel,
    )


ROWS = [{"text": f"Page {i}.", "url": f"https://example.org/{i}"} for i in range(5)]


def test_a_dataset_is_streamed_up_to_the_limit(jsonl):
    pages, funnel = rows_read(jsonl(ROWS), 3)
    assert [p.text for p in pages] == ["Page 0.", "Page 1.", "Page 2."]
    assert pages[2].url == "https://example.org/2"
    assert re.fullmatch(r"json#[0-9a-f]{8}:train:2", pages[2].record_id)
    assert pages[2].record_id == f"{pages[2].file}:train:2"
    assert funnel == Counter(records=3, bytes_text=21)


def test_datasets_of_one_format_share_neither_file_nor_record_id(jsonl):
    first, second = (rows_read(jsonl(ROWS, name))[0] for name in ("a.jsonl", "b.jsonl"))
    for key in ("file", "record_id"):
        assert not {getattr(p, key) for p in first} & {getattr(p, key) for p in second}
    assert rows_read(jsonl(ROWS, "a.jsonl"))[0] == first


def test_a_row_without_an_address_has_its_record_id_for_one(jsonl):
    pages, _ = rows_read(jsonl([{"text": "One."}, {"text": "Two."}]))
    assert [p.url for p in pages] == [p.record_id for p in pages]
    assert len({p.url for p in pages}) == 2


def test_rows_are_cleaned_and_left_out_as_records_are(jsonl):
    url, more = "https://example.org/", " More of the same." * 40
    kept = f"One.\r\nTwo.\rThree.\tTab\x00\x0c, \x85é.{more}"
    rows = [
        {"text": kept, "url": url},
        {"text": "é" * 600, "url": url},
        {"text": "\x00\x01" * 50, "url": url},
        *({"text": "Page.", "url": bad} for bad in BAD_URLS),
    ]
    pages, funnel = rows_read(jsonl(rows), max_bytes=1_000)
    text = f"One.\nTwo.\nThree.\tTab, é.{more}"
    assert [p.text for p in pages] == [text]
    assert funnel == Counter(
        records=7,
        records_oversize=1,
        records_encoding=1,
        records_headers=4,
        bytes_text=len(text.encode()),
    )


def streamed(monkeypatch, *rows: dict) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: list(rows))


def test_a_lone_surrogate_costs_one_character_or_its_address_the_row(monkeypatch):
    more = " More of the same." * 40
    streamed(
        monkeypatch,
        {"text": "A\ud800b \U0001f600." + more, "url": "https://example.org/"},
        {"text": "Page.", "url": "https://example.org/\udfff"},
    )
    pages, funnel = rows_read("")
    assert [p.text for p in pages] == ["A\ufffdb \U0001f600." + more]
    assert funnel["records_headers"] == 1


@pytest.mark.parametrize(("column", "value"), [("text", 3), ("text", ["a"]), ("url", 4.5)])
def test_a_value_that_is_no_text_is_named(monkeypatch, column, value):
    streamed(monkeypatch, ROWS[0], ROWS[1] | {column: value})
    message = f"dataset json, split train, row 1, column '{column}': holds .*{type(value).__name__}"
    with pytest.raises(InputError, match=message) as caught:
        rows_read("")
    assert "\n" not in str(caught.value)


def test_a_column_that_is_missing_is_named(jsonl):
    with pytest.raises(InputError, match="no column 'body' among text, url"):
        rows_read(jsonl(ROWS), column="body")


def test_a_dataset_that_is_missing_is_an_error(jsonl):
    with pytest.raises(InputError, match="cannot be read") as caught:
        rows_read(jsonl(ROWS) + ".gone")
    assert "\n" not in str(caught.value)
