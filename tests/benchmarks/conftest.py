"""What several tests of the benchmarks need."""

import builtins

import pytest

from benchmarks.training import datasets


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
