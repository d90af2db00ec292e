"""Vectors of sentences, so that a stem and its injections can be kept unrelated.

The offline default is a table of static word vectors from a package's wheel: no hub, no network,
and the vector of a text depends on nothing but the text.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import distribution
from itertools import chain

import numpy as np
from scipy import sparse

from expression_leakage.errors import InputError
from expression_leakage.scoring.text import CAP

Embedding = Callable[[list[str]], np.ndarray]

# WordLlama's L2-supercat (MIT; github.com/dleemiller/WordLlama): the token table of a Llama 2
# tokenizer, reduced to 256 dimensions and trained so that the mean of a sentence's vectors
# stands for the sentence.
_WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
_TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"


@cache
def _static_model():
    """Token vectors (n_tokens, 256) and their tokenizer, read from the installed wheel.

    The package itself is not imported: it looks for its tokenizer in another folder, then
    downloads it, and it reconfigures logging.
    """
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    wheel = distribution("wordllama")
    vectors = load_file(wheel.locate_file(_WEIGHTS))["embedding.weight"].astype(np.float32)
    return vectors, Tokenizer.from_file(str(wheel.locate_file(_TOKENIZER)))


def token_ids(texts: Sequence[str]) -> list[list[int]]:
    """Token numbers of each text's first 2,000 characters; none for a text of white space."""
    _, tokenizer = _static_model()
    encoded = tokenizer.encode_batch_fast(
        [text.strip()[:CAP] for text in texts], add_special_tokens=False
    )
    return [e.ids for e in encoded]


def static_vectors(texts: Sequence[str]) -> np.ndarray:
    """Mean of the static vectors of a text's tokens, of length one.

    Parameters
    ----------
    texts
        m texts; each is read up to its first 2,000 characters.

    Returns
    -------
    ndarray of shape (m, 256), float32
        Each row depends on its own text alone, to the bit. A text of white space is a row of
        zeros.

    Examples
    --------
    >>> cat, kitten, tax = static_vectors(["a cat", "a kitten", "income tax"])
    >>> bool(cat @ kitten > cat @ tax)
    True
    """
    vectors, _ = _static_model()
    ids = token_ids(texts)
    ends = np.cumsum([0, *map(len, ids)])
    tokens = np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=ends[-1])
    # A sparse product adds a row's vectors one after another, whatever else is in the batch.
    ones = np.ones(len(tokens), dtype=np.float32)
    sums = sparse.csr_array((ones, tokens, ends), shape=(len(ids), len(vectors))) @ vectors
    length = np.sqrt((sums.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)


def embedding(spec: Mapping) -> Embedding:
    """The embedding that a configuration names.

    Parameters
    ----------
    spec
        ``{"kind": "static"}``, or ``{"kind": "encoder", "source": …, "revision": …}`` for a
        transformers encoder by its hub name or local folder; see `scoring.relatedness.Encoder`.

    Raises
    ------
    InputError
        The kind is unknown, or the encoder cannot be loaded.
    """
    if spec["kind"] == "static":
        return static_vectors
    if spec["kind"] != "encoder":
        raise InputError("embedding", f"no kind {spec['kind']!r}", "use static or encoder")
    from expression_leakage.scoring.relatedness import Encoder

    encoder = Encoder(spec["source"], spec.get("revision"))
    return lambda texts: encoder(list(texts)).astype(np.float32)
