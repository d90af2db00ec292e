"""A run's tasks loaded into a Label Studio server, and what people said of them saved.

A project for each kind of task. Loading again brings what is new and keeps every label.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from expression_leakage.errors import InputError
from expression_leakage.labelling.label_studio_server import LabelStudio

PROJECTS = {"rating": "Ratings", "pair": "Pairs"}
# Label Studio's own style takes margins, bullets and cell padding away.
_STYLE = """
.instructions :is(h1, h2, p, ul, table) { margin: 0.7em 0; line-height: 1.35 }
.instructions li { list-style: disc; margin: 0.2em 0 0.2em 1.2em }
.instructions :is(th, td) { padding: 0.1em 0.8em 0.1em 0; text-align: left; vertical-align: top }
"""


@dataclass(frozen=True)
class Project:
    """Tasks of a kind, by their id, and the settings of the project that holds them."""

    tasks: dict[str, dict]
    settings: dict


def read_projects(folder: Path, annotators: int = 2) -> dict[str, Project]:
    """What a run has for Label Studio.

    Parameters
    ----------
    folder
        The run's annotation folder.
    annotators
        Annotations after which a task is done.

    Returns
    -------
    dict
        A project for each kind that has tasks.

    Raises
    ------
    InputError
        The folder lacks a file, or tasks in it are broken.
    """
    shared = {
        "expert_instruction": instructions_body(_read(folder / "instructions.html")),
        "show_instruction": True,
        "maximum_annotations": annotators,
        "sampling": "Sequential sampling",
        "enable_empty_annotation": False,
    }
    projects = {}
    for kind, title in PROJECTS.items():
        path = folder / f"{title.lower()}.json"
        text = _read(path)
        try:
            tasks = {task["data"]["task_id"]: task for task in json.loads(text)}
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(path, "is no list of tasks", "delete it and run `make`") from error
        settings = {"title": title, "label_config": _read(path.with_suffix(".xml"))}
        if tasks:
            projects[kind] = Project(tasks, shared | settings)
    return projects


def load(server: LabelStudio, projects: dict[str, Project]) -> dict[str, tuple[int, int, int]]:
    """Give a server the tasks that it does not have yet; the labels that it holds stay.

    Returns
    -------
    dict
        By kind: tasks loaded now, tasks in all, and how many of those are not of this run.

    Raises
    ------
    InputError
        The server refuses a project.
    """
    counts = {}
    for kind, project in projects.items():
        number = server.project(PROJECTS[kind])
        if number is None:
            number = server.ask("POST", "/api/projects/", json=project.settings).json()["id"]
        else:
            server.ask("PATCH", f"/api/projects/{number}/", json=project.settings)
        there = {task["data"].get("task_id") for task in server.tasks(PROJECTS[kind])}
        new = [task for name, task in project.tasks.items() if name not in there]
        if new:
            server.ask("POST", f"/api/projects/{number}/import", json=new)
        counts[kind] = len(new), len(there) + len(new), len(there - project.tasks.keys())
    return counts


def save_labels(server: LabelStudio, folder: Path) -> dict[Path, int]:
    """Write what people said as Label Studio's JSON, a file for each kind that has any.

    Returns
    -------
    dict
        Annotations and drafts by the file that holds them.
    """
    written = {}
    for title in PROJECTS.values():
        tasks = server.tasks(title)
        if said := sum(len(task["annotations"]) + len(task["drafts"]) for task in tasks):
            path = folder / f"label_studio_{title.lower()}.json"
            part = path.with_name(path.name + ".part")
            part.write_text(json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", "utf-8")
            part.replace(path)
            written[path] = said
    return written


def instructions_body(page: str) -> str:
    """What a page shows: its body, without what Label Studio would run, fetch or restyle."""
    body = re.search(r"(?is)<body[^>]*>(.*)</body\s*>", page)
    active = r"(?is)<(script|style|iframe|object|svg|noscript)\b.*?</\1\s*>|<!--.*?-->"
    shown = re.sub(active, "", body[1] if body else page).strip()
    return f'<style>{_STYLE}</style><div class="instructions">{shown}</div>'


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InputError(path, "is not there", "run `make` first, or name its results") from error
