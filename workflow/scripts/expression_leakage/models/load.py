"""From a model's entry to the backend that it names."""

from expression_leakage.models.backend import Backend
from expression_leakage.models.entry import Entry


def load_backend(entry: Entry, threads: int = 1, spent: float = 0.0) -> Backend:
    """The backend that an entry names.

    Parameters
    ----------
    threads
        Of a model on this machine's CPU.
    spent
        What this entry's finished samples have cost so far, counted against an endpoint's budget.
    """
    if entry.backend == "endpoint":
        from expression_leakage.models.endpoint import EndpointModel

        return EndpointModel(entry, spent)
    import torch

    from expression_leakage.models.local import LocalModel

    torch.set_num_threads(threads)
    return LocalModel(entry)
