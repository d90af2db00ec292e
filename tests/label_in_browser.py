"""Label as people do: headless Chromium on the pages that workflow/scripts/label_studio.py serves.

Playwright is no dependency of the study, and drives the Chromium that is installed:

    pip install --target /tmp/playwright playwright==1.65.2 pillow
    PYTHONPATH=/tmp/playwright .venv/bin/python tests/label_in_browser.py

Ratings are given by mouse and by key, pairs by key; the program is stopped as by Ctrl-C; and what
it wrote must read back as what was clicked. `--results` takes the tasks of a run instead of
invented ones whose texts are full of markup, and `--screenshot` keeps a picture of a task.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from expression_leakage.labelling import export, tasks  # noqa: E402
from expression_leakage.labelling.ingest import ingest  # noqa: E402
from expression_leakage.tables import TASK_KEY, read_table, write_table, write_text  # noqa: E402

RESOURCES = ROOT / "resources" / "annotation"
FILES = {"rating": "ratings", "pair": "pairs"}
MARKUP = "<b>bold</b> & <script>alert('ran')</script> $stem {{stem}} <img src=x onerror=alert(1)>"


def invented_run(results, n_items=3):
    """The annotation folder and the key of a run whose texts are full of markup."""
    ids = [f"item-{i}" for i in range(n_items)]
    rows = [
        {
            "prompt_id": f"{item}-{condition}", "item_id": item, "source": "curated",
            "topic": "hobby", "relevance": "irrelevant", "stem": f"My hobby number {i} is",
            "condition": condition, "injection": "I am ill.", "mitigation": "none", "system": None,
            "user": "…", "model": "m", "family": "f", "n_parameters": 1, "sample": 0,
            "text": f"{MARKUP} {condition[::-1]} {i}", "token_ids": None, "n_tokens": 5,
            "finish_reason": "stop", "mean_logprob": -1.0,
        }
        for i, item in enumerate(ids)
        for condition in ("control", "negative", "positive")
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    ratings = tasks.draw_ratings(frame, n_items, seed=1)
    pairs = tasks.draw_pairs(frame, n_items, seed=1)
    blind, key = tasks.blind(ratings, pairs, tasks.read_checks(RESOURCES / "checks.csv"), seed=1)
    folder = results / "annotation"
    folder.mkdir(parents=True)
    for kind, name in FILES.items():
        export.write_label_studio(folder / f"{name}.json", blind[kind])
        write_text(folder / f"{name}.xml", export.LABEL_STUDIO_CONFIG[kind])
    page, pdf = folder / "instructions.html", folder / "instructions.pdf"
    export.write_instructions(RESOURCES / "instructions.typ", page, pdf)
    write_table(key, TASK_KEY, results / "annotation_key.parquet")
    return read_table(results / "annotation_key.parquet", TASK_KEY)


@contextmanager
def serving(results, labels):
    """Run the program; yields it and what it printed, and interrupts it."""
    command = [sys.executable, ROOT / "workflow" / "scripts" / "label_studio.py", "--port", "0"]
    command += ["--results", results, "--labels", labels]
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said = []
        for line in program.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError("".join(said))
        yield program, "".join(said)
    finally:
        if program.poll() is None:
            program.send_signal(signal.SIGINT)
        program.wait(timeout=120)


def interrupted(program):
    """What the program says when it is interrupted."""
    program.send_signal(signal.SIGINT)
    said = program.stdout.read()
    assert program.wait(timeout=120) == 0, said
    return said


def log_in(page, said):
    address, email, password = (
        re.search(rf"{name}\s+(\S+)", said)[1] for name in ("Log in:", "e-mail", "password")
    )
    page.goto(f"{address}/user/login/")
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.click("[type=submit]")
    page.wait_for_url(lambda url: "login" not in url)


def open_project(page, said, kind):
    """Start labelling, past the instructions."""
    page.goto(re.search(rf"{FILES[kind]}: .* (http\S+)", said)[1])
    page.get_by_role("button", name="Label All Tasks").click()
    page.get_by_role("heading", name="How to work").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="How to work").wait_for(state="hidden")


def shows(page, task):
    """Wait for a task: its texts must stand on the page as they are, markup and all."""
    for name, text in task["data"].items():
        if name != "task_id":
            page.get_by_text(text, exact=True).first.wait_for(timeout=20_000)


def shown_choices(results, kind):
    """What the interface shows for every answer."""
    interface = ET.parse(results / "annotation" / f"{FILES[kind]}.xml")  # noqa: S314  # our own
    choices = interface.iter("Choice")
    return {choice.get("alias", choice.get("value")): choice.get("value") for choice in choices}


def submit(page):
    with page.expect_response(lambda answer: "/annotations" in answer.url) as answer:
        page.get_by_test_id("bottombar-submit-button").click()
    assert answer.value.status == 201, answer.value.text()


def label(page, said, results, picture, markup):
    """Answer two ratings and two pairs; returns what was answered."""
    listed = {
        kind: json.loads((results / "annotation" / f"{name}.json").read_text())
        for kind, name in FILES.items()
    }
    (first, second), pairs = listed["rating"][:2], listed["pair"][:2]
    if markup:  # the first of each is an attention check
        assert MARKUP in second["data"]["text"]
        assert MARKUP in pairs[1]["data"]["first"]
    choices = shown_choices(results, "rating")
    open_project(page, said, "rating")
    shows(page, first)
    for answer in ("2", "no"):
        page.get_by_text(re.compile(rf"^{re.escape(choices[answer])}\s*\[\w\]$")).click()
    if picture:
        page.screenshot(path=picture)
    submit(page)
    shows(page, second)
    page.keyboard.press("1")
    page.keyboard.press("t")
    submit(page)
    open_project(page, said, "pair")
    for pair, key in zip(pairs, "21", strict=True):
        shows(page, pair)
        page.keyboard.press(key)
        submit(page)
    return [
        (first["data"]["task_id"], "explained", "no"),
        (first["data"]["task_id"], "sentiment", "2"),
        (second["data"]["task_id"], "explained", "can't tell"),
        (second["data"]["task_id"], "sentiment", "-3"),
        (pairs[0]["data"]["task_id"], "preference", "second"),
        (pairs[1]["data"]["task_id"], "preference", "first"),
    ]


def in_browser(chromium, said, results, picture, markup):
    """Label in a browser that may reach the loopback only, and must not run what a text says."""
    from playwright.sync_api import sync_playwright

    hosts, dialogs = set(), []
    with sync_playwright() as playwright:
        # Chromium has no sandbox to offer to root, in a container for example.
        options = {"executable_path": chromium, "args": ["--no-sandbox"]}
        with playwright.chromium.launch(**options) as browser:
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
            page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
            log_in(page, said)
            given = label(page, said, results, picture, markup)
    assert not dialogs, dialogs
    assert hosts <= {"127.0.0.1", None}, hosts
    return given


def read_back(results, labels):
    """What the saved files say, in the words of the page."""
    key = read_table(results / "annotation_key.parquet", TASK_KEY)
    found = ingest(sorted(labels.glob("*.json")), key, "a salt of sixteen characters")
    answers = found.annotations.merge(key[["task_id", "flipped"]], on="task_id")
    place = {"test": ("first", "second"), "control": ("second", "first")}
    shown = [
        place[label][flipped] if label in place else label
        for label, flipped in zip(answers["label"], answers["flipped"], strict=True)
    ]
    return list(zip(answers["task_id"], answers["question"], shown, strict=True))


def quantise(picture):
    """Make a picture small: 64 colours do for text."""
    from PIL import Image

    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, help="of a run; default: invented tasks")
    parser.add_argument("--screenshot", type=Path, help="PNG of a task half way")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        labels, results = Path(scratch) / "labels", options.results
        if invented := results is None:
            results = Path(scratch) / "results"
            invented_run(results)
        with serving(results, labels) as (program, said):
            given = in_browser(options.chromium, said, results, options.screenshot, invented)
            print(interrupted(program))
        assert sorted(read_back(results, labels)) == sorted(given)
    if options.screenshot:
        quantise(options.screenshot)
    print(f"{len(given)} answers given in the browser, and read back")


if __name__ == "__main__":
    main()
