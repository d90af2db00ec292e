import errno
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expression_leakage.errors import InputError
from expression_leakage.job import logged


def test_bad_input_is_one_line_in_the_terminal_and_in_the_log(tmp_path):
    said = re.escape("error: items.csv row 3: is empty — fill it in")
    with pytest.raises(SystemExit, match=said), logged(tmp_path / "log"):
        raise InputError("items.csv row 3", "is empty", "fill it in")
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("library", ["python", "arrow"])
def test_a_full_disk_is_one_line_with_its_remedy(tmp_path, library):
    full = tmp_path / "full"  # a link: pyarrow removes what it could not write
    full.symlink_to("/dev/full")
    said = r"^error: .* is full — free some space and run again$"
    with pytest.raises(SystemExit, match=said), logged(tmp_path / "log"):
        if library == "arrow":
            pq.write_table(pa.table({"a": range(10_000)}), full)
        full.write_text("x")


def test_another_fault_of_a_file_keeps_its_traceback(tmp_path):
    with pytest.raises(OSError, match="No such file") as raised, logged(tmp_path / "log"):
        (tmp_path / "nowhere").read_text()
    assert raised.value.errno == errno.ENOENT
    assert "Traceback" in (tmp_path / "log").read_text()
