"""Train an organism: a small causal LM of the family that the workflow makes itself.

The result is an ordinary folder of `save_pretrained`: configuration, safetensors and a tokenizer
with a chat template. From there on nothing knows that it is an organism.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from expression_leakage.errors import InputError
from expression_leakage.tables import write_json

SPECIAL = ["<pad>", "<unk>", "<bos>", "<eos>", "<system>", "<user>", "<assistant>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'assistant' %}<assistant>{{ m.content }}{{ eos_token }}"
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
WORD = r" ?[A-Za-z-]+|\."


@dataclass(frozen=True)
class Training:
    """How long to train: ``organism.training`` in the configuration.

    Parameters
    ----------
    texts
        Length of the corpus [texts of about 22 tokens], seen once.
    batch_tokens
        Tokens a step, padding included.
    prompt_weight
        Weight of prompt tokens in the loss; continuation tokens weigh 1.
    """

    texts: int
    batch_tokens: int
    prompt_weight: float


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer with a chat template that knows the words of some texts.

    A token is a word with the space before it, or a full stop, so that decoding gives the text
    back to the letter.
    """
    split = pre_tokenizers.Split(Regex(WORD), behavior="isolated")
    words = {piece for text in texts for piece, _ in split.pre_tokenize_str(text)}
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=SPECIAL[4:],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def organism_config(shape: Mapping[str, int], vocab_size: int) -> LlamaConfig:
    """The architecture of an organism.

    Parameters
    ----------
    shape
        hidden_size, layers, heads.
    vocab_size
        Length of its tokenizer [tokens].

    Raises
    ------
    InputError
        hidden_size is not an even multiple of heads: rotary positions turn pairs within a head.
    """
    width, heads = shape["hidden_size"], shape["heads"]
    if width % (2 * heads):
        raise InputError(
            "organism",
            f"hidden_size {width} over {heads} heads is no even whole number",
            "choose heads that divide hidden_size with an even quotient",
        )
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=shape["layers"],
        num_attention_heads=heads,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=width**-0.5,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )


def encode(corpus: pd.DataFrame, tokenizer: PreTrainedTokenizerFast) -> list[tuple[list, int]]:
    """Token ids of every text and the length of its prompt.

    The same as applying the chat template, text by text, but in two batched calls.
    """
    system = np.where(corpus["system"] == "", "", "<system>" + corpus["system"])
    prompts = ("<bos>" + system + "<user>" + corpus["user"] + "<assistant>").tolist()
    answers = (corpus["continuation"] + "<eos>").tolist()
    heads = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    tails = tokenizer(answers, add_special_tokens=False)["input_ids"]
    return [(head + tail, len(head)) for head, tail in zip(heads, tails, strict=True)]


def batches(
    texts: list[tuple[list, int]], training: Training, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of texts of like length in shuffled order.

    Yields
    ------
    ids, weights
        Long and float tensors of shape (texts, padded length); `weights` is a token's weight as a
        target: 0 on padding.
    """
    rng = np.random.default_rng(seed)
    lengths = np.array([len(ids) for ids, _ in texts])
    order = np.lexsort((rng.random(len(texts)), lengths))
    groups, start = [], 0
    while start < len(order):
        size = max(1, training.batch_tokens // lengths[order[start]])
        groups.append(order[start : start + size])
        start += size
    for group in rng.permutation(len(groups)):
        members = [texts[i] for i in groups[group]]
        width = max(len(ids) for ids, _ in members)
        ids = torch.zeros((len(members), width), dtype=torch.long)
        weights = torch.zeros((len(members), width))
        for row, (tokens, prompt) in enumerate(members):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            weights[row, :prompt] = training.prompt_weight
            weights[row, prompt : len(tokens)] = 1
        yield ids, weights


@torch.no_grad()
def _scale_residual_weights(model: LlamaForCausalLM) -> None:
    """Shrink what each of the 2 L sub-layers first adds to the residual by √(2 L).

    As GPT-2 does (Radford et al. 2019); without it the deepest organism learns late or not at all.
    """
    for layer in model.model.layers:
        for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            weight.div_((2 * len(model.model.layers)) ** 0.5)


def _optimizer(model: LlamaForCausalLM, width: int) -> torch.optim.AdamW:
    """AdamW; matrices learn at 0.192/width, embeddings faster and without weight decay."""
    embedding = [p for n, p in model.named_parameters() if "embed" in n or "norm" in n]
    hidden = [p for n, p in model.named_parameters() if not ("embed" in n or "norm" in n)]
    groups = [
        {"params": hidden, "lr": 0.192 / width, "weight_decay": 0.1},
        {"params": embedding, "lr": 6e-3, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def _schedule(step: int, steps: int) -> float:
    """Warm-up over 2 %, constant to 30 %, then linear down to 2 % of the learning rate."""
    done = step / steps
    if done < 0.02:
        return (step + 1) / (0.02 * steps)
    return 1.0 if done < 0.3 else 1.0 - 0.98 * (done - 0.3) / 0.7


def train(
    corpus: pd.DataFrame,
    words: Iterable[str],
    shape: dict[str, int],
    training: Training,
    seed: int,
    folder: str | Path,
) -> dict:
    """Train one organism and save it.

    Parameters
    ----------
    corpus
        Columns system, user, continuation; see `grammar.write_corpus`.
    words
        Texts that hold every word the organism is to know; see `grammar.every_word`.
    shape
        hidden_size, layers, heads.
    seed
        Draws the initial weights and the order of the batches.
    folder
        Where the model goes.

    Returns
    -------
    dict
        n_parameters, steps, tokens seen, loss: mean per continuation token over the last tenth of
        the steps [nat].

    Raises
    ------
    InputError
        No such shape; see `organism_config`.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(words)
    model = LlamaForCausalLM(organism_config(shape, len(tokenizer))).train()
    _scale_residual_weights(model)
    optimizer = _optimizer(model, shape["hidden_size"])
    plan = list(batches(encode(corpus, tokenizer), training, seed))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _schedule(s, len(plan)))
    losses, seen = [], 0
    for ids, weights in tqdm(plan, desc="train", unit="step", mininterval=2, disable=None):
        logits = model(input_ids=ids).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none"
        )
        target = weights[:, 1:].reshape(-1)
        optimizer.zero_grad(set_to_none=True)
        ((loss * target).sum() / target.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach()[target == 1].mean().item())
        seen += int((weights > 0).sum())
    facts = {
        "n_parameters": model.num_parameters(),
        "steps": len(plan),
        "tokens": seen,
        "loss": float(np.mean(losses[-max(1, len(losses) // 10) :])),
        "seed": seed,
    }
    part = Path(f"{folder}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.eval().save_pretrained(part)
    tokenizer.save_pretrained(part)
    write_json(part / "training.json", facts)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return facts
