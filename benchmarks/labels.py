"""Time the reading of label files, format by format, beside Label Studio's own converter.

The script makes up the labels of one study in every format: two annotators rate every task, which
makes 20,000 annotations by default. Every tenth annotation of Label Studio's JSON is a skipped
one; JSON-MIN and CSV leave those out. Everyone reads in a process of its own, with one thread,
after a file of few tasks.

ours            `ingest`: reads the file, checks every row, hashes the annotators and builds all
                tables.
json.load       Python's own reader on the same file: no checks, no tables. The floor for JSON.
converter       label-studio-sdk's converter, from the same JSON to JSON-MIN or to CSV. It leaves
                out skipped annotations and checks nothing.
"""

import argparse
import csv
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
SDK = ROOT / ".venv-label-studio" / "bin" / "python"
PEOPLE = {1: "anna", 2: "ben"}
CONVERTER = {"converter to JSON-MIN": "JSON_MIN", "converter to CSV": "CSV"}
FORMATS = {
    "Label Studio JSON": "labels.json",
    "Label Studio JSON-MIN": "minimal.json",
    "Label Studio CSV": "labels.csv",
    "Argilla, nested": "nested.json",
    "Argilla, flattened": "flattened.json",
    "doccano JSON Lines": "doccano",
    "sheet": "sheet.csv",
}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ONE_THREAD["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # as the workflow's own job has it


def answers(task: int, person: int) -> tuple[str, str]:
    """What someone says about a task: the same in every format."""
    return str((task * 7 + person) % 7 - 3), ("yes", "no", "can't tell")[(task + person) % 3]


def is_skipped(task: int, person: int) -> bool:
    """Whether that annotation is one of those that only the JSON export has."""
    return (2 * task + person) % 10 == 0


def said(n_tasks: int) -> Iterator[tuple[dict, int, tuple[str, str], dict]]:
    """Every annotation that is not skipped: the task's data, who, the answers, and when."""
    for task in range(n_tasks):
        for person in PEOPLE:
            if not is_skipped(task, person):
                yield data(task), person, answers(task, person), times(task, person)


def data(task: int) -> dict[str, str]:
    """What an annotator sees of a task."""
    text = " counting the days until the end of a long and quiet winter by the sea."
    return {"task_id": f"t{task:012x}", "stem": "My hobby is", "text": text}


def times(task: int, person: int) -> dict[str, object]:
    """When an annotation was made, and how long it took [s]."""
    minute, second = divmod(task * 7 + person, 60)
    hour, minute = divmod(minute, 60)
    at = f"2026-01-{hour // 24 + 1:02d}T{hour % 24:02d}:{minute:02d}:{second:02d}.123456Z"
    return {"created_at": at, "updated_at": at, "lead_time": 5 + task % 10 / 10}


def chosen(control: str, choice: str) -> dict:
    """One answer, as Label Studio exports it."""
    facts = {"id": "qwertyuiop", "from_name": control, "to_name": "text", "type": "choices"}
    return {"value": {"choices": [choice]}, "origin": "manual", **facts}


def annotation(task: int, person: int) -> dict:
    """One annotation, with all that Label Studio 1.23 exports."""
    skipped, given = is_skipped(task, person), answers(task, person)
    results = [chosen(*one) for one in zip(("sentiment", "explained"), given, strict=True)]
    nothing = ("import_id", "last_action", "parent_prediction", "parent_annotation")
    return {
        "id": 2 * task + person,
        "completed_by": person,
        "result": [] if skipped else results,
        "was_cancelled": skipped,
        "ground_truth": False,
        **times(task, person),
        "draft_created_at": None,
        "prediction": {},
        "result_count": 0 if skipped else 2,
        "unique_id": f"{task:08x}-0000-4000-8000-{person:012x}",
        "bulk_created": False,
        **dict.fromkeys(nothing),
        **{"task": task + 1, "project": 1, "updated_by": person, "last_created_by": None},
    }  # fmt: skip


def write_label_studio(folder: Path, n_tasks: int) -> None:
    """Label Studio's JSON, JSON-MIN and CSV of the same project."""
    counts = {"total_annotations": 2, "cancelled_annotations": 0, "total_predictions": 0}
    tasks = [
        {
            "id": task + 1,
            "annotations": [annotation(task, person) for person in PEOPLE],
            "file_upload": "0123abcd-ratings.json",
            **{"drafts": [], "predictions": [], "data": data(task), "meta": {}},
            **{"created_at": "2026-01-01T00:00:00.000000Z", "inner_id": task + 1, **counts},
        }
        for task in range(n_tasks)
    ]
    (folder / "labels.json").write_text(json.dumps(tasks), encoding="utf-8")
    minimal = [
        {**task, "id": n, "sentiment": given[0], "explained": given[1], "annotator": person}
        | {"annotation_id": n, **when}
        for n, (task, person, given, when) in enumerate(said(n_tasks), start=1)
    ]
    (folder / "minimal.json").write_text(json.dumps(minimal, indent=2), encoding="utf-8")
    write_csv(folder / "labels.csv", minimal)


def write_others(folder: Path, n_tasks: int) -> None:
    """The same labels from Argilla, from doccano (a file a user) and from sheets."""
    nested, flat, sheet, lines = {}, {}, [], {name: [] for name in PEOPLE.values()}
    for task, person, (sentiment, explained), _ in said(n_tasks):
        uid, one = f"{person:08x}-0000-4000-8000-000000000000", task["task_id"]
        shown = {name: task[name] for name in ("stem", "text")}
        record = nested.setdefault(
            one, {"id": one, "fields": shown, "metadata": {}, "responses": {}}
        )
        side = flat.setdefault(one, {"id": one, "status": "completed", "_server_id": one, **shown})
        for question, value in (("sentiment", sentiment), ("explained", explained)):
            record["responses"].setdefault(question, []).append({"value": value, "user_id": uid})
            for column, cell in (("", value), (".users", uid), (".status", "submitted")):
                side.setdefault(f"{question}.responses{column}", []).append(cell)
        label = [f"sentiment: {sentiment}", f"explained: {explained}"]
        lines[PEOPLE[person]].append({"id": 1, "text": task["text"], "label": label} | task)
        sheet.append({**task, "sentiment": sentiment, "explained": explained, "seconds": "4,5"}
                     | {"annotator": PEOPLE[person]})  # fmt: skip
    for name, records in (("nested", nested), ("flattened", flat)):
        text = json.dumps(list(records.values()))
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    (folder / "doccano").mkdir()
    for name, examples in lines.items():
        text = "".join(json.dumps(example) + "\n" for example in examples)
        (folder / "doccano" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    write_csv(folder / "sheet.csv", sheet)


def write_csv(path: Path, rows: list[dict]) -> None:
    """Rows as a table with the first one's columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def make(folder: Path, n_tasks: int) -> None:
    """All files of a study of so many tasks."""
    folder.mkdir()
    write_label_studio(folder, n_tasks)
    write_others(folder, n_tasks)


def ours(path: Path, n_tasks: int) -> tuple[int, int]:
    """Our whole reading of a file, or of a folder: labels and rejected rows."""
    # the converter runs this file with another interpreter, which has none of these
    import pandas as pd

    from expression_leakage.labelling.ingest import ingest
    from expression_leakage.tables import TASK_KEY

    ids = [data(task)["task_id"] for task in range(n_tasks)]
    facts = {"kind": "rating", "role": "study", "flipped": False, "model": "m", "sample": 0}
    facts |= {"item_id": "i", "condition": "negative", "mitigation": "none", "position": 0}
    key = pd.DataFrame({"task_id": ids, "unit": ids, "prompt_id": ids, **facts})
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    found = ingest(paths, key.reindex(columns=TASK_KEY.columns), "a salt for the benchmark")
    return len(found.labels), len(found.rejected)


def load(path: Path, n_tasks: int) -> tuple[int, int]:
    """Python's own reader: annotations, as it finds them."""
    with path.open("rb") as file:
        tasks = json.load(file)
    return sum(len(task["annotations"]) for task in tasks), 0


def convert(path: Path, n_tasks: int, to: str) -> tuple[int, int]:
    """Label Studio's converter: rows that it writes."""
    from label_studio_sdk.converter import Converter

    config = (
        '<View><Text name="text" value="$text"/>'
        '<Choices name="sentiment" toName="text"><Choice value="0"/></Choices>'
        '<Choices name="explained" toName="text"><Choice value="no"/></Choices></View>'
    )
    out = path.parent / "converted"
    Converter(config, str(path.parent)).convert(str(path), str(out), to, is_dir=False)
    if to == "CSV":
        with (out / "result.csv").open(encoding="utf-8", newline="") as file:
            return sum(1 for _ in csv.DictReader(file)), 0
    return len(json.loads((out / "result.json").read_text(encoding="utf-8"))), 0


def contestants() -> dict[str, tuple[str, Callable[[Path, int], tuple[int, int]]]]:
    """Who reads which file, and how."""
    both = {f"ours, {name}": (file, ours) for name, file in FORMATS.items()}
    both["json.load"] = ("labels.json", load)
    for who, to in CONVERTER.items():
        both[who] = ("labels.json", lambda path, n, to=to: convert(path, n, to))
    return both


def peak_memory() -> float:
    """Resident memory of this process at its largest [MB]."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one as well
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def report(who: str, folder: Path, sizes: dict[str, int]) -> None:
    """Read the small study to warm up and the large one to measure; print JSON."""
    file, read = contestants()[who]
    read(folder / "small" / file, sizes["small"])
    start, cpu = time.perf_counter(), time.process_time()
    labels, rejected = read(folder / "large" / file, sizes["large"])
    took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    print(json.dumps(took | {"memory": peak_memory(), "labels": labels, "rejected": rejected}))


def alone(who: str, folder: Path, sizes: dict[str, int], python: str) -> dict:
    """Let one contestant run in a process of its own: what it took and found."""
    command = [python, __file__, "--alone", who, "--folder", str(folder)]
    command += ["--small", str(sizes["small"]), "--tasks", str(sizes["large"])]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    if done.returncode:
        sys.exit(f"{who}: {done.stderr}")
    return {"who": who} | json.loads(done.stdout.splitlines()[-1])


def sdk_version(python: Path) -> str:
    """Version of label-studio-sdk that an interpreter has; empty if it has none."""
    if not python.is_file():
        return ""
    program = "import label_studio_sdk.converter, importlib.metadata as m\n"
    command = [python, "-c", program + "print(m.version('label-studio-sdk'), end='')"]
    return subprocess.run(command, capture_output=True, text=True).stdout


def size(path: Path) -> float:
    """Of a file, or of all files in a folder [MB]."""
    return sum(f.stat().st_size for f in (path.iterdir() if path.is_dir() else [path])) / 1e6


def table(took: list[dict], folder: Path) -> str:
    """Medians over the rounds as Markdown."""
    names = ["who", "file [MB]", "seconds", "range", "CPU-seconds", "peak memory [MB]"]
    names += ["labels", "rejected"]
    lines = [names, [":--", *["--:"] * (len(names) - 1)]]
    for who, (file, _) in contestants().items():
        runs = [run for run in took if run["who"] == who]
        if not runs:
            continue
        seconds = sorted(run["seconds"] for run in runs)
        lines.append(
            [
                who,
                f"{size(folder / 'large' / file):.1f}",
                f"{median(seconds):.2f}",
                f"{seconds[0]:.2f}–{seconds[-1]:.2f}",
                f"{median(run['cpu'] for run in runs):.2f}",
                f"{max(run['memory'] for run in runs):.0f}",
                f"{runs[0]['labels']:,}",
                f"{runs[0]['rejected']:,}" if who.startswith("ours") else "–",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def header(n_tasks: int, rounds: int, sdk: str, load: float) -> str:
    """What ran, on what, with what."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    machine = f"{os.cpu_count()} {platform.machine()} cores ({' '.join(names[:1])})"
    used = [
        f"Python {platform.python_version()}",
        *(f"{n} {version(n)}" for n in ("pandas", "numpy")),
    ]
    used.append(f"label-studio-sdk {sdk}" if sdk else "no label-studio-sdk, so no converter")
    return (
        f"{time.strftime('%Y-%m-%d')}; {machine}, load average at the start {load:.1f};"
        f" {', '.join(used)}. {2 * n_tasks:,} annotations of {n_tasks:,} tasks by two annotators,"
        f" every tenth skipped; rounds: {rounds}.\n\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write it to a file."""
    parser = argparse.ArgumentParser(description="Time the reading of label files.")
    add = parser.add_argument
    add("--tasks", type=int, default=10_000, help="tasks, of two annotators each (%(default)s)")
    add("--rounds", type=int, default=5, help="rounds to take medians over (%(default)s)")
    add("--sdk", type=Path, default=SDK, help="Python with label-studio-sdk (%(default)s)")
    add("--output", default="benchmarks/labels.md", help="Markdown to write (%(default)s)")
    add("--quick", action="store_true", help="try it out: one round, 50 tasks")
    add("--alone", choices=contestants(), help=argparse.SUPPRESS)
    add("--folder", type=Path, help=argparse.SUPPRESS)
    add("--small", type=int, default=20, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.tasks = 1, 50
    sizes = {"small": options.small, "large": options.tasks}
    if options.alone:
        report(options.alone, options.folder, sizes)
        return
    load, sdk, took = os.getloadavg()[0], sdk_version(options.sdk), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for study, n_tasks in sizes.items():
            make(folder / study, n_tasks)
        for number in range(options.rounds):
            for who in [*contestants()][:: (-1) ** number]:
                if sdk or who not in CONVERTER:
                    python = str(options.sdk) if who in CONVERTER else sys.executable
                    took.append(alone(who, folder, sizes, python))
        if len({run["labels"] for run in took if run["who"] != "json.load"}) > 1:
            sys.exit(f"they disagree on the labels: {took}")
        text = header(options.tasks, options.rounds, sdk, load) + table(took, folder) + "\n"
    Path(options.output).write_text(text, encoding="utf-8", newline="\n")
    print(text, end="")


if __name__ == "__main__":
    main()
