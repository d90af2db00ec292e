"""Time a study stage by stage: read what Snakemake noted of each job, and say what dominates.

Each rule has a `benchmark:` file under ``<results>/timings``, one for each of its jobs. The rule is
the first part of the file's path, without ``.tsv``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

COLUMNS = ["s", "max_rss", "cpu_time"]
HEADINGS = {
    "jobs": "jobs",
    "seconds": "total [s]",
    "mean": "mean [s]",
    "share": "share of total [%]",
    "memory": "peak memory [MiB]",
    "cpu": "CPU time [s]",
}
UNMEASURED = ["-", "NA"]  # Snakemake's marks for a job that ended before it was looked at


class TimingError(ValueError):
    """Timings that are missing or unreadable, said in one line."""


def read_timings(results: str | Path) -> pd.DataFrame:
    """Read the timing of every job of a study.

    Parameters
    ----------
    results
        The study's `results` folder.

    Returns
    -------
    DataFrame
        One row a job: stage, s (wall-clock [s]), max_rss [MiB] and cpu_time [s]; the latter two
        are null where the job was too short to be measured.

    Raises
    ------
    TimingError
        There are no timings, or a file is none.
    """
    folder = Path(results) / "timings"
    paths = sorted(folder.rglob("*.tsv"))
    if not paths:
        raise TimingError(
            f"{folder}: no timings — run the study first (`make`), or name its folder: --results"
        )
    return pd.concat([_read(path, folder) for path in paths], ignore_index=True)


def _read(path: Path, folder: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, sep="\t", na_values=UNMEASURED)[COLUMNS].astype(float)
    except (KeyError, ValueError) as error:
        said = " ".join(str(error).split())
        raise TimingError(f"{path}: not a timing: {said} — delete it and run its job") from error
    if rows.empty or rows["s"].isna().any():
        raise TimingError(f"{path}: has no seconds — delete it and run its job")
    stage = path.relative_to(folder).parts[0].removesuffix(".tsv")
    return rows.assign(stage=stage)


def by_stage(timings: pd.DataFrame) -> pd.DataFrame:
    """Sum the jobs of each stage.

    Parameters
    ----------
    timings
        Result of `read_timings`.

    Returns
    -------
    DataFrame, shape (n stages, 6)
        Indexed by stage, longest first: jobs, seconds (sum of the jobs' wall-clock) [s], mean [s],
        share of the seconds of all stages [%], memory (largest of its jobs) [MiB], cpu [s]. Jobs
        that were too short to be measured count in neither memory nor cpu.
    """
    table = timings.groupby("stage").agg(
        jobs=("s", "size"),
        seconds=("s", "sum"),
        mean=("s", "mean"),
        memory=("max_rss", "max"),
        cpu=("cpu_time", lambda seconds: seconds.sum(min_count=1)),
    )
    total = table["seconds"].sum()
    table.insert(3, "share", 100 * table["seconds"] / total if total else 0.0)
    return table.sort_values(["seconds", "jobs"], ascending=False, kind="stable")


def dominating(table: pd.DataFrame) -> str:
    """Say which stages, as few as possible, take at least half of the time."""
    reached = table["share"].cumsum()
    n = int((reached < 50).sum()) + 1
    names = [f"`{name}`" for name in table.index[:n]]
    jobs = int(table["jobs"].iloc[:n].sum())
    listed = names[0] if n == 1 else f"{', '.join(names[:-1])} and {names[-1]} together"
    verb = "takes" if n == 1 else "take"
    return (
        f"{listed} {verb} {table['share'].iloc[:n].sum():.0f} % of the seconds of all jobs, in"
        f" {jobs} job{'s' if jobs != 1 else ''}."
    )


def to_markdown(table: pd.DataFrame) -> str:
    """Write the stages as a Markdown table with their total, and what dominates below it."""
    total = pd.Series(
        {
            "jobs": table["jobs"].sum(),
            "seconds": table["seconds"].sum(),
            "mean": table["seconds"].sum() / table["jobs"].sum(),
            "share": table["share"].sum(),
            "memory": table["memory"].max(),
            "cpu": table["cpu"].sum(min_count=1),
        }
    )
    rows = [(f"`{stage}`", row) for stage, row in table.iterrows()] + [("all", total)]
    lines = [f"| stage | {' | '.join(HEADINGS.values())} |", "|---" + "|--:" * len(HEADINGS) + "|"]
    lines += [f"| {name} | {' | '.join(_cells(row))} |" for name, row in rows]
    return "\n".join([*lines, "", dominating(table), ""])


def _cells(row: pd.Series) -> list[str]:
    digits = {"jobs": 0, "seconds": 1, "mean": 1, "share": 1, "memory": 0, "cpu": 1}
    return ["–" if pd.isna(row[key]) else f"{row[key]:.{digits[key]}f}" for key in HEADINGS]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and write it to a file."""
    parser = argparse.ArgumentParser(description="Time a study stage by stage.")
    parser.add_argument("--results", default="results", help="the study's results (%(default)s)")
    parser.add_argument(
        "--output", default="benchmarks/study.md", help="Markdown file to write (%(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        text = to_markdown(by_stage(read_timings(options.results)))
    except TimingError as error:
        sys.exit(f"error: {error}")
    output = Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8", newline="\n")
    print(text, end="")


if __name__ == "__main__":
    main()
