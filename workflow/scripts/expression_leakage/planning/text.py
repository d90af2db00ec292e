"""A plan for a terminal and for a page."""

from collections.abc import Mapping

from expression_leakage.planning.planner import MOST, MOST_COPIES
from expression_leakage.planning.power import GOAL
from expression_leakage.planning.slopes import SIMULATED

_PLACE = {"agreement": "from", "scaling": "from", "polarity": "from", "mitigation": "up to"}
_CAVEAT = {
    "agreement": "The correlation is taken to be the same in every condition, and the conditions as"
    " independent.",
    "scaling": "Models are simulated with normal scatter, as large as it was or is"
    " declared; items and samples do not enter.",
    "polarity": "Models' signs are taken as an unbiased scorer would find them, and the two"
    " conditions as independent.",
    "mitigation": "Every prompt is taken to remove the same share, and to vary with the others as"
    " those of the last run, or as declared.",
}
_MEANING = (
    "Power is the probability of the verdict 'replicated'; that of claim 2 is known to"
    f" ± {(0.25 / SIMULATED) ** 0.5:.2f} (standard error)."
)


def as_text(plan: Mapping) -> str:
    """Five lines a claim between a headline and a footnote.

    Parameters
    ----------
    plan
        As `planner.plan` gives it.
    """
    lines = [_headline(plan["design"])]
    for name, claim in plan["claims"].items():
        lines += [f"Claim {claim['number']}, {claim['title'].lower()}: {_power(name, claim)}"]
        lines += [f"  {line}" for line in sentences(name, claim, plan["design"])]
        lines += [f"  Variances: {_origins(claim)}."]
    return "\n".join([*lines, " ".join([_MEANING, *plan["notes"]])]) + "\n"


def as_markdown(plan: Mapping) -> str:
    """The same as a page, with what each effect means and with the variance components.

    Parameters
    ----------
    plan
        As `planner.plan` gives it.
    """
    lines = ["# Plan", "", _headline(plan["design"]), _MEANING, *plan["notes"], ""]
    lines += [
        f"| Claim | Effect | Power | Effect with {percent(GOAL)} power |",
        "|---|---|---|---|",
    ]
    lines += [_row(claim) for claim in plan["claims"].values()]
    for name, claim in plan["claims"].items():
        meaning = f"{_effect(claim)}: {claim['effect']['meaning']}"
        facts = [meaning, *sentences(name, claim, plan["design"]), *_components(claim)]
        lines += ["", f"## Claim {claim['number']}, {claim['title'].lower()}", ""]
        lines += [f"- {fact}" for fact in facts]
    return "\n".join(lines) + "\n"


def sentences(name: str, claim: Mapping, design: Mapping) -> tuple[str, str, str]:
    """What a claim's power rests on, what is taken for granted, and what would help.

    Parameters
    ----------
    name, claim
        Claim id and its entry in the plan.
    design
        The plan's ``design``.
    """
    said, helps = {
        "agreement": (_agreement, _labels),
        "scaling": (_scaling, _copies),
        "polarity": (_polarity, _labels),
        "mitigation": (_mitigation, _items),
    }[name]
    return said(claim), _CAVEAT[name], helps(claim, design)


def percent(share: float) -> str:
    """A share as it is written everywhere."""
    return f"{100 * share:.0f} %"


def _agreement(claim: Mapping) -> str:
    found = claim["numbers"]
    return (
        f"{_count(found['items'], 'labelled item')} give {found['continuations']:.0f} continuations"
        f" in each of {found['conditions']} conditions, worth {found['independent']:.0f}"
        " independent ones."
    )


def _scaling(claim: Mapping) -> str:
    found, limits = claim["numbers"], claim["thresholds"]
    scatter = claim["components"]["scaling"]["values"]["residual_sd"]
    said = f"Models scatter by {scatter:.2g} logits about their family's line"
    if not claim["testable"]:
        limit = f"not below {limits['alpha']:g}"
        return f"{said}; the smallest p they can reach is {found['smallest_p']:.2g}, {limit}."
    points = f"0.1 logits are {found['points_per_logit'] / 10:.1f} points"
    return (
        f"{said} ({points}). Alone, the test passes with probability {found['power_of_test']:.2f},"
        f" and {percent(limits['adjacent_share'])} of {_count(found['steps'], 'step')} in size"
        f" fall with {found['power_of_steps']:.2f}."
    )


def _polarity(claim: Mapping) -> str:
    found, share = claim["numbers"], percent(claim["thresholds"]["model_share"])
    automatic = (
        f"The automatic difference has a standard error of {found['se_automatic']:.2g} points"
    )
    if found["se_rectified"] is None:
        return f"{automatic}; without labels the verdict is at best inconclusive."
    return (
        f"{automatic}, the rectified one of {found['se_rectified']:.2g}. Alone, its interval passes"
        f" with probability {found['power_of_interval']:.2f}, and {share} of models agree in sign"
        f" with {found['power_of_signs']:.2f}."
    )


def _mitigation(claim: Mapping) -> str:
    found, delta = claim["numbers"], claim["thresholds"]["reduction_share"]
    return (
        f"{_count(len(found['prompts']), 'prompt')} must each be shown to leave more than"
        f" {percent(1 - delta)} of a leak of {found['leak']:.2g} points, with a standard error of"
        f" {found['se']:.2g}; that there is a leak is shown with probability"
        f" {found['power_of_baseline']:.2f}."
    )


def _labels(claim: Mapping, design: Mapping) -> str:
    n, has = claim["needed"]["labelled"], design["fewest_items"]
    if n is None:
        cause = ""
        if claim["numbers"].get("models_sd"):
            cause = (
                f": models' own differences scatter by {claim['numbers']['models_sd']:.2g} points"
            )
        return f"Not even {MOST * has} items, all labelled, give {percent(GOAL)} power{cause}."
    more = f" and {claim['needed']['items']} items instead of {has}" if n > has else ""
    planned = f"planned: {design['labelled']}"
    return f"{percent(GOAL)} power takes {_count(n, 'labelled item')} a model ({planned}){more}."


def _copies(claim: Mapping, design: Mapping) -> str:
    found, share = claim["numbers"], claim["thresholds"]["adjacent_share"]
    copies = claim["needed"]["copies"]
    if found["expected_falling"] is None:
        return "No family has two sizes: add some."
    if found["expected_falling"] < share:
        return (
            f"At this slope {percent(found['expected_falling'])} of steps fall on average: more"
            " models of a size or sizes further apart help, more families of these sizes do not."
        )
    if copies is None:
        return f"{MOST_COPIES} times as many families of these sizes would not be enough."
    if copies == 1:
        return f"The planned models give {percent(GOAL)} power."
    return f"{percent(GOAL)} power takes {copies} times as many families of these sizes."


def _items(claim: Mapping, design: Mapping) -> str:
    items, samples = claim["needed"]["items"], claim["needed"]["samples"]
    ways = []
    if items is not None:
        ways += [f"{_count(items, 'item')} a family (planned: {design['fewest_items']})"]
    if samples is not None:
        ways += [f"{_count(samples, 'sample')} (planned: {design['samples']})"]
    if not ways:
        return f"Not even {MOST} times as many items or samples give {percent(GOAL)} power."
    return f"{percent(GOAL)} power takes {' or '.join(ways)}."


def _headline(design: Mapping) -> str:
    items = ", ".join(f"{n} {source}" for source, n in design["items"].items())
    return (
        f"Planned: {_count(design['models'], 'model')} of"
        f" {_count(len(design['families']), 'family', 'families')}, irrelevant items: {items};"
        f" {_count(design['samples'], 'sample')}; {_count(design['labelled'], 'labelled item')} a"
        " model."
    )


def _power(name: str, claim: Mapping) -> str:
    if not claim["testable"]:
        return "not testable, power 0."
    mde = f"no effect has {percent(GOAL)} power"
    if claim["mde"] is not None:
        mde = f"{percent(GOAL)} power {_PLACE[name]} {_number(claim['mde'])}"
    return f"power {claim['power']:.2f} at {_effect(claim)}; {mde}."


def _row(claim: Mapping) -> str:
    mde = "none" if claim["mde"] is None else _number(claim["mde"])
    power = f"{claim['power']:.2f}" if claim["testable"] else "not testable"
    return f"| {claim['number']} | {_effect(claim)} | {power} | {mde} |"


def _effect(claim: Mapping) -> str:
    return f"{_number(claim['effect']['value'])} ({claim['effect']['unit']})"


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _count(n: float, noun: str, many: str | None = None) -> str:
    return f"{n:.0f} {noun if round(n) == 1 else many or noun + 's'}"


def _origins(claim: Mapping) -> str:
    return ", ".join(f"{block} ({of['origin']})" for block, of in claim["components"].items())


def _components(claim: Mapping) -> list[str]:
    """One line a block: its origin, and its values to four digits."""
    return [
        f"{block} ({of['origin']}): "
        + ", ".join(f"{name} {value:.4g}" for name, value in of["values"].items())
        for block, of in claim["components"].items()
    ]
