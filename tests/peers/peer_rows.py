"""A neuron of another library beside ours: the same input, then spikes and gradients compared.

In float64 both give the same to the last digits, so the equations are the same. In float32 what is left is rounding,
theirs and ours: mostly that of the membrane, which the surrogate's slope magnifies. So what float32 gives is held
against what their own neuron gives in float64, of the same float32 numbers.
"""

import functools
import types

import pytest
import torch

from fastlif.functional import lif

T, SAMPLES, FEATURES = 10, 4, 7_200
SPIKES = 60_000  # that a row must have at least
# How far gradients may differ: the norm of the difference over the norm of the gradient. Ours in float32 lie within
# ROUNDING of float64, or else are no further from it than theirs, to one per cent.
IN_FLOAT64, ROUNDING, NO_FURTHER = 1e-12, 3e-7, 1.01
# The largest difference over the largest gradient, of ours to theirs in float32; and how far a gradient that is one
# number for the whole layer, a sum whose terms cancel, may be from either.
LARGEST, OF_A_SUM = 2e-6, 5e-6


def compare(make, scale=1.0):
    """``make(dtype)`` gives their neuron, ours, and the parameters of each: ``[T, N, features]`` to spikes. Its numbers
    are float32 ones for float64 too."""
    generator = torch.Generator().manual_seed(1)
    x = (torch.randn(T, SAMPLES, FEATURES, generator=generator) + 0.5) * scale
    weights = torch.randn(x.shape, generator=generator)
    in_float64 = _both(make, x.double(), weights.double())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)  # snnTorch's spikes are float32 whatever the input is
        truth = next(in_float64)
    wide = next(in_float64)
    theirs, ours = _both(make, x, weights)
    spikes, count = truth[0], int(truth[0].count_nonzero())
    for whose, result in (("theirs, float32", theirs), ("ours, float32", ours), ("ours, float64", wide)):
        differ = int((result[0] != spikes).sum())
        assert differ == 0, f"{differ} of {count} spikes differ: {whose}"
    for exact, in_float64, their, our in zip(truth[1], wide[1], theirs[1], ours[1], strict=True):
        assert max(_distances(in_float64, exact)) <= IN_FLOAT64
        largest, _ = _distances(our, their)
        (_, own), (_, norm) = _distances(their, exact), _distances(our, exact)
        assert largest <= (OF_A_SUM if exact.numel() == 1 else LARGEST), f"{largest} from theirs"
        limit = OF_A_SUM if exact.numel() == 1 else max(ROUNDING, NO_FURTHER * own)
        assert norm <= limit, f"{norm} from float64, theirs {own}"
    assert count >= SPIKES, f"only {count} spikes"


def _both(make, x, weights):
    """Spikes and gradients, theirs and ours."""
    theirs, ours, their_parameters, our_parameters = make(x.dtype)
    for function, parameters in ((theirs, their_parameters), (ours, our_parameters)):
        leaf = x.clone().requires_grad_()
        spikes = function(leaf)
        yield spikes.detach(), torch.autograd.grad((spikes * weights).sum(), (leaf, *parameters))


def _distances(gradient, other):
    """The largest difference over the largest gradient, and the difference's norm over the gradient's."""
    difference, other = gradient.double() - other, other.double()
    return float(difference.abs().max() / other.abs().max()), float(difference.norm() / other.norm())


@pytest.fixture
def sj(monkeypatch):
    """SpikingJelly's modules, and our neurons on the reference, which compiles nothing."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate
    from spikingjelly.logger import logger

    logger.disable("spikingjelly")
    from fastlif.libraries import spikingjelly_nodes as nodes

    monkeypatch.setattr(nodes, "lif", functools.partial(lif, backend="reference"))
    return types.SimpleNamespace(functional=functional, layer=layer, neuron=neuron, surrogate=surrogate, nodes=nodes)
