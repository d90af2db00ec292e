"""How alike stems and injections are: cosines that come out the same on every machine."""

import numpy as np

# Multiples of 2⁻¹¹: products are multiples of 2⁻²², no partial sum reaches 4 (Cauchy and Schwarz),
# so 24 bits hold each one and single precision adds without rounding, in whatever order.
_GRID = np.float32(2**11)


class Similarity:
    """Cosines of stems with injections, and which injections an item may have by them.

    Components are rounded to multiples of 2⁻¹¹, which makes the cosine exact in single precision:
    neither the order of the rows nor the machine's linear algebra can move it over a bound. It
    differs from that of the vectors given by about 0.0002.

    Parameters
    ----------
    stem_vectors, injection_vectors
        Rows of length one, shapes (stems, d) and (injections, d), float32. Rounded in place: with
        60,000 injections a copy would take as much memory as all else.
    max_cosine
        A stem and an injection of its item must be less alike than this; None for no bound.
    spread
        Largest minus smallest cosine of an item's injections with its stem; None for no bound.
    """

    def __init__(
        self,
        stem_vectors: np.ndarray,
        injection_vectors: np.ndarray,
        max_cosine: float | None = None,
        spread: float | None = None,
    ):
        for vectors in (stem_vectors, injection_vectors):
            vectors *= _GRID
            np.rint(vectors, out=vectors)
            vectors /= _GRID
        self._stems, self._injections = stem_vectors, injection_vectors
        self.max_cosine, self.spread = max_cosine, spread

    def of_stems(self, stems: np.ndarray) -> np.ndarray:
        """Cosines of some stems (rows) with all injections, shape (len(stems), injections)."""
        return self._stems[stems] @ self._injections.T

    def of_pairs(self, stems: np.ndarray, injections: np.ndarray) -> np.ndarray:
        """Cosine of each stem (row) with the injection beside it, shape (pairs,)."""
        return np.einsum("ij,ij->i", self._stems[stems], self._injections[injections])

    def admits(self, cosines: np.ndarray) -> np.ndarray:
        """Which quads a stem may have, by its cosines with their arms, shape (arms, quads)."""
        admitted = np.ones(cosines.shape[1], dtype=bool)
        if self.max_cosine is not None:
            admitted &= (cosines < self.max_cosine).all(axis=0)
        if self.spread is not None:
            admitted &= np.ptp(cosines, axis=0) <= self.spread
        return admitted
