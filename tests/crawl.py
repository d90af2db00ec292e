"""Real web input without the web: Debian's documentation, crawled over loopback.

The HTML of packages that are books, handbooks and FAQs is downloaded, unpacked into a folder,
served on loopback, each package from an address of its own, and crawled with wget into a WARC
file. A WET file is made of that as Common Crawl makes one: a ``conversion`` record for every
page. Nothing on the system changes, and nothing keeps running.
"""

import argparse
import io
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from warcio.warcwriter import WARCWriter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
# ruff: noqa: E402 — the library lies on the path just set

from expression_leakage.benchmark.webtext.read import read_pages

# package → where its HTML lies; the German handbook is there for the language rule to find
PACKAGES = {
    "anarchism": ["doc/anarchism/html"],
    "debian-faq": ["doc/debian/FAQ"],
    "debian-handbook": ["doc/debian-handbook/html/en-US", "doc/debian-handbook/html/de-DE"],
    "debian-reference-en": ["debian-reference"],
    "freedombox-doc-en": ["freedombox/manual/en"],
    "gimp-help-en": ["gimp/2.0/help/en"],
    "harden-doc": ["doc/harden-doc/html/en-US"],
    "installation-guide-amd64": ["doc/installation-guide-amd64/en"],
    "gitmagic": ["doc/gitmagic/html"],
    "mh-book": ["doc/mh-book/html"],
    "png-definitive-guide": ["doc/png-definitive-guide/html"],
    "shorewall-doc": ["doc/shorewall-doc/html"],
    "user-mode-linux-doc": ["doc/user-mode-linux-doc/html"],
    "docutils-doc": ["doc/docutils-doc/docs"],
    "git-doc": ["doc/git-doc"],
    "python-django-doc": ["doc/python-django-doc/html"],
    "swi-prolog-doc": ["swi-prolog/doc/Manual"],
}
PORT = 38_471  # fixed, so that addresses, and with them every place, are the same in every crawl


class UnavailableError(RuntimeError):
    """A program or a package that the crawl needs is out of reach here."""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def address(package: str) -> str:
    """The loopback address of a package, the same whatever else is crawled."""
    return f"127.0.0.{2 + list(PACKAGES).index(package)}"


def unpack(package: str, folder: Path) -> Path:
    """Download a package and unpack it below a folder, unless that was done: its ``usr/share``."""
    target = folder / "packages" / package
    if not target.exists():
        for program in ("apt-get", "dpkg-deb"):
            _need(program, "the pages come from Debian packages")
        download = folder / "packages" / f"{package}.download"
        download.mkdir(parents=True, exist_ok=True)
        run = partial(subprocess.run, capture_output=True, text=True)
        done = run(["apt-get", "download", package], cwd=download)
        archives = sorted(download.glob("*.deb"))
        if done.returncode or not archives:
            faults = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            said = " ".join(faults) or "nothing was downloaded"
            remedy = "run `apt-get update` where there is a network"
            raise UnavailableError(f"{package}: {said} — {remedy}")
        unpacked = download / "unpacked"
        done = run(["dpkg-deb", "-x", str(archives[-1]), str(unpacked)])
        if done.returncode:
            shutil.rmtree(download)
            raise UnavailableError(f"{package}: {' '.join(done.stderr.split())} — try again")
        unpacked.rename(target)
        shutil.rmtree(download)
    share = target / "usr" / "share"
    for path in PACKAGES[package]:
        if not (share / path).is_dir():
            raise UnavailableError(f"{package}: holds no usr/share/{path} — leave it out")
    return share


@contextmanager
def serving(folder: Path, host: str, port: int) -> Iterator[str]:
    """Serve a folder while the context lasts; yields its address."""
    handler = partial(Quiet, directory=str(folder))
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        what = f"{host}:{port} cannot be served from: {error.strerror}"
        raise OSError(f"{what} — free it or name another --port") from error
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _need(program: str, why: str) -> None:
    if shutil.which(program) is None:
        raise UnavailableError(f"no `{program}` on the path: {why} — install it")


def fetch(starts: Sequence[str], warc: Path) -> None:
    """Crawl from some addresses, with wget, into a WARC file; pages only, no style or image."""
    _need("wget", "it crawls and writes the WARC file")
    scratch = warc.parent / "wget"
    scratch.mkdir(exist_ok=True)
    options = "--no-config --no-proxy --no-hsts --no-verbose --tries=3 --timeout=30 --recursive"
    options += " --level=inf --no-parent --delete-after --no-warc-keep-log"
    command = ["wget", *options.split(), r"--accept-regex=(/|\.html)$"]
    command += [f"--directory-prefix={scratch}", f"--warc-tempdir={scratch}"]
    command += [f"--warc-file={warc.with_suffix('').with_suffix('')}"]
    done = subprocess.run([*command, *starts], capture_output=True, text=True)
    shutil.rmtree(scratch)
    if done.returncode not in (0, 8):  # 8: a link led nowhere, which is how the web is
        last = done.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"wget ended with status {done.returncode}: {' '.join(last)}")


def write_wet(warc: Path, wet: Path) -> int:
    """Write the text of a WARC file's pages as a WET file; returns how many there are."""
    with wet.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        about = {"software": "tests/crawl.py", "isPartOf": "loopback"}
        writer.write_record(writer.create_warcinfo_record("crawl.warc.wet.gz", about))
        number = 0
        for page in read_pages(warc, warc.name, Counter()):
            record = writer.create_warc_record(
                page.url,
                "conversion",
                payload=io.BytesIO(page.text.encode()),
                warc_content_type="text/plain",
                warc_headers_dict={"WARC-Refers-To": f"<{page.record_id}>"},
            )
            writer.write_record(record)
            number += 1
    return number


def crawl(folder: Path, packages: Sequence[str] = tuple(PACKAGES), port: int = PORT) -> Path:
    """Crawl packages into ``crawl.warc.gz`` and make ``crawl.warc.wet.gz`` of it.

    Parameters
    ----------
    folder
        Where everything goes; packages unpacked there before are not downloaded again.
    packages
        Names out of `PACKAGES`.
    port
        Port to serve from. It is part of every page's address.

    Returns
    -------
    Path
        The WET file.

    Raises
    ------
    UnavailableError
        A program is missing, or a package cannot be downloaded.
    OSError
        The port is taken.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    whole, one, unfinished = (folder / f"{name}.warc.gz" for name in ("crawl", "package", "part"))
    with unfinished.open("wb") as stream:
        for package in packages:
            share = unpack(package, folder)
            with serving(share, address(package), port) as site:
                fetch([f"{site}/{path}/" for path in PACKAGES[package]], one)
            with one.open("rb") as part:
                shutil.copyfileobj(part, stream)
            print(f"{package}: {one.stat().st_size / 1e6:.1f} MB from {site}", flush=True)
            one.unlink()
    unfinished.rename(whole)
    wet = folder / "crawl.warc.wet.gz"
    pages = write_wet(whole, unfinished)
    unfinished.rename(wet)
    print(f"{wet}: {pages} pages, {wet.stat().st_size / 1e6:.1f} MB", flush=True)
    return wet


def main(arguments: Sequence[str] | None = None) -> None:
    """Crawl from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("folder", type=Path, help="where the packages, the WARC and the WET file go")
    names = f"out of {', '.join(PACKAGES)}; by default all"
    add("--packages", nargs="+", choices=PACKAGES, default=[*PACKAGES], metavar="NAME", help=names)
    add("--port", type=int, default=PORT, help="port on loopback (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        crawl(options.folder, options.packages, options.port)
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
