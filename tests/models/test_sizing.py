import pytest
from random_models import CONFIGS, SHAPE
from transformers import AutoConfig, GPT2Config, LlamaConfig, MambaConfig, Qwen2Config

from expression_leakage.models.entry import Entry, Server
from expression_leakage.models.sizing import (
    ATTAINED,
    BANDWIDTH,
    PEAK,
    cache_per_token,
    count_parameters,
    gpu_hours,
    highest_cost,
    memory,
    prompt_bound,
)
from expression_leakage.sampling import SamplingLaw

LLAMA3_8B = LlamaConfig(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
)
N = 8_030_261_248
LAW = SamplingLaw(temperature=1.0, max_new_tokens=60, samples=5, seed=1)


def entry(**options):
    given = {"name": "m", "family": "f", "format": "chat", "source": "s", "parameters": 1}
    return Entry(**given | {"dtype": "bfloat16"} | options)


def test_parameters_are_counted_as_they_will_be_in_the_loaded_model(random_model):
    folder, size = random_model
    assert count_parameters(AutoConfig.from_pretrained(folder)) == size


def test_published_sizes_are_met_tied_weights_counted_once():
    assert count_parameters(LLAMA3_8B) == N
    qwen = Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    assert count_parameters(qwen) == 494_032_768


def test_the_cache_follows_key_value_heads_and_not_attention_heads():
    assert cache_per_token(LLAMA3_8B, "bfloat16") == 131_072  # 128 KiB, as its makers' 8 heads give
    assert cache_per_token(LLAMA3_8B, "float32") == 2 * 131_072
    assert cache_per_token(GPT2Config(), "float32") == 2 * 12 * 768 * 4  # under names of its own
    assert cache_per_token(MambaConfig(), "float32") == 0
    small = {name: config(vocab_size=300, **SHAPE) for name, config in CONFIGS.items()}
    per_token = {name: cache_per_token(config, "float32") for name, config in small.items()}
    grouped, all_heads = 2 * 2 * 2 * 8 * 4, 2 * 2 * 4 * 8 * 4
    assert per_token == dict.fromkeys(CONFIGS, grouped) | {"gpt_neox": all_heads}


def test_memory_is_weights_and_cache_and_what_a_token_is_drawn_with():
    assert memory(LLAMA3_8B, entry(batch_rows=80), N, 200, LAW) == pytest.approx(
        (2 * N + 80 * 260 * 131_072 + 80 * 128256 * (2 + 20)) / 1e9
    )


def test_small_batches_wait_for_memory_and_large_ones_for_arithmetic():
    one = gpu_hours(LLAMA3_8B, entry(batch_rows=5), N, [7], LAW, 1) * 3600
    cache = 5 * (8 + 30) * 131_072
    prefill = 2 * N * 7 / PEAK["bfloat16"]
    expected = 60 * (2 * N + cache) / BANDWIDTH + prefill
    assert one == pytest.approx(expected / ATTAINED)
    rows = 5000
    many = gpu_hours(LLAMA3_8B, entry(batch_rows=rows), N, [7] * 1000, LAW, 1) * 3600
    flop = 60 * 2 * N * rows + 2 * N * 7 * 1000
    assert many == pytest.approx(flop / PEAK["bfloat16"] / ATTAINED)


def test_hours_count_for_every_gpu_that_is_reserved():
    four = gpu_hours(LLAMA3_8B, entry(), N, [20] * 100, LAW, 4)
    assert four == pytest.approx(4 * gpu_hours(LLAMA3_8B, entry(), N, [20] * 100, LAW, 1))


def test_no_prompts_take_no_time():
    assert gpu_hours(LLAMA3_8B, entry(), N, [], LAW, 1) == 0


def test_the_highest_cost_pays_for_every_prompt_once_a_sample():
    server = Server("http://127.0.0.1/v1", input_price=1.0, output_price=3.0)
    lengths = [prompt_bound("blå"), prompt_bound("")]
    assert lengths[0] - lengths[1] == 4  # bytes, not letters
    assert highest_cost(server, [100, 200], LAW) == pytest.approx(5 * (300 + 3 * 120) / 1e6)
