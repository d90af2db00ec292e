"""The tables of the claims: verdicts, and the evidence behind each, as frames of text."""

from collections.abc import Iterable

import pandas as pd

from expression_leakage.render.contrasts import prompt_changes
from expression_leakage.render.formats import interval

_PLACES = {"pooled": "Pooled"} | {c: f"Within {c}" for c in ("control", "negative", "positive")}
_DIGITS = {"p": 3, "correlation": 2, "share": 2, "agreement": 2, "logits": 2}


def scorecard(claims: dict) -> pd.DataFrame:
    """The four claims with their verdicts, each with the reason that holds its key numbers."""
    rows = [
        (str(c["number"]), c["title"], c["wording"], c["verdict"], c["reason"])
        for c in sorted(claims["claims"].values(), key=lambda c: c["number"])
    ]
    columns = ["Claim", "Title", "In this study's words", "Verdict", "Key evidence"]
    return pd.DataFrame(rows, columns=columns)


def agreement(claims: dict) -> pd.DataFrame:
    """Agreement of scorer and people, a row a statistic, a column a condition."""
    rows: dict[str, dict] = {}
    for entry in claims["claims"]["agreement"]["evidence"]:
        place = entry["name"].rsplit("_", 1)[1]
        statistic = entry["label"].rsplit(", ", 1)[0]
        row = rows.setdefault(statistic, {"Statistic": statistic})
        row[_PLACES[place]] = evidence_text(entry)
        row[f"n, {place}"] = str(entry["n"])
        if place == "pooled":
            row["Note, pooled"] = entry["note"]
    if not rows:
        rows["none"] = {
            "Statistic": "none yet: there are no ratings by people",
            "n, pooled": "0",
        }
    counts = [f"n, {place}" for place in _PLACES]
    columns = ["Statistic", *_PLACES.values(), *counts, "Note, pooled"]
    frame = pd.DataFrame(list(rows.values()), columns=columns, dtype="str")
    return frame.fillna(interval(None, None, None))


def scaling(claims: dict) -> pd.DataFrame:
    """Slopes and tests of leakage against parameters."""
    evidence = claims["claims"]["scaling"]["evidence"]
    return _evidence_frame([e for e in evidence if not e["name"].startswith("elr_")])


def polarity(claims: dict) -> pd.DataFrame:
    """Negative minus positive leakage over all models: rectified by people, automatic, checks."""
    evidence = claims["claims"]["polarity"]["evidence"]
    by_model = ("automatic_", "log_odds_")
    return _evidence_frame([e for e in evidence if not e["name"].startswith(by_model)])


def polarity_by_model(claims: dict, models: pd.DataFrame) -> pd.DataFrame:
    """Negative minus positive leakage of every model, as the scorer sees it.

    Parameters
    ----------
    models
        Column model, in the order of the rows.
    """
    found = {e["name"]: e for e in claims["claims"]["polarity"]["evidence"]}
    rows = []
    for model in models["model"]:
        points, odds = found[f"automatic_{model}"], found.get(f"log_odds_{model}")
        rows.append(
            {
                "Model": model,
                "Difference [points]": evidence_text(points),
                "Log odds ratio": evidence_text(odds) if odds else interval(None, None, None),
                "Items": str(points["n"]),
                "Note": points["note"],
            }
        )
    return pd.DataFrame(rows)


def mitigation(claims: dict, roles: dict[str, str]) -> pd.DataFrame:
    """Change of leakage under each prompt wrapper against none, and the test of all together."""
    claim = claims["claims"]["mitigation"]
    found = {e["name"]: e for e in claim["evidence"]}
    rows = [
        (r.mitigation, r.role, interval(r.estimate, r.low, r.high),
         evidence_text(found[f"tost_{r.mitigation}"]), str(r.n_items), r.note)
        for r in prompt_changes(claim, roles).itertuples()
    ]  # fmt: skip
    if omnibus := found.get("cochran_q"):
        note = f"{omnibus['label']} = {evidence_text(omnibus)}; {omnibus['note']}"
        dash = interval(None, None, None)
        rows.append(("all together", "omnibus", dash, dash, str(omnibus["n"]), note))
    columns = ["Prompt", "Role", "Change of leakage [points]", "Equivalence", "Items", "Note"]
    return pd.DataFrame(rows, columns=columns)


def evidence_text(entry: dict) -> str:
    """The number of one piece of evidence, with digits by its unit."""
    if entry["unit"] == "p" and entry["value"] is not None and entry["value"] < 0.001:
        return "< 0.001"
    digits = _DIGITS.get(entry["unit"].split()[0], 1)
    return interval(entry["value"], entry["low"], entry["high"], digits)


def _evidence_frame(evidence: Iterable[dict]) -> pd.DataFrame:
    rows = [
        (e["label"], evidence_text(e), e["unit"], f"{e['n']} {e['n_of']}", e["note"])
        for e in evidence
    ]
    return pd.DataFrame(rows, columns=["Estimate of", "Value", "Unit", "n", "Note"])
