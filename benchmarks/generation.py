"""Time sampled generation beside its peers: tokens per CPU-second, and their share of a floor.

Everyone runs in this one process on the same random weights, with the same threads, and draws the
same number of continuations of the same prompts, at temperature 1 from the whole vocabulary
(transformers 5 would cut it to 50 tokens: top_k=0). Nothing ends early: the id that ends a text
lies outside the model's vocabulary, so it cannot be drawn and nobody pays for forbidding it. All
tokenize their prompts and decode their continuations; what counts are the ids drawn.

HFLM        `generate_until` of lm-evaluation-harness, one request a sample, as its `repeats` are,
            in batches of 16 requests; "all rows": of as many as everyone else has rows.
pipeline    The text-generation pipeline of transformers, with num_return_sequences.
generate    `model.generate`, with num_return_sequences.
LocalModel  Ours: `render`, `sample_key` and `draw`, which returns log-probabilities as well.

The floor is a decode step made of its matrix products alone, at the speed that these shapes reach
when timed by themselves, and of reading the key-value cache of half-grown texts at the speed at
which memory is copied. Each round times all floors and everyone, in alternating order.
"""

import argparse
import gc
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
# ruff: noqa: E402 — what follows must be set before torch is imported
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import pandas as pd
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from expression_leakage.models.entry import Entry
from expression_leakage.models.local import LocalModel
from expression_leakage.sampling import SamplingLaw, sample_key

VOCABULARY = 32_000
SHAPE = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
SIZES = {"1M": (16, 32, 1, 2), "10M": (128, 344, 8, 4), "54M": (512, 1024, 8, 8)}
SAMPLING = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
PIECE = r" ?\w+|[^\w\s]"
HARNESS = find_spec("lm_eval") is not None
Clock = Callable[[], float]
Run = Callable[[list[str], int], int]  # texts, tokens of each sample → ids drawn


class Work(NamedTuple):
    """What everyone does: texts × samples × tokens, in batches of so many texts and their rows."""

    texts: list[str]
    samples: int
    tokens: int
    batch: int
    rows: int


def benchmark_texts(count: int) -> list[str]:
    """Prompts of the hand-written benchmark, an injection and a stem each, of 9 to 16 tokens."""
    folder = ROOT / "resources" / "benchmark"
    stems = pd.read_csv(folder / "stems.csv")["stem"]
    before = pd.read_csv(folder / "injections.csv")["text"]
    pairs = [f"{before[7 * i % len(before)]} {stem}" for i, stem in enumerate(stems)]
    fitting = [text for text in pairs if 9 <= len(re.findall(PIECE, text)) <= 16]
    return (fitting * count)[:count]


def save_model(size: str, texts: Sequence[str], folder: str) -> None:
    """A Llama-shaped model with random weights, and a word-level tokenizer that knows the texts."""
    shape = dict(zip(SHAPE, SIZES[size], strict=True))
    ids = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **shape, **ids))
    model.generation_config.eos_token_id = VOCABULARY
    model.save_pretrained(folder)
    words = sorted({piece for text in texts for piece in re.findall(PIECE, text)})
    fill = [f" w{i}" for i in range(VOCABULARY - len(words) - 2)]
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", *words, *fill, "</s>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)


def count_ids(model: LlamaForCausalLM) -> Callable[[Callable], Run]:
    """Makes a run that returns the number of ids drawn, of a call that goes by `generate`."""
    drawn, generate = [], model.generate

    def counting(**wanted: object) -> torch.Tensor:
        output = generate(**wanted)
        drawn.append(output[:, wanted["input_ids"].shape[1] :].numel())
        return output

    def run(call: Callable, texts: list[str], tokens: int) -> int:
        drawn.clear()
        call(texts, tokens)
        return sum(drawn)

    model.generate = counting
    return lambda call: partial(run, call)


def harness(model: LlamaForCausalLM, tokenizer, work: Work, rows: int) -> Callable:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=rows)

    def run(texts: list[str], tokens: int) -> None:
        asked = SAMPLING | {"max_gen_toks": tokens, "until": []}
        requests = [Instance("generate_until", {}, (text, asked), 0) for text in texts]
        wrapped.generate_until(requests * work.samples, disable_tqdm=True)

    return run


def pipeline(model: LlamaForCausalLM, tokenizer, work: Work) -> Callable:
    pipe = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    wanted = SAMPLING | {"num_return_sequences": work.samples, "return_full_text": False}
    return lambda texts, tokens: pipe(texts, batch_size=work.batch, max_new_tokens=tokens, **wanted)


def plain(model: LlamaForCausalLM, tokenizer, work: Work) -> Callable:
    def batch(texts: list[str], tokens: int) -> list[str]:
        inputs = tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
        wanted = SAMPLING | {"max_new_tokens": tokens, "num_return_sequences": work.samples}
        output = model.generate(**inputs, **wanted)
        return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :])

    n = work.batch
    return lambda texts, tokens: [batch(texts[i : i + n], tokens) for i in range(0, len(texts), n)]


def ours(local: LocalModel, work: Work) -> Run:
    def run(texts: list[str], tokens: int) -> int:
        law = SamplingLaw(temperature=1.0, max_new_tokens=tokens, samples=work.samples, seed=0)
        prompts = [local.render(None, text) for text in texts]
        samples = [(i, k) for i in range(len(texts)) for k in range(law.samples)]
        draws = [(i, sample_key(law.seed, texts[i], k)) for i, k in samples]
        return sum(len(c.token_ids) for _, c in local.draw(prompts, draws, law) if c.mean_logprob)

    return run


def contestants(model: LlamaForCausalLM, folder: str, work: Work, peers: bool) -> dict[str, Run]:
    """Everyone by name; without `peers`, `generate` and ours."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    counted, named = count_ids(model), {}
    if peers and HARNESS:
        named["HFLM"] = counted(harness(model, tokenizer, work, work.batch))
        named["HFLM, all rows"] = counted(harness(model, tokenizer, work, work.rows))
    if peers:
        named["pipeline"] = counted(pipeline(model, tokenizer, work))
    named["generate"] = counted(plain(model, tokenizer, work))
    dtype, size = str(model.dtype).removeprefix("torch."), model.num_parameters()
    entry = Entry("ours", "random", size, folder, "plain", dtype=dtype, batch_rows=work.rows)
    return named | {"LocalModel": ours(LocalModel(entry), work)}


def floor(model: LlamaForCausalLM, work: Work, clock: Clock) -> Callable[..., dict]:
    """A function that times the parts of a decode step's floor once more."""
    made = {"dtype": model.dtype, "device": model.device}
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)]
    left = {w.shape[1]: torch.randn(work.rows, w.shape[1], **made) for w in weights}
    out = {w.shape[0]: torch.empty(work.rows, w.shape[0], **made) for w in weights}
    flop = 2 * work.rows * sum(weight.numel() for weight in weights)
    length = sum(len(re.findall(PIECE, text)) for text in work.texts) / len(work.texts)
    width = 2 * model.config.num_hidden_layers * model.config.hidden_size
    cache = torch.zeros(work.rows, int(width * (length + work.tokens / 2)), **made)
    copied = torch.zeros_like(cache)

    def multiply() -> None:
        for w in weights:
            torch.mm(left[w.shape[1]], w.T, out=out[w.shape[0]])

    @torch.inference_mode()
    def seconds(action: Callable[[], object]) -> float:
        start = clock()
        for _ in range(10):
            action()
        return (clock() - start) / 10

    def measured(*_: object) -> dict[str, float]:
        products = seconds(multiply)
        reading = seconds(lambda: copied.copy_(cache)) / 2  # a copy reads and writes
        parts = {"products [GFLOP]": flop / 1e9, "[GFLOP/s]": flop / products / 1e9}
        parts |= {"[ms]": products * 1e3, "cache [MB]": cache.nbytes / 1e6}
        parts |= {"[GB/s]": cache.nbytes / reading / 1e9, "[ms] ": reading * 1e3}
        return parts | {"rate": work.rows / (products + reading)}

    return measured


def cuda_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(size: str, work: Work, rounds: int, device: str) -> pd.DataFrame:
    """One row a round, type of weights and contestant, the floor being one: rate [tokens/s]."""
    clock = cuda_clock if device == "cuda" else time.process_time
    dtypes = ["float32"] + ["bfloat16"] * (size == "54M") if device == "cpu" else ["bfloat16"]
    runs, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        save_model(size, work.texts, folder)
        for dtype in dtypes:
            model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
            runs.append((f"{size} {dtype}", "floor", floor(model, work, clock)))
            for who, run in contestants(model, folder, work, dtype == dtypes[0]).items():
                run(work.texts[: work.batch], 2)  # warm up
                runs.append((f"{size} {dtype}", who, run))
        for number in range(rounds):
            for model, who, run in runs[:: (-1) ** number]:
                gc.collect()
                start = clock()
                found = run(work.texts, work.tokens)
                if who != "floor":
                    assert found == len(work.texts) * work.samples * work.tokens
                    found = {"rate": found / (clock() - start)}
                rows.append({"model": model, "who": who} | found)
    return pd.DataFrame(rows)


def to_markdown(rows: pd.DataFrame, unit: str) -> str:
    """Medians over the rounds: everyone, and below that what the floors are made of."""
    by = rows.groupby(["model", "who"], sort=False)
    middle, extent = by.median(), by["rate"].agg(["min", "max"]).round().astype(int).astype(str)
    rate = middle.pop("rate")
    shown = pd.DataFrame({unit: rate.round(), "range": extent["min"] + "–" + extent["max"]})
    for name in ["HFLM", "HFLM, all rows", "generate", "floor"]:
        if name in rate.index.unique("who"):
            shown[f"× {name}"] = rate.div(rate.xs(name, level="who"), level="model")
    floors = middle.assign(**{unit: rate}).xs("floor", level="who")
    form = ("", "", ".0f", "", *[".2f"] * len(shown.columns))
    everyone = shown.astype(object).where(shown.notna(), None).drop("floor", level="who")
    first = everyone.reset_index().to_markdown(index=False, floatfmt=form, missingval="–")
    return f"{first}\n\n{floors.rename_axis('floor of').to_markdown(floatfmt='.4g')}\n"


def header(work: Work, rounds: int, device: str) -> str:
    """What ran, on what, with what."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    machine = f"{os.cpu_count()} {platform.machine()} cores ({' '.join(names[:1])}), CPU time"
    if device == "cuda":
        machine = f"{torch.cuda.get_device_name()}, wall-clock"
    harness = f"lm_eval {version('lm_eval')}" if HARNESS else "no lm_eval, so no HFLM"
    return (
        f"{time.strftime('%Y-%m-%d')}; {machine}; threads: {torch.get_num_threads()};"
        f" torch {torch.__version__}, transformers {transformers.__version__}, {harness}."
        f" {len(work.texts)} prompts × {work.samples} samples × {work.tokens} tokens in batches of"
        f" {work.rows} rows (`HFLM`: {work.batch}); rounds: {rounds}.\n\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write them to a file."""
    parser = argparse.ArgumentParser(description="Time sampled generation beside its peers.")
    add = parser.add_argument
    add("--sizes", nargs="+", choices=SIZES, default=["10M", "54M"], help="models (%(default)s)")
    add("--rounds", type=int, default=5, help="rounds to take medians over (%(default)s)")
    add("--threads", type=int, default=1, help="threads of torch (%(default)s)")
    add("--device", choices=["cpu", "cuda"], help="by default a GPU where there is one")
    add("--output", default="benchmarks/generation.md", help="Markdown to write (%(default)s)")
    add("--quick", action="store_true", help="try it out: a 1M model, next to no work, one round")
    options = parser.parse_args(arguments)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # LocalModel takes a GPU where it sees one
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    batch = 256 if device == "cuda" else 16
    work = Work(benchmark_texts(2 * batch), 5, 40, batch, 5 * batch)
    if options.quick:
        options.sizes, options.rounds, work = ["1M"], 1, Work(benchmark_texts(4), 2, 4, 2, 4)
    rows = pd.concat(measure(size, work, options.rounds, device) for size in options.sizes)
    unit = "tokens per second" if device == "cuda" else "tokens per CPU-second"
    text = header(work, options.rounds, device) + to_markdown(rows, unit)
    Path(options.output).write_text(text, encoding="utf-8", newline="\n")
    print(text, end="")


if __name__ == "__main__":
    main()
