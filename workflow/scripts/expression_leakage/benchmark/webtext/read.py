"""Pages of web text, from Common Crawl WET files or from a Hugging Face dataset."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from expression_leakage.errors import InputError

_REQUIRED_HEADERS = ("WARC-Target-URI", "WARC-Record-ID", "Content-Length")
_AGAIN = "fetch the file again"


@dataclass(frozen=True)
class Page:
    """The plain text of one web page and where it stands in its source.

    Parameters
    ----------
    url
        Address the page was fetched from.
    record_id
        WARC-Record-ID without its scheme, or dataset, split and row.
    offset
        Where the record begins in its file [bytes], or its row in the dataset.
    text
        The page, lines ended by LF.
    """

    url: str
    record_id: str
    offset: int
    text: str


def read_wet(path: str | Path, max_bytes: int = 1_000_000) -> Iterator[Page]:
    """Pages of a WET file, plain or gzipped, in the order of the file.

    A cut-off file ends without an error in every common WARC reader, so each record's length is
    compared with its header, and its content with its digest where it carries one. A file that
    was cut exactly between two records cannot be told from a whole one.

    Parameters
    ----------
    path
        ``.wet`` or ``.wet.gz``; compression is recognised by content.
    max_bytes
        Longer records are left out unread: a single 300 MB record would need 600 MB of memory.

    Raises
    ------
    InputError
        The file is missing, is not WARC, is damaged, or holds no page.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "give the path of a .wet or .wet.gz file")
    pages = 0
    try:
        for record in ArchiveIterator(
            str(path),
            record_types=WarcRecordType.conversion,
            parse_http=False,
            max_content_length=max_bytes,
            fsspec_args=False,
        ):
            yield _page(record, path)
            pages += 1
    except OSError as error:
        raise InputError(path, f"not WARC after {pages} pages: {error}", _AGAIN) from error
    if not pages:
        raise InputError(path, "holds no page", "give a WET file: its type is 'conversion'")
    if not _ends_well(path):
        raise InputError(path, "cut short: its last record does not end", _AGAIN)


def _page(record: WarcRecord, path: Path) -> Page:
    """Read one record, sure that all of it is there."""
    where = f"{path}, record at byte {record.stream_pos}"
    missing = [name for name in _REQUIRED_HEADERS if record.headers.get(name) is None]
    if missing:
        raise InputError(where, f"cut short: no {', '.join(missing)}", _AGAIN)
    length = record.content_length  # the check below sets it to what it found
    damaged = "WARC-Block-Digest" in record.headers and not record.verify_block_digest()
    content = record.reader.read()
    if len(content) != length:
        raise InputError(where, f"cut short: {len(content)} of {length} bytes", _AGAIN)
    if damaged:
        raise InputError(where, "content does not match its WARC-Block-Digest", _AGAIN)
    return Page(
        url=record.headers["WARC-Target-URI"],
        record_id=record.headers["WARC-Record-ID"].strip("<>"),
        offset=record.stream_pos,
        text=content.decode("utf-8", errors="replace"),
    )


def _ends_well(path: Path) -> bool:
    """Whether a file ends as a WARC record does: one cut inside a header leaves no record."""
    with path.open("rb") as stream:
        opened = gzip.open if stream.read(2) == b"\x1f\x8b" else open
    tail = b""
    try:
        with opened(path, "rb") as stream:
            while block := stream.read(1 << 20):
                tail = (tail + block)[-4:]
    except (EOFError, OSError, zlib.error):
        return False
    return tail == b"\r\n\r\n"


def read_dataset(
    name: str, /, split: str, text_column: str, limit: int | None = None, **options: object
) -> Iterator[Page]:
    """Pages of a dataset, streamed with Hugging Face `datasets` in the order of its rows.

    ``read_dataset("json", "train", "text", data_files="pages.jsonl")`` reads a local file without
    a network; ``read_dataset("allenai/c4", "train", "text", 10_000, name="en")`` reads the hub.
    The column ``url`` is used where there is one. Code from the hub is never run.

    Parameters
    ----------
    name
        Hub name, local folder, or the name of a file format.
    split
        Split to stream.
    text_column
        Column that holds the page's text.
    limit
        Rows to read at most; None for all.
    **options
        Further arguments of ``datasets.load_dataset``.

    Raises
    ------
    InputError
        The dataset cannot be opened or read, has no such column, or has no row.
    """
    import datasets  # takes two seconds, and reading WET files does without

    where, row = f"dataset {name}, split {split}", -1
    try:
        stream = datasets.load_dataset(name, split=split, streaming=True, **options)
        for row, record in enumerate(stream if limit is None else stream.take(limit)):
            if text_column not in record:
                what = f"no column {text_column!r} among {', '.join(record)}"
                raise InputError(where, what, "name the column that holds the text")
            record_id = f"{name}:{split}:{row}"
            text = record[text_column] or ""
            yield Page(record.get("url") or record_id, record_id, row, text)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        if isinstance(error, InputError):
            raise
        what = f"cannot be read: {' '.join(str(error).split())}"
        raise InputError(where, what, "check name, split and connection") from error
    if row < 0:
        raise InputError(where, "has no row", "choose another split or raise the limit")
