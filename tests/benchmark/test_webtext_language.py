import numpy as np
import pyarrow as pa
import pytest

from expression_leakage.benchmark.webtext import language
from expression_leakage.benchmark.webtext.language import are_language, is_language

ENGLISH = [
    "The gate of the yard is shut in the evening.",
    "My sister sells honey at the market on Saturdays.",
    "Nobody answered, so the porter went back to his desk.",
    "The vignette keeps its shape when the radius grows.",
]
FOREIGN = [
    "Der Pförtner schließt das Tor am Abend und hängt den Schlüssel ins Büro.",
    "Le concierge ferme la grille le soir et garde les clés au bureau.",
    "De portier sluit de poort in de avond, of hij is al naar huis gegaan.",
    "Portneren lukker porten om aftenen, og de har to nøgler at passe på.",
    "El portero cierra la puerta por la noche y guarda las llaves.",
    "Портье закрывает ворота вечером и вешает ключи в конторе.",
    "門番は夕方に門を閉めます。",
]


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_english(text):
    assert is_language(text, "en", 0.3)


@pytest.mark.parametrize("text", FOREIGN)
def test_other_languages_are_not_english(text):
    assert not is_language(text, "en", 0.0)


def test_other_languages_can_be_asked_for():
    assert [is_language(FOREIGN[0], code, 0.5) for code in ("de", "fr")] == [True, False]


def test_the_score_is_a_lower_bound():
    assert is_language(ENGLISH[0], "en", 0.9)
    assert not is_language(ENGLISH[0], "en", 1.1)


@pytest.mark.parametrize("text", ["", " \n\t ", "12 345", "😀 😀", "\x00"])
def test_what_has_no_words_has_no_language(text):
    assert not is_language(text, "en", 0.5)


def test_line_breaks_are_white_space():
    assert is_language("\n".join(ENGLISH), "en", 0.5)


def test_only_the_beginning_of_a_long_text_is_read():
    assert is_language(ENGLISH[0] * 50 + FOREIGN[0] * 500, "en", 0.9)
    assert not is_language(FOREIGN[0] * 50 + ENGLISH[0] * 500, "en", 0.3)


def test_many_texts_are_judged_one_by_one():
    texts = [*ENGLISH, *FOREIGN, "", "Ok.", ENGLISH[0] * 100]
    together = are_language(pa.array(texts, pa.large_string()), "en", 0.3)
    np.testing.assert_array_equal(together, [is_language(t, "en", 0.3) for t in texts])
    german = are_language(pa.array(texts), "de", 0.3)
    np.testing.assert_array_equal(german, [is_language(t, "de", 0.3) for t in texts])


def test_no_texts_have_no_languages():
    assert are_language(pa.array([], pa.string()), "en", 0.5).shape == (0,)


@pytest.mark.parametrize(
    ("text", "is_asked"),
    [
        # "the", "of" and "that": three kinds, and 5 of 12 words
        ("The key of the shed that is used in winter is on the hook.", False),
        # three kinds, but 3 of 21 words
        ("The shed " + "stood empty " * 8 + "of straw that night.", True),
        # "the" and "of": two kinds
        ("Das Buch The Lord of the Rings ist neu.", True),
        (FOREIGN[2], True),
        (FOREIGN[3], True),
    ],
)
def test_the_model_is_spared_plain_english_only(text, is_asked, monkeypatch):
    asked = []
    monkeypatch.setattr(language, "is_language", lambda *given: asked.append(given))
    are_language(pa.array([text]), "en", 0.5)
    assert bool(asked) == is_asked
