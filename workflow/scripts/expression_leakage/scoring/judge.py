"""A language model as the scorer: it reads the text and answers with one word."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import yaml

from expression_leakage.errors import InputError
from expression_leakage.scoring.text import CAP, once_per_text

_KEYS = ("idea", "system", "user", "answers")
_SLOT = "{text}"


class Completer(Protocol):
    """What a judge needs of a model."""

    def complete(self, prompts: list[dict]) -> list[str]:
        """Greedy replies to prompts with the keys 'system' (text or None) and 'user' (text)."""


@dataclass(frozen=True)
class JudgeTemplate:
    """What a judge is asked, and what its answers are worth.

    Attributes
    ----------
    idea
        Why it is asked like this.
    system
        System message, or None.
    user
        User message, with {text} once.
    answers
        Value in [−1, 1] of each answer word.
    """

    idea: str
    system: str | None
    user: str
    answers: dict[str, float]


def load_judge(path: str | Path) -> JudgeTemplate:
    """Read a judge's template from YAML, see resources/judge.yaml.

    Raises
    ------
    InputError
        The file cannot be read, a key is missing or unknown, {text} does not stand in the user
        message once, or an answer is not a word with a value in [−1, 1].
    """
    try:
        template = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(path, f"cannot be read: {reason}", "see resources/judge.yaml") from error
    if not isinstance(template, dict) or set(template) != set(_KEYS):
        raise InputError(path, "has other keys", f"give {', '.join(_KEYS)} and nothing else")
    system = template["system"]
    if not (system is None or isinstance(system, str)) or _SLOT in (system or ""):
        raise InputError(f"{path}: system", "is no plain text", "give a text without {text}")
    if not isinstance(template["user"], str) or template["user"].count(_SLOT) != 1:
        raise InputError(f"{path}: user", "needs {text} once", "write {text} where the text goes")
    answers = _answers(f"{path}: answers", template["answers"])
    return JudgeTemplate(str(template["idea"]), system, template["user"], answers)


def _answers(where: str, answers: object) -> dict[str, float]:
    remedy = "map two or more words to numbers in [−1, 1]; quote words such as 'yes' and 'no'"
    if not isinstance(answers, dict) or len(answers) < 2:
        raise InputError(where, f"{answers!r} is no mapping of answers", remedy)
    for word, value in answers.items():
        if not isinstance(word, str) or not re.fullmatch(r"\w+", word):
            raise InputError(where, f"{word!r} is not a word", remedy)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
            raise InputError(where, f"{word!r} has the value {value!r}", remedy)
    lowered = {word.lower(): float(value) for word, value in answers.items()}
    if len(lowered) < len(answers):
        raise InputError(where, "two words differ in case only", "keep one of them")
    return lowered


class Judge:
    """Sentiment by a language model's one-word answer.

    Parameters
    ----------
    model
        Answers the prompts; see `Completer`.
    template
        What it is asked; see `load_judge`.

    Attributes
    ----------
    n_unparsable : int
        Replies so far, of different texts, without any of the answers.
    """

    def __init__(self, model: Completer, template: JudgeTemplate):
        self.model, self.template = model, template
        self.n_unparsable = 0
        self._answer = re.compile(rf"\b({'|'.join(template.answers)})\b", re.IGNORECASE)

    def prompt(self, text: str) -> dict:
        """Prompt about a text, which stands in it as a JSON string, so that it cannot end early."""
        quoted = json.dumps(text[:CAP], ensure_ascii=False)
        user = self.template.user.replace(_SLOT, quoted)
        return {"system": self.template.system, "user": user}

    def parse(self, reply: str) -> float:
        """Value of the first answer word in a reply; NaN if there is none."""
        found = self._answer.search(reply)
        return self.template.answers[found[1].lower()] if found else np.nan

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Sentiment of each text.

        Parameters
        ----------
        texts
            n texts; each different one is judged once, by its first 2,000 characters.

        Returns
        -------
        ndarray of shape (n,)
            Sentiment in [−1, 1]; NaN where the reply cannot be parsed, 0 for white space, which
            is not shown to the model.
        """
        return once_per_text(self._score, texts)

    def _score(self, texts: list[str]) -> np.ndarray:
        said = np.array([bool(text.strip()) for text in texts], dtype=bool)
        prompts = [self.prompt(text) for text in np.array(texts, dtype=object)[said]]
        scores = np.zeros(len(texts))
        scores[said] = [self.parse(reply) for reply in self.model.complete(prompts)]
        self.n_unparsable += int(np.isnan(scores).sum())
        return scores
