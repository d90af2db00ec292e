"""What a model must do, wherever it runs: prompts in, continuations out. No torch here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from expression_leakage.models.entry import Entry
from expression_leakage.sampling import SamplingLaw
from expression_leakage.tables import content_hash


@dataclass(frozen=True)
class Rendered:
    """A prompt as its model gets it.

    Parameters
    ----------
    text
        What the model reads, special tokens spelled out; messages as JSON for a chat endpoint.
    ids
        Token ids; None where the tokenizer is out of reach, behind an endpoint.
    """

    text: str
    ids: list[int] | None

    def hash(self) -> str:
        """Hash of what the model reads; a sample is no sample of another prompt."""
        return content_hash(self.text if self.ids is None else list(self.ids), length=16)


@dataclass(frozen=True)
class Continuation:
    """One drawn continuation, or the reason why there is none.

    Parameters
    ----------
    text
        The continuation, prompt stripped; None if it failed.
    token_ids
        Its tokens, without the one that ended it; None if it failed or an endpoint hides them.
    n_tokens
        Its length [tokens].
    finish_reason
        stop: the model ended it; sentence: the law's stop rule; length: its limit; error.
    mean_logprob
        Mean log-probability of its tokens under the model at temperature 1, the token that ended
        it included [nat]; None if unknown.
    error
        Why it failed; None if it did not.
    """

    text: str | None
    token_ids: list[int] | None
    n_tokens: int
    finish_reason: str
    mean_logprob: float | None = None
    error: str | None = None


class Backend(Protocol):
    """A model behind the one interface that generation and judges use."""

    entry: Entry
    n_parameters: int

    def facts(self) -> dict:
        """What determines its samples: source, revision, dtype, form of prompts, versions."""

    def render(self, system: str | None, user: str) -> Rendered:
        """A prompt as the model gets it; raises InputError where it cannot be given as meant."""

    def draw(
        self, prompts: Sequence[Rendered], draws: Sequence[tuple[int, int]], law: SamplingLaw
    ) -> Iterator[tuple[int, Continuation]]:
        """Draw continuations.

        Parameters
        ----------
        draws
            Pairs of the index of a prompt and the key of the sample; see `sampling.sample_key`.

        Yields
        ------
        index of the draw, Continuation
            In any order, each as soon as it is done.
        """

    def complete(self, prompts: Sequence[dict], max_new_tokens: int = 16) -> list[str]:
        """Greedy replies to {system, user} prompts: the interface a judge is asked through."""

    def used(self) -> dict:
        """What was used since the last call: device and rows, or tokens and their cost."""
