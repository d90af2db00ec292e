"""Loading and running a transformers model that reads texts (classifier or encoder)."""

from collections.abc import Iterator

from expression_leakage.errors import InputError
from expression_leakage.models.entry import Entry
from expression_leakage.scoring.text import CAP

_MAX_TOKENS = 256  # far above the few sentences that are scored


class PretrainedReader:
    """A tokenizer and a model, in 32-bit floats, on the GPU if there is one.

    Weights are read from safetensors only, and no code from the repository is run.

    Parameters
    ----------
    auto_class
        Name of the transformers class that loads the model, such as "AutoModel".
    name
        Hub name or local folder.
    revision
        Commit, tag or branch; give a commit for a result that can be repeated.
    batch_size
        Texts to a forward pass.
    optional
        Substring of the names of weights that the checkpoint may lack, because unused here.

    Attributes
    ----------
    revision : str or None
        The commit the revision resolved to; None for a local folder.

    Raises
    ------
    InputError
        The model cannot be loaded, or its checkpoint lacks weights (a plain language model
        loaded as a classifier gets a random head, and transformers only warns).
    """

    def __init__(
        self,
        auto_class: str,
        name: str,
        revision: str | None = None,
        batch_size: int = 32,
        optional: str | None = None,
    ):
        import torch
        import transformers

        from expression_leakage.models import hub

        entry = Entry(name, "scorer", 1, source=name, format="plain", revision=revision)
        self.revision = hub.resolved_revision(entry)
        safe = {"revision": self.revision, "trust_remote_code": False}
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(name, **safe)
            self.model, info = getattr(transformers, auto_class).from_pretrained(
                name, **safe, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        except hub.LOADING_ERRORS as error:
            raise hub.said(error, entry) from error
        missing = sorted(k for k in info["missing_keys"] if not (optional and optional in k))
        if missing:
            remedy = "use a checkpoint that was trained for this task"
            raise InputError(name, f"has no weights for {', '.join(missing)}", remedy)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device).eval()
        self.name, self.batch_size = name, batch_size

    def batches(self, texts: list[str]) -> Iterator[tuple[list[int], dict]]:
        """Positions and tensors of each batch, texts of like length together."""
        # RoBERTa's position table has two rows that no token uses, and its tokenizer no limit.
        limit = getattr(self.model.config, "max_position_embeddings", _MAX_TOKENS + 2) - 2
        limit = min(limit, self.tokenizer.model_max_length, _MAX_TOKENS)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = self.tokenizer(
                [texts[i][:CAP] for i in rows],
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            )
            yield rows, batch.to(self.device)
