import numpy as np
import pytest
from scipy import stats

from expression_leakage.inference.matrix import resamples
from expression_leakage.labelling.agreement import (
    LEAST_ITEMS,
    LEAST_SHARED,
    LEVELS,
    MOST_PAIRS,
    alpha_interval,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    pairwise_kappa,
)

_ = np.nan


def random_ratings(seed, n_annotators=5, n_units=40):
    """Ratings with missing values; some units are rated alike by all, some by one alone."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(-3, 4, n_units)
    ratings = np.clip(truth + rng.integers(-1, 2, (n_annotators, n_units)), -3, 3).astype(float)
    ratings[:, :3] = rng.integers(-3, 4, 3)
    ratings[rng.random(ratings.shape) < rng.uniform(0, 0.7)] = np.nan
    ratings[1:, -3:] = np.nan
    ratings[0, -3:] = [-3, 0, 3]
    return ratings


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_equals_the_reference_implementation(level):
    krippendorff = pytest.importorskip("krippendorff")
    for seed in range(30):
        ratings = random_ratings(seed)
        expected = krippendorff.alpha(ratings, level_of_measurement=level)
        assert krippendorff_alpha(ratings, level) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("level", "expected"),
    # Two annotators, values a = 1 and b = 3, units aa, ab, bb, and one rated once. Coincidences:
    # aa 2, ab 1, ba 1, bb 2; marginals 3 and 3; n = 6. Only one pair of values differs, so its
    # distance cancels at every level: 1 − (6 − 1)·(1 + 1)/(3·3 + 3·3) = 1 − 10/18.
    [(level, 8 / 18) for level in LEVELS],
)
def test_alpha_by_hand(level, expected):
    ratings = np.array([[1, 1, 3, _], [1, 3, 3, 1]])
    assert krippendorff_alpha(ratings, level) == pytest.approx(expected)


def test_interval_alpha_by_hand():
    # Units (0, 1), (1, 1), (0, 3): coincidences 01 and 10 once, 11 twice, 03 and 30 once;
    # marginals 2, 3, 1; observed 2·1 + 2·9 = 20; expected 2·(2·3·1 + 2·1·9 + 3·1·4) = 72.
    ratings = np.array([[0, 1, 0], [1, 1, 3]], dtype=float)
    assert krippendorff_alpha(ratings, "interval") == pytest.approx(1 - 5 * 20 / 72)


def test_alpha_is_one_for_perfect_agreement_and_undefined_without_variation_or_pairs():
    assert krippendorff_alpha(np.array([[1, 2, 3], [1, 2, 3]]), "ordinal") == 1
    assert np.isnan(krippendorff_alpha(np.ones((2, 5)), "nominal"))
    assert np.isnan(krippendorff_alpha(np.array([[1, _], [_, 2]]), "nominal"))
    assert np.isnan(krippendorff_alpha(np.full((2, 3), np.nan), "interval"))


def test_unknown_level_is_refused():
    with pytest.raises(ValueError, match="unknown level 'ratio'"):
        krippendorff_alpha(np.ones((2, 2)), "ratio")


def test_interval_holds_alpha_is_seeded_and_widens_when_units_come_in_groups():
    ratings = random_ratings(1, n_units=60)
    repeated = np.repeat(ratings, 4, axis=1)
    alone = alpha_interval(repeated, np.arange(240), "ordinal", n_draws=400)
    grouped = alpha_interval(repeated, np.repeat(np.arange(60), 4), "ordinal", n_draws=400)
    alpha = krippendorff_alpha(repeated, "ordinal")
    assert grouped[0] < alone[0] < alpha < alone[1] < grouped[1]
    assert alone == alpha_interval(repeated, np.arange(240), "ordinal", n_draws=400)
    assert alone != alpha_interval(repeated, np.arange(240), "ordinal", n_draws=400, seed=1)


@pytest.mark.parametrize("level", LEVELS)
def test_the_interval_is_that_of_units_repeated_as_their_groups_are_drawn(level):
    ratings = random_ratings(2, n_annotators=3, n_units=40)
    groups = np.repeat(list("abcdefghijklmnopqrst"), 2)
    several = (~np.isnan(ratings)).sum(axis=0) > 1
    kept, names = ratings[:, several], np.unique(groups[several])
    place = np.searchsorted(names, groups[several])
    drawn = [
        krippendorff_alpha(np.repeat(kept, weights[place].astype(int), axis=1), level)
        for block in resamples(len(names), 60, 5)
        for weights in block
    ]
    # By hand: t in Fisher's z, with the derivative of z.
    alpha = krippendorff_alpha(ratings, level)
    reach = stats.t.ppf(0.975, len(names) - 1) * np.std(drawn, ddof=1) / (1 - alpha**2)
    expected = np.tanh(np.arctanh(alpha) + reach * np.array([-1, 1]))
    found = alpha_interval(ratings, groups, level, n_draws=60, seed=5)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("level", LEVELS)
def test_the_interval_covers_alpha_in_small_studies(level):
    """Of ten items. A percentile interval does so in nine studies of ten, and fails this."""

    def study(rng, n_items):
        mood = np.repeat(rng.normal(size=n_items), 4) + rng.normal(size=4 * n_items)
        said = mood + rng.normal(size=(3, 4 * n_items))
        return np.clip(np.round(said), -1, 1), np.repeat(np.arange(n_items), 4)

    truth = krippendorff_alpha(study(np.random.default_rng(0), 20_000)[0], level)
    held = []
    for seed in range(1, 201):
        ratings, groups = study(np.random.default_rng(seed), 10)
        low, high = alpha_interval(ratings, groups, level, n_draws=200, seed=seed)
        held.append(low <= truth <= high)
    assert np.mean(held) > 0.92


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_and_its_interval_stay_above_minus_one(level):
    """Every unit in dispute: with n ratings, alpha is −1 + 2/n."""
    for n_units in (1, 2, 8):
        ratings = np.repeat([[0.0], [1.0]], n_units, axis=1)
        assert krippendorff_alpha(ratings, level) == pytest.approx(-1 + 1 / n_units)
    rng = np.random.default_rng(0)
    tables = [rng.choice([-3, 0, 1, 3, np.nan], (2, 4)) for _ in range(300)]
    alphas = np.array([krippendorff_alpha(ratings, level) for ratings in tables])
    assert (alphas[np.isfinite(alphas)] >= -1).all()
    ratings = np.repeat([[0.0], [1.0]], 8, axis=1)
    ratings[:, :2] = 1
    low, high = alpha_interval(ratings, np.arange(8), level)
    assert -1 < low < high < 1


def test_there_is_no_interval_of_few_groups_or_of_equal_ratings():
    ratings = random_ratings(3)
    few, enough = (np.arange(40) % n for n in (LEAST_ITEMS - 1, LEAST_ITEMS))
    assert np.isnan(alpha_interval(ratings, few, "nominal")).all()
    assert np.isfinite(alpha_interval(ratings, enough, "nominal")).all()
    # The last units have one rating each, which makes no group.
    few = np.where(np.arange(40) < 37, few, LEAST_ITEMS)
    assert np.isnan(alpha_interval(ratings, few, "nominal")).all()
    assert np.isnan(alpha_interval(np.ones((2, 40)), np.arange(40), "nominal")).all()
    assert np.isnan(alpha_interval(np.full((2, 3), np.nan), np.arange(3), "ordinal")).all()


def test_fleiss_kappa_is_that_of_a_published_table():
    """Ten subjects, fourteen raters, five categories: κ = 0.210 (Wikipedia, "Fleiss' kappa")."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    ratings = np.array([np.repeat(np.arange(5), counts) for counts in table]).T.astype(float)
    few = np.full((14, 4), np.nan)
    few[:2, :3] = 1.0
    found = fleiss_kappa(np.hstack([few, ratings]))
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    assert tuple(found[1:]) == (14, 10, 3)


def test_fleiss_kappa_takes_the_commonest_number_of_ratings_and_of_two_the_larger():
    three = np.array([[1, 1, 0], [0, 0, 0]])
    two = np.array([[1, 1, _], [0, 1, _]])
    found = fleiss_kappa(np.vstack([three, two]).T)
    # Agreement (1/3 + 1)/2; shares of the two values 1/3 and 2/3.
    assert found.kappa == pytest.approx((2 / 3 - 5 / 9) / (1 - 5 / 9))
    assert tuple(found[1:]) == (3, 2, 2)
    assert tuple(fleiss_kappa(np.vstack([three, two, two[:1]]).T)[1:]) == (2, 3, 2)


def test_fleiss_kappa_is_undefined_without_pairs_or_variation():
    alone = fleiss_kappa(np.array([[1, _], [_, 2]]))
    assert np.isnan(alone.kappa)
    assert tuple(alone[1:]) == (0, 0, 2)
    assert np.isnan(fleiss_kappa(np.ones((2, 5))).kappa)


def test_cohen_kappa_is_that_of_a_known_table():
    """Yes/yes 20, yes/no 5, no/yes 10, no/no 15: κ = (.7 − .5) / (1 − .5)."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(first, second, weighted=False) == pytest.approx(0.4)


def test_weighted_kappa_is_one_minus_observed_over_expected_distance():
    """With values that nobody used left as gaps: distance is that of the ratings."""
    rng = np.random.default_rng(0)
    first = rng.choice([-3, -2, 1, 3], 40) / 3
    second = np.clip(first + rng.choice([-1, 0, 0, 1], 40) / 3, -1, 1)
    expected = np.abs(np.subtract.outer(first, second)).mean()
    found = cohen_kappa(first, second, weighted=True)
    assert found == pytest.approx(1 - np.abs(first - second).mean() / expected)
    assert found > cohen_kappa(first, second, weighted=False)


def test_cohen_kappa_is_undefined_where_all_ratings_are_equal():
    assert np.isnan(cohen_kappa(np.ones(5), np.ones(5), weighted=True))
    assert np.isnan(cohen_kappa(np.array([]), np.array([]), weighted=False))
    assert cohen_kappa(np.ones(5), np.zeros(5), weighted=True) == 0


def test_pairs_of_annotators_who_share_enough_units_are_compared_on_these():
    ratings = np.random.default_rng(1).integers(-3, 4, (5, 30)).astype(float)
    ratings[1, 20:] = np.nan
    ratings[2, LEAST_SHARED - 1 :] = np.nan
    ratings[4, : 30 - LEAST_SHARED] = np.nan
    found, n_pairs = pairwise_kappa(ratings, weighted=True)
    assert n_pairs == 5
    pairs = found[["first", "second", "n_units"]].to_numpy().tolist()
    assert pairs == [[0, 3, 30], [0, 1, 20], [1, 3, 20], [0, 4, 10], [3, 4, 10]]
    assert found.loc[1, "kappa"] == cohen_kappa(ratings[0, :20], ratings[1, :20], weighted=True)


def test_of_many_annotators_the_pairs_that_share_most_are_listed():
    ratings = np.random.default_rng(2).integers(0, 3, (60, 40)).astype(float)
    ratings[5, :20] = np.nan
    found, n_pairs = pairwise_kappa(ratings, weighted=False)
    assert n_pairs == 60 * 59 / 2
    assert len(found) == MOST_PAIRS
    assert set(found["n_units"]) == {40}
    assert pairwise_kappa(np.full((3, 4), np.nan), weighted=False)[0].empty
