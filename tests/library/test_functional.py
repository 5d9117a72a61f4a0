"""What every call promises: an empty result for an empty batch, seeds, backends that cannot run."""

import math

import pytest
import torch
from helpers import ALL_SURROGATES, DEVICE, FAST_BACKENDS, REFERENCE, seeded

import fastlif
from fastlif import Noise
from fastlif.functional import lif, noisy_lif, noisy_spike

X = torch.zeros(2, 3, 4)


@pytest.fixture(params=["reference", *FAST_BACKENDS])
def backend(request):
    return request.param


def test_triton_on_a_cpu_says_why_not(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match="only in its interpreter .set TRITON_INTERPRET=1"):
        lif(X, backend="triton")


def test_no_compiler_says_what_to_install(monkeypatch):
    from fastlif import backends

    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    backends._why_not_compiled.cache_clear()
    with pytest.raises(RuntimeError, match='install g\\+\\+.*backend="reference"'):
        lif(X)
    backends._why_not_compiled.cache_clear()


@pytest.mark.parametrize("backend, device, other", [
    ("triton", "cpu", "compiled"), ("triton", "cuda", "reference"), ("compiled", "cuda", "reference"),
])  # fmt: skip
def test_without_triton_another_backend_is_named_that_runs(backend, device, other, monkeypatch):
    from fastlif import backends

    monkeypatch.setattr(backends, "_why_no_import", lambda other: f"install it, or use {other}")
    monkeypatch.setattr(backends, "_why_not_compiled", backends._why_not_compiled.__wrapped__)
    assert backends.why_not(backend, device) == f"install it, or use {other}"


def test_empty_batch(backend):
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


def test_a_seed_beyond_63_bits_is_a_negative_one():
    """As torch.initial_seed() gives it."""
    x = torch.rand(40)
    signed, unsigned = (noisy_spike(x, seed=seed, **REFERENCE) for seed in (-5, 2**64 - 5))
    assert torch.equal(signed, unsigned)


def test_seed_comes_from_torchs_generator():
    x = torch.randn(4, 1000)
    first, second = seeded(noisy_spike, x, **REFERENCE), noisy_spike(x, **REFERENCE)
    assert torch.equal(seeded(noisy_spike, x, **REFERENCE), first) and not torch.equal(first, second)
    given = noisy_spike(x, seed=3, **REFERENCE)
    assert torch.equal(given, noisy_spike(x, seed=torch.tensor([3]), **REFERENCE))
    assert not torch.equal(given, noisy_spike(x, seed=4, **REFERENCE))
    before = torch.get_rng_state()
    noisy_spike(x, seed=3, **REFERENCE)
    noisy_spike(x, noise=Noise("none"), **REFERENCE)
    lif(x[None], **REFERENCE)
    assert torch.equal(before, torch.get_rng_state())


def test_a_constant_membrane_leaves_beta(backend):
    """Equal neurons have no spread, although the float32 mean of equal numbers is often one rounding off."""
    for value, size in ((0.37, 5000), (0.41, 100), (0.45, 100), (0.45, 7)):
        x = torch.full((4, 1, size), value, device=DEVICE)
        for statistics in ("layer", "sample"):
            assert noisy_lif(x, noise=Noise("none"), statistics=statistics, backend=backend).sum() == 0


@pytest.mark.parametrize("statistics", ["layer", "sample", "given"])
def test_a_membrane_with_hardly_any_spread_leaves_beta(backend, statistics):
    """1 / (alpha M) is infinite where M is 1e-44, and infinity times 0 is no number."""
    x = torch.zeros(3, 1, 2, device=DEVICE)
    x[0, 0, 1] = 1e-44
    if statistics == "given":
        statistics = torch.zeros(3, device=DEVICE), torch.full((3,), 1e-44, device=DEVICE)
    spikes, state = noisy_lif(
        x, noise=Noise("none"), beta=0.0, statistics=statistics, backend=backend, return_state=True
    )
    assert spikes.sum() == 0 and torch.equal(state, torch.zeros_like(state))


@pytest.mark.parametrize("surrogate", ALL_SURROGATES, ids=lambda surrogate: surrogate.name)
def test_far_away_a_surrogate_is_zero_and_of_nan_it_is_nan(backend, surrogate):
    x = torch.tensor([[math.inf, -math.inf, math.nan]], device=DEVICE, requires_grad=True)
    noisy_spike(x, noise=Noise("none"), surrogate=surrogate, backend=backend).sum().backward()
    assert x.grad[0, :2].tolist() == [0, 0] and x.grad[0, 2].isnan()


def test_defaults_are_the_documented_ones():
    widths = {surrogate.name: surrogate.width for surrogate in ALL_SURROGATES}
    assert widths == {
        "atan": 2, "sigmoid": 4, "rectangular": 1, "triangular": 1, "fast_sigmoid": 25, "gaussian": 0.5
    }  # fmt: skip
    assert fastlif.Surrogate().name == "atan" and Noise() == Noise("gaussian", 0, 1, 4)


def test_float64_is_the_references():
    spikes, v = lif(torch.randn(3, 2, 5).double(), return_state=True)
    assert spikes.dtype == v.dtype == torch.float64
