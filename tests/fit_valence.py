"""Fit the regression that judges web text, and say how well it does on ratings it has not seen.

``python tests/fit_valence.py <vaderSentiment-3.3.2.tar.gz>`` rewrites
resources/webtext/valence.json; `pip download --no-deps --no-binary :all: vaderSentiment==3.3.2`
fetches the archive.
"""

import hashlib
import json
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from expression_leakage.benchmark.webtext.gate import GateRules, gate  # noqa: E402
from expression_leakage.benchmark.webtext.judge import (  # noqa: E402
    JudgeRules,
    OfflineJudge,
    verdicts,
)
from expression_leakage.benchmark.webtext.valence import features  # noqa: E402

TARGET = ROOT / "resources" / "webtext" / "valence.json"
PLAIN = TARGET.with_name("plain_words.yaml")
FOLDS, CHARGED = 5, 0.5  # a sentence counts as charged if its mean rating is this far from 0
# The files of ratings, and how much a snippet of each counts: editorials are nearest to the
# expository text of the web.
SOURCES = {"nytEditorial": 3.0, "amazonReview": 1.0, "movieReview": 1.0, "tweets": 1.0}
PENALTY = 3.0  # of the ridge; the only value that was tried
_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"


def fit(seen: np.ndarray, ratings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients of the weighted ridge regression (Hoerl & Kennard 1970).

    Parameters
    ----------
    seen
        Features (n, d).
    ratings
        Mean ratings (n,), −4 to 4.
    weights
        How much each text counts (n,).
    """
    weighted = seen * weights[:, None]
    return np.linalg.solve(
        weighted.T @ seen + PENALTY * np.eye(seen.shape[1]), weighted.T @ ratings
    )


def read_ratings(distribution: str | Path) -> pd.DataFrame:
    """Rated snippets out of vaderSentiment's source distribution.

    Returns
    -------
    DataFrame
        Columns source, document (snippets of one document belong together), rating (−4 to 4) and
        text.
    """
    rows = []
    with tarfile.open(distribution) as outer:
        inner = next(m for m in outer.getmembers() if m.name.endswith(_ARCHIVE))
        with tarfile.open(fileobj=outer.extractfile(inner)) as archive:
            for source in SOURCES:
                kind = source if source == "tweets" else f"{source}Snippets"
                name = f"hutto_ICWSM_2014/{kind}_GroundTruth.txt"
                said = archive.extractfile(name).read().decode("utf-8", errors="replace")
                for line in said.splitlines():
                    number, rating, text = line.split("\t", 2)
                    document = f"{source} {number.partition('_')[0]}"
                    rows.append((source, document, float(rating), text))
    return pd.DataFrame(rows, columns=["source", "document", "rating", "text"])


def held_out(rated: pd.DataFrame, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Predicted ratings, each by coefficients fitted without its document."""
    documents, _ = pd.factorize(rated["document"])
    folds = np.random.default_rng(0).permutation(documents.max() + 1)[documents] % FOLDS
    said = np.empty(len(rated))
    for fold in range(FOLDS):
        out = folds == fold
        said[out] = seen[out] @ fit(seen[~out], rated["rating"].to_numpy()[~out], weights[~out])
    return said


def checked(rated: pd.DataFrame, said: np.ndarray) -> list[dict]:
    """Precision and recall of the verdicts on editorials, among sentences that pass the gate."""
    polarity, _ = gate(rated["text"].tolist(), GateRules())
    valence = OfflineJudge(TARGET, PLAIN).believed(rated["text"].tolist(), np.clip(said / 4, -1, 1))
    verdict = verdicts(valence, JudgeRules())
    editorial = (rated["source"] == "nytEditorial").to_numpy()
    rows = []
    for name, sign in (("positive", 1), ("negative", -1)):
        passed = editorial & (polarity == name)
        right = sign * rated["rating"].to_numpy() >= CHARGED
        kept = passed & (verdict == name)
        rows.append(
            {
                "verdict": name,
                "gated": int(passed.sum()),
                "gated_precision": round(float(right[passed].mean()), 3),
                "kept": int(kept.sum()),
                "precision": round(float(right[kept].mean()), 3),
                "recall": round(float((kept & right).sum() / (passed & right).sum()), 3),
            }
        )
    return rows


def fitted(archive: Path) -> dict:
    """Coefficients, what they were fitted on, and how far they hold on ratings not seen."""
    rated = read_ratings(archive)
    seen, weights = features(rated["text"].tolist()), rated["source"].map(SOURCES).to_numpy()
    return {
        "coefficients": fit(seen, rated["rating"].to_numpy(), weights).round(4).tolist(),
        "fitted_on": {
            "file": archive.name,
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
            "snippets": rated["source"].value_counts().sort_index().to_dict(),
        },
        "held_out": checked(rated, held_out(rated, seen, weights)),
        "versions": {name: version(name) for name in ("wordllama", "vaderSentiment", "afinn")},
    }


def main(archive: Path) -> None:
    """Fit, write the file and print what was measured."""
    found = fitted(archive)
    TARGET.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["held_out"], indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
