import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from random_models import save_random_model
from unsteady import LAW, Unsteady, prompts
from workspace import ROOT

from expression_leakage.errors import InputError
from expression_leakage.gather import gather, manifest
from expression_leakage.models.backend import Continuation
from expression_leakage.models.entry import Entry
from expression_leakage.models.local import LocalModel
from expression_leakage.sampling import SamplingLaw, sample_key
from expression_leakage.shards import (
    Store,
    cache_key,
    draw_missing,
    part_of,
    plan,
    render_all,
    rendered_table,
    spent_in,
)
from expression_leakage.tables import (
    GENERATIONS,
    RENDERED,
    check,
    read_meta,
    write_table,
)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    size = save_random_model("llama", folder)
    form = {"format": "chat", "batch_rows": 16, "dtype": request.param}
    return LocalModel(Entry("m", "f", size, str(folder), **form))


def drawn_table(model, asked, folder, law=LAW, shard_prompts=4, parts=1, noted=None):
    """Draw what is missing in a folder's store, part by part, and gather it."""
    store = Store(folder, cache_key(model.facts(), law), noted)
    found = []
    for part in range(parts):
        rendered = render_all(model, part_of(asked, part, parts))
        draw_missing(model, rendered, law, store, shard_prompts)
        found.append(manifest(store, rendered, law.samples, 0, "m"))
    return gathered(model, found, asked, law.samples)


def gathered(model, manifests, asked, samples=3):
    """The table of some manifests, as the job `gather` makes it."""
    rendered = rendered_table(render_all(model, asked))
    entry = {"name": "m", "family": "f", "parameters": 77}
    return gather(manifests, asked, rendered, entry, samples)


def sha256(folder, table, meta):
    write_table(table, GENERATIONS, folder / "table.parquet", meta)
    return hashlib.sha256((folder / "table.parquet").read_bytes()).hexdigest()


def test_shuffled_resharded_and_resumed_runs_give_the_same_bytes(model, tmp_path):
    asked = prompts(20)
    expected = sha256(tmp_path, *drawn_table(model, asked, tmp_path / "a"))
    shuffled = asked.sample(frac=1, random_state=1)
    assert sha256(tmp_path, *drawn_table(model, shuffled, tmp_path / "b", shard_prompts=7)) == (
        expected
    )
    assert sha256(tmp_path, *drawn_table(model, asked, tmp_path / "c", parts=3)) == expected
    shards = list((tmp_path / "a").rglob("*.parquet"))
    for shard in random.Random(1).sample(shards, len(shards) // 2):
        shard.unlink()
    assert sha256(tmp_path, *drawn_table(model, asked, tmp_path / "a", shard_prompts=3)) == expected


def count_draws(model, monkeypatch):
    drawn = []
    draw = LocalModel.draw

    def counted(self, prompts, draws, law):
        drawn.extend(draws)
        return draw(self, prompts, draws, law)

    monkeypatch.setattr(LocalModel, "draw", counted)
    return drawn


def test_only_what_is_new_is_drawn(model, tmp_path, monkeypatch):
    drawn = count_draws(model, monkeypatch)
    few, _ = drawn_table(model, prompts(6), tmp_path)
    assert len(drawn) == 6 * 3
    again, _ = drawn_table(model, prompts(6), tmp_path)
    assert len(drawn) == 6 * 3
    pd.testing.assert_frame_equal(few, again)
    more, _ = drawn_table(model, prompts(8), tmp_path)
    assert len(drawn) == 8 * 3
    pd.testing.assert_frame_equal(more[more["prompt_id"].isin(few["prompt_id"])], few)
    law = SamplingLaw(1.0, 5, samples=5, seed=1)
    longer, meta = drawn_table(model, prompts(8), tmp_path, law)
    assert len(drawn) == 8 * 5
    assert meta["sampling"]["samples"] == 5
    fresh, _ = drawn_table(model, prompts(8), tmp_path / "fresh", law)
    pd.testing.assert_frame_equal(longer, fresh)


def test_another_law_or_model_starts_afresh(model, tmp_path):
    facts = model.facts()
    keys = {
        cache_key(facts, LAW),
        cache_key(facts, SamplingLaw(0.9, 5, 3, 1)),
        cache_key(facts, SamplingLaw(1.0, 6, 3, 1)),
        cache_key(facts, SamplingLaw(1.0, 5, 3, 2)),
        cache_key(facts, SamplingLaw(1.0, 5, 3, 1, min_new_tokens=1)),
        *(cache_key(facts | {name: "other"}, LAW) for name in facts),
    }
    assert len(keys) == 5 + len(facts)
    assert cache_key(facts, SamplingLaw(1.0, 5, 9, 1)) in keys


def test_a_table_says_how_it_was_drawn(model, tmp_path):
    table, meta = drawn_table(model, prompts(5), tmp_path)
    check(table, GENERATIONS, "generations")
    assert meta["model"]["n_parameters"] == table["n_parameters"].iat[0] == model.n_parameters
    assert meta["model"]["sha256"] == model.facts()["sha256"]
    assert meta["sampling"]["temperature"] == 1.0
    assert meta["devices"] == ["cpu"]
    assert meta["failed"] == 0
    rendered = rendered_table(render_all(model, prompts(5)))
    check(rendered, RENDERED, "rendered")
    assert rendered["text"].str.startswith("<bos><user>Number").all()


def test_samples_keep_the_claims_of_the_day_they_were_drawn(model, tmp_path):
    for n_prompts, claims, expected in (
        (4, "aa", ["aa"]),
        (4, "bb", ["aa"]),
        (6, "bb", ["aa", "bb"]),
    ):
        _, meta = drawn_table(model, prompts(n_prompts), tmp_path, noted={"claims_sha256": claims})
        assert meta["claims_sha256"] == expected


def test_a_part_without_prompts_is_no_error(model, tmp_path):
    table, _ = drawn_table(model, prompts(2), tmp_path, parts=9)
    assert len(table) == 2 * 3
    check(rendered_table({}), RENDERED, "rendered")


def test_a_shard_that_was_changed_is_not_taken(model, tmp_path):
    drawn_table(model, prompts(4), tmp_path)
    store = Store(tmp_path, cache_key(model.facts(), LAW))
    found = manifest(store, render_all(model, prompts(4)), 3, 0, "m")
    path = next(tmp_path.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="is not as it was drawn"):
        gathered(model, [found], prompts(4))
    with pytest.raises(InputError, match=r"cannot be read.*delete it and run again"):
        drawn_table(model, prompts(4), tmp_path)


def test_samples_in_no_shard_are_an_error(model, tmp_path):
    asked = prompts(4)
    drawn_table(model, asked, tmp_path, shard_prompts=1)
    store = Store(tmp_path, cache_key(model.facts(), LAW))
    store.files()[0].unlink()
    found = manifest(store, render_all(model, asked), 3, 0, "m")
    with pytest.raises(InputError, match=r"3 samples are in no shard.*--forcerun generate"):
        gathered(model, [found], asked)


def test_samples_of_a_prompt_that_is_rendered_otherwise_by_now_are_drawn_anew(
    model, tmp_path, monkeypatch
):
    drawn = count_draws(model, monkeypatch)
    before, _ = drawn_table(model, prompts(4), tmp_path)
    chat = model.tokenizer.chat_template
    monkeypatch.setattr(model.tokenizer, "chat_template", chat + "{{ 'Well, ' }}")
    after, _ = drawn_table(model, prompts(4), tmp_path)
    assert len(drawn) == 2 * 4 * 3
    assert (before["mean_logprob"] != after["mean_logprob"]).all()
    monkeypatch.undo()
    drawn = count_draws(model, monkeypatch)
    again, _ = drawn_table(model, prompts(4), tmp_path)
    assert drawn == []  # the first ones are still there
    pd.testing.assert_frame_equal(again, before)


def test_parts_of_different_models_are_not_put_together(model, tmp_path, monkeypatch):
    asked, found = prompts(6), []
    for part, torch_version in enumerate(("1.0", "2.0")):
        facts = model.facts() | {"torch": torch_version}
        monkeypatch.setattr(LocalModel, "facts", lambda self, facts=facts: facts)
        store = Store(tmp_path, cache_key(model.facts(), LAW))
        rendered = render_all(model, part_of(asked, part, 2))
        draw_missing(model, rendered, LAW, store, 9)
        found.append(manifest(store, rendered, 3, 0, "m"))
    with pytest.raises(InputError, match=r"different models or versions.*pin its `revision`"):
        gathered(model, found, asked)


def test_a_second_job_on_the_same_part_is_refused(tmp_path):
    store = Store(tmp_path, "key")
    said = "another job draws part 0-of-2"
    with (
        store.held("0-of-2"),
        store.held("1-of-2"),
        pytest.raises(InputError, match=said),
        store.held("0-of-2"),
    ):
        pass
    with store.held("0-of-2"):
        pass


def test_prompts_of_like_length_share_a_shard():
    lengths = {"a": 9, "b": 2, "c": 9, "d": 2, "e": 5}
    nothing = pd.DataFrame(columns=["prompt_id", "sample", "error", "file"])
    shards = plan(lengths, 2, nothing, 2)
    assert [shard.prompt_ids for shard in shards] == [("b", "d"), ("e", "a"), ("c",)]
    assert {shard.samples for shard in shards} == {(0, 1)}


def keys_of(asked, law=LAW):
    return [sample_key(law.seed, p, k) for p in asked["prompt_id"] for k in range(law.samples)]


def test_failed_samples_are_counted_and_drawn_again_and_never_text(tmp_path):
    asked, store = prompts(5), Store(tmp_path, "key")
    failing = keys_of(asked)[:2]
    rendered = render_all(Unsteady(), asked)
    draw_missing(Unsteady(failing), rendered, LAW, store, 2)
    assert sum(read_meta(file)["failed"] for file in store.files()) == 2
    with pytest.raises(InputError, match=r"2 of 15 samples failed, first: status 503.*run again"):
        manifest(store, rendered, 3, 0.1, "m")
    found = manifest(store, rendered, 3, 0.2, "m")
    table, meta = gathered(Unsteady(), [found], asked)
    assert table["n_parameters"].eq(77).all()  # as declared now: no server tells
    assert len(table) == 13
    assert meta["failed"] == 2
    assert table["text"].str.startswith("text").all()
    steady = Unsteady()
    draw_missing(steady, rendered, LAW, store, 2)
    assert steady.asked == 2
    found = manifest(store, rendered, 3, 0, "m")
    table, meta = gathered(steady, [found], asked)
    assert len(table) == 15
    assert meta["failed"] == 0


def test_what_was_drawn_before_a_stop_is_kept_with_what_it_cost(tmp_path):
    asked, store = prompts(5), Store(tmp_path, "key")
    rendered = render_all(Unsteady(), asked)
    with pytest.raises(InputError, match="spent its budget"):
        draw_missing(Unsteady(stop_after=8), rendered, LAW, store, 2)
    assert len(store.rows(rendered)) == 8
    assert spent_in(tmp_path) == 0.5 * len(store.files())
    rest = Unsteady()
    draw_missing(rest, rendered, LAW, store, 2)
    assert rest.asked == 15 - 8


def test_a_server_that_decodes_greedily_whatever_it_is_asked_is_refused(tmp_path):
    class Greedy(Unsteady):
        def draw(self, prompts, draws, law):
            for i, (prompt, _) in enumerate(draws):
                yield i, Continuation(f"about {prompts[prompt].text}", None, 2, "stop")

    asked, store = prompts(5), Store(tmp_path, "key")
    rendered = render_all(Greedy(), asked)
    draw_missing(Greedy(), rendered, LAW, store, 9)
    found = manifest(store, rendered, 3, 0, "m")
    with pytest.raises(InputError, match=r"same text at T = 1\.0"):
        gathered(Greedy(), [found], asked)


JOB = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
from expression_leakage.job import logged
from expression_leakage.shards import Store, draw_missing
from expression_leakage.shards import render_all
from unsteady import LAW, Unsteady, prompts

class Slow(Unsteady):
    def draw(self, *asked):
        for found in super().draw(*asked):
            yield found
            print(flush=True)
            import time; time.sleep(0.05)

with logged(sys.argv[1] + "/log"):
    draw_missing(Slow(), render_all(Slow(), prompts(40)), LAW, Store(sys.argv[1], "key"), 99)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_job_keeps_the_samples_of_its_last_shard(tmp_path, number):
    path = os.pathsep.join([str(ROOT / "workflow" / "scripts"), str(ROOT / "tests")])
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(3):
        job.stdout.readline()
    time.sleep(0.1)
    job.send_signal(number)
    job.send_signal(number)  # as an impatient person does, or a scheduler
    assert job.wait(30) != 0
    asked = render_all(Unsteady(), prompts(40))
    assert 3 <= len(Store(tmp_path, "key").rows(asked)) < 120
