"""The hub as a source of models: what an entry names there, and what may be wrong with it."""

import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_url,
    is_offline_mode,
    resolve_revision,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
    StrictDataclassError,
)

from expression_leakage.errors import InputError
from expression_leakage.models.entry import Entry

COMMIT = re.compile(r"[0-9a-f]{40}")
# What the hub's client and transformers raise where a model, or the way to it, is at fault.
LOADING_ERRORS = (
    OSError,
    ValueError,
    HTTPError,
    EntryNotFoundError,
    RevisionResolutionError,
    StrictDataclassError,
)
_UNREACHABLE = (HTTPError, LocalEntryNotFoundError, RevisionResolutionError)


def said(error: BaseException, entry: Entry) -> InputError:
    """One line for whatever loading an entry raised: the entry, the fault and its remedy.

    transformers wraps the hub's own errors in an OSError, so the whole chain of causes is read.

    Parameters
    ----------
    error
        One of LOADING_ERRORS, as caught.
    """
    chain = list(_causes(error))
    for link in chain:
        if isinstance(link, InputError):
            return link
    for fits, tell in _FAULTS:
        for link in chain:
            if fits(link):
                return InputError(where(entry), *tell(entry, link))
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return InputError(
        where(entry), f"cannot be loaded: {first.strip()}", "correct `source` or `revision`"
    )


def where(entry: Entry) -> str:
    """How an error names an entry."""
    named = f" ({entry.source})" if entry.source != entry.name else ""
    return f"model {entry.name!r}{named}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _page(entry: Entry) -> str:
    return f"{constants.ENDPOINT}/{entry.source}"


def _gated(entry: Entry, error: BaseException) -> tuple[str, str]:
    if get_token() is None:
        return (
            "is gated, and no token is set",
            f"accept its terms at {_page(entry)} and set HF_TOKEN",
        )
    fault = "is gated, and the account of HF_TOKEN has no access"
    return fault, f"accept its terms at {_page(entry)} with that account"


def _missing(entry: Entry, error: BaseException) -> tuple[str, str]:
    fault = f"is no folder here and no model of {constants.ENDPOINT}"
    return fault, "correct `source`; if the model is private, set HF_TOKEN"


def _no_revision(entry: Entry, error: BaseException) -> tuple[str, str]:
    remedy = f"name one listed at {_page(entry)}/commits/main"
    return f"has no revision {entry.revision!r}", remedy


def _uncached(entry: Entry, error: BaseException) -> tuple[str, str]:
    at = f" at revision {entry.revision!r}" if entry.revision else ""
    fault = f"is not whole{at} in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set"
    return fault, "unset HF_HUB_OFFLINE to download it, or point HF_HOME to a cache that has it"


def _status(entry: Entry, error: HfHubHTTPError) -> tuple[str, str]:
    status = error.response.status_code
    if status == 401:
        return f"{constants.ENDPOINT} does not know the token", "set HF_TOKEN to a valid one"
    remedies = {403: "use a token that may read it", 429: "wait, or set HF_TOKEN"}
    fault = f"{constants.ENDPOINT} answers with status {status}"
    return fault, remedies.get(status, "try again later")


def _no_file(entry: Entry, error: BaseException) -> tuple[str, str]:
    return f"lacks a file: {_last_line(error)}", "name a repository of a transformers model"


def _no_network(entry: Entry, error: BaseException) -> tuple[str, str]:
    fault = f"{constants.ENDPOINT} cannot be reached, and the model is not in the cache"
    return fault, "mend the network (or HF_ENDPOINT); HF_HUB_OFFLINE=1 uses the cache alone"


def _no_space(entry: Entry, error: BaseException) -> tuple[str, str]:
    return f"no space is left in {constants.HF_HUB_CACHE}", "free some or point HF_HOME elsewhere"


def _needs_code(entry: Entry, error: BaseException) -> tuple[str, str]:
    fault = "comes with code of its own, which is never run"
    return fault, "use a model whose architecture transformers has"


def _unknown(entry: Entry, error: BaseException) -> tuple[str, str]:
    fault = "its architecture is no causal language model that transformers has"
    return fault, "use another model, or another version of transformers"


def _last_line(error: BaseException) -> str:
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1]


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kinds)


def _says(*phrases: str) -> Callable[[BaseException], bool]:
    """transformers raises a plain ValueError: only its words tell what was at fault."""
    return lambda error: isinstance(error, ValueError) and any(p in str(error) for p in phrases)


# Which errors mean which fault, the more special first.
_FAULTS: list[tuple[Callable[[BaseException], bool], Callable[..., tuple[str, str]]]] = [
    (_is(GatedRepoError), _gated),
    (_is(RepositoryNotFoundError, HFValidationError), _missing),
    (_is(RevisionNotFoundError), _no_revision),
    (lambda e: isinstance(e, OSError) and e.errno == errno.ENOSPC, _no_space),
    (_is(OfflineModeIsEnabled), _uncached),
    (lambda e: is_offline_mode() and isinstance(e, _UNREACHABLE), _uncached),
    (lambda e: isinstance(e, EntryNotFoundError) and not _is(*_UNREACHABLE[1:])(e), _no_file),
    (_is(HfHubHTTPError), _status),
    (_is(*_UNREACHABLE), _no_network),
    (_says("trust_remote_code"), _needs_code),
    (_says("does not recognize this architecture", "Unrecognized"), _unknown),
]


def resolved_revision(entry: Entry) -> str | None:
    """The commit that an entry's revision names at this moment; None for a local folder.

    transformers keeps no record of the commit that it loads (up to version 4 its configurations
    had one), so whoever loads a model asks here first and passes the answer on as `revision`.
    What the hub itself says of the configuration file decides, or the place it has in the cache;
    nothing is downloaded.

    Raises
    ------
    InputError
        A local folder has a revision; the hub does not know it, refuses it or cannot be reached;
        the revision is a full commit and the hub gave another one.
    """
    if Path(entry.source).is_dir():
        if entry.revision is not None:
            fault = f"is a local folder and has no revision {entry.revision!r}"
            raise InputError(where(entry), fault, "remove `revision`")
        return None
    try:
        found = _commit(entry)
    except LOADING_ERRORS as error:
        raise said(error, entry) from error
    if COMMIT.fullmatch(entry.revision or "") and found != entry.revision:
        fault = f"revision is {entry.revision}, and the hub gave {found}"
        raise InputError(where(entry), fault, "correct `revision`, or HF_ENDPOINT")
    return found


def _commit(entry: Entry) -> str | None:
    name, offline = "config.json", is_offline_mode()
    named = resolve_revision(entry.source, revision=entry.revision, local_files_only=offline)
    # The client keeps a file under the commit that the hub gave with it.
    if isinstance(try_to_load_from_cache(entry.source, name, revision=named.resolved), str):
        return named.resolved
    if offline:
        raise LocalEntryNotFoundError(name)
    # Unlike a download, this fails at once where there is no network.
    url = hf_hub_url(entry.source, name, revision=named.resolved)
    return get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT).commit_hash
