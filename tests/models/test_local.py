import random

import pytest
import torch
from random_models import CONFIGS, SHAPE, byte_tokenizer, save_random_model
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    FalconH1Config,
    GenerationConfig,
    LlamaConfig,
)

from expression_leakage.errors import InputError
from expression_leakage.models.checkpoint import folder_hash
from expression_leakage.models.decoding import gumbel_noise
from expression_leakage.models.entry import Entry, as_entry, prompt_sets, what_decides_samples
from expression_leakage.models.local import LocalModel
from expression_leakage.models.organism import build_tokenizer
from expression_leakage.sampling import (
    VERSION,
    SamplingLaw,
    first_complete_sentences,
    sample_key,
)
from expression_leakage.tables import content_hash

TEXTS = ["I am blue. My hobby is", "My hobby is", "The bus has a", "I am blue. I am blue. My bus"]
SAMPLES = 3


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """A random model of few words, which ends sentences and texts all the time."""
    folder = tmp_path_factory.mktemp("talker")
    return folder, save_random_model("llama", folder, build_tokenizer(["one two. three"]))


def entry(folder, parameters, **options):
    return Entry(
        **{"name": "m", "family": "f", "format": "chat", "source": str(folder)}
        | {"parameters": parameters, "batch_rows": 16}
        | options
    )


def law(**options):
    return SamplingLaw(
        **{"temperature": 1.0, "max_new_tokens": 6, "samples": SAMPLES, "seed": 1} | options
    )


def draw(model, law, texts=TEXTS, system=None, order=None):
    """Continuations of (text, sample), drawn in some order."""
    prompts = [model.render(system, text) for text in texts]
    pairs = [(i, k) for i in range(len(texts)) for k in range(law.samples)]
    pairs = pairs if order is None else [pairs[i] for i in order]
    draws = [(i, sample_key(law.seed, texts[i], k)) for i, k in pairs]
    return {(texts[pairs[n][0]], pairs[n][1]): c for n, c in model.draw(prompts, draws, law)}


def read_one_by_one(model, text, k, law):
    """What a sample must be by its definition: no cache, no batch, no padding, no `generate`."""
    ids, key = model.render(None, text).ids, torch.tensor([sample_key(law.seed, text, k)])
    drawn, logprobs = [], []
    for step in range(law.max_new_tokens):
        logits = model.model(torch.tensor([ids + drawn])).logits[0, -1].float()
        noise = gumbel_noise(key, step, len(logits))[0] if law.temperature else 0
        token = int((logits + law.temperature * noise).argmax())
        logprobs.append(float(logits.log_softmax(-1)[token]))
        if token == model.tokenizer.eos_token_id:
            break
        drawn.append(token)
    return drawn, sum(logprobs) / len(logprobs)


@pytest.mark.parametrize("temperature", [0, 1.7])
def test_padded_batches_draw_what_reading_one_by_one_draws(random_model, temperature):
    model = LocalModel(entry(*random_model))
    rule = law(temperature=temperature, max_new_tokens=12)
    found = draw(model, rule)
    with torch.inference_mode():
        for (text, k), continuation in found.items():
            ids, logprob = read_one_by_one(model, text, k, rule)
            assert continuation.token_ids == ids
            assert continuation.mean_logprob == pytest.approx(logprob, abs=1e-5)


def test_in_bfloat16_rounding_alone_may_tell_a_batch_from_reading_one_by_one(random_model):
    model = LocalModel(entry(*random_model, dtype="bfloat16"))
    with torch.inference_mode():
        same = [
            continuation.token_ids == read_one_by_one(model, *pair, law())[0]
            for pair, continuation in draw(model, law()).items()
        ]
    assert sum(same) >= 0.8 * len(same)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_samples_are_the_same_to_the_bit_in_any_order_and_company(random_model, dtype):
    model = LocalModel(entry(*random_model, dtype=dtype))
    whole = draw(model, law())
    order = list(range(len(whole)))
    random.Random(1).shuffle(order)
    assert draw(model, law(), order=order) == whole
    few = draw(model, law(), texts=TEXTS[1:3], order=[4, 0, 2])
    assert few == {pair: whole[pair] for pair in few}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_prompts_that_fill_their_width_are_drawn_alone_as_in_company(tmp_path, dtype):
    wide = SHAPE | {"hidden_size": 256, "num_attention_heads": 8, "max_position_embeddings": 256}
    config = LlamaConfig(vocab_size=len(byte_tokenizer()), **wide)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    size = AutoModelForCausalLM.from_config(config).num_parameters()
    model = LocalModel(entry(tmp_path, size, format="plain", dtype=dtype))
    texts = ["x" * 40, "y" * 40, "z" * 37]
    company = draw(model, law(), texts)
    alone = draw(model, law(), texts[:2])
    assert alone == {pair: company[pair] for pair in alone}


@pytest.mark.parametrize("rows", [16, 80])
def test_a_hybrid_model_draws_what_reading_one_by_one_draws(tmp_path, rows):
    heads = {k: SHAPE[k] for k in SHAPE if k not in {"max_position_embeddings"}}
    config = FalconH1Config(
        vocab_size=len(byte_tokenizer()), mamba_d_ssm=64, mamba_n_heads=8, mamba_d_head=8,
        mamba_d_state=8, mamba_n_groups=1, mamba_chunk_size=8, **heads,
    )  # fmt: skip
    torch.manual_seed(0)
    hybrid = AutoModelForCausalLM.from_config(config)
    hybrid.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    model = LocalModel(entry(tmp_path, hybrid.num_parameters(), batch_rows=rows))
    with torch.inference_mode():
        for pair, continuation in draw(model, law()).items():
            assert continuation.token_ids == read_one_by_one(model, *pair, law())[0]


def test_what_is_drawn_changes_only_with_the_version(talker):
    """If this fails, and what is drawn was meant to change: raise sampling.VERSION, then this."""
    found = draw(LocalModel(entry(*talker)), law(samples=20, max_new_tokens=8), ["one", "one two"])
    drawn = [[*pair, continuation.token_ids] for pair, continuation in sorted(found.items())]
    assert (VERSION, content_hash(drawn, length=16)) == (1, "0110fe342c2103ad")


def test_other_rows_a_batch_draw_the_same_tokens(random_model):
    whole = draw(LocalModel(entry(*random_model)), law())
    for rows in (1, 5, 64):
        other = draw(LocalModel(entry(*random_model, batch_rows=rows)), law())
        assert {p: c.token_ids for p, c in other.items()} == {
            p: c.token_ids for p, c in whole.items()
        }


def test_continuations_are_cut_where_they_ended(random_model):
    model = LocalModel(entry(*random_model))
    found = draw(model, law(samples=20)).values()
    assert {c.finish_reason for c in found} == {"stop", "length"}
    for c in found:
        assert c.finish_reason == "stop" or c.n_tokens == 6
        assert c.n_tokens == len(c.token_ids) <= 6
        assert model.tokenizer.eos_token_id not in c.token_ids
        assert c.text == model.tokenizer.decode(c.token_ids, skip_special_tokens=True)
        assert c.mean_logprob < 0


def test_a_minimum_length_keeps_a_model_from_ending(talker):
    model = LocalModel(entry(*talker))
    asked = law(samples=60, max_new_tokens=3)
    assert any(c.n_tokens < 2 for c in draw(model, asked, ["one"]).values())
    asked = law(samples=60, max_new_tokens=3, min_new_tokens=2)
    assert all(c.n_tokens >= 2 for c in draw(model, asked, ["one"]).values())


def test_a_stop_rule_ends_continuations_with_their_sentence(talker):
    model = LocalModel(entry(*talker))
    free = draw(model, law(samples=60, max_new_tokens=9), ["one"])
    cut = draw(model, law(samples=60, max_new_tokens=9, stop_sentences=1), ["one"])
    assert {c.finish_reason for c in cut.values()} == {"sentence", "stop", "length"}
    for pair, continuation in cut.items():
        expected = first_complete_sentences(free[pair].text, 1)
        assert continuation.text == (expected or free[pair].text)
        assert (continuation.finish_reason == "sentence") == (expected is not None)


def test_a_stop_rule_never_cuts_below_the_minimum(talker):
    model = LocalModel(entry(*talker))
    asked = law(samples=100, max_new_tokens=12, min_new_tokens=5, stop_sentences=1)
    free = draw(model, law(samples=100, max_new_tokens=12, min_new_tokens=5), ["one"])
    for pair, continuation in draw(model, asked, ["one"]).items():
        whole = free[pair]
        least = model.tokenizer.decode(whole.token_ids[:5], skip_special_tokens=True)
        expected = first_complete_sentences(whole.text, 1, len(least))
        assert continuation.text == (expected or whole.text)


def test_a_models_own_generation_config_does_not_change_the_law(llama, tmp_path):
    folder, size = llama
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config = GenerationConfig(
        do_sample=True, top_k=1, top_p=0.1, repetition_penalty=5.0, eos_token_id=3, pad_token_id=0,
        suppress_tokens=[5, 6, 7, 8], temperature=0.1, no_repeat_ngram_size=1,
    )  # fmt: skip
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    expected = draw(LocalModel(entry(folder, size)), law())
    assert draw(LocalModel(entry(tmp_path, size)), law()) == expected


def test_a_processor_that_is_not_the_laws_is_an_error(llama, monkeypatch):
    model = LocalModel(entry(*llama))
    assert model._ends  # empties the model's own configuration, which could be filled again
    model.model.generation_config.suppress_tokens = [5]
    with pytest.raises(InputError, match=r"SuppressTokens.*generation_config\.json"):
        draw(model, law())


def limited(model, rows):
    """Make a model's memory suffice for that many rows: torch's own error beyond them."""
    forward = model.model.forward

    def within(*args, **kwargs):
        if len(kwargs["input_ids"]) > rows:
            torch.empty(2**60)
        return forward(*args, **kwargs)

    model.model.forward = within


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_where_memory_runs_out_fewer_rows_draw_the_same(llama, dtype, caplog):
    whole = draw(LocalModel(entry(*llama, dtype=dtype, batch_rows=64)), law())
    model = LocalModel(entry(*llama, dtype=dtype, batch_rows=64))
    limited(model, rows=16)
    fewer = draw(model, law())
    assert {p: c.text for p, c in fewer.items()} == {p: c.text for p, c in whole.items()}
    assert model.used() == {"device": "cpu", "batch_rows": 16}
    assert "out of memory; going on with 16 rows" in caplog.text


def test_numbers_that_overflow_are_an_error_and_no_sample(llama):
    model = LocalModel(entry(*llama))
    model.model.get_output_embeddings().weight.data.fill_(torch.inf)
    with pytest.raises(InputError, match=r"its numbers overflow.*bfloat16"):
        draw(model, law())


def test_weights_that_do_not_fit_are_loaded_once(llama, monkeypatch):
    tries = []

    def from_pretrained(*args, **kwargs):
        tries.append(1)
        torch.empty(2**60)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(InputError, match="its weights do not fit into memory"):
        draw(LocalModel(entry(*llama)), law())
    assert len(tries) == 1


def test_a_model_too_large_for_one_row_is_an_error_with_a_remedy(llama):
    model = LocalModel(entry(*llama))
    limited(model, rows=0)
    with pytest.raises(InputError, match="does not suffice for one row"):
        draw(model, law())


def test_the_chat_template_is_followed_with_one_bos(llama):
    rendered = LocalModel(entry(*llama)).render("The bus", "My hobby is")
    assert rendered.text == "<bos><system>The bus<user>My hobby is<assistant>"
    assert rendered.ids[0] == 2
    assert 2 not in rendered.ids[1:]


def test_a_plain_model_gets_the_text_as_it_stands(llama):
    model = LocalModel(entry(*llama, format="plain"))
    assert model.render(None, "My hobby is").text == "My hobby is"
    with pytest.raises(InputError, match="plain and has no system message"):
        model.render("The bus", "My hobby is")


def edited_template(folder, tmp_path, template):
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path)


REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
DROPS = "{% for m in messages if m.role == 'user' %}<user>{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(("template", "said"), [(REFUSES, "no system"), (DROPS, "drops")])
def test_a_template_without_a_system_role_is_an_error_until_it_is_folded(
    llama, tmp_path, template, said
):
    edited_template(llama[0], tmp_path, template + DROPS * (template == REFUSES))
    with pytest.raises(InputError, match=rf"{said}.*system_role: fold_into_user"):
        LocalModel(entry(tmp_path, llama[1])).render("The bus", "My hobby")
    model = LocalModel(entry(tmp_path, llama[1], system_role="fold_into_user"))
    assert model.render("The bus", "My hobby").text == "<user>The bus\n\nMy hobby"
    assert model.facts()["system_role"] == "fold_into_user"


def test_a_template_that_writes_bos_twice_is_an_error(llama, tmp_path):
    edited_template(llama[0], tmp_path, "{{ bos_token }}{{ bos_token }}" + DROPS)
    with pytest.raises(InputError, match="begin with two BOS"):
        LocalModel(entry(tmp_path, llama[1])).render(None, "My hobby")


def test_a_template_that_asks_for_the_day_gets_the_same_one_every_day(llama, tmp_path):
    edited_template(llama[0], tmp_path, "{{ strftime_now('%d %b %Y') }}" + DROPS)
    rendered = LocalModel(entry(tmp_path, llama[1])).render(None, "My hobby")
    assert rendered.text == "03 Aug 2025<user>My hobby"


def test_a_tokenizer_that_ends_the_prompt_is_an_error(llama, tmp_path):
    edited_template(llama[0], tmp_path, DROPS)
    model = LocalModel(entry(tmp_path, llama[1], format="plain"))
    model.tokenizer._tokenizer.post_processor = TemplateProcessing("$A <eos>", None, [("<eos>", 3)])
    with pytest.raises(InputError, match="ends a prompt before it is continued"):
        model.render(None, "My hobby")


def test_words_outside_a_closed_vocabulary_are_an_error(tmp_path):
    size = save_random_model("llama", tmp_path, build_tokenizer(TEXTS))
    model = LocalModel(entry(tmp_path, size))
    assert model.render(None, TEXTS[0]).ids
    with pytest.raises(InputError, match="does not know a word of 'My zeppelin'"):
        model.render(None, "My zeppelin")


def test_declared_parameters_are_checked(llama):
    folder, size = llama
    with pytest.raises(InputError, match=f"has {size} parameters, its entry says {2 * size}"):
        draw(LocalModel(entry(folder, 2 * size)), law())


def test_a_checkpoint_without_a_language_models_weights_is_an_error(tmp_path):
    from transformers import AutoModel

    size = save_random_model("qwen2", tmp_path)
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="lacks"):
        draw(LocalModel(entry(tmp_path, size)), law())


def test_a_folders_hash_changes_with_any_of_its_files(llama, tmp_path):
    save_random_model("llama", tmp_path)
    before = folder_hash(tmp_path)
    assert folder_hash(tmp_path) == before
    (tmp_path / "chat_template.jinja").write_text(DROPS)
    assert folder_hash(tmp_path) != before


def test_weights_wait_for_the_first_draw(llama):
    model = LocalModel(entry(*llama))
    assert model.facts()["sha256"] == folder_hash(llama[0])
    assert "model" not in vars(model)
    assert model.n_parameters == llama[1]


def test_complete_answers_greedily_through_the_same_template(llama):
    model = LocalModel(entry(*llama))
    asked = [{"system": None, "user": text} for text in TEXTS]
    greedy = draw(model, law(temperature=0, samples=1, max_new_tokens=16))
    assert model.complete(asked) == [greedy[text, 0].text for text in TEXTS]


def test_an_entry_takes_an_organisms_folder_as_its_source():
    values = {"name": "o", "family": "organism", "format": "chat", "parameters": 1, "gpus": 0}
    assert as_entry(values | {"organism": {"seed": 1}}, source="folder").source == "folder"


def test_what_a_job_is_given_decides_no_sample():
    values = {"name": "o", "source": "s", "batch_rows": 80}
    given = {"threads": 8, "gpus": 2, "mem_mb": 9, "parts": 4, "shard_prompts": 7, "max_failed": 0}
    assert what_decides_samples(values | given) == values


def test_a_family_without_sources_of_its_own_gets_the_default():
    sources = {"default": ["curated", "webtext"], "o": ["grammar"]}
    config = {"benchmark": {"sources": sources, "items": {}}}
    assert prompt_sets({"family": "o", "format": "chat"}, config) == ["grammar-grammar"]
    assert prompt_sets({"family": "q", "format": "plain"}, config) == [
        "curated-plain",
        "webtext-plain",
    ]


def test_a_family_with_a_number_of_items_gets_tables_of_that_many():
    sources = {"default": ["curated", "webtext"], "o": ["grammar"]}
    config = {"benchmark": {"sources": sources, "items": {"q": 12, "o": 3}}}
    asked = {f: prompt_sets({"family": f, "format": "chat"}, config) for f in ("q", "o", "r")}
    assert asked == {
        "q": ["curated-chat-12", "webtext-chat-12"],
        "o": ["grammar-grammar-3"],
        "r": ["curated-chat", "webtext-chat"],
    }


def test_every_architecture_of_the_tests_has_a_window_or_grouped_heads_somewhere():
    assert SHAPE["num_key_value_heads"] < SHAPE["num_attention_heads"]
    assert CONFIGS["gemma2"](vocab_size=len(byte_tokenizer()), **SHAPE).sliding_window == 12
