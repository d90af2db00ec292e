import hashlib
import hmac
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from expression_leakage.errors import InputError
from expression_leakage.labelling.people import SALT_VARIABLE, annotator_salt, pseudonym

ROOT = Path(__file__).parents[2]
REMEDY = f"set {SALT_VARIABLE} to a secret of 16 characters or more"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_pseudonym_is_the_keyed_hash_of_a_person():
    salt = "a salt of some length"
    digest = hmac.new(salt.encode(), b"sheet:anna", hashlib.sha256).hexdigest()
    assert pseudonym("sheet:anna", salt) == digest[:12]
    assert pseudonym("sheet:anna", salt + "!") != digest[:12]
    assert pseudonym("sheet:ann\u00e4", salt) != digest[:12]


def test_the_environment_has_the_first_say_and_no_file_is_made(home, monkeypatch):
    monkeypatch.setenv(SALT_VARIABLE, " 0123456789abcdef\n")
    assert annotator_salt() == "0123456789abcdef"
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("short", ["", "123456789012345", " " * 20, "123456789012345 \n"])
def test_an_empty_or_short_salt_is_refused_and_not_shown(home, monkeypatch, short):
    monkeypatch.setenv(SALT_VARIABLE, short)
    with pytest.raises(InputError, match=f"^{SALT_VARIABLE}: .*fewer than 16") as caught:
        annotator_salt()
    assert str(caught.value).endswith(REMEDY)
    assert "12345" not in str(caught.value)


def test_without_one_a_salt_is_made_once_for_the_owners_eyes_only(home):
    salt = annotator_salt()
    assert len(bytes.fromhex(salt)) == 32
    path = home / ".config" / "expression-leakage" / "salt"
    assert path.read_text().strip() == salt
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert annotator_salt() == salt
    assert [entry.name for entry in path.parent.iterdir()] == ["salt"]
    path.unlink()
    assert annotator_salt() != salt


def test_the_users_configuration_folder_may_be_elsewhere(home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    salt = annotator_salt()
    assert (home / "elsewhere" / "expression-leakage" / "salt").read_text().strip() == salt
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert annotator_salt() != salt
    assert (home / ".config" / "expression-leakage" / "salt").is_file()


def test_a_damaged_salt_file_is_not_made_anew(home):
    path = home / ".config" / "expression-leakage" / "salt"
    path.parent.mkdir(parents=True)
    for damaged in (b"", b"short", b"\xff" * 40):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"set {SALT_VARIABLE}") as caught:
            annotator_salt()
        assert str(caught.value).startswith(str(path))
        assert path.read_bytes() == damaged


@pytest.mark.parametrize("through_a_link", [False, True])
def test_no_salt_is_kept_inside_the_repository(home, monkeypatch, through_a_link):
    inside = ROOT / "results"
    if through_a_link:
        (home / "link").symlink_to(inside)
        inside = home / "link"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(inside))
    with pytest.raises(InputError, match=f"inside the repository — set {SALT_VARIABLE}"):
        annotator_salt()
    assert not (ROOT / "results" / "expression-leakage").exists()


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(home):
    (home / ".config").write_text("a file where a folder is due")
    with pytest.raises(InputError, match=f"cannot be kept there.*set {SALT_VARIABLE}") as caught:
        annotator_salt()
    assert str(caught.value).startswith(str(home / ".config"))


def test_without_a_home_the_remedy_is_told(home, monkeypatch):
    def lost():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", lost)
    with pytest.raises(InputError, match=f"no home folder — set {SALT_VARIABLE}"):
        annotator_salt()


def test_a_salt_that_another_job_makes_in_between_is_taken(home, monkeypatch):
    path = home / ".config" / "expression-leakage" / "salt"
    link = os.link

    def late(part, target):
        path.write_text("made by the other job")
        link(part, target)

    monkeypatch.setattr(os, "link", late)
    assert annotator_salt() == path.read_text() == "made by the other job"
    assert [entry.name for entry in path.parent.iterdir()] == ["salt"]


def test_jobs_that_start_at_once_get_the_same_salt(home):
    program = (
        "from expression_leakage.labelling.people import annotator_salt; print(annotator_salt())"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert len({job.communicate()[0] for job in jobs}) == 1
    assert all(job.returncode == 0 for job in jobs)
