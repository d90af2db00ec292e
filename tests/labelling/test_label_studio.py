"""How a labelling server is run, what is refused, and what may be seen of its secrets."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest
from label_in_browser import invented_run

from expression_leakage.errors import InputError
from expression_leakage.labelling.label_studio import instructions_body, read_projects
from expression_leakage.labelling.label_studio_server import HOST, account, running

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, ROOT / "workflow" / "scripts" / "label_studio.py"]

STAND_IN = """\
#!{python}
import json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == "Token " + {known}
        self.send_response(200 if known or "health" in self.path else 401)
        self.end_headers()

child = subprocess.Popen(["sleep", "600"])
seen = {{"arguments": sys.argv, "environment": dict(os.environ), "child": child.pid}}
json.dump(seen, open("seen.json", "w"))
port = int(sys.argv[sys.argv.index("--port") + 1])
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def program(tmp_path, text):
    path = tmp_path / "label-studio"
    path.write_text(text)
    path.chmod(0o755)
    return path


def stand_in(tmp_path, known='os.environ["LABEL_STUDIO_USER_TOKEN"]'):
    return program(tmp_path, STAND_IN.format(python=sys.executable, known=known))


def test_the_account_is_made_once_at_random_and_for_its_owner_only(tmp_path):
    (tmp_path / "other").mkdir()
    first = account(tmp_path)
    assert account(tmp_path) == first
    other = account(tmp_path / "other")
    assert not {first.email, first.password, first.token} & {*vars(other).values()}
    assert first.email.endswith("@example.org")
    assert len(first.password) >= 16
    assert len(first.token) == 40
    assert stat.S_IMODE((tmp_path / "account.json").stat().st_mode) == 0o600


def test_a_broken_account_is_an_error(tmp_path):
    (tmp_path / "account.json").write_text("{}")
    with pytest.raises(InputError, match=r"account\.json: is not the account .* delete it"):
        account(tmp_path)


def test_a_missing_label_studio_says_how_to_install_it(tmp_path):
    with (
        pytest.raises(InputError, match=r"not installed — run `make label-studio`"),
        running(tmp_path / "label-studio", tmp_path / "data"),
    ):
        pass


def test_a_port_in_use_is_an_error_before_anything_starts(tmp_path):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(InputError, match=rf"{port}: the port is in use .* --port"),
            running(stand_in(tmp_path), tmp_path / "data", port),
        ):
            pass
    assert not (tmp_path / "data").exists()


def test_a_server_that_stops_before_it_answers_says_its_last_words(tmp_path):
    broken = program(tmp_path, "#!/bin/sh\necho database is locked\nexit 3\n")
    with (
        pytest.raises(InputError, match=r"stopped before it answered: database is locked"),
        running(broken, tmp_path / "data"),
    ):
        pass


def test_a_server_that_does_not_know_the_account_is_not_used(tmp_path):
    with (
        pytest.raises(InputError, match=r"whoami: Label Studio refuses \(401\)"),
        running(stand_in(tmp_path, known='"other"'), tmp_path / "data"),
    ):
        pass


def test_secrets_reach_the_server_unseen_and_it_asks_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_NAME", "somebody's")
    monkeypatch.setenv("LABEL_STUDIO_HOST", "http://elsewhere.example")
    data = tmp_path / "data"
    with running(stand_in(tmp_path), data) as server:
        seen = json.loads((data / "seen.json").read_text())
        secrets = [server.account.email, server.account.password, server.account.token]
    assert not [word for word in seen["arguments"] if word in secrets]
    assert seen["arguments"][seen["arguments"].index("--internal-host") + 1] == "127.0.0.1"
    found = seen["environment"]
    names = ["USERNAME", "PASSWORD", "USER_TOKEN"]
    assert [found[f"LABEL_STUDIO_{name}"] for name in names] == secrets
    assert found["LABEL_STUDIO_BASE_DATA_DIR"] == str(data)
    assert found["LABEL_STUDIO_HOST"] == found["LABEL_STUDIO_SENTRY_DSN"] == ""
    off = ["COLLECT_ANALYTICS", "LATEST_VERSION_CHECK", "LOCAL_FILES_SERVING_ENABLED"]
    assert {found[f"LABEL_STUDIO_{name}"] for name in off} == {"false"}
    assert found["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "true"
    assert "DATABASE_NAME" not in found
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_the_server_ends_with_its_children_whatever_happens(tmp_path):
    with pytest.raises(RuntimeError), running(stand_in(tmp_path), tmp_path / "data") as server:
        child = json.loads((tmp_path / "data" / "seen.json").read_text())["child"]
        port = int(server.address.rsplit(":", 1)[1])
        raise RuntimeError
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or " Z " in state.read_text():
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the child lives on")
    socket.create_server((HOST, port)).close()


def test_a_server_that_stops_by_itself_is_an_error(tmp_path):
    with (
        pytest.raises(InputError, match=r"stopped by itself: .* labels given so far are kept"),
        running(stand_in(tmp_path), tmp_path / "data") as server,
    ):
        os.killpg(server._process.pid, signal.SIGKILL)
        server.wait()


def test_instructions_lose_what_would_run_be_fetched_or_restyle_the_page():
    page = """\
        <html><head><title>t</title></head><body class="a"><STYLE>p {}</STYLE>
        <h1>How to</h1><!-- x --><p>a &amp; b</p><script>alert(1)</script >
        <iframe src="http://example.org"></iframe></body></html>"""
    body = instructions_body(dedent(page))
    kept = re.search(r'<div class="instructions">(.*)</div>', body, re.S)[1]
    assert kept.split() == ["<h1>How", "to</h1><p>a", "&amp;", "b</p>"]


@pytest.mark.parametrize("missing", ["instructions.html", "ratings.json", "pairs.xml"])
def test_missing_results_are_one_line_that_says_what_to_run(tmp_path, missing):
    invented_run(tmp_path / "results", n_items=1)
    (tmp_path / "results" / "annotation" / missing).unlink()
    asked = [*COMMAND, "--results", "results", "--labels", "labels", "--port", "0"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(rf"results/annotation/{missing}: .*run `make` first.*\n", done.stderr)
    assert not (tmp_path / "labels").exists()


def test_broken_tasks_are_an_error_and_a_kind_without_tasks_has_no_project(tmp_path):
    invented_run(tmp_path, n_items=1)
    pairs = tmp_path / "annotation" / "pairs.json"
    pairs.write_text("[]")
    found = read_projects(tmp_path / "annotation", annotators=3)
    assert list(found) == ["rating"]
    assert found["rating"].settings["maximum_annotations"] == 3
    pairs.write_text('[{"data": {}}]')
    with pytest.raises(InputError, match=r"pairs\.json: is no list of tasks"):
        read_projects(tmp_path / "annotation")


def test_the_program_says_what_it_is_for():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    for word in ("Ctrl-C", "--results", "--labels", "--port", "--annotators"):
        assert word in done.stdout
