"""Sound records of a WARC file, plain or gzipped, however damaged the file is."""

import io
import re
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord

START = b"WARC/1."
MAGIC = b"\x1f\x8b\x08"
_HEADER = 32 << 10  # fastwarc's own bound on the length of a record's header [bytes]
_BLOCK = 16 << 10  # holds a page or two; what goes beyond its member is read anew with the next
_SCAN = 64 << 10
_TRIAL = 1 << 10  # enough for a gzip header and the first bytes of what follows
_AFTER = 64  # what is looked at after a record [bytes]
_AGAIN = 16  # how often on average content is inflated anew, so that no damage takes forever
_AGAIN_FREE = 64 << 20  # beyond this many bytes of it
_STARTS = re.compile(rb"\x1f\x8b\x08|\nWARC/1\.")


@dataclass(frozen=True, slots=True)
class Record:
    """A record, and where it (its gzip member, if it is in one) begins in its file [bytes]."""

    offset: int
    warc: WarcRecord


class _LostError(Exception):
    """What stands at `offset` is no record, or no record that says where it ends."""

    def __init__(self, offset: int):
        super().__init__(offset)
        self.offset = offset


class _Stream(ABC):
    """Bytes read ahead as far as asked and no further, from a position of a file on."""

    fault = "records_truncated"  # why there are no more bytes where there should be

    def __init__(self, file: BinaryIO, start: int):
        file.seek(start)
        self._file = file
        self._held = bytearray()
        self.start = self.offset = start

    @abstractmethod
    def _pull(self) -> bytes:
        """Bytes that follow what is held; none at the end."""

    @abstractmethod
    def _leap(self, n: int) -> int:
        """Pass over n bytes that are not held, and return how many there were."""

    def peek(self, n: int) -> bytes:
        """Return the next n bytes, fewer at the end."""
        while len(self._held) < n and (block := self._pull()):
            self._held += block
        return bytes(self._held[:n])

    @abstractmethod
    def mark(self) -> None:
        """Keep this place, to search on from if what stands here is lost."""

    @abstractmethod
    def search(self) -> tuple[int, bool]:
        """Pass over bytes from the mark to the next record: how many, and whether there is one."""

    def skip(self, n: int) -> int:
        """Pass over n bytes, and return how many there were."""
        held = min(n, len(self._held))
        del self._held[:held]
        return held + (self._leap(n - held) if held < n else 0)


class _Plain(_Stream):
    """A file as it is; `offset` moves along."""

    ends_well = True

    def _pull(self) -> bytes:
        return self._file.read(_BLOCK)

    def _leap(self, n: int) -> int:
        here, end = self._file.tell(), self._file.seek(0, io.SEEK_END)
        return self._file.seek(min(here + n, end)) - here

    def skip(self, n: int) -> int:
        skipped = super().skip(n)
        self.offset += skipped
        return skipped

    def mark(self) -> None:
        """Nothing to keep: a file is searched from where step was lost, see `resume`."""

    def search(self) -> tuple[int, bool]:
        """Nothing to pass over, for the same reason."""
        return 0, False

    def resume(self, lost: int) -> int:
        """Where to search on from when step was lost at a position."""
        return lost + 1

    def end(self) -> int:
        """Where what follows the last record begins."""
        return self.offset


class _Member(_Stream):
    """The content of a gzip member; `offset` stays where the member begins."""

    def __init__(self, file: BinaryIO, start: int):
        super().__init__(file, start)
        self._inflate = zlib.decompressobj(wbits=31)
        self._inflated = self._furthest = self._again = 0  # bytes of content
        self._length: int | None = None  # of the content, once its end was met
        self.mark()

    @property
    def ends_well(self) -> bool:
        return self._inflate.eof  # reached only if checksum and length are right

    def _pull(self) -> bytes:
        block = b""
        while not (block or self.ends_well or self.fault == "records_corrupt"):
            packed = self._inflate.unconsumed_tail or self._file.read(_BLOCK)
            if not packed:
                break
            try:
                block = self._inflate.decompress(packed, _BLOCK)
            except zlib.error:
                self.fault = "records_corrupt"
        self._inflated += len(block)
        self._furthest = max(self._furthest, self._inflated)
        if not block:
            self._length = self._inflated
        return block

    def mark(self) -> None:
        inflate = self._inflate if self.ends_well else self._inflate.copy()
        self._marked = inflate, self._file.tell(), bytes(self._held), self._inflated

    def _rewind(self) -> int:
        """Go back to the mark, or return by how many bytes it is too late for that."""
        inflate, position, held, inflated = self._marked
        again = self._again + self._inflated - inflated
        if again > _AGAIN * self._furthest + _AGAIN_FREE:
            return self._inflated - len(self._held) - (inflated - len(held))
        self._again = again
        self._inflate = inflate if inflate.eof else inflate.copy()
        self._file.seek(position)
        self._held, self._inflated = bytearray(held), inflated
        self.fault = type(self).fault
        return 0

    def search(self) -> tuple[int, bool]:
        passed = self._rewind()
        while held := self.peek(_SCAN):
            at = held.find(b"\n" + START)
            if at >= 0:
                return passed + self.skip(at + 1), True
            # What may be the first bytes of a start is looked at again with those after it.
            passed += self.skip(len(held) - len(START) if len(held) == _SCAN else len(held))
        return passed, False

    def _leap(self, n: int) -> int:
        if self._length is not None and self._inflated + n > self._length:
            return 0  # known to be cut off: many such records would each go over all the rest
        left = n
        while left and (block := self._pull()):
            self._held += block[left:]
            left -= min(left, len(block))
        return n - left

    def resume(self, lost: int) -> int:
        """Where to search on from when the member holds no more: within it if no end is sure."""
        while self.skip(_SCAN):
            pass
        return self.end() if self.ends_well else lost + 1

    def end(self) -> int:
        """Where what follows the member begins."""
        if self.peek(1) or not self.ends_well:
            raise _LostError(self.start)
        return self._file.tell() - len(self._inflate.unused_data)


def _begins_member(file: BinaryIO, at: int) -> bool:
    """Whether a gzip member that holds a record begins here."""
    file.seek(at)
    try:
        begin = zlib.decompressobj(wbits=31).decompress(file.read(_TRIAL), len(START))
    except zlib.error:
        return False
    return begin == START


def _next_start(file: BinaryIO, begin: int) -> int | None:
    """Where the next record or gzip member begins: here, or where a search finds one."""
    file.seek(begin)
    held, base = file.read(len(START)), begin
    if held.startswith((START, MAGIC)):
        return begin
    while held:
        for match in _STARTS.finditer(held):
            at = base + match.start() + (match[0] != MAGIC)
            if match[0] != MAGIC or _begins_member(file, at):
                return at
        overlap = held[-len(START) :]
        base += len(held) - len(overlap)
        file.seek(base + len(overlap))
        block = file.read(_SCAN)
        held = overlap + block if block else b""
    return None


def _header(head: bytes, offset: int) -> tuple[WarcRecord, int]:
    """Record without its content, and the length of its header [bytes]."""
    length = head.find(b"\r\n\r\n") + 4
    if not head.startswith(START) or length < 4:
        raise _LostError(offset)
    try:
        # Given the content as well, fastwarc reserves what Content-Length asks for, and aborts.
        stream = io.BytesIO(head[:length])
        return next(ArchiveIterator(stream, parse_http=False, stream_detect=False)), length
    except (OSError, StopIteration) as error:
        raise _LostError(offset) from error


def _content_fault(warc: WarcRecord, content: bytes | None, ends: bool) -> str:
    """Why a record is left out, or "" after giving it its content; None is a content too long."""
    if content is None:
        return "records_oversize" if ends else "records_length"
    warc.set_bytes_content(content)
    if "WARC-Block-Digest" in warc.headers:
        return "" if warc.verify_block_digest() else "records_digest"
    return "" if ends else "records_length"


def _read_record(stream: _Plain | _Member, max_bytes: int, counts: Counter) -> WarcRecord | None:
    """Take the next record from a stream; None if it is unsound but says where it ends."""
    offset = stream.offset
    warc, header_length = _header(stream.peek(_HEADER), offset)
    stream.skip(header_length)
    counts["records"] += 1
    stated = warc.headers.get("Content-Length", "")
    if not re.fullmatch("[0-9]{1,18}", stated):
        counts["records_headers"] += 1
        raise _LostError(offset)
    length = int(stated)
    content = stream.peek(length) if length <= max_bytes else None
    passed = stream.skip(length)
    after = stream.peek(_AFTER)
    if passed < length or (len(after) < _AFTER and not stream.ends_well):
        counts[stream.fault] += 1
        raise _LostError(offset)
    following = after.lstrip(b"\r\n")
    stream.skip(len(after) - len(following))
    ends = after.startswith(b"\r\n\r\n") or START.startswith(following[: len(START)])
    fault = _content_fault(warc, content, ends)
    if not fault:
        return warc
    counts[fault] += 1
    if not ends:
        raise _LostError(offset)
    return None


def _stream_records(stream: _Plain | _Member, max_bytes: int, counts: Counter) -> Iterator[Record]:
    """Sound records up to the end of a stream, or up to damage that it cannot go on after."""
    sound = 0
    while True:
        try:
            stream.mark()
            while stream.peek(len(START)) == START:
                offset = stream.offset
                warc = _read_record(stream, max_bytes, counts)
                stream.mark()
                if warc is not None:
                    sound += 1
                    yield Record(offset, warc)
            stream.end()
            return
        except _LostError:
            passed, found = stream.search()
            if not found and not (sound and stream.ends_well and passed):
                raise
            counts["resyncs"] += found
            counts["bytes_skipped"] += passed


def read_records(path: Path, max_bytes: int, counts: Counter) -> Iterator[Record]:
    """Sound records of a file in its order, one in memory at a time.

    A record is sound if it has all the bytes of its Content-Length, if it matches its
    WARC-Block-Digest (or has none, and ends where it says), and if its gzip member matches its
    checksum. In a member with several records the checksum comes after the last, so that only the
    last one waits for it. After damage, reading goes on at the next line that begins a record, in
    the content of the member if it is in one, or at the next gzip member. The search goes over each
    byte of a file once, and inflates content anew `_AGAIN` times at most on average. A file that
    was cut exactly between two records cannot be told from a whole one.

    Parameters
    ----------
    path
        The file; whether it is gzipped is told from its content, at each start anew.
    max_bytes
        Longer records are passed over, never held: one of 300 MB would need 600 MB of memory.
    counts
        Counted up in place: ``records``, of which ``records_oversize``, ``records_headers`` (no
        usable Content-Length), ``records_truncated`` (cut off), ``records_corrupt`` (in a gzip
        member that does not inflate), ``records_digest`` and ``records_length`` (no digest, and no
        end where it should be) are left out; ``resyncs``, how often reading was taken up again, and
        ``bytes_skipped``, bytes from the beginning of a damaged record to there: of the content
        where that is within a gzip member, else of the file, from where its member begins.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        position = lost = 0  # where to go on from, and up to where nothing was passed over
        while (start := _next_start(file, position)) is not None:
            counts["resyncs"] += start > lost
            counts["bytes_skipped"] += start - lost
            file.seek(start)
            zipped = file.read(len(MAGIC)) == MAGIC
            stream = _Member(file, start) if zipped else _Plain(file, start)
            try:
                yield from _stream_records(stream, max_bytes, counts)
                position = lost = stream.end()
            except _LostError as error:
                lost, position = error.offset, stream.resume(error.offset)
        counts["bytes_skipped"] += size - lost
