"""The hub's real client against a hub on this machine, in a process of its own."""

import os
import re
import shutil
import time
from types import SimpleNamespace

import huggingface_hub
import pandas as pd
import pytest
from loopback_hub import STRANGER, TOKEN, LoopbackHub, client_process
from random_models import save_random_model
from transformers import AutoConfig, AutoModelForCausalLM

from expression_leakage.models.checkpoint import find_checkpoint
from expression_leakage.models.entry import Entry
from expression_leakage.models.hub import LOADING_ERRORS, resolved_revision, said
from expression_leakage.models.local import LocalModel
from expression_leakage.models.preflight import check_entry
from expression_leakage.sampling import SamplingLaw

LAW = SamplingLaw(temperature=1.0, max_new_tokens=6, samples=2, seed=1)
LOOKALIKE = "a" * 40  # a revision that looks like a commit and names another one


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two models, one in shards, one without safetensors, one that no disk here could hold."""
    root = tmp_path_factory.mktemp("models")
    sizes = {name: save_random_model(name, root / name) for name in ("llama", "qwen2")}
    shutil.copytree(root / "llama", root / "shards")
    AutoModelForCausalLM.from_pretrained(root / "llama").save_pretrained(
        root / "shards", max_shard_size="20KB"
    )
    (root / "shards" / "model.safetensors").unlink(missing_ok=True)
    shutil.copytree(root / "llama", root / "bare")
    (root / "bare" / "model.safetensors").unlink()
    shutil.copytree(root / "bare", root / "huge")
    weights = root / "huge" / "model.safetensors"
    weights.write_bytes((2).to_bytes(8, "little") + b"{}")
    os.truncate(weights, shutil.disk_usage(root).free + 2**40)  # a hole: takes no space itself
    return SimpleNamespace(root=root, sizes=sizes)


@pytest.fixture(scope="module")
def hub(folders):
    with LoopbackHub() as hub:
        hub.commits = hub.add("lab/two", folders.root / "llama", folders.root / "qwen2")
        hub.repositories["lab/two"].refs[LOOKALIKE] = hub.commits[1]
        hub.add("lab/gated", folders.root / "llama", gated=True)
        for name in ("shards", "bare", "huge"):
            hub.add(f"lab/{name}", folders.root / name)
        yield hub


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    with client_process(hub.url, tmp_path_factory.mktemp("home")) as process:
        yield process


def entry(source, **options):
    return Entry(
        **{"name": "m", "family": "f", "format": "chat", "source": source, "parameters": 1}
        | options
    )


def load(entry, token=""):
    """What a model loaded from the hub says of itself, or why there is none. Runs in the client."""
    os.environ["HF_TOKEN"] = token
    try:
        model = LocalModel(entry)
        return model.facts()["revision"], model.model.config.model_type, model.n_parameters
    except ValueError as error:
        return str(error)


def find(entry, token="", offline=False):
    """What the preflight learns of an entry's weights, or why there are none. Runs there too."""
    os.environ["HF_TOKEN"] = token
    huggingface_hub.constants.HF_HUB_OFFLINE = offline
    try:
        return find_checkpoint(entry)
    except ValueError as error:
        return str(error)
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = False


def configure(entry, token="", offline=False):
    """What is said of an error of transformers' own. Runs there too."""
    os.environ["HF_TOKEN"] = token
    huggingface_hub.constants.HF_HUB_OFFLINE = offline
    time.sleep = lambda seconds: None  # the client waits between its tries
    try:
        AutoConfig.from_pretrained(entry.source, revision=entry.revision, trust_remote_code=False)
    except LOADING_ERRORS as error:
        return str(said(error, entry))
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = False


def check(values, prompts, token=""):
    """The preflight's report. Runs there too."""
    os.environ["HF_TOKEN"] = token
    return check_entry(values, prompts, LAW)


def resolve(entry):
    """Runs there too."""
    return resolved_revision(entry)


def asked(client, function, *arguments):
    return client.submit(function, *arguments).result()


def test_a_pinned_commit_is_loaded_and_recorded_though_main_has_moved_on(client, hub, folders):
    pinned = entry("lab/two", revision=hub.commits[0], parameters=folders.sizes["llama"])
    assert asked(client, load, pinned) == (hub.commits[0], "llama", folders.sizes["llama"])


@pytest.mark.parametrize("revision", ["main", None])
def test_a_branch_is_resolved_to_its_commit(client, hub, folders, revision):
    named = entry("lab/two", revision=revision, parameters=folders.sizes["qwen2"])
    assert asked(client, resolve, named) == hub.commits[1]
    assert asked(client, load, named) == (hub.commits[1], "qwen2", folders.sizes["qwen2"])


def test_weights_are_found_by_the_commit_and_not_downloaded(client, hub, folders):
    before = len(hub.requests)
    found = asked(client, find, entry("lab/shards"))
    files = list((folders.root / "shards").glob("*.safetensors"))
    assert len(files) > 1
    assert found.download == sum(path.stat().st_size for path in files)
    assert found.n_stored == folders.sizes["llama"]
    got = [path for method, path in hub.requests[before:] if method == "GET"]
    assert not [path for path in got if path.endswith(".safetensors")]


def test_a_preflight_reports_commit_size_and_download(client, hub, folders):
    size, text = folders.sizes["llama"], "My hobby is"
    columns = {"system": None, "user": text, "condition": "plain", "mitigation": "none"}
    values = {"name": "m", "family": "f", "format": "plain", "source": "lab/ungated"}
    values |= {"parameters": size, "dtype": "bfloat16", "gpus": 1}
    hub.add("lab/ungated", folders.root / "llama")
    found = asked(client, check, values, pd.DataFrame([columns] * 3))
    weights = (folders.root / "llama" / "model.safetensors").stat().st_size
    assert found.problem is None
    assert found.revision == hub.repositories["lab/ungated"].refs["main"]
    assert (found.n_parameters, found.download_gb) == (size, weights / 1e9)
    assert found.prompt_tokens == 3 * len(text)  # its tokens are bytes
    assert found.new_tokens_at_most == 3 * 2 * 6
    assert found.gpu_hours > 0


def test_a_preflight_says_what_the_hub_refuses(client, folders):
    values = {"name": "m", "family": "f", "format": "plain", "source": "lab/gated"}
    values |= {"parameters": folders.sizes["llama"], "gpus": 0}
    found = asked(client, check, values, pd.DataFrame(columns=["system", "user"]), STRANGER)
    assert_one_line(found.problem, entry("lab/gated"), "the account of HF_TOKEN has no access")


def test_what_is_in_the_cache_is_not_downloaded_again(client, hub, folders):
    pinned = entry("lab/two", revision=hub.commits[0], parameters=folders.sizes["llama"])
    asked(client, load, pinned)
    assert asked(client, find, pinned).download == 0
    with hub.unplugged():
        assert asked(client, find, pinned, "", True).n_stored == folders.sizes["llama"]


REFUSED = [
    (entry("lab/two", revision="v9"), "", r"has no revision 'v9' — name one listed at http"),
    (entry("lab/none"), "", r"is no folder here and no model of http.* — correct `source`"),
    (entry("lab/none"), TOKEN, r"is no folder here and no model of http.* — correct `source`"),
    (entry("no/such/folder"), "", r"is no folder here and no model of http.* — correct `source`"),
    (entry("lab/gated"), "", r"is gated, and no token is set — accept .*/lab/gated and set HF_T"),
    (entry("lab/gated"), STRANGER, r"is gated, and the account of HF_TOKEN has no access — accep"),
    (entry("lab/bare"), "hf_invalid", r"does not know the token — set HF_TOKEN to a valid one"),
]
AMISS = [
    (entry("lab/bare"), "", r"has neither model.safetensors nor .*index.json — name a repository"),
    (entry("lab/huge"), "", r"is \d+\.\d GB to download, and .* has .* GB free — free some or"),
    (
        entry("lab/two", revision=LOOKALIKE),
        "",
        rf"revision is {LOOKALIKE}, and the hub gave [0-9a-f]{{40}} — correct",
    ),
]


@pytest.mark.parametrize(("entry", "token", "line"), REFUSED + AMISS)
def test_what_is_wrong_at_the_hub_is_one_line_with_its_remedy(client, entry, token, line):
    found = asked(client, find, entry, token)
    assert_one_line(found, entry, line)


@pytest.mark.parametrize(("entry", "token", "line"), REFUSED)
def test_errors_that_transformers_wraps_are_said_the_same(client, entry, token, line):
    assert_one_line(asked(client, configure, entry, token), entry, line)


def test_a_gated_model_is_found_by_those_who_accepted_its_terms(client, folders):
    accepted = asked(client, find, entry("lab/gated"), TOKEN)
    assert accepted.n_stored == folders.sizes["llama"]


@pytest.mark.parametrize("revision", [None, "c" * 40])
@pytest.mark.parametrize("function", [find, configure])
def test_without_a_network_the_line_says_so(client, hub, function, revision):
    with hub.unplugged():
        line = asked(client, function, entry("lab/huge", revision=revision))
    assert_one_line(line, entry("lab/huge"), r"cannot be reached, .* — mend the network .*OFFLI")


@pytest.mark.parametrize("function", [find, configure])
def test_offline_the_line_says_what_the_cache_lacks(client, function):
    line = asked(client, function, entry("lab/huge"), "", True)
    assert_one_line(line, entry("lab/huge"), r"is not whole in the cache /.* — unset HF_HUB_OFF")


def assert_one_line(line, entry, pattern):
    assert isinstance(line, str), line
    assert "\n" not in line
    assert line.startswith(f"model {entry.name!r} ({entry.source}): ")
    assert re.search(pattern, line), line
