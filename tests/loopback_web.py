"""A web server on the loopback that holds files and fails as a test wants it to."""

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Held:
    """A file of the server, and how giving it goes wrong before it goes right.

    Parameters
    ----------
    failing
        Statuses that the first requests get instead, in order.
    headers
        Sent with every answer, failures included: ETag, Retry-After, Location.
    breaks
        Bytes after which the first bodies end, in order, under the length of the whole.
    how
        How they end: close (short), reset, or stall (nothing more is sent).
    ranges
        Whether it sends parts of the file.
    counted
        Whether it says how long a body is.
    """

    body: bytes
    failing: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    how: str = "close"
    ranges: bool = False
    counted: bool = True


@dataclass
class Web:
    """Files by path, with their query if they have one; `asked` is each request's headers."""

    files: dict[str, Held] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def add(self, path: str, body: bytes = b"", **how) -> str:
        """Hold a file; its address."""
        self.files[path] = Held(body, **how)
        return self.url + path

    def headers(self, name: str) -> list[str | None]:
        """A header of each request, None where it had none."""
        return [headers.get(name) for _, headers in self.asked]


class _Handler(BaseHTTPRequestHandler):  # HTTP/1.0: no connection outlives its request
    def log_message(self, *args):
        pass

    def do_GET(self):
        web = self.server.web
        web.asked.append((self.path, dict(self.headers)))
        held = web.files.get(self.path) or web.files.get(urlsplit(self.path).path)
        if held is None:
            self._send(404, {}, b"not found")
        elif held.failing:
            self._send(held.failing.pop(0), held.headers, b"<Error/>")
        else:
            self._give(held)

    def _give(self, held: Held):
        start = self._start(held)
        if start >= len(held.body) > 0:
            return self._send(416, held.headers, b"")
        body, headers, status = held.body[start:], dict(held.headers), 200
        if start:
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(held.body) - 1}/{len(held.body)}"
        if held.counted:
            headers["Content-Length"] = str(len(body))
        broken = bool(held.breaks)
        self._send(status, headers, body[: held.breaks.pop(0)] if broken else body)
        if broken and held.how == "reset":
            at_once = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            self.connection.close()
        if broken and held.how == "stall":
            self.server.web.closing.wait()

    def _start(self, held: Held) -> int:
        """Where the part that was asked for begins, if it is of this version of the file."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        marks = (held.headers.get("ETag"), held.headers.get("Last-Modified"))
        same = self.headers.get("If-Range", marks[0]) in marks
        return int(asked[1]) if held.ranges and asked and same else 0

    def _send(self, status: int, headers: dict[str, str], body: bytes):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that was killed has left its connection


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    """Run it on a free port of this machine; its address is `web.url`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.web, web.url = web, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        web.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
