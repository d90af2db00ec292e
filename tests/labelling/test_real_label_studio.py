"""What a real Label Studio takes, keeps and gives back: two people label, well and badly."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import requests
from label_in_browser import interrupted, invented_run, serving

from expression_leakage.labelling.ingest import ingest
from expression_leakage.labelling.label_studio import PROJECTS, load, read_projects, save_labels
from expression_leakage.labelling.label_studio_server import account, running
from expression_leakage.tables import ANNOTATIONS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-label-studio"
PINS = ROOT / "workflow" / "envs" / "label_studio.txt"
SALT = "a salt of sixteen characters"


@pytest.fixture(scope="module")
def label_studio():
    """The real program, installed once in the checkout as `make label-studio` does."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    install = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "-q", "-r", PINS]
    installed = subprocess.run(install, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"Label Studio cannot be installed here: {installed.stderr[-300:]}")
    return ENVIRONMENT / "bin" / "label-studio"


class Person:
    """Someone with an account, who annotates through the API."""

    def __init__(self, server, token):
        self.address = server.address
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {token}"

    def post(self, path, **body):
        answer = self.session.post(self.address + path, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def annotate(self, task, where="annotations/", **body):
        """Choices by control; `cancelled` for a task that is skipped."""
        cancelled = body.pop("cancelled", False)
        result = [
            {
                "from_name": control,
                "to_name": "stem" if control == "preference" else "text",
                "type": "choices",
                "value": {"choices": chosen if isinstance(chosen, list) else [chosen]},
            }
            for control, chosen in body.items()
        ]
        said = {"result": result, "lead_time": 4.5, "was_cancelled": cancelled}
        return self.post(f"/api/tasks/{task}/{where}", **said)


def signed_up(server):
    """A second person, who follows the invitation and fills in the form."""
    browser = requests.Session()
    assert browser.get(server.invitation(), timeout=60).ok
    form = {"email": "second.person@example.org", "password": "long enough 1"}
    form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
    assert browser.post(server.invitation(), data=form, timeout=60).ok
    token = browser.get(f"{server.address}/api/current-user/token", timeout=60).json()["token"]
    return Person(server, token)


def uninvited(server):
    browser = requests.Session()
    page = f"{server.address}/user/signup/"
    browser.get(page, timeout=60)
    form = {"email": "stranger@example.org", "password": "long enough 1"}
    form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
    return browser.post(page, data=form, timeout=60)


def numbers(server, kind):
    """Numbers that a server gave to tasks, by their id."""
    return {task["data"]["task_id"]: task["id"] for task in server.tasks(PROJECTS[kind])}


def exported(server, kind, form):
    """What the page's own export button downloads."""
    path = f"/api/projects/{server.project(PROJECTS[kind])}/export"
    return server.ask("GET", path, params={"exportType": form}).content


def annotate_ratings(server, first, second, study, check):
    """Every valid and invalid case, on eight study tasks, a check and a task of another run."""
    task = numbers(server, "rating")
    s = [task[name] for name in study]
    first.annotate(s[0], sentiment="2", explained="yes")
    second.annotate(s[0], sentiment="-1", explained="no")
    first.annotate(s[1], sentiment="4", explained="yes")
    second.annotate(s[1], sentiment="0", explained="can't tell")
    first.annotate(s[2], sentiment=["1", "2"], explained="yes")
    first.annotate(s[3], sentiment="0", explained="yes")
    first.annotate(s[3], sentiment="3", explained="no")
    second.annotate(s[4], sentiment="1", explained="no", cancelled=True)
    second.annotate(s[5], "drafts", sentiment="1", explained="no")
    first.annotate(s[6], sentiment="1")
    first.annotate(task[check], sentiment="-3", explained="can't tell")
    other = [{"data": {"task_id": "t0", "stem": "Of another", "text": "run."}}]
    server.ask("POST", f"/api/projects/{server.project('Ratings')}/import", json=other)
    first.annotate(numbers(server, "rating")["t0"], sentiment="1", explained="no")


def annotate_pairs(server, first, second, study):
    task = numbers(server, "pair")
    p = [task[name] for name in study]
    first.annotate(p[0], preference="first")
    second.annotate(p[0], preference="second")
    first.annotate(p[1], preference="neither")
    second.annotate(p[1], preference="both")
    first.annotate(p[2], cancelled=True)
    second.annotate(p[3], preference="second")


def named(key, kind, role):
    rows = key[(key["kind"] == kind) & (key["role"] == role)].sort_values("position")
    return list(rows["task_id"])


def read(paths, key):
    """Ingested files, and rows, labels and rejected rows of each."""
    found = ingest(paths, key, SALT)
    counts = [(c["rows"], c["labels"], c["rejected"]) for c in found.report["files"].values()]
    return found, counts


def check_counts(found, counts, n_ratings, n_pairs):
    """What of `annotate_ratings` and `annotate_pairs` is a label, and why the rest is not."""
    faults = dict.fromkeys(
        ["unknown label", "two choices", "superseded", "cancelled", "draft", "unknown task"], 1
    )
    pair_faults = {"unknown label": 1, "cancelled": 1, "unfinished": n_pairs - 4}
    assert counts == [
        (n_ratings - 8 + 12, 5, faults | {"unfinished": n_ratings - 8 + 1}),
        (n_pairs - 4 + 6, 4, pair_faults),
    ]
    assert found.report["annotators"] == 2
    assert not found.report["warnings"]


def check_answers(found, key, ratings, pairs, check):
    rows = found.annotations
    said = rows.groupby(["task_id", "question"])["label"].agg(sorted).to_dict()
    flipped = key.set_index("task_id")["flipped"]
    assert said == {
        (ratings[0], "sentiment"): ["-1", "2"],
        (ratings[0], "explained"): ["no", "yes"],
        (ratings[1], "sentiment"): ["0"],
        (ratings[1], "explained"): ["can't tell"],
        (ratings[3], "sentiment"): ["3"],
        (ratings[3], "explained"): ["no"],
        (check, "sentiment"): ["-3"],
        (check, "explained"): ["can't tell"],
        (pairs[0], "preference"): ["control", "test"],
        (pairs[1], "preference"): ["neither"],
        (pairs[3], "preference"): ["test" if flipped[pairs[3]] else "control"],
    }
    assert set(rows.loc[rows["status"] == "resolved", "task_id"]) == {ratings[3]}
    assert set(rows.loc[rows["is_check"], "task_id"]) == {check}
    assert set(rows["seconds"]) == {4.5}
    both = rows[rows["task_id"].isin([ratings[0], pairs[0]])]
    assert both.groupby("task_id")["annotator"].agg(frozenset).nunique() == 1
    assert len(found.labels) == 4


def check_no_address(found):
    tables = (found.annotations, found.labels, found.rejected)
    text = json.dumps(found.report) + "".join(table.to_csv() for table in tables)
    assert "@" not in text
    assert "example.org" not in text


def test_labels_come_back_from_a_real_server_and_every_row_is_accounted_for(label_studio, tmp_path):
    results, labels = tmp_path / "results", tmp_path / "labels"
    key = invented_run(results)
    ratings, pairs = named(key, "rating", "study"), named(key, "pair", "study")
    check = named(key, "rating", "check")[0]
    projects = read_projects(results / "annotation")
    n_ratings, n_pairs = (len(projects[kind].tasks) for kind in ("rating", "pair"))
    files = [labels / f"label_studio_{name}.json" for name in ("ratings", "pairs")]
    with running(label_studio, labels / "label-studio") as server:
        fresh = {"rating": (n_ratings, n_ratings, 0), "pair": (n_pairs, n_pairs, 0)}
        assert load(server, projects) == fresh
        assert [task["data"] for task in server.tasks("Ratings")] == [
            task["data"] for task in projects["rating"].tasks.values()
        ]
        assert save_labels(server, labels) == {}
        assert uninvited(server).status_code == 403
        assert (
            requests.get(server.address, headers={"Host": "a.example"}, timeout=60).status_code
            == 400
        )
        first, second = Person(server, server.account.token), signed_up(server)
        annotate_ratings(server, first, second, ratings, check)
        annotate_pairs(server, first, second, pairs)
        shown = second.post(f"/api/dm/actions?id=next_task&project={server.project('Ratings')}")
        assert shown["data"]["task_id"] not in [ratings[0], ratings[1], ratings[4]]
        assert shown["annotations"] == []
        assert save_labels(server, labels) == dict(zip(files, (12, 6), strict=True))
        losing = [
            (tmp_path / f"{kind}.{form}", exported(server, kind, form))
            for form in ("JSON_MIN", "CSV")
            for kind in ("rating", "pair")
        ]

    found, counts = read(files, key)
    check_counts(found, counts, n_ratings, n_pairs)
    check_answers(found, key, ratings, pairs, check)
    check_no_address(found)

    # JSON-MIN and CSV keep the answers, and lose what was skipped, drafted or left.
    for path, content in losing:
        path.write_bytes(content)
    kept = ("unknown label", "two choices", "superseded", "unknown task", "unfinished")
    for form in (losing[:2], losing[2:]):
        less, counts = read([path for path, _ in form], key)
        assert counts == [(10, 5, dict.fromkeys(kept, 1)), (5, 4, {"unknown label": 1})]
        assert len(less.report["warnings"]) == 2
        own = [name for name in ANNOTATIONS.columns if not name.startswith("source")]
        pd.testing.assert_frame_equal(less.annotations[own], found.annotations[own])

    # The program finds all of it there, and writes it once more when it is interrupted.
    saved = [json.loads(path.read_text()) for path in files]
    for path in files:
        path.unlink()
    with serving(results, labels) as (program, said):
        assert f"ratings: {n_ratings + 1} tasks, 0 of them new; 1 are of another run" in said
        assert f"pairs: {n_pairs} tasks, 0 of them new: http://127.0.0.1:" in said
        assert re.search(r"/user/signup/\?token=\w+", said)
        said = interrupted(program)
    assert f"{files[0]}: 12 annotations and drafts\n" in said
    assert said.endswith("Next: make, or snakemake --cores all\n")
    assert [json.loads(path.read_text()) for path in files] == saved
    log = (labels / "label-studio" / "server.log").read_text()
    who = account(labels / "label-studio")
    assert who.password not in log
    assert who.token not in log
