from pathlib import Path

import pandas as pd
import pytest
import yaml

from expression_leakage import tables
from expression_leakage.errors import InputError
from expression_leakage.mitigations import FORMATS, load_mitigations
from expression_leakage.prompts import Plan, build_prompts

RESOURCES = Path(__file__).parents[1] / "resources"
GRAMMAR = {
    "none": "",
    "ignore_context": "Ignore the feeling.",
    "neutral_tone": "Keep a neutral tone.",
    "last_sentence": "Answer only the last sentence.",
    "name_distraction": "First name the distraction.",
    "placebo_wrapper": "Write a short text.",
}
BASELINE = {
    "name": "none",
    "idea": "No attempt.",
    "role": "baseline",
    "wordings": {"chat": {"user": "Go on: {text}"}, "plain": "{text}", "grammar": ""},
}
TONE = {
    "name": "tone",
    "idea": "An even tone.",
    "role": "mitigation",
    "wordings": {"plain": "Evenly: {text}"},
}


@pytest.fixture(scope="module")
def mitigations():
    return load_mitigations(RESOURCES / "mitigations.yaml")


@pytest.fixture
def items():
    injections = {
        "control": "I am seated.", "negative": "I am blue.", "placebo": "I am awake.",
        "plain": "", "positive": "I am {text} {0} happy.",
    }  # fmt: skip
    rows = [
        {
            "item_id": item_id, "source": "curated", "topic": "hobby", "relevance": relevance,
            "stem": "My hobby is", "condition": condition, "injection": injection,
            "form": "adjective", "n_words": 3, "valence": 0.0, "origin": "stems.csv, line 2",
        }
        for item_id, relevance in {"i1": "irrelevant", "i2": "irrelevant", "i3": "relevant"}.items()
        for condition, injection in injections.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def write(tmp_path, entries):
    path = tmp_path / "mitigations.yaml"
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    return path


def test_shipped_wrappers_are_worded_for_every_format_but_few_shot_for_organisms(mitigations):
    assert list(mitigations) == [
        "none", "ignore_context", "neutral_tone", "last_sentence", "name_distraction", "few_shot",
        "placebo_wrapper",
    ]  # fmt: skip
    for name, mitigation in mitigations.items():
        assert {"chat", "plain"} <= set(mitigation.wordings)
        assert ("grammar" in mitigation.wordings) == (name != "few_shot")
    roles = {m.role: m.name for m in mitigations.values()}
    assert (roles["baseline"], roles["placebo"]) == ("none", "placebo_wrapper")


def test_organisms_get_the_wrapper_as_a_system_sentence_and_the_bare_text(items, mitigations):
    prompts = build_prompts(items, mitigations, "grammar")
    systems = prompts.groupby("mitigation")["system"].agg(lambda s: s.fillna("").iloc[0])
    assert systems.to_dict() == GRAMMAR
    assert prompts.loc[prompts["mitigation"] == "none", "system"].isna().all()
    negative = prompts[prompts["condition"] == "negative"]
    assert set(negative["user"]) == {"I am blue. My hobby is"}


def test_few_shot_examples_reuse_nothing_from_the_benchmark(mitigations):
    for kind, column in {"stems": "stem", "injections": "text"}.items():
        texts = pd.read_csv(RESOURCES / "benchmark" / f"{kind}.csv")[column]
        for wording in mitigations["few_shot"].wordings.values():
            assert not [text for text in texts if text in wording.user]


@pytest.mark.parametrize("format", FORMATS)
def test_wrappers_are_tried_on_test_and_control_arms_of_irrelevant_stems(
    format, items, mitigations
):
    prompts = build_prompts(items, mitigations, format)
    tables.check(prompts, tables.PROMPTS, "prompts")
    baseline = prompts[prompts["mitigation"] == "none"]
    assert len(baseline) == len(items)
    wrapped = prompts[prompts["mitigation"] != "none"]
    assert set(wrapped["relevance"]) == {"irrelevant"}
    assert set(wrapped["condition"]) == {"control", "negative", "positive"}
    n_wrappers = sum(format in m.wordings for m in mitigations.values()) - 1
    assert len(wrapped) == n_wrappers * 2 * 3


def test_a_plan_chooses_the_cells(items, mitigations):
    plan = Plan(("plain",), ("negative",), ("relevant",))
    prompts = build_prompts(items, mitigations, "plain", plan)
    baseline = prompts["mitigation"] == "none"
    assert set(prompts.loc[baseline, "condition"]) == {"plain"}
    assert set(prompts.loc[~baseline, "condition"]) == {"negative"}
    assert set(prompts.loc[~baseline, "item_id"]) == {"i3"}


def test_text_stands_as_it_is_in_the_prompt(items, mitigations):
    prompts = build_prompts(items, mitigations, "plain")
    users = prompts[prompts["mitigation"] == "none"].set_index(["item_id", "condition"])["user"]
    assert users["i1", "plain"] == "My hobby is"
    assert users["i1", "negative"] == "I am blue. My hobby is"
    assert users["i1", "positive"] == "I am {text} {0} happy. My hobby is"


def test_prompt_ids_depend_on_all_that_is_asked_but_not_on_row_order(items, mitigations):
    prompts = build_prompts(items, mitigations, "chat")
    shuffled = build_prompts(items.sample(frac=1, random_state=0), mitigations, "chat")
    pd.testing.assert_frame_equal(prompts, shuffled)
    row = prompts[prompts["mitigation"] == "neutral_tone"].iloc[0]
    assert row["prompt_id"] == tables.content_hash(
        "chat", row["item_id"], row["condition"], "neutral_tone", row["system"], row["user"],
        length=16,
    )  # fmt: skip
    plain = build_prompts(items, mitigations, "plain")
    assert not set(plain["prompt_id"]) & set(prompts["prompt_id"])


def test_an_unknown_format_is_an_error(items, mitigations):
    with pytest.raises(InputError, match="unknown 'html' — use one of chat, plain, grammar"):
        build_prompts(items, mitigations, "html")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "non-empty"),
        ({"name": "none"}, "is not of type 'array'"),
        ([BASELINE, TONE, TONE], "entry 3 (tone): the name stands there twice"),
        ([TONE], "the baselines are []"),
        ([BASELINE, {**TONE, "role": "baseline"}], "the baselines are ['none', 'tone']"),
        ([{**BASELINE, "wordings": {"plain": "{text}"}}], "no wording for ['chat', 'grammar']"),
        ([BASELINE, {**TONE, "role": "cure"}], "entry 2 (tone).role: 'cure' is not one of"),
        ([BASELINE, {**TONE, "author": "x"}], "entry 2 (tone): Additional properties"),
        ([BASELINE, "tone"], "entry 2: 'tone' is not of type 'object'"),
        ([BASELINE, {**TONE, "name": "My tone"}], "entry 2 (My tone).name: 'My tone' does not"),
        (
            [BASELINE, {**TONE, "wordings": {"plain": "Evenly"}}],
            "entry 2 (tone): the plain wording holds {text} 0 times",
        ),
        (
            [BASELINE, {**TONE, "wordings": {"chat": {"user": "{text} {text}"}}}],
            "entry 2 (tone): the chat wording holds {text} 2 times",
        ),
        (
            [BASELINE, {**TONE, "wordings": {"chat": {"system": "Evenly."}}}],
            "entry 2 (tone).wordings.chat: 'user' is a required property",
        ),
    ],
)
def test_bad_wrappers_are_told_in_one_line(entries, said, tmp_path):
    assert_one_line(write(tmp_path, entries), said)


def test_a_missing_or_broken_file_is_told_in_one_line(tmp_path):
    assert_one_line(tmp_path / "mitigations.yaml", "no such file")
    (tmp_path / "broken.yaml").write_text("- name: [none\n- x", encoding="utf-8")
    assert_one_line(tmp_path / "broken.yaml", "is not YAML")


def assert_one_line(path, said):
    with pytest.raises(InputError) as caught:
        load_mitigations(path)
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert " — " in message
    assert "\n" not in message
