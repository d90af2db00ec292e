import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from afinn import Afinn
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from expression_leakage import tables
from expression_leakage.benchmark.curated import curated_items, load_injections, load_stems
from expression_leakage.benchmark.pairing import Tolerances, balance
from expression_leakage.errors import InputError

RESOURCES = Path(__file__).parents[2] / "resources" / "benchmark"
STEMS = "stem,topic,relevance\nMy hobby is,hobby,irrelevant\n"
INJECTIONS = "text,polarity,form,person,valence\nI am sad.,negative,adjective,first,-0.7\n"


def lexicon_check(texts):
    """Texts with their VADER compound and AFINN score."""
    vader, afinn = SentimentIntensityAnalyzer(), Afinn()
    return texts.assign(
        vader=[vader.polarity_scores(t)["compound"] for t in texts["text"]],
        afinn=[afinn.score(t) for t in texts["text"]],
    )


@pytest.fixture(scope="module")
def stems():
    return load_stems(RESOURCES / "stems.csv")


@pytest.fixture(scope="module")
def injections():
    return load_injections(RESOURCES / "injections.csv")


@pytest.fixture(scope="module")
def items(stems, injections):
    return curated_items(stems, injections)


@pytest.fixture(scope="module")
def many_items(stems, injections):
    return curated_items(stems, injections, per_stem=20)


def test_shipped_files_are_as_large_as_promised(stems, injections):
    irrelevant = stems[stems["relevance"] == "irrelevant"]
    assert len(irrelevant) >= 130
    assert irrelevant["topic"].nunique() >= 14
    assert (stems["relevance"] == "relevant").sum() >= 36
    polarity = injections["polarity"].value_counts()
    assert polarity["negative"] >= 24
    assert polarity["positive"] >= 24
    assert polarity["neutral"] >= 32
    assert len(injections.groupby(["form", "person"])) == 6


def test_default_gives_hundreds_of_items_and_twenty_per_stem_thousands(stems, items, many_items):
    assert items["item_id"].nunique() == 3 * len(stems)
    assert many_items["item_id"].nunique() == 20 * len(stems)
    tables.check(many_items, tables.ITEMS, "items")
    assert set(items["source"]) == {"curated"}


@pytest.mark.parametrize("frame", ["items", "many_items"])
def test_every_shipped_injection_is_used(frame, injections, request):
    used = set(request.getfixturevalue(frame)["injection"])
    assert used - {""} == set(injections["text"])


def test_polarities_are_balanced_in_length_and_strength(items):
    table = balance(items)
    across = table[table["comparison"] == "positive-negative"]
    assert len(across) == 4
    assert (across["smd"].abs() < 0.1).all()
    lengths = table[table["covariate"] == "n_words"]
    assert (lengths["smd"].abs() < 0.1).all()


def test_arms_of_an_item_match_in_form_person_length_and_strength(many_items, injections):
    looked_up = many_items.merge(
        injections.assign(declared=injections["form"] + ", " + injections["person"] + " person"),
        left_on="injection", right_on="text", suffixes=("", "_declared"),
    )  # fmt: skip
    assert (looked_up["form"] == looked_up["declared"]).all()
    arms = many_items[many_items["condition"] != "plain"]
    words = arms.groupby("item_id")["n_words"].agg(np.ptp)
    assert words.max() <= 1
    strength = arms.pivot(index="item_id", columns="condition", values="valence").abs()
    assert (strength["positive"] - strength["negative"]).abs().max() <= 0.15 + 1e-9
    assert (strength[["control", "placebo"]] == 0).all(axis=None)


def test_ids_do_not_depend_on_row_order(stems, injections, items):
    shuffled = curated_items(
        stems.sample(frac=1, random_state=1), injections.sample(frac=1, random_state=2)
    )
    pd.testing.assert_frame_equal(shuffled, items)


def test_stems_and_neutral_injections_are_neutral_in_both_lexicons(stems, injections):
    neutral = injections.loc[injections["polarity"] == "neutral", ["text"]]
    scores = lexicon_check(pd.concat([stems[["text"]], neutral]))
    charged = scores[(scores["vader"] != 0) | (scores["afinn"] != 0)]
    assert charged.empty, charged.to_string()


def test_lexicons_agree_with_the_declared_polarity(injections):
    scores = lexicon_check(injections.query("polarity != 'neutral'"))
    sign = np.sign(scores["valence"])
    agreement = pd.DataFrame({k: np.sign(scores[k]) * sign for k in ("vader", "afinn")})
    assert (agreement >= 0).all(axis=None)
    unknown = (agreement == 0).all(axis=1)
    assert set(scores.loc[unknown, "form"]) == {"idiom"}
    readme = (RESOURCES / "README.md").read_text(encoding="utf-8")
    said = re.search(r"(\d+) of the (\d+) charged ones score 0", readme)
    assert said.groups() == (str(unknown.sum()), str((scores["form"] == "idiom").sum()))


def test_stems_share_no_telling_word_with_injections(stems, injections):
    def words(texts):
        return set(re.findall(r"[a-z]{4,}", " ".join(texts).lower()))

    assert not words(stems["text"]) & words(injections["text"])


def test_tolerances_that_nothing_meets_are_an_error(stems, injections):
    with pytest.raises(InputError, match="no four of them match"):
        curated_items(stems, injections.query("polarity != 'neutral'"), 3, Tolerances())


def test_a_stem_says_where_it_comes_from(tmp_path):
    path = tmp_path / "stems.csv"
    path.write_text('\ufeffstem,topic,relevance\n\n"To begin, you",job, relevant\n', "utf-8")
    stem = load_stems(path).iloc[0]
    assert stem.to_dict() == {
        "text": "To begin, you", "topic": "job", "relevance": "relevant",
        "origin": "stems.csv, line 3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("stem,topic,relevance\n", "no rows"),
        ("stem,topic\nMy hobby is,hobby\n", "line 1: missing columns ['relevance']"),
        ("stem,topic,relevance,x\na,b,relevant,c\n", "line 1: missing columns [], unknown"),
        ("stem,stem,topic,relevance\na,a,b,relevant\n", "unknown or repeated columns ['stem'"),
        (STEMS + ",hobby,relevant\n", "line 3: stem is empty"),
        (STEMS + "My tool is,,relevant\n", "line 3: topic is empty"),
        (STEMS + "My tool is:,tool,relevant\n", "line 3: stem 'My tool is:' ends in punctuation"),
        (STEMS + "My tool is…,tool,relevant\n", "line 3: stem 'My tool is…' ends in punctuation"),
        (STEMS + "My tool is,tool,maybe\n", "line 3: unknown relevance 'maybe'"),
        (STEMS + "\nMy Hobby is,tool,relevant\n", "line 4: 'My Hobby is' repeats line 2"),
        (STEMS + "In short, my tool is,tool,relevant\n", "line 3: 4 cells where the header has 3"),
        (STEMS + '"My tool is,tool,relevant\n', "line 3: not CSV"),
    ],
)
def test_a_bad_stems_file_is_told_in_one_line(content, said, tmp_path):
    path = tmp_path / "stems.csv"
    path.write_text(content, encoding="utf-8")
    assert_one_line(load_stems, path, said)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",negative,event,first,-0.5", "text is empty"),
        ("I fell,negative,event,first,-0.5", "'I fell' does not end a sentence"),
        ("I fell.,bad,event,first,-0.5", "unknown polarity 'bad'"),
        ("I fell.,negative,poem,first,-0.5", "unknown form 'poem'"),
        ("I fell.,negative,event,second,-0.5", "unknown person 'second'"),
        ("I fell.,negative,event,first,", "valence is empty"),
        ("I fell.,negative,event,first,low", "valence 'low' is not a number"),
        ("I fell.,negative,event,first,nan", "valence nan is out of range"),
        ("I fell.,negative,event,first,-1.5", "valence -1.5 is out of range"),
        ("I fell.,negative,event,first,0.5", "valence 0.5 has the wrong sign"),
        ("I fell.,positive,event,first,0", "valence 0 has the wrong sign"),
        ("I sat.,neutral,event,first,0.1", "valence 0.1 has the wrong sign"),
        ("I am sad.,negative,event,first,-0.5", "'I am sad.' repeats line 2"),
    ],
)
def test_a_bad_injection_is_told_in_one_line(row, said, tmp_path):
    path = tmp_path / "injections.csv"
    path.write_text(INJECTIONS + row + "\n", encoding="utf-8")
    assert_one_line(load_injections, path, f"line 3: {said}")


def test_a_missing_or_unreadable_file_is_told_in_one_line(tmp_path):
    assert_one_line(load_stems, tmp_path / "stems.csv", "is missing")
    assert_one_line(load_stems, tmp_path, "cannot be read")
    (tmp_path / "latin.csv").write_bytes(
        STEMS.encode() + "Mein Gerät ist,a,relevant".encode("latin-1")
    )
    assert_one_line(load_stems, tmp_path / "latin.csv", "is not UTF-8")


def assert_one_line(load, path, said):
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert " — " in message
    assert "\n" not in message
