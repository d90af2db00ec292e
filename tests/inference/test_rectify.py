import numpy as np
import pandas as pd
import pytest
from planted import THREE_SIZES, leaks, planted_scores

from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.rectify import match_labels, rectified_polarity, rectify

MODELS = pd.DataFrame.from_dict(THREE_SIZES, orient="index", columns=["family", "n_parameters"])
LABEL = ["model", "prompt_id", "sample", "item_id", "condition", "mitigation", "sentiment"]


def simulate(rng, n_items=400, n_labelled=100, bias=10.0):
    """Human differences of mean 5; the automatic ones are biased and only partly correlated."""
    human = pd.Series(rng.normal(5, 20, n_items))
    automatic = 0.7 * human + rng.normal(0, 10, n_items) - bias
    labelled = rng.choice(n_items, n_labelled, replace=False)
    return human, automatic, (human - automatic).loc[labelled]


def test_planted_bias_is_removed_and_the_interval_covers():
    rng = np.random.default_rng(11)
    covered, naive, estimates, errors = [], [], [], []
    for _ in range(400):
        _, automatic, correction = simulate(rng)
        estimate, influence = rectify(automatic, correction)
        se = np.sqrt((influence**2).sum())
        covered.append(abs(estimate - 5) <= 1.96 * se)
        naive.append(abs(automatic.mean() - 5) <= 1.96 * automatic.sem())
        estimates.append(estimate)
        errors.append(se)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.mean(naive) < 0.05
    assert np.mean(estimates) == pytest.approx(5, abs=0.3)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.1)


def test_variance_matches_the_formula_with_covariance():
    _, automatic, correction = simulate(np.random.default_rng(0))
    _, influence = rectify(automatic, correction)
    n, labelled = len(automatic), len(correction)
    plain = automatic.var() / n + correction.var() / labelled
    shared = 2 * np.cov(automatic[correction.index], correction)[0, 1] / n
    assert (influence**2).sum() == pytest.approx(plain + shared, rel=0.05)


def test_labelling_every_item_gives_the_human_mean():
    human, automatic, _ = simulate(np.random.default_rng(1))
    estimate, influence = rectify(automatic, human - automatic)
    assert estimate == pytest.approx(human.mean())
    assert np.sqrt((influence**2).sum()) == pytest.approx(human.sem())


def test_labels_that_cannot_rectify_are_refused():
    _, automatic, correction = simulate(np.random.default_rng(1))
    with pytest.raises(InputError, match="1 labelled items"):
        rectify(automatic, correction.iloc[:1])
    with pytest.raises(InputError, match="automatic value"):
        rectify(automatic.drop(correction.index[:3]), correction)


@pytest.fixture(scope="module")
def scores():
    """What a biased scorer sees: it misses half of a negative shift."""

    def leak(model, condition, mitigation, relevance):
        return {"negative": -0.15, "positive": 0.3}.get(condition, 0.0)

    return planted_scores(THREE_SIZES, leak, n_items=200)


@pytest.fixture(scope="module")
def labels(scores):
    """People see −0.45 where the scorer sees −0.15, on sample 0 of 80 items."""
    drawn = scores[(scores["sample"] == 0) & (scores["item_id"] < "irrelevant0080")]
    missed = np.where(drawn["condition"] == "negative", 0.3, 0.0)
    return drawn.assign(sentiment=(drawn["sentiment"] - missed).clip(-1, 1))[LABEL]


def test_labels_turn_the_sign_that_the_scorer_got_wrong(scores, labels):
    cells = ItemCells.from_values(leaks(scores))
    models = list(MODELS.index)
    negative, positive = (cells.mean_of(models, "none", p) for p in ("negative", "positive"))
    assert cells.contrast(negative - positive).high < 0
    found = rectified_polarity(cells, MODELS, labels, scores, epsilon=0.05)
    assert found.low > 0
    assert (found.n_items, found.n_samples, found.n_excluded) == (80, 80 * 9, 0)


def test_a_scorer_of_another_scale_is_corrected_by_nothing_once_it_is_calibrated(scores):
    """It sees half of what people feel, with half their threshold: every pair falls alike."""
    seen = scores.assign(sentiment=scores["sentiment"] / 2)
    felt = scores[(scores["sample"] == 0) & (scores["item_id"] < "irrelevant0080")][LABEL]
    law = {"epsilon": {"negative": 0.1, "positive": 0.1}, "tau": 0.15}
    cells = ItemCells.from_values(leaks(seen, epsilon=0.1))
    people = ItemCells.from_values(leaks(scores, epsilon=0.2))
    models = list(MODELS.index)
    negative, positive = (people.mean_of(models, "none", p) for p in ("negative", "positive"))
    truth = people.contrast(negative - positive)
    found = rectified_polarity(cells, MODELS, felt, seen, 0.2, 0.3, calibrated=law)
    assert found.estimate == pytest.approx(truth.estimate)
    assert found.se == pytest.approx(truth.se)
    wrong = rectified_polarity(cells, MODELS, felt, seen, 0.2, 0.3)
    assert wrong.se > 1.05 * truth.se


def test_incomplete_triples_are_excluded_and_counted(scores, labels):
    cells = ItemCells.from_values(leaks(scores))
    first = labels["item_id"] == "irrelevant0000"
    fewer = labels[~(first & (labels["condition"] == "control"))]
    found = rectified_polarity(cells, MODELS, fewer, scores, epsilon=0.05)
    assert (found.n_items, found.n_excluded) == (79, 1)
    none = labels[labels["condition"] == "negative"]
    assert rectified_polarity(cells, MODELS, none, scores, epsilon=0.05) is None


def test_families_of_different_items_are_rectified_apart(scores, labels):
    def twin(frame):
        return frame.assign(
            model=frame["model"] + "2",
            item_id="other" + frame["item_id"],
            prompt_id="other" + frame["prompt_id"],
        )

    both = pd.concat([scores, twin(scores).assign(family="g")])
    models = pd.concat([MODELS, MODELS.rename(lambda m: m + "2").assign(family="g")])
    cells = ItemCells.from_values(leaks(both))
    one = rectified_polarity(ItemCells.from_values(leaks(scores)), MODELS, labels, scores, 0.05)
    two = rectified_polarity(cells, models, pd.concat([labels, twin(labels)]), both, 0.05)
    assert two.estimate == pytest.approx(one.estimate)
    assert two.se == pytest.approx(one.se / np.sqrt(2))
    assert (two.n_items, two.n_samples) == (160, 2 * one.n_samples)
    assert rectified_polarity(cells, models, labels, both, 0.05) is None


def test_models_weigh_alike_however_many_of_their_items_are_labelled(scores, labels):
    cells = ItemCells.from_values(leaks(scores))
    few = labels[(labels["model"] != "s") | (labels["item_id"] < "irrelevant0010")]
    found = rectified_polarity(cells, MODELS, few, scores, epsilon=0.05)
    alone = [
        rectified_polarity(cells, MODELS.loc[[m]], few, scores, epsilon=0.05) for m in MODELS.index
    ]
    assert found.estimate == pytest.approx(np.mean([one.estimate for one in alone]))
    assert found.df == 9


def test_labels_of_other_models_are_left_aside(scores, labels):
    rest = MODELS.drop("s")
    cells = ItemCells.from_values(leaks(scores))
    wrong = labels.assign(sentiment=labels["sentiment"].where(labels["model"] != "s", 1.0))
    found = rectified_polarity(cells, rest, wrong, scores, epsilon=0.05)
    own = labels[labels["model"] != "s"]
    assert found == rectified_polarity(cells, rest, own, scores, epsilon=0.05)


def test_one_triple_of_a_model_rectifies_nothing(scores, labels):
    cells = ItemCells.from_values(leaks(scores))
    one = labels[(labels["model"] != "s") | (labels["item_id"] == "irrelevant0000")]
    assert rectified_polarity(cells, MODELS, one, scores, epsilon=0.05) is None


def test_bad_labels_give_one_clear_error(scores, labels):
    with pytest.raises(InputError, match="1 labels of unknown continuations"):
        match_labels(pd.concat([labels, labels.iloc[:1].assign(sample=99)]), scores)
    with pytest.raises(InputError, match="1 continuations stand twice"):
        match_labels(pd.concat([labels, labels.iloc[:1]]), scores)
    with pytest.raises(InputError, match="missing columns"):
        match_labels(labels.drop(columns="sentiment"), scores)
