"""No card is needed: nvidia-smi is a script that lists three, and the locks are real."""

import os
import subprocess
import sys
import time

import pytest
from workspace import ROOT

from expression_leakage import gpus
from expression_leakage.errors import InputError

HOLD = """
import os, sys
from expression_leakage.gpus import given_gpus
with given_gpus(int(sys.argv[1]), "model m"):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def three_cards(tmp_path, monkeypatch):
    """A machine with three cards and no lock on any."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nprintf 'GPU-a1\\nGPU-b2\\nGPU-c3\\n'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "workflow" / "scripts"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def holder(count):
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_jobs_of_one_machine_get_cards_of_their_own(three_cards):
    jobs = [holder(2), holder(1)]
    shown = [job.stdout.readline().strip() for job in jobs]
    assert sorted(",".join(shown).split(",")) == ["GPU-a1", "GPU-b2", "GPU-c3"]
    for job in jobs:
        job.communicate()


def test_a_job_waits_for_cards_even_of_one_that_was_killed(three_cards, monkeypatch):
    first = holder(3)
    first.stdout.readline()
    second = holder(1)
    time.sleep(0.5)
    assert second.poll() is None
    first.kill()
    assert second.stdout.readline().strip() == "GPU-a1"
    first.communicate()
    second.communicate()


def test_a_job_without_gpus_sees_none(three_cards):
    with gpus.given_gpus(0, "model m") as cards:
        assert cards == []
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ("2,0", ["GPU-c3", "GPU-a1"]),
        ("GPU-b", ["GPU-b2"]),
        ("", []),
        (None, ["GPU-a1", "GPU-b2", "GPU-c3"]),
    ],
)
def test_the_cards_that_a_scheduler_shows_are_the_ones_given_out(
    three_cards, monkeypatch, shown, found
):
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert gpus.visible_cards() == found


def test_more_gpus_than_there_are_is_an_error_at_once(three_cards):
    with (
        pytest.raises(InputError, match="asks for 4 GPUs, and there are 3"),
        gpus.given_gpus(4, "model m"),
    ):
        pass


def test_gpus_on_a_machine_without_any_is_an_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(gpus, "_other_accelerator", lambda: False)
    with (
        pytest.raises(InputError, match=r"asks for 1 GPUs, and there is none.*gpus: 0"),
        gpus.given_gpus(1, "model m"),
    ):
        pass
