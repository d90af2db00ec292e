import hashlib

from expression_leakage.declaration import deviation, sha256_of


def test_claims_declared_before_all_samples_are_no_deviation():
    assert deviation("ab", {"small": ["ab"], "large": ["ab"]}) is None


def test_claims_changed_after_some_samples_name_the_models():
    said = deviation("ab", {"small": ["ab"], "large": ["ab", "cd"], "huge": ["cd"]})
    assert said == (
        "The claims were changed after samples of 2 of 3 models had been drawn: large, huge."
    )


def test_samples_that_noted_nothing_are_said_to_be_unknown_not_sound():
    for nothing in ([], [""], ["ab", ""]):
        said = deviation("ab", {"small": ["ab"], "old": nothing})
        assert said.endswith("is not known: old.")


def test_the_hash_is_that_of_the_bytes(tmp_path):
    file = tmp_path / "claims.yaml"
    file.write_bytes(b"a: 1\r\n")
    assert sha256_of(file) == hashlib.sha256(b"a: 1\r\n").hexdigest()
