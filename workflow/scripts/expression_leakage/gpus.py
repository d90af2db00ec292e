"""GPUs are given out, not fought over: each job on a machine gets cards of its own."""

import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from expression_leakage.errors import InputError

log = logging.getLogger(__name__)
POLL = 5.0  # between looks for a free card [s]


def visible_cards() -> list[str]:
    """UUIDs of the NVIDIA cards that this process may use.

    A scheduler's or a user's ``CUDA_VISIBLE_DEVICES`` is obeyed; its numbers are nvidia-smi's.
    """
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    cards = said.split()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return cards
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    numbered = [cards[int(n)] for n in names if n.isdigit() and int(n) < len(cards)]
    return numbered + [card for card in cards if any(n != "" and card.startswith(n) for n in names)]


@contextmanager
def given_gpus(count: int, where: str) -> Iterator[list[str]]:
    """Hold `count` cards for this process alone, and show it no others.

    Call it before anything asks CUDA for its devices. A card is held by a lock on a file, which
    the system releases however the process ends. With 0 the process sees no card.

    Parameters
    ----------
    where
        What an error is to name.

    Raises
    ------
    InputError
        The machine has fewer cards than that.
    """
    with ExitStack() as held:
        cards = visible_cards()
        if count and not cards and not _other_accelerator():
            remedy = "set gpus: 0 to run it on the CPU, or correct the driver or torch's build"
            raise InputError(where, f"asks for {count} GPUs, and there is none", remedy)
        if cards and count > len(cards):
            remedy = "lower `gpus`, or use a larger machine"
            raise InputError(where, f"asks for {count} GPUs, and there are {len(cards)}", remedy)
        mine = _wait_for(count, cards, held) if cards and count else []
        if cards:
            before = os.environ.get("CUDA_VISIBLE_DEVICES")
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
            held.callback(_restore, before)
        yield mine


def _wait_for(count: int, cards: list[str], held: ExitStack) -> list[str]:
    folder = Path(tempfile.gettempdir()) / f"expression-leakage-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    told = False
    while True:
        with ExitStack() as tried:  # lets go of all where there are too few: no deadlock
            mine = []
            for card in cards:
                try:
                    tried.enter_context(FileLock(folder / f"{card}.lock", timeout=0))
                except Timeout:
                    continue
                mine.append(card)
                if len(mine) == count:
                    held.push(tried.pop_all())
                    return mine
        if not told:
            log.info("waiting for %d of %d GPUs", count, len(cards))
            told = True
        time.sleep(POLL)


def _restore(before: str | None) -> None:
    if before is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = before


def _other_accelerator() -> bool:
    """Whether torch has a device that nvidia-smi does not know: AMD's or Apple's."""
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()
