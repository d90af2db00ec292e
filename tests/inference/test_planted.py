from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logit

from expression_leakage.errors import InputError
from expression_leakage.inference.planted import World, realise, truth
from expression_leakage.inference.planted_draw import draw
from expression_leakage.inference.rectify import match_labels
from expression_leakage.labelling.aggregation import aggregate
from expression_leakage.metrics import item_values
from expression_leakage.tables import LABELS

LARGE = World(
    families=1, sizes=(10**8, 10**9), items=4000, samples=3, labelled=4000, slope=-0.2,
    difference=6.0, placebo=0.2, prompts=(("half", 0.5),),
)  # fmt: skip
FAULTLESS = replace(LARGE, sensitivity=(1.0, 1.0), specificity=(1.0, 1.0), slip=0.0)
SIGMAS = 4.5  # of the Monte Carlo error, item-clustered


def drawn(world):
    checkpoints = realise(world, 3)
    scores, labels = draw(world, checkpoints, 4)
    return checkpoints, truth(world, checkpoints), scores, labels


def near(values, planted):
    """Whether the mean over items is the planted value within Monte Carlo error."""
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return abs(values.mean() - planted) < SIGMAS * error


def by_item(values, estimand, polarity, model, mitigation="none"):
    at = (values["estimand"] == estimand) & (values["polarity"] == polarity)
    at &= (values["model"] == model) & (values["mitigation"] == mitigation)
    return values[at].set_index("item_id")["value"].sort_index()


@pytest.fixture(scope="module")
def seen():
    checkpoints, planted, scores, labels = drawn(LARGE)
    return checkpoints, planted, scores, labels, item_values(scores, 0.05, 0.05)


def test_a_faultless_scorer_finds_the_leak_that_the_shares_give():
    checkpoints, planted, scores, _ = drawn(FAULTLESS)
    values = item_values(scores, 0.05, 0.05)
    negative, _, positive = FAULTLESS.neutral
    for m, model in enumerate(FAULTLESS.models.index):
        for p, (polarity, q) in enumerate({"negative": negative, "positive": positive}.items()):
            leak = checkpoints[m, p] * (1 - q)
            assert near(by_item(values, "elr", polarity, model), 50 + 50 * leak)
            assert near(by_item(values, "ecr", polarity, model), 100 * leak)
    assert planted.automatic_difference == pytest.approx(planted.difference)
    assert planted.difference == pytest.approx(FAULTLESS.difference)


def test_the_scorer_sees_the_planted_rate_of_every_checkpoint(seen):
    _, planted, _, _, values = seen
    for m, model in enumerate(LARGE.models.index):
        assert near(by_item(values, "elr", "both", model), planted.elr[m])
        assert near(by_item(values, "placebo_elr", "both", model), planted.placebo[m])
    assert planted.placebo[1] == 50
    assert planted.baseline == pytest.approx(planted.elr.mean() - 50)


def test_a_prompt_takes_away_its_share(seen):
    _, planted, _, _, values = seen
    models = LARGE.models.index
    kept = sum(by_item(values, "elr", "both", m, "half") for m in models) / len(models)
    none = sum(by_item(values, "elr", "both", m) for m in models) / len(models)
    assert planted.reductions["half"] == pytest.approx(planted.baseline / 2)
    assert near(none - kept, planted.reductions["half"])


def test_the_charged_rate_is_attenuated_by_sensitivity_and_specificity(seen):
    checkpoints, _, _, _, values = seen
    shares = (LARGE.neutral[0], LARGE.neutral[2])
    for p, polarity in enumerate(("negative", "positive")):
        youden = LARGE.sensitivity[p] + LARGE.specificity[p] - 1
        planted = 100 * checkpoints[0, p] * (1 - shares[p]) * youden
        assert near(by_item(values, "ecr", polarity, LARGE.models.index[0]), planted)


def test_people_and_scorer_differ_about_the_polarities_as_planted(seen):
    _, planted, scores, labels, values = seen
    rated = match_labels(labels, scores)
    human = item_values(rated.assign(sentiment=rated["human"]), 0.05, 0.05)
    models = LARGE.models.index
    for source, difference in ((human, LARGE.difference), (values, planted.automatic_difference)):
        negative, positive = (
            sum(by_item(source, "elr", p, m) for m in models) / len(models)
            for p in ("negative", "positive")
        )
        assert near(negative - positive, difference)
    assert planted.difference == pytest.approx(LARGE.difference)
    assert planted.automatic_difference < planted.difference - 3


def test_the_scorer_errs_as_often_as_its_sensitivity_and_specificity_say():
    world = replace(FAULTLESS, sensitivity=LARGE.sensitivity, specificity=LARGE.specificity)
    _, _, scores, labels = drawn(world)
    rated = match_labels(labels, scores)
    truly, sees = np.sign(rated["human"]), np.sign(rated["sentiment"])
    for p, sign in enumerate((-1, 1)):
        said, so = sees == sign, truly == sign
        for state in (0, -sign):
            share = said[truly == state].mean()
            assert share == pytest.approx(1 - world.specificity[p], abs=0.02)
        assert said[so].mean() == pytest.approx(world.sensitivity[p], abs=0.02)


def test_planted_correlations_are_those_of_many_ratings(seen):
    _, planted, scores, labels, _ = seen
    rated = match_labels(labels, scores)
    parts = {"pooled": rated} | dict(list(rated.groupby("condition")))
    parts.pop("placebo", None)
    assert set(parts) == set(planted.spearman)
    for name, part in parts.items():
        found = stats.spearmanr(part["sentiment"], part["human"]).statistic
        assert found == pytest.approx(planted.spearman[name], abs=0.02), name


def test_models_scatter_around_the_planted_line_on_the_logit_scale():
    sizes = (10**8, 10**9, 10**10)
    world = World(families=40, sizes=sizes, slope=-0.2, model_noise=0.1)
    found = [truth(world, realise(world, seed)) for seed in range(100)]
    outcome = logit(np.array([t.elr for t in found]) / 100).reshape(-1, len(sizes))
    line = logit(world.elr / 100) + world.slope * np.array([-1, 0, 1])
    assert outcome.mean(axis=0) == pytest.approx(line, abs=0.01)
    assert outcome.std(axis=0) == pytest.approx(np.full(3, world.model_noise), rel=0.06)
    assert near([t.checkpoint_log_odds for t in found], world.slope)
    first = found[0]
    assert first.checkpoint_slope == pytest.approx(np.polyfit(world.decades, first.elr, 1)[0])


def test_items_differ_and_are_alike_over_models_as_planted():
    alike = replace(FAULTLESS, model_noise=0.0, slope=0.0, samples=8, labelled=10)
    correlation = {}
    for share in (0.0, 0.8):
        _, _, scores, _ = drawn(replace(alike, item_share=share, item_precision=1e4))
        values = item_values(scores, 0.05, 0.05)
        rates = [by_item(values, "charged_rate", "negative", m) for m in alike.models.index]
        correlation[share] = np.corrcoef(*rates)[0, 1]
        m = realise(alike, 3)[0, 0]
        p = m + (1 - m) * alike.neutral[0]
        spread = (1 - alike.neutral[0]) ** 2 * m * (1 - m) / (alike.leak_precision + 1)
        variance = spread + (p * (1 - p) - spread) / alike.samples
        assert rates[0].var() / 1e4 == pytest.approx(variance, rel=0.08)
    assert abs(correlation[0.0]) < 0.08
    assert correlation[0.8] > 0.4


def test_labels_are_of_random_items_and_have_the_columns_of_aggregated_ones():
    world = replace(World(), labelled=20)
    _, _, scores, labels = drawn(world)
    one = labels.iloc[:1].reindex(columns=LABELS.columns).assign(status="submitted")
    assert list(labels.columns) == list(aggregate(one).columns)
    assert set(labels["mitigation"]) == {"none"}
    assert set(labels["sample"]) == {0}
    items = set(labels["item_id"])
    assert len(items) == 20
    assert items != set(sorted(scores["item_id"].unique())[:20])
    assert len(labels) == 20 * 3 * len(world.models)
    assert pd.Series(labels["sentiment"] * 6).round(9).isin(range(-6, 7)).all()


def test_a_draw_is_its_seed():
    world = World()
    checkpoints = realise(world, 1)
    first, again, other = (draw(world, checkpoints, seed) for seed in (2, 2, 3))
    assert all(table.equals(same) for table, same in zip(first, again, strict=True))
    assert not first[0]["sentiment"].equals(other[0]["sentiment"])
    assert not np.array_equal(checkpoints, realise(world, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"labelled": 61}, "61 of 60 items"), ({"sensitivity": (0.9, 0.99)}, "specificity")],
)
def test_an_impossible_world_is_refused(change, message):
    world = replace(World(), **change)
    with pytest.raises(InputError, match=message):
        draw(world, realise(world, 1), 1)
