import json
import random
from collections import Counter
from pathlib import Path

import pytest

from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.benchmark.webtext.filter import Sentence, read_blocklist
from expression_leakage.benchmark.webtext.read import Page, read_dataset, read_wet
from expression_leakage.benchmark.webtext.scheme import Scheme, webtext_items
from expression_leakage.benchmark.webtext.select import (
    SelectionRules,
    classify,
    cut_stem,
    drop_duplicates,
    host,
    select_sentences,
)
from expression_leakage.errors import InputError
from expression_leakage.tables import ITEMS, check

WEBTEXT = Path(__file__).parents[2] / "resources/webtext"
BLOCKLIST = read_blocklist(WEBTEXT / "blocklist.txt")
RULES = SelectionRules()
ARMS = ("control", "placebo", "positive", "negative")


@pytest.fixture(scope="module")
def pages():
    return list(read_wet(WEBTEXT / "example.warc.wet"))


@pytest.fixture(scope="module")
def made(pages):
    return webtext_items(pages, BLOCKLIST)


def sentences(*texts: str) -> list[Sentence]:
    return [
        Sentence(text, Page(f"https://example.org/{i}", f"urn:uuid:{i}", i, text), 0)
        for i, text in enumerate(texts)
    ]


def select(text: str):
    funnel = Counter()
    return select_sentences(sentences(text), RULES, funnel), +funnel - Counter(unique=1)


@pytest.mark.parametrize(
    ("text", "polarity"),
    [
        ("The van is loaded at five.", "neutral"),
        ("The concert was a wonderful success.", "positive"),
        ("The fire was a terrible disaster.", "negative"),
        ("The soup was not good.", None),
        ("The sad song was wonderful and delightful.", None),
        ("The handle stayed cool.", None),
    ],
)
def test_both_lexicons_must_agree(text, polarity):
    assert classify(text, RULES)[0] == polarity


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("The dial of the clock was engraved by a printer.", "The dial of the clock was"),
        ("The van takes the ferry because the bridge closed.", "The van takes the ferry because"),
        ("The maker prints the year on a plate underneath.", "The maker prints the year on"),
        ("The dial is a sheet of painted tin plate.", "The dial is a sheet of"),
        ("The clock is oak.", None),
        ("Two boxes held winter coats last year again.", None),
    ],
)
def test_a_stem_ends_where_something_must_follow(text, stem):
    cut = cut_stem(text, RULES)
    assert (cut and cut[0]) == stem
    assert cut is None or " ".join(cut) == text


def test_a_stem_goes_if_its_natural_continuation_is_charged():
    neutral = "The pool behind the school was closed because of the repair of a pump."
    assert select(neutral)[1] == {"stems": 1}
    assert select(neutral.replace("repair", "terrible death"))[1] == {"dropped_charged_stem": 1}


def test_a_stem_does_not_speak_of_its_narrator():
    _, funnel = select("The letters I wrote to the coast were put in a box by the door.")
    assert funnel == {"dropped_personal": 1}


def test_questions_are_not_injections():
    assert select("Where does the second bus stop?")[1] == {"dropped_question": 1}


def test_near_duplicates_count_once_whatever_their_order():
    texts = [
        "The bus back to town left at ten past four.",
        "The bus back to town left at twenty past four.",
        "The bus back to town left at ten past four!",
        "The curator winds the clocks on Mondays.",
    ]
    given = sentences(*texts)
    kept = [s.text for s in drop_duplicates(given, RULES)]
    assert len(kept) == 2
    assert [s.text for s in drop_duplicates(given[::-1], RULES)] == kept


def test_equal_sentences_keep_the_first_place_by_url():
    given = sentences(*["The curator winds the clocks on Mondays."] * 3)
    (kept,) = drop_duplicates(given[::-1], RULES)
    assert kept.page.url == "https://example.org/0"


def test_the_topic_is_the_host():
    assert host("https://blog.example.org:8080/a?b") == "blog.example.org"
    assert host("json:train:3") == "json:train:3"


def test_the_fixture_gives_items_that_fit_the_table(made):
    items, _, funnel = made
    assert check(items, ITEMS, "items").num_rows == len(items)
    assert funnel["items"] == items["item_id"].nunique() >= 40
    assert set(items["relevance"]) == {"irrelevant"}
    assert set(items["source"]) == {"webtext"}


def test_stem_and_arms_come_from_five_pages(made):
    items, found, _ = made
    page = found.set_index(["kind", "text"])["url"]
    for _, item in items.groupby("item_id"):
        arms = item.set_index("condition")["injection"]
        urls = {page["injection", arms[arm]] for arm in ARMS} | {page["stem", item["stem"].iloc[0]]}
        assert len(urls) == 5


def test_arms_are_of_their_polarity_and_matched(made):
    items, found, _ = made
    polarity = found[found["kind"] == "injection"].set_index("text")["polarity"]
    for arm, wanted in zip(ARMS, ("neutral", "neutral", "positive", "negative"), strict=True):
        assert set(polarity[items.loc[items["condition"] == arm, "injection"]]) == {wanted}
    valence = items.pivot(index="item_id", columns="condition", values="valence")
    gap = (valence["positive"] + valence["negative"]).abs()
    assert gap.max() <= Tolerances().valence + 1e-9


def test_provenance_leads_back_to_the_sentence(pages, made):
    items, found, _ = made
    text = {p.record_id: p.text for p in pages}
    for row in found.itertuples():
        whole = f"{row.text} {row.rest}".strip()
        assert text[row.record_id][row.start :].startswith(whole)
    url_texts = {p.url: p.text for p in pages}
    for stem, origin in items[["stem", "origin"]].drop_duplicates().itertuples(index=False):
        url, _, start = origin.rpartition("#")
        assert url_texts[url][int(start) :].startswith(stem)


def test_every_drop_is_counted(made):
    _, _, funnel = made
    part = Counter()
    for name, count in funnel.items():
        part[name.partition("_")[0]] += count
    assert part["pages"] == 2 * funnel["pages"]
    assert part["sentences"] == 2 * funnel["sentences"]
    assert part["dropped"] + part["injections"] + part["stems"] == funnel["unique"]
    assert {"pages_language", "pages_length", "lines_policy", "sentences_contact"} <= set(funnel)


def test_the_order_of_pages_changes_nothing(pages, made):
    shuffled = random.Random(7).sample(pages, len(pages))
    items, found, funnel = webtext_items(shuffled, BLOCKLIST)
    assert items.equals(made[0])
    assert found.equals(made[1])
    assert funnel == made[2]


def test_a_stream_of_the_same_pages_gives_the_same_items(pages, made, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    path = tmp_path / "pages.jsonl"
    rows = (json.dumps({"url": p.url, "text": p.text}) + "\n" for p in pages)
    path.write_text("".join(rows), encoding="utf-8")
    stream = read_dataset("json", "train", "text", data_files=str(path))
    items, _, funnel = webtext_items(stream, BLOCKLIST)
    assert items.equals(made[0])
    assert funnel == made[2]


def test_reuse_of_injections_is_bounded(pages):
    items, _, _ = webtext_items(pages, BLOCKLIST, Scheme(max_reuse=1))
    used = items.loc[items["condition"] != "plain", "injection"]
    assert used.is_unique


def test_pages_without_a_match_are_an_error(pages):
    with pytest.raises(InputError, match=r"no item from .*give more pages"):
        webtext_items(pages[:2], BLOCKLIST)


def test_no_pages_are_an_error():
    with pytest.raises(InputError, match="no item"):
        webtext_items([], BLOCKLIST)
