"""A backend that fails or stops where a test wants it to, and prompts to ask it. No torch."""

import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.models.backend import Continuation, Rendered
from expression_leakage.models.entry import Entry
from expression_leakage.sampling import SamplingLaw
from expression_leakage.tables import PROMPTS, content_hash

LAW = SamplingLaw(temperature=1.0, max_new_tokens=5, samples=3, seed=1)


def prompts(n):
    """n prompts of four lengths, as a PROMPTS frame."""
    texts = [f"Number {i} is{' very' * (i % 4)}" for i in range(n)]
    frame = pd.DataFrame({"prompt_id": [content_hash(t, length=16) for t in texts], "user": texts})
    for column in set(PROMPTS.columns) - set(frame):
        frame[column] = "x"
    frame["system"] = None
    return frame


class Unsteady:
    """A backend that fails, or stops, at chosen draws: what a server would do."""

    entry = Entry("u", "f", 1, "s", "chat", backend="endpoint")
    n_parameters = 1

    def __init__(self, failing=(), stop_after=None):
        self.failing, self.stop_after, self.asked = set(failing), stop_after, 0

    def facts(self):
        return {"source": "s", "backend": "endpoint"}

    def used(self):
        return {"device": "http://127.0.0.1:1/v1", "cost": 0.5}

    def render(self, system, user):
        return Rendered(user, None)

    def draw(self, prompts, draws, law):
        for i, (_, key) in enumerate(draws):
            if self.asked == self.stop_after:
                raise InputError("endpoint", "has spent its budget", "raise it")
            self.asked += 1
            if key in self.failing:
                yield i, Continuation(None, None, 0, "error", error="status 503")
            else:
                yield i, Continuation(f"text {key}", None, 2, "stop")
