"""Before anything is generated: the power of each claim, and the smallest effect it could find.

Power is the probability of the verdict "replicated" by the declared thresholds, if the claim's
smallest effect of interest is the truth. The minimum detectable effect (MDE) is the effect at
which power reaches 80 %. Both follow from the design's numbers and from variance components.
That guards may flag a model is left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil

import numpy as np
import pandas as pd

from expression_leakage.inference.matrix import LEVEL
from expression_leakage.labelling.tasks import RATED_CONDITIONS
from expression_leakage.metrics import CHANCE
from expression_leakage.planning.defaults import DEFAULTS
from expression_leakage.planning.design import Design
from expression_leakage.planning.power import (
    GOAL,
    all_pass,
    crossing,
    enough_above,
    exceeds,
    least,
)
from expression_leakage.planning.slopes import Critical, critical_slopes, falling_share

MOST = 100  # times as many items, samples or labels are looked at, and no more
MOST_COPIES = 8  # times as many families
_TAIL = (1 - LEVEL) / 2
_LARGEST = 100.0  # difference between two leak rates [points]
_PERFECT = 1 - 1e-9  # a correlation of 1 has no finite z
_RUN = "last run"
_DECLARED = (
    "Declared defaults are those of the default study's organisms, or assumed where they rest on"
    " labels; other models may differ."
)
_BLOCKS = {
    "agreement": ("agreement",),
    "scaling": ("scaling", "leak"),
    "polarity": ("polarity", "correction"),
    "mitigation": ("mitigation", "leak"),
}


def plan(
    design: Design, components: Mapping | None, claims: Mapping[str, Mapping], draws: int, seed: int
) -> dict:
    """Power and minimum detectable effect of every claim.

    Parameters
    ----------
    design
        The planned study.
    components
        Result of `components.variance_components`, or None where there is no run. A block that it
        lacks is taken from `defaults.DEFAULTS`.
    claims
        Declared claims by id, as in `config.load_claims`: number, title, thresholds and
        smallest_effect.
    draws, seed
        Of a sampled permutation test, and seed of the studies that claim 2's power is simulated
        with.

    Returns
    -------
    dict
        JSON-serialisable. ``design``: counts; ``notes``: sentences on the components; ``claims``
        by id: number, title, thresholds, effect (value, unit, meaning), components (block → values
        and origin, 'last run' or 'declared default'), testable, power, mde (None where no effect
        has 80 % power), numbers (what they rest on) and needed (what gives 80 % power at the
        effect; None where nothing within reach does).
    """
    found = components or {}
    blocks = {name: found.get(name) or declared for name, declared in DEFAULTS.items()}
    origin = {name: _RUN if found.get(name) else "declared default" for name in blocks}
    settings = {
        name: (design, blocks, claims[name]["thresholds"], claims[name]["smallest_effect"]["value"])
        for name in _BLOCKS
    }
    powers = {
        "agreement": _agreement(*settings["agreement"]),
        "scaling": _scaling(*settings["scaling"], draws, seed),
        "polarity": _polarity(*settings["polarity"]),
        "mitigation": _mitigation(*settings["mitigation"]),
    }
    planned = {
        name: {
            **{key: claims[name][key] for key in ("number", "title", "thresholds")},
            "effect": dict(claims[name]["smallest_effect"]),
            "components": {b: {"origin": origin[b], "values": dict(blocks[b])} for b in used},
            **powers[name],
        }
        for name, used in _BLOCKS.items()
    }
    notes = [*found.get("notes", []), *([_DECLARED] if set(origin.values()) != {_RUN} else [])]
    return {"design": _counts(design), "notes": notes, "claims": planned}


def _agreement(design: Design, blocks: Mapping, limits: Mapping[str, float], effect: float) -> dict:
    """Claim 1: Fisher's z of Spearman's correlation, its variance inflated by the clusters.

    Variance (1 + r²/2) / (n − 3) of independent pairs: Bonett & Wright 2000, Psychometrika 65:23.
    """
    limit, clustering = limits["spearman"], blocks["agreement"]["clustering"]

    def power(correlation: float, study: Design = design) -> float:
        items, n, crowd = study.rated()
        if items < limits["items"] or n <= 3:
            return 0.0
        variance = (1 + correlation**2 / 2) * (1 + (crowd - 1) * clustering) / (n - 3)
        beyond = np.arctanh(min(correlation, _PERFECT)) - np.arctanh(limit)
        # The conditions' samples are independent; the pooled interval, with all of them, is
        # narrower and binds nothing.
        return exceeds(beyond, np.sqrt(variance), items - 1, _TAIL) ** len(RATED_CONDITIONS)

    items, n, crowd = design.rated()
    return {
        "testable": n > 0,
        "power": power(effect),
        "mde": crossing(power, limit, _PERFECT),
        "numbers": {
            "items": items,
            "conditions": len(RATED_CONDITIONS),
            "continuations": n,
            "independent": n / (1 + (crowd - 1) * clustering),
        },
        "needed": _labels_needed(design, lambda study: power(effect, study)),
    }


def _scaling(
    design: Design, blocks: Mapping, limits: Mapping[str, float], effect: float,
    draws: int, seed: int,
) -> dict:  # fmt: skip
    """Claim 2: simulated models, judged by the permutation test and by adjacent sizes."""
    scatter, share = blocks["scaling"]["residual_sd"], limits["adjacent_share"]

    def critical(copies: int) -> Critical:
        models = _copied(design.models, copies)
        return critical_slopes(models, scatter, limits["alpha"], share, draws, seed)

    now, falling = critical(1), falling_share(design.models, effect, scatter)
    copies = range(1, MOST_COPIES + 1) if falling >= share else ()
    rate = (CHANCE + blocks["leak"]["mean"]) / 100
    return {
        "testable": len(now.both) > 0,
        "power": _beyond(now.both, effect),
        "mde": float(np.quantile(now.both, 1 - GOAL)) if len(now.both) else None,
        "numbers": {
            "steps": int((design.models.groupby("family")["n_parameters"].nunique() - 1).sum()),
            "smallest_p": now.smallest_p,
            "power_of_test": _beyond(now.test, effect),
            "power_of_steps": _beyond(now.steps, effect),
            "expected_falling": None if np.isnan(falling) else falling,
            "points_per_logit": 100 * rate * (1 - rate),
        },
        "needed": {
            "copies": next((c for c in copies if _beyond(critical(c).both, effect) >= GOAL), None)
        },
    }


def _polarity(design: Design, blocks: Mapping, limits: Mapping[str, float], effect: float) -> dict:
    """Claim 3: rectified t interval, and enough models of the same sign.

    The two conditions are taken as independent, and the models' signs as those of an unbiased
    scorer; the covariance of automatic difference and correction, of order 1/N, is left out.
    """
    parts = blocks["polarity"]

    def interval(difference: float, study: Design) -> float:
        df = study.degrees(labelled=True)
        se = _rectified_se(study, blocks) if df >= 1 else np.inf
        return exceeds(difference - limits["difference"], se, df, _TAIL)

    def signs(difference: float, study: Design) -> float:
        return _same_sign(study, parts, difference, limits["model_share"])

    def power(difference: float, study: Design = design) -> float:
        return interval(difference, study) * signs(difference, study)

    labelled = design.fewest(labelled=True)
    return {
        "testable": True,
        "power": power(effect),
        "mde": crossing(power, limits["difference"], _LARGEST),
        "numbers": {
            "labelled": labelled,
            "se_automatic": float(np.sqrt(sum(design.variances(parts)))),
            "se_rectified": _rectified_se(design, blocks) if labelled else None,
            "power_of_interval": interval(effect, design),
            "power_of_signs": signs(effect, design),
            "models_sd": float(np.sqrt(parts["models"])),
        },
        "needed": _labels_needed(design, lambda study: power(effect, study)),
    }


def _mitigation(
    design: Design, blocks: Mapping, limits: Mapping[str, float], effect: float
) -> dict:
    """Claim 4: every prompt's t test, intersection–union, and a baseline above its limit.

    Every prompt is taken to remove the same share, the prompts' contrasts to be equally
    correlated, and the test of the baseline to be independent of them.
    """
    leak, parts, delta = blocks["leak"], blocks["mitigation"], limits["reduction_share"]
    prompts = sorted({p for f in design.families.index for p in design.prompts[f]})
    ran = [[f for f in design.families.index if p in design.prompts[f]] for p in prompts]

    def baseline(study: Design) -> float:
        se, df = np.sqrt(sum(study.variances(leak))), study.degrees()
        return exceeds(leak["mean"] - limits["baseline"], se, df, _TAIL)

    def power(taken: float, study: Design = design) -> float:
        each = [
            exceeds(
                (delta - taken) * leak["mean"], np.sqrt(sum(study.variances(parts, families))),
                study.degrees(families), limits["alpha"],
            )
            for families in ran
        ]  # fmt: skip
        return baseline(study) * all_pass(np.array(each), parts["correlation"]) if each else 0.0

    kept = crossing(lambda share: power(delta - share), 0.0, delta)
    return {
        "testable": bool(prompts),
        "power": power(effect),
        "mde": None if kept is None else delta - kept,
        "numbers": {
            "prompts": prompts,
            "leak": leak["mean"],
            "se": float(np.sqrt(max((sum(design.variances(parts, f)) for f in ran), default=0.0))),
            "power_of_baseline": baseline(design),
        },
        "needed": _items_needed(design, lambda study: power(effect, study)),
    }


def _rectified_se(design: Design, blocks: Mapping) -> float:
    """Of `rectify.rectified_polarity`: automatic part over all items, correction over labelled."""
    automatic = design.variances(blocks["polarity"])
    correction = design.variances(blocks["correction"], labelled=True)
    return float(np.sqrt(sum(automatic) + sum(correction)))


def _same_sign(
    design: Design, parts: Mapping[str, float], difference: float, share: float
) -> float:
    """Probability that enough models' automatic differences are above zero."""
    n_models, common = len(design.models), design.variances(parts)[0]
    weight = design.families.to_numpy() / n_models
    n = design.items_of(design.families.index).sum(axis=1)
    one = parts["shared"] + parts["specific"] + parts["within"] / design.samples
    own = max(0.0, (weight / n).sum() * one - common) + parts["models"]
    return enough_above(n_models, ceil(share * n_models - 1e-9), difference, common, own)


def _labels_needed(design: Design, power: Callable[[Design], float]) -> dict:
    """Labelled items of each model, and the items of a family where they are too few for that."""
    has = ceil(design.fewest())
    n = least(lambda k: power(design.labelling(k)), MOST * has)
    return {"labelled": n, "items": None if n is None else max(n, has)}


def _items_needed(design: Design, power: Callable[[Design], float]) -> dict:
    """Items of the family that has the fewest, others in proportion, or samples instead."""
    has = ceil(design.fewest())
    return {
        "items": least(lambda k: power(design.times(k / has)), MOST * has),
        "samples": least(lambda k: power(replace(design, samples=k)), MOST * design.samples),
    }


def _copied(models: pd.DataFrame, copies: int) -> pd.DataFrame:
    """Every family several times over, as families of their own."""
    each = [models.assign(family=models["family"] + f"/{i}") for i in range(copies)]
    return pd.concat(each, ignore_index=True)


def _beyond(critical: np.ndarray, effect: float) -> float:
    """Share of simulated studies that a slope satisfies; 0 without any."""
    return float((critical > effect).sum() / max(len(critical), 1))


def _counts(design: Design) -> dict:
    return {
        "models": len(design.models),
        "families": {family: int(n) for family, n in design.families.items()},
        "items": {source: int(n) for source, n in design.items.items()},
        "fewest_items": int(design.fewest()),
        "samples": design.samples,
        "labelled": design.labelled,
        "prompts": {f: sorted(design.prompts[f]) for f in design.families.index},
    }
