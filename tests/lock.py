"""Freeze what the direct dependencies need in turn (`make lock`).

Each of the two lists, environment.yml and tests/requirements.txt, holds direct dependencies,
then a marker line, then their transitive closure as installed in the running environment.
This script rewrites the lines below the marker and nothing else.
"""

import re
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LISTS = ROOT / "environment.yml", ROOT / "tests" / "requirements.txt"
MARKER = "in turn, frozen"
PIN = re.compile(r"(?m)^(?: *- )?([\w.-]+)==([^\s#]+)")
# A CUDA build of torch brings these; the pins are for the CPU, and pip adds what a GPU needs.
CUDA = re.compile(r"nvidia-|cuda-|triton$")


def pins(text: str) -> dict[str, str]:
    """Exact pins of a list, ``{name: version}``."""
    return dict(PIN.findall(text))


def halves(path: Path) -> tuple[str, str]:
    """Text of a list up to and with its marker line, and after it."""
    head, marker, tail = re.split(rf"(?m)^(.*{MARKER}.*\n)", path.read_text(), maxsplit=1)
    return head + marker, tail


def closure(names: list[str]) -> dict[str, str]:
    """All that ``names`` need in the running environment, ``{name: public version}``."""
    found, seen = {}, set()
    todo = [(name, frozenset[str]()) for name in names]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen or CUDA.match(name):
            continue
        seen.add((name, extras))
        here = distribution(name)
        found[canonicalize_name(name)] = f"{here.metadata['Name']}=={Version(here.version).public}"
        for need in map(Requirement, here.requires or []):
            wanted = (need.marker.evaluate({"extra": extra}) for extra in {"", *extras})
            if need.marker is None or any(wanted):
                todo.append((canonicalize_name(need.name), frozenset(need.extras)))
    return dict(pin.split("==") for _, pin in sorted(found.items()))


def frozen(path: Path, elsewhere: dict[str, str]) -> str:
    """The lines that belong below the marker of ``path``; ``elsewhere`` is pinned already."""
    head, _ = halves(path)
    direct = pins(head)
    for name, pin in direct.items():
        if Version(version(name)).public != pin:
            raise SystemExit(f"{path.name}: {name}=={pin}, but {version(name)} is installed")
    known = {canonicalize_name(name) for name in (*direct, *elsewhere)}
    indent = "      - " if path.suffix == ".yml" else ""
    return "".join(
        f"{indent}{name}=={pin}\n"
        for name, pin in closure(list(direct)).items()
        if canonicalize_name(name) not in known
    )


if __name__ == "__main__":
    elsewhere: dict[str, str] = {}
    for path in LISTS:
        path.write_text(halves(path)[0] + frozen(path, elsewhere))
        elsewhere |= pins(path.read_text())
