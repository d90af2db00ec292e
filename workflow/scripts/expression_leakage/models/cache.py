"""The memory of prompts that were read once, handed to every row that continues them."""

from collections.abc import Sequence

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

# Layers whose whole memory is keys and values; hybrid models have others beside them.
_PLAIN = {DynamicLayer, DynamicSlidingWindowLayer}


class RoomyLayer(DynamicLayer):
    """A layer of a cache with room for the tokens to come, which are written in place.

    DynamicLayer copies all that it holds for each new token.

    Parameters
    ----------
    keys, values
        Shape (rows, heads, length, size).
    room
        Tokens to come.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, room: int):
        super().__init__()
        self.lazy_initialization(keys, values)
        self._length = keys.shape[-2]
        self._stores = [_with_room(keys, room), _with_room(values, room)]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (store[:, :, : self._length] for store in self._stores)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values behind the old; return all. Beyond its room, torch raises."""
        start, self._length = self._length, self._length + key_states.shape[-2]
        for store, new in zip(self._stores, (key_states, value_states), strict=True):
            store[:, :, start : self._length] = new
        self._show()
        return self.keys, self.values


def _with_room(filled: torch.Tensor, room: int) -> torch.Tensor:
    rows, heads, length, size = filled.shape
    store = filled.new_empty(rows, heads, length + room, size)
    store[:, :, :length] = filled
    return store


def spread(caches: Sequence[object], rows: torch.Tensor, room: int) -> DynamicCache | None:
    """One cache with a row for each continuation, from caches that hold each prompt once.

    Parameters
    ----------
    caches
        What a model returned for one chunk of the prompts each.
    rows
        Index of the prompt of each row, shape (rows,).
    room
        Tokens that are to follow.

    Returns
    -------
    DynamicCache or None
        None where a model remembers by other means than keys and values.
    """
    first = caches[0]
    if not isinstance(first, DynamicCache) or {type(layer) for layer in first.layers} - _PLAIN:
        return None
    for place, layers in enumerate(zip(*(cache.layers for cache in caches), strict=True)):
        layer = layers[0]
        here = rows.to(layer.keys.device)  # layers may lie on several GPUs
        keys = torch.cat([layer.keys for layer in layers])[here]
        values = torch.cat([layer.values for layer in layers])[here]
        if type(layer) is DynamicLayer:
            first.layers[place] = RoomyLayer(keys, values, room)
        else:  # a window forgets by itself
            layer.keys, layer.values = keys, values
    return first
