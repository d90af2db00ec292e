"""The peers of webtext.py: pipelines of datatrove. Run by webtext.py."""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from string import punctuation

sys.modules["torch"] = None  # spaCy would load it where it is installed, to no use here
# ruff: noqa: E402 — before spaCy is imported

import regex
import webtext
from afinn import Afinn
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline import filters
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.readers.base import BaseDiskReader
from datatrove.utils.text import split_into_sentences
from datatrove.utils.word_tokenizers import WordTokenizer
from fastwarc.warc import ArchiveIterator, WarcRecordType
from sentencex import get_sentence_boundaries
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer, negated

from expression_leakage.benchmark.webtext import sentences
from expression_leakage.benchmark.webtext.gate import GateRules, gate
from expression_leakage.benchmark.webtext.language import is_language
from expression_leakage.benchmark.webtext.read import Page

LIMITS, GATE = sentences.SentenceRules(), GateRules()
BLOCKLIST = sentences.read_blocklist(webtext.ROOT / "resources" / "webtext" / "blocklist.txt")
Step = Callable[[list[str]], Counter]
BATCH = 4_000_000  # characters that the sentence step is given at a time, as in our scheme


class FastReader(BaseDiskReader):
    """Reads WET files with FastWARC."""

    def read_file(self, filepath: str) -> Iterator[Document]:
        """Yield the pages of one file."""
        with self.data_folder.open(filepath, "rb") as stream:
            found = ArchiveIterator(stream, record_types=WarcRecordType.conversion)
            for number, record in enumerate(found):
                text = record.reader.read().decode("utf-8", "replace")
                yield self.get_document_from_dict({"text": text}, filepath, number)


class FastTokenizer(WordTokenizer):
    """Words by white space, sentences by sentencex."""

    def word_tokenize(self, text: str) -> list[str]:
        """Words of a text."""
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        """Sentences of a text."""
        return [text[begin:end] for begin, end in self.span_tokenize(text)]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Where sentences begin and end."""
        found = get_sentence_boundaries("en", text)
        return [(cut["start_index"], cut["end_index"]) for cut in found]


class English(BaseFilter):
    """Keeps English pages, by the model that we ask as well."""

    def filter(self, doc: Document) -> bool:
        """Whether a page is kept."""
        return is_language(doc.text, LIMITS.language, LIMITS.min_language_score)


class Sentences(PipelineStep):
    """Counts what the sentences of the pages are."""

    name = type = "Sentences"

    def __init__(self, step: Step):
        super().__init__()
        self.step = step

    def run(self, data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator:
        """Count, some megabytes of pages at a time, and pass them on."""
        batch, size = [], 0
        for doc in chain(data, [None]):
            if doc is None or size >= BATCH:
                for name, number in self.step([held.text for held in batch]).items():
                    self.stat_update(name or "none", value=number)
                yield from batch
                batch, size = [], 0
            if doc is not None:
                batch.append(doc)
                size += len(doc.text)


def fault_finder() -> Callable[[str], bool]:
    """Whether a sentence breaks one of our rules, in the order that ours has."""
    faults = [regex.compile(pattern) for pattern in sentences._FAULTS.values()]
    verb, blocklist = regex.compile(sentences._VERB), regex.compile(BLOCKLIST)

    def is_faulty(text: str) -> bool:
        return (
            text[-1] not in ".!?"
            or len(text) > LIMITS.max_characters
            or not LIMITS.min_words <= len(text.split()) <= LIMITS.max_words
            or any(fault.search(text) for fault in faults)
            or not verb.search(text)
            or bool(blocklist.search(text))
            or not is_language(text, LIMITS.language, LIMITS.min_language_score)
        )

    return is_faulty


def classifier() -> Callable[[str], str]:
    """Polarity on which VADER and AFINN agree, by the rules of our gate."""
    vader, afinn = SentimentIntensityAnalyzer(), Afinn()

    def polarity(text: str) -> str:
        said, scores = vader.polarity_scores(text), afinn.scores(text)
        compound, total = said["compound"], sum(scores)
        if not any(scores) and said["pos"] == said["neg"] == 0:
            return "neutral"
        clear = (
            len(text.split()) <= GATE.max_words
            and abs(total) >= GATE.charged_afinn
            and abs(compound) >= GATE.charged_vader
            and compound * total > 0
            and not min(scores) < 0 < max(scores)
            and not said["pos"] * said["neg"]
            and not negated([w.strip(punctuation) for w in text.replace("’", "'").split()])
        )
        return ("positive" if total > 0 else "negative") if clear else ""

    return polarity


def plain_step(language: str | WordTokenizer) -> Step:
    """Sentences by our rules, one after the other."""
    is_faulty, polarity, policy = fault_finder(), classifier(), re.compile(sentences._POLICY)

    def step(texts: list[str]) -> Counter:
        found = Counter()
        for line in chain.from_iterable(map(str.splitlines, texts)):
            if policy.search(line) or max(map(len, line.split()), default=0) > LIMITS.max_token:
                continue
            for sentence in filter(None, map(str.strip, split_into_sentences(line, language))):
                found["sentences"] += 1
                if not is_faulty(sentence):
                    found.update(("sentences_kept", polarity(sentence)))
        return found

    return step


def our_step(texts: list[str]) -> Counter:
    """Sentences by our own functions."""
    found, pages = Counter(), [Page("", "", 0, text) for text in texts]
    kept = sentences.sentences_of(pages, LIMITS, BLOCKLIST, found)
    found.update(gate(kept["text"].to_pylist(), GATE)[0])
    return found


def pipeline(wet: Path, who: str) -> webtext.Counts:
    """Run the pipeline of one contestant on a file: what is left at each stage."""
    words = "en" if who == "shipped" else FastTokenizer()
    reader = WarcReader if who == "shipped" else FastReader
    repeated = {"dup_para_frac": None, "dup_para_char_frac": None}
    c4 = {"filter_no_terminal_punct": False, "min_num_sentences": -1, "remove_citations": False}
    steps = [
        reader(str(wet.parent), glob_pattern=wet.name),
        English(),
        filters.GopherRepetitionFilter(language=words, top_n_grams=(), dup_n_grams=(), **repeated),
        filters.GopherQualityFilter(language=words),
        filters.C4QualityFilter(language=words, **c4),
        filters.FineWebQualityFilter(
            language=words, char_duplicates_ratio=webtext.FINEWEB["max_repeated_characters"]
        ),
        Sentences(our_step if who == "sentences" else plain_step(words)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=folder).run()
    read, *_, last, sentence = [
        {name: int(stat.total) for name, stat in step.stats.items()} for step in run.stats
    ]
    kept = {"pages": read.get("documents", 0), "pages_kept": last.get("forwarded", 0)}
    return kept | sentence


if __name__ == "__main__":
    path, who = sys.argv[1:]
    webtext.report(partial(pipeline, who=who), Path(path))
