"""A few items only, for a smoke run."""

import pandas as pd


def few(items: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    """The first items of each relevance, by their id, with all their conditions.

    An id is a hash: the choice has nothing to do with what an item says, and a larger limit keeps
    the items of a smaller one.

    Parameters
    ----------
    items
        An ITEMS frame.
    limit
        Items to keep of each relevance; None keeps all.
    """
    if limit is None:
        return items
    order = items.groupby("relevance")["item_id"].rank("dense")
    return items[order <= limit]
