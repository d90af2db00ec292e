"""The reduce of the scheme: candidates of all shards → the stems and injections that stay."""

from collections import Counter

import numpy as np
import pandas as pd

from expression_leakage.benchmark.webtext.judge import Judge, JudgeRules, verdicts
from expression_leakage.benchmark.webtext.sample import near_duplicates


def select(
    found: pd.DataFrame,
    near_duplicate: float,
    judge: Judge,
    judge_rules: JudgeRules,
    funnel: Counter,
) -> pd.DataFrame:
    """Stems and injections among the candidates of all shards.

    Equal and nearly equal sentences count once. A sentence stays if the second judge gives it the
    polarity that the gate did; of a stem, the beginning, the rest and the whole must be neutral.

    Parameters
    ----------
    found
        SENTENCES rows: the bottom k of all shards, see `sample.BottomK`.
    near_duplicate
        Jaccard similarity of their sets of words from which two sentences count as one.
    judge, judge_rules
        The second judge and its bounds.
    funnel
        Counted up in place: unique_<class>, near_duplicates, judged_<class>_kept and _other.

    Returns
    -------
    DataFrame
        SENTENCES rows, with the judge's valence of each natural continuation.
    """
    funnel.update("unique_" + found["kind"] + "_" + found["polarity"])
    fresh = near_duplicates(found, near_duplicate)
    funnel["near_duplicates"] += int((~fresh).sum())
    unique = found[fresh].reset_index(drop=True)
    agreed = verdicts(judge(unique["text"].tolist()), judge_rules) == unique["polarity"].to_numpy()
    stems = np.flatnonzero(unique["kind"] == "stem")
    rest = np.zeros(len(unique))
    rest[stems] = judge(unique["rest"].iloc[stems].tolist())
    agreed &= verdicts(rest, judge_rules) == "neutral"
    whole = (unique["text"] + " " + unique["rest"]).iloc[stems].tolist()
    agreed[stems] &= verdicts(judge(whole), judge_rules) == "neutral"
    outcome = np.where(agreed, "_kept", "_other")
    funnel.update("judged_" + unique["kind"] + "_" + unique["polarity"] + outcome)
    return unique.assign(rest_valence=rest)[agreed].reset_index(drop=True)
