"""The matrix against what statsmodels and pandas make of the same rows.

statsmodels' variances are taken without its correction and multiplied by n / (n − 1), n items, as
ours are; one test says what its own correction of a clustered GLM does.
"""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from planted import THREE_SIZES, planted_scores
from scipy.special import expit, logit

from expression_leakage.inference.matrix import CELL, ItemCells, resamples
from expression_leakage.metrics import item_values
from expression_leakage.tables import POLARITIES

TAU = 0.3
N_ITEMS = 60


def leak(model, condition, mitigation, relevance):
    strength = {"s": 0.45, "m": 0.35, "l": 0.25}[model] - (mitigation == "k") * 0.05
    return {"negative": -strength - 0.1, "positive": strength}.get(condition, 0.0)


@pytest.fixture(scope="module")
def scores():
    """Every item has every cell, four samples each."""
    return planted_scores(THREE_SIZES, leak, N_ITEMS, n_samples=4, mitigations=("none", "k"))


@pytest.fixture(scope="module")
def lacking(scores):
    """A fifth of the items' cells were never scored; those that were have four samples each."""
    number = scores.groupby(["item_id", "model", "mitigation", "condition"]).ngroup()
    empty = np.random.default_rng(1).random(number.max() + 1) < 0.2
    return scores.assign(sentiment=scores["sentiment"].mask(empty[number]))


@pytest.fixture(scope="module")
def uneven(scores):
    """A third of the samples were never scored: items' cells have from none to four."""
    lost = np.random.default_rng(2).random(len(scores)) < 1 / 3
    return scores.assign(sentiment=scores["sentiment"].mask(lost))


def matrix_of(scores, estimand="charged_rate"):
    values = item_values(scores, epsilon=0, tau=TAU)
    wanted = (values["estimand"] == estimand) & (values["polarity"] != "both")
    return ItemCells.from_values(values[wanted])


def counts_of(scores):
    """How many scored continuations of an item, cell and arm there are, and are charged."""
    parts = []
    for polarity, sign in POLARITIES.items():
        arms = scores[scores["condition"].isin([polarity, "control"])].dropna(subset="sentiment")
        parts.append(arms.assign(polarity=polarity, charged=sign * arms["sentiment"] > TAU))
    rows = pd.concat(parts).replace({"condition": dict.fromkeys(POLARITIES, "test")})
    counts = rows.groupby([*CELL, "condition", "item_id"])["charged"].agg(["sum", "size"])
    return counts.reset_index()


def charged_of(scores):
    counts = counts_of(scores)
    return counts[counts["condition"] == "test"]


def saturated(counts, columns=CELL):
    """A design of one column a cell, sorted, and the items by number."""
    number = counts.groupby(list(columns)).ngroup().to_numpy()
    return np.eye(number.max() + 1)[number], pd.factorize(counts["item_id"])[0]


def clustered_glm(outcome, design, items, use_correction=False):
    kinds = {"groups": items, "use_correction": use_correction}
    return sm.GLM(outcome, design, sm.families.Binomial()).fit(cov_type="cluster", cov_kwds=kinds)


def glm_on_counts(counts, columns=CELL, **more):
    outcome = np.column_stack([counts["sum"], counts["size"] - counts["sum"]])
    return clustered_glm(outcome, *saturated(counts, columns), **more)


def percent(fit, weights=None):
    """Rates of the cells, or contrasts of them, and their covariance by the delta method."""
    rates = expit(np.asarray(fit.params))
    weights = np.eye(len(rates)) if weights is None else weights
    slopes = 100 * weights * rates * (1 - rates)
    return 100 * weights @ rates, slopes @ np.asarray(fit.cov_params()) @ slopes.T


def contrasts(n_cells):
    return np.random.default_rng(0).normal(size=(8, n_cells))


def test_log_odds_equal_a_saturated_glm_on_counts(scores):
    cells, fit = matrix_of(scores), glm_on_counts(charged_of(scores))
    rates = cells.estimates(np.eye(len(cells.cells)))["estimate"] / 100
    np.testing.assert_allclose(logit(rates), fit.params, rtol=0, atol=1e-8)


def test_covariance_equals_that_of_the_glm(scores):
    cells, fit = matrix_of(scores), glm_on_counts(charged_of(scores))
    covariance = percent(fit)[1] * N_ITEMS / (N_ITEMS - 1)
    np.testing.assert_allclose(cells.covariance(), covariance, rtol=1e-6, atol=1e-8)


def test_contrasts_equal_those_of_the_glm(scores):
    cells, fit = matrix_of(scores), glm_on_counts(charged_of(scores))
    weights = contrasts(len(cells.cells))
    expected, covariance = percent(fit, weights)
    found = cells.estimates(weights)
    np.testing.assert_allclose(found["estimate"], expected, rtol=0, atol=1e-8)
    se = np.sqrt(np.diag(covariance) * N_ITEMS / (N_ITEMS - 1))
    np.testing.assert_allclose(found["se"], se, rtol=1e-6)


def test_statsmodels_own_correction_counts_rows_as_well(scores):
    cells, counts = matrix_of(scores), charged_of(scores)
    corrected = percent(glm_on_counts(counts, use_correction=True))[1]
    n, k = len(counts), len(cells.cells)
    expected = cells.covariance() * (n - 1) / (n - k)
    np.testing.assert_allclose(corrected, expected, rtol=1e-6, atol=1e-8)


def test_charged_rates_equal_a_gee_of_independence(scores):
    cells, counts = matrix_of(scores), charged_of(scores)
    design, items = saturated(counts)
    rate = counts["sum"].to_numpy() / counts["size"].to_numpy()
    alike = {"family": sm.families.Binomial(), "cov_struct": sm.cov_struct.Independence()}
    expected, covariance = percent(sm.GEE(rate, design, items, **alike).fit())
    found = cells.estimates(np.eye(len(cells.cells)))
    np.testing.assert_allclose(found["estimate"], expected, rtol=0, atol=1e-8)
    factor = N_ITEMS / (N_ITEMS - 1)
    np.testing.assert_allclose(found["se"], np.sqrt(np.diag(covariance) * factor), rtol=1e-6)
    np.testing.assert_allclose(cells.covariance(), covariance * factor, rtol=1e-6, atol=1e-8)


def test_excess_charged_rates_equal_a_glm_with_a_cell_for_each_arm(scores):
    cells, fit = matrix_of(scores, "ecr"), glm_on_counts(counts_of(scores), [*CELL, "condition"])
    test_minus_control = np.kron(np.eye(len(cells.cells)), [-1, 1])
    expected, covariance = percent(fit, test_minus_control)
    np.testing.assert_allclose(cells.means.mean(axis=0), expected, rtol=0, atol=1e-8)
    factor = N_ITEMS / (N_ITEMS - 1)
    np.testing.assert_allclose(cells.covariance(), covariance * factor, rtol=1e-6, atol=1e-8)


def test_cells_rest_on_the_items_that_have_them_as_in_the_glm(lacking):
    cells, counts = matrix_of(lacking), charged_of(lacking)
    n = counts.groupby(CELL).size().to_numpy()
    assert len(set(n)) > 1
    assert n.max() < N_ITEMS
    expected, covariance = percent(glm_on_counts(counts))
    found = cells.estimates(np.eye(len(cells.cells)))
    np.testing.assert_array_equal(found["n_items"], n)
    np.testing.assert_allclose(found["estimate"], expected, rtol=0, atol=1e-8)
    factor = np.sqrt(n / (n - 1))  # each cell's own
    covariance *= np.outer(factor, factor)
    np.testing.assert_allclose(found["se"], np.sqrt(np.diag(covariance)), rtol=1e-6)
    np.testing.assert_allclose(cells.covariance(), covariance, rtol=1e-6, atol=1e-8)


def test_a_contrast_equals_the_glm_on_items_that_have_both_cells(lacking):
    cells, counts = matrix_of(lacking), charged_of(lacking)
    weights = cells.mean_of(["s"], "none", "negative") - cells.mean_of(["l"], "none", "negative")
    pair = counts[(counts["mitigation"] == "none") & (counts["polarity"] == "negative")]
    pair = pair[pair["model"].isin(["s", "l"])]
    pair = pair[pair.groupby("item_id")["model"].transform("size") == 2]
    n = pair["item_id"].nunique()
    assert n < cells.contrast(cells.mean_of(["s"], "none", "negative")).n_items
    expected, covariance = percent(glm_on_counts(pair), np.array([[-1.0, 1.0]]))
    found = cells.contrast(weights)
    assert found.n_items == n
    assert found.estimate == pytest.approx(expected[0], abs=1e-8)
    assert found.se == pytest.approx(np.sqrt(covariance[0, 0] * n / (n - 1)), rel=1e-6)


def test_items_weigh_alike_whatever_their_samples(uneven):
    cells, counts = matrix_of(uneven), charged_of(uneven)
    rate = counts["sum"].to_numpy() / counts["size"].to_numpy()
    expected, covariance = percent(clustered_glm(rate, *saturated(counts)))
    n = counts.groupby(CELL).size().to_numpy()
    found = cells.estimates(np.eye(len(cells.cells)))
    np.testing.assert_allclose(found["estimate"], expected, rtol=0, atol=1e-8)
    se = np.sqrt(np.diag(covariance) * n / (n - 1))
    np.testing.assert_allclose(found["se"], se, rtol=1e-6)
    by_sample = percent(glm_on_counts(counts))[0]
    assert np.abs(found["estimate"] - by_sample).max() > 0.1


@pytest.mark.parametrize("which", ["scores", "lacking"])
def test_the_bootstrap_equals_a_group_by_of_the_same_resampled_items(which, request):
    scores, draws, seed = request.getfixturevalue(which), 40, 5
    rows = scores[scores["condition"] != "control"].dropna(subset="sentiment")
    rows = rows.assign(polarity=rows["condition"])
    rows["charged"] = 100.0 * (rows["polarity"].map(POLARITIES) * rows["sentiment"] > TAU)
    items = np.sort(scores["item_id"].unique())
    means = []
    for times in np.concatenate(list(resamples(len(items), draws, seed))):
        sample = pd.DataFrame({"item_id": items.repeat(times.astype(int))}).merge(rows)
        assert sample["item_id"].nunique() < len(items)
        means.append(sample.groupby(CELL)["charged"].mean())
    cells = matrix_of(scores)
    found = cells.bootstrap(np.eye(len(cells.cells)), draws, seed)
    np.testing.assert_allclose(found, np.array(means), rtol=1e-10)
    np.testing.assert_allclose(found.std(axis=0), np.array(means).std(axis=0), rtol=1e-10)


@pytest.mark.parametrize("which", ["scores", "lacking"])
def test_bootstrap_and_analytic_errors_differ_by_chance_alone(which, request):
    cells, draws = matrix_of(request.getfixturevalue(which)), 4000
    table = cells.estimates(np.eye(len(cells.cells)))
    found = cells.bootstrap(np.eye(len(cells.cells)), draws, seed=0).std(axis=0)
    # Resampling takes the spread of the items for the truth's, which is less by (n − 1) / n.
    expected = table["se"] * np.sqrt((table["n_items"] - 1) / table["n_items"])
    chance = 1 / np.sqrt(2 * draws)  # relative, of a standard deviation of normal draws
    np.testing.assert_allclose(found, expected, rtol=4 * chance)
