"""Files as they come out of broken downloads, disks and crawlers."""

import gzip
import io
import re
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from expression_leakage.benchmark.webtext import warc
from expression_leakage.benchmark.webtext.read import ReadLimits, read_pages
from expression_leakage.errors import InputError

ROOT = Path(__file__).parents[2]
RAW = (ROOT / "resources/webtext/example.warc.wet").read_bytes()
RECORDS = re.split(rb"(?=WARC/1\.0\r\n)", RAW)[2:22]
TEXTS = [r.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n\r\n").decode() for r in RECORDS]
BROKEN = 9
OTHERS = TEXTS[:BROKEN] + TEXTS[BROKEN + 1 :]
GARBAGE = {
    "noise": bytes(range(256)) * 40,
    "zeros": bytes(5_000),
    "gzip magic": b"\x1f\x8b\x08" * 3_000,
    "gzip of something else": gzip.compress(b"WARS and peace" * 100),
    "heads without a body": b"\r\nWARC/1.0\r\n" * 2_000,
    "an error page": b"<html><body><h1>503 Slow Down</h1></body></html>",
}


def members(records: list[bytes]) -> list[bytes]:
    return [gzip.compress(record, mtime=0) for record in records]


def read(path: Path, **limits: float) -> tuple[list[str], Counter]:
    funnel = Counter()
    texts = [page.text for page in read_pages(path, path.name, funnel, ReadLimits(**limits))]
    other = ("records", "resyncs", "bytes_skipped", "bytes_text")
    left_out = sum(count for key, count in funnel.items() if key not in other)
    assert funnel["records"] == len(texts) + left_out
    assert funnel["bytes_text"] == sum(len(text.encode()) for text in texts)
    return texts, funnel


@pytest.fixture
def write(tmp_path):
    def write(*content: bytes) -> Path:
        (tmp_path / "broken").write_bytes(b"".join(content))
        return tmp_path / "broken"

    return write


def conversion(payload: bytes) -> bytes:
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=True)
    uri = "http://example.org/"
    writer.write_record(writer.create_warc_record(uri, "conversion", payload=io.BytesIO(payload)))
    return stream.getvalue()


def response(html: bytes, media: str = "text/html") -> bytes:
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=True)
    http = StatusAndHeaders("200 OK", [("Content-Type", media)], protocol="HTTP/1.1")
    record = writer.create_warc_record(
        "http://example.org/", "response", payload=io.BytesIO(html), http_headers=http
    )
    writer.write_record(record)
    return stream.getvalue()


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_last_member_is_left_out(write, kept):
    *whole, last = members(RECORDS)
    rest = last[: int(kept * len(last))]
    texts, funnel = read(write(*whole, rest))
    assert texts == TEXTS[:-1]
    assert funnel["bytes_skipped"] == len(rest)
    assert funnel["records_truncated"] == (kept > 0.5)  # before that, its header is cut too
    assert not funnel["resyncs"]


@pytest.mark.parametrize("kept", [4, 60, 250, 600, -20])
def test_a_truncated_last_record_is_left_out(write, kept):
    rest = RECORDS[-1][:kept]
    texts, funnel = read(write(*RECORDS[:-1], rest))
    assert texts == TEXTS[:-1]
    assert funnel["bytes_skipped"] == len(rest)
    assert funnel["records_truncated"] == (b"\r\n\r\n" in rest)


@pytest.mark.parametrize("where", [0.2, 0.5, 0.8, -6])
def test_flipped_bytes_cost_their_own_member_only(write, where):
    parts = [bytearray(part) for part in members(RECORDS)]
    at = where if where < 0 else int(where * len(parts[BROKEN]))
    parts[BROKEN][at : at + 4] = bytes(byte ^ 255 for byte in parts[BROKEN][at : at + 4])
    texts, funnel = read(write(*parts))
    assert texts == OTHERS
    assert (funnel["resyncs"], funnel["bytes_skipped"]) == (1, len(parts[BROKEN]))


def test_flipped_bytes_in_a_plain_file_show_in_the_digest(write):
    broken = RECORDS[BROKEN].replace(b" the ", b" teh ", 1)
    texts, funnel = read(write(*RECORDS[:BROKEN], broken, *RECORDS[BROKEN + 1 :]))
    assert texts == OTHERS
    assert (funnel["records_digest"], funnel["resyncs"]) == (1, 0)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("at", [0, BROKEN, len(RECORDS)])
def test_garbage_costs_no_record(write, zipped, garbage, at):
    parts = members(RECORDS) if zipped else RECORDS
    texts, funnel = read(write(*parts[:at], garbage + b"\r\n", *parts[at:]))
    assert texts == TEXTS
    assert len(garbage) <= funnel["bytes_skipped"] + 2 <= len(garbage) + 4
    assert funnel["resyncs"] >= (at < len(RECORDS))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("length", "fault"),
    [
        (b"-5", "records_headers"),
        (b"", "records_headers"),
        (b"1e3", "records_headers"),
        (b"99999999999999999999999999", "records_headers"),
        (b"9000000000000000000", "records_headers"),
        (b"900000000000000000", "records_truncated"),
        (b"1200", "records_digest"),
        (b"11000", "records_length"),  # beyond the limit, and on to within a later record
        (b"10", "records_digest"),
    ],
)
def test_a_wrong_content_length_costs_its_own_record_only(write, zipped, length, fault):
    broken = re.sub(rb"(?<=Content-Length: )\d+", length, RECORDS[BROKEN])
    records = [*RECORDS[:BROKEN], broken, *RECORDS[BROKEN + 1 :]]
    texts, funnel = read(write(*(members(records) if zipped else records)), max_bytes=10_000)
    assert texts == OTHERS
    cut = zipped and int(length.isdigit() and length) >= 1200 and fault != "records_headers"
    assert funnel["records_truncated" if cut else fault] == 1


@pytest.mark.parametrize("at", [0, 3, 19])
@pytest.mark.parametrize("length", [b"-5", b"", b"10", b"2000", b"11000", b"900000000000000000"])
def test_in_a_file_in_one_gzip_member_it_costs_its_own_record_only(write, length, at):
    broken = re.sub(rb"(?<=Content-Length: )\d+", length, RECORDS[at])
    records = [*RECORDS[:at], broken, *RECORDS[at + 1 :]]
    texts, funnel = read(write(gzip.compress(b"".join(records))), max_bytes=10_000)
    assert texts == TEXTS[:at] + TEXTS[at + 1 :]
    assert (funnel["records"], funnel["resyncs"]) == (20, at < 19)
    assert funnel["bytes_skipped"] == len(broken)


def test_garbage_within_a_gzip_member_costs_no_record(write):
    parts = [*RECORDS[:4], b"noise" * 40_000 + b"\r\n", *RECORDS[4:]]
    texts, funnel = read(write(gzip.compress(b"".join(parts)), *members(RECORDS[:1])))
    assert texts == [*TEXTS, TEXTS[0]]
    assert (funnel["records"], funnel["resyncs"]) == (21, 1)
    assert funnel["bytes_skipped"] == 200_002


@pytest.mark.parametrize("length", [b"900000000000000000", b"2000000", b"20000", b"-1"])
def test_damage_to_every_other_record_of_a_member_inflates_it_few_times(write, monkeypatch, length):
    broken = re.sub(rb"(?<=Content-Length: )\d+", length, RECORDS[1])
    content = (RECORDS[0] + broken) * 2_000
    path = write(gzip.compress(content, 1))
    inflated, pull = [0], warc._Member._pull

    def counted(member):
        block = pull(member)
        inflated[0] += len(block)
        return block

    monkeypatch.setattr(warc._Member, "_pull", counted)
    texts, funnel = read(path, max_bytes=10_000)
    assert set(texts) == {TEXTS[0]}
    assert len(texts) * len(RECORDS[0]) + funnel["bytes_skipped"] == len(content)
    assert inflated[0] <= 17 * len(content) + (64 << 20) + 100_000
    if length != b"2000000":  # each of those would have to be passed over anew
        assert len(texts) == 2_000


def test_without_a_digest_a_record_must_end_where_it_says(write):
    bare = [re.sub(rb"WARC-Block-Digest: \S+\r\n", b"", record) for record in RECORDS]
    assert read(write(*bare))[0] == TEXTS
    shorter = re.sub(rb"(?<=Content-Length: )\d+", b"100", bare[BROKEN])
    texts, funnel = read(write(*bare[:BROKEN], shorter, *bare[BROKEN + 1 :]))
    assert texts == OTHERS
    assert (funnel["records_length"], funnel["resyncs"]) == (1, 1)


def test_a_record_shown_within_a_page_is_not_read(write):
    text = "This is what a record looks like:\n" + RECORDS[0].decode() + "That was it."
    texts, _ = read(write(conversion(text.encode()), *members(RECORDS[1:])))
    assert texts == [text.replace("\r\n", "\n"), *TEXTS[1:]]


def test_a_file_in_one_gzip_member_is_read_up_to_its_damage(write):
    whole = gzip.compress(b"".join(RECORDS), mtime=0)
    assert read(write(whole))[0] == TEXTS
    broken = bytearray(whole)
    broken[-200] ^= 255
    texts, funnel = read(write(broken))
    assert texts == TEXTS[: len(texts)] and 10 < len(texts) < 20
    assert (funnel["resyncs"], funnel["bytes_skipped"]) == (0, len(whole))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "broken: is empty — fetch the file again"),
        (
            b'<?xml version="1.0"?>\n<Error><Code>SlowDown</Code></Error>',
            "begins with <?xml and is",
        ),
        (b"\n<html><body><h1>503 Slow down</h1></body></html>", "is an error page — fetch"),
        (gzip.compress(b"<!DOCTYPE html><p>Not found"), "begins with <!DOCTYPE and is an error"),
        (b"%PDF-1.4 " * 1000, "holds no WARC record"),
        (gzip.compress(b"A gzipped letter."), "holds no WARC record"),
        (gzip.compress(RECORDS[0])[:100], "holds no WARC record"),
        (RECORDS[0][:-9], "holds no page that can be read: .* 1 records_truncated"),
    ],
)
def test_a_file_without_a_page_is_an_error_of_one_line(write, content, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")) as caught:
        read(write(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_record_of_300_mb_is_passed_over_in_little_memory(tmp_path, zipped):
    size, path = 300_000_000, tmp_path / "large"
    head = re.sub(rb"(?<=Content-Length: )\d+", b"%d" % size, RECORDS[1].split(b"\r\n\r\n")[0])
    first, last = members([RECORDS[0], RECORDS[2]]) if zipped else (RECORDS[0], RECORDS[2])
    with path.open("wb") as stream:
        stream.write(first)
        if zipped:
            deflate = zlib.compressobj(level=1, wbits=31)
            stream.write(deflate.compress(head + b"\r\n\r\n"))
            for _ in range(300):
                stream.write(deflate.compress(bytes(1_000_000)))
            stream.write(deflate.compress(b"\r\n\r\n") + deflate.flush())
        else:
            stream.write(head + b"\r\n\r\n")
            stream.seek(size, io.SEEK_CUR)
            stream.write(b"\r\n\r\n")
        stream.write(last)
    program = (
        "import sys; from collections import Counter; from pathlib import Path\n"
        "from expression_leakage.benchmark.webtext.read import read_pages\n"
        "funnel = Counter(); pages = list(read_pages(sys.argv[1], 'large', funnel))\n"
        "status = Path('/proc/self/status').read_text()\n"  # ru_maxrss has the parent's in it
        "peak = status.partition('VmHWM:')[2].split()[0]\n"
        "print(len(pages), funnel['records_oversize'], funnel['resyncs'], peak)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        env={"PYTHONPATH": str(ROOT / "workflow/scripts")},
        capture_output=True,
        text=True,
        check=True,
    )
    pages, oversize, resyncs, peak = map(int, done.stdout.split())
    assert (pages, oversize, resyncs) == (2, 1, 0)
    assert peak < 60_000  # kB


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-be", "cp037"])
def test_text_in_another_encoding_is_left_out_whole(write, encoding):
    text = "L’été à la mer est passé; où sont les années écoulées ?".replace("’", "'") * 20
    parts = members(RECORDS[:2])
    texts, funnel = read(write(parts[0], conversion(text.encode(encoding)), parts[1]))
    assert texts == TEXTS[:2]
    assert funnel["records_encoding"] == 1


def test_a_stray_byte_costs_one_character(write):
    texts, _ = read(write(conversion(b"The caf\xe9 was closed." + b" It was late." * 20)))
    assert texts == ["The caf\ufffd was closed." + " It was late." * 20]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize("declared", [True, False])
def test_html_is_read_in_its_encoding_declared_or_not(write, encoding, declared):
    text = "The café on the left was naïve about its façade. " * 5
    media = f"text/html; charset={encoding}" if declared else "text/html"
    texts, _ = read(write(response(f"<p>{text}</p>".encode(encoding), media)))
    assert texts == [text.strip()]


def test_200_000_nested_tags_cost_one_page(write):
    pages = [b"<p>Before.", b"<a><div>" * 100_000, b"<p>After."]
    texts, funnel = read(write(*map(response, pages)), seconds=0.3)
    assert texts == ["Before.", "After."]
    assert funnel["pages_timeout"] == 1


def untouched(parts: list[bytes], low: int, high: int, margin: int) -> set[str]:
    """Texts of the parts that bytes `low` to `high`, and `margin` more, do not reach."""
    kept, begin = set(), 0
    for part, text in zip(parts, TEXTS, strict=True):
        end = begin + len(part)
        if high + margin <= begin or low >= end:
            kept.add(text)
        begin = end
    return kept


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    zipped=st.booleans(),
    where=st.floats(0, 1),
    length=st.sampled_from([0, 1, 2, 7, 60, 900, 5_000]),
    replacement=st.binary(max_size=40) | st.sampled_from([b"\x1f\x8b\x08", b"\r\nWARC/1.0\r\n"]),
)
def test_any_damage_costs_what_it_touches_and_invents_nothing(
    tmp_path_factory, zipped, where, length, replacement
):
    parts = members(RECORDS) if zipped else RECORDS
    whole = b"".join(parts)
    low = int(where * len(whole))
    high = min(low + length, len(whole))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(whole[:low] + replacement + whole[high:])
    texts, _ = read(path)
    assert len(set(texts)) == len(texts)
    # In a plain file a record is found again by the line end before it.
    assert untouched(parts, low, high, margin=not zipped) <= set(texts) <= set(TEXTS)
