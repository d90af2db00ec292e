"""Plain text of HTML pages, extracted in a child process that may hang or die of a page."""

import codecs
import os
import resource
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

_LENGTH = struct.Struct("<I")
_MEMORY = 1 << 30  # of the child [bytes]: 17 kB of unclosed tags take 200 MB, 650 kB many GB
_WALL = 10  # wall clock for each second of processor time, should the child ever wait
_TIMERS = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_TEXT = 70  # exit status of a child that met an exception in a page


class PageExtractor:
    """Extracts the text of one page after the other in a child process.

    The child starts with the first page, and anew after each page that it does not survive. Its
    time is kept by a timer of the kernel, which also ends native code, and also when this process
    is gone. It is processor time: what is left out must not depend on how busy a machine is.

    Parameters
    ----------
    seconds
        Processor time that a page may take [s]. resiliparse takes 4 s for 200,000 nested tags, and
        over 12 s for a tag with 60,000 attributes.

    Examples
    --------
    >>> with PageExtractor() as extractor:
    ...     extractor.text(b"<h1>One</h1><p>Two &amp; three.")
    (b'One\\n\\nTwo & three.', '')
    """

    def __init__(self, seconds: float = 5.0):
        self._seconds = seconds
        self._child: subprocess.Popen | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.kill()
            self._bury()

    def text(self, html: bytes, charset: str | None = None) -> tuple[bytes, str]:
        """Plain text of a page, each of its blocks a line.

        All of the text is kept, as in Common Crawl's WET files, so that the rules for pages and
        sentences mean the same for both. With `main_content`, resiliparse drops one line of prose
        in seven from Debian's manuals, and takes over 12 s for 60,000 nested tags.

        Parameters
        ----------
        html
            The page as it was sent.
        charset
            Encoding that the server named. What is valid UTF-8 is read as that in any case; where
            the name is missing or does not fit, the page's own statement or its bytes decide.

        Returns
        -------
        text
            In UTF-8; empty if there is a fault.
        fault
            "", "timeout" or "crashed"; the latter also for a page that takes over 1 GiB of memory.

        Raises
        ------
        RuntimeError
            The child cannot even be started.
        """
        if self._child is None:
            # -P: the modules beside this file must not stand in for the standard library's.
            command = [sys.executable, "-P", __file__, str(self._seconds)]
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        try:
            _send(self._child.stdin, (charset or "").encode(), html)
            return _receive(self._child.stdout), ""
        except (BrokenPipeError, EOFError):
            status = self._bury()
        if 0 < status != _NO_TEXT:
            raise RuntimeError(f"{__file__} cannot be run: exit status {status}")
        return b"", "timeout" if -status in _TIMERS.values() else "crashed"

    def _bury(self) -> int:
        """Exit status of a child that has died."""
        child, self._child = self._child, None
        with suppress(BrokenPipeError), child:  # what it did not read cannot be flushed
            pass
        return child.returncode


def _send(stream: BinaryIO, *messages: bytes) -> None:
    for message in messages:
        stream.write(_LENGTH.pack(len(message)))
        stream.write(message)
    stream.flush()


def _receive(stream: BinaryIO) -> bytes:
    """Next message; EOFError if the stream ends before it does."""
    head = stream.read(_LENGTH.size)
    if len(head) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        message = stream.read(length)
        if len(message) == length:
            return message
    raise EOFError


def _decoded(html: bytes, charset: str) -> str:
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    for mark, encoding in _BOMS.items():
        if html.startswith(mark):
            return html.decode(encoding, "replace")
    if b"\0" not in html:  # UTF-16 is valid UTF-8 as long as it is English
        with suppress(UnicodeDecodeError):
            return html.decode("utf-8")
    named = map_encoding_to_html5(charset, fallback_utf8=False)
    if named is not None:
        with suppress(UnicodeDecodeError, LookupError):
            return html.decode(named)
    return html.decode(detect_encoding(html, from_html_meta=True) or "utf-8", "replace")


def _serve(seconds: float) -> None:
    """The child: pages from standard input, their text to standard output, until the end."""
    from resiliparse.extract.html2text import extract_plain_text

    with suppress(ValueError, OSError):  # a lower limit is set already, or macOS, which has none
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    for number in _TIMERS.values():
        signal.signal(number, signal.SIG_DFL)
    limits = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: _WALL * seconds}
    with suppress(EOFError):
        while True:
            charset, html = (_receive(sys.stdin.buffer) for _ in range(2))
            for timer, limit in limits.items():
                signal.setitimer(timer, limit)
            try:
                text = extract_plain_text(
                    _decoded(html, charset.decode()),
                    preserve_formatting=True,
                    main_content=False,
                    list_bullets=False,
                    alt_texts=False,
                    links=False,
                    form_fields=False,
                ).encode("utf-8", "replace")
            except Exception:
                os._exit(_NO_TEXT)
            for timer in limits:
                signal.setitimer(timer, 0)
            _send(sys.stdout.buffer, text)


if __name__ == "__main__":
    _serve(float(sys.argv[1]))
