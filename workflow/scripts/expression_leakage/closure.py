"""Which of the library's files a script or notebook imports, directly or not."""

import ast
import json
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent


@cache
def imported_files(path: Path) -> frozenset[Path]:
    """Files of this library that a script, a notebook or a module of it needs.

    Imports inside functions count too: they are only made later.

    Parameters
    ----------
    path
        A ``.py`` or ``.ipynb`` file.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    found: set[Path] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARY.name):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {file for file in map(_file, names) if file}
    for file in sorted(found):
        found |= imported_files(file)
    return frozenset(found)


def _file(module: str) -> Path | None:
    """File of a module; None for a package or a name within a module."""
    path = LIBRARY.parent.joinpath(*module.split(".")).with_suffix(".py")
    return path if path.is_file() else None
