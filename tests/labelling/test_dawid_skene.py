import numpy as np
import pytest

from expression_leakage.labelling import dawid_skene as module
from expression_leakage.labelling.dawid_skene import SMOOTHING, dawid_skene

NEGATIVE, NEUTRAL, POSITIVE = range(3)
CAREFUL = [[0.9, 0.08, 0.02], [0.1, 0.8, 0.1], [0.02, 0.08, 0.9]]
GLOOMY = [[0.95, 0.04, 0.01], [0.4, 0.55, 0.05], [0.1, 0.3, 0.6]]
ADVERSARIAL = [[0.05, 0.1, 0.85], [0.2, 0.6, 0.2], [0.85, 0.1, 0.05]]
LAZY = [[0.0, 1.0, 0.0]] * 3
PREVALENCE = np.array([0.5, 0.2, 0.3])


def planted(n_units, confusion, seed=0, missing=0.0):
    """True classes, and answers drawn from the annotators' tables; long, in random order."""
    rng = np.random.default_rng(seed)
    confusion = np.array(confusion)
    truth = rng.choice(3, n_units, p=PREVALENCE)
    annotator, unit = np.indices((len(confusion), n_units)).reshape(2, -1)
    heaps = confusion[annotator, truth[unit]].cumsum(axis=1)
    label = (rng.random(len(unit))[:, None] >= heaps).sum(axis=1)
    kept = (rng.random(len(unit)) >= missing) | (annotator == 0)
    order = rng.permutation(np.flatnonzero(kept))
    return truth, label[order], unit[order], annotator[order]


def by_loops(label, unit, annotator, n_classes, n_iterations):
    """Dawid and Skene's equations, answer by answer."""
    n_units, n_annotators = max(unit) + 1, max(annotator) + 1
    answers = list(zip(label, unit, annotator, strict=True))
    posterior = np.zeros((n_units, n_classes))
    for said, i, _ in answers:
        posterior[i, said] += 1
    posterior = posterior / posterior.sum(axis=1, keepdims=True)
    for _ in range(n_iterations):
        prevalence = (posterior.sum(axis=0) + SMOOTHING) / (n_units + n_classes * SMOOTHING)
        confusion = np.full((n_annotators, n_classes, n_classes), SMOOTHING)
        for said, i, k in answers:
            for true in range(n_classes):
                confusion[k, true, said] += posterior[i, true]
        for k in range(n_annotators):
            for true in range(n_classes):
                confusion[k, true] /= confusion[k, true].sum()
        likelihood = np.tile(prevalence, (n_units, 1))
        for said, i, k in answers:
            likelihood[i] *= confusion[k, :, said]
        posterior = likelihood / likelihood.sum(axis=1, keepdims=True)
    penalty = SMOOTHING * (np.log(prevalence).sum() + np.log(confusion).sum())
    return posterior, confusion, prevalence, np.log(likelihood.sum(axis=1)).sum() + penalty


def test_planted_errors_and_prevalence_are_recovered_and_the_majority_is_beaten():
    tables = [CAREFUL, GLOOMY, CAREFUL, ADVERSARIAL, LAZY, GLOOMY]
    truth, *answers = planted(6000, tables)
    found = dawid_skene(*answers, 3)
    # Of n units of a class a share p has the standard error √(p(1 − p)/n), had the classes been
    # known; that they are inferred makes it somewhat larger. Four of .5/√(.2·6000) are .058.
    np.testing.assert_allclose(found.confusion, tables, atol=0.058)
    np.testing.assert_allclose(found.prevalence, PREVALENCE, atol=0.03)
    votes = np.zeros((6000, 3))
    np.add.at(votes, (answers[1], answers[0]), 1)
    right = (found.posterior.argmax(axis=1) == truth).mean()
    assert right > (votes.argmax(axis=1) == truth).mean() + 0.05
    assert found.posterior.max(axis=1).mean() == pytest.approx(right, abs=0.02)


def test_it_equals_the_equations_written_as_loops():
    _, *answers = planted(40, [CAREFUL, GLOOMY, ADVERSARIAL, LAZY], seed=1, missing=0.4)
    found = dawid_skene(*answers, 3)
    posterior, confusion, prevalence, reached = by_loops(*answers, 3, found.n_iterations)
    assert found.n_iterations > 5
    np.testing.assert_allclose(found.posterior, posterior, atol=1e-9)
    np.testing.assert_allclose(found.confusion, confusion, atol=1e-9)
    np.testing.assert_allclose(found.prevalence, prevalence, atol=1e-9)
    assert found.log_likelihood == pytest.approx(reached, abs=1e-8)


def test_the_likelihood_never_falls_and_settles(monkeypatch):
    _, *answers = planted(60, [CAREFUL, GLOOMY, ADVERSARIAL], seed=2)
    settled = dawid_skene(*answers, 3)
    assert settled.n_iterations < module.MOST_ITERATIONS
    reached = []
    for most in range(1, settled.n_iterations + 1):
        monkeypatch.setattr(module, "MOST_ITERATIONS", most)
        reached.append(dawid_skene(*answers, 3).log_likelihood)
    assert (np.diff(reached) > -1e-9).all()
    assert reached[-1] == settled.log_likelihood
    assert reached[-1] - reached[-2] < 1e-6 * abs(reached[-1])


def test_the_order_of_answers_does_not_matter():
    _, label, unit, annotator = planted(50, [CAREFUL, GLOOMY, LAZY], seed=3)
    one = dawid_skene(label, unit, annotator, 3)
    other = dawid_skene(label[::-1], unit[::-1], annotator[::-1], 3)
    np.testing.assert_allclose(one.posterior, other.posterior, atol=1e-9)


def test_annotators_who_agree_are_believed():
    unit, annotator = np.indices((12, 3)).reshape(2, -1)
    label = unit % 3
    found = dawid_skene(label, unit, annotator, 3)
    assert found.posterior.argmax(axis=1).tolist() == [0, 1, 2] * 4
    # Four units of a class, and half an imagined answer in each of three cells.
    np.testing.assert_allclose(found.confusion[:, 0, 0], 4.5 / 5.5, atol=0.01)


def test_a_class_that_nobody_gave_has_almost_no_share():
    unit, annotator = np.indices((30, 3)).reshape(2, -1)
    found = dawid_skene(unit % 2, unit, annotator, 3)
    assert found.prevalence[2] == pytest.approx(0.5 / 31.5, abs=0.005)
    assert np.isfinite(found.posterior).all()
