"""A hub on this machine: serves model folders to the real client, and refuses as the hub does.

The client reads ``HF_ENDPOINT`` when it is imported, so what talks to this hub must run in a
process of its own: `client_process`, or any subprocess given `client_environment`.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_loopback"  # noqa: S105 - of an account that accepted every model's terms
STRANGER = "hf_stranger"  # of one that accepted none
INFO = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)(?:/revision/(?P<rev>.+))?")
TREE = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/tree/(?P<rev>[^/]+)(?P<under>/.+)?")
FILE = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<name>.+)")


@dataclass
class Repository:
    """Folders by commit; `refs` names commits, by branch or otherwise."""

    folders: dict[str, Path]
    refs: dict[str, str]
    gated: bool = False

    def commit(self, revision: str | None) -> str | None:
        revision = self.refs.get(revision or "main", revision)
        return revision if revision in self.folders else None


@dataclass
class LoopbackHub:
    """The hub, served by threads while its context is open; `requests` is what was asked of it."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, *folders: Path, gated: bool = False) -> list[str]:
        """Publish folders as one repository's commits, oldest first; main is the last."""
        commits = [hashlib.sha1(f"{name}/{i}".encode()).hexdigest() for i in range(len(folders))]  # noqa: S324 - as git names commits
        by_commit = dict(zip(commits, map(Path, folders), strict=True))
        self.repositories[name] = Repository(by_commit, {"main": commits[-1]}, gated)
        return commits

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._open(port=0)
        return self

    def __exit__(self, *error):
        self._close()

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """Nobody answers at the hub's address."""
        port = self._server.server_port
        self._close()
        yield
        self._open(port)

    def _open(self, port: int):
        class Handler(_Handler):
            served = self

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _close(self):
        self._server.shutdown()
        self._server.server_close()


def stated_size(folder: Path) -> dict | None:
    """What the hub says of a folder's safetensors: numbers by type, read off the headers."""
    numbers: dict[str, int] = {}
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for tensor in (value for name, value in header.items() if name != "__metadata__"):
            kind = tensor["dtype"]
            numbers[kind] = numbers.get(kind, 0) + prod(tensor["shape"])
    return {"parameters": numbers, "total": sum(numbers.values())} if numbers else None


class _RefusedError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", commit: str | None = None):
        self.status = status
        named = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        self.headers = {key: value for key, value in named.items() if value}


class _Handler(BaseHTTPRequestHandler):
    served: LoopbackHub  # and HTTP/1.0: no connection outlives its request

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, *message):
        pass

    def _answer(self, body: bool):
        path = unquote(urlsplit(self.path).path)
        self.served.requests.append((self.command, path))
        try:
            for pattern, reply in ((TREE, self._tree), (INFO, self._info), (FILE, self._file)):
                if match := pattern.fullmatch(path):
                    return reply(body, **match.groupdict())
            raise _RefusedError(404, message="Sorry, we can't find the page you are looking for.")
        except _RefusedError as refused:
            said = {"error": refused.headers.get("X-Error-Message", "")}
            self._send(refused.status, json.dumps(said).encode(), body, refused.headers)

    def _send(self, status: int, content: bytes, body: bool, headers: dict):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _found(self, name: str, revision: str | None) -> tuple[Repository, str]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("", TOKEN, STRANGER):
            raise _RefusedError(401, message="Invalid credentials in Authorization header")
        repository = self.served.repositories.get(name)
        if repository is None:
            raise _RefusedError(404 if token else 401, "RepoNotFound", "Repository not found")
        commit = repository.commit(revision)
        if commit is None:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, commit

    def _info(self, body: bool, id: str, rev: str | None):
        """Of gated models too, for anyone, as the hub does."""
        repository, commit = self._found(id, rev)
        folder = repository.folders[commit]
        info = {
            "id": id,
            "sha": commit,
            "private": False,
            "gated": "manual" if repository.gated else False,
            "siblings": [{"rfilename": path.name} for path in sorted(folder.iterdir())],
        }
        if size := stated_size(folder):
            info["safetensors"] = size
        self._send(200, json.dumps(info).encode(), body, {"Content-Type": "application/json"})

    def _tree(self, body: bool, id: str, rev: str, under: str | None):
        repository, commit = self._found(id, rev)
        if under:
            raise _RefusedError(404, "EntryNotFound", f"{under} does not exist", commit)
        files = [
            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _etag(path)}
            for path in sorted(repository.folders[commit].iterdir())
        ]
        self._send(200, json.dumps(files).encode(), body, {"Content-Type": "application/json"})

    def _file(self, body: bool, id: str, rev: str, name: str):
        repository, commit = self._found(id, rev)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repository.gated and token != TOKEN:
            raise _RefusedError(403 if token else 401, "GatedRepo", f"{id} is restricted")
        path = repository.folders[commit] / name
        if not path.is_file():
            raise _RefusedError(404, "EntryNotFound", "Entry not found", commit)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(path)}"'}
        length = {"Content-Length": str(path.stat().st_size)}
        self._send(200, path.read_bytes() if body else b"", body, headers | length)


def _etag(path: Path) -> str:
    """Stands for the content without reading it, for a file may be as large as it likes."""
    state = path.stat()
    said = f"{path.name}/{state.st_size}/{state.st_mtime_ns}"
    return hashlib.sha1(said.encode()).hexdigest()  # noqa: S324 - as git names blobs


def client_environment(url: str, home: Path, **more: str) -> dict[str, str]:
    """Variables under which the hub's client talks to this hub and keeps its cache in a folder."""
    return {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_TOKEN": "",
    } | more


@contextmanager
def client_process(url: str, home: Path, **more: str) -> Iterator[ProcessPoolExecutor]:
    """A process of its own for the hub's client; ``submit(function, ...).result()`` runs there."""
    spawn = get_context("spawn")
    settings = client_environment(url, home, **more)
    with ProcessPoolExecutor(1, spawn, set_environment, (settings,)) as process:
        yield process


def set_environment(settings: dict[str, str]) -> None:
    os.environ.update(settings)
