import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expression_leakage.benchmark.webtext import sentences
from expression_leakage.benchmark.webtext.read import Page
from expression_leakage.benchmark.webtext.sentences import (
    SentenceRules,
    read_blocklist,
    sentences_of,
)
from expression_leakage.errors import InputError

BLOCKLIST_FILE = Path(__file__).parents[2] / "resources/webtext/blocklist.txt"
BLOCKLIST = read_blocklist(BLOCKLIST_FILE)
RULES = SentenceRules()
# Every rule off: a test of one rule switches that one on.
OFF = SentenceRules(**dict.fromkeys(vars(RULES)))
NOTHING = r"^\b$"
GATE = "The gate is shut in the evening."


def page(text: str) -> Page:
    return Page("https://example.org/", "urn:uuid:0", 0, text)


def found(
    *texts: str, rules: SentenceRules = RULES, blocklist: str = BLOCKLIST
) -> tuple[list[tuple], Counter]:
    """Rows (text, page, start), each checked against its page, and the funnel."""
    funnel = Counter()
    table = sentences_of([page(text) for text in texts], rules, blocklist, funnel)
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert all(texts[p][s : s + len(text)] == text for text, p, s in rows)
    assert funnel["sentences_kept"] == len(rows)
    faults = {name for name in funnel if name.startswith("sentences_")}
    assert funnel["sentences"] == sum(funnel[name] for name in faults)
    return rows, +funnel


def fault(text: str, rules: SentenceRules = RULES) -> str:
    """The fault of a line that is one sentence."""
    _, funnel = found(text, rules=rules)
    (name,) = funnel.keys() - {"sentences"}
    assert funnel[name] == 1
    return name.removeprefix("sentences_").replace("kept", "")


@pytest.mark.parametrize(
    "text",
    [
        GATE,
        "My sister's bees don't sting, and the honey costs £4.50 a jar.",
        "I lost the wages of a whole week at the races!",
        "Where does the second bus to Millbrook stop?",
        "There are 1,200 seats in the old theatre on St. Mary's Street.",
        "The well-known painter – a shy man – moved to Zürich in 1931.",
        "The war of 1914–1918 emptied the village.",
        "Dr. Hill and Mr. Poole rode to the U.S. embassy by bus.",
        "The first bus on weekdays departs from the depot at twenty past five.",
        "The dogs' bowls are washed on Monday and/or Friday.",
        "One morning the miller found the sluice open.",
        "Most of the apples were eaten by wasps.",
    ],
)
def test_a_sentence_that_can_stand_alone_is_kept(text):
    assert fault(text) == ""


FAULTY = [
    ("Opening hours of the museum", "unfinished"),
    ("The gate is shut:", "unfinished"),
    ("The gate is shut (in the evening.)", "unfinished"),
    ("Go away now.", "length"),
    ("The gate is shut" + " and shut" * 30 + ".", "length"),
    ("The gate is " + "undisturbed " * 30 + "shut.", "length"),
    ("Write to the porter at porter@example.org.", "contact"),
    ("The porter is @gatekeeper on the network.", "contact"),
    ("The porter answers on 01632 960 114 at night.", "contact"),
    ("The porter answers on +44 (0)1632-960114 at night.", "contact"),
    ("The porter answers on 555-0123 at night.", "contact"),
    ("The porter answers on 01 63 29 60 at night.", "contact"),
    ("The old server answers at 192.0.2.17 at night.", "contact"),
    ("The new server answers at 2001:db8:0:0::17 at night.", "contact"),
    ("The form is on www.example.org in two languages.", "contact"),
    ("The form is at HTTPS://EXAMPLE/form in two languages.", "contact"),
    ("The form is on example.org in two languages.", "contact"),
    ("The porter is reached under porter at example dot org.", "contact"),
    ("The command ls -la shows the files.", "code"),
    ("The option --help shows the manual.", "code"),
    ("The key is kept in /etc/keys by the porter.", "code"),
    ("The key is kept in ~/keys by the porter.", "code"),
    ("The method getElementById returns the gate.", "code"),
    ("The variable gate_open holds the state.", "code"),
    ("The variable $HOME holds the state.", "code"),
    ("The porter &amp; his dog sleep at noon.", "code"),
    ("The address 0x7f points to the gate.", "code"),
    ("the gate is shut in the evening.", "form"),
    ("12 gates are shut in the evening.", "form"),
    ("THE GATE IS SHUT IN THE EVENING.", "form"),
    ("BUY NOW and save the cost of a gate.", "form"),
    ("The gate  is shut in the evening.", "form"),
    ("The gate\tis shut in the evening.", "form"),
    ("The gate is shut , in the evening.", "form"),
    ("The gate is shut,in the evening.", "form"),
    ("The gate is shut in the evening...", "form"),
    ("The gate is shut in the evening!!", "form"),
    ("The rooms are 12 14 16 on every floor.", "form"),
    ("The gate was painted by the elder Mr.", "form"),
    ("IV) The gate is shut in the evening.", "heading"),
    ("B.3.1 Who shuts the gate in the evening?", "heading"),
    ("Note well: the gate is shut in the evening.", "heading"),
    ("Gate – the porter shuts it.", "heading"),
    ("WARNING the gate is shut in the evening.", "heading"),
    ("A Short History of the Gate.", "heading"),
    ("The gate (the green one) is shut.", "symbols"),
    ("The gate (the green one is shut.", "symbols"),
    ("The sign says “keep left” in red.", "symbols"),
    ('The sign says "keep left" in red.', "symbols"),
    ("The sign says 'keep left' in red.", "symbols"),
    ("The gate is shut 😀 in the evening.", "symbols"),
    ("The gate\u00a0is shut in the evening.", "symbols"),
    ("Gate + porter = safety in the evening.", "symbols"),
    ("The gate in figure 3 is shut in the evening.", "reference"),
    ("The gate on page 12 is shut in the evening.", "reference"),
    ("The gate is shut, as noted above.", "reference"),
    ("The hours described earlier apply to the gate.", "reference"),
    ("The following gates are shut in the evening.", "reference"),
    ("See the list of gates on the wall.", "reference"),
    ("The gate here is shut in the evening.", "reference"),
    ("The next section is about gates.", "reference"),
    ("Hill, Ada, The gates of the north, Leeds, 1992.", "reference"),
    ("It was shut in the evening.", "anaphoric"),
    ("They shut the gate in the evening.", "anaphoric"),
    ("However the gate was shut in the evening.", "anaphoric"),
    ("For example, the gate is shut in the evening.", "anaphoric"),
    ("As a result, the gate is shut in the evening.", "anaphoric"),
    ("Yes, the gate is shut in the evening.", "anaphoric"),
    ("No, the gate is open in the evening.", "anaphoric"),
    ("Consequently, the gate is shut in the evening.", "anaphoric"),
    ("In this case the gate is shut.", "anaphoric"),
    ("The gate of this yard is shut.", "anaphoric"),
    ("The gate is shut, however, in the evening.", "anaphoric"),
    ("When he arrived, the gate was shut.", "anaphoric"),
    ("After a while, they shut the gate.", "anaphoric"),
    ("Many were shut in the evening.", "anaphoric"),
    ("Some of them stayed open all night.", "anaphoric"),
    ("You can also shut the gate.", "anaphoric"),
    ("Which is why the gate was shut.", "anaphoric"),
    ("Because the gate was shut.", "anaphoric"),
    ("The porter did so in the evening.", "anaphoric"),
    ("Great place for a picnic with children.", "verbless"),
    ("The gallery upstairs holds a nude in chalk.", "blocklist"),
    ("Der Pförtner schließt das Tor am Abend.", "language"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FAULTY)
def test_the_first_broken_rule_is_named(text, expected):
    assert fault(text) == expected


SWITCHES = {
    "length": ("min_words", "max_words", "max_characters"),
    **{name: (name,) for name in sentences._FAULTS},
    "unfinished": ("unfinished",),
    "verbless": ("verbless",),
    "language": ("language",),
}


@pytest.mark.parametrize(("text", "expected"), FAULTY)
def test_every_rule_can_be_switched_off_and_works_by_itself(text, expected):
    if expected == "blocklist":
        return
    off = replace(RULES, **dict.fromkeys(SWITCHES[expected]))
    assert fault(text, off) != expected
    assert fault(text, OFF) == ""
    alone = replace(OFF, **{name: getattr(RULES, name) for name in SWITCHES[expected]})
    assert fault(text, alone) == expected


def test_navigation_and_policies_are_dropped():
    text = "\n".join(
        ["Home | Tickets", "We use cookies. Shut the gate.", GATE, "Enable JavaScript."]
    )
    rows, funnel = found(text)
    assert rows == [(GATE, 0, text.index(GATE))]
    assert funnel == Counter(lines_policy=2, sentences=2, sentences_unfinished=1, sentences_kept=1)
    assert found(text, rules=OFF)[1]["sentences"] == 5


@pytest.mark.parametrize("token", ["4f1c09ae" * 9, "x" * 61, "é" * 61, "門" * 61])
def test_a_long_token_costs_its_line_only(token):
    rows, funnel = found(f"{GATE}\nSheet {token} was scanned. {GATE}\n{GATE}")
    assert (len(rows), funnel["lines_long_token"]) == (2, 1)
    assert "lines_long_token" not in found(f"Sheet {token[:60]} was scanned.")[1]


def test_a_line_is_cut_into_sentences():
    text = f"  {GATE}  Mr. Poole shut it at 5 p.m. sharp!\u00a0 Who has the key? {GATE}"
    rows, _ = found(text, rules=OFF)
    assert [row[0] for row in rows] == [
        GATE,
        "Mr. Poole shut it at 5 p.m. sharp!",
        "Who has the key?",
        GATE,
    ]
    assert rows[0][2] == 2


def test_offsets_count_characters_beyond_the_basic_plane():
    text = f"𝔊𝔞𝔱𝔢 😀\n\n😀 é. {GATE} 😀!\r\n\u3000{GATE}\n"
    rows, _ = found("😀", text)
    first = text.index(GATE)
    assert rows == [(GATE, 1, first), (GATE, 1, text.index(GATE, first + 1))]


# Pieces that segmenters stumble over, and sentences that pass every rule.
PIECES = st.sampled_from([
    GATE, GATE + " ", "I lost my keys at noon!", " ", "\n", "\t", "\u00a0", "\u2028", "\r\n", ".",
    "A\u00a0.", "B\u3000. ", "Mr. ", "e.g. ", "U.S. ", "“", "”", '"', "`", "'", "(", ")", "[1]",
    "😀", "𝔊", "é", "門。", "x" * 61, "@", "Javascript ", "Yahoo! ", "!Kung", "1. ", "...",
])  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(TEXTS, max_size=4), st.sampled_from([RULES, OFF]))
def test_a_page_is_judged_by_itself_wherever_it_stands(texts, rules):
    rows, funnel = found(*texts, rules=rules)
    alone = [found(text, rules=rules) for text in texts]
    assert rows == [(s, p, start) for p, (own, _) in enumerate(alone) for s, _, start in own]
    assert funnel == sum((own for _, own in alone), Counter())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS)
def test_nothing_between_white_space_is_lost_without_rules(text):
    rows, _ = found(text, rules=OFF, blocklist=NOTHING)
    assert "".join("".join(row[0].split()) for row in rows) == "".join(text.split())
    assert all(row[0] == row[0].strip() for row in rows)


def naive_fault(sentence: str) -> str:
    """Three rules again, character by character and word by word."""
    if sentence[-1] not in (".", "!", "?"):
        return "unfinished"
    if len(sentence) > 40 or not 3 <= len(sentence.split()) <= 6:
        return "length"
    allowed = " .,;:!?'’%£$€&/–—-"
    odd = any(not c.isalnum() and c not in allowed for c in sentence)
    quoted = re.search(r"(?<![^\s])['’]|(?<=[^sS])['’](?![^\s.,;:!?])", sentence)
    return "symbols" if odd or quoted else ""


WORDS = st.sampled_from(
    ["the", "gate", "I'm", "'so'", "Bs'", "“", "(a)", "5%", "ü", "😀", "x" * 20]
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(WORDS, min_size=1, max_size=8).map(" ".join), st.sampled_from([".", "!", "", ":"]))
def test_rules_agree_with_a_plain_check(body, end):
    text = body + end
    rules = replace(OFF, unfinished=True, min_words=3, max_words=6, max_characters=40, symbols=True)
    assert fault(text, rules) == naive_fault(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 300_000,
        "What a day " + "😀" * 20_000 + ".",
        "What a day " + "😀 " * 20_000 + ".",
        "a b.\n" * 200_000,
        "a. " * 333_000,
        "`a' b. " * 140_000,
        "。你好" * 100_000,
        "A, " * 300_000 + "he.",
    ],
    ids=["one token", "emoji", "spaced emoji", "lines", "dots", "quotes", "ideographs", "commas"],
)
@pytest.mark.parametrize("rules", [RULES, OFF], ids=["rules", "no rules"])
def test_the_segmenter_never_meets_a_long_stretch(text, rules, monkeypatch):
    longest = [0]

    def measured(language, stretch, segment=sentences.segment):
        longest.append(len(stretch))
        return segment(language, stretch)

    monkeypatch.setattr(sentences, "segment", measured)
    found(text, rules=rules)
    assert max(longest) <= 10_001


def test_emoji_without_end_are_too_long():
    assert fault("What a day " + "😀 " * 200 + "!") == "length"


def test_no_pages_have_no_sentences():
    assert found() == ([], Counter())
    assert found("", "\n\n") == ([], Counter())


def test_columns_are_text_page_and_start():
    table = sentences_of([page(GATE)], RULES, BLOCKLIST, Counter())
    assert {f.name: str(f.type) for f in table.schema} == {
        "text": "string",
        "page": "int32",
        "start": "int64",
    }


def holds(blocklist: str, text: str) -> bool:
    """Whether a sentence is blocked, which RE2 and re must agree on."""
    blocked = bool(found(text, rules=OFF, blocklist=blocklist)[1]["sentences_blocklist"])
    assert bool(re.search(blocklist, text)) == blocked
    return blocked


def test_a_blocklist_has_comments_beginnings_and_whole_words(tmp_path):
    path = tmp_path / "blocklist.txt"
    path.write_text(
        "# of the kitchen\nspoon  # and spoons\n\nfork$\nmixing-bowl\nhot pan\n", "utf-8"
    )
    blocklist = read_blocklist(path)
    for blocked in ("Two Spoons lay there", "A FORK lay there", "Mixing-bowls", "The hot pan"):
        assert holds(blocklist, blocked)
    for innocent in ("The teaspoon", "The forklift of the kitchen", "Mixing bowl", "Hot  pans"):
        assert not holds(blocklist, innocent)


@pytest.mark.parametrize("content", [None, "# nothing yet\n", "$\n"])
def test_a_blocklist_without_entries_is_an_error(tmp_path, content):
    path = tmp_path / "blocklist.txt"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="blocklist"):
        read_blocklist(path)


# Places, trades, tools, plants and plain words that share letters with entries of the list.
INNOCENT = """
    accumulate analogue analysis arsenal assess assignment assume basement bass bishop buttress
    button canal cannon cantata cassette classic cockatoo cockpit cocktail cockerel cucumber cumulus
    cupboard Dick Dickens document Essex execution flange fugue gorge grape grapefruit homogeneous
    homology hoard injunction innuendo Japan jape jigsaw kinkajou knight Lesbos lesson luster
    massage Middlesex Milford moratorium Nigeria niggard nudge organ organism Pakistan parse passage
    peacock penchant peninsula pistachio raccoon rapeseed rapid retardant Scunthorpe semicolon
    sextant sextet sexton shiitake shuttle snigger spaceman spice spicy specialist stable Sussex
    swap tart tattoo therapist title titmouse tycoon Wankel Yiddish
"""


def test_the_list_spares_innocent_words():
    texts = [f"The {word} lay there by the {word.lower()}s" for word in INNOCENT.split()]
    rows, _ = found(*texts, rules=OFF)
    assert [row[0] for row in rows] == texts


@pytest.mark.parametrize(
    "text",
    [
        "The film is pornographic",
        "A rapist was jailed",
        "The patient was suicidal",
        "She speaks of self-harm",
        "A clerk was murdered",
        "The prisoner was tortured",
        "The bastards lost",
        "A man hanged himself",
    ],
)
def test_the_list_screens_what_it_is_for(text):
    assert holds(BLOCKLIST, text)


def test_every_entry_of_the_list_blocks_itself_and_none_is_idle():
    lines = BLOCKLIST_FILE.read_text("utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert all(re.search(BLOCKLIST, entry.removesuffix("$")) for entry in entries)
    stems = [entry for entry in entries if not entry.endswith("$")]
    covered = [(e, s) for e in entries for s in stems if e != s and e.startswith(s)]
    assert not covered
    assert len(set(entries)) == len(entries) > 300
