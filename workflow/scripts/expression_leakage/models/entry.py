"""A model's entry in ``config/models``, and which prompts it is asked. No torch here."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Entry:
    """What a user says of a model; ``workflow/schemas/models.schema.yaml`` says what each key is.

    Parameters
    ----------
    source
        Hub id or local folder; for an organism, the folder it was trained into.
    parameters
        As declared; checked against the loaded model.
    batch_rows
        Prompts × samples that are continued at a time.
    """

    name: str
    family: str
    parameters: float
    source: str
    format: str
    revision: str | None = None
    dtype: str = "float32"
    system_role: str = "required"
    batch_rows: int = 80


def as_entry(values: dict, source: str | None = None) -> Entry:
    """An entry from its validated YAML, with `source` in place of an organism's shape."""
    known = {field.name for field in fields(Entry)}
    chosen = {key: value for key, value in values.items() if key in known}
    return Entry(**({"source": source} | chosen if source else chosen))


def prompt_sets(values: dict, config: dict) -> list[str]:
    """Names of the prompt tables a model is asked, as ``<source>-<wording>``.

    Items of the grammar are worded in the grammar; others in the model's own format.
    """
    by_family = config["benchmark"]["sources"]
    sources = by_family.get(values["family"], by_family["default"])
    return [f"{s}-{'grammar' if s == 'grammar' else values['format']}" for s in sources]
