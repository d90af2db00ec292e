import pandas as pd
import pytest
import torch
from random_models import save_random_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from expression_leakage.errors import InputError
from expression_leakage.models.entry import Entry, as_entry, prompt_sets
from expression_leakage.models.local import LocalModel
from expression_leakage.models.organism import build_tokenizer
from expression_leakage.sampling import SamplingLaw
from expression_leakage.tables import GENERATIONS, PROMPTS, check

TEXTS = ["I am blue. My hobby is", "My hobby is", "The bus has a", "I am blue. I am blue. My bus"]


def entry(folder, parameters, **options):
    return Entry(
        **{"name": "m", "family": "f", "format": "chat", "source": str(folder)}
        | {"parameters": parameters}
        | options
    )


def prompts(texts=TEXTS, system=None):
    frame = pd.DataFrame({"prompt_id": [f"p{i}" for i in range(len(texts))], "user": texts})
    for column in PROMPTS.columns:
        if column not in frame:
            frame[column] = "x"
    frame["system"] = pd.Series([system] * len(texts), dtype=object)
    return frame


def law(**options):
    return SamplingLaw(
        **{"temperature": 1.0, "max_new_tokens": 6, "samples": 3, "seed": 1} | options
    )


def test_generations_fit_their_table_and_strip_the_prompt(random_model):
    model = LocalModel(entry(*random_model))
    table = model.generate(prompts(), law())
    check(table, GENERATIONS, "generations")
    assert len(table) == 3 * len(TEXTS)
    assert not table["text"].str.contains("<assistant>|<pad>|<eos>").any()
    assert (table["n_tokens"] <= 6).all()
    assert ((table["finish_reason"] == "stop") | (table["n_tokens"] == 6)).all()
    assert (table["n_parameters"] == random_model[1]).all()


def test_left_padded_batches_equal_batches_of_one(random_model):
    folder, size = random_model
    batched = LocalModel(entry(folder, size, batch_rows=64)).generate(prompts(), law())
    single = LocalModel(entry(folder, size, batch_rows=1)).generate(prompts(), law())
    pd.testing.assert_frame_equal(batched, single)


def test_samples_do_not_depend_on_order_or_company(random_model):
    model = LocalModel(entry(*random_model))
    whole = model.generate(prompts(), law()).set_index(["prompt_id", "sample"])["text"]
    reverse = model.generate(prompts().iloc[::-1].head(2), law())
    reverse = reverse.set_index(["prompt_id", "sample"])["text"]
    pd.testing.assert_series_equal(reverse.sort_index(), whole.loc[reverse.index].sort_index())


def test_a_models_own_generation_config_does_not_change_the_law(random_model, tmp_path):
    folder, size = random_model
    plain = LocalModel(entry(folder, size)).generate(prompts(), law())
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config = GenerationConfig(
        do_sample=True, top_k=1, top_p=0.1, repetition_penalty=5.0, eos_token_id=3, pad_token_id=0
    )
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    pd.testing.assert_frame_equal(
        LocalModel(entry(tmp_path, size)).generate(prompts(), law()), plain
    )


def test_temperature_zero_is_greedy(random_model):
    model = LocalModel(entry(*random_model))
    table = model.generate(prompts(), law(temperature=0, samples=2))
    assert table.groupby("prompt_id")["text"].nunique().eq(1).all()
    ids = torch.tensor([model.render(None, TEXTS[0])])
    expected = ids
    for _ in range(6):
        following = model.model(expected).logits[0, -1].argmax()
        if following == model.tokenizer.eos_token_id:
            break
        expected = torch.cat([expected, following.view(1, 1)], dim=1)
    text = model.tokenizer.decode(expected[0, ids.shape[1] :], skip_special_tokens=True)
    assert table["text"].iat[0] == text


def test_the_chat_template_is_followed_with_one_bos(random_model):
    model = LocalModel(entry(*random_model))
    decoded = model.tokenizer.decode(model.render("The bus", "My hobby is"))
    assert decoded == "<bos><system>The bus<user>My hobby is<assistant>"


def test_a_plain_model_gets_the_text_as_it_stands(random_model):
    model = LocalModel(entry(*random_model, format="plain"))
    assert model.tokenizer.decode(model.render(None, "My hobby is")) == "My hobby is"


def edited_template(folder, tmp_path, template):
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path)


REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
DROPS = "{% for m in messages if m.role == 'user' %}<user>{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(("template", "said"), [(REFUSES, "no system"), (DROPS, "drops")])
def test_a_template_without_a_system_role_is_an_error_until_it_is_folded(
    random_model, tmp_path, template, said
):
    edited_template(random_model[0], tmp_path, template + DROPS * (template == REFUSES))
    with pytest.raises(InputError, match=rf"{said}.*system_role: fold_into_user"):
        LocalModel(entry(tmp_path, random_model[1])).render("The bus", "My hobby")
    model = LocalModel(entry(tmp_path, random_model[1], system_role="fold_into_user"))
    ids = model.render("The bus", "My hobby")
    assert "The bus" in model.tokenizer.decode(ids)


def test_words_outside_a_closed_vocabulary_are_an_error(tmp_path):
    size = save_random_model("llama", tmp_path, build_tokenizer(TEXTS))
    model = LocalModel(entry(tmp_path, size))
    assert model.render(None, TEXTS[0])
    with pytest.raises(InputError, match="does not know a word of 'My zeppelin'"):
        model.render(None, "My zeppelin")


def test_declared_parameters_are_checked(random_model):
    folder, size = random_model
    with pytest.raises(InputError, match=f"has {size} parameters, its entry says {2 * size}"):
        LocalModel(entry(folder, 2 * size))


def test_a_missing_model_is_one_line_with_a_remedy(tmp_path):
    with pytest.raises(InputError, match=r"cannot be loaded.*HF_TOKEN") as error:
        LocalModel(entry(tmp_path / "nowhere", 1))
    assert "\n" not in str(error.value)


def test_complete_answers_greedily_through_the_same_template(random_model):
    model = LocalModel(entry(*random_model))
    asked = [{"system": None, "user": text} for text in TEXTS]
    assert model.complete(asked) == model.complete(asked)
    assert len(model.complete(asked[:1])) == 1


def test_an_entry_takes_an_organisms_folder_as_its_source():
    values = {"name": "o", "family": "organism", "format": "chat", "parameters": 1, "gpus": 0}
    assert as_entry(values | {"organism": {"seed": 1}}, source="folder").source == "folder"


def test_a_family_without_sources_of_its_own_gets_the_default():
    config = {"benchmark": {"sources": {"default": ["curated", "webtext"], "o": ["grammar"]}}}
    assert prompt_sets({"family": "o", "format": "chat"}, config) == ["grammar-grammar"]
    assert prompt_sets({"family": "q", "format": "plain"}, config) == [
        "curated-plain",
        "webtext-plain",
    ]
