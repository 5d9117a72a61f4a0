"""What several tests of the benchmarks need."""

import builtins
import time

import pytest
import torch

from benchmarks.training import datasets
from benchmarks.training.data import Data
from benchmarks.training.lab import Lab
from benchmarks.training.presets import Options


@pytest.fixture(scope="session")
def digits():
    return datasets.load("digits")


@pytest.fixture
def without_data(tmp_path, monkeypatch):
    """A machine on which no data set is found."""
    monkeypatch.setattr(datasets, "SYSTEM_ROOT", tmp_path / "system")
    monkeypatch.setenv("FASTLIF_DATA_ROOT", str(tmp_path / "data"))


@pytest.fixture
def torchvision():
    """One built for another torch fails with a RuntimeError."""
    return pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))


@pytest.fixture
def break_torchvision(monkeypatch):
    """Makes the import of torchvision fail with an error."""
    original = builtins.__import__

    def fail_with(error):
        def blocked(name, *arguments, **keywords):
            if name.partition(".")[0] == "torchvision":
                raise error
            return original(name, *arguments, **keywords)

        monkeypatch.setattr(builtins, "__import__", blocked)

    return fail_with


@pytest.fixture
def clock(monkeypatch):
    """Time stands still, but for the seconds that this is called with."""
    passed = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: passed[0])

    def turn(seconds):
        passed[0] += seconds

    return turn


@pytest.fixture
def a_lab():
    """With one image of 0 to train on, and seven of 255 to test on; the labels count from 0."""
    own = Lab(Options(datasets=("digits",), backend="reference", epochs=1, width=0.0625, seed=1), torch.device("cpu"))
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.full((7, 1, 8, 8), 255, dtype=torch.uint8)
    own.data._loaded["digits"] = Data(images[0], torch.arange(1), images[1], torch.arange(7), (1, 8, 8), 10)
    return own
