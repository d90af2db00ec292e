"""Engines that people run, asked through an endpoint: what they draw is what we would draw."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
import torch
from random_models import byte_tokenizer, save_random_model
from transformers import AutoModelForCausalLM

from expression_leakage.models.endpoint import EndpointModel
from expression_leakage.models.entry import Entry, Server
from expression_leakage.models.local import LocalModel
from expression_leakage.models.organism import build_tokenizer
from expression_leakage.sampling import SamplingLaw, sample_key

pytestmark = pytest.mark.slow
SYSTEM = "Answer kindly."
TEXTS = ["I am blue. My hobby is", "My hobby is", "The bus has a", "A diary tells of tea. My bus"]
WORDS = [SYSTEM, *TEXTS, "A long red train of rain or sun in a small town."]


@contextmanager
def running(command, port, path, log):
    """Run a server until it answers; yields the address of its API."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | {"HF_HUB_OFFLINE": "1"}
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{path}", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process, address, log):
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310  # loopback
                assert answer.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
    raise AssertionError(f"no answer from {address}: {log.read_text()[-3000:]}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def endpoint(address, name, form, **server):
    server = Server(base_url=address, timeout=60.0, **server)
    return EndpointModel(Entry("served", "f", 1e4, name, form, "endpoint", endpoint=server))


def drawn(model, temperature=0.0, samples=1, system=None):
    """Continuations of every text."""
    prompts = [model.render(system, text) for text in TEXTS]
    law = SamplingLaw(temperature, max_new_tokens=12, samples=samples, seed=1)
    draws = [(i, sample_key(1, t, k)) for i, t in enumerate(TEXTS) for k in range(samples)]
    done = dict(model.draw(prompts, draws, law))
    assert [c.error for c in done.values() if c.error] == []
    return [done[i] for i in range(len(draws))]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    return folder, save_random_model("llama", folder, build_tokenizer(WORDS))


@pytest.fixture(scope="module")
def transformers_serve(tmp_path_factory):
    port, scratch = free_port(), tmp_path_factory.mktemp("serve")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with running(command, port, "/health", scratch / "log") as address:
        yield address


@pytest.mark.parametrize(("form", "system"), [("chat", None), ("chat", SYSTEM), ("plain", None)])
def test_transformers_serve_and_the_local_backend_agree_on_greedy_texts(
    transformers_serve, saved, form, system
):
    folder, size = saved
    local = LocalModel(Entry("local", "f", size, str(folder), form))
    served = endpoint(transformers_serve, str(folder), form)
    served.check()
    ours, theirs = drawn(local, system=system), drawn(served, system=system)
    assert [c.text for c in theirs] == [c.text for c in ours]
    assert sum(bool(c.text) for c in ours) >= 2
    for our, their in zip(ours, theirs, strict=True):
        assert their.n_tokens == our.n_tokens + (our.finish_reason == "stop")  # it counts the end
    assert served.used()["requests"] == len(TEXTS)


def test_transformers_serve_is_a_judge_like_the_local_backend(transformers_serve, saved):
    folder, size = saved
    asked = [{"system": SYSTEM, "user": text} for text in TEXTS]
    local = LocalModel(Entry("local", "f", size, str(folder), "chat"))
    served = endpoint(transformers_serve, str(folder), "chat")
    assert served.complete(asked, 5) == local.complete(asked, 5)


def test_transformers_serve_draws_a_sample_from_its_seed(transformers_serve, saved):
    # It samples only if told so in its own field, and shares one generator among its requests.
    own = {"do_sample": True, "eos_token_id": 3, "pad_token_id": 0}
    options = {"extra_body": {"generation_config": json.dumps(own)}, "concurrency": 1}
    served = endpoint(transformers_serve, str(saved[0]), "chat", **options)
    first = drawn(served, temperature=1.0, samples=5)
    assert drawn(served, temperature=1.0, samples=5) == first
    assert len({c.text for c in first}) > 15


# llama.cpp


def only_printable(folder):
    """Leave a model of bytes only printable ASCII to say, which all engines decode alike.

    Rows of zeros in the last layer give a logit of 0, which the best of the others exceeds.
    """
    model = AutoModelForCausalLM.from_pretrained(folder)
    vocabulary = byte_tokenizer().get_vocab()
    with torch.no_grad():
        for token, i in vocabulary.items():
            if not (len(token) == 1 and "!" <= token <= "~") and token not in ("Ġ", "<eos>"):
                model.lm_head.weight[i] = 0
    model.save_pretrained(folder)
    return model


def rotary(weight, heads):
    """Rows of a query or key projection in the order in which llama.cpp rotates them."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(weight.shape)


def tensors(model):
    """A Llama's weights under the names of a GGUF file."""
    names = {"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output"}
    names |= {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k"}
    names |= {f"mlp.{part}_proj": f"ffn_{part}" for part in ("gate", "up", "down")}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    names |= {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    names |= {"lm_head": "output"}
    config = model.config
    for key, value in model.state_dict().items():
        name, array = key.removesuffix(".weight"), value.float().numpy()
        if "q_proj" in name:
            array = rotary(array, config.num_attention_heads)
        elif "k_proj" in name:
            array = rotary(array, config.num_key_value_heads)
        if name.startswith("model.layers."):
            _, _, layer, part = name.split(".", 3)
            yield f"blk.{layer}.{names[part]}.weight", array
        else:
            yield f"{names[name]}.weight", array


def save_gguf(model, path):
    """Write a Llama and its tokenizer of bytes as llama.cpp reads them."""
    import gguf

    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    vocabulary = byte_tokenizer().get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.get))
    kinds = [gguf.TokenType.CONTROL if len(t) > 1 else gguf.TokenType.NORMAL for t in vocabulary]
    writer.add_token_types([k for _, k in sorted(zip(vocabulary.values(), kinds, strict=True))])
    writer.add_token_merges(["Ā Ā"])  # one there must be: of two bytes 0, which no text has
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(False)
    for name, array in tensors(model):
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory):
    """A model of bytes: its folder, its size, and where llama.cpp serves it."""
    why = "is not installed: pip install 'llama-cpp-python[server]==0.3.36' gguf (compiles)"
    for name in ("llama_cpp", "gguf"):
        pytest.importorskip(name, reason=f"{name} {why}")
    port, folder = free_port(), tmp_path_factory.mktemp("bytes")
    size = save_random_model("llama", folder)
    save_gguf(only_printable(folder), folder / "model.gguf")
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(folder / "model.gguf")]
    command += ["--model_alias", "bytes", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--n_ctx", "128", "--type_k", "0", "--type_v", "0"]  # its memory in float32
    with running(command, port, "/v1/models", folder / "log") as address:
        yield folder, size, address


# llama.cpp has a law of its own, which must be undone.
UNDONE = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}


def test_llama_cpp_and_the_local_backend_agree_on_greedy_texts_and_logprobs(llama_cpp):
    folder, size, address = llama_cpp
    local = LocalModel(Entry("local", "f", size, str(folder), "plain"))
    served = endpoint(address, "bytes", "plain", extra_body=UNDONE | {"logprobs": 1})
    served.check()
    ours, theirs = drawn(local), drawn(served)
    assert [c.text for c in theirs] == [c.text for c in ours]
    assert all(len(c.text) == 12 for c in ours)
    assert [c.finish_reason for c in theirs] == [c.finish_reason for c in ours]
    assert [c.n_tokens for c in theirs] == [c.n_tokens for c in ours]
    for our, their in zip(ours, theirs, strict=True):
        assert their.mean_logprob == pytest.approx(our.mean_logprob, abs=1e-4)


def test_llama_cpp_draws_a_sample_from_its_seed(llama_cpp):
    served = endpoint(llama_cpp[2], "bytes", "plain", extra_body=UNDONE)
    first = drawn(served, temperature=1.0, samples=5)
    assert drawn(served, temperature=1.0, samples=5) == first
    assert len({c.text for c in first}) == 20
