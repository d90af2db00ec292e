"""What ``benchmark.webtext.sources`` names, resolved to files, addresses and datasets.

Imported while the Snakefile is parsed, so nothing here reaches for the network.
"""

import glob
import gzip
import hashlib
import heapq
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from expression_leakage.errors import InputError

COMMON_CRAWL = "https://data.commoncrawl.org/"
KEY = "benchmark.webtext.sources"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NO_PATH = re.compile(r'[\s<>"\\\x00-\x1f]|^\w+:')  # an error page, say, saved as a listing
_SUFFIX = re.compile(r"(?:\.[A-Za-z][A-Za-z0-9]{0,7}){1,3}$")


@dataclass(frozen=True)
class Source:
    """One unit of reading: equal to another if its name is.

    Parameters
    ----------
    name
        A path, a URL, or "dataset", its name, configuration, split and a hash of its settings.
    kind
        local | remote | dataset.
    settings
        Of a dataset, as configured; not printed, for its options may hold a token.
    sha256
        SHA-256 that a remote file must have, in lower-case hex, where the configuration gives it.
    """

    name: str
    kind: str
    settings: Mapping | None = field(default=None, compare=False, repr=False)
    sha256: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Listing:
    """A list of paths, such as ``wet.paths.gz``, and how many of its files to draw.

    Parameters
    ----------
    source
        Where the list is: local or remote.
    files
        Number of files to draw.
    base
        What is put before each path.
    entry
        Its place in the configuration, for errors.
    """

    source: Source
    files: int
    base: str
    entry: str

    @property
    def name(self) -> str:
        """Tells it from other listings of the configuration, and no secret of its addresses."""
        key = _short_hash(f"{self.source.name} {self.base}")
        return f"{self.files} of {shown(self.source.name)} under {shown(self.base)}, {key}"


def listings(entries: Sequence[str | Mapping]) -> list[Listing]:
    """The listings among the configured entries, each once.

    Raises
    ------
    InputError
        A listing cannot be found, or its base is no web address.
    """
    mappings = ((e, where) for e, where in _numbered(entries) if isinstance(e, Mapping))
    found = (_listing(entry, where) for entry, where in mappings if "listing" in entry)
    return list({listing.name: listing for listing in found}.values())


def resolve(
    entries: Sequence[str | Mapping], listed: Mapping[str, Sequence[str]] | None = None
) -> list[Source]:
    """Every file, address and dataset that the entries name, each once, sorted by name.

    Parameters
    ----------
    entries
        ``benchmark.webtext.sources``: paths, globs (``*``, ``?``, ``[``, ``**``), URLs, and
        mappings with the key `listing`, `dataset` or `url`, the last with a `sha256` (64 hex).
    listed
        URLs drawn from each listing, by `Listing.name`; None while no listing has been read: then
        their files are left out.

    Raises
    ------
    InputError
        Names the entry: a file is missing, a glob matches nothing, an address cannot be read or is
        given two sums, or `listed` lacks a listing.
    """
    found: dict[str, Source] = {}
    for entry, where in _numbered(entries):
        if isinstance(entry, str):
            sources = _named(entry, where)
        elif "listing" in entry:
            sources = _drawn(_listing(entry, where), listed)
        elif "url" in entry:
            sources = [replace(_remote(entry["url"], where), sha256=entry["sha256"].lower())]
        else:
            sources = [_dataset(entry)]
        for source in sources:
            known = found.get(source.name, source).sha256
            if known and source.sha256 and known != source.sha256:
                what = f"{shown(source.name)} has another SHA-256 in an entry above"
                raise InputError(where, what, "keep the right one")
            if source.sha256 or not known:
                found[source.name] = source
    return [found[name] for name in sorted(found)]


def read_listing(path: str | Path, where: str = "") -> list[str]:
    """Lines of a listing, plain or gzipped, recognised by content; `where` is its name in errors.

    Raises
    ------
    InputError
        The file is missing, is cut short or damaged, or is no text.
    """
    path, where = Path(path), where or str(path)
    if not path.is_file():
        raise InputError(where, "no such file", "give the path of a wet.paths.gz or of a list")
    raw = path.read_bytes()
    try:
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
        return raw.decode("utf-8").splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(where, f"damaged gzip: {error}", "fetch the file again") from error
    except UnicodeDecodeError as error:
        raise InputError(where, "is no text", "give a list of paths, one a line") from error


def draw_listing(
    lines: Iterable[str], n: int, base: str = COMMON_CRAWL, where: str = "listing"
) -> list[str]:
    """Addresses of `n` files of a listing, those whose paths have the smallest SHA-256.

    They come in that order: a larger draw begins with the smaller one, however the list is sorted.

    Parameters
    ----------
    lines
        Paths, or URLs that are taken as they stand.
    n
        Number of files.
    base
        Put before each path.
    where
        What an error calls the list.

    Raises
    ------
    InputError
        The list holds no path, fewer than `n`, or a line that is neither path nor web address.
    """
    paths = {line.strip(): number for number, line in enumerate(lines, start=1) if line.strip()}
    for path, number in paths.items():
        _check_path(path, f"{where}, line {number}")
    if not paths:
        raise InputError(where, "holds no path", "give a list of paths, one a line")
    if len(paths) < n:
        raise InputError(where, f"holds {len(paths)} paths, not {n}", "draw fewer files")
    drawn = heapq.nsmallest(n, paths, key=lambda path: hashlib.sha256(path.encode()).digest())
    return [p if _SCHEME.match(p) else f"{base.rstrip('/')}/{p.lstrip('/')}" for p in drawn]


def shard_of(name: str, shards: int) -> int:
    """Shard of a source, 0 to `shards` − 1, by its name alone: other sources change nothing."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % shards


def shards_of(sources: Iterable[Source], shards: int) -> dict[int, list[Source]]:
    """Sources by shard, both in order; a shard that would be empty is left out."""
    found: dict[int, list[Source]] = {}
    for source in sorted(sources, key=lambda source: source.name):
        found.setdefault(shard_of(source.name, shards), []).append(source)
    return dict(sorted(found.items()))


def remote_key(url: str) -> str:
    """File name for a fetched address: 16 hex digits of its hash, and its own suffix.

    Examples
    --------
    >>> remote_key("s3://bucket/CC-MAIN-00000.warc.wet.gz")
    '91e171e209be5e9d.warc.wet.gz'
    """
    suffix = _SUFFIX.search(shown(url).partition("://")[2].partition("/")[2])
    return hashlib.sha256(url.encode()).hexdigest()[:16] + (suffix[0] if suffix else "")


def shown(url: str) -> str:
    """A URL without user, password, query and fragment, any of which may be a secret."""
    return re.sub(r"(?<=://)[^/?#]*@", "", re.split(r"[?#]", url, maxsplit=1)[0])


def file_name(name: str) -> str:
    """A source's name for provenance: an address as `shown`, any other name as it stands.

    Where something was cut from an address, 8 hex digits of the hash of the whole follow, so that
    addresses which differ in their query alone stay two.

    Examples
    --------
    >>> file_name("https://host/x.gz?page=1")
    'https://host/x.gz#75d1b969'
    """
    told = shown(name) if _SCHEME.match(name) else name
    return told if told == name else f"{told}#{_short_hash(name)}"


def web_address(url: str) -> str:
    """The HTTP address of a URL; an s3 URL is read without a signature.

    The bucket ``commoncrawl`` is read at Common Crawl's own public front. Other buckets are read
    at the server that ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` names, else at Amazon's;
    private buckets are out of reach.
    """
    if not url.lower().startswith("s3://"):
        return url
    bucket, _, key = url[len("s3://") :].partition("/")
    key = quote(key, safe="/~!*'()")
    if bucket == "commoncrawl":
        return COMMON_CRAWL + key
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if server:
        return f"{server.rstrip('/')}/{bucket}/{key}"
    return f"https://{bucket}.s3.amazonaws.com/{key}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _numbered(entries: Sequence[str | Mapping]) -> Iterator[tuple[str | Mapping, str]]:
    return ((entry, f"{KEY}, entry {n}") for n, entry in enumerate(entries, start=1))


def _named(entry: str, where: str) -> list[Source]:
    """What one string names."""
    if _SCHEME.match(entry):
        return [_remote(entry, where)]
    if Path(entry).is_file():
        return [Source(str(Path(entry)), "local")]
    if not glob.has_magic(entry):
        if Path(entry).is_dir():
            raise InputError(where, f"{entry} is a folder", "name its files, as in folder/*.wet.gz")
        raise InputError(where, f"no such file: {entry}", "correct the path")
    # Path.glob takes hidden files and refuses absolute patterns.
    paths = sorted(str(Path(p)) for p in glob.glob(entry, recursive=True) if Path(p).is_file())  # noqa: PTH207
    if not paths:
        raise InputError(where, f"no file matches {entry}", "correct the pattern")
    return [Source(path, "local") for path in paths]


def _remote(url: str, where: str) -> Source:
    """An address that can be asked for without a login."""
    scheme = _SCHEME.match(url)
    if not scheme or scheme[1].lower() not in ("http", "https", "s3"):
        raise InputError(where, f"cannot read {shown(url)}", "use http://, https:// or s3://")
    try:
        parts = urlsplit(url)
        host = parts.hostname and parts.port != 0
    except ValueError:  # of a port that is no number
        host = False
    if not host:
        raise InputError(where, f"{shown(url)} is no address", "write it as scheme://host/path")
    if "@" in parts.netloc:
        raise InputError(where, f"{shown(url)} has credentials", "leave them out")
    if "*" in url:
        remedy = "name each file, or give a listing"
        raise InputError(where, f"{shown(url)}: patterns match local files only", remedy)
    return Source(url, "remote")


def _listing(entry: Mapping, where: str) -> Listing:
    base = entry.get("base", COMMON_CRAWL)
    _remote(base, f"{where}, base")
    sources = _named(entry["listing"], where)
    if len(sources) > 1:
        raise InputError(where, f"{len(sources)} listings match", "give an entry to each")
    return Listing(sources[0], entry["files"], base, where)


def _drawn(listing: Listing, listed: Mapping[str, Sequence[str]] | None) -> list[Source]:
    """What was drawn from a listing, where listings have been read."""
    if listed is None:
        return []
    if listing.name not in listed:
        raise InputError(listing.entry, "its listing has not been read", "run the workflow again")
    return [_remote(url, listing.entry) for url in listed[listing.name]]


def _dataset(entry: Mapping) -> Source:
    configuration = entry.get("options", {}).get("name")
    settings = json.dumps(entry, sort_keys=True, default=str)
    named = ("dataset", entry["dataset"], configuration, entry.get("split"), _short_hash(settings))
    return Source(" ".join(str(part) for part in named if part), "dataset", entry)


def _check_path(path: str, where: str) -> None:
    """Refuse what is no path, or leads out of the base."""
    if _SCHEME.match(path):
        _remote(path, where)
    elif _NO_PATH.search(path):
        raise InputError(where, "is no path", "give a list of paths or URLs, one a line")
    if ".." in unquote(path).split("/"):
        raise InputError(where, f"{shown(path)} leads upwards", "leave '..' out")
