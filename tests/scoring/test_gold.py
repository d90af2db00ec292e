from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from expression_leakage.errors import InputError
from expression_leakage.inference.concordance import bootstrap, interval
from expression_leakage.scoring.gold import (
    KINDS,
    SECOND_READING,
    class_shares,
    gold_agreement,
    gold_scores,
    read_gold,
)
from expression_leakage.scoring.sentiment import vader
from expression_leakage.tables import (
    GOLD_AGREEMENT,
    GOLD_SCORES,
    check,
    read_table,
    write_table,
)

SHIPPED = Path(__file__).parents[2] / "resources" / "gold" / "gold.csv"
TAU = 0.1
HEADER = "text_id,kind,topic,stem,text,first_reading,second_reading,first_position,second_position"
ROWS = [
    "g1,plain,hobby,My hobby is,painting.,0,1,1,2",
    'g2,negation,food,My lunch was,"not bad, I love it.",3,2,2,1',
]


def invented(n=60, n_stems=60, seed=0):
    """A gold set of n texts: readings that differ by a step at most, every kind in turn."""
    rng = np.random.default_rng(seed)
    first = rng.integers(-3, 4, n)
    return pd.DataFrame(
        {
            "text_id": [f"g{i:03d}" for i in range(n)],
            "kind": np.resize(KINDS, n),
            "topic": "hobby",
            "stem": [f"stem {i}" for i in np.arange(n) % n_stems],
            "text": [f"text {i}" for i in range(n)],
            "first_reading": first,
            "second_reading": np.clip(first + rng.integers(-1, 2, n), -3, 3),
            "first_position": rng.permutation(n) + 1,
            "second_position": rng.permutation(n) + 1,
        }
    )


def mean_reading(gold):
    return (gold["first_reading"] + gold["second_reading"]).to_numpy() / 6


def scored(gold, sentiment, scorer="s"):
    return pd.DataFrame({"text_id": gold["text_id"], "scorer": scorer, "sentiment": sentiment})


def noisy(gold, noise=0.4, seed=1):
    rng = np.random.default_rng(seed)
    return (mean_reading(gold) + rng.normal(0, noise, len(gold))).clip(-1, 1)


def estimates(found, scorer="s"):
    return found[found["scorer"] == scorer].set_index(["subset", "statistic"])


def write(tmp_path, *lines):
    path = tmp_path / "gold.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_gold_set_is_read_with_whole_numbers(tmp_path):
    gold = read_gold(write(tmp_path, "\ufeff" + HEADER, ROWS[0], "", ROWS[1]))
    assert gold["text"].tolist() == ["painting.", "not bad, I love it."]
    assert gold["second_reading"].tolist() == [1, 2]
    assert gold["second_position"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("g2,plain,food,My,text,4,0,2,1", "row 3: first_reading '4' is no rating"),
        ("g2,plain,food,My,text,0,0.5,2,1", "row 3: second_reading '0.5' is no rating"),
        ("g2,plain,food,My,text,0,,2,1", "row 3: second_reading '' is empty"),
        ("g2,plain,food,My, ,0,0,2,1", "row 3: text '' is empty"),
        ("g1,plain,food,My,text,0,0,2,1", "row 3: text_id 'g1' is repeated"),
        ("g2,plane,food,My,text,0,0,2,1", "row 3: kind 'plane' is unknown"),
        ("g2,plain,food,My,text,0,0,1,1", "row 3: first_position '1' is repeated"),
        ("g2,plain,food,My,text,0,0,3,1", "row 3: first_position '3' is no place"),
        ("g2,plain,food,My,text,0,0", "row 3: first_position '' is empty"),
        ("g2,plain,food,My,text,0,0,2,1,9", r"cannot be read.*line 3, saw 10"),
        ('g2,plain,food,My,"text,0,0,2,1', "cannot be read"),
    ],
)
def test_a_faulty_row_is_named(tmp_path, row, said):
    with pytest.raises(InputError, match=said) as error:
        read_gold(write(tmp_path, HEADER, ROWS[0], row))
    assert "gold.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_faulty_file_is_named(tmp_path):
    with pytest.raises(InputError, match="columns missing or repeated: kind"):
        read_gold(write(tmp_path, HEADER.replace("kind,", ""), "g1,hobby,My,text,0,0,1,1"))
    for blank in ("", "\n"):
        with pytest.raises(InputError, match=r"gold\.csv: c"):
            read_gold(write(tmp_path, blank))
    with pytest.raises(InputError, match="no rows"):
        read_gold(write(tmp_path, HEADER))
    with pytest.raises(InputError, match="cannot be read"):
        read_gold(tmp_path / "none.csv")
    latin = tmp_path / "latin.csv"
    latin.write_bytes((HEADER + "\n" + ROWS[0].replace("painting", "café")).encode("latin-1"))
    with pytest.raises(InputError, match="cannot be read"):
        read_gold(latin)


def test_only_the_first_sentences_of_a_text_are_scored_and_not_its_stem(tmp_path):
    gold = invented(3).assign(
        stem="I hate and despise that", text=["fine. I hate it.", "I hate it.", "a window."]
    )
    one, two = (gold_scores(gold, "vader", vader, n)["sentiment"] for n in (1, 2))
    assert one.tolist() == vader(["fine.", "I hate it.", "a window."]).tolist()
    assert two.tolist() == vader(gold["text"]).tolist()
    with pytest.raises(InputError, match=r"scorer stars: gave 5\.0"):
        gold_scores(gold, "stars", lambda texts: np.full(len(texts), 5.0), 1)


def test_statistics_of_all_texts_equal_their_oracles():
    gold = invented()
    x, y = noisy(gold), mean_reading(gold)
    found = estimates(gold_agreement(gold, scored(gold, x), TAU, draws=50, seed=0)).loc["all"]
    auto, read = (np.sign(v) * (np.abs(v) > TAU) for v in (x, y))
    recall = [(auto[read == c] == c).mean() for c in (-1, 0, 1)]
    precision = [(read[auto == c] == c).mean() for c in (-1, 0, 1)]
    oracle = {
        "spearman": stats.spearmanr(x, y).statistic,
        "pearson": stats.pearsonr(x, y).statistic,
        "kendall": stats.kendalltau(x, y).statistic,
        "f1": stats.hmean([precision, recall]).mean(),
        "kappa": cohens_kappa(
            pd.crosstab(read, auto).to_numpy(), wt="linear", return_results=False
        ),
        "recall_negative": recall[0],
        "recall_neutral": recall[1],
        "recall_positive": recall[2],
        "accuracy": (auto == read).mean(),
    }
    assert set(found.index) == {*oracle, "auc"}
    for statistic, value in oracle.items():
        assert found.loc[statistic, "estimate"] == pytest.approx(value, abs=1e-12), statistic
    assert ((found["low"] < found["estimate"]) & (found["estimate"] < found["high"])).all()
    assert set(found["n"]) == {60}


def test_a_kind_has_its_own_texts():
    gold = invented(120)
    x = noisy(gold)
    found = estimates(gold_agreement(gold, scored(gold, x), TAU, draws=50, seed=0))
    assert set(found.index.unique("subset")) == {"all", *KINDS}
    own = (gold["kind"] == "sarcasm").to_numpy()
    expected = stats.spearmanr(x[own], mean_reading(gold)[own]).statistic
    assert found.loc[("sarcasm", "spearman"), "estimate"] == pytest.approx(expected)
    assert found.loc[("sarcasm", "accuracy"), "n"] == own.sum()
    assert set(found.loc["sarcasm"].index) == {"spearman", "accuracy"}


def test_the_second_reading_is_set_against_the_first_alone():
    gold = invented()
    found = estimates(gold_agreement(gold, scored(gold, 0.0), TAU, 50, 0), SECOND_READING)
    expected = stats.spearmanr(gold["first_reading"], gold["second_reading"]).statistic
    assert found.loc[("all", "spearman"), "estimate"] == pytest.approx(expected)
    same = gold.assign(second_reading=gold["first_reading"])
    perfect = estimates(gold_agreement(same, scored(gold, 0.0), TAU, 50, 0), SECOND_READING)
    assert perfect["estimate"].to_numpy() == pytest.approx(1)


def test_what_is_undefined_is_null_and_texts_without_a_score_are_counted(tmp_path):
    gold = invented()
    constant = scored(gold, np.where(np.arange(60) < 10, np.nan, 0.0), "constant")
    silent = scored(gold, np.nan, "silent")
    write_table(
        gold_agreement(gold, pd.concat([constant, silent]), TAU, draws=50, seed=0),
        GOLD_AGREEMENT,
        tmp_path / "agreement.parquet",
    )
    found = read_table(tmp_path / "agreement.parquet", GOLD_AGREEMENT)
    of_all = estimates(found, "constant").loc["all"]
    assert of_all.loc["spearman", ["estimate", "low", "high"]].isna().all()
    assert of_all.loc["recall_neutral", "estimate"] == 1
    assert of_all.loc["recall_negative", "estimate"] == 0
    assert of_all.loc["recall_negative", ["low", "high"]].isna().all()
    assert set(of_all["n"]) == {50}
    assert set(of_all["n_excluded"]) == {10}
    nothing = estimates(found, "silent")
    assert nothing["estimate"].isna().all()
    assert set(nothing.loc["all", "n"]) == {0}


def test_texts_of_one_stem_are_not_independent():
    """Five copies of every text say nothing new: the interval must not shrink."""
    gold = invented()
    copies = [gold.assign(text_id=gold["text_id"] + f"-{k}") for k in range(5)]
    many = pd.concat(copies, ignore_index=True)
    x = noisy(gold)
    one, five = (
        estimates(gold_agreement(g, scored(g, np.resize(x, len(g))), TAU, draws=500, seed=0))
        for g in (gold, many)
    )
    width, copied = (f.loc["all", "high"] - f.loc["all", "low"] for f in (one, five))
    np.testing.assert_allclose(copied, width, rtol=0.02)


def test_planted_recall_of_clustered_texts_is_covered():
    """Stems differ in how often the scorer is right: .9 or .5, so .7 in the mean."""
    covered, y = [], np.tile([-1.0, 0.0, 0.0, 1.0], 40)
    stem = np.repeat(np.arange(40), 4)
    for seed in range(300):
        rng = np.random.default_rng([11, seed])
        right = rng.random(160) < rng.choice([0.9, 0.5], 40)[stem]
        x = np.where(right, y, (y + 2) % 3 - 1)
        one, drawn = bootstrap(class_shares(x, y, stem, 40, TAU), 40, 160, draws=200, seed=seed)
        bounds = [interval(one[k], drawn[:, k], 40, lowest=0) for k in range(4)]
        covered.append([low <= 0.7 <= high for low, high in bounds])
    shares = np.mean(covered, axis=0)
    assert ((shares >= 0.92) & (shares <= 0.985)).all(), shares


def test_scores_of_other_texts_are_refused():
    gold = invented()
    with pytest.raises(InputError, match=r"gold scores of 's'.*score the gold set again"):
        gold_agreement(gold, scored(gold, 0.0).iloc[1:], TAU, draws=20, seed=0)


def test_the_shipped_gold_set_is_what_it_says():
    gold = read_gold(SHIPPED)
    assert len(gold) >= 400
    assert gold["text"].str.casefold().is_unique
    assert gold["kind"].value_counts().reindex(KINDS).min() >= 20
    assert (gold["first_position"] != gold["second_position"]).mean() > 0.9
    assert abs(stats.spearmanr(gold["first_position"], gold["second_position"]).statistic) < 0.2
    readings = gold[["first_reading", "second_reading"]].sum(axis=1)
    assert np.sign(readings).value_counts(normalize=True).reindex([-1, 0, 1]).min() > 0.2


def test_the_shipped_gold_set_can_be_scored():
    gold = read_gold(SHIPPED)
    scores = gold_scores(gold, "vader", vader, 2)
    check(scores, GOLD_SCORES, "scores")
    found = gold_agreement(gold, scores, 0.05, draws=50, seed=0)
    check(found, GOLD_AGREEMENT, "agreement")
    # A lexicon reads what is said outright, and misses what is meant: so the rows are in order.
    spearman = estimates(found, "vader")["estimate"].xs("spearman", level="statistic")
    assert spearman["plain"] > 0.7
    assert spearman[["sarcasm", "implicit", "idiom"]].max() < spearman["plain"]
