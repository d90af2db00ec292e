import random
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from expression_leakage.benchmark.webtext.quality import DocumentRules, page_faults

PROSE = "The gate of the yard is shut in the evening and the keys are kept in the office. "
GERMAN = "Das Tor am Hof wird am Abend geschlossen, und die Schlüssel hängen dann im Büro. "
RULES = DocumentRules()
# Every rule off: a test of one rule switches that one on.
OFF = DocumentRules(**dict.fromkeys(vars(RULES)))


def fault(text: str, rules: DocumentRules = RULES) -> str:
    return page_faults(pa.array([text]), rules)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE * 5, ""),
        (PROSE, "length"),
        ("", "length"),
        ("x" * 400_000, "length"),
        (PROSE * 4 + "a e i o u " * 60, "word_length"),
        (PROSE * 5 + "# " * 20, "symbols"),
        (PROSE * 5 + "and ... or … " * 10, "symbols"),
        ("Visitors enter by another door during winter months each year. " * 6, "stop_words"),
        (GERMAN * 6, "stop_words"),
        (PROSE * 5 + "Lorem ipsum dolor.", "lorem_ipsum"),
        (PROSE * 5 + "function open() { }", "braces"),
        (PROSE * 5 + "1690 1921 1934 2019 " * 10, "alphabetic"),
        (
            "\n".join(
                f"• The shelves of workshop {letter} and their brackets" for letter in "ABCDEFGHIJ"
            ),
            "bullets",
        ),
        (
            "\n".join(
                f"Room {n} of the wing and of the hall beside it is open from nine ..."
                for n in range(9)
            ),
            "ellipses",
        ),
        ("\n".join([PROSE * 4] + ["Back to the top"] * 3), "repeated_lines"),
        ("\n".join([PROSE * 2, PROSE * 2, "The end", "of it"]), "repeated_characters"),
        ("Two of the have-nots. " + GERMAN * 6, "language"),
    ],
)
def test_the_first_broken_rule_is_named(text, expected):
    assert fault(text) == expected


@pytest.mark.parametrize(
    ("name", "value", "kept", "dropped", "expected"),
    [
        # Gopher (Rae et al. 2021, A.1.1): the bounds themselves are allowed.
        ("min_words", 50, "to " * 50, "to " * 49, "length"),
        ("max_words", 100_000, "to " * 100_000, "to " * 100_001, "length"),
        ("min_word_length", 3.0, "abc de fghi", "abc de fgh", "word_length"),
        ("max_word_length", 10.0, "0123456789 ääääääääää", "0123456789 0123456789a", "word_length"),
        ("max_symbols", 0.1, "a " * 9 + "#a", "a " * 8 + "#a", "symbols"),
        ("max_symbols", 0.1, "a " * 9 + "...", "a " * 8 + "…", "symbols"),
        ("min_stop_words", 2, "the The with", "the the thesis", "stop_words"),
        ("min_alphabetic", 0.8, "a b c 1d 5", "a b c 4 5", "alphabetic"),
        ("max_bullets", 0.9, "• a\n" * 9 + "b", "• a\n" * 10, "bullets"),
        ("max_ellipses", 0.3, "a...\n" * 3 + "b\n" * 7, "a…\n" * 4 + "b\n" * 6, "ellipses"),
        ("max_repeated_lines", 0.3, "a\n" * 4 + "bcdefg", "a\n" * 4 + "bcdef", "repeated_lines"),
        # FineWeb (Penedo et al. 2024, 3.6): at its bounds a page is dropped.
        ("min_finished", 0.12, "a.\n" * 13 + "b\n" * 87, "a.\n" * 12 + "b\n" * 88, "finished"),
        ("max_short", 0.67, "a\n" * 66 + ("b" * 30 + "\n") * 34, "a\n" * 67 + "b" * 30, "short"),
        ("max_breaks", 0.3, "a " * 10 + "\n" * 3, "a " * 9 + "\n" * 3, "breaks"),
    ],
)
def test_bounds_are_those_published(name, value, kept, dropped, expected):
    if name == "max_repeated_lines":  # 3 repeats of 10 lines, then of 9
        kept, dropped = ("\n".join(list(text)) for text in ("aaaabcdefg", "aaaabcdef"))
    rules = replace(OFF, **{name: value})
    assert (fault(kept, rules), fault(dropped, rules)) == ("", expected)
    assert fault(dropped, OFF) == ""


def test_defaults_are_the_published_values_and_fineweb_is_off():
    assert {name: value for name, value in vars(RULES).items() if name[:3] in {"min", "max"}} == {
        "min_language_score": 0.5,
        "min_words": 50,
        "max_words": 100_000,
        "min_word_length": 3.0,
        "max_word_length": 10.0,
        "max_symbols": 0.1,
        "min_stop_words": 2,
        "min_alphabetic": 0.8,
        "max_bullets": 0.9,
        "max_ellipses": 0.3,
        "max_repeated_lines": 0.3,
        "max_repeated_characters": 0.2,
        "min_finished": None,
        "max_short": None,
        "max_breaks": None,
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("слово же " * 9, ""),
        ("é ü " * 9, ""),
        ("😀 – " * 9, "alphabetic"),
        ("“ ” " * 9, "alphabetic"),
    ],
)
def test_letters_of_any_script_count_as_letters_and_nothing_else_does(words, expected):
    assert fault(words, replace(OFF, min_alphabetic=0.8)) == expected


def random_pages(count: int) -> list[str]:
    draw = random.Random(8)
    tokens = [
        "the",
        "a",
        "12",
        "#",
        "...",
        "…",
        "é",
        "–",
        "•",
        "end.",
        "“so”",
        "Ж",
        "x!",
        "😀",
        "{",
    ]
    spaces = [" ", " ", " ", "\n", "\n\n", "\t", "  ", " \n"]
    return [
        "".join(draw.choice(tokens) + draw.choice(spaces) for _ in range(draw.randint(0, 40)))
        for _ in range(count)
    ]


def naive_fault(text: str, name: str, value: float) -> bool:
    """Each rule again, word by word and line by line."""
    words = re.findall(r"[^ \t\n]+", text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    repeats = [i for i, line in enumerate(lines) if line in lines[:i]]
    n, m = len(words), len(lines)
    return {
        "min_words": n < value,
        "min_word_length": sum(map(len, words)) < value * n or (n == 0 and value > 0),
        "max_symbols": text.count("#") > value * n
        or text.count("...") + text.count("…") > value * n,
        "min_stop_words": ("the" in words) + 0 < value,
        "min_alphabetic": sum(any(c.isalpha() for c in w) for w in words) < value * n,
        "max_bullets": sum(line[0] == "•" for line in lines) > value * m,
        "max_ellipses": sum(line.endswith(("...", "…")) for line in lines) > value * m,
        "max_repeated_lines": len(repeats) > value * m,
        "max_repeated_characters": sum(len(lines[i]) for i in repeats)
        > value * sum(map(len, lines)),
        "min_finished": sum(line[-1] in ".!?\"”'’" for line in lines) <= value * max(m, 1),
        "max_short": sum(len(line) < 30 for line in lines) >= value * max(m, 1),
        "max_breaks": text.count("\n") > value * n,
    }[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_words", 20),
        ("min_word_length", 2.25),
        ("max_symbols", 0.125),
        ("min_stop_words", 1),
        ("min_alphabetic", 0.5),
        ("max_bullets", 0.125),
        ("max_ellipses", 0.25),
        ("max_repeated_lines", 0.125),
        ("max_repeated_characters", 0.0625),
        ("min_finished", 0.25),
        ("max_short", 0.875),
        ("max_breaks", 0.25),
    ],
)
def test_a_rule_agrees_with_a_plain_count(name, value):
    pages = random_pages(400)
    found = page_faults(pa.array(pages), replace(OFF, **{name: value})) != ""
    expected = np.array([naive_fault(page, name, value) for page in pages])
    assert 20 < expected.sum() < 380
    np.testing.assert_array_equal(found, expected)


def test_a_page_is_judged_by_itself():
    pages = [*random_pages(60), PROSE * 5, GERMAN * 6, "", PROSE * 5 + "{"]
    alone = [fault(page) for page in pages]
    together = pa.array(["x", *pages])[1:]  # a slice: its buffers begin elsewhere
    np.testing.assert_array_equal(page_faults(together, RULES), alone)
    assert len(set(alone)) > 3


def test_no_pages_have_no_faults():
    assert page_faults(pa.array([], pa.string()), RULES).shape == (0,)


def test_navigation_in_another_language_does_not_cost_the_page():
    navigation = (
        "Startseite | Öffnungszeiten | Anfahrt | Impressum | Datenschutz | Kontakt | Suche\n"
    )
    assert fault(navigation + PROSE * 20) == ""
