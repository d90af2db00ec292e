import pytest
import torch
from random_models import CONFIGS, save_random_model

torch.set_num_threads(1)  # two threads that wait for each other by spinning are slower than one


@pytest.fixture(scope="session", params=sorted(CONFIGS))
def random_model(request, tmp_path_factory):
    """Folder and number of parameters of a random model of each architecture."""
    folder = tmp_path_factory.mktemp(request.param)
    return folder, save_random_model(request.param, folder)


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """Folder and number of parameters of a random Llama."""
    folder = tmp_path_factory.mktemp("llama")
    return folder, save_random_model("llama", folder)
