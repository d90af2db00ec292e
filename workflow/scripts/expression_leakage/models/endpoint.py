"""A model behind an OpenAI-compatible server: one request a sample, its cost counted. No torch."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from urllib.parse import urlsplit

import openai

from expression_leakage.errors import InputError
from expression_leakage.models.backend import Continuation, Rendered
from expression_leakage.models.entry import Entry, Server, messages
from expression_leakage.models.replies import SILENT, Replies
from expression_leakage.sampling import SamplingLaw

# The law and the entry set these; in extra_body they would change samples behind their back.
TAKEN = {"model", "messages", "prompt", "seed", "temperature", "top_p", "max_tokens", "n"}
TAKEN |= {"stream", "stop"}
TEMPLATE_TOKENS = 256  # more than a chat template adds to the messages
HOPELESS = (openai.APIConnectionError, openai.AuthenticationError, openai.PermissionDeniedError)


class BudgetReached(InputError):  # noqa: N818  # no error: a stop that was asked for
    """The next request might cost more than is left of an endpoint's budget."""

    def __init__(self, where: str, spent: float, budget: float):
        what = f"has spent {spent:.6g} of its budget of {budget:.6g}; the next sample may exceed it"
        remedy = "raise endpoint.budget and run again; finished samples are kept"
        super().__init__(where, what, remedy)


class EndpointModel:
    """A model that an OpenAI-compatible server runs, asked through the `openai` client.

    The client tries again what failed for a passing reason (429, 5xx, no answer): after as long as
    the server says in Retry-After, up to two minutes, else after 0.5, 1, 2, 4, then 8 s. A longer
    Retry-After is not waited for.

    The seed of a request is its sample's key, and the law's limits are sent with it; what becomes
    of them is the server's affair. What it adds to the law by itself (top-k, a model's generation
    config) must be undone in `extra_body`. `n_tokens` is its count: it may include the token that
    ended the text, and what `stop_sentences` cut, as that is cut here. `mean_logprob` is its word,
    too: there if `extra_body` asks for logprobs and nothing was cut.

    Parameters
    ----------
    spent
        What this entry's finished samples have cost so far; counts against its budget.

    Raises
    ------
    InputError
        The token's variable is not set, or the entry's `endpoint` contradicts itself or the law.
    """

    def __init__(self, entry: Entry, spent: float = 0.0):
        self.entry, self.server = entry, entry.endpoint
        self.n_parameters = int(entry.parameters)  # as declared: no server tells
        self._where = f"model {entry.name!r}"
        self._extra = dict(self.server.extra_body or {})
        _check(self.server, f"{self._where}: endpoint")
        token = _token(self.server.token_env, self._where)
        with _no_openai_variables():
            self._client = openai.OpenAI(
                base_url=self.server.base_url,
                api_key=token or "none",
                timeout=self.server.timeout,
                max_retries=self.server.retries,
            )
            self._hasty = self._client.with_options(max_retries=1)  # for a check before a run
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs every request
        self._replies = Replies(entry, token)
        self._spent, self._used = spent, _nothing()

    def facts(self) -> dict:
        """What determines its samples, as far as it can be known from outside; never the token."""
        return {
            "source": self.entry.source,
            "backend": "endpoint",
            "base_url": self.server.base_url,
            "format": self.entry.format,
            "system_role": self.entry.system_role,
            "extra_body": self._extra,
        }

    def used(self) -> dict:
        """Address, requests, tokens and their cost since the last call.

        Tokens are the server's count. A request without a readable answer, or that was under way
        when drawing was broken off, costs the most it could have; of its tries only the last is
        seen.
        """
        used, self._used = self._used, _nothing()
        return {"device": self.server.base_url} | used

    def render(self, system: str | None, user: str) -> Rendered:
        """The messages as JSON, or the plain text as it stands; no token ids, the server has them.

        Raises
        ------
        InputError
            A plain model is given a system message.
        """
        if self.entry.format == "plain":
            if system:
                remedy = "word the prompt as one text"
                raise InputError(self._where, "is plain and has no system message", remedy)
            return Rendered(user, None)
        asked = messages(self.entry, system, user)
        return Rendered(json.dumps(asked, ensure_ascii=False), None)

    def draw(
        self, prompts: Sequence[Rendered], draws: Sequence[tuple[int, int]], law: SamplingLaw
    ) -> Iterator[tuple[int, Continuation]]:
        """Draw continuations, each as soon as it is there; see `backend.Backend.draw`.

        The first request goes ahead alone. A sample that failed for a passing reason, or whose
        prompt alone the server refuses, is a Continuation with an `error`.

        Raises
        ------
        InputError
            To ask on is no use; see `replies.Replies`.
        BudgetReached
            The next request might exceed the budget; those under way were waited for.
        """
        self._check_law(law)
        answers: SimpleQueue = SimpleQueue()
        reserved: dict[int, float] = {}  # the most each request under way may cost
        sent = 0
        try:
            while sent < len(draws) or reserved:
                while sent < len(draws) and len(reserved) < self._lines():
                    prompt, key = prompts[draws[sent][0]], draws[sent][1]
                    most = self._most(prompt, law)
                    if not self._affordable(most + sum(reserved.values())):
                        break
                    reserved[sent] = most
                    self._send(sent, self._request(prompt, key, law), answers)
                    sent += 1
                if not reserved:
                    raise BudgetReached(self._where, self._spent, self.server.budget)
                index, answer = answers.get()
                self._account(answer, reserved.pop(index))
                yield index, self._replies.read(answer, law)
        finally:
            self._pay(sum(reserved.values()))

    def complete(self, prompts: Sequence[dict], max_new_tokens: int = 16) -> list[str]:
        """Replies to {system, user} prompts at temperature 0; "" where the model gave none.

        Raises
        ------
        InputError
            The server failed to answer one, tries included: no judgement must rest on that.
        """
        law = SamplingLaw(temperature=0, max_new_tokens=max_new_tokens, samples=1, seed=0)
        rendered = [self.render(p["system"], p["user"]) for p in prompts]
        drawn = dict(self.draw(rendered, [(i, 0) for i in range(len(prompts))], law))
        errors = [drawn[i].error for i in range(len(prompts)) if drawn[i].error]
        lost = [error for error in errors if not error.startswith(SILENT)]
        if lost:
            said = f"{len(lost)} of {len(prompts)} replies failed, first: {lost[0]}"
            raise InputError(self._where, said, "run again")
        return [drawn[i].text or "" for i in range(len(prompts))]

    def check(self, law: SamplingLaw | None = None) -> None:
        """Ask the server which models it has, and whether a law can be kept.

        Raises
        ------
        InputError
            It cannot be reached, refuses the token, or lists models and not this one; or the law
            cannot be kept. A server that offers no list is believed until it is asked for a sample.
        """
        if law is not None:
            self._check_law(law)
        listed = []
        try:
            listed = [model.id for model in self._hasty.models.list().data or []]
        except HOPELESS as error:
            raise self._replies.hopeless(error) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            pass  # no list that could be read
        if listed and self.entry.source not in listed:
            what = f"its server does not list {self.entry.source!r}"
            remedy = f"name one of {', '.join(sorted(listed)[:8])} as source"
            raise InputError(self._where, what, remedy)

    def _check_law(self, law: SamplingLaw) -> None:
        if law.min_new_tokens and "min_tokens" not in self._extra:
            what = "cannot be held to min_new_tokens by an OpenAI-compatible server"
            remedy = "if it is vLLM, add min_tokens to endpoint.extra_body"
            raise InputError(self._where, what, remedy)

    def _lines(self) -> int:
        """Requests that may be under way: one, until it has shown that others can follow."""
        return self.server.concurrency if self._replies.any else 1

    def _affordable(self, cost: float) -> bool:
        return self.server.budget is None or self._spent + cost <= self.server.budget

    def _most(self, prompt: Rendered, law: SamplingLaw) -> float:
        """The most a request may cost: no tokenizer makes more tokens of a text than bytes."""
        return self._price(len(prompt.text.encode()) + TEMPLATE_TOKENS, law.max_new_tokens)

    def _price(self, prompt_tokens: int, completion_tokens: int) -> float:
        cost = prompt_tokens * self.server.input_price
        return (cost + completion_tokens * self.server.output_price) / 1e6

    def _pay(self, cost: float) -> None:
        self._spent += cost
        self._used["cost"] += cost

    def _account(self, answer: object, most: float) -> None:
        """Count an answer's tokens; where nothing is known of them, assume the worst."""
        self._used["requests"] += 1
        if isinstance(answer, Exception):
            # An error status is not billed; what was lost on its way may have been computed.
            self._pay(0.0 if isinstance(answer, openai.APIStatusError) else most)
            return
        try:
            read, written = int(answer.usage.prompt_tokens), int(answer.usage.completion_tokens)
        except (AttributeError, TypeError, ValueError):
            self._pay(most)
            return
        self._used["prompt_tokens"] += read
        self._used["completion_tokens"] += written
        self._pay(self._price(read, written))

    def _request(self, prompt: Rendered, key: int, law: SamplingLaw) -> dict:
        """Arguments of one request.

        Of `min_tokens` and `max_completion_tokens`, `extra_body` says only that the server knows
        them: the values are the law's.
        """
        chat, extra = self.entry.format == "chat", dict(self._extra)
        body = {"messages": json.loads(prompt.text)} if chat else {"prompt": prompt.text}
        body |= {"model": self.entry.source, "seed": key % 2**31}
        body |= {"temperature": law.temperature, "top_p": 1}
        if "max_completion_tokens" in extra:
            extra["max_completion_tokens"] = law.max_new_tokens
        else:
            body["max_tokens"] = law.max_new_tokens
        if extra.pop("min_tokens", None) is not None and law.min_new_tokens:
            extra["min_tokens"] = law.min_new_tokens
        return body | {"extra_body": extra}

    def _send(self, index: int, request: dict, answers: SimpleQueue) -> None:
        """Ask on a thread of its own, a daemon: a program that is closed waits for none of them."""
        api = self._client.chat if self.entry.format == "chat" else self._client
        ask = api.completions.create

        def work() -> None:
            try:
                answers.put((index, ask(**request)))
            except Exception as error:  # whatever it is, `draw` waits for it
                answers.put((index, error))

        Thread(target=work, daemon=True).start()


def _nothing() -> dict:
    return {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0}


def _check(server: Server, where: str) -> None:
    """Raise InputError where a server's entry contradicts itself or the law."""
    try:
        address = urlsplit(server.base_url)
        known = address.hostname and address.port != 0  # of a port that is no number, it raises
    except ValueError:
        known = False
    if not known:
        raise InputError(f"{where}.base_url", "is no address", "write it as http://host:port/v1")
    if "@" in address.netloc or address.query:
        remedy = "leave them out; name the variable that holds the token in token_env"
        raise InputError(f"{where}.base_url", "has credentials or a query", remedy)
    if taken := sorted(TAKEN & (server.extra_body or {}).keys()):
        what = f"sets {', '.join(taken)}, which the law and the entry set"
        raise InputError(f"{where}.extra_body", what, "leave it out")
    if server.budget is not None and not (server.input_price or server.output_price):
        remedy = "give input_price and output_price per million tokens"
        raise InputError(f"{where}.budget", "would never bind without prices", remedy)


def _token(name: str | None, where: str) -> str | None:
    """The token that an environment variable holds."""
    if name is None:
        return None
    token = os.environ.get(name, "").strip()
    if not token or not token.isascii() or not token.isprintable():
        what = "holds characters that no token has" if token else "is not set"
        raise InputError(where, f"the environment variable {name} {what}", f"export {name}=…")
    return token


@contextmanager
def _no_openai_variables() -> Iterator[None]:
    """Hide OPENAI_* from the client, which would send a key or headers meant for another server."""
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("OPENAI_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
