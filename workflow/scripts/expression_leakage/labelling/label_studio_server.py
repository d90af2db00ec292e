"""A Label Studio server of one's own, on the loopback, and its API.

Label Studio lives in a virtual environment of its own and is spoken to over HTTP only. Database,
log and credentials stand in one folder, which nobody but its owner may read.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from expression_leakage.errors import InputError

HOST = "127.0.0.1"
_START_S = 300
_STOP_S = 20
_REQUEST_S = 600
_SETTINGS = {
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "ALLOWED_HOSTS": f"{HOST},localhost",
    "CORS_ALLOW_ALL_ORIGINS": "false",
    "ENABLE_LOCAL_FILES_STORAGE": "false",
    "LOCAL_FILES_SERVING_ENABLED": "false",
    "HOST": "",
    "LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class Account:
    """Who may log in to a server, and the token of its API."""

    email: str
    password: str
    token: str


def account(folder: Path) -> Account:
    """The account of a data folder, made up and kept there when it is first asked for.

    Raises
    ------
    InputError
        The file that keeps it is broken.
    """
    path = folder / "account.json"
    if not path.exists():
        email = f"annotator-{secrets.token_hex(3)}@example.org"
        made = Account(email, secrets.token_urlsafe(12), secrets.token_hex(20))
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(made), file)
        part.replace(path)
    try:
        return Account(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        remedy = f"delete it for a new account; labels in {folder} stay"
        raise InputError(path, "is not the account that was written here", remedy) from error


@contextmanager
def running(program: Path, folder: Path, port: int = 0) -> Iterator["LabelStudio"]:
    """Run a server until the block ends.

    Parameters
    ----------
    program
        The ``label-studio`` to be run.
    folder
        Where the server keeps its data, its log and its account; made if it is not there.
    port
        Port of the loopback; 0: any that is free.

    Raises
    ------
    InputError
        Label Studio is not installed, the port is in use, or the server stops before it answers.
    """
    if not program.exists():
        raise InputError(program, "Label Studio is not installed", "run `make label-studio`")
    port = _free_port(port)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    who = account(folder)
    log = folder / "server.log"
    # --debug does one thing: without it a port that is taken in the meantime is silently replaced.
    command = [program.absolute(), "start", "--internal-host", HOST, "--port", str(port)]
    command += ["--no-browser", "--enable-legacy-api-token", "--debug"]
    with log.open("w") as file:
        # A session of its own: Ctrl-C reaches this process only, which exports before it stops.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(folder, who),
            cwd=folder,
            start_new_session=True,
        )
    try:
        server = LabelStudio(f"http://{HOST}:{port}", who, process, log)
        server.wait_until_ready()
        yield server
    finally:
        _stop(process)


class LabelStudio:
    """A running server and its API.

    Parameters
    ----------
    address
        Where it answers.
    who
        Whose token opens the API.
    process
        The server.
    log
        What it writes.
    """

    def __init__(self, address: str, who: Account, process: subprocess.Popen, log: Path):
        self.address, self.account = address, who
        self._process, self._log = process, log
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc
        self._session.headers["Authorization"] = f"Token {who.token}"

    def wait_until_ready(self) -> None:
        """Return when the server answers to its account.

        Raises
        ------
        InputError
            It stops, does not answer in time, or is somebody else's.
        """
        for _ in range(_START_S * 2):
            if self._process.poll() is not None:
                raise self._dead("stopped before it answered")
            try:
                self._session.get(f"{self.address}/health/", timeout=5)
            except requests.RequestException:
                time.sleep(0.5)
            else:
                self.ask("GET", "/api/current-user/whoami")
                return
        raise self._dead(f"did not answer within {_START_S} s")

    def wait(self) -> None:
        """Block for as long as the server runs; raise `InputError` if it stops by itself."""
        self._process.wait()
        raise self._dead("stopped by itself")

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        """Call the API.

        Raises
        ------
        InputError
            The server does not answer, or refuses.
        """
        try:
            answer = self._session.request(
                method, self.address + path, timeout=_REQUEST_S, **options
            )
        except requests.RequestException as error:
            raise self._dead(f"does not answer: {type(error).__name__}") from error
        if not answer.ok:
            said = " ".join(answer.text.split())[:300]
            what = f"Label Studio refuses ({answer.status_code}): {said}"
            raise InputError(self.address + path, what, f"see {self._log}")
        return answer

    def invitation(self) -> str:
        """Address under which further annotators sign up."""
        return self.address + self.ask("GET", "/api/invite").json()["invite_url"]

    def project(self, title: str) -> int | None:
        """Number of the project of that title; None if there is none."""
        projects = self.ask("GET", "/api/projects/?page_size=1000").json()["results"]
        return next((entry["id"] for entry in projects if entry["title"] == title), None)

    def tasks(self, title: str) -> list[dict]:
        """All tasks of a project with what was said of them, as Label Studio's JSON export."""
        number = self.project(title)
        if number is None:
            return []
        asked = {"exportType": "JSON", "download_all_tasks": "true"}
        return self.ask("GET", f"/api/projects/{number}/export", params=asked).json()

    def _dead(self, what: str) -> InputError:
        tail = " | ".join(self._log.read_text(errors="replace").split("\n")[-6:]).strip(" |")
        remedy = f"see {self._log} and start it again; labels given so far are kept"
        return InputError(self.address, f"Label Studio {what}: {tail[-600:]}", remedy)


def _free_port(port: int) -> int:
    try:
        with socket.create_server((HOST, port)) as taken:
            return taken.getsockname()[1]
    except OSError as error:
        remedy = "stop what runs there, or give another with --port"
        raise InputError(f"{HOST}:{port}", "the port is in use", remedy) from error


def _environment(folder: Path, who: Account) -> dict[str, str]:
    """Settings of the server, and of the caller's environment what any program needs.

    Label Studio reads names as common as PORT, DEBUG and USERNAME. It gets its secrets this way
    because all users of a machine see a program's arguments.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings = _SETTINGS | {
        "BASE_DATA_DIR": str(folder.absolute()),
        "USERNAME": who.email,
        "PASSWORD": who.password,
        "USER_TOKEN": who.token,
    }
    # No setting turns off the tips that it fetches from elsewhere; a proxy that is not there does.
    offline = {"HTTP_PROXY": f"http://{HOST}:9", "HTTPS_PROXY": f"http://{HOST}:9"}
    named = {f"LABEL_STUDIO_{name}": value for name, value in settings.items()}
    return kept | offline | named | {"NO_PROXY": f"{HOST},localhost"}


def _stop(process: subprocess.Popen) -> None:
    """End a server, then whatever it may have left behind in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_S)
