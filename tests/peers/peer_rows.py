"""A neuron of another library beside ours: the same input, then spikes and gradients compared.

In float64 both give the same to the last digits, so the equations are the same. In float32 the terms are added in
another order, and what is left is rounding: no spike may differ, and gradients by no more than that.
"""

import functools
import types

import pytest
import torch
from counts import COUNTS

from fastlif.functional import lif

T, SAMPLES, FEATURES = 10, 4, 7_200
SPIKES = 60_000  # that a float32 row must have at least
# Gradients in float32: the largest difference over the largest gradient, and the difference's norm over the gradient's.
# That of one number for the whole layer is a sum over all steps, whose terms cancel.
LARGEST, NORM, OF_A_SUM = 2e-6, 5e-7, 1e-5


def compare(make, scale=1.0, in_float64=1e-12):
    """``make(dtype)`` gives their neuron, ours, and the parameters of each: ``[T, N, features]`` to spikes.

    ``in_float64`` is how far gradients may differ there.
    """
    for dtype, features in ((torch.float64, 200), (torch.float32, FEATURES)):
        theirs, ours, their_parameters, our_parameters = make(dtype)
        generator = torch.Generator().manual_seed(1)
        x = (torch.randn(T, SAMPLES, features, generator=generator, dtype=dtype) + 0.5) * scale
        weights = torch.randn(x.shape, generator=generator).to(dtype)  # float32 numbers, as snnTorch's spikes are
        results = []
        for function, parameters in ((theirs, their_parameters), (ours, our_parameters)):
            leaf = x.clone().requires_grad_()
            spikes = function(leaf)
            results.append((spikes, torch.autograd.grad((spikes * weights).sum(), (leaf, *parameters))))
        (expected, wanted), (actual, gradients) = results
        differ, count = int((expected != actual).sum()), int(expected.count_nonzero())
        assert differ == 0, f"{differ} of {count} spikes differ in {dtype}"
        for grad, want in zip(gradients, wanted):
            difference, want = (grad - want).double(), want.double()
            errors = float(difference.abs().max() / want.abs().max()), float(difference.norm() / want.norm())
            limits = (OF_A_SUM, OF_A_SUM) if want.numel() == 1 else (LARGEST, NORM)
            if dtype == torch.float64:
                limits = in_float64, in_float64
            assert all(error <= limit for error, limit in zip(errors, limits)), f"{errors} in {dtype}"
    assert count >= SPIKES, f"only {count} spikes"
    COUNTS["spikes beside other libraries' neurons"] += count


@pytest.fixture
def sj(monkeypatch):
    """SpikingJelly's modules, and our neurons on the reference, which compiles nothing."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate
    from spikingjelly.logger import logger

    logger.disable("spikingjelly")
    from fastlif.libraries import nodes

    monkeypatch.setattr(nodes, "lif", functools.partial(lif, backend="reference"))
    return types.SimpleNamespace(functional=functional, layer=layer, neuron=neuron, surrogate=surrogate, nodes=nodes)
