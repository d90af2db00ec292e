"""One remote file, fetched whole or not at all."""

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from requests.packages import urllib3

from expression_leakage.benchmark.webtext.sources import (
    Listing,
    draw_listing,
    read_listing,
    shown,
    web_address,
)
from expression_leakage.errors import InputError

PASSING = {403, 416, 429, 500, 502, 503, 504}  # 403 is also how Common Crawl says "slow down"
LONGEST_WAIT = 120.0  # [s] of a Retry-After
BLOCK = 1 << 16  # [bytes]
GRACE = 60.0  # [s] of a body before its mean rate counts
SLOWEST = 1000  # mean rate of an attempt [bytes/s]

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_BY_HAND = "fetch the file yourself and name its path"


class _PassingError(Exception):
    """A failure that may not happen again, and how long the server wants to be left alone [s]."""

    def __init__(self, what: str, wait: float = 0.0):
        super().__init__(what)
        self.wait = wait


class _LastingError(Exception):
    """A failure that another attempt would meet as well."""


class _Part:
    """What has arrived so far, and the mark of the version it belongs to."""

    def __init__(self, path: Path):
        self.stream = path.open("wb")
        self.begin()

    def begin(self) -> None:
        self.stream.seek(0)
        self.stream.truncate()
        self.size, self.digest, self.mark = 0, hashlib.sha256(), None

    def add(self, block: bytes) -> None:
        self.stream.write(block)
        self.digest.update(block)
        self.size += len(block)

    def close(self) -> None:
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()


def fetch(
    url: str,
    target: str | Path,
    log: logging.Logger | None = None,
    *,
    retries: int = 5,
    back_off: float = 1.0,
    timeout: tuple[float, float] = (10.0, 60.0),
    sha256: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str | int]:
    """Fetch a URL to a file that stands under its name only when it is complete.

    The body is kept as it is sent, in ``<target>.part`` until it is whole. It is asked for again
    after 403, 429, 500, 502, 503 and 504, a lost connection, a time-out, a body that is shorter
    than announced or empty, and one that comes at a mean rate below 1 kB/s once a minute of the
    attempt is over; from where it broke off, if the server marks its versions
    (ETag or Last-Modified) and sends parts, else from its beginning. What an earlier call left
    behind is never continued. Where a server announces no length and closes the connection early,
    nothing tells that from the end of the file: reading it must.

    Parameters
    ----------
    url
        http, https or s3; see `sources.web_address`.
    target
        Where the file goes; what stood there is replaced.
    log
        Told of each wait, and of the bytes and the speed; None for this module's own.
    retries
        Attempts after the first.
    back_off
        Wait before the second attempt [s], doubled before each further one. A server's
        Retry-After is waited for instead if it is longer, up to two minutes.
    timeout
        To connect, and between two bytes [s].
    sha256
        SHA-256 that the file must have, in hex.
    sleep
        What waits.
    clock
        What tells the time [s].

    Returns
    -------
    dict
        ``url`` without user and query, ``bytes``, ``sha256`` and ``attempts``.

    Raises
    ------
    InputError
        The file could not be had; nothing is left behind.
    """
    log = log or logging.getLogger(__name__)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs whole addresses, query and all
    target, where, began = Path(target), shown(url), clock()
    path = target.with_name(f"{target.name}.part")
    try:
        with closing(_Part(path)) as part:
            for attempt in range(1, retries + 2):
                try:
                    _receive(web_address(url), part, timeout, clock)
                    break
                except _PassingError as error:
                    if attempt > retries:
                        what = f"{error}, as of attempt {attempt}"
                        raise InputError(where, what, f"run again later, or {_BY_HAND}") from None
                    wait = max(back_off * 2 ** (attempt - 1), min(error.wait, LONGEST_WAIT))
                    log.info("%s: %s; attempt %d in %.0f s", where, error, attempt + 1, wait)
                    sleep(wait)
                except _LastingError as error:
                    raise InputError(where, f"{error}", f"correct the URL, or {_BY_HAND}") from None
            found = part.digest.hexdigest()
        if sha256 and found != sha256.lower():
            what = f"has SHA-256 {found}, not {sha256.lower()}"
            raise InputError(where, what, f"correct what is expected, or {_BY_HAND}")
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)
    speed = part.size / 1e6 / max(clock() - began, 1e-9)
    log.info("%s: %d bytes, %.1f MB/s, attempt %d", where, part.size, speed, attempt)
    return {"url": where, "bytes": part.size, "sha256": found, "attempts": attempt}


def draw_all(listings: Iterable[Listing]) -> dict[str, list[str]]:
    """Addresses drawn from each listing, by `Listing.name`; a remote one is fetched and let go.

    They are whole, with the query of those that have one: what is kept of them may hold a secret.

    Raises
    ------
    InputError
        A listing cannot be fetched or read, or holds too few paths.
    """
    drawn = {}
    with TemporaryDirectory() as folder:
        for listing in listings:
            path, where = Path(listing.source.name), shown(listing.source.name)
            if listing.source.kind == "remote":
                path = Path(folder) / "listing"
                fetch(listing.source.name, path)
            lines = read_listing(path, where)
            drawn[listing.name] = draw_listing(lines, listing.files, listing.base, where)
    return drawn


def _receive(
    address: str, part: _Part, timeout: tuple[float, float], clock: Callable[[], float]
) -> None:
    """Ask for what is missing, and take it in."""
    headers = {"Accept-Encoding": "identity"}  # the file as it is, and a length that counts it
    if part.size and part.mark:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.mark}
    try:
        with requests.get(address, headers=headers, timeout=timeout, stream=True) as response:
            total = _total(response, part)
            began, before = clock(), part.size
            # Not `stream`, which waits until a block is full, however slowly it fills.
            while block := response.raw.read1(BLOCK, decode_content=False):
                part.add(block)
                taken, came = clock() - began, part.size - before
                if part.size != total and taken > GRACE and came < SLOWEST * taken:
                    raise _PassingError(f"is too slow: {came} bytes in {taken:.0f} s")
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        what = f"no answer within {timeout[0]:g} s to connect and {timeout[1]:g} s to read"
        raise _PassingError(what) from None
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        raise _PassingError(f"broke off after {part.size} bytes ({_cause(error)})") from None
    except requests.RequestException as error:  # an odd scheme, or redirects without end
        what = f"leads to no address on the web ({type(error).__name__})"
        raise _LastingError(what) from None
    if total is not None and part.size != total:
        raise _PassingError(f"ended after {part.size} of {total} bytes")
    if not part.size:
        raise _PassingError("is empty")


def _total(response: requests.Response, part: _Part) -> int | None:
    """Length of the whole file as announced [bytes]; makes `part` ready for what comes."""
    status, headers = response.status_code, response.headers
    if status in (200, 416):
        part.begin()
    if status in PASSING:
        raise _PassingError(f"HTTP {status}", _asked_wait(headers.get("Retry-After", "")))
    if status == 206:
        sent = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if not sent or int(sent[1]) != part.size:
            part.begin()
            raise _PassingError("sent another part than was asked for")
        return int(sent[2])
    if status != 200:
        raise _LastingError(f"HTTP {status}")
    mark = headers.get("ETag", "")  # a weak one, W/…, does not vouch for each byte
    part.mark = mark if mark.startswith('"') else headers.get("Last-Modified")
    length = headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _asked_wait(said: str) -> float:
    """Seconds that a Retry-After asks for, be it a number or a date; 0 if it cannot be read."""
    if said.isdecimal():
        return float(said)
    try:
        return parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


def _cause(error: BaseException) -> str:
    """The innermost error in words; those around it quote the address with its query."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__
