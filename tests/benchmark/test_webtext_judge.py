import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from afinn import Afinn
from random_models import CONFIGS, SHAPE, byte_tokenizer
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint

from expression_leakage.benchmark.webtext.judge import JudgeRules, judge, judge_rules, verdicts
from expression_leakage.errors import InputError
from expression_leakage.scoring.sentiment import Classifier, vader
from expression_leakage.tables import content_hash

ROOT = Path(__file__).parents[2]
RESOURCES = ROOT / "resources" / "webtext"
FILES = RESOURCES / "valence.json", RESOURCES / "plain_words.yaml"
DOCS = ROOT / "docs" / "webtext.md"
EMOBANK = ROOT.parent / "shared" / "data" / "emobank_sentences.csv"
CLASSES = ["positive", "negative", "neutral"]
HELD_OUT = "| verdict | right of kept | precision | 95 % interval |"
FOUND = "| reading | kept of read | recall |"


@pytest.fixture(scope="module")
def offline():
    return judge({"kind": "offline"}, *FILES)


@pytest.fixture(scope="module")
def says(offline):
    return lambda text: verdicts(offline([text]), JudgeRules())[0]


@pytest.fixture(scope="module")
def readings(offline):
    """Sentences as read, and which the scheme keeps: those whose verdict is the gate's."""
    read = pd.read_csv(RESOURCES / "read_sentences.csv", keep_default_na=False, dtype=str)
    verdict = verdicts(offline(read["text"].tolist()), JudgeRules())
    return read.assign(kept=verdict == read["gate"])


def stated(header: str, rows: list[list[str]]) -> str:
    """The table as it must stand in the docs."""
    rule = "|---" * header.count(" | ") + "|---|"
    return "\n".join([header, rule, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def share(x: float) -> str:
    return f"{x:.2f}".removeprefix("0")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The food was terrible.", "negative"),
        ("The prisoners were brutally tortured.", "negative"),
        ("What a lovely day.", "positive"),
        ("An excellent introduction to the subject.", "positive"),
        ("The van is loaded at five.", "neutral"),
        ("The meeting begins on Monday.", "neutral"),
    ],
)
def test_plain_sentences_are_judged_as_people_would(says, text, verdict):
    assert says(text) == verdict


@pytest.mark.parametrize(
    "text",
    [
        "The food was not terrible.",
        "If you are happy with the result, close the window.",
        "The terrible noise can be avoided.",
        "She was less cheerful than her brother.",
        "The so-called excellent soup came first.",
        "Is the soup excellent?",
        "A concert was held in Happy Valley.",
    ],
)
def test_a_charged_word_that_is_shifted_or_a_name_charges_nothing(says, text):
    assert says(text) not in {"positive", "negative"}


@pytest.mark.parametrize(
    "text",
    [
        "Save the file and restore the default value.",
        "Support is free and secure.",
        "Drop the block and kill the process.",
        "The build failed with a fatal error.",
        "The party won a strong share of the profits.",
    ],
)
def test_technical_and_civic_words_charge_nothing(says, text):
    vader_alone = vader([text])[0]
    assert abs(vader_alone) > 0.4
    assert says(text) not in {"positive", "negative"}


def test_words_that_no_lexicon_lists_lean_the_way_people_feel(offline):
    good = ["The tent was roomy and snug.", "The broth was scrummy and nourishing."]
    bad = ["The room was squalid and mouldy.", "The carcass was putrid and maggoty."]
    assert not any(Afinn().score(text) or vader([text])[0] for text in good + bad)
    assert offline(good).min() > offline(bad).max()


def test_the_curated_injections_are_never_called_the_opposite(offline):
    curated = pd.read_csv(ROOT / "resources" / "benchmark" / "injections.csv")
    verdict = verdicts(offline(curated["text"].tolist()), JudgeRules())
    opposite = {"positive": "negative", "negative": "positive"}
    charged = curated["polarity"] != "neutral"
    assert not (verdict == curated["polarity"].map(opposite)).any()
    assert (verdict[charged] == curated["polarity"][charged]).mean() > 0.3  # idioms are beyond it


def test_a_valence_depends_on_its_text_alone(offline, readings):
    texts = readings["text"].tolist()[::20]
    together = offline(texts)
    assert np.abs(together).max() <= 1
    assert (offline(texts[::-1])[::-1] == together).all()
    assert all(offline([text])[0] == value for text, value in zip(texts, together, strict=True))


def test_texts_with_nothing_to_say_are_not_charged(offline):
    assert offline([]).shape == (0,)
    assert not set(verdicts(offline(["", " \n", "123"]), JudgeRules())) & {"positive", "negative"}


def test_hostile_texts_get_a_valence(offline):
    assert np.isfinite(offline(["😭" * 20_000, "x" * 320_000, "so " * 100_000])).all()


def test_verdicts_leave_a_band_undecided():
    rules = JudgeRules(charged=0.5, neutral=0.1)
    values = np.array([-1, -0.5, -0.49, -0.11, -0.1, 0, 0.1, 0.11, 0.49, 0.5, 1])
    said = ["negative"] * 2 + [""] * 2 + ["neutral"] * 3 + [""] * 2 + ["positive"] * 2
    assert verdicts(values, rules).tolist() == said


def test_a_classifier_judges_behind_the_same_interface(tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    names = {0: "negative", 1: "neutral", 2: "positive"}
    config = CONFIGS["llama"](vocab_size=len(tokenizer), id2label=names, **SHAPE)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts, spec = ["a merry tune", "a sad tune"], {"kind": "classifier", "source": str(tmp_path)}
    plain = judge(spec, *FILES)(texts)
    np.testing.assert_array_equal(plain, Classifier(str(tmp_path))(texts))
    turned = {"negative": 1.0, "neutral": 0.0, "positive": -1.0}
    np.testing.assert_allclose(judge(spec | {"labels": turned}, *FILES)(texts), -plain, atol=2e-6)
    assert judge_rules(spec) != judge_rules({"kind": "offline"}) == JudgeRules()


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="no kind 'oracle'"):
        judge({"kind": "oracle"}, *FILES)


def test_the_read_sentences_are_well_formed(readings):
    hashes = [content_hash(" ".join(re.findall(r"\w+", t.lower()))) for t in readings["text"]]
    assert readings["hash"].tolist() == hashes
    assert readings["hash"].is_unique
    assert set(readings["gate"]) == set(CLASSES)
    assert set(readings["reading"]) == {*CLASSES, "unclear"}
    assert readings["gate"].value_counts().min() >= 100
    assert (readings["split"] == "held-out").eq(readings["draw"].isin(["8", "9"])).all()
    assert (readings[["package", "licence"]] != "").all(axis=None)


def test_precision_on_held_out_readings_is_what_the_docs_state(readings):
    expected = []
    for name in CLASSES:
        kept = readings[readings["kept"] & (readings["gate"] == name)]
        right = (kept[kept["split"] == "held-out"]["reading"] == name).to_numpy()
        low, high = proportion_confint(right.sum(), len(right), method="wilson")
        interval = f"{share(low)}–{share(high)}"
        expected.append([name, f"{right.sum()} of {len(right)}", share(right.mean()), interval])
    table = stated(HELD_OUT, expected)
    assert table in DOCS.read_text("utf-8"), f"{DOCS} should hold\n{table}"


def test_recall_on_readings_drawn_without_the_judge_is_what_the_docs_state(readings):
    crawl = readings[readings["draw"].isin(["1", "2"])]
    expected = []
    for name in CLASSES:
        passed = crawl[(crawl["gate"] == name) & (crawl["reading"] == name)]
        found = passed["kept"].sum()
        expected.append([name, f"{found} of {len(passed)}", share(found / len(passed))])
    table = stated(FOUND, expected)
    assert table in DOCS.read_text("utf-8"), f"{DOCS} should hold\n{table}"


@pytest.mark.skipif(not EMOBANK.exists(), reason="EmoBank is not at hand")
def test_the_judge_ranks_sentences_roughly_as_readers_do(offline):
    bank = pd.read_csv(EMOBANK, keep_default_na=False)
    bank = bank[bank["split"] == "test"]
    assert spearmanr(offline(bank["text"].tolist()), bank["V"]).statistic > 0.4
