"""The operators as PyTorch sees them."""

import pytest
import torch
from helpers import DEVICE, SEQUENCE_LAYOUTS

import fastlif
from fastlif import functional
from fastlif.noise import noise_scalars
from fastlif.options import options

pytest.importorskip("triton")


def text(**values):
    return options(threshold=1.0, backend="triton", **values).text


NOISE = {"noise": "gaussian", "noise_scalars": noise_scalars("gaussian", 0.5, 0.5, 4.0)}
SPIKE, AT_MEAN = text(**NOISE), text(**NOISE, surrogate_at="mean")
PLAIN, DELAYED = text(decay=0.5), text(decay=0.5, reset=None, reset_delay=True, inclusive=True)
NOISY = text(decay=0.5, inv_alpha=0.25, beta=0.5, reset=None, detach_reset=True, **NOISE)
ANTITHETIC = text(decay=0.5, inv_alpha=0.25, beta=0.25, over_time="antithetic", surrogate_at="mean", **NOISE)


def arguments(layout):
    T, x = 4, layout(torch.randn(4, 5, 3, 7, 7, device=DEVICE))
    folded = x.flatten(0, 1)
    grad = torch.randn(4, 5, 3, 7, 7, device=DEVICE)
    state = torch.randn(5, 3, 7, 7, device=DEVICE)
    seed = torch.tensor([3], device=DEVICE)
    statistics = torch.rand(4, 5, device=DEVICE), torch.rand(4, 5, device=DEVICE)
    norm = list(torch.rand(4, 3, device=DEVICE))
    running = torch.rand(3, device=DEVICE), torch.rand(3, device=DEVICE)
    parameters = [torch.rand(size, 1, 1, device=DEVICE) for size in (1, 3, 3)]
    learned = [parameter.clone().requires_grad_() for parameter in parameters]
    neurons = torch.rand(3, 7, 7, device=DEVICE)
    ops = torch.ops.fastlif
    return {
        "noisy_spike": (ops.noisy_spike, (x[0], seed, None, SPIKE)),
        "noisy_spike_backward": (ops.noisy_spike_backward, (grad[0], x[0], seed, None, SPIKE)),
        "noisy_spike, at the mean": (ops.noisy_spike, (x[0], seed, None, AT_MEAN)),
        "noisy_lif, antithetic": (ops.noisy_lif, (x, None, state, seed, "layer", ANTITHETIC)),
        "lif": (ops.lif, (x, None, state, *(None,) * 7, True, PLAIN)),
        "lif, no state": (ops.lif, (x, *(None,) * 9, False, PLAIN)),
        "lif, folded": (ops.lif, (folded, T, state, *(None,) * 7, True, PLAIN)),
        "lif, given statistics": (ops.lif, (x, None, None, *statistics, seed, *(None,) * 4, True, NOISY)),
        "noisy_spike, normalised": (ops.noisy_spike, (x[0], seed, norm, SPIKE)),
        "noisy_spike_backward, normalised": (ops.noisy_spike_backward, (grad[0], x[0], seed, norm, SPIKE)),
        "lif, normalised": (ops.lif, (x, *(None,) * 5, norm, None, None, None, False, PLAIN)),
        "lif_backward, normalised": (
            ops.lif_backward, (grad, None, x, *(None,) * 5, norm, None, None, None, 0, PLAIN),
        ),
        "batch_statistics": (ops.batch_statistics, (x[0], *running, 0.1, 1e-5)),
        "noisy_lif": (ops.noisy_lif, (x, None, state, seed, "layer", NOISY)),
        "noisy_lif, folded": (ops.noisy_lif, (folded, T, None, seed, "layer", NOISY)),
        "noisy_lif, sample": (ops.noisy_lif, (x, None, None, seed, "sample", NOISY)),
        "lif_backward": (ops.lif_backward, (grad, state, x, None, state, *(None,) * 7, 0, PLAIN)),
        "lif_backward, folded": (
            ops.lif_backward, (grad.flatten(0, 1), None, folded, T, *(None,) * 8, 0, PLAIN),
        ),
        "lif, parameters": (ops.lif, (x, None, state, *(None,) * 4, *learned, True, DELAYED)),
        "lif, neurons": (ops.lif, (x, *(None,) * 7, neurons.clone().requires_grad_(), None, False, PLAIN)),
        "lif_backward, neurons": (ops.lif_backward, (grad, None, x, *(None,) * 7, neurons, None, 2, PLAIN)),
        "lif, a learned decay": (ops.lif, (x, *(None,) * 7, learned[1], None, False, PLAIN)),
        "lif_backward, parameters": (
            ops.lif_backward, (grad, state, x, None, state, *(None,) * 4, *parameters, 7, DELAYED),
        ),
        "lif_backward, sample": (
            ops.lif_backward, (grad, None, x, None, None, *statistics, seed, *(None,) * 4, 0, NOISY),
        ),
    }  # fmt: skip


LAYOUTS = {"contiguous": torch.Tensor.contiguous} | {
    name: SEQUENCE_LAYOUTS[name] for name in ("channels_last", "static", "every-other")
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("name", list(arguments(LAYOUTS["contiguous"])))
def test_opcheck(name, layout):
    operator, values = arguments(LAYOUTS[layout])[name]
    if name.startswith(("lif, given", "noisy_lif, sample", "lif_backward, sample")) and layout == "every-other":
        values = tuple(v.contiguous() if isinstance(v, torch.Tensor) else v for v in values)
    torch.library.opcheck(operator.default, values)


@pytest.mark.parametrize("normalised", [False, True])
def test_at_the_mean_the_backward_is_that_of_a_lower_threshold_without_noise(normalised, monkeypatch):
    """No kernel and no graph of its own: what is launched has the very record of another neuron, and no seed."""
    from fastlif.operators import common, single_step

    launched = []

    class Launchers:
        def noisy_spike_backward(grad_spikes, x, grad_x, seed, norm, o):
            launched.append((seed, o))
            common.compiled.noisy_spike_backward(grad_spikes, x, grad_x, seed, norm, o)

    monkeypatch.setattr(single_step, "launchers", lambda *arguments: Launchers)
    x, grad, norm = torch.randn(4, 3, 5), torch.randn(4, 3, 5), torch.rand(4, 3) if normalised else None
    chosen = functional.noisy_spike_options(
        fastlif.Noise("uniform", -1, 2), 0.75, fastlif.Surrogate("sigmoid", at="mean"), "compiled"
    )  # fmt: skip
    still = functional.noisy_spike_options(fastlif.Noise("none"), 0.25, "sigmoid", "compiled")
    mine = single_step.noisy_spike_backward(grad, x, torch.tensor([3]), norm, chosen)
    assert torch.equal(mine, single_step.noisy_spike_backward(grad, x, None, norm, still))
    assert launched == [(None, still), (None, still)]
