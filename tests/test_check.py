"""`lfkit check` says what is there and what is missing, and changes nothing."""

import importlib.util
import json
import os
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def without(monkeypatch):
    """Let a module seem not to be installed."""
    real = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *more: None if name in names else real(name, *more),
        )

    return hide


def found(lfkit):
    done = lfkit("check", "--json")
    assert done.code == 0
    assert not done.err
    return json.loads(done.out)


def test_versions_are_those_of_the_libraries_loaded(lfkit):
    import sklearn
    import torch

    told = found(lfkit)
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["versions"]["numpy"] == np.__version__
    assert told["versions"]["scikit-learn"] == sklearn.__version__
    assert told["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert told["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert len(told["gpus"]) == torch.cuda.device_count()
    assert told["threads"] >= 1
    assert told["cores"] >= 1


def test_every_extra_is_told_but_that_for_developers(lfkit):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {*project["optional-dependencies"]} - {"dev", "docs"}
    assert {extra["name"] for extra in found(lfkit)["extras"]} == extras


def test_a_missing_extra_says_what_it_gives_and_how_to_get_it(lfkit, without):
    without("ray", "uvicorn")
    extras = {extra["name"]: extra for extra in found(lfkit)["extras"]}
    assert extras["ray"]["missing"] == ["ray"]
    assert extras["studio"]["missing"] == ["uvicorn"]
    assert extras["studio"]["install"] == 'pip install "lfkit[studio]"'
    shown = " ".join(lfkit("check").out.split())
    assert 'pip install "lfkit[studio]" # the pages of `lfkit studio`' in shown
    assert "tensorboard there" in shown


def test_named_data_sets_are_found_where_lfkit_data_says(lfkit, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"")
    named = [str(tmp_path / "data"), str(tmp_path / "absent")]
    monkeypatch.setenv("LFKIT_DATA", os.pathsep.join(named))
    told = found(lfkit)
    where = {each["name"]: each for each in told["datasets"]}
    assert where["fashion-mnist"]["where"].startswith(str(folder))
    assert where["digits"]["where"]
    assert where["cifar-10"]["where"] is None
    assert "LFKIT_DATA" in where["cifar-10"]["how"]
    assert told["data_folders"] == {named[0]: True, named[1]: False}
    assert "there is no such folder" in " ".join(lfkit("check").out.split())


def test_nothing_is_fetched_even_where_downloads_are_allowed(
    lfkit, tmp_path, monkeypatch
):
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path))
    monkeypatch.setenv("LFKIT_DOWNLOAD", "1")
    monkeypatch.setattr(
        "lfkit.data.datasets.fashion_mnist.DEBIAN_FOLDER", tmp_path / "absent"
    )

    def fetched(*arguments, **more):
        raise AssertionError("it asks the network")

    monkeypatch.setattr("urllib.request.urlopen", fetched)
    where = {each["name"]: each["where"] for each in found(lfkit)["datasets"]}
    assert where["fashion-mnist"] is None


def test_free_space_is_that_of_the_current_folder(lfkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = found(lfkit)
    assert told["disk_free_gb"][str(tmp_path)] > 0
    assert told["memory_free_gb"] is None or told["memory_free_gb"] >= 0


def test_a_torch_that_cannot_be_loaded_is_told_and_the_rest_shown(lfkit, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    told = found(lfkit)
    assert told["device"] is None
    assert "torch" in told["torch_problem"]
    assert told["versions"]["numpy"]
