"""Worlds whose truth is known, to calibrate the estimators of the study on.

A continuation is negative, neutral or positive. A control continuation is drawn from the item's
own shares q; a test continuation of polarity p takes polarity p with probability ρ and is drawn
from q otherwise. The scorer sees this state with errors, people see it with small ones. For any
view of the states with sentiment s let D(p, x) = P(s_p beats s_x in the direction of p) − P(it
loses). As ρ is independent of q over items, the mean leak in that view is

    ELR − 50 = 50 · E[ρ] · Σ_x E[q_x] · D(p, x),

for a faultless view 50 · E[ρ] · (1 − E[q_p]), and its ECR is 100 · E[ρ] · (1 − E[q_p]). Every
truth below follows from E[ρ], E[q] and the two views in closed form. It holds for tie widths
below a sixth, the step of a mean of two ratings, and for τ below the sentiment of a charged
continuation.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from expression_leakage.errors import InputError
from expression_leakage.metrics import CHANCE

PLACES = ("negative", "positive")  # order of every pair by polarity
STEPS = 3  # steps of the rating scale on either side of neutral
CHARGED = 2  # steps that people see in a charged continuation


@dataclass(frozen=True)
class World:
    """What is planted. Shares and probabilities lie in [0, 1].

    Attributes
    ----------
    families
        Families of models, all of the same sizes.
    sizes
        Parameters of a family's models.
    items, samples
        Irrelevant items, and continuations of each prompt.
    prompts
        Names of the mitigation prompts and the share of leakage that each takes away.
    elr
        Automatic ELR, mean of both polarities, no prompt, of a model of mean log size [%].
    slope
        Of logit(ELR) per decade of parameters.
    model_noise
        Standard deviation between models of one size [logits].
    difference
        Negative minus positive ELR of every model, as people see it [points].
    placebo
        Probability that a placebo continuation of the first model turns positive.
    neutral
        Mean shares of negative, neutral and positive control continuations.
    item_precision
        Sum of the Dirichlet parameters of an item's own shares q around these means: the larger,
        the more alike the items.
    leak_precision
        Sum of the Beta parameters of ρ over items: its variance is m(1 − m) / (precision + 1)
        around the mean m of its cell.
    item_share
        Correlation of an item's normal scores of ρ between any two of its cells.
    sensitivity
        Probability that the scorer sees a negative, and a positive, state as such.
    specificity
        Probability that the scorer calls a state that is not negative not negative, and one that
        is not positive not positive.
    labelled
        Items, drawn at random, whose first continuation of every model and condition (control,
        negative, positive, no prompt) is rated.
    slip
        Probability that one of the two annotators is a step of the scale off, up or down.
    """

    families: int = 2
    sizes: tuple[int, ...] = (100_000_000, 316_227_766, 1_000_000_000, 3_162_277_660)
    items: int = 60
    samples: int = 3
    prompts: tuple[tuple[str, float], ...] = (("first", 0.0), ("second", 0.0), ("third", 0.0))
    elr: float = 62.0
    slope: float = 0.0
    model_noise: float = 0.1
    difference: float = 0.0
    placebo: float = 0.0
    neutral: tuple[float, float, float] = (0.15, 0.6, 0.25)
    item_precision: float = 6.0
    leak_precision: float = 2.0
    item_share: float = 0.4
    sensitivity: tuple[float, float] = (0.65, 0.9)
    specificity: tuple[float, float] = (0.98, 0.88)
    labelled: int = 30
    slip: float = 0.2

    @property
    def models(self) -> pd.DataFrame:
        """Family and n_parameters, indexed by model."""
        rows = [
            (f"{family}{size}", f"family{family}", n)
            for family in range(self.families)
            for size, n in enumerate(self.sizes)
        ]
        frame = pd.DataFrame(rows, columns=["model", "family", "n_parameters"])
        return frame.set_index("model")

    @property
    def decades(self) -> np.ndarray:
        """Centred log10 parameters of each model."""
        x = np.log10(np.array(self.sizes, dtype=float))
        return np.tile(x - x.mean(), self.families)


@dataclass(frozen=True)
class Truth:
    """What the estimators ought to find.

    Attributes
    ----------
    elr
        Array (models,): automatic ELR of these checkpoints, both polarities, no prompt [%].
    baseline
        Their mean leak [points].
    checkpoint_slope, checkpoint_log_odds
        Least-squares slopes per decade of `elr` [points] and of its log odds, of these
        checkpoints.
    slope
        Slope of logit(ELR) per decade, of models of such families.
    difference, automatic_difference
        Negative minus positive ELR, mean over these checkpoints [points]: as people see it, and
        as the scorer does.
    placebo
        Array (models,): automatic placebo ELR of these checkpoints [%].
    reductions
        Leak that each prompt takes away, mean over these checkpoints [points].
    spearman
        Population correlation of automatic sentiment and mean rating, 'pooled' over these
        checkpoints and the three rated conditions, and within each.
    """

    elr: np.ndarray
    baseline: float
    checkpoint_slope: float
    checkpoint_log_odds: float
    slope: float
    difference: float
    automatic_difference: float
    placebo: np.ndarray
    reductions: dict[str, float]
    spearman: dict[str, float]


def realise(world: World, seed: int | np.random.SeedSequence) -> np.ndarray:
    """Draw the checkpoints of a world: E[ρ] of each model and polarity, without a prompt.

    The model's automatic ELR is planted on the logit scale, the polarity difference as people see
    it; the two determine both E[ρ]. A mean that would leave [0, 1] is set to the border, and the
    truth follows.

    Parameters
    ----------
    world
        What is planted.
    seed
        Of the model noise.

    Returns
    -------
    ndarray of shape (models, 2)
        Negative, positive.
    """
    noise = np.random.default_rng(seed).normal(0, world.model_noise, len(world.decades))
    rate = 100 * expit(logit(world.elr / 100) + world.slope * world.decades + noise)
    seen, felt = (_lead(world, view) for view in (scorer_view(world), people_view(world)))
    system = np.array([CHANCE * seen / 2, CHANCE * felt * [1, -1]])
    planted = np.array([rate - CHANCE, np.full(len(rate), world.difference)])
    return np.clip(np.linalg.solve(system, planted).T, 0, 1)


def truth(world: World, checkpoints: np.ndarray) -> Truth:
    """The truth about a world and its checkpoints, in closed form.

    Parameters
    ----------
    world
        What is planted.
    checkpoints
        Result of `realise`.
    """
    seen, felt = (
        CHANCE * checkpoints * _lead(world, view)
        for view in (scorer_view(world), people_view(world))
    )
    leaks, x, first = seen.mean(axis=1), world.decades, np.eye(len(seen))[0]
    return Truth(
        elr=CHANCE + leaks,
        baseline=float(leaks.mean()),
        checkpoint_slope=float(x @ leaks / (x @ x)),
        checkpoint_log_odds=float(x @ logit(0.5 + leaks / 100) / (x @ x)),
        slope=world.slope,
        difference=float((felt[:, 0] - felt[:, 1]).mean()),
        automatic_difference=float((seen[:, 0] - seen[:, 1]).mean()),
        placebo=CHANCE * (1 + world.placebo * _lead(world, scorer_view(world))[1] * first),
        reductions={name: share * float(leaks.mean()) for name, share in world.prompts},
        spearman=_spearman(world, checkpoints.mean(axis=0)),
    )


def scorer_view(world: World) -> np.ndarray:
    """P(scorer's sentiment | state): rows and columns negative, neutral, positive."""
    (sees_negative, sees_positive), (no_negative, no_positive) = (
        world.sensitivity, world.specificity,
    )  # fmt: skip
    view = np.empty((3, 3))
    view[:, 0] = [sees_negative, 1 - no_negative, 1 - no_negative]
    view[:, 2] = [1 - no_positive, 1 - no_positive, sees_positive]
    view[:, 1] = 1 - view[:, 0] - view[:, 2]
    if (view < 0).any():
        what = f"sensitivity {world.sensitivity}, specificity {world.specificity}"
        raise InputError("planted world", what, "let no sensitivity exceed the other specificity")
    return view


def people_view(world: World) -> np.ndarray:
    """P(mean of two ratings | state): rows the states, columns `rating_values`."""
    one = np.array([world.slip / 2, 1 - world.slip, world.slip / 2])
    view, both = np.zeros((3, len(rating_values()))), np.convolve(one, one)
    for state, first in enumerate(2 * (STEPS + CHARGED * np.array([-1, 0, 1])) - 2):
        view[state, first : first + len(both)] = both
    return view


def rating_values() -> np.ndarray:
    """All values of the mean of two ratings [−1, 1]."""
    return np.arange(-2 * STEPS, 2 * STEPS + 1) / (2 * STEPS)


def _lead(world: World, view: np.ndarray) -> np.ndarray:
    """Σ_x E[q_x] · D(p, x) of each polarity p in a view whose columns rise in sentiment."""
    k = view.shape[1]
    wins = np.sign(np.subtract.outer(np.arange(k), np.arange(k)))
    ahead = view @ wins @ view.T @ np.array(world.neutral)
    return np.array([-ahead[0], ahead[2]])


def _spearman(world: World, leaks: np.ndarray) -> dict[str, float]:
    q = np.array(world.neutral)
    states = {"control": q}
    for name, leak, own in zip(PLACES, leaks, np.eye(3)[[0, 2]], strict=True):
        states[name] = leak * own + (1 - leak) * q
    states = {"pooled": np.mean(list(states.values()), axis=0)} | states
    scorer, people = scorer_view(world), people_view(world)
    return {
        name: _rank_correlation(scorer.T @ np.diag(shares) @ people)
        for name, shares in states.items()
    }


def _rank_correlation(joint: np.ndarray) -> float:
    """Spearman correlation of two ordered variables from their joint distribution."""
    deviations = []
    for margin in (joint.sum(axis=1), joint.sum(axis=0)):
        deviations.append(np.cumsum(margin) - margin / 2 - 0.5)
    a, b = deviations
    spread = (joint.sum(axis=1) @ a**2) * (joint.sum(axis=0) @ b**2)
    return float(a @ joint @ b / np.sqrt(spread))
