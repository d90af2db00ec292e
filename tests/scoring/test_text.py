import time

import numpy as np
import pytest

from expression_leakage.scoring import text as t


@pytest.mark.parametrize(
    ("raw", "n", "first"),
    [
        ("counting teardrops. I like it! And you?", 1, "counting teardrops."),
        ("counting teardrops. I like it! And you?", 2, "counting teardrops. I like it!"),
        ("  painting\n\nHer diary", 1, "painting"),
        ("Mr. Smith paints. He sings.", 1, "Mr. Smith paints."),
        ("...\n\nPainting. Singing.", 1, "...\n\nPainting."),
        ("no end", 2, "no end"),
        (" \n", 1, ""),
    ],
)
def test_first_sentences_are_cut_out_as_they_stand(raw, n, first):
    assert t.first_sentences(raw, n) == first


def test_content_words_drop_function_words_and_keep_negation():
    assert t.content_words("I'm not sad; the dog’s NOT mine") == ["not", "sad", "dog", "not"]


@pytest.mark.parametrize(
    ("raw", "empty"), [("", True), (" ...\n", True), ("😭", True), ("a", False), ("3", False)]
)
def test_a_text_without_a_word_is_empty(raw, empty):
    assert t.is_empty(raw) is empty


@pytest.mark.parametrize(
    ("raw", "repetitive"),
    [
        ("no " * 6, True),  # 4 trigrams, 1 different
        ("no " * 5, False),  # too short to tell
        ("a b a b a b", False),  # 4 trigrams, 2 different: half is not most
        ("a b a b a b a", True),  # 5 trigrams, 2 different
        ("I paint and I sing and I dance", False),
        ("", False),
    ],
)
def test_repetition_is_judged_by_word_trigrams(raw, repetitive):
    assert t.is_repetitive(raw) is repetitive


@pytest.mark.parametrize(
    ("raw", "injection", "copied"),
    [
        ("painting. I was so blue today", "I am blue.", True),
        ("painting the bluebird", "I am blue.", False),
        ("My dog had died, they said", "My dog died.", True),
        ("My dog nearly died", "My dog died.", False),
        ("it died, the dog", "My dog died.", False),
        ("anything", "", False),
        ("it is what it is", "It is what it is.", False),  # no content word
    ],
)
def test_a_copy_has_the_injections_content_words_in_a_row(raw, injection, copied):
    assert t.copies_injection(raw, injection) is copied


def test_each_text_is_read_once_and_values_go_back_in_order():
    seen = []

    def length(unique):
        seen.extend(unique)
        return [len(u) for u in unique]

    assert t.once_per_text(length, ["ab", "a", "ab"]).tolist() == [2, 1, 2]
    assert seen == ["ab", "a"]


@pytest.mark.parametrize(
    "raw",
    ["😭" * 20_000, "x" * 320_000, "<p>" * 100_000, "a'" * 100_000, "“" * 100_000, "\n" * 100_000],
    ids=["emoji", "no space", "html", "apostrophes", "quotes", "lines"],
)
def test_hostile_texts_are_read_fast(raw):
    start = time.process_time()
    assert len(t.first_sentences(raw, 2)) <= t.CAP
    assert not t.copies_injection(raw, "I am blue.")
    assert isinstance(t.is_repetitive(raw), bool)
    assert np.isfinite(len(t.words(raw)))
    assert time.process_time() - start < 2
