import json

import pytest

from expression_leakage.labelling.formats import read_labels


@pytest.fixture
def read(tmp_path):
    def read(content, name="a"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8", newline="")
        return read_labels(path)

    return read
