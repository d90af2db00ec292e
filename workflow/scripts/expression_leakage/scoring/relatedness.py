"""How much two texts have to do with each other: the cosine of their vectors.

An embedding maps a list of m different texts to an (m, d) matrix, sparse or dense, whose rows
have length one, or zero where a text has nothing to say.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from expression_leakage.scoring.pretrained import PretrainedReader
from expression_leakage.scoring.text import content_words

Embedding = Callable[[list[str]], "np.ndarray | sparse.csr_array"]


def lexical(texts: list[str]) -> sparse.csr_array:
    """TF-IDF vectors of content words, of length one.

    The weight of a word is its count × (1 + ln((1 + m) / (1 + m_word))), with m texts, m_word of
    them with the word: the smoothed form of scikit-learn's TfidfTransformer. The weights come
    from the texts at hand, so a cosine is comparable within a table and roughly between tables.

    Parameters
    ----------
    texts
        m different texts.

    Returns
    -------
    csr_array of shape (m, n_words)
        A text without content words is a row of zeros.
    """
    counts = [Counter(content_words(text)) for text in texts]
    columns = {word: j for j, word in enumerate(dict.fromkeys(w for c in counts for w in c))}
    indptr = np.cumsum([0, *(len(c) for c in counts)])
    indices = np.array([columns[w] for c in counts for w in c], dtype=np.int64)
    tf = np.array([n for c in counts for n in c.values()], dtype=float)
    idf = 1 + np.log((1 + len(texts)) / (1 + np.bincount(indices, minlength=len(columns))))
    matrix = sparse.csr_array((tf * idf[indices], indices, indptr), (len(texts), len(columns)))
    norm = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return matrix.multiply(1 / np.where(norm > 0, norm, 1)[:, None]).tocsr()


class Encoder:
    """Text vectors by any transformers encoder: its last layer, mean over tokens, of length one.

    Parameters
    ----------
    name
        Hub name or local folder.
    revision
        Commit, tag or branch.
    batch_size
        Texts to a forward pass.

    Attributes
    ----------
    revision : str or None
        The commit the revision resolved to; None for a local folder.

    Raises
    ------
    InputError
        The model cannot be loaded, or its checkpoint lacks weights.
    """

    def __init__(self, name: str, revision: str | None = None, batch_size: int = 32):
        self._reader = PretrainedReader(
            "AutoModel", name, revision, batch_size, optional="pooler."
        )  # fmt: skip
        self.revision = self._reader.revision

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Vectors of m texts, shape (m, hidden size); a text of white space is a row of zeros."""
        import torch

        vectors = np.zeros((len(texts), self._reader.model.config.hidden_size))
        for rows, batch in self._reader.batches(texts):
            with torch.inference_mode():
                hidden = self._reader.model(**batch).last_hidden_state.double()
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        vectors[[not text.strip() for text in texts]] = 0
        return vectors


def relatedness(a: Sequence[str], b: Sequence[str], method: Embedding = lexical) -> np.ndarray:
    """Cosine of the texts of two equally long sequences, pair by pair.

    Parameters
    ----------
    a, b
        n texts each; each different text is embedded once.
    method
        The embedding: `lexical`, or an `Encoder`.

    Returns
    -------
    ndarray of shape (n,)
        Cosines in [−1, 1], rounded to six decimals; 0 where a text has nothing to say.

    Examples
    --------
    >>> relatedness(["counting teardrops", "the"], ["teardrops", "the"]).round(2).tolist()
    [0.61, 0.0]
    """
    both = np.concatenate([np.asarray(a, dtype=object), np.asarray(b, dtype=object)])
    codes, unique = pd.factorize(both)
    vectors = method(list(unique))
    left, right = vectors[codes[: len(a)]], vectors[codes[len(a) :]]
    product = left.multiply(right) if sparse.issparse(vectors) else left * right
    return product.sum(axis=1).clip(-1, 1).round(6)
