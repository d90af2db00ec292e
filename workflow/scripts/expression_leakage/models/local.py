"""Any causal language model of the hub or of a local folder, through transformers."""

import logging
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby

import tokenizers
import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteriaList,
)

from expression_leakage.errors import InputError
from expression_leakage.models import decoding, hub
from expression_leakage.models.backend import Continuation, Rendered
from expression_leakage.models.cache import spread
from expression_leakage.models.checkpoint import check_size, folder_hash
from expression_leakage.models.entry import Entry
from expression_leakage.models.rendering import render
from expression_leakage.sampling import SamplingLaw, first_complete_sentences

transformers.utils.logging.disable_progress_bar()
log = logging.getLogger(__name__)

# The shape of a batch is the entry's batch_rows and these, so that rounding never depends on
# which prompts happen to share it.
PREFILL_ROWS = 16
WIDTH_STEP = 8  # prompts are padded to a multiple of this [tokens]


class LocalModel:
    """A model on this machine, its tokenizer and its one way from prompts to continuations.

    Safetensors only, remote code off. The device is CUDA, then MPS, then the CPU; over several
    visible GPUs the layers are spread. Weights are loaded at the first draw.

    Raises
    ------
    InputError
        The model cannot be loaded, or its parameters differ from the entry by over a tenth.
    """

    def __init__(self, entry: Entry):
        self.entry = entry
        self._where = hub.where(entry)
        self._rows = entry.batch_rows
        self.commit = hub.resolved_revision(entry)
        self._loading = {"revision": self.commit, "trust_remote_code": False}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(
                entry.source, padding_side="left", **self._loading
            )
        except hub.LOADING_ERRORS as error:
            raise hub.said(error, entry) from error
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    @cached_property
    def model(self) -> PreTrainedModel:
        """The weights, loaded, checked and in their place."""
        several = torch.cuda.device_count() > 1
        try:
            model, loading = AutoModelForCausalLM.from_pretrained(
                self.entry.source,
                dtype=getattr(torch, self.entry.dtype),
                device_map="auto" if several else None,
                use_safetensors=True,
                output_loading_info=True,
                **self._loading,
            )
        except hub.LOADING_ERRORS as error:
            raise hub.said(error, self.entry) from error
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            raise self._too_large() from error
        if {"cpu", "disk"} & set(map(str, getattr(model, "hf_device_map", {}).values())):
            raise self._too_large()
        if missing := sorted(loading["missing_keys"]):
            raise InputError(
                self._where,
                f"its checkpoint lacks {missing[:3]}",
                "use a checkpoint of a causal language model",
            )
        check_size(self._where, model.num_parameters(), self.entry.parameters)
        return (model if several else model.to(_device())).eval()

    def _too_large(self) -> InputError:
        remedy = "give it more memory, more GPUs (gpus) or a smaller dtype"
        return InputError(self._where, "its weights do not fit into memory", remedy)

    @cached_property
    def n_parameters(self) -> int:
        """Parameters, counted in the loaded model."""
        return self.model.num_parameters()

    @cached_property
    def _sha256(self) -> str | None:
        return folder_hash(self.entry.source) if self.commit is None else None

    def facts(self) -> dict:
        """What determines its samples, the weights' own identity first."""
        return {
            "source": self.entry.source if self.commit else "local",
            "revision": self.commit,
            "sha256": self._sha256,
            "dtype": self.entry.dtype,
            "format": self.entry.format,
            "system_role": self.entry.system_role,
            "shape": f"{self.entry.batch_rows} rows, {PREFILL_ROWS} in prefill, "
            f"width a multiple of {WIDTH_STEP}",
            "device": _device(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        }

    def used(self) -> dict:
        """The device, and the rows of a batch, fewer than the entry's if memory ran out."""
        device = self.model.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return {"device": name, "batch_rows": self._rows}

    def render(self, system: str | None, user: str) -> Rendered:
        """A prompt's token ids; see `rendering.render`."""
        return render(self.tokenizer, self.entry, system, user)

    @cached_property
    def _ends(self) -> list[int]:
        """Ids that end a continuation: the tokenizer's and the model's own."""
        own = self.model.generation_config.eos_token_id
        # From here on nothing of the model's own law of sampling is left to be merged in.
        self.model.generation_config = GenerationConfig()
        ends = own if isinstance(own, list) else [own]
        return sorted({i for i in [*ends, self.tokenizer.eos_token_id] if i is not None})

    @cached_property
    def _marks(self) -> decoding.SentenceMarks:
        size = self.model.get_input_embeddings().num_embeddings
        return decoding.SentenceMarks(self.tokenizer, size, self.model.device)

    def draw(
        self, prompts: Sequence[Rendered], draws: Sequence[tuple[int, int]], law: SamplingLaw
    ) -> Iterator[tuple[int, Continuation]]:
        """Draw continuations in batches of one shape; see `backend.Backend.draw`.

        Where memory runs out, the rows of a batch are halved, for good.

        Raises
        ------
        InputError
            Memory does not suffice for a single row.
        """
        widths = [padded_width(len(prompt.ids)) for prompt in prompts]
        _ = self.model  # a model that does not fit fails here, and not for its batch's sake
        order = sorted(range(len(draws)), key=lambda i: (widths[draws[i][0]], draws[i][0], i))
        for width, same in groupby(order, key=lambda i: widths[draws[i][0]]):
            waiting = list(same)
            while waiting:
                batch = waiting[: self._rows]
                done = self._batch(prompts, [draws[i] for i in batch], width, law)
                if done is None:
                    self._halve()
                else:
                    yield from zip(batch, done, strict=True)
                    waiting = waiting[len(batch) :]

    def _halve(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._rows == 1:
            remedy = "use a larger GPU or more of them (gpus), or a smaller dtype"
            raise InputError(self._where, "memory does not suffice for one row", remedy)
        self._rows //= 2
        log.warning("%s: out of memory; going on with %d rows a batch", self._where, self._rows)

    def _batch(
        self,
        prompts: Sequence[Rendered],
        draws: Sequence[tuple[int, int]],
        width: int,
        law: SamplingLaw,
    ) -> list[Continuation] | None:
        """Continue up to `_rows` draws as one batch, or return None where memory runs out."""
        try:
            output, sampler, stop = self._decode(prompts, draws, width, law)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            return None
        logprobs = torch.stack(sampler.logprobs, dim=1).tolist()
        ended = stop.ended.tolist() if stop else [-1] * len(output)
        rows = zip(output[:, width:].tolist(), logprobs, ended, strict=True)
        return [self._continuation(*row, law) for row, _ in zip(rows, draws, strict=False)]

    @torch.inference_mode()
    def _decode(
        self,
        prompts: Sequence[Rendered],
        draws: Sequence[tuple[int, int]],
        width: int,
        law: SamplingLaw,
    ) -> tuple[torch.Tensor, decoding.KeyedSampler, decoding.SentenceStop | None]:
        ends, device = self._ends, self.model.device
        used = list(dict.fromkeys(prompt for prompt, _ in draws))
        place = {prompt: i for i, prompt in enumerate(used)}
        padding = [draws[0]] * (self._rows - len(draws))  # ends when the row it repeats does
        full = [*draws, *padding]
        rows = torch.tensor([place[prompt] for prompt, _ in full], device=device)
        keys = torch.tensor([key for _, key in full], device=device)
        padded = self.tokenizer.pad(
            {"input_ids": [prompts[p].ids for p in used]},
            padding="max_length",
            max_length=width,
            return_tensors="pt",
        ).to(device)
        ids, mask = padded["input_ids"], padded["attention_mask"]
        sampler = decoding.KeyedSampler(keys, width, law.temperature)
        stop = None
        if law.stop_sentences is not None:
            stop = decoding.SentenceStop(self._marks, len(full), width, law)
        output = self.model.generate(
            inputs=ids[rows],
            attention_mask=mask[rows],
            past_key_values=self._prefill(ids, mask, rows, law.max_new_tokens + 1),
            generation_config=decoding.generation_config(law, ends, self.tokenizer.pad_token_id),
            logits_processor=LogitsProcessorList([sampler]),
            stopping_criteria=StoppingCriteriaList([stop] if stop else []),
            custom_generate=decoding.decode_by(law),
        )
        return output, sampler, stop

    def _prefill(
        self, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor, room: int
    ) -> DynamicCache | None:
        """Read every prompt once, up to its last token, and hand its memory to each of its rows.

        `generate` would read it once a row. None where it must: see `cache.spread`.
        """
        size = min(PREFILL_ROWS, self._rows)
        caches = []
        for start in range(0, len(ids), size):
            chunk = torch.arange(start, start + size, device=ids.device)
            chunk[chunk >= len(ids)] = start  # the last chunk is filled up with its first prompt
            part = mask[chunk, :-1]
            positions = (part.cumsum(-1) - 1).clamp(min=0)
            read = self.model.base_model(
                input_ids=ids[chunk, :-1], attention_mask=part, position_ids=positions
            )
            caches.append(getattr(read, "past_key_values", None))
        return spread(caches, rows, room)

    def _continuation(
        self, ids: list[int], logprobs: list[float], ended: int, law: SamplingLaw
    ) -> Continuation:
        """One row of a batch, cut where it ended."""
        stop = next((i for i, token in enumerate(ids) if token in self._ends), len(ids))
        by_sentence = 0 <= ended < stop
        stop = ended + 1 if by_sentence else stop
        kept, reason = ids[:stop], "stop" if stop < len(ids) else "length"
        text = self._decoded(kept)
        if law.stop_sentences is not None:
            least = len(self._decoded(kept[: law.min_new_tokens]))
            cut = first_complete_sentences(text, law.stop_sentences, least)
            if by_sentence or cut is not None:
                reason, text = "sentence", text if cut is None else cut
        drawn = logprobs[: len(kept) + (not by_sentence and stop < len(ids))]
        if not all(map(math.isfinite, drawn)):
            raise InputError(self._where, "its numbers overflow", "set its dtype to bfloat16")
        return Continuation(text, kept, len(kept), reason, sum(drawn) / len(drawn))

    def _decoded(self, ids: list[int]) -> str:
        return self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def complete(self, prompts: Sequence[dict], max_new_tokens: int = 16) -> list[str]:
        """Greedy replies to {system, user} prompts: the interface a judge is asked through."""
        law = SamplingLaw(temperature=0, max_new_tokens=max_new_tokens, samples=1, seed=0)
        rendered = [self.render(p["system"], p["user"]) for p in prompts]
        drawn = dict(self.draw(rendered, [(i, 0) for i in range(len(prompts))], law))
        return [drawn[i].text for i in range(len(prompts))]


def padded_width(length: int) -> int:
    """Width of the batch that a prompt of some length is read in [tokens].

    At least one place is padding: in a batch without any, transformers would leave out the mask,
    and other kernels would round otherwise.
    """
    return (length // WIDTH_STEP + 1) * WIDTH_STEP


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or, where torch has no class for it, on the CPU."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
