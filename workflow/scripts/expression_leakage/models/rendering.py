"""Prompts exactly as meant: from system and user text to the token ids that a model reads."""

from datetime import date
from functools import partial

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import _compile_jinja_template  # compiled once

from expression_leakage.errors import InputError
from expression_leakage.models.backend import Rendered
from expression_leakage.models.entry import Entry, messages

# Some templates tell a model what day it is: this one, so that a prompt is the same on every day.
TODAY = date(2025, 8, 3)


def render(
    tokenizer: PreTrainedTokenizerBase, entry: Entry, system: str | None, user: str
) -> Rendered:
    """The chat template's tokens, or those of the plain text with the model's own BOS.

    Raises
    ------
    InputError
        A chat model has no template, the template refuses or drops the system message, a plain
        model is given one, a prompt begins with two BOS, a plain one ends with EOS, or it has words
        outside a closed vocabulary.
    """
    where = f"model {entry.name!r}"
    if entry.format == "chat":
        ids = _chat(tokenizer, messages(entry, system, user), where)
    elif system:
        raise InputError(where, "is plain and has no system message", "word the prompt as one text")
    else:
        ids = tokenizer(user)["input_ids"]
    bos, unknown = tokenizer.bos_token_id, tokenizer.unk_token_id
    if bos is not None and ids[:2] == [bos, bos]:
        raise InputError(where, "its prompts begin with two BOS", "remove one from its template")
    if entry.format == "plain" and ids[-1:] == [tokenizer.eos_token_id]:
        remedy = "switch add_eos_token off in its tokenizer_config.json"
        raise InputError(where, "its tokenizer ends a prompt before it is continued", remedy)
    if unknown in ids and unknown != tokenizer.eos_token_id:
        raise InputError(
            where, f"does not know a word of {user!r}", "give it a benchmark in its own words"
        )
    return Rendered(tokenizer.decode(ids, clean_up_tokenization_spaces=False), ids)


def _chat(tokenizer: PreTrainedTokenizerBase, asked: list[dict], where: str) -> list[int]:
    if tokenizer.chat_template is None:
        raise InputError(where, "has no chat template", "set its format to plain")
    system = next((message["content"] for message in asked if message["role"] == "system"), None)
    _compile_jinja_template(tokenizer.chat_template).globals["strftime_now"] = TODAY.strftime
    apply = partial(tokenizer.apply_chat_template, add_generation_prompt=True)
    try:
        ids = apply(asked, tokenize=True)["input_ids"]
        text = apply(asked, tokenize=False) if system else ""
    except Exception as error:  # a template raises whatever its author chose
        remedy = "set system_role: fold_into_user" if system else "correct its chat template"
        raise InputError(where, f"its template refuses: {error}", remedy) from error
    if system and system not in text:
        remedy = "set system_role: fold_into_user"
        raise InputError(where, "its template drops the system message", remedy)
    return ids
