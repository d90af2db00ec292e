"""Any causal language model of the hub or of a local folder, through transformers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import transformers
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, LogitsProcessorList

from expression_leakage.errors import InputError
from expression_leakage.models.entry import Entry
from expression_leakage.sampling import KeyedGumbel, SamplingLaw, generation_config, sample_key

transformers.utils.logging.disable_progress_bar()


@dataclass(frozen=True)
class Completion:
    """One continuation: its text, its length [tokens] and why it ended (stop | length)."""

    text: str
    n_tokens: int
    finish_reason: str


class LocalModel:
    """A loaded model, its tokenizer and its one way of turning prompts into continuations.

    Safetensors only, remote code off. The device is CUDA, then MPS, then the CPU.

    Raises
    ------
    InputError
        The model cannot be loaded, or its parameters differ from the entry by over a tenth.
    """

    def __init__(self, entry: Entry):
        self.entry = entry
        where = f"model {entry.name!r} ({entry.source})"
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(
                entry.source, revision=entry.revision, padding_side="left", trust_remote_code=False
            )
            self.model, loading = AutoModelForCausalLM.from_pretrained(
                entry.source,
                revision=entry.revision,
                dtype=getattr(torch, entry.dtype),
                device_map="auto" if torch.cuda.device_count() > 1 else None,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            remedy = "check source and revision; a gated model needs HF_TOKEN, a hub a network"
            raise InputError(where, f"cannot be loaded: {first}", remedy) from error
        if loading["missing_keys"]:
            raise InputError(
                where,
                f"its checkpoint lacks {sorted(loading['missing_keys'])[:3]}",
                "use a checkpoint of a causal language model",
            )
        if torch.cuda.device_count() <= 1:
            self.model.to(_device())
        self.model.eval()
        self.n_parameters = self.model.num_parameters()
        if abs(self.n_parameters / entry.parameters - 1) > 0.1:
            raise InputError(
                where,
                f"has {self.n_parameters} parameters, its entry says {entry.parameters:.0f}",
                "correct `parameters`",
            )
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def facts(self) -> dict:
        """What was loaded and with what: goes into the table's metadata."""
        return {
            "source": self.entry.source if not Path(self.entry.source).exists() else "local",
            "revision": getattr(self.model.config, "_commit_hash", None),
            "dtype": self.entry.dtype,
            "n_parameters": self.n_parameters,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def render(self, system: str | None, user: str) -> list[int]:
        """Token ids of a prompt: the chat template, or the plain text with the model's own BOS.

        Raises
        ------
        InputError
            A chat model has no template, the template refuses the system role, or the prompt has
            words outside a closed vocabulary.
        """
        where = f"model {self.entry.name!r}"
        if self.entry.format == "plain":
            ids = self.tokenizer(user)["input_ids"]
        else:
            ids = self._render_chat(system, user, where)
        unknown = self.tokenizer.unk_token_id
        if unknown in ids and unknown not in self._ends():
            raise InputError(
                where, f"does not know a word of {user!r}", "give it a benchmark in its own words"
            )
        return ids

    def _render_chat(self, system: str | None, user: str, where: str) -> list[int]:
        if self.tokenizer.chat_template is None:
            raise InputError(where, "has no chat template", "set its format to plain")
        if system and self.entry.system_role == "fold_into_user":
            system, user = None, f"{system}\n\n{user}"
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": user})
        try:
            text = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        except Exception as error:  # a template raises whatever its author chose
            raise InputError(
                where, f"its template refuses: {error}", "set system_role: fold_into_user"
            ) from error
        if system and system not in text:
            raise InputError(
                where, "its template drops the system message", "set system_role: fold_into_user"
            )
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _ends(self) -> list[int]:
        """Ids that end a continuation: the tokenizer's and the model's own."""
        own = self.model.generation_config.eos_token_id
        ends = own if isinstance(own, list) else [own]
        return sorted({i for i in [*ends, self.tokenizer.eos_token_id] if i is not None})

    @torch.inference_mode()
    def _batch(
        self, prompts: Sequence[list[int]], keys: Sequence[int], law: SamplingLaw
    ) -> list[Completion]:
        """Continue rendered prompts, left-padded; each has its `law.samples` keys in turn."""
        padded = self.tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt")
        padded = padded.to(self.model.device)
        width = padded["input_ids"].shape[1]
        cache = self._prefill(**padded, copies=law.samples) if law.samples > 1 else None
        rows = {name: tensor.repeat_interleave(law.samples, 0) for name, tensor in padded.items()}
        processors = LogitsProcessorList()
        if law.temperature > 0:
            row_keys = torch.tensor(keys, device=self.model.device)
            processors.append(KeyedGumbel(row_keys, width, law.temperature))
        ends = self._ends()
        output = self.model.generate(
            **rows,
            past_key_values=cache,
            generation_config=generation_config(law, ends, self.tokenizer.pad_token_id),
            logits_processor=processors,
        )
        return [self._completion(row, ends) for row in output[:, width:].tolist()]

    def _prefill(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, copies: int
    ) -> DynamicCache | None:
        """Read every prompt once, up to its last token, for all its samples.

        `generate` would read it once a sample. None where it must: a prompt of one token, or a
        model whose memory is no key-value cache.
        """
        if input_ids.shape[1] < 2:
            return None
        mask = attention_mask[:, :-1]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = self.model(
            input_ids=input_ids[:, :-1], attention_mask=mask, position_ids=positions, use_cache=True
        ).past_key_values
        if not isinstance(cache, DynamicCache):
            return None
        cache.batch_repeat_interleave(copies)
        return cache

    def _completion(self, ids: list[int], ends: list[int]) -> Completion:
        stop = next((i for i, token in enumerate(ids) if token in ends), None)
        kept = ids if stop is None else ids[:stop]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text, len(kept), "length" if stop is None else "stop")

    def generate(self, prompts: pd.DataFrame, law: SamplingLaw) -> pd.DataFrame:
        """Draw `law.samples` continuations of every prompt.

        Parameters
        ----------
        prompts
            A PROMPTS frame.

        Returns
        -------
        DataFrame
            A GENERATIONS frame, `law.samples` rows a prompt.
        """
        systems = prompts["system"].astype(object).where(prompts["system"].notna(), None)
        ids = [self.render(s, u) for s, u in zip(systems, prompts["user"], strict=True)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        drawn: dict[int, list[Completion]] = {}
        n, total = law.samples, len(ids) * law.samples
        with tqdm(
            total=total, desc=self.entry.name, unit="sample", mininterval=2, disable=None
        ) as bar:
            for batch in _chunks(order, max(1, self.entry.batch_rows // n)):
                names = prompts["prompt_id"].iloc[batch]
                keys = [sample_key(law.seed, name, k) for name in names for k in range(n)]
                done = self._batch([ids[i] for i in batch], keys, law)
                drawn.update(zip(batch, _chunks(done, n), strict=True))
                bar.update(len(done))
        table = prompts.loc[prompts.index.repeat(law.samples)].reset_index(drop=True)
        ordered = [completion for i in range(len(ids)) for completion in drawn[i]]
        table["model"], table["family"] = self.entry.name, self.entry.family
        table["n_parameters"] = self.n_parameters
        table["sample"] = list(range(law.samples)) * len(ids)
        for name in ("text", "n_tokens", "finish_reason"):
            table[name] = [getattr(completion, name) for completion in ordered]
        return table

    def complete(self, prompts: Sequence[dict], max_new_tokens: int = 16) -> list[str]:
        """Greedy replies to {system, user} prompts: the interface a judge is asked through."""
        law = SamplingLaw(temperature=0, max_new_tokens=max_new_tokens, samples=1, seed=0)
        ids = [self.render(p["system"], p["user"]) for p in prompts]
        replies = []
        for batch in _chunks(ids, self.entry.batch_rows):
            replies += [c.text for c in self._batch(batch, [0] * len(batch), law)]
        return replies


def _chunks(rows: list, size: int) -> Iterator[list]:
    return (rows[i : i + size] for i in range(0, len(rows), size))


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
