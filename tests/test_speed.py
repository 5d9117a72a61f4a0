"""The measurements of speed: what a call costs, other libraries' neurons, and what is concluded."""

import dataclasses

import pytest
import torch

from benchmarks import measure, peers, results
from benchmarks.__main__ import main
from benchmarks.experiments import kernels
from fastlif.functional import lif

CPU = torch.device("cpu")


def test_peak_memory_counts_what_is_held_at_once():
    x = torch.randn(250_000)

    def call():
        y = x + 1
        z = y * 2
        del y
        return z + 1

    assert 2_000_000 <= measure.peak_memory(call, CPU) < 2_100_000


def test_seconds_leave_out_the_first_calls(monkeypatch):
    calls = []
    spread = measure.seconds(lambda: calls.append(len(calls)), CPU, budget=1e-9)
    assert spread.samples == measure.CALLS[0] and len(calls) > spread.samples
    assert 0 <= spread.p20 <= spread.median <= spread.p80


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_computes_what_ours_does(name, fresh_compiler):
    if not peers.version(name):
        pytest.skip(f"{name} is not installed")
    assert peers.disagreement(peers.PEERS[name](CPU), CPU, torch.float32) is None


def test_a_peer_that_computes_something_else_is_found():
    other = peers.disagreement(lambda x: lif(x, decay=0.6, backend="reference"), CPU, torch.float32)
    assert "spikes differ" in other


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "SIZES", {"quick": (400, 800, 1600)})
        patch.setattr(kernels, "STEPS", {"quick": (10, 4)})
        patch.setattr(kernels, "BUDGET", {"quick": 1e-3})
        patch.setattr(measure, "WARM_UP_SECONDS", 1e-3)
        patch.setattr(measure, "COPIED_BYTES", {"cpu": 1 << 16})
        wrong = {"wrong": lambda device: lambda x: 0 * x, "missing": None, peers.EAGER: peers.eager}
        patch.setattr(peers, "PEERS", wrong)
        patch.setattr(peers, "version", lambda name: None if name == "missing" else "1")
        command = ["run", "kernels", "--quick", "--device", "cpu", "--backend", "reference", "--out", str(folder)]
        assert main(command) == 0
    return folder


def test_the_kernels_experiment(made, capsys):
    (path,) = made.glob("*.csv")
    rows = results.read(path)
    assert {row.setting.get("library") for row in rows} == {None, "fastlif", peers.EAGER}
    assert {row.setting.get("neuron") for row in rows} == {None, "lif", *kernels.NEURONS}
    assert {row.metric for row in rows} >= {"time", "bandwidth", "peak memory", "copy bandwidth"}
    assert all(row.median > 0 and row.p20 <= row.median <= row.p80 for row in rows)
    (time,) = results.select(rows, metric="time", neuron="lif", library="fastlif", size=800, type="float32", T=10,
                             **{"pass": "backward"})  # fmt: skip
    (speed,) = results.select(rows, metric="bandwidth", neuron="lif", library="fastlif", size=800, type="float32",
                              T=10, **{"pass": "backward"})  # fmt: skip
    assert speed.median == pytest.approx(800 * 12 / (time.median * 1e6), rel=1e-3)
    assert main(["plot", "--out", str(made)]) == 0
    assert len(list(made.glob("*/*.png"))) == 1


def test_findings_compare_the_largest_size(made):
    (path,) = made.glob("*.csv")
    row = next(row for row in results.read(path) if row.metric == "time")

    def time(library, median, size):
        setting = {"neuron": "lif", "library": library, "pass": "forward", "T": "10", "size": size, "type": "float32"}
        return dataclasses.replace(row, setting=setting, median=median)

    rows = [time("fastlif", 1.0, "100"), time("fastlif", 2.0, "1000"), time("SpikingJelly", 50.0, "100")]
    (met,) = kernels.findings([*rows, time("SpikingJelly", 21.0, "1000")])
    (missed,) = kernels.findings([*rows, time("SpikingJelly", 19.0, "1000")])
    assert met.reproduced is True and missed.reproduced is False
    assert "9.5 times" in missed.evidence


def test_bytes_that_must_be_moved():
    assert kernels.moved_bytes("lif", "forward", 10, 2) == 40
    assert kernels.moved_bytes("lif", "backward", 10, 4) == 120
    assert kernels.moved_bytes("noisy_lif, layer", "forward", 10, 4) == 160
