from collections import Counter
from pathlib import Path

import pytest

from expression_leakage.benchmark.webtext.filter import (
    DocumentRules,
    SentenceRules,
    clean_sentences,
    page_fault,
    read_blocklist,
    sentence_fault,
)
from expression_leakage.benchmark.webtext.read import Page, read_wet
from expression_leakage.errors import InputError

WEBTEXT = Path(__file__).parents[2] / "resources/webtext"
PROSE = "The gate of the yard is shut in the evening and the keys are kept in the office. "
BLOCKLIST = read_blocklist(WEBTEXT / "blocklist.txt")


def clean(text: str) -> tuple[list[str], Counter]:
    funnel = Counter()
    page = Page("https://example.org/", "urn:uuid:0", 0, text)
    kept = clean_sentences(page, DocumentRules(), SentenceRules(), BLOCKLIST, funnel)
    assert all(text[s.start :].startswith(s.text) for s in kept)
    return [s.text for s in kept], funnel


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (PROSE * 5, None),
        (PROSE, "length"),
        ("", "length"),
        ("Das Tor am Hof wird am Abend geschlossen, und die Schlüssel hängen da. " * 6, "language"),
        (PROSE * 5 + "1690 1921 1934 2019 " * 10, "alphabetic"),
        (PROSE * 4 + "a e i o u " * 60, "word_length"),
        ("Visitors enter by another door during winter months each year. " * 6, "stop_words"),
        (PROSE * 5 + "Lorem ipsum dolor.", "lorem_ipsum"),
        (PROSE * 5 + "function open() { }", "braces"),
    ],
)
def test_the_first_broken_document_rule_is_named(text, fault):
    assert page_fault(text, DocumentRules(), SentenceRules()) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The gate is shut in the evening.", None),
        ("Opening hours of the museum", "unfinished"),
        ("Go away now.", "length"),
        ("The gate is shut" + " and shut" * 30 + ".", "length"),
        ("the gate is shut in the evening.", "form"),
        ("THE GATE IS SHUT IN THE EVENING.", "form"),
        ("The gate (the green one) is shut.", "form"),
        ("A. The gate is shut in the evening.", "form"),
        ("Write to the porter at porter@example.org.", "contact"),
        ("The porter answers on 01632 960 114 at night.", "contact"),
        ("The old server answers at 192.0.2.17 at night.", "contact"),
        ("The form is on www.example.org in two languages.", "contact"),
        ("It was shut in the evening.", "anaphoric"),
        ("However the gate was shut in the evening.", "anaphoric"),
        ("The gallery upstairs holds a nude in chalk.", "blocklist"),
        ("Der Pförtner schließt das Tor am Abend.", "language"),
    ],
)
def test_the_first_broken_sentence_rule_is_named(text, fault):
    assert sentence_fault(text, SentenceRules(), BLOCKLIST) == fault


def test_a_german_page_is_dropped():
    page = next(p for p in read_wet(WEBTEXT / "example.warc.wet") if "reisenotizen" in p.url)
    assert clean(page.text) == ([], Counter(pages=1, pages_language=1))


def test_a_german_sentence_on_an_english_page_is_dropped():
    kept, funnel = clean(PROSE * 5 + "Der Pförtner schließt das Tor am Abend. " + PROSE)
    assert set(kept) == {PROSE.strip()}
    assert funnel["sentences_language"] == 1


def test_navigation_and_cookie_notices_are_dropped():
    lines = ["Home | Tickets | Contact", "We use cookies to count visits.", PROSE * 5]
    kept, funnel = clean("\n".join(lines))
    assert set(kept) == {PROSE.strip()}
    assert (funnel["sentences_unfinished"], funnel["lines_policy"]) == (1, 1)


@pytest.mark.parametrize("line", ["Sheet " + "4f1c09ae" * 9 + " was scanned.", "x" * 61])
def test_a_long_token_costs_its_line_only(line):
    kept, funnel = clean(PROSE * 5 + "\n" + line)
    assert (len(kept), funnel["lines_long_token"]) == (5, 1)


def test_a_page_without_a_space_is_dropped_unread():
    assert clean("x" * 400_000) == ([], Counter(pages=1, pages_length=1))


def test_emoji_without_end_are_dropped_before_they_are_scored():
    text = "What a day " + "😀" * 20_000 + "."
    assert sentence_fault(text, SentenceRules(), BLOCKLIST) == "length"


def test_a_blocklist_has_comments_and_matches_beginnings(tmp_path):
    path = tmp_path / "blocklist.txt"
    path.write_text("# of the kitchen\nspoon  # and spoons\n\n", encoding="utf-8")
    blocklist = read_blocklist(path)
    assert blocklist.search("Two Spoons lay there.")
    assert not blocklist.search("The teaspoon and the kitchen.")


@pytest.mark.parametrize("content", [None, "# nothing yet\n"])
def test_a_blocklist_without_entries_is_an_error(tmp_path, content):
    path = tmp_path / "blocklist.txt"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="blocklist"):
        read_blocklist(path)
