"""What every call promises: a sentence for a wrong argument, an empty result for an empty batch, seeds, backends."""

import math

import pytest
import torch
from helpers import DEVICE

import fastlif
from fastlif import Noise, Surrogate
from fastlif.functional import lif, noisy_lif, noisy_spike

REFERENCE = {"backend": "reference"}
X = torch.zeros(2, 3, 4)
NAN = float("nan")

BAD_INPUTS = [
    (TypeError, "input must be a torch.Tensor, got list", lambda: lif([1.0])),
    (TypeError, "input must be float32, float16, bfloat16 or float64, got int64", lambda: noisy_spike(X.long())),
    (TypeError, "got bool", lambda: lif(X.bool())),
    (TypeError, "got complex64", lambda: noisy_lif(X.to(torch.complex64))),
    (TypeError, "call .to_dense() first", lambda: noisy_spike(X.to_sparse())),
    (ValueError, "at least one time step, got shape (0, 3, 4)", lambda: lif(X[:0])),
    (ValueError, "at least one time step, got shape (0, 3, 4)", lambda: noisy_lif(X[:0])),
    (ValueError, "[T, N, *] with at least 2 dimensions, got shape (3,)", lambda: lif(X[0, :, 0])),
    (ValueError, "[N, *] with at least 1 dimensions, got shape ()", lambda: noisy_spike(X[0, 0, 0])),
    (ValueError, "decay must lie in [0, 1], got 1.5", lambda: lif(X, decay=1.5)),
    (ValueError, "decay must lie in [0, 1], got -0.1", lambda: noisy_lif(X, decay=-0.1)),
    (ValueError, "decay must be a number, got nan", lambda: lif(X, decay=NAN)),
    (TypeError, "decay must be a number, got str", lambda: lif(X, decay="0.5")),
    (TypeError, "decay must be a number, got bool", lambda: lif(X, decay=True)),
    (ValueError, "exactly one of decay and tau, got decay=0.5 and tau=2.0", lambda: lif(X, decay=0.5, tau=2.0)),
    (ValueError, "tau must be at least 1 (decay = 1 - 1/tau), got 0.5", lambda: lif(X, tau=0.5)),
    (ValueError, "threshold must be a number, got nan", lambda: noisy_spike(X[0], threshold=NAN)),
    (ValueError, "reset must be a number, got nan", lambda: lif(X, reset=NAN)),
    (TypeError, "reset must be a number, got Tensor", lambda: lif(X, reset=torch.zeros(1))),
    (ValueError, "alpha must be greater than 0, got 0", lambda: noisy_lif(X, alpha=0)),
    (ValueError, "alpha must be greater than 0, got -4", lambda: noisy_lif(X, alpha=-4.0)),
    (ValueError, "alpha must be a number, got nan", lambda: noisy_lif(X, alpha=NAN)),
    (ValueError, "more than the noise's half-range 0.5: alpha must be at least 2", lambda: noisy_lif(X, alpha=1.9)),
    (ValueError, "alpha must be inf", lambda: noisy_lif(X, noise=Noise(low=0.5, high=0.5))),
    (ValueError, "beta must be a finite number, got inf", lambda: noisy_lif(X, beta=math.inf)),
    (ValueError, "noise low must not exceed high, got low=1.0 and high=0.0", lambda: Noise(low=1.0, high=0.0)),
    (ValueError, "noise width must be greater than 0, got 0", lambda: Noise(width=0)),
    (ValueError, "noise high must be a finite number, got inf", lambda: Noise(high=math.inf)),
    (ValueError, "noise kind must be one of gaussian, uniform, none, got 'normal'", lambda: Noise("normal")),
    (TypeError, "noise must be a fastlif.Noise, got str", lambda: noisy_spike(X[0], noise="gaussian")),
    (ValueError, "surrogate must be one of atan, sigmoid, rectangular", lambda: lif(X, surrogate="arctan")),
    (TypeError, "surrogate must be a name or a fastlif.Surrogate, got int", lambda: lif(X, surrogate=2)),
    (ValueError, "surrogate width must be greater than 0, got -1", lambda: Surrogate("atan", -1)),
    (ValueError, "statistics must be one of layer, sample, got 'batch'", lambda: noisy_lif(X, statistics="batch")),
    (ValueError, "or a pair (mean, deviation) of tensors", lambda: noisy_lif(X, statistics=(0.0, 1.0))),
    (
        ValueError,
        "mean must have one value per time step, shape (2,), got (3,)",
        lambda: noisy_lif(X, statistics=(torch.zeros(3), torch.ones(3))),
    ),
    (ValueError, "backend must be one of auto, triton, compiled, reference, got 'cuda'", lambda: lif(X, backend="cuda")),
    (
        ValueError,
        "shape of one time step, (3, 4), got (4, 3)",
        lambda: lif(X, initial_state=torch.zeros(4, 3)),
    ),
    (TypeError, "initial_state must be a torch.Tensor, got float", lambda: lif(X, initial_state=0.0)),
    (TypeError, "initial_state must have a floating point dtype, got int64", lambda: lif(X, initial_state=X[0].long())),
    (ValueError, "initial_state must be on the input's device", lambda: lif(X, initial_state=X[0].to("meta"))),
    (TypeError, "seed must be an integer or a one-element int64 tensor, got float", lambda: noisy_spike(X, seed=0.5)),
    (TypeError, "got dtype float32", lambda: noisy_spike(X, seed=torch.zeros(1))),
    (ValueError, "seed must have one element, got shape (2,)", lambda: noisy_spike(X, seed=torch.tensor([1, 2]))),
    (ValueError, "seed must fit into 64 bits", lambda: noisy_spike(X, seed=2**63)),
    (ValueError, "seed must be on the input's device", lambda: noisy_spike(X, seed=torch.zeros(1).long().to("meta"))),
    (TypeError, 'use backend="reference"', lambda: lif(X.double(), backend="compiled")),
    (ValueError, "timesteps must be at least 1, got 0", lambda: fastlif.LIF(timesteps=0)),
    (TypeError, "timesteps must be an integer, got float", lambda: fastlif.NoisyLIF(timesteps=2.0)),
    (ValueError, "timesteps=4 must divide the batch", lambda: fastlif.LIF(timesteps=4, **REFERENCE)(torch.zeros(6, 3))),
    (ValueError, "at least 1 dimensions", lambda: fastlif.LIF(**REFERENCE)(torch.tensor(1.0))),
    (ValueError, "alpha must be at least 2", lambda: fastlif.NoisyLIF(alpha=1.0)),
    (ValueError, "statistics must be one of", lambda: fastlif.NoisyLIF(statistics="global")),
    (ValueError, "backend must be one of", lambda: fastlif.LIF(backend="numba")),
]


@pytest.mark.parametrize("error, phrase, call", BAD_INPUTS, ids=[phrase[:40] for _, phrase, _ in BAD_INPUTS])
def test_bad_input(error, phrase, call):
    with pytest.raises(error) as caught:
        call()
    assert phrase in str(caught.value)


def test_triton_on_a_cpu_says_why_not(monkeypatch):
    pytest.importorskip("triton")
    from fastlif import backends

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    backends._why_not_triton.cache_clear()
    with pytest.raises(RuntimeError, match="only in its interpreter .set TRITON_INTERPRET=1"):
        lif(X, backend="triton")
    backends._why_not_triton.cache_clear()


def test_no_compiler_says_what_to_install(monkeypatch):
    from fastlif import backends

    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    backends._why_not_compiled.cache_clear()
    with pytest.raises(RuntimeError, match='install g\\+\\+.*backend="reference"'):
        lif(X)
    backends._why_not_compiled.cache_clear()


@pytest.mark.parametrize("backend", ["triton", "compiled", "reference"])
def test_empty_batch(backend):
    if backend == "triton":
        pytest.importorskip("triton")
    x = torch.zeros(4, 0, 5, requires_grad=True, device=DEVICE)
    state = torch.zeros(0, 5, device=DEVICE)
    for spikes in (
        lif(x, initial_state=state, backend=backend),
        noisy_lif(x, backend=backend),
        noisy_lif(x, statistics="sample", backend=backend),
        noisy_spike(x, backend=backend),
    ):
        assert spikes.shape == x.shape
        spikes.sum().backward()
    assert x.grad.shape == x.shape
    assert fastlif.LIF(timesteps=4, backend=backend)(state).shape == (0, 5)


def test_seed_comes_from_torchs_generator():
    x = torch.randn(4, 1000)
    torch.manual_seed(1)
    first, second = noisy_spike(x, **REFERENCE), noisy_spike(x, **REFERENCE)
    torch.manual_seed(1)
    assert torch.equal(noisy_spike(x, **REFERENCE), first) and not torch.equal(first, second)
    assert torch.equal(noisy_spike(x, seed=3, **REFERENCE), noisy_spike(x, seed=torch.tensor([3]), **REFERENCE))
    before = torch.get_rng_state()
    noisy_spike(x, seed=3, **REFERENCE)
    noisy_spike(x, noise=Noise("none"), **REFERENCE)
    lif(x[None], **REFERENCE)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("backend", ["triton", "compiled", "reference"])
def test_a_constant_membrane_leaves_beta(backend):
    """Equal neurons have no spread, although the float32 mean of equal numbers is often one rounding off."""
    if backend == "triton":
        pytest.importorskip("triton")
    for value, size in ((0.37, 5000), (0.41, 100), (0.45, 100), (0.45, 7)):
        x = torch.full((4, 1, size), value, device=DEVICE)
        for statistics in ("layer", "sample"):
            assert noisy_lif(x, noise=Noise("none"), statistics=statistics, backend=backend).sum() == 0


def test_one_neuron_a_sample():
    x = torch.randn(4, 6)
    assert noisy_lif(x, statistics="sample", **REFERENCE).shape == (4, 6)


def test_tau():
    x = torch.randn(5, 3, 40)
    assert torch.equal(lif(x, tau=4.0, **REFERENCE), lif(x, decay=0.75, **REFERENCE))


def test_float64_is_the_references():
    spikes, v = lif(torch.randn(3, 2, 5).double(), return_state=True)
    assert spikes.dtype == v.dtype == torch.float64


@pytest.mark.parametrize("function, keywords", [(lif, {}), (noisy_lif, {"statistics": "layer", "noise": Noise("none")})])
def test_a_sequence_in_two_halves(function, keywords):
    x = torch.randn(8, 3, 50) * 0.5 + 0.4
    whole, last = function(x, return_state=True, **keywords, **REFERENCE)
    first, state = function(x[:3], return_state=True, **keywords, **REFERENCE)
    second, end = function(x[3:], initial_state=state, return_state=True, **keywords, **REFERENCE)
    assert torch.equal(torch.cat([first, second]), whole) and torch.equal(end, last)
