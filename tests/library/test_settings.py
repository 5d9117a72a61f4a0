"""What PyTorch keeps for the whole process, such as the default dtype or the number of threads, changes no bit."""

import contextlib

import pytest
import torch
from helpers import DEVICE, FAST_BACKENDS

import fastlif
from fastlif import Noise
from fastlif.compiled import graphs
from fastlif.functional import lif, noisy_lif, noisy_spike

BACKENDS = ["reference", *FAST_BACKENDS]


def normal(*shape, seed=0):
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu").to(DEVICE)


def gradients(outputs, *inputs):
    weights = [normal(*output.shape, seed=9).to(output) for output in outputs]
    return *(output.detach() for output in outputs), *torch.autograd.grad(outputs, inputs, weights)


def spike(backend):
    x = normal(3, 40).requires_grad_()
    return gradients([noisy_spike(x, seed=5, backend=backend)], x)


def plain(backend):
    x, state = normal(3, 4, 40).requires_grad_(), normal(4, 40, seed=1).requires_grad_()
    outputs = lif(x, decay=0.7, initial_state=state, return_state=True, backend=backend)
    return gradients(outputs, x, state)


def noisy(statistics, noise):
    def run(backend):
        given = statistics
        if statistics == "given":
            given = tuple(torch.tensor(values, dtype=torch.float32, device=DEVICE) for values in ([0, 0.1], [0, 0.7]))
        x = normal(2, 4, 40).requires_grad_()
        outputs = noisy_lif(x, seed=5, statistics=given, noise=noise, return_state=True, backend=backend)
        return gradients(outputs, x)

    return run


def normalised(training, make):
    def run(backend):
        norm = torch.nn.BatchNorm1d(5, dtype=torch.float32, device=DEVICE).train(training)
        x = normal(8, 5, 8).requires_grad_(training)
        torch.manual_seed(5)
        with torch.set_grad_enabled(training):
            spikes = fastlif.batch_norm_neuron(norm, make(backend), x)
        return gradients([spikes], x, norm.weight, norm.bias) if training else (spikes,)

    return run


def packed(backend):
    weight = normal(3, 4, 40, seed=1).requires_grad_()
    with fastlif.packed_spikes():
        return gradients([lif(normal(3, 4, 40), backend=backend) * weight], weight)


EVERYTHING = {
    "noisy_spike": spike,
    "lif": plain,
    "noisy_lif, layer": noisy("layer", Noise()),
    "noisy_lif, sample": noisy("sample", Noise("none")),
    "noisy_lif, given": noisy("given", Noise()),
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
