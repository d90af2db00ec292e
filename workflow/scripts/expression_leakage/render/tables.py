"""The tables of the study: frames of text, ready for any page, and what their captions say."""

from collections.abc import Mapping, Sequence

import pandas as pd

from expression_leakage.render import by_claim, labels
from expression_leakage.render.calibration import calibration_table, verdict_table
from expression_leakage.render.contrasts import MATCHED
from expression_leakage.render.formats import compact_count, interval, number
from expression_leakage.render.multiverse import agreement_table
from expression_leakage.render.webtext import funnel_table, sample_table

ORGANISMS = "Organisms are small models trained by this workflow; they are not the paper's models."
QUANTISED = "The weights of {} were quantised to few bits and are not those released."
_ROW = ["estimand", "model", "source", "relevance", "mitigation", "polarity"]
_ARMS = ("control", "placebo", "negative", "positive")


class Estimates:
    """Estimates of one scorer, looked up by what they are of.

    Parameters
    ----------
    frame
        ESTIMATES rows.
    scorer
        The scorer to show; text measures, which have none, are kept.
    """

    def __init__(self, frame: pd.DataFrame, scorer: str):
        own = frame[frame["scorer"].isin([scorer, ""])]
        # A family's mean is the row of model 'all': the family's name makes it unique.
        name = own["model"].where(own["model"] != "all", "all " + own["family"])
        self.rows = own.assign(model=name).set_index(_ROW).sort_index()
        single = own[own["model"] != "all"].drop_duplicates("model")
        self.models = single.sort_values(["family", "n_parameters", "model"])[
            ["family", "model", "n_parameters"]
        ]

    def get(
        self, estimand: str, model: str, relevance: str = "irrelevant", polarity: str = "both",
        mitigation: str = "none", source: str = "all",
    ) -> pd.Series | None:  # fmt: skip
        """The row, or None where the study has none."""
        key = (estimand, model, source, relevance, mitigation, polarity)
        return self.rows.loc[key] if key in self.rows.index else None

    def text(self, estimand: str, model: str, digits: int = 1, **where: str) -> str:
        """Estimate with its interval, as text."""
        row = self.get(estimand, model, **where)
        if row is None:
            return interval(None, None, None)
        return interval(row["estimate"], row["low"], row["high"], digits)


def leakage(estimates: Estimates) -> pd.DataFrame:
    """Leakage of every model on irrelevant stems without a mitigation prompt."""
    rows = []
    for family, model, size in estimates.models.itertuples(index=False):
        base = estimates.get("elr", model)
        rows.append(
            {
                "Family": family,
                "Model": model,
                "Parameters": compact_count(size),
                "ELR negative [%]": estimates.text("elr", model, polarity="negative"),
                "ELR positive [%]": estimates.text("elr", model, polarity="positive"),
                "ELR both [%]": estimates.text("elr", model),
                "ECR [points]": estimates.text("ecr", model),
                "Shift": estimates.text("shift", model, digits=3),
                "Charged rate [%]": estimates.text("charged_rate", model),
                "Items": _count(base, "n_items"),
                "Samples": _count(base, "n_samples"),
                "Items left out": _count(base, "n_excluded"),
            }
        )
    return pd.DataFrame(rows)


def _count(row: pd.Series | None, column: str) -> str:
    return "0" if row is None else str(int(row[column]))


def guards(estimates: Estimates, claims: dict) -> pd.DataFrame:
    """What must be in order before a model's leakage is read."""
    checks = {(c["model"], c["guard"]): c for c in claims["guards"]["checks"]}
    rows = []
    for _, model, size in estimates.models.itertuples(index=False):
        own = {g: c["passed"] for (m, g), c in checks.items() if m == model}
        failed = sorted(g for g, passed in own.items() if passed is False)
        unknown = sorted(g for g, passed in own.items() if passed is None)
        degenerate = checks.get((model, "degenerate text"), {})
        rows.append(
            {
                "Model": model,
                "Parameters": compact_count(size),
                "Placebo ELR [%]": estimates.text("placebo_elr", model),
                "Context use [%]": estimates.text("elr", model, relevance="relevant"),
                "Selectivity [points]": estimates.text("selectivity", model, relevance="both"),
                "Degenerate [%]": interval(*map(degenerate.get, ("value", "low", "high"))),
                "Ties [%]": estimates.text("tie_share", model),
                "Copies injection [%]": estimates.text("copy_rate", model),
                "Items": _count(estimates.get("elr", model), "n_items"),
                "Relevant items": _count(
                    estimates.get("elr", model, relevance="relevant"), "n_items"
                ),
                "Flags": ", ".join(failed) or "none",
                "Not measured": ", ".join(unknown) or "none",
            }
        )
    return pd.DataFrame(rows)


def texts(estimates: Estimates) -> pd.DataFrame:
    """What the test continuations are like, beside their sentiment."""
    rows = []
    for _, model, size in estimates.models.itertuples(index=False):
        base = estimates.get("mean_words", model)
        rows.append(
            {
                "Model": model,
                "Parameters": compact_count(size),
                "Words": estimates.text("mean_words", model),
                "Identical to control [%]": estimates.text("identical_share", model),
                "Relatedness to stem": estimates.text("relatedness_stem", model, digits=2),
                "Relatedness to injection": estimates.text(
                    "relatedness_injection", model, digits=2
                ),
                "Unscored [%]": estimates.text("unscored_share", model),
                "Items": _count(base, "n_items"),
                "Samples": _count(base, "n_samples"),
            }
        )
    return pd.DataFrame(rows)


def benchmark(items: pd.DataFrame, balance: pd.DataFrame) -> pd.DataFrame:
    """Items by source and kind of stem, with length and valence of their arms."""
    smd = balance.set_index(["source", "relevance", "comparison", "covariate"])["smd"]
    matched = [entry for entry in MATCHED if entry[1] in set(balance["covariate"])]
    rows = []
    for (source, relevance), part in items.groupby(["source", "relevance"]):
        means = part.groupby("condition")[["n_words", "valence"]].mean()
        row = {
            "Source": source,
            "Stems": relevance,
            "Items": str(part["item_id"].nunique()),
            "Distinct stems": str(part["stem"].nunique()),
            "Topics": str(part["topic"].nunique()),
        }
        for arm in _ARMS:
            row[f"Words, {arm}"] = number(means["n_words"].get(arm))
        for arm in ("negative", "positive"):
            row[f"Valence, {arm}"] = number(means["valence"].get(arm), 2)
        for comparison, covariate, label in matched:
            value = smd.get((source, relevance, comparison, covariate))
            row[f"SMD, {label}"] = number(value, 2)
        rows.append(row)
    return pd.DataFrame(rows)


def by_source(estimates: Estimates) -> pd.DataFrame:
    """Family means on the items of every source."""
    rows = []
    sources = sorted(estimates.rows.index.unique("source"), key=lambda s: (s != "all", s))
    for family in sorted(estimates.models["family"].unique()):
        for source in sources:
            base = estimates.get("elr", f"all {family}", source=source)
            if base is None:
                continue
            at = {"model": f"all {family}", "source": source}
            rows.append(
                {
                    "Family": family,
                    "Items from": source,
                    "ELR negative [%]": estimates.text("elr", polarity="negative", **at),
                    "ELR positive [%]": estimates.text("elr", polarity="positive", **at),
                    "ELR both [%]": estimates.text("elr", **at),
                    "Context use [%]": estimates.text("elr", relevance="relevant", **at),
                    "Items": _count(base, "n_items"),
                    "Samples": _count(base, "n_samples"),
                }
            )
    return pd.DataFrame(rows)


def build_tables(
    material: Mapping[str, pd.DataFrame | dict], roles: dict[str, str]
) -> dict[str, pd.DataFrame]:
    """Every table by name, as frames of strings.

    Parameters
    ----------
    material
        Of `sources.read_sources`: estimates, claims, people_report, thresholds, gold,
        item_tables, sentences, funnel, balance, specifications and records.
    roles
        Role of each prompt wrapper.
    """
    claims, records = material["claims"], material["records"]
    looked_up = Estimates(material["estimates"], claims["scorer"])
    return {
        "claims": by_claim.scorecard(claims),
        "leakage": leakage(looked_up),
        "guards": guards(looked_up, claims),
        "texts": texts(looked_up),
        "agreement": by_claim.agreement(claims),
        "labels": labels.labels_table(material["people_report"]),
        "thresholds": labels.thresholds_table(material["thresholds"]),
        "gold": labels.gold_table(material["gold"], claims["scorer"]),
        "scaling": by_claim.scaling(claims),
        "polarity": by_claim.polarity(claims),
        "polarity_by_model": by_claim.polarity_by_model(claims, looked_up.models),
        "mitigation": by_claim.mitigation(claims, roles),
        "multiverse": agreement_table(material["specifications"], claims),
        "calibration": calibration_table(records),
        "calibration_verdicts": verdict_table(records),
        "benchmark": benchmark(material["item_tables"], material["balance"]),
        "by_source": by_source(looked_up),
        "funnel": funnel_table(material["funnel"]),
        "webtext_items": sample_table(material["item_tables"], material["sentences"]),
    }


def captions(
    tables: dict[str, pd.DataFrame],
    scorer: str,
    organisms: Sequence[str],
    packages: Mapping[str, str],
) -> dict[str, str]:
    """What each table shows, what its n is, and whose results they are.

    Parameters
    ----------
    tables
        Of `build_tables`.
    scorer
        Name of the scorer that is shown.
    organisms
        Families trained by the workflow.
    packages
        Package that a family's quantised weights come in, by family.
    """
    n = len(tables["leakage"])
    models = f"{n} model" if n == 1 else f"{n} models"
    ci = "Intervals are 95 %, clustered by item."
    said = {
        "claims": "Verdicts on the four claims, by the thresholds that config/claims.yaml declares."
        " n stands with each piece of evidence.",
        "leakage": f"Leakage of {models} on irrelevant stems, no mitigation prompt,"
        f" sentiment by {scorer}. ELR: chance is 50; ECR and shift: none is 0; charged rate: raw"
        f" share of test continuations. {ci} n is the number of items; samples are test and"
        " control continuations.",
        "guards": f"Guards of {models}, no mitigation prompt. n is items; context use"
        f" rests on relevant stems, all else on irrelevant ones. {ci}",
        "texts": f"Test continuations of {models} on irrelevant stems, no mitigation"
        f" prompt. Relatedness is a cosine. n is items. {ci}",
        "agreement": f"Automatic sentiment by {scorer} against people's ratings, pooled and within"
        " each condition, beside people against each other. n is labelled continuations and their"
        f" items. {ci}",
        **labels.CAPTIONS,
        "scaling": "Leakage against log10 parameters: model-level tests (n is models), slopes for"
        " these checkpoints (n is items, and intervals are clustered by item), and reference tests"
        " that take sample pairs or items for replicates of a model.",
        "polarity": f"Negative minus positive ELR on the same items, mean over models. {ci}",
        "polarity_by_model": "Negative minus positive ELR on the same items, as the scorer sees it,"
        f" and as the log odds ratio of the two rates. n is items. {ci}",
        "mitigation": "Change of leakage under each prompt wrapper against none, mean over"
        " models. n is items. Intervals are simultaneous 95 %. Equivalence: p of two one-sided"
        " tests, for reference.",
        "multiverse": "Every claim under every combination of the declared choices: how many"
        " specifications, the primary one among them, give its verdict, or an effect of its sign."
        " Verdicts are those before guards. Specifications share their data; no test is made of"
        " them. Without labels claim 1 has none, and claim 3 is inconclusive in all.",
        "calibration": "The study's estimators (shipped) and what they replace (naive), on planted"
        " studies of known truth: share of 95 % intervals that hold it, share of true null"
        " hypotheses rejected at 5 %, share of false ones rejected, and the mean error in the"
        " scenario where it is larger. For claim 1 these are the planted correlation, and one below"
        " the declared threshold. Intervals are of the Monte Carlo error; n is repetitions.",
        "calibration_verdicts": "Verdicts on planted studies, in percent of the repetitions: where"
        " claims 2 to 4 are false (null: size and polarity do nothing, one of two prompts takes"
        " away as much as would mitigate), and where they are true (effect). The scorer's true"
        " agreement with people is .6 to .7 in both, with few labels.",
        "benchmark": "Items by source and kind of stem; SMD is the standardised mean difference"
        " of the arms. n is items.",
        "funnel": "From pages of web text to items: what came to each stage, and what was dropped"
        " there and why. Shares are of the stage before, or of the stage.",
        "webtext_items": "Twenty items from web text, drawn by the hash of their ids, for the"
        " reader's own eye: is the stem neutral, are the injections charged as they should be, and"
        " have the two nothing to do with each other?",
        "by_source": "Family means by source of the items, no mitigation prompt. n is the items"
        f" that every model of the family completes. {ci}",
    }
    note = f" {ORGANISMS}" if organisms else ""
    note += f" {QUANTISED.format(' and '.join(packages))}" if packages else ""
    # Of no model at all.
    planted = {"benchmark", "calibration", "calibration_verdicts", "funnel", "webtext_items"}
    planted |= {"gold", "labels"}
    return {name: text + ("" if name in planted else note) for name, text in said.items()}
