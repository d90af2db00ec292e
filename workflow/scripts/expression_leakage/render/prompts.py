"""What a model was shown, for a reader's own eye: one prompt of each cell."""

import re
from collections.abc import Mapping

import pandas as pd

from expression_leakage.render.formats import to_html

_FORMS = {
    ("chat", "required"): "its own chat template",
    ("chat", "fold_into_user"): "its own chat template, system messages folded into the user's",
    ("plain", "required"): "plain text",
    ("plain", "fold_into_user"): "plain text",
}


def prompts_page(prompts: pd.DataFrame, rendered: pd.DataFrame, entry: Mapping) -> str:
    """An HTML page with the prompt of the first item of each condition and mitigation.

    Parameters
    ----------
    prompts, rendered
        PROMPTS and RENDERED rows of one model.
    entry
        Its name, format and system_role.
    """
    first = (
        prompts.merge(rendered[["prompt_id", "text", "token_ids"]], on="prompt_id")
        .sort_values(["relevance", "item_id"])
        .drop_duplicates(["condition", "mitigation"])
        .sort_values(
            ["mitigation", "condition"], key=lambda names: names.where(names != "none", "")
        )
    )
    shown = pd.DataFrame(
        {
            "Mitigation": first["mitigation"],
            "Condition": first["condition"],
            "Tokens": ["–" if ids is None else str(len(ids)) for ids in first["token_ids"]],
            "As the model reads it": [_visible(text) for text in first["text"]],
        }
    )
    form = _FORMS[entry["format"], entry.get("system_role", "required")]
    caption = (
        f"Prompts of {entry['name']}, by {form}: the first item of each condition and mitigation."
    )
    return to_html(shown, caption, f"Prompts of {entry['name']}")


def _visible(text: str) -> str:
    """A prompt with its line breaks, and its spaces where they are many or stand at an end."""
    text = text.replace("\n", "⏎").replace("\t", "⇥")
    return re.sub(r"^ +| +$| {2,}", lambda found: "·" * len(found[0]), text)
