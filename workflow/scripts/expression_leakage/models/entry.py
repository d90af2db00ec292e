"""A model's entry in ``config/models``, and which prompts it is asked. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

# What a job of the model is given; none of it can change a sample.
RESOURCES = ("threads", "gpus", "mem_mb", "parts", "max_failed", "shard_prompts")


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server: the key `endpoint` of an entry.

    Parameters
    ----------
    base_url
        Address of its API, such as ``http://127.0.0.1:8000/v1``.
    token_env
        Name of the environment variable that holds the token; None: it asks for none.
    concurrency
        Requests under way at a time.
    retries
        Further tries of a request that failed for a passing reason.
    timeout
        Of one request [s].
    input_price, output_price
        Price of a million tokens, in any one currency.
    budget
        Spend no more than this on the entry, in that currency; None: no limit.
    extra_body
        Further fields of every request, as the server documents them.
    """

    base_url: str
    token_env: str | None = None
    concurrency: int = 8
    retries: int = 5
    timeout: float = 120.0
    input_price: float = 0.0
    output_price: float = 0.0
    budget: float | None = None
    extra_body: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Entry:
    """What a user says of a model; ``workflow/schemas/models.schema.yaml`` says what each key is.

    Parameters
    ----------
    source
        Hub id or local folder; for an organism, the folder it was trained into; for a package's
        model, the one it was unpacked into; for an endpoint, the name its server knows the model
        by.
    parameters
        As declared; checked against the loaded model.
    batch_rows
        Continuations that are drawn at a time.
    """

    name: str
    family: str
    parameters: float
    source: str
    format: str
    backend: str = "local"
    revision: str | None = None
    dtype: str = "float32"
    system_role: str = "required"
    batch_rows: int = 80
    endpoint: Server | None = None


def as_entry(values: Mapping, source: str | None = None) -> Entry:
    """An entry from its validated YAML, with `source` in place of how its folder is made."""
    known = {field.name for field in fields(Entry)}
    chosen = {key: value for key, value in values.items() if key in known}
    if "endpoint" in chosen:
        chosen["endpoint"] = Server(**chosen["endpoint"])
    return Entry(**({"source": source} | chosen if source else chosen))


def messages(entry: Entry, system: str | None, user: str) -> list[dict[str, str]]:
    """A prompt as chat messages; the system's is put into the user's where the entry says so."""
    if system and entry.system_role == "fold_into_user":
        system, user = None, f"{system}\n\n{user}"
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": user}]


def what_decides_samples(values: Mapping) -> dict:
    """An entry without its resources, so that a change of those draws nothing anew."""
    return {key: value for key, value in values.items() if key not in RESOURCES}


def prompt_sets(values: dict, config: dict) -> list[str]:
    """Names of the prompt tables a model is asked, as ``<source>-<wording>[-<items>]``.

    Items of the grammar are worded in the grammar; others in the model's own format.
    """
    by_family, family = config["benchmark"]["sources"], values["family"]
    few = config["benchmark"]["items"].get(family)
    names = [
        f"{s}-{'grammar' if s == 'grammar' else values['format']}"
        for s in by_family.get(family, by_family["default"])
    ]
    return names if few is None else [f"{name}-{few}" for name in names]
