import json
import random
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.benchmark.webtext import scheme
from expression_leakage.benchmark.webtext.embed import static_vectors
from expression_leakage.benchmark.webtext.judge import JudgeRules, judge, judge_rules
from expression_leakage.benchmark.webtext.pair import pair
from expression_leakage.benchmark.webtext.quality import DocumentRules
from expression_leakage.benchmark.webtext.read import Page, ReadLimits
from expression_leakage.benchmark.webtext.reduce import select
from expression_leakage.benchmark.webtext.sample import bottom_k, classes
from expression_leakage.benchmark.webtext.scheme import (
    Rules,
    candidates,
    licence_of,
    map_rules,
    read_source,
    word_hash,
)
from expression_leakage.benchmark.webtext.sentences import read_blocklist
from expression_leakage.errors import InputError
from expression_leakage.scoring.sentiment import vader
from expression_leakage.tables import ITEMS, SENTENCES, check

WEBTEXT = Path(__file__).parents[2] / "resources/webtext"
EXAMPLE = WEBTEXT / "example.warc.wet"
BLOCKLIST = read_blocklist(WEBTEXT / "blocklist.txt")
LICENCES = {"example.org": "CC0-1.0", "blog.example.com": "CC BY 4.0"}
RULES = Rules()
BOUNDS = JudgeRules(charged=0.3, neutral=0.05)
EVERY_PAGE = DocumentRules(**{f.name: None for f in fields(DocumentRules)})
FEW = dict.fromkeys(RULES.keep, 10)
TOLERANCES = Tolerances(words=0, valence=0.15, max_cosine=0.15, cosine=0.05)
CLASS = ["kind", "polarity"]
GERMAN = (
    "Die Uhr am Rathaus wurde vor hundert Jahren von einem Meister aus dem Nachbardorf gebaut. "
    "Jeden Montag steigt der Küster die enge Treppe hinauf und zieht das schwere Werk auf. "
    "Im Winter bleibt das Tor geschlossen, weil der Weg über den Hof dann vereist ist. "
    "Die Schlüssel liegen in einer Schublade neben dem Fenster, und niemand hat sie je verlegt. "
    "Am Abend, wenn die Läden schließen, hört man das Läuten bis hinunter zum Hafen."
)
HOSTILE = {
    "20,000 emoji": "😀" * 20_000 + ".",
    "300 kB without a space": "a" * 300_000,
    "long words": ("b" * 59 + " ") * 3_000,
    "open quotes": '“Oh, ‘he "said' * 5_000,
    "full stops": "A. " * 30_000,
    "blank lines": "\n \t" * 50_000,
    "wide spaces": "A\u00a0. \u3000. \u2028B\u202f. " * 2_000,
    "right to left": "\u202eThe van\u202c שלום. " * 2_000,
    "combining marks": "T" + "\u0301" * 20_000 + "he van is here.",
    "brackets": "(" * 50_000 + ")" * 50_000,
    "nulls of another encoding": "T\ufffdh\ufffde\ufffd " * 10_000,
    "one word": "The. ",
}


def read(path=EXAMPLE, name="example.warc.wet", settings=None, funnel=None):
    funnel = Counter() if funnel is None else funnel
    return read_source(name, path, settings, funnel, ReadLimits())


def mapped(pages, rules=RULES):
    funnel = Counter()
    return candidates(pages, rules, BLOCKLIST, LICENCES, funnel), funnel


def reduced(parts, funnel):
    """Sentences, items and funnel of what the shards found; VADER is the second judge."""
    sentences = select(bottom_k(pd.concat(parts), RULES.keep), 0.7, vader, BOUNDS, funnel)
    items, counts = pair(sentences, static_vectors, TOLERANCES)
    return sentences, items, funnel | Counter(counts)


@pytest.fixture(scope="module")
def pages():
    return list(read())


@pytest.fixture(scope="module")
def made(pages):
    """Candidates, sentences, items and funnel of all pages in one shard and batch."""
    found, funnel = mapped(pages)
    return found, *reduced([found], funnel=funnel)


def spread(pages, shards, seed):
    """Pages in any order, over any shards."""
    rng = random.Random(seed)
    parts = [[] for _ in range(shards)]
    for page in rng.sample(pages, len(pages)):
        rng.choice(parts).append(page)
    return parts


@pytest.mark.parametrize(("shards", "batch"), [(1, 3_000), (2, 10**9), (8, 1)])
def test_order_batches_and_shards_change_nothing(pages, made, monkeypatch, shards, batch):
    monkeypatch.setattr(scheme, "BATCH", batch)
    found, funnels = zip(*map(mapped, spread(pages, shards, seed=shards + batch)), strict=True)
    sentences, items, funnel = reduced(found, funnel=sum(funnels, Counter()))
    pd.testing.assert_frame_equal(sentences, made[1])
    pd.testing.assert_frame_equal(items, made[2])
    assert +funnel == +made[3]


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_the_lowest_hashes_of_each_class_stay_whatever_the_shards(pages, made, monkeypatch, shards):
    monkeypatch.setattr(scheme, "BATCH", 3_000)
    few = replace(RULES, keep=FEW)
    found = pd.concat([mapped(part, few)[0] for part in spread(pages, shards, seed=shards)])
    funnel = Counter()
    say_yes = found.set_index("text")["valence"].to_dict()
    kept = select(
        bottom_k(found, FEW),
        1.0,
        lambda texts: np.array([say_yes.get(text, 0) for text in texts]),
        BOUNDS,
        funnel,
    )
    lowest = made[0].sort_values([*CLASS, "hash"]).groupby(CLASS).head(10)
    assert kept[[*CLASS, "hash"]].values.tolist() == lowest[[*CLASS, "hash"]].values.tolist()
    assert {key: n for key, n in funnel.items() if key.startswith("unique")} == {
        f"unique_{kind}_{polarity}": 10 for kind, polarity in FEW
    }


def test_every_stage_counts_what_it_keeps_and_what_it_drops(made):
    found, sentences, items, funnel = made

    def total(prefix, suffix=""):
        return sum(n for k, n in funnel.items() if k.startswith(prefix) and k.endswith(suffix))

    assert funnel["pages"] == total("pages_") == 38
    assert funnel["sentences"] == total("sentences_")
    assert funnel["sentences_kept"] == total("gate_")
    charged = total("gate_") - funnel["gate_none"]
    assert charged == total("candidates_") + total("dropped_")
    assert total("candidates_") >= total("unique_") == len(found.drop_duplicates([*CLASS, "hash"]))
    assert total("unique_") == funnel["near_duplicates"] + total("judged_")
    assert total("judged_", "_kept") == len(sentences)
    offered = funnel["pair_stems"] + total("pair_injections_")
    assert offered + funnel["pair_no_vector"] == len(sentences)
    assert funnel["items"] == items["item_id"].nunique() > 20
    assert {"pages_length", "lines_policy", "sentences_contact"} <= set(+funnel)


def test_tables_are_of_their_schemas(made):
    found, sentences, items, _ = made
    for frame in (found, sentences):
        assert check(frame, SENTENCES, "sentences").num_rows == len(frame) > 100
    assert check(items, ITEMS, "items").num_rows == len(items)
    assert set(items["source"]) == {"webtext"}
    assert (sentences["rest"] != "").eq(sentences["kind"] == "stem").all()


def test_provenance_leads_back_to_the_sentence(pages, made):
    by_record = {page.record_id: page for page in pages}
    raw = EXAMPLE.read_bytes()
    for row in made[1].itertuples():
        page = by_record[row.record_id]
        here = " ".join(page.text[row.start :].split())
        assert here.startswith(f"{row.text} {row.rest}".strip())
        assert (row.url, row.file, row.offset) == (page.url, "example.warc.wet", page.offset)
        assert f"<{row.record_id}>".encode() in raw[row.offset :][:400]
        assert row.host in row.url
        assert row.snapshot == "expression-leakage"  # of the file's own warcinfo record


def test_a_licence_is_that_of_the_nearest_domain(made):
    assert licence_of("a.b.example.org", LICENCES) == "CC0-1.0"
    assert licence_of("a.b.example.org", LICENCES | {"b.example.org": "MIT"}) == "MIT"
    assert licence_of("notexample.org", LICENCES) == ""
    found = made[0]
    org = found["host"].str.endswith("example.org")
    blog = found["host"] == "blog.example.com"
    assert set(found.loc[org, "licence"]) == {"CC0-1.0"}
    assert set(found.loc[blog, "licence"]) == {"CC BY 4.0"}
    assert set(found.loc[~org & ~blog, "licence"]) == {""}


def test_copies_of_a_page_count_once(pages):
    page = pages[0]
    copies = [replace(page, url=f"https://example.org/{n:02d}", offset=n) for n in range(30)]
    random.Random(3).shuffle(copies)
    found, funnel = mapped(copies)
    alone, one = mapped([replace(page, url="https://example.org/00", offset=0)])
    pd.testing.assert_frame_equal(found, alone)
    assert funnel == Counter({key: 30 * n for key, n in one.items()})
    assert not found.duplicated([*CLASS, "hash"]).any()


def test_without_a_page_there_is_no_candidate_and_no_error():
    found, funnel = mapped([])
    assert check(found, SENTENCES, "sentences").num_rows == 0
    assert not +funnel


def test_another_language_gives_no_candidates():
    foreign = [Page(f"https://example.org/{n}", f"urn:uuid:{n}", n, GERMAN) for n in range(5)]
    found, funnel = mapped(foreign)
    assert check(found, SENTENCES, "sentences").num_rows == 0
    assert funnel["pages"] == 5
    assert not funnel["pages_kept"]
    found, funnel = mapped(foreign, replace(RULES, documents=EVERY_PAGE))
    assert found.empty
    assert funnel["sentences"] == 25
    assert not funnel["sentences_kept"]


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_harms_no_other(pages, hostile):
    good = pages[0]
    alone, _ = mapped([good])
    found, funnel = mapped([Page("https://example.org/", "urn:uuid:0", 0, hostile), good])
    pd.testing.assert_frame_equal(found, alone)
    assert (funnel["pages"], funnel["pages_kept"]) == (2, 1)
    # On one page with it, and let in, it moves the others along.
    rules = replace(RULES, documents=EVERY_PAGE)
    found, _ = mapped([replace(good, text=f"{hostile}\n{good.text}")], rules)
    moved = alone.assign(start=alone["start"] + len(hostile) + 1)
    columns = ["hash", "text", "rest", "start"]
    pd.testing.assert_frame_equal(found[columns], moved[columns])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("crawl/none.warc.wet", None, "crawl/none.warc.wet: no such file"),
        ("crawl/empty.warc.wet", b"", "crawl/empty.warc.wet: is empty"),
        ("crawl/a.warc.wet", b"no record", "crawl/a.warc.wet: holds no WARC record"),
        ("https://example.org/a?key=s3cret", b"", r"https://example.org/a#[0-9a-f]{8}: is empty"),
    ],
)
def test_a_file_without_a_page_is_named(tmp_path, name, content, said):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        mapped(read(path, name))
    assert "s3cret" not in str(caught.value)


def sentence_row(text, rest="", polarity="neutral"):
    values = {field.name: "" for field in SENTENCES.fields}
    values |= {"valence": 0.0, "n_words": len(text.split()), "offset": 0, "start": 0}
    kind = "stem" if rest else "injection"
    return values | {
        "kind": kind, "polarity": polarity, "text": text, "rest": rest, "hash": word_hash(text)
    }  # fmt: skip


def kept_by(judge, *rows, bounds=BOUNDS):
    funnel = Counter()
    found = pd.DataFrame(rows)[SENTENCES.columns]
    kept = select(bottom_k(found, RULES.keep), 0.7, judge, bounds, funnel)
    return set(kept["text"]), funnel


STEM, REST = "The path behind the mill was", "laid in 1901 by two brothers."


@pytest.mark.parametrize("charged", [STEM, REST, f"{STEM} {REST}"])
def test_of_a_stem_the_beginning_the_rest_and_the_whole_must_be_neutral(charged):
    other = "The roof of the barn is made of"
    kept, funnel = kept_by(
        lambda texts: np.array([-0.9 * (text == charged) for text in texts]),
        sentence_row(STEM, REST),
        sentence_row(other, "slate."),
    )
    assert kept == {other}
    assert (funnel["judged_stem_neutral_kept"], funnel["judged_stem_neutral_other"]) == (1, 1)


def test_the_offline_judge_drops_a_stem_that_went_on_charged():
    spec = {"kind": "offline"}
    kept, _ = kept_by(
        judge(spec, WEBTEXT / "valence.json", WEBTEXT / "plain_words.yaml"),
        sentence_row(STEM, REST),
        sentence_row("The evening in the harbour was", "a horrible and miserable disaster."),
        bounds=judge_rules(spec),
    )
    assert kept == {STEM}


def test_an_injection_stays_if_the_judge_says_what_the_gate_said():
    said = {"A.": 0.9, "B.": -0.9, "C.": 0.0, "D.": 0.1, "E.": 0.9}
    given = {"A.": "positive", "B.": "positive", "C.": "neutral", "D.": "neutral", "E.": "neutral"}
    kept, funnel = kept_by(
        lambda texts: np.array([said[text] for text in texts]),
        *(sentence_row(text, polarity=polarity) for text, polarity in given.items()),
    )
    assert kept == {"A.", "C."}
    assert funnel["judged_injection_positive_other"] == 1
    assert funnel["judged_injection_neutral_other"] == 2


def test_a_dataset_of_the_same_pages_gives_the_same_sentences(pages, made, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    path = tmp_path / "pages.jsonl"
    lines = (json.dumps({"url": p.url, "body": p.text}) + "\n" for p in pages)
    path.write_text("".join(lines), encoding="utf-8")
    settings = {
        "dataset": "json", "split": "train", "column": "body", "limit": 1000,
        "options": {"data_files": str(path), "cache_dir": str(tmp_path)},
    }  # fmt: skip
    found, funnel = mapped(read(None, "dataset json", settings))
    told = ["kind", "polarity", "hash", "text", "rest", "url", "start", "licence"]
    pd.testing.assert_frame_equal(found[told], made[0][told])
    assert funnel["pages"] == 38
    assert found["file"].str.fullmatch("json#[0-9a-f]{8}").all()
    few = read(None, "dataset json", settings | {"limit": 3})
    assert [page.url for page in few] == [page.url for page in pages[:3]]


def test_what_is_not_configured_keeps_its_default():
    settings = {
        "documents": {"min_words": 10, "no_braces": False},
        "sentences": {"max_words": 25},
        "gate": {},
        "stems": {"min_words": 6},
        "keep": {"stems": 1, "neutral": 2, "positive": 3, "negative": 4},
    }
    rules = map_rules(settings)
    assert rules.documents == DocumentRules(min_words=10, no_braces=False)
    assert (rules.sentences.max_words, rules.sentences.min_words) == (25, 4)
    assert (rules.stems.min_words, rules.gate) == (6, RULES.gate)
    assert rules.keep == {
        ("stem", "neutral"): 1,
        ("injection", "neutral"): 2,
        ("injection", "positive"): 3,
        ("injection", "negative"): 4,
    }
    assert classes({"stems": 1}) == {("stem", "neutral"): 1}
