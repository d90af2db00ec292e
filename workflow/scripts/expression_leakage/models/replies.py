"""What an OpenAI-compatible server answered: a sample, a failed sample, or the end of the job."""

from collections.abc import Mapping

import openai

from expression_leakage.errors import InputError
from expression_leakage.models.backend import Continuation
from expression_leakage.models.entry import Entry
from expression_leakage.sampling import SamplingLaw, first_complete_sentences

PASSING = {408, 409, 429}  # and 5xx: what the client has tried again
LASTING = {401, 402, 404}  # token, credit, address: the next request would fail as well
OF_THE_PROMPT = {"content_filter", "content_policy_violation", "context_length_exceeded"}
NO_CREDIT = "insufficient_quota"  # a 429 that waiting does not cure
FAILURES_IN_A_ROW = 8  # or as many as are under way at a time, if that is more

# How an error begins that is a model's own silence, and no failure of its server.
SILENT = ("refusal", "finish_reason", "no text")


class Replies:
    """Reads a server's answers, and knows from those before when to ask no more.

    A failure of a passing kind, or of one prompt, is a failed sample. To ask on is no use, and an
    InputError says why, where the token, the model or the address is wrong; credit is spent; the
    server was never there; it refuses a request (4xx) before it has completed any; or eight
    requests in a row (or `concurrency`, if more) failed for passing reasons.

    Parameters
    ----------
    token
        Kept out of all that is said.

    Attributes
    ----------
    any
        Whether there was an answer that others may follow, be it a failure.
    """

    def __init__(self, entry: Entry, token: str | None):
        self.entry, self.server = entry, entry.endpoint
        self.any = False
        self._where = f"model {entry.name!r}"
        self._token = token
        self._samples = False  # whether the server has completed anything yet
        self._failures = 0  # in a row

    def read(self, answer: object, law: SamplingLaw) -> Continuation:
        """The sample that an answer of the client, or its error, comes to.

        Raises
        ------
        InputError
            No further request can do better.
        """
        drawn = self._failed(answer) if isinstance(answer, Exception) else self._sample(answer, law)
        self.any = True
        return drawn

    def _sample(self, reply: object, law: SamplingLaw) -> Continuation:
        """A reply's text, and nothing in its place that is no continuation."""
        try:
            choice, n_tokens = reply.choices[0], int(reply.usage.completion_tokens)
            message = choice.message if self.entry.format == "chat" else None
            text = choice.text if message is None else message.content
            reason = choice.finish_reason
        except (AttributeError, IndexError, TypeError, ValueError):
            return self._passing("unreadable reply")
        self._samples, self._failures = True, 0
        if getattr(message, "refusal", None):
            return _failure("refusal")
        if reason not in ("stop", "length"):
            return _failure(self._line(f"finish_reason {reason}"))
        if not isinstance(text, str) or (reason == "length" and not text):
            return _failure(f"no text, finish_reason {reason}")  # as when all of it was reasoning
        cut = first_complete_sentences(text, law.stop_sentences) if law.stop_sentences else None
        if cut is not None:
            return Continuation(cut, None, n_tokens, "sentence")
        return Continuation(text, None, n_tokens, reason, _mean_logprob(choice))

    def _failed(self, error: Exception) -> Continuation:
        """The failed sample, unless others would fail in the same way."""
        status, code = getattr(error, "status_code", None), getattr(error, "code", None)
        if isinstance(error, openai.APITimeoutError):
            return self._passing("timeout")
        if isinstance(error, openai.APIConnectionError):
            if not self.any:
                raise self.hopeless(error)
            return self._passing("no connection")
        if status is None:
            if isinstance(error, (openai.OpenAIError, ValueError)):  # JSON that is none
                return self._passing("unreadable reply")
            raise error
        said = self._line(f"HTTP {status} {code or ''}")
        if status >= 500 or (status in PASSING and code != NO_CREDIT):
            return self._passing(said)
        blameless = self._samples or code in OF_THE_PROMPT  # then the prompt alone was refused
        if status in LASTING or code == NO_CREDIT or not blameless:
            raise self.hopeless(error)
        return _failure(said)

    def _passing(self, reason: str) -> Continuation:
        self._failures += 1
        if self._failures >= max(FAILURES_IN_A_ROW, self.server.concurrency):
            what = f"{self._failures} requests in a row failed, the last one: {reason}"
            remedy = "run again when its server answers; finished samples are kept"
            raise InputError(self._where, what, remedy)
        return _failure(reason)

    def hopeless(self, error: openai.APIError) -> InputError:
        """The one line that an error ends the job with."""
        status, code = getattr(error, "status_code", None), getattr(error, "code", None)
        body = error.body if isinstance(error.body, Mapping) else {"message": error.body}
        said = self._line(str(body.get("message") or body.get("detail") or ""))
        if status is None:
            what, remedy = "cannot be reached", "start it, or correct endpoint.base_url"
        elif status in (401, 403):
            what = "refuses the token"
            said = "" if status == 401 else said  # a 401 may quote parts of the token
            remedy = f"name in endpoint.token_env the variable that holds it, {self._named()}"
        elif status == 402 or code == NO_CREDIT:
            what, remedy = "wants more credit", "top it up and run again; finished samples are kept"
        elif status == 404:
            what = f"does not know {self.entry.source!r} or this address"
            remedy = "correct source, format or endpoint.base_url, which mostly ends in /v1"
        else:
            what = "refuses the request"
            remedy = "correct the entry (format, system_role, extra_body) or the sampling law"
        status = f" (HTTP {status})" if status else ""
        what = f"its server {what}{status}{': ' * bool(said)}{said}"
        return InputError(self._where, what, remedy)

    def _named(self) -> str:
        name = self.server.token_env
        return f"now {name}" if name else "now none"

    def _line(self, text: str) -> str:
        """What a server said, in one short line and without the token, should it echo that."""
        text = text.replace(self._token, "***") if self._token else text
        return " ".join(text.split())[:200]


def _failure(reason: str) -> Continuation:
    return Continuation(None, None, 0, "error", error=reason)


def _mean_logprob(choice: object) -> float | None:
    """Mean of the log-probabilities that a reply carries, if it does."""
    found = getattr(choice, "logprobs", None)
    tokens = getattr(found, "content", None) or []
    values = getattr(found, "token_logprobs", None) or [token.logprob for token in tokens]
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None
