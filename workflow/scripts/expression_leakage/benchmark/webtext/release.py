"""What may be published of a web-text benchmark, and how its text is found again.

The text of the open web stays its authors'. A release says where each sentence stands and what
its hash is; whoever has the same files of the crawl gets the same items back.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from expression_leakage.benchmark.webtext.read import ReadLimits, read_pages
from expression_leakage.errors import InputError
from expression_leakage.tables import (
    ITEMS,
    SENTENCES,
    Table,
    read_table,
    write_json,
    write_table,
    write_text,
)


def _field(name: str, kind: pa.DataType, doc: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


_KEPT = {f.name: f for f in (*SENTENCES.fields, *ITEMS.fields)}
_HASHES = {
    "stem": _field("stem_hash", pa.string(), "hash of the stem in sentences.parquet"),
    "injection": _field("injection_hash", pa.string(), "that of the injection; empty when plain"),
}
RELEASED_ITEMS = Table(
    "released items", tuple(_HASHES.get(f.name, f) for f in ITEMS.fields), ITEMS.key
)
_WITHHELD = ("text", "rest")
_FILE = _field("file", pa.string(), "base name or address of the file, or name of the dataset")
RELEASED_SENTENCES = Table(
    "released sentences",
    (
        *(_FILE if f.name == "file" else f for f in SENTENCES.fields if f.name not in _WITHHELD),
        _field("n_characters", pa.int64(), "length of text and rest without white space"),
        _field("sha256", pa.string(), "of text and, after a space, rest, in UTF-8"),
        *(
            _field(name, pa.string(), doc + "; null where the licence does not allow it", True)
            for name, doc in (("text", "an injection or a stem"), ("rest", "what followed a stem"))
        ),
    ),
    ("kind", "hash"),
)
_NAMED = 20  # sentences that an error names

_README = """\
# Items from web text

Five rows an item: one neutral stem under five conditions. The text of the open web stays its
authors', so that this release says where each sentence is found and holds its text only where a
licence allows that.

{counts}

## How the text is found again

For each row of `sentences.parquet`:

1. From `file` of crawl `snapshot`, take the record `record_id`; it, or its gzip member, begins at
   byte `offset`. Of a file on disk `file` is the base name, with `#` and 8 hex digits after it
   where two had the same; of a fetched one it is the address, without user and query. Rows of a
   dataset have its name, `#` and 8 hex digits for its settings as `file`; their `record_id` is
   that, split and row.
2. Of a `conversion` record (WET) the content is the text; from a `response` (WARC) it is extracted
   with resiliparse. Decode it as UTF-8, without a byte order mark; drop control characters but tab
   and line ends; end lines with LF.
3. From character `start` on, take characters until `n_characters` of them are not white space.
   For an injection that is `text`. For a stem join the words with single spaces: the first
   `n_words` are `text`, the others are `rest`.
4. The SHA-256 of text, or of text, space and rest, must be `sha256`.

In `items.parquet`, `stem_hash` and `injection_hash` name the sentences of kind stem and injection
with that `hash`. A prompt is injection, space, stem.

The same in code, from `workflow/scripts` of the repository that made this, with the path of each
file by what the column `file` calls it:

```python
from expression_leakage.benchmark.webtext.release import rebuild

items, sentences = rebuild("this/folder", {{"it.warc.wet.gz": "path/to/it.warc.wet.gz"}})
```

Sentences of datasets cannot be rebuilt from files: unless their text is published here, `rebuild`
ends with an `InputError` that names the dataset. By hand, steps 1 to 4 find them in its rows.

## Columns

{columns}

## Settings and funnel

What was kept at each step, and how many were: also in `settings.json`.

```json
{settings}
```
"""


def release(
    items: pd.DataFrame,
    sentences: pd.DataFrame,
    funnel: Mapping[str, float],
    settings: Mapping[str, object],
    folder: str | Path,
) -> dict[str, int]:
    """Write what may be published: items.parquet, sentences.parquet, settings.json, README.md.

    Parameters
    ----------
    items
        ITEMS rows.
    sentences
        SENTENCES rows, those of the items among them; others are left out.
    funnel
        Counts at each step.
    settings
        ``benchmark.webtext`` of the configuration. Text is published where the licence of its row
        is among ``settings["open_licences"]``. Sources are not published, for an address may hold
        a secret and a path a person; the sentences have their files' base names, with a hash of
        the path where two are equal, or addresses without a query.
    folder
        Where to; made if it is not there.

    Returns
    -------
    dict
        Items, sentences, and sentences with text.

    Raises
    ------
    InputError
        A text of an item is not among the sentences.
    """
    folder = Path(folder)
    hashes = sentences.set_index(["kind", "text"])["hash"]
    ids = items.assign(
        stem_hash=_looked_up("stem", items["stem"], hashes),
        injection_hash=_looked_up("injection", items["injection"], hashes),
    )[RELEASED_ITEMS.columns]
    used = sentences[
        sentences["hash"].isin(ids["stem_hash"]) & (sentences["kind"] == "stem")
        | sentences["hash"].isin(ids["injection_hash"]) & (sentences["kind"] == "injection")
    ]
    whole = _whole(used["text"], used["rest"])
    is_open = used["licence"].isin(settings["open_licences"])
    told = used.assign(
        n_characters=whole.map(lambda text: len("".join(text.split()))),
        sha256=whole.map(_sha256),
        **_released_places(used),
        **{name: used[name].where(is_open, None) for name in _WITHHELD},
    )
    counts = {
        "items": ids["item_id"].nunique(),
        "sentences": len(told),
        "sentences_with_text": int(is_open.sum()),
    }
    write_table(ids, RELEASED_ITEMS, folder / "items.parquet")
    write_table(told[RELEASED_SENTENCES.columns], RELEASED_SENTENCES, folder / "sentences.parquet")
    shown = {k: v for k, v in settings.items() if k != "sources"}
    made = {"settings": shown, "funnel": dict(funnel)}
    write_json(folder / "settings.json", made)
    write_text(folder / "README.md", _readme(told, counts, made))
    return counts


def _looked_up(kind: str, texts: pd.Series, hashes: pd.Series) -> pd.Series:
    """Hash of each text; "" for an empty one."""
    found = texts.map(hashes.loc[kind]).where(texts != "", "")
    if found.isna().any():
        text = texts[found.isna()].iloc[0]
        remedy = "give the items and the sentences of one run"
        raise InputError("items", f"{text!r} is no {kind} among the sentences", remedy)
    return found


def _whole(text: pd.Series, rest: pd.Series) -> pd.Series:
    """A sentence as it was before a stem was cut from it."""
    return text + rest.where(rest == "", " " + rest)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _released_places(rows: pd.DataFrame) -> dict[str, list[str]]:
    """File, record and page of sentences without the folders of whoever made them."""
    hub = _of_dataset(rows) & ~rows["file"].str.startswith(("/", "./", "../", "~"))
    on_disk = ~hub & ~rows["file"].str.contains("://", regex=False)
    names = _base_names(rows.loc[on_disk, "file"].unique())
    file = rows["file"].where(~on_disk, rows["file"].map(names))
    # Record and page of a dataset's row begin with its name.
    begun = {
        column: [
            new + place.removeprefix(old) if place.startswith(f"{old}:") else place
            for place, old, new in zip(rows[column], rows["file"], file, strict=True)
        ]
        for column in ("record_id", "url")
    }
    return {"file": file.tolist(), **begun}


def _of_dataset(rows: pd.DataFrame) -> pd.Series:
    """Which rows come from a dataset: their record is its name, split and row."""
    begins = [r.startswith(f"{f}:") for r, f in zip(rows["record_id"], rows["file"], strict=True)]
    return pd.Series(begins, rows.index, dtype=bool)


def _base_names(paths: Iterable[str]) -> dict[str, str]:
    """Base name of each path, with 8 hex digits of the path's hash where two are equal."""
    bases = {path: Path(path).name for path in paths}
    times = Counter(bases.values())
    return {
        path: base if times[base] == 1 else f"{base}#{_sha256(path)[:8]}"
        for path, base in bases.items()
    }


def _readme(told: pd.DataFrame, counts: Mapping[str, int], made: Mapping) -> str:
    kinds = told.value_counts(["kind", "polarity"]).sort_index()
    lines = [
        f"- {counts['items']} items",
        *(f"- {n} sentences: {kind}, {polarity}" for (kind, polarity), n in kinds.items()),
        f"- {counts['sentences_with_text']} of the sentences with text",
        f"- from {told['url'].nunique()} pages of {told['host'].nunique()} hosts,"
        f" in {told['file'].nunique()} files or datasets",
    ]
    columns = [
        f"- `{name}.parquet`, `{f.name}`: {f.metadata[b'doc'].decode()}"
        for name, table in (("items", RELEASED_ITEMS), ("sentences", RELEASED_SENTENCES))
        for f in table.fields
    ]
    settings = json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False)
    return _README.format(
        counts="\n".join(lines), columns="\n".join(columns), settings=settings
    )  # fmt: skip


def rebuild(
    folder: str | Path, files: Mapping[str, str | Path]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items and sentences of a release, with the text that its files hold.

    Each file is read once. Sentences that were published with their text need no file; others of a
    dataset cannot be found again, as datasets are not read here.

    Parameters
    ----------
    folder
        Written by `release`.
    files
        Local path of each file, by its name in the column `file` of the release.

    Returns
    -------
    items
        ITEMS rows, equal to those released.
    sentences
        SENTENCES rows of the items, files named as in the release.

    Raises
    ------
    InputError
        Text of a dataset is withheld; a file is not given, is missing or holds no page; or
        sentences are not where they were: names them.
    """
    folder = Path(folder)
    told = read_table(folder / "sentences.parquet", RELEASED_SENTENCES)
    made = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    limits = ReadLimits(**made["settings"]["read"])
    withheld = told[told["text"].isna()]
    datasets = sorted(withheld.loc[_of_dataset(withheld), "file"].unique())
    if datasets:
        what = f"text of datasets cannot be rebuilt from files: {', '.join(datasets[:_NAMED])}"
        remedy = "find it by hand, as the README says, or use a release that holds it"
        raise InputError(folder / "sentences.parquet", what, remedy)
    lacking = sorted(set(withheld["file"]) - set(files))
    if lacking:
        what = f"{len(lacking)} files not given: {', '.join(lacking[:_NAMED])}"
        raise InputError(folder / "sentences.parquet", what, "give the local path of each")
    parts = [told[told["text"].notna()]]
    for name, rows in withheld.groupby("file"):
        parts.append(_with_text(rows, name, files[name], limits))
    found = pd.concat(parts)
    _check(found, folder)
    sentences = found[SENTENCES.columns].sort_values(list(SENTENCES.key), ignore_index=True)
    return _with_texts(read_table(folder / "items.parquet", RELEASED_ITEMS), sentences), sentences


def _with_text(rows: pd.DataFrame, name: str, path: str | Path, limits: ReadLimits) -> pd.DataFrame:
    """Sentences of one file with their text; empty where their page is not found."""
    wanted = set(zip(rows["record_id"], rows["offset"], strict=True))
    pages = {
        (page.record_id, page.offset): page.text
        for page in read_pages(path, name, Counter(), limits)
        if (page.record_id, page.offset) in wanted
    }
    cuts = [_cut(pages.get((row.record_id, row.offset), ""), row) for row in rows.itertuples()]
    return rows.assign(text=[text for text, _ in cuts], rest=[rest for _, rest in cuts])


def _cut(page: str, row: NamedTuple) -> tuple[str, str]:
    """Text and rest of the sentence that a row says where to find."""
    found = re.compile(rf"(?:\s*\S){{{row.n_characters}}}").match(page, row.start)
    if found is None:
        return "", ""
    if row.kind == "injection":
        return found[0], ""
    words = found[0].split()
    return " ".join(words[: row.n_words]), " ".join(words[row.n_words :])


def _check(found: pd.DataFrame, folder: Path) -> None:
    wrong = found[_whole(found["text"], found["rest"]).map(_sha256) != found["sha256"]]
    if len(wrong):
        named = [
            f"{row.hash} ({row.url}#{row.start} in {row.file})"
            for row in wrong.head(_NAMED).itertuples()
        ]
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        what = f"{len(wrong)} of {len(found)} sentences are not where they were: "
        remedy = "give the files as they were when the items were made"
        raise InputError(folder / "sentences.parquet", what + ", ".join(named) + more, remedy)


def _with_texts(ids: pd.DataFrame, sentences: pd.DataFrame) -> pd.DataFrame:
    texts = sentences.set_index(["kind", "hash"])["text"]
    return ids.assign(
        stem=ids["stem_hash"].map(texts.loc["stem"]),
        injection=ids["injection_hash"].map(texts.loc["injection"]).fillna(""),
    )[ITEMS.columns]
