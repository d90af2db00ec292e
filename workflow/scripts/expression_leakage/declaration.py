"""Were the claims declared before the samples were drawn? Every shard notes the file of its day."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, as a hex digest."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def deviation(sha256: str, noted: Mapping[str, Sequence[str]]) -> str | None:
    """What to tell a reader if the claims were not declared as they are when samples were drawn.

    Parameters
    ----------
    sha256
        Of the claims that verdicts are computed from.
    noted
        Of the claims that stood when a model's samples were drawn, by model; '' where that was
        not noted.

    Returns
    -------
    str or None
        A sentence; None where all samples were drawn under these very claims.

    Examples
    --------
    >>> deviation("ab", {"small": ["ab"], "large": ["cd", "ab"]})
    'The claims were changed after samples of 1 of 2 models had been drawn: large.'
    """
    changed = [m for m, found in noted.items() if set(found) - {sha256, ""}]
    unknown = [m for m, found in noted.items() if "" in found or not found]
    said = []
    if changed:
        count = f"{len(changed)} of {len(noted)} models"
        after = f"The claims were changed after samples of {count} had been drawn"
        said.append(f"{after}: {', '.join(changed)}.")
    if unknown:
        said.append(
            "Which claims stood when these models' samples were drawn is not known:"
            f" {', '.join(unknown)}."
        )
    return " ".join(said) or None
