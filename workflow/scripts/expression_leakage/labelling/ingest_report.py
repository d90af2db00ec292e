"""The report on label files as a page: what was read, what was set aside and why."""

from collections.abc import Mapping

from expression_leakage.labelling.judge import REASONS
from expression_leakage.render.formats import markdown_escape

_MISSING = """\
**There are no labels yet**, so nothing here rests on what people said. The tasks are ready: the \
sheets and the Label Studio projects beside this page, with the instructions for annotators. Put \
what comes back where `labels.files` of the configuration says and run again. docs/labels.md \
tells how, step by step."""


def to_markdown(report: Mapping) -> str:
    """A short page: counts, rejected rows by reason, files, warnings and the split.

    Parameters
    ----------
    report
        looked_in (patterns of label files), ingest (the report of `ingest.ingest`) and split
        (share, n_claim_items and n_calibration_items).
    """
    found = report["ingest"]
    patterns = ", ".join(map(markdown_escape, report["looked_in"])) or "no place"
    lines = ["# Labels read back", "", f"Looked in: {patterns}.", ""]
    if not found["files"]:
        return "\n".join([*lines, _MISSING]) + "\n"
    lines += [_summary(found), "", *_rejected(found), *_files(found)]
    if found["warnings"]:
        lines += ["", "## Warnings", ""]
        lines += [f"- {markdown_escape(warning)}" for warning in found["warnings"]]
    return "\n".join([*lines, "", "## Calibration", "", _split(report["split"])]) + "\n"


def _summary(found: Mapping) -> str:
    rejected = sum(found["rejected"].values())
    said = (
        f"{_n(found['rows'], 'row')} read = {_n(found['labels'], 'label')} + "
        f"{_n(rejected, 'rejected row')}. The labels are of {_n(found['tasks'], 'task')}"
    )
    by = f"by {_n(found['annotators'], 'annotator')}"
    if found["adjudicated"]:
        own = found["labels"] - found["adjudicated"]
        said += f": {_n(own, 'label')} {by}, {_n(found['adjudicated'], 'adjudicated label')}"
    else:
        said += f" {by}"
    if found["annotators_excluded"]:
        said += f"; {_n(found['annotators_excluded'], 'annotator')} failed the attention checks"
    if found["unreadable_seconds"]:
        unread = _n(found["unreadable_seconds"], "label")
        said += f"; in {unread} the time on task could not be read"
    return said + "."


def _rejected(found: Mapping) -> list[str]:
    if not found["rejected"]:
        return []
    lines = ["Rejected rows are in rejected.csv, with file, row and what they said.", ""]
    lines += ["| rejected as | rows | means |", "|---|--:|---|"]
    lines += [
        f"| {reason} | {found['rejected'][reason]:,} | {meaning} |"
        for reason, meaning in REASONS.items()
        if reason in found["rejected"]
    ]
    return [*lines, ""]


def _files(found: Mapping) -> list[str]:
    lines = ["| file | format | rows | labels | tasks | annotators | rejected |"]
    lines += ["|---|---|--:|--:|--:|--:|---|"]
    for name, one in found["files"].items():
        rejected = ", ".join(f"{n} {reason}" for reason, n in one["rejected"].items()) or "–"
        by = "adjudicated" if one["adjudicated"] else f"{one['annotators']:,}"
        counts = [f"{one[what]:,}" for what in ("rows", "labels", "tasks")]
        cells = [markdown_escape(name), one["format"], *counts, by, rejected]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _split(split: Mapping) -> str:
    if not split["share"]:
        return "No labels are kept for calibration (`labels.calibration.share` is 0)."
    return (
        f"Ratings of {_n(split['n_calibration_items'], 'item')} are kept for calibration, those "
        f"of {_n(split['n_claim_items'], 'item')} for the claims "
        f"(`labels.calibration.share` is {split['share']:g})."
    )


def _n(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
