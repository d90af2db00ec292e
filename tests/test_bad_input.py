"""What a user gets wrong is said in one line, before any job runs."""

import re

import pytest
from workspace import copy_checkout, snakemake

CASES = {
    "a typo in a key": (
        "config/tiny.yaml",
        lambda t: t.replace("samples: 2", "sampels: 2"),
        r"config/tiny\.yaml: sampling: .*'sampels' was unexpected.* known keys: ",
    ),
    "a wrong type": (
        "config/tiny.yaml",
        lambda t: t.replace("draws: 200", "draws: many"),
        r"inference\.draws: 'many' is not of type 'integer' — expected type integer",
    ),
    "a missing file": (
        "config/tiny.yaml",
        lambda t: t + "claims: config/claim.yaml\n",
        r"config/claim\.yaml: no such file — ",
    ),
    "an unknown field of a model": (
        "config/models/tiny.yaml",
        lambda t: t.replace("format: chat", "fromat: chat"),
        r"config/models/tiny\.yaml: entry \d \(organism-\d+k-\d\): .*'fromat' was unexpected",
    ),
    "an empty benchmark": (
        "resources/benchmark/stems.csv",
        lambda t: t.splitlines()[0] + "\n",
        r"stems\.csv.* — ",
    ),
    "a duplicate": (
        "resources/benchmark/stems.csv",
        lambda t: t + t.splitlines()[1] + "\n",
        r"stems\.csv, line \d+: .*My hobby is.* — ",
    ),
    "an injection without valence": (
        "resources/benchmark/injections.csv",
        lambda t: re.sub(r",-?[\d.]+\n", ",\n", t, count=1),
        r"injections\.csv, line 2: .*valence.* — ",
    ),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


# The rest differ in the message only, which the tests of each reader hold to the letter.
QUICK = {"a typo in a key", "a missing file", "an injection without valence"}
KINDS = [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


@pytest.mark.parametrize("case", KINDS)
def test_bad_input_is_one_line_before_any_job_runs(checkout, case):
    name, spoil, said = CASES[case]
    path = checkout / name
    good = path.read_text(encoding="utf-8")
    path.write_text(spoil(good), encoding="utf-8")
    try:
        run = snakemake(checkout, "--configfile", "config/tiny.yaml")
    finally:
        path.write_text(good, encoding="utf-8")
    assert run.returncode != 0
    assert re.search(said, run.stdout), run.stdout
    assert "Traceback" not in run.stdout
    assert not (checkout / "results" / "tiny").exists()
