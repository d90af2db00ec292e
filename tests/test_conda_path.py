"""The documented command for people with conda runs: `snakemake --cores all --use-conda`.

Where no conda is installed a stand-in under tests/conda takes its place. It builds a virtual
environment from environment.yml, so this proves the wiring (every rule names the environment,
the environment is complete), not that conda can solve it.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAND_IN = ROOT / "tests" / "conda" / "bin"
# What Snakemake itself makes of the rules, whichever way they are written. Private attributes of
# its API, whose version is pinned.
RULES = """
import json, pathlib
from snakemake.api import OutputSettings, ResourceSettings, SnakemakeApi
with SnakemakeApi(OutputSettings(quiet=set())) as api:
    study = api.workflow(ResourceSettings(), snakefile=pathlib.Path("Snakefile"))._workflow
    print(json.dumps([[r.name, str(r.snakefile), r.conda_env] for r in study.rules if not r.norun]))
"""
WITH_CONDA = ["--use-conda", "--configfile", "config/tiny.yaml"]


def activate(environment: Path, command: str) -> subprocess.CompletedProcess:
    """Run ``command`` the way Snakemake does, after sourcing ``activate``."""
    line = f"source {STAND_IN / 'activate'} '{environment}'; {command}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True)


def test_activate_stops_the_job_when_the_environment_is_missing(tmp_path):
    job = activate(tmp_path / "missing", "echo the job ran")
    assert job.returncode == 1
    assert job.stdout == ""
    assert "there is no environment" in job.stderr


def test_activate_puts_the_environment_first(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    job = activate(tmp_path, "command -v python && echo $CONDA_PREFIX")
    assert job.stdout.split() == [str(python), str(tmp_path)]


def test_stand_in_refuses_what_it_cannot_do(tmp_path):
    listed = tmp_path / "environment.yml"
    listed.write_text("dependencies:\n  - numpy\n")
    create = ["env", "create", "--file", listed, "--prefix", tmp_path / "made"]
    for command, message in ((["install", "numpy"], "invalid choice"), (create, "no pip section")):
        refused = subprocess.run([STAND_IN / "conda", *command], capture_output=True, text=True)
        assert refused.returncode != 0
        assert message in refused.stderr


def test_every_rule_names_the_one_environment():
    asked = subprocess.run(
        [sys.executable, "-c", RULES], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    rules = json.loads(asked.stdout)
    assert rules
    others = [
        name
        for name, file, named in rules
        if named is None or (Path(file).parent / named).resolve() != ROOT / "environment.yml"
    ]
    assert others == []


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the checkout, with nothing that a run leaves behind."""
    copy = tmp_path_factory.mktemp("checkout") / "study"
    left = ".git", ".venv*", ".snakemake", "results", ".*_cache", "__pycache__"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*left))
    return copy


@pytest.fixture(scope="module")
def snakemake(checkout):
    """Run the host's snakemake in the copy, with a conda on PATH."""
    here = [str(Path(sys.executable).parent)]
    if shutil.which("conda") is None:
        here.insert(0, str(STAND_IN))
    path = os.pathsep.join([*here, os.environ["PATH"]])

    def run(*arguments: str) -> str:
        done = subprocess.run(
            ["snakemake", *arguments],
            cwd=checkout,
            env=os.environ | {"PATH": path, "OMP_WAIT_POLICY": "PASSIVE"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-8000:]
        return done.stdout

    return run


@pytest.mark.slow
def test_the_study_runs_in_the_environment_that_conda_builds(checkout, snakemake):
    log = snakemake("--cores", "all", *WITH_CONDA)
    assert "Activating conda environment" in log
    claims = list(checkout.glob("results/**/claims.json"))
    assert claims
    assert all(json.loads(path.read_text()) for path in claims)

    again = snakemake("--cores", "all", *WITH_CONDA)
    assert "Nothing to be done" in again

    listed = snakemake("--list-conda-envs", *WITH_CONDA).splitlines()
    table = [line.split("\t") for line in listed if "\t" in line][1:]
    assert [row[0] for row in table] == ["environment.yml"]

    # A script may still import the host's packages; an isolated Python may not.
    names = runpy.run_path(str(ROOT / "tests" / "test_environment.py"))
    imports = "; ".join(f"import {names['module'](name)}" for name in names["direct"]())
    python = checkout / table[0][-1] / "bin" / "python"
    isolated = subprocess.run([python, "-I", "-c", imports], capture_output=True, text=True)
    assert isolated.returncode == 0, isolated.stderr
