"""Annotators without their names: a keyed hash, and where its key comes from.

The key (the salt) is kept apart from data and code, so that the hash of a name or of an e-mail
address cannot be found again by hashing guesses.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from expression_leakage.errors import InputError

SALT_VARIABLE = "EXPRESSION_LEAKAGE_SALT"

_SHORTEST = 16
_REPOSITORY = Path(__file__).resolve().parents[4]
_REMEDY = f"set {SALT_VARIABLE} to a secret of {_SHORTEST} characters or more"


def annotator_salt() -> str:
    """The secret that the hashes of annotators depend on.

    It is the environment variable EXPRESSION_LEAKAGE_SALT; where that is not set, a file in the
    user's configuration folder (``$XDG_CONFIG_HOME`` or ``~/.config``,
    ``expression-leakage/salt``), which the first call makes of 32 random bytes, readable by its
    owner only. Calls in several processes at once get the same salt.

    Returns
    -------
    str
        At least 16 characters. It belongs in no table, report or log.

    Raises
    ------
    InputError
        The variable or the file holds fewer than 16 characters, or the file can be neither read
        nor made, or would lie inside the repository.
    """
    if SALT_VARIABLE in os.environ:
        return _long_enough(os.environ[SALT_VARIABLE], SALT_VARIABLE, _REMEDY)
    path = _salt_file()
    try:
        if not path.exists():
            _make(path)
        salt = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"the secret that hides annotators cannot be kept there: {error}"
        raise InputError(path, what, _REMEDY) from error
    return _long_enough(salt, path, f"restore the file, or {_REMEDY}")


def pseudonym(person: str, salt: str) -> str:
    """Twelve hex digits that stand for a person: HMAC-SHA256 of what identifies them.

    Parameters
    ----------
    person
        Name, number or address, with the tool it belongs to.
    salt
        See `annotator_salt`.

    References
    ----------
    H. Krawczyk, M. Bellare and R. Canetti, "HMAC: Keyed-Hashing for Message Authentication",
    RFC 2104 (1997).
    """
    return hmac.new(salt.encode(), person.encode(), hashlib.sha256).hexdigest()[:12]


def _long_enough(salt: str, where: object, remedy: str) -> str:
    if len(salt.strip()) < _SHORTEST:
        raise InputError(where, f"a salt of fewer than {_SHORTEST} characters", remedy)
    return salt.strip()


def _salt_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        # The XDG Base Directory Specification has relative paths ignored.
        base = Path(folder) if Path(folder).is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise InputError("~/.config", "there is no home folder", _REMEDY) from error
    path = base.resolve() / "expression-leakage" / "salt"
    if path.is_relative_to(_REPOSITORY):
        what = "the secret that hides annotators must not lie inside the repository"
        raise InputError(path, what, _REMEDY)
    return path


def _make(path: Path) -> None:
    """Write a new salt aside and link it to its name, unless another process was quicker."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, part = tempfile.mkstemp(dir=path.parent)  # its mode is 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32) + "\n")
        # A link, unlike a rename, never replaces what the other has read already.
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        Path(part).unlink()
