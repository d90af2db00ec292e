import numpy as np
import pandas as pd
import pytest
from workspace import ROOT

from expression_leakage.errors import InputError
from expression_leakage.labelling import tasks
from expression_leakage.tables import GENERATIONS, TASK_KEY, read_table, write_table

CHECKS = ROOT / "resources/annotation/checks.csv"
HEADER = "kind,stem,text,other,expected\n"


def generations(models=("small-model", "large-model"), n_items=6, text=None):
    rows = []
    for model in models:
        for item in range(n_items):
            for condition in ("control", "negative", "placebo", "positive"):
                for sample in (0, 1):
                    said = f" walking {item}, {condition}, {sample}." if text is None else text
                    rows.append(
                        {
                            "prompt_id": f"prompt-{item}-{condition}",
                            "item_id": f"item-{item}",
                            "source": "curated",
                            "topic": "hobby",
                            "relevance": "relevant" if item == 0 else "irrelevant",
                            "stem": f"My hobby number {item} is",
                            "condition": condition,
                            "injection": f"INJECTED-{condition}.",
                            "mitigation": "none",
                            "system": None,
                            "user": f"INJECTED-{condition}. My hobby number {item} is",
                            "model": model,
                            "family": "some-family",
                            "n_parameters": 1000,
                            "sample": sample,
                            "text": said,
                            "token_ids": None,
                            "n_tokens": 5,
                            "finish_reason": "stop",
                            "mean_logprob": -1.0,
                        }
                    )
    return pd.DataFrame(rows)


def some_checks(n=4):
    rating = {"kind": "rating", "stem": "The box holds", "other": "", "expected": "2|3"}
    pair = {"kind": "pair", "stem": "The bag holds", "other": "dust.", "expected": "test"}
    return pd.DataFrame(
        [{**check, "text": f"joy {i}."} for check in (rating, pair) for i in range(n)]
    )


def blinded(frame, n_ratings, n_pairs, seed=0, checks=None, repeats=0.1, mitigations=("none",)):
    return tasks.blind(
        tasks.draw_ratings(frame, n_ratings, seed, mitigations),
        tasks.draw_pairs(frame, n_pairs, seed, mitigations),
        some_checks() if checks is None else checks,
        seed,
        repeats,
    )


def shown_and_key(frame, n, **options):
    """Key with the columns shown beside; a kind lacks those of the other."""
    shown, key = blinded(frame, n, n, **options)
    return key.merge(pd.concat(shown.values()), on="task_id", validate="one_to_one")


def test_draws_sample_0_of_three_conditions_of_the_same_irrelevant_items_for_every_model():
    drawn = tasks.draw_ratings(generations(), n_items=3, seed=7)
    assert len(drawn) == 2 * 3 * 3
    assert set(drawn["sample"]) == {0}
    assert set(drawn["relevance"]) == {"irrelevant"}
    assert list(drawn.columns) == GENERATIONS.columns
    per_item = drawn.groupby(["model", "item_id"])["condition"].agg(set)
    assert all(found == {"control", "negative", "positive"} for found in per_item)
    items = drawn.groupby("model")["item_id"].agg(set)
    assert items["small-model"] == items["large-model"]


def test_draw_depends_on_the_seed_but_not_on_row_order_or_size():
    frame = generations(n_items=40)
    drawn = tasks.draw_ratings(frame, 5, seed=7)
    mixed = frame.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(drawn, tasks.draw_ratings(mixed, 5, 7))
    assert set(drawn["item_id"]) < set(tasks.draw_ratings(frame, 9, seed=7)["item_id"])
    assert set(drawn["item_id"]) != set(tasks.draw_ratings(frame, 5, seed=8)["item_id"])


def test_draw_skips_items_that_lack_a_condition_and_mitigations_not_asked_for():
    frame = generations(models=("m",), n_items=3)
    frame = frame[~((frame["item_id"] == "item-1") & (frame["condition"] == "positive"))]
    other = frame.assign(mitigation="ignore", prompt_id="other-" + frame["prompt_id"])
    drawn = tasks.draw_ratings(pd.concat([frame, other]), 10, seed=0)
    assert set(drawn["item_id"]) == {"item-2"}
    assert set(drawn["mitigation"]) == {"none"}
    both = tasks.draw_ratings(pd.concat([frame, other]), 10, seed=0, mitigations=("none", "ignore"))
    assert len(both) == 6


def test_nothing_to_draw_is_an_error_that_says_why():
    with pytest.raises(InputError, match=r"no irrelevant item .* mitigation absent"):
        tasks.draw_ratings(generations(), 3, seed=0, mitigations=("absent",))


def test_pairs_are_the_first_rated_items_in_both_polarities_beside_their_own_control():
    frame = generations(n_items=20)
    other = frame.assign(
        mitigation="ignore",
        prompt_id="other-" + frame["prompt_id"],
        text="Ignored: " + frame["text"],
    )
    frame = pd.concat([frame, other])
    pairs = tasks.draw_pairs(frame, 4, 7, ("none", "ignore"))
    assert len(pairs) == 2 * 2 * 4 * 2
    assert set(pairs["item_id"]) == set(tasks.draw_ratings(frame, 4, 7)["item_id"])
    assert (
        pairs.groupby(["model", "mitigation", "item_id"])["condition"]
        .agg(set)
        .map({"negative", "positive"}.__eq__)
        .all()
    )
    for test, control in (("text", "control_text"), ("prompt_id", "control_prompt_id")):
        expected = pairs[test].str.replace("negative|positive", "control", regex=True)
        assert list(expected) == list(pairs[control])
    assert set(pairs["control_sample"]) == {0}


def test_without_pairs_there_are_no_pair_tasks_and_no_pair_checks():
    shown, key = blinded(generations(), 3, 0)
    assert set(key["kind"]) == {"rating"}
    assert list(shown["pair"].columns) == ["task_id", "stem", "first", "second"]
    assert shown["pair"].empty


def test_a_pair_of_equal_texts_is_a_task_like_any_other():
    shown, _ = blinded(generations(text="the same."), 3, 3)
    assert len(shown["pair"]) == 2 * 3 * 2 + 2 + 4
    assert (shown["pair"]["first"] == "the same.").sum() == 2 * 3 * 2 + 2


def test_tasks_hold_what_is_shown_and_nothing_else():
    shown, _ = blinded(generations(), 3, 3)
    assert list(shown["rating"].columns) == ["task_id", "stem", "text"]
    assert list(shown["pair"].columns) == ["task_id", "stem", "first", "second"]
    for kind, sheet in tasks.SHEETS.items():
        answers = [*tasks.QUESTIONS[kind], "seconds", "annotator"]
        assert list(sheet) == [*shown[kind].columns, *answers]


def test_key_leads_back_to_the_continuations_that_a_task_shows(tmp_path):
    frame = generations()
    shown, key = blinded(frame, 3, 3)
    write_table(key, TASK_KEY, tmp_path / "key.parquet")
    key = read_table(tmp_path / "key.parquet", TASK_KEY)
    said = frame.set_index(["model", "prompt_id", "sample"])["text"]
    study = key[key["role"] != "check"].merge(pd.concat(shown.values()), on="task_id")
    of_test = said.loc[list(zip(study["model"], study["prompt_id"], study["sample"], strict=True))]
    is_pair = (study["kind"] == "pair").to_numpy()
    assert list(study["text"][~is_pair]) == list(of_test[~is_pair])
    control = ("model", "control_prompt_id", "control_sample")
    pairs = study[is_pair]
    of_control = said.loc[list(zip(*(pairs[name] for name in control), strict=True))]
    straight, turned = ~pairs["flipped"].to_numpy(), pairs["flipped"].to_numpy()
    assert straight.any() and turned.any()
    assert list(pairs["first"][straight]) == list(of_test[is_pair][straight])
    assert list(pairs["second"][straight]) == list(of_control[straight])
    assert list(pairs["second"][turned]) == list(of_test[is_pair][turned])
    assert list(pairs["first"][turned]) == list(of_control[turned])


def test_a_ratings_key_and_a_checks_key_are_null_where_there_is_nothing_to_name():
    _, key = blinded(generations(), 3, 3)
    of_control = key[["control_prompt_id", "control_sample"]]
    assert of_control[key["kind"] == "rating"].isna().all(axis=None)
    is_check = key["role"] == "check"
    named = ["model", "prompt_id", "sample", "item_id", "condition", "mitigation"]
    assert key.loc[is_check, [*named, *of_control]].isna().all(axis=None)
    assert key.loc[~is_check, named].notna().all(axis=None)
    assert (key["expected"].isna() == ~is_check).all()


def test_ids_are_salted_unique_and_never_a_number_to_a_spreadsheet():
    frame = generations(n_items=300)
    _, key = blinded(frame, 300, 150)
    assert key["task_id"].is_unique and len(key) > 2000
    assert pd.to_numeric(key["task_id"], errors="coerce").isna().all()
    assert key["task_id"].str.fullmatch(r"t[0-9a-f]{12}").all()
    _, other = blinded(frame, 300, 150, seed=1)
    assert not set(key["task_id"]) & set(other["task_id"])


def test_equal_texts_of_two_models_are_two_tasks_and_a_changed_text_is_a_new_one():
    frame = generations()
    _, key = blinded(frame, 3, 3)
    by_model = key[key["role"] == "study"].groupby("model")["task_id"].agg(set)
    assert not by_model["small-model"] & by_model["large-model"]
    changed = frame["prompt_id"].eq("prompt-2-negative") & frame["model"].eq("small-model")
    _, after = blinded(frame.assign(text=frame["text"].mask(changed, "Now this.")), 3, 3)
    gone = key[~key["task_id"].isin(after["task_id"]) & (key["role"] == "study")]
    assert set(gone["prompt_id"]) == {"prompt-2-negative"}
    assert set(gone["model"]) == {"small-model"}
    assert set(gone["kind"]) == {"rating", "pair"}


@pytest.mark.parametrize("repeats", [0.1, 0.25])
def test_a_larger_draw_another_model_and_another_mitigation_keep_every_task(repeats):
    frame = generations(n_items=40)
    small = shown_and_key(frame, 7, repeats=repeats).set_index("task_id").sort_index()
    more = generations(("small-model", "large-model", "new-model"), 40)
    wrapped = more.assign(mitigation="ignore", prompt_id="other-" + more["prompt_id"])
    larger = {
        "items": shown_and_key(frame, 23, repeats=repeats),
        "models": shown_and_key(more, 7, repeats=repeats),
        "mitigations": shown_and_key(
            pd.concat([frame, wrapped]), 7, repeats=repeats, mitigations=("none", "ignore")
        ),
    }
    for large in larger.values():
        kept = large.set_index("task_id").loc[small.index]
        pd.testing.assert_frame_equal(
            kept.drop(columns="position"), small.drop(columns="position"), check_dtype=False
        )
        assert len(large) > len(small)


@pytest.mark.parametrize(("n", "repeats"), [(1, 0.1), (10, 0.1), (37, 0.1), (50, 0.14)])
def test_at_least_the_asked_share_of_each_cell_and_kind_is_repeated(n, repeats):
    _, key = blinded(generations(n_items=60), n, n, repeats=repeats)
    assert set(key[key["role"] == "repeat"]["unit"]) < set(key[key["role"] == "study"]["unit"])
    assert not key.loc[key["role"] == "repeat", "unit"].duplicated().any()
    counts = key.groupby(["kind", "model", "role"]).size().unstack()
    # In whole numbers: as floats, 150 times 0.14 is a little more than 21.
    assert (counts["repeat"] == -(-counts["study"] * round(repeats * 100) // 100)).all()


def test_a_repeated_pair_is_shown_in_the_other_order_and_a_repeated_rating_as_it_was():
    both = shown_and_key(generations(n_items=60), 59)
    pairs = both.merge(both[both["role"] == "study"], on="unit", suffixes=("", "_once"))
    pairs = pairs[pairs["role"] == "repeat"]
    assert (pairs["task_id"] != pairs["task_id_once"]).all()
    compared, rated = pairs[pairs["kind"] == "pair"], pairs[pairs["kind"] == "rating"]
    assert len(compared) > 20 and len(rated) > 20
    assert list(compared["first"]) == list(compared["second_once"])
    assert (compared["flipped"] != compared["flipped_once"]).all()
    assert list(rated["text"]) == list(rated["text_once"])
    assert not rated["flipped"].any()


@pytest.mark.parametrize(("n", "repeats"), [(1, 0.1), (2, 1.0), (10, 0.1), (39, 0.5)])
def test_repeats_stand_half_of_the_list_after_their_first_showing(n, repeats):
    shown, key = blinded(generations(n_items=40), n, n, repeats=repeats)
    for kind, of_kind in key.groupby("kind"):
        assert sorted(of_kind["position"]) == list(range(len(of_kind)))
        in_order = of_kind.sort_values("position")["task_id"]
        assert list(in_order) == list(shown[kind]["task_id"])
        at = of_kind.pivot_table(index="unit", columns="role", values="position")
        gap = (at["repeat"] - at["study"]).dropna()
        assert len(gap) and (gap >= len(of_kind) / 2).all()


def test_checks_and_repeats_are_spread_and_do_not_stand_out_among_the_ids():
    _, key = blinded(generations(n_items=100), 99, 99, checks=some_checks(12))
    for _, of_kind in key.groupby("kind"):
        place = of_kind["position"] / len(of_kind)
        checks = np.sort(place[of_kind["role"] == "check"])
        assert checks[0] < 0.15 and checks[-1] > 0.85 and np.diff(checks).max() < 0.25
        repeats = place[of_kind["role"] == "repeat"]
        assert repeats.min() < 0.55 and repeats.max() > 0.95
        # Were study tasks in the order of their ids, a check or a repeat would be out of it.
        rank = of_kind["task_id"].rank()
        for role in ("study", "repeat", "check"):
            chosen = of_kind["role"] == role
            limit = 4 / np.sqrt(chosen.sum())
            assert abs(np.corrcoef(rank[chosen], place[chosen])[0, 1]) < limit


def test_order_id_and_side_say_nothing_about_the_condition():
    """Planted: in the tables the conditions stand in blocks and differ in text and prompt."""
    frame = generations(("m",), 401)
    frame["text"] = frame["condition"] + " " + frame["text"]
    _, key = blinded(frame.sort_values(["condition", "item_id"]), 400, 400, repeats=0.5)
    study = key[key["role"] != "check"]
    for _, of_kind in study.groupby("kind"):
        as_shown = {
            "position": of_kind["position"].rank(),
            "id": of_kind["task_id"].rank(),
            "last digit": of_kind["task_id"].str[-1].map(lambda digit: int(digit, 16)),
            "side": of_kind["flipped"],
            "repeated": of_kind["unit"].duplicated(keep=False),
        }
        for condition in of_kind["condition"].unique():
            is_it = of_kind["condition"] == condition
            # z of a difference of means: beyond 4 by chance once in 16,000.
            for name, value in as_shown.items():
                inside, outside = value[is_it].astype(float), value[~is_it].astype(float)
                spread = np.sqrt(inside.var() / len(inside) + outside.var() / len(outside))
                assert abs(inside.mean() - outside.mean()) <= 4 * spread, (condition, name)
    once = study[(study["kind"] == "pair") & (study["role"] == "study")]
    assert abs(once["flipped"].mean() - 0.5) < 4 * 0.5 / np.sqrt(len(once))


def test_blinding_does_not_depend_on_the_order_of_rows():
    frame = generations()
    shown, key = blinded(frame, 3, 3)
    mixed, same_key = blinded(frame.iloc[::-1], 3, 3, checks=some_checks().iloc[::-1])
    for kind in shown:
        pd.testing.assert_frame_equal(shown[kind], mixed[kind])
    pd.testing.assert_frame_equal(key, same_key)


def test_checks_that_ship_fit_both_kinds_and_no_constant_answer_passes_half_of_the_ratings():
    checks = tasks.read_checks(CHECKS)
    assert checks["kind"].value_counts().to_dict() == {"rating": 12, "pair": 6}
    for kind, answers in (("rating", tasks.RATINGS), ("pair", ("test", "control", "neither"))):
        expected = checks.loc[checks["kind"] == kind, "expected"].str.split("|")
        for answer in answers:
            passed = expected.map(lambda allowed, answer=answer: answer in allowed).mean()
            assert passed < 0.5 or (kind == "pair" and passed == 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "other columns"),
        ("kind,stem,text,expected\n", "other columns"),
        (HEADER + "score,The box,is fine,,2", "row 2: unknown kind 'score'"),
        (HEADER + "rating,The box,is fine,,2\nrating,The box, ,,2", "row 3: a check needs"),
        (HEADER + "pair,The box,is fine,,test", "row 2: a pair has another text"),
        (HEADER + "rating,The box,is fine,is bad,2", "row 2: a pair has another text"),
        (HEADER + "rating,The box,is fine,,2|4", "row 2: expected label '4'"),
        (HEADER + "rating,The box,is fine,,\u22122", "row 2: expected label"),
        (HEADER + "rating,The box,is fine,,", "row 2: expected label ''"),
        (HEADER + "pair,The box,is fine,is bad,first", "row 2: expected label 'first'"),
        (HEADER + "rating,The box,is fine, or not,,2", "row 2: too many or too few cells"),
        (HEADER + "rating,The box,is fine", "row 2: too many or too few cells"),
        (HEADER + 2 * "rating,The box,is fine,,2\n", "row 3: repeats row 2"),
        (HEADER + 'rating,"The box,is fine,,2', "not CSV"),
    ],
)
def test_a_faulty_check_is_one_clear_line_with_file_and_row(tmp_path, text, said):
    (tmp_path / "checks.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        tasks.read_checks(tmp_path / "checks.csv")
    message = str(error.value)
    assert "checks.csv" in message and said in message and "\n" not in message


def test_a_checks_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        tasks.read_checks(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes((HEADER + "rating,Café,is fine,,2").encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.csv: is not UTF-8"):
        tasks.read_checks(tmp_path / "latin.csv")
