"""A copy of the checkout to run the workflow in, as a user would, without touching the real one."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_checkout(folder: Path) -> Path:
    """Copy what is in the repository into a folder; nothing that a run made."""
    made = shutil.ignore_patterns(
        ".git", ".venv*", ".snakemake", "__pycache__", ".*_cache", "labels", "*.part"
    )
    shutil.copytree(ROOT, folder, ignore=made, dirs_exist_ok=True)
    for path in (folder / "results").iterdir():
        if path.name != "README.md":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def start_snakemake(folder: Path, *arguments: str, **options: object) -> subprocess.Popen:
    """Start snakemake in a folder on two cores, offline, as the head of a process group."""
    bin_folder = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": bin_folder + os.pathsep + os.environ["PATH"],
        "HF_HUB_OFFLINE": "1",
        "EXPRESSION_LEAKAGE_SALT": "of the tests, and of nobody",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=environment,
        start_new_session=True,
        **options,
    )


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run snakemake to its end; output and errors in `stdout`."""
    run = start_snakemake(
        folder, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = run.communicate(timeout=900)
    except BaseException:
        os.killpg(run.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(run.args, run.returncode, said)
