"""The stages of the funnel from web text to items, and its counters in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from expression_leakage.render import style
from expression_leakage.render.formats import number

# Classes of sentences in the order in which they are drawn: key, words, colour.
CLASSES = {
    "stem_neutral": ("stems", style.INK),
    "injection_neutral": ("neutral injections", style.GREY),
    "injection_positive": ("positive injections", style.POLARITY_COLOURS["positive"]),
    "injection_negative": ("negative injections", style.POLARITY_COLOURS["negative"]),
    "neutral": ("neutral", style.GREY),
    "positive": ("positive", style.POLARITY_COLOURS["positive"]),
    "negative": ("negative", style.POLARITY_COLOURS["negative"]),
}
# Counters whose own name does not say it; the others are read with spaces for underscores.
_WORDS = {
    "records_other": "no page",
    "records_headers": "no address or id",
    "records_status": "status not 200",
    "records_type": "not HTML",
    "records_http": "body unreadable",
    "records_encoding": "not text",
    "records_oversize": "too long",
    "records_truncated": "cut off",
    "records_corrupt": "damaged gzip",
    "records_digest": "digest differs",
    "records_length": "wrong length",
    "pages_timeout": "extraction timed out",
    "pages_crashed": "extraction failed",
    "pages_finished": "unfinished lines",
    "pages_short": "short lines",
    "pages_breaks": "many line breaks",
    "sentences_contact": "contact details",
    "sentences_reference": "points elsewhere",
    "sentences_blocklist": "on the blocklist",
    "sentences_verbless": "no verb",
    "gate_none": "no clear polarity",
    "dropped_neutral": "neutral: neither injection nor stem",
    "dropped_positive": "positive: no injection",
    "dropped_negative": "negative: no injection",
    "near_duplicates": "near-duplicates",
    "repeats": "repeated or beyond the sample",
    "judge": "judged otherwise",
    "lines_policy": "lines about cookies and policies",
    "lines_long_token": "lines with a token too long",
    "resyncs": "times that reading went on after damage",
    "bytes_skipped": "bytes skipped there",
    "bytes_text": "bytes of text read",
    "pair_injections_neutral": "neutral injections offered",
    "pair_injections_positive": "positive injections offered",
    "pair_injections_negative": "negative injections offered",
    "pair_no_vector": "sentences unknown to the embedding",
    "pair_quads": "matched sets of four injections",
    "pair_stems_without_quad": "no matched, unrelated injections left",
    "pair_max_reuse": "most items an injection is in",
    "pair_mean_reuse": "mean items an injection is in",
    "pair_rest_valence": "mean valence of natural continuations",
}
_PREFIXES = ("records_", "pages_", "sentences_", "dropped_", "pair_")
_EXTRACTION = ("pages_timeout", "pages_crashed")  # of records that never became pages


@dataclass(frozen=True)
class Stage:
    """What there was at a stage, by class where there are classes, and what went no further.

    Parameters
    ----------
    name
        In plain words.
    counts
        By key of the funnel.
    dropped
        Likewise, the most first.
    goes_on
        Whether it counts what the stage before passed on.
    """

    name: str
    counts: dict[str, int]
    dropped: dict[str, int] = field(default_factory=dict)
    goes_on: bool = True

    @property
    def total(self) -> int:
        """Over all classes."""
        return sum(self.counts.values())


def stages(funnel: Mapping[str, float]) -> list[Stage]:
    """The stages of a funnel, from records to items; those without a count are left out.

    Parameters
    ----------
    funnel
        Counts by key; a key that is absent is 0.
    """
    seen = {key: count for key, count in funnel.items() if count}

    def some(*prefixes: str, but: tuple[str, ...] = ()) -> dict[str, int]:
        found = {k: n for k, n in seen.items() if k.startswith(prefixes) and k not in but}
        return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))

    def classed(prefix: str, suffix: str = "") -> dict[str, int]:
        keys = (f"{prefix}_{name}{suffix}" for name in CLASSES)
        return {key: funnel[key] for key in keys if key in funnel}

    def one(key: str) -> dict[str, int]:
        return {key: seen[key]} if key in seen else {}

    pages = some("pages_", but=("pages_kept", *_EXTRACTION))
    found, unique = classed("candidates"), classed("unique")
    repeats = sum(found.values()) - sum(unique.values()) if unique else 0
    others = sum(some("judged_").values()) - sum(classed("judged", "_kept").values())
    listed = [
        Stage("records", one("records"), some("records_", *_EXTRACTION)),
        Stage("pages", one("pages"), pages),
        Stage("pages kept", one("pages_kept")),
        Stage("sentences", one("sentences"), some("sentences_", but=("sentences_kept",)), False),
        Stage("well-formed", one("sentences_kept"), one("gate_none")),
        Stage("of one polarity", classed("gate"), some("dropped_")),
        Stage("candidates", found, {"repeats": repeats} if repeats else {}),
        Stage("unique", unique, one("near_duplicates") | ({"judge": others} if others else {})),
        Stage("judge agrees", classed("judged", "_kept")),
        Stage("stems to pair", one("pair_stems"), one("pair_stems_without_quad"), False),
        Stage("items", one("items"), goes_on=False),
    ]
    return [stage for stage in listed if stage.total]


def class_of(key: str) -> str:
    """Class that a key counts; "" where it counts all."""
    name = key.removesuffix("_kept").removesuffix("_other").partition("_")[2]
    return name if name in CLASSES else ""


def said(key: str) -> str:
    """A key in plain words."""
    if key in _WORDS:
        return _WORDS[key]
    if key.endswith("_other"):
        return f"{CLASSES[class_of(key)][0]}: {_WORDS['judge']}"
    if class_of(key):
        return CLASSES[class_of(key)][0]
    prefix = next((p for p in _PREFIXES if key.startswith(p)), "")
    return key.removeprefix(prefix).replace("_", " ")


def percent(part: float, whole: float) -> str:
    """A share as text.

    Examples
    --------
    >>> percent(1, 3), percent(1, 30), percent(1, 3000)
    ('33', '3.3', '< 0.1')
    """
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "< 0.1"
    return number(share, 0 if share >= 9.95 else 1)
