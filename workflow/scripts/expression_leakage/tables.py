"""The schema of every table that passes between stages, and how it is read and written.

A table is one Parquet file (zstd). Its schema is an Arrow schema: column, type, nullability and,
as field metadata, the unit. Rows are unique in the table's key and sorted by it, so that equal
content means equal bytes. Files are written aside and renamed: a half-written table never
stands under its own name.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from expression_leakage.errors import InputError

CONDITIONS = ("control", "negative", "placebo", "plain", "positive")
POLARITIES = {"negative": -1, "positive": 1}


def _field(name: str, kind: pa.DataType, doc: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


_S, _I, _F, _B = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_IDS = pa.list_(pa.int32())


@dataclass(frozen=True)
class Table:
    """What a table must look like: its name, its columns and the columns that identify a row."""

    name: str
    fields: tuple[pa.Field, ...]
    key: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, without run metadata."""
        return pa.schema(self.fields)

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return [f.name for f in self.fields]


_ITEM = (
    _field("item_id", _S, "content hash of the stem and its injections"),
    _field("source", _S, "curated | webtext | grammar"),
    _field("topic", _S, "what the stem is about"),
    _field("relevance", _S, "irrelevant: no mood should colour it; relevant: a positive control"),
    _field("stem", _S, "the neutral text to be continued"),
    _field("condition", _S, "control | positive | negative | placebo | plain"),
    _field("injection", _S, "the incidental expression before the stem; empty when plain"),
)

CORPUS = Table(
    "corpus",
    (
        _field("text_id", _I, "order of the draw, from 0"),
        _field("system", _S, "system message; empty where there is none"),
        _field("user", _S, "mood sentence and stem"),
        _field("continuation", _S, "what follows"),
        _field("topic", _S, "topic of the stem"),
        _field("mood", _I, "sign of the mood sentence: −1, 0, 1"),
        _field("sentiment", _I, "sign of the continuation: −1, 0, 1"),
    ),
    ("text_id",),
)

ITEMS = Table(
    "items",
    (
        *_ITEM,
        _field("form", _S, "form of the injection, the same in all arms of an item"),
        _field("n_words", _I, "length of the injection [words]"),
        _field("valence", _F, "declared valence of the injection [−1, 1]"),
        _field("cosine", _F, "of the injection and the stem; null if not computed", nullable=True),
        _field("origin", _S, "where the stem comes from: file and row, or url and offset"),
    ),
    ("item_id", "condition"),
)

SENTENCES = Table(
    "sentences",
    (
        _field("kind", _S, "injection | stem"),
        _field("polarity", _S, "negative | neutral | positive"),
        _field("hash", _S, "content hash of the lower-cased words of the text"),
        _field("text", _S, "an injection, or a stem cut from a sentence"),
        _field("rest", _S, "what followed the stem in its sentence; empty for an injection"),
        _field("valence", _F, "VADER compound; 0 if neutral [−1, 1]"),
        _field("rest_valence", _F, "of the rest, by the second judge; 0 for an injection [−1, 1]"),
        _field("n_words", _I, "length of the text [words]"),
        _field("url", _S, "page it was found on"),
        _field("host", _S, "host of that page"),
        _field("file", _S, "file or dataset that held the page, as configured"),
        _field("snapshot", _S, "crawl the file belongs to; empty if unknown"),
        _field("record_id", _S, "record of the page"),
        _field("offset", _I, "offset of the record in its file [bytes]"),
        _field("start", _I, "offset of the sentence in the page's text [characters]"),
        _field("licence", _S, "licence that the configuration declares for the page"),
    ),
    ("kind", "polarity", "hash"),
)

PROMPTS = Table(
    "prompts",
    (
        _field("prompt_id", _S, "content hash of everything below"),
        *_ITEM,
        _field("mitigation", _S, "prompt wrapper; none is the baseline"),
        _field("system", _S, "system message, if the wrapper has one", nullable=True),
        _field("user", _S, "user message, or the whole text for a plain model"),
    ),
    ("prompt_id",),
)

_SAMPLE = (
    _field("model", _S, "name of the model's entry"),
    _field("family", _S, "model family"),
    _field("n_parameters", _I, "parameters, counted in the model; as declared of an endpoint"),
    _field("sample", _I, "index of the sample of its prompt, from 0"),
)

_CONTINUATION = (
    _field("text", _S, "the continuation, prompt stripped"),
    _field("token_ids", _IDS, "tokens drawn; null if an endpoint hides them", nullable=True),
    _field("n_tokens", _I, "tokens drawn, without the one that ended it [tokens]"),
    _field("finish_reason", _S, "stop: the model ended it; sentence: the stop rule; length"),
    _field("mean_logprob", _F, "mean log-probability at T = 1 [nat]; null if unknown", True),
)

RENDERED = Table(
    "rendered",
    (
        _field("prompt_id", _S, "content hash of the prompt"),
        _field("prompt_hash", _S, "hash of what its model reads"),
        _field("text", _S, "the prompt as its model reads it, special tokens spelled out"),
        _field("token_ids", _IDS, "its tokens; null behind an endpoint", nullable=True),
    ),
    ("prompt_id",),
)

SAMPLES = Table(
    "samples",
    (
        _field("prompt_id", _S, "content hash of the prompt"),
        _field("prompt_hash", _S, "hash of what the model read"),
        _field("sample", _I, "index of the sample of its prompt, from 0"),
        pa.field("text", _S, metadata={"doc": "the continuation; null if it failed"}),
        *_CONTINUATION[1:],
        _field("error", _S, "why it failed; null if it did not", nullable=True),
    ),
    ("prompt_id", "sample"),
)

GENERATIONS = Table(
    "generations", (*PROMPTS.fields, *_SAMPLE, *_CONTINUATION), ("model", "prompt_id", "sample")
)

_SCORED = (
    *_SAMPLE,
    *(f for f in PROMPTS.fields if f.name not in {"stem", "injection", "system", "user"}),
)

SCORES = Table(
    "scores",
    (
        *_SCORED,
        _field("scorer", _S, "name of the scorer"),
        _field("sentiment", _F, "sentiment of the continuation [−1, 1]; null if unscorable", True),
    ),
    ("scorer", "model", "prompt_id", "sample"),
)

MEASURES = Table(
    "measures",
    (
        *_SCORED,
        _field("n_words", _I, "length of the continuation [words]"),
        _field("is_empty", _B, "no word in the continuation"),
        _field("is_repetitive", _B, "most of its word trigrams are repeats"),
        _field("copies_injection", _B, "repeats the injection's content words in order"),
        _field("identical_to_control", _B, "equals the control continuation of the same sample"),
        _field("relatedness_stem", _F, "cosine of continuation and stem [−1, 1]"),
        _field("relatedness_injection", _F, "cosine of continuation and injection [−1, 1]"),
    ),
    ("model", "prompt_id", "sample"),
)

_RATED = (
    _field("model", _S, "name of the model's entry"),
    _field("prompt_id", _S, "prompt of the continuation to be rated"),
    _field("sample", _I, "index of the sample"),
    _field("item_id", _S, "item of the prompt"),
    _field("condition", _S, "condition of the prompt"),
    _field("mitigation", _S, "mitigation of the prompt"),
)

TASK_KEY = Table(
    "task_key",
    (
        _field("task_id", _S, "opaque key of an annotation task"),
        _field("unit", _S, "task_id of the first task that shows the same: a repeat has another's"),
        _field("kind", _S, "rating: of one continuation | pair: test and control of one item"),
        _field("role", _S, "study | repeat, for self-agreement | check, of attention"),
        _field("position", _I, "place in the order that annotators see, within its kind, from 0"),
        _field("flipped", _B, "the control is shown first; false for a rating"),
        # Of the continuation rated, or of a pair's test continuation; null for a check.
        *(field.with_nullable(True) for field in _RATED),
        _field("control_prompt_id", _S, "prompt of a pair's control continuation", nullable=True),
        _field("control_sample", _I, "index of its sample", nullable=True),
        _field("expected", _S, "labels that pass the check, joined by |; else null", nullable=True),
    ),
    ("task_id",),
)

_ANNOTATION = (
    _field("annotator", _S, "keyed hash of the annotator"),
    _field("seconds", _F, "time spent on the task [s]", nullable=True),
    _field("created", _S, "when the label was given, ISO 8601, UTC; null if unknown", True),
    _field("status", _S, "submitted | resolved: the last of several | adjudicated"),
    _field("source_file", _S, "file the label came from"),
    _field("source_row", _I, "its row or task number in that file, from 1"),
)

ANNOTATIONS = Table(
    "annotations",
    (
        _field("task_id", _S, "opaque key of the annotation task"),
        _field("unit", _S, "what was shown: the same for a task and its repeat"),
        _field("kind", _S, "rating | pair"),
        _field("question", _S, "sentiment | explained | preference"),
        _field("label", _S, "−3 … 3 | yes, no, can't tell | test, control, neither"),
        _field("value", _F, "sentiment: rating / 3; preference: 1, −1, 0 [−1, 1]", nullable=True),
        _field("is_check", _B, "an attention check"),
        _field("is_repeat", _B, "a second showing"),
        *_ANNOTATION,
    ),
    ("task_id", "question", "annotator", "status"),
)

LABELS = Table(
    "labels",
    (
        _field("task_id", _S, "opaque key of the annotation task"),
        *_RATED,
        _field("sentiment", _F, "rating / 3 [−1, 1]"),
        _field("explained", _S, "is the sentiment explained by the stem: yes | no | can't tell"),
        *_ANNOTATION,
    ),
    ("task_id", "annotator", "status"),
)

CONSENSUS = Table(
    "consensus",
    (
        _field("unit", _S, "what was rated or compared"),
        _field("kind", _S, "rating | pair"),
        _field("question", _S, "sentiment | explained | preference"),
        _field("n_annotators", _I, "annotators who answered"),
        _field("mean", _F, "mean value [−1, 1]; null for a question without one", nullable=True),
        _field("majority", _S, "class that most chose; null if two classes tie", nullable=True),
        _field("majority_share", _F, "share of the annotators who chose the commonest class"),
        _field("dawid_skene", _S, "class by Dawid and Skene's model; null if not fitted", True),
        _field("dawid_skene_p", _F, "its posterior probability", nullable=True),
        _field("adjudicated", _S, "label that settles it; null if not adjudicated", nullable=True),
    ),
    ("unit", "question"),
)

THRESHOLDS = Table(
    "thresholds",
    (
        _field("scorer", _S, "name of the scorer"),
        _field("polarity", _S, "negative | positive"),
        _field("quantity", _S, "epsilon | tau"),
        _field("configured", _F, "value of the configuration, on people's scale [sentiment]"),
        _field("value", _F, "that fits people best; null if too few labels", nullable=True),
        _field("low", _F, "lower bound of the 95 % interval", nullable=True),
        _field("high", _F, "upper bound of the 95 % interval", nullable=True),
        _field("accuracy", _F, "balanced accuracy on the other labels; null if none", True),
        _field("accuracy_configured", _F, "the same of the configured value", nullable=True),
        _field("n_calibration", _I, "continuations or pairs that it was fitted on"),
        _field("n_items", _I, "items among them"),
        _field("n_held_out", _I, "continuations or pairs among the other labels"),
        _field("reason", _S, "why there is no value; empty if there is one"),
    ),
    ("scorer", "polarity", "quantity"),
)

GOLD_SCORES = Table(
    "gold_scores",
    (
        _field("text_id", _S, "text of resources/gold/gold.csv"),
        _field("scorer", _S, "name of the scorer"),
        _field("sentiment", _F, "sentiment of the text [−1, 1]; null if unscorable", True),
    ),
    ("scorer", "text_id"),
)

GOLD_AGREEMENT = Table(
    "gold_agreement",
    (
        _field("scorer", _S, "name of the scorer; 'second reading' for the readers themselves"),
        _field("subset", _S, "all, or the kind of text"),
        _field("statistic", _S, "spearman | pearson | kendall | auc | f1 | kappa | recall_…"),
        _field("estimate", _F, "against the mean of the readings; null if undefined", True),
        _field("low", _F, "lower bound of the 95 % interval", nullable=True),
        _field("high", _F, "upper bound of the 95 % interval", nullable=True),
        _field("n", _I, "texts in the estimate"),
        _field("n_excluded", _I, "texts without a score"),
    ),
    ("scorer", "subset", "statistic"),
)

ESTIMATES = Table(
    "estimates",
    (
        _field("estimand", _S, "metric or contrast: elr, ecr, shift, placebo_elr, …"),
        _field("scorer", _S, "scorer whose sentiment was used; empty for text measures"),
        _field("family", _S, "model family"),
        _field("model", _S, "model, or 'all' for a mean over the family's models"),
        _field("n_parameters", _I, "parameters of the model; 0 for 'all'"),
        _field("source", _S, "source of the items, or 'all'"),
        _field("relevance", _S, "irrelevant | relevant"),
        _field("mitigation", _S, "prompt wrapper"),
        _field("polarity", _S, "negative | positive | both"),
        _field("estimate", _F, "in the estimand's unit", nullable=True),
        _field("se", _F, "item-clustered standard error", nullable=True),
        _field("low", _F, "lower bound of the 95 % interval", nullable=True),
        _field("high", _F, "upper bound of the 95 % interval", nullable=True),
        _field("n_items", _I, "items in the estimate"),
        _field("n_samples", _I, "continuations in the estimate"),
        _field("n_excluded", _I, "items left out because a cell of theirs was empty"),
    ),
    (
        "estimand", "scorer", "family", "model", "source", "relevance", "mitigation", "polarity",
    ),
)  # fmt: skip

CALIBRATION = Table(
    "calibration",
    (
        _field("scenario", _S, "null | effect"),
        _field("repetition", _I, "planted study, from 0"),
        _field("claim", _S, "claim id; rate and guard: what every claim rests on"),
        _field("quantity", _S, "what is estimated or tested, with its unit"),
        _field("method", _S, "estimator or test; the verdict where the quantity is 'verdict'"),
        _field("shipped", _B, "an estimator of this study; else a naive one beside it"),
        _field("truth", _F, "planted value; null for a test alone", nullable=True),
        _field("estimate", _F, "in the quantity's unit", nullable=True),
        _field("low", _F, "lower bound of the 95 % interval", nullable=True),
        _field("high", _F, "upper bound of the 95 % interval", nullable=True),
        _field("rejected", _B, "whether the null was rejected at .05; null if none", nullable=True),
    ),
    ("scenario", "repetition", "claim", "quantity", "method"),
)

SPECIFICATIONS = Table(
    "specifications",
    (
        _field("claim", _S, "agreement | scaling | polarity | mitigation"),
        _field("scorer", _S, "scorer whose sentiment was used"),
        _field("metric", _S, "elr | ecr | shift; empty for agreement"),
        _field("threshold", _F, "ε of elr, τ of ecr [sentiment]; null where none is used", True),
        _field("copies", _S, "continuations that copy the injection: keep | drop"),
        _field("temperature", _F, "temperature of the softmax"),
        _field("wrappers", _S, "mitigation prompts tested: all | without …; empty elsewhere"),
        _field("estimate", _F, "the effect, in its unit; null if not estimable", nullable=True),
        _field("low", _F, "lower bound of the 95 % interval", nullable=True),
        _field("high", _F, "upper bound of the 95 % interval", nullable=True),
        _field("unit", _S, "correlation | points per decade | points"),
        _field("prompt", _S, "the prompt that reduces leakage most; empty elsewhere"),
        _field("baseline", _F, "leakage without a prompt, for mitigation [points]", nullable=True),
        _field("verdict", _S, "replicated | not replicated | inconclusive | not testable"),
        _field("reason", _S, "why this verdict, or why nothing was estimated"),
        _field("n_items", _I, "items in the estimate", nullable=True),
        _field("n_samples", _I, "continuations in the estimate", nullable=True),
        _field("n_excluded", _I, "items left out; continuations, for agreement", nullable=True),
        _field("is_primary", _B, "the study's own choice"),
    ),
    ("claim", "scorer", "metric", "threshold", "copies", "temperature", "wrappers"),
)


def content_hash(*parts: str, length: int = 12) -> str:
    """Hex digest that depends on the parts and on where one ends and the next begins.

    Examples
    --------
    >>> content_hash("ab", "c") == content_hash("a", "bc")
    False
    """
    payload = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(payload.encode()).hexdigest()[:length]


def check(frame: pd.DataFrame, table: Table, where: object) -> pa.Table:
    """Cast a frame to a table's schema, sorted by its key.

    Raises
    ------
    InputError
        A column is missing, unknown or of the wrong type, a required value is null, or two rows
        share a key.
    """
    remedy = f"the {table.name} table has columns {', '.join(table.columns)}"
    missing = [c for c in table.columns if c not in frame.columns]
    unknown = [c for c in frame.columns if c not in table.columns]
    if missing or unknown:
        raise InputError(where, f"missing columns {missing}, unknown columns {unknown}", remedy)
    frame = frame.sort_values(list(table.key), kind="stable")
    repeated = frame.duplicated(list(table.key))
    if repeated.any():
        key = dict(zip(table.key, frame.loc[repeated, list(table.key)].iloc[0], strict=True))
        raise InputError(where, f"{repeated.sum()} rows repeat a key, first {key}", "drop them")
    for field in table.fields:
        if not field.nullable and (nulls := frame[field.name].isna().sum()):
            raise InputError(where, f"{nulls} nulls in {field.name!r}", "fill them in")
    try:
        arrow = pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        said = " ".join(str(error).split())
        raise InputError(where, f"wrong type: {said}", remedy) from error
    return arrow.replace_schema_metadata(None)


def write_table(
    frame: pd.DataFrame, table: Table, path: str | Path, meta: dict | None = None
) -> None:
    """Check a frame and write it as Parquet, aside first, then renamed.

    Parameters
    ----------
    frame
        Rows in any order; the key orders them.
    meta
        JSON-serialisable facts about the run, kept in the file's metadata; see `read_meta`.

    Raises
    ------
    InputError
        The frame does not fit the schema; see `check`.
    """
    path = Path(path)
    arrow = check(frame, table, path)
    extra = {"run": json.dumps(meta or {}, sort_keys=True)}
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(arrow.replace_schema_metadata(extra), part, compression="zstd")
    part.replace(path)


def read_table(paths: str | Path | Iterable[str | Path], table: Table) -> pd.DataFrame:
    """Read one or more files of a table into one frame, checked against its schema.

    Raises
    ------
    InputError
        A file is missing, is not Parquet, does not fit the schema, or repeats another's rows.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    frames = []
    for path in paths:
        try:
            frames.append(pq.read_table(path).to_pandas())
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(path, f"cannot be read: {error}", "delete it and run again") from error
        check(frames[-1], table, path)
    if not frames:
        raise InputError(f"{table.name} table", "no files", "give at least one")
    frame = pd.concat(frames, ignore_index=True)
    if len(frames) > 1 and frame.duplicated(list(table.key)).any():
        raise InputError(paths[0], "repeats rows of another file", "keep one of the files")
    return frame


def read_meta(path: str | Path) -> dict:
    """Facts about the run that wrote a table."""
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(b"run", b"{}"))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8, LF) aside first, then rename it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def write_json(path: str | Path, value: object) -> None:
    """Write JSON with sorted keys, aside first, then rename it."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
