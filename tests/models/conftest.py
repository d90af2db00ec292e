import pytest
from random_models import CONFIGS, save_random_model


@pytest.fixture(scope="session", params=sorted(CONFIGS))
def random_model(request, tmp_path_factory):
    """Folder and number of parameters of a random model of each architecture."""
    folder = tmp_path_factory.mktemp(request.param)
    return folder, save_random_model(request.param, folder)
