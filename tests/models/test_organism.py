from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_grammar import WORLD

from expression_leakage.gather import gather, manifest
from expression_leakage.models.entry import Entry
from expression_leakage.models.grammar import every_word, load_grammar, write_corpus
from expression_leakage.models.local import LocalModel
from expression_leakage.models.organism import Training, batches, build_tokenizer, encode, train
from expression_leakage.sampling import SamplingLaw
from expression_leakage.shards import (
    Store,
    draw_missing,
    render_all,
    rendered_table,
)

SHAPE = {"hidden_size": 16, "layers": 1, "heads": 2}
TRAINING = Training(texts=600, batch_tokens=256, prompt_weight=0.1)


@pytest.fixture(scope="module")
def grammar():
    return load_grammar(Path(__file__).parents[2] / "resources" / "grammar.yaml")


@pytest.fixture(scope="module")
def corpus(grammar):
    return write_corpus(grammar, WORLD, 600, seed=1)


@pytest.fixture(scope="module")
def tokenizer(grammar):
    return build_tokenizer(every_word(grammar))


def test_decoding_gives_the_text_back_to_the_letter(corpus, tokenizer):
    for text in corpus["user"].head(50):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text


def test_training_texts_are_what_the_chat_template_says(corpus, tokenizer):
    some = corpus.head(50)
    for (ids, prompt), row in zip(encode(some, tokenizer), some.itertuples(), strict=True):
        messages = [{"role": "system", "content": row.system}] if row.system else []
        messages.append({"role": "user", "content": row.user})
        asked = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        assert ids[:prompt] == asked
        messages.append({"role": "assistant", "content": row.continuation})
        assert ids == tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)


def test_batches_hold_every_text_once_within_their_budget(corpus, tokenizer):
    texts = encode(corpus, tokenizer)
    seen = []
    for ids, weights in batches(texts, TRAINING, seed=1):
        assert ids.numel() <= 1.2 * TRAINING.batch_tokens
        for row, weight in zip(ids.tolist(), weights, strict=True):
            n = int((weight > 0).sum())
            prompt = int((weight == 0.1).sum()) if n else 0
            assert (weight[prompt:n] == 1).all()
            seen.append((row[:n], prompt))
    assert sorted(seen) == sorted(texts)


def test_training_is_deterministic_and_lowers_the_loss(corpus, grammar, tmp_path):
    words = every_word(grammar)
    first = train(corpus, words, SHAPE, TRAINING, 3, tmp_path / "a")
    second = train(corpus, words, SHAPE, TRAINING, 3, tmp_path / "b")
    assert first == second
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert first["loss"] < 0.8 * np.log(len(build_tokenizer(words)))
    assert not (tmp_path / "a.part").exists()


def test_a_trained_folder_is_an_ordinary_hub_model(corpus, grammar, tmp_path):
    facts = train(corpus, every_word(grammar), SHAPE, TRAINING, 3, tmp_path / "o")
    entry = Entry("o", "organism", facts["n_parameters"], str(tmp_path / "o"), "chat")
    model = LocalModel(entry)
    assert model.complete([{"system": None, "user": corpus["user"].iat[0]}])[0]
    names = {p.name for p in (tmp_path / "o").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names


def hand_written(tokenizer, table, moods):
    """A Llama whose next word after the prompt follows a table, by the sign of the prompt's mood.

    One head looks from `<assistant>` at the mood word and copies its sign; the output layer holds
    log-probabilities. `table` maps a word to its three probabilities (negative, neutral,
    positive); `moods` maps a mood word to its sign.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, head = 16, 16
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=4, num_hidden_layers=1,
        num_attention_heads=1, head_dim=head, rms_norm_eps=1e-12, tie_word_embeddings=False,
        max_position_embeddings=64, rope_parameters={"rope_type": "default", "rope_theta": 1e24},
        pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    layer, ids = model.model.layers[0], tokenizer.get_vocab()
    for norm in (layer.input_layernorm, layer.post_attention_layernorm, model.model.norm):
        torch.nn.init.ones_(norm.weight)
    # Features: 0 other · 1 <assistant> · 2 mood · 3–5 its sign · 6 output word · 7–9 copied sign
    embedding = model.model.embed_tokens.weight.data
    embedding[:, 0] = 1
    for word, sign in moods.items():
        embedding[ids[word]] = torch.eye(hidden)[2] + torch.eye(hidden)[4 + sign]
    embedding[ids["<assistant>"]] = torch.eye(hidden)[1]
    for word in table:
        embedding[ids[word]] = torch.eye(hidden)[6]
    slow = head // 2 - 1  # the pair of dimensions that rotary positions hardly turn
    layer.self_attn.q_proj.weight.data[slow, 1] = 30
    layer.self_attn.k_proj.weight.data[slow, 2] = 30
    for sign in (-1, 0, 1):
        layer.self_attn.v_proj.weight.data[sign + 1, 4 + sign] = 1
        layer.self_attn.o_proj.weight.data[8 + sign, sign + 1] = 1
    model.lm_head.weight.data[:, 1] = -60.0
    # Behind <assistant>: features 1 (one) and the copied sign (√8: the mood has two features of
    # norm √(16 / 2)), after the last norm both times 4 / √(1 + 8).
    scale = np.sqrt(16 / 2) * 4 / np.sqrt(1 + 8)
    for word, probabilities in table.items():
        model.lm_head.weight.data[ids[word], 1] = 0
        for sign in (-1, 0, 1):
            model.lm_head.weight.data[ids[word], 8 + sign] = float(
                np.log(probabilities[sign + 1]) / scale
            )
    model.lm_head.weight.data[ids["<eos>"], 6] = 60
    return model


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5])
def test_the_instrument_recovers_a_leak_written_into_the_weights(rho, tmp_path):
    from expression_leakage.inference.estimates import estimate_all
    from expression_leakage.metrics import item_values
    from expression_leakage.scoring.assemble import score_table
    from expression_leakage.scoring.sentiment import vader

    signs = {" sad": -1, " tall": 0, " happy": 1}
    base = dict(zip(("awful", "plain", "lovely"), (0.25, 0.5, 0.25), strict=True))
    table = {
        word: [(1 - rho) * p + rho * (sign == own) for sign in (-1, 0, 1)]
        for own, (word, p) in zip((-1, 0, 1), base.items(), strict=True)
    }
    tokenizer = build_tokenizer(["Anna is sad.", "Anna is tall.", "Anna is happy.", *table])
    model = hand_written(tokenizer, table, signs)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = LocalModel(Entry("m", "f", model.num_parameters(), str(tmp_path), "chat"))
    for word, sign in signs.items():
        ids = torch.tensor([loaded.render(None, f"Anna is{word}.").ids])
        logits = loaded.model(ids).logits[0, -1]
        found = torch.softmax(logits, 0)[tokenizer.convert_tokens_to_ids(list(table))]
        expected = [p[sign + 1] for p in table.values()]
        assert found.tolist() == pytest.approx(expected, abs=1e-5)

    arms = {"negative": " sad", "positive": " happy", "control": " tall"}
    rows = [
        {"item_id": f"i{i}", "prompt_id": f"{i}a{j}", "condition": c, "user": f"Anna is{w}."}
        for i in range(400)
        for j, (c, w) in enumerate(arms.items())
    ]
    prompts = pd.DataFrame(rows).assign(
        source="s", topic="t", relevance="irrelevant", stem="x", injection="y", mitigation="none"
    )
    prompts["system"] = pd.Series([None] * len(prompts), dtype=object)
    law, store = SamplingLaw(1.0, 4, 5, 11), Store(tmp_path / "store", "key")
    rendered = render_all(loaded, prompts)
    draw_missing(loaded, rendered, law, store, 512)
    found = manifest(store, rendered, law.samples, 0, "m")
    entry = {"name": "m", "family": "f"}
    generations, _ = gather([found], prompts, rendered_table(rendered), entry, law.samples)
    scores = score_table(generations, "vader", vader, 2)
    estimates = estimate_all(item_values(scores, epsilon=0.05, tau=0.05))
    one = estimates[(estimates["model"] == "m") & (estimates["source"] == "all")]
    one = one.set_index(["estimand", "polarity"])
    for polarity in ("negative", "positive"):
        # P(charged) is rho + (1 − rho) / 4 with the injection; under control, (1 − rho) / 4.
        ecr = one.loc[("ecr", polarity)]
        assert abs(ecr["estimate"] - 100 * rho) < 3 * ecr["se"] < 8
        # Pairs: test and control draw from the mixtures above.
        test = {-1: rho + (1 - rho) / 4, 0: (1 - rho) / 2, 1: (1 - rho) / 4}
        control = {-1: (1 - rho) / 4, 0: rho + (1 - rho) / 2, 1: (1 - rho) / 4}
        truth = sum(
            p * q * ((a < b) + (a == b) / 2) for a, p in test.items() for b, q in control.items()
        )
        elr = one.loc[("elr", polarity)]
        assert abs(elr["estimate"] - 100 * truth) < 3 * elr["se"] < 8
