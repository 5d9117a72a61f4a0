"""What PyTorch keeps for the whole process, such as the default dtype or the number of threads, changes no bit."""

import contextlib

import pytest
import torch
from helpers import DEVICE, FAST_BACKENDS, outputs_and_gradients, sample, weighted_gradients

import fastlif
from fastlif import Noise
from fastlif.compiled import graphs
from fastlif.functional import lif, noisy_lif, noisy_spike

BACKENDS = ["reference", *FAST_BACKENDS]
GIVEN = torch.tensor([[0.0, 0.1], [0.0, 0.7]], device=DEVICE).unbind()


def call(function, *shape, carried=False, **keywords):
    """Outputs and gradients of a neuron's function, in one tuple, for a backend."""

    def run(backend):
        state = sample(shape[1:], seed=1) if carried else None
        outputs, gradients = outputs_and_gradients(function, backend, sample(shape), state, **keywords)
        return *outputs, *gradients

    return run


def normalised(training, make):
    def run(backend):
        norm = torch.nn.BatchNorm1d(5, dtype=torch.float32, device=DEVICE).train(training)
        x = sample((8, 5, 8)).requires_grad_(training)
        torch.manual_seed(5)
        with torch.set_grad_enabled(training):
            spikes = fastlif.batch_norm_neuron(norm, make(backend), x)
        return spikes.detach(), *(weighted_gradients([spikes], [x, norm.weight, norm.bias]) if training else ())

    return run


def packed(backend):
    weight = sample((3, 4, 40), seed=1).requires_grad_()
    with fastlif.packed_spikes():
        output = lif(sample((3, 4, 40)), backend=backend) * weight
    return output.detach(), *weighted_gradients([output], [weight])


plain = call(lif, 3, 4, 40, carried=True, decay=0.7)
EVERYTHING = {
    "noisy_spike": call(noisy_spike, 3, 40, seed=5),
    "lif": plain,
    "noisy_lif, layer": call(noisy_lif, 2, 4, 40, seed=5),
    "noisy_lif, sample": call(noisy_lif, 2, 4, 40, seed=5, statistics="sample", noise=Noise("none")),
    "noisy_lif, given": call(noisy_lif, 2, 4, 40, seed=5, statistics=GIVEN),
    "batch norm and noisy": normalised(True, lambda backend: fastlif.NoisyLIF(backend=backend)),
    "batch norm and noisy, evaluation": normalised(False, lambda backend: fastlif.NoisyLIF(backend=backend)),
    "batch norm and LIF": normalised(True, lambda backend: fastlif.LIF(2, backend=backend)),
    "batch norm and LIF, evaluation": normalised(False, lambda backend: fastlif.LIF(2, backend=backend)),
    "packed_spikes": packed,
}


@contextlib.contextmanager
def changed(get, set, *values, **keywords):
    before = get()
    set(*values, **keywords)
    try:
        yield
    finally:
        set(before)


def default_dtype(dtype):
    return changed(torch.get_default_dtype, torch.set_default_dtype, dtype)


def threads(number):
    return changed(torch.get_num_threads, torch.set_num_threads, number)


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "float16": lambda: default_dtype(torch.float16),
    "deterministic": lambda: changed(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True, warn_only=DEVICE == "cuda"
    ),
    "default device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast(DEVICE, torch.bfloat16),
    **{f"{number} threads": lambda number=number: threads(number) for number in range(1, 11)},
}  # more than the eight that PyTorch compiles one function for


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected):
        assert one.dtype == other.dtype and torch.equal(one, other)


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("backend", BACKENDS)
def test_settings_change_no_bit(backend, name):
    expected = EVERYTHING[name](backend)
    compiled = set(graphs._graphs)
    for setting in SETTINGS:
        if backend == "triton" and "threads" in setting:
            continue  # it has none, and its interpreter is slow
        with SETTINGS[setting]():
            actual = EVERYTHING[name](backend)
        assert_equal(actual, expected)
    assert set(graphs._graphs) == compiled


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the kernels are the path")
@pytest.mark.parametrize("name", EVERYTHING)
def test_graphs_do_not_depend_on_the_settings_they_were_compiled_under(name):
    expected = EVERYTHING[name]("compiled")
    for setting in ("float64", "bfloat16", "deterministic", "default device", "autocast"):
        graphs._graphs.clear()
        with SETTINGS[setting]():
            actual = EVERYTHING[name]("compiled")
        assert_equal(actual, expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the kernels are the path")
def test_graphs_for_all_threads_do_not_depend_on_their_number(monkeypatch):
    monkeypatch.setattr(graphs, "SERIAL", 0)
    expected = plain("compiled")
    for number in (1, 2, 3, 7):
        with threads(number):
            assert_equal(plain("compiled"), expected)
