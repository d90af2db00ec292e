"""Pages of web text, from files of Common Crawl or from a Hugging Face dataset."""

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fastwarc.warc import WarcRecord, WarcRecordType

from expression_leakage.benchmark.webtext.extract import PageExtractor
from expression_leakage.benchmark.webtext.warc import MAGIC, read_records
from expression_leakage.errors import InputError

_REQUIRED_HEADERS = ("WARC-Target-URI", "WARC-Record-ID")
_HTML = ("text/html", "application/xhtml+xml")
_SNAPSHOT = re.compile(r"CC-MAIN-\d{4}-\d{2}(?!\d)")
_PART_OF = re.compile(rb"^isPartOf:[ \t]*(\S+)", re.M | re.I)
_AGAIN = "fetch the file again"

# Controls but tab and line ends: C0 as bytes, C1 as their UTF-8.
_C0 = bytes({*range(32), 127} - set(b"\t\n\r"))
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
# A sentence has about a hundred characters: at one fault in a hundred, hardly any is left unharmed.
_MAX_FAULTY = 0.01


@dataclass(frozen=True, slots=True)
class Page:
    """The plain text of one web page and where it stands in its source.

    Parameters
    ----------
    url
        Address the page was fetched from.
    record_id
        WARC-Record-ID without its brackets, or dataset, hash of its settings, split and row.
    offset
        Where the record, or the gzip member it is in, begins in its file [bytes]; or its row in
        the dataset.
    text
        The page; lines end in LF, and there are no other control characters but tabs.
    file
        Name of the file, as configured, or of the dataset with the hash of its settings.
    snapshot
        Crawl that the file is of, such as CC-MAIN-2025-30; "" if that is not known.
    """

    url: str
    record_id: str
    offset: int
    text: str
    file: str = ""
    snapshot: str = ""


@dataclass(frozen=True)
class ReadLimits:
    """What a single page may cost.

    Parameters
    ----------
    max_bytes
        Longer records are left out unread [bytes].
    seconds
        Processor time to extract the text of a page from its HTML [s].
    """

    max_bytes: int = 1_000_000
    seconds: float = 5.0


def read_pages(
    path: str | Path, name: str, funnel: Counter, limits: ReadLimits = ReadLimits()
) -> Iterator[Page]:
    """Pages of a WET or WARC file, plain or gzipped, in the order of the file.

    Whether it is gzipped, and what it holds, is told from its content. The text of a `conversion`
    record (WET) is taken as it is; that of a `response` (WARC) is extracted if the status is 200
    and the type HTML. Damage costs the records it is in and is counted; see `warc.read_records`.

    Parameters
    ----------
    path
        The file.
    name
        Its name, as configured, for provenance and errors.
    funnel
        Counted up in place when the generator ends or is closed: the counts of
        `warc.read_records`, all of ``records`` but the pages yielded being under one of them or of
        ``records_other`` (warcinfo, request, …), ``records_headers`` (lacks an id, or an address
        that can be parsed), ``records_status``, ``records_type``, ``records_http`` (body that does
        not decode), ``records_encoding`` (over 1 % of characters are no text), ``pages_timeout``
        and ``pages_crashed`` (see `extract.PageExtractor`); and ``bytes_text``, the text yielded
        [bytes of UTF-8].
    limits
        What a single page may cost.

    Raises
    ------
    InputError
        The file is missing, is empty, holds no WARC record, or none that is a page.
    """
    path, counts = Path(path), Counter()
    if not path.is_file():
        raise InputError(name, f"no such file: {path}", "give the path of a WET or WARC file")
    pages = 0
    try:
        with PageExtractor(limits.seconds) as extractor:
            for page in _pages(path, name, counts, limits, extractor):
                pages += 1
                counts["bytes_text"] += len(page.text.encode())
                yield page
    finally:
        funnel.update(counts)
    if not pages:
        raise _no_pages(path, name, counts)


def _pages(
    path: Path, name: str, counts: Counter, limits: ReadLimits, extractor: PageExtractor
) -> Iterator[Page]:
    named = _SNAPSHOT.search(name)
    snapshot = named[0] if named else ""
    for record in read_records(path, limits.max_bytes, counts):
        warc = record.warc
        if warc.record_type == WarcRecordType.warcinfo:
            part_of = _PART_OF.search(warc.reader.read())
            snapshot = part_of[1].decode("utf-8", "replace") if part_of else snapshot
        if warc.record_type not in (WarcRecordType.conversion, WarcRecordType.response):
            counts["records_other"] += 1
            continue
        if not all(warc.headers.get(header) for header in _REQUIRED_HEADERS):
            counts["records_headers"] += 1
            continue
        url, record_id = (warc.headers[header].strip("<>") for header in _REQUIRED_HEADERS)
        if not _parses(url):
            counts["records_headers"] += 1
            continue
        if warc.record_type == WarcRecordType.conversion:
            content, fault = warc.reader.read(), ""
        else:
            content, fault = _extracted(warc, limits.max_bytes, extractor)
        text = None if fault else _text(content)
        if text is None:
            counts[fault or "records_encoding"] += 1
        else:
            yield Page(url, record_id, record.offset, text, name, snapshot)


def _parses(url: str) -> bool:
    """Whether the host of an address can be told, or that there is none."""
    try:
        host = urlsplit(url).hostname or ""
        (host + url).encode()  # a lone surrogate cannot be written to any file
    except ValueError:
        return False
    return True


def _extracted(warc: WarcRecord, max_bytes: int, extractor: PageExtractor) -> tuple[bytes, str]:
    """Text of a response, or the count that it falls under."""
    try:
        warc.parse_http(auto_decode="all")
        if warc.http_headers is None or warc.http_headers.status_code != 200:
            return b"", "records_status"
        if (warc.http_content_type or "").lower() not in _HTML:
            return b"", "records_type"
        body = warc.reader.read(max_bytes + 1)
    except OSError:
        return b"", "records_http"
    if len(body) > max_bytes:
        return b"", "records_oversize"
    text, fault = extractor.text(body, (warc.http_charset or "").strip("\"' "))
    return text, f"pages_{fault}" if fault else ""


def _text(content: bytes) -> str | None:
    """UTF-8 as text without control characters, or None if too much of it is none."""
    kept = _C1.sub(b"", content.translate(None, _C0))
    text = kept.decode("utf-8", "replace").removeprefix("\ufeff")
    faulty = text.count("\ufffd") + len(content) - len(kept)
    if faulty > _MAX_FAULTY * len(text):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _no_pages(path: Path, name: str, counts: Counter) -> InputError:
    """What to say of a file without a page."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if not head:
        return InputError(name, "is empty", _AGAIN)
    if head.startswith(MAGIC):
        try:
            with gzip.open(path) as stream:
                head = stream.read(64)
        except (EOFError, OSError, zlib.error):
            head = b""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        start = head.decode("utf-8", "replace").split()[0]
        return InputError(name, f"begins with {start} and is an error page", _AGAIN)
    if not counts["records"]:
        return InputError(name, "holds no WARC record", _AGAIN)
    met = ", ".join(f"{count} {key}" for key, count in sorted(counts.items()) if count)
    remedy = "give a file with 'conversion' records (WET) or HTML responses (WARC)"
    return InputError(name, f"holds no page that can be read: {met}", remedy)


def read_dataset(
    name: str,
    /,
    split: str,
    text_column: str,
    limit: int | None,
    funnel: Counter,
    limits: ReadLimits = ReadLimits(),
    **options: object,
) -> Iterator[Page]:
    """Pages of a dataset, streamed with Hugging Face `datasets` in the order of its rows.

    With ``data_files="pages.jsonl"`` among the options, the name ``json`` reads a local file
    without a network; ``allenai/c4`` with ``name="en"`` reads the hub. The column ``url`` is used
    where there is one; a row without an address gets its record_id for one, and so a host of its
    own. Code from the hub is never run.

    Parameters
    ----------
    name
        Hub name, local folder, or the name of a file format.
    split
        Split to stream.
    text_column
        Column that holds the page's text; a row without a text is an empty page.
    limit
        Rows to read at most; None for all.
    funnel
        Counted up in place when the generator ends or is closed: ``records`` (rows), of which
        ``records_oversize``, ``records_headers`` (address that cannot be parsed) and
        ``records_encoding`` are left out as by `read_pages`; and ``bytes_text``.
    limits
        What a single page may cost.
    **options
        Further arguments of ``datasets.load_dataset``.

    Raises
    ------
    InputError
        The dataset cannot be opened or read, has no such column, holds a text or address that is
        no string, or has no row.
    """
    import datasets  # takes two seconds, and reading WET files does without

    where, counts = f"dataset {name}, split {split}", Counter()
    settings = json.dumps([name, split, options], sort_keys=True, default=str)
    file = f"{name}#{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    try:
        stream = datasets.load_dataset(name, split=split, streaming=True, **options)
        for row, record in enumerate(stream if limit is None else stream.take(limit)):
            counts["records"] += 1
            text, url = (_cell(record, c, f"{where}, row {row}") for c in (text_column, "url"))
            record_id = f"{file}:{split}:{row}"
            content, fault = _row_text(text, url, limits.max_bytes)
            if fault:
                counts[fault] += 1
                continue
            counts["bytes_text"] += len(content.encode())
            yield Page(url or record_id, record_id, row, content, file)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        if isinstance(error, InputError):
            raise
        what = f"cannot be read: {' '.join(str(error).split())}"
        raise InputError(where, what, "check name, split and connection") from error
    finally:
        funnel.update(counts)
    if not counts["records"]:
        raise InputError(where, "has no row", "choose another split or raise the limit")


def _cell(record: dict, column: str, where: str) -> str:
    """What a row holds in a column; the address may be missing."""
    if column not in record and column != "url":
        what = f"no column {column!r} among {', '.join(record)}"
        raise InputError(where, what, "name the column that holds the text")
    value = record.get(column)
    if value is not None and not isinstance(value, str):
        what = f"holds a value of type {type(value).__name__}, not a text"
        raise InputError(f"{where}, column {column!r}", what, "name another column or repair it")
    return value or ""


def _row_text(text: str, url: str, max_bytes: int) -> tuple[str, str]:
    """Text of a row as `_text` gives it, and the count that it falls under if it is left out."""
    # A lone surrogate becomes one U+FFFD, not the three that its bytes would.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    if len(whole) > max_bytes:
        return "", "records_oversize"
    if not _parses(url):
        return "", "records_headers"
    cleaned = _text(whole)
    return ("", "records_encoding") if cleaned is None else (cleaned, "")
