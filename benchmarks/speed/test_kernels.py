"""The neurons by themselves under pytest-benchmark: ``pytest benchmarks``, with that plugin's options.

The same calls as those of ``python -m benchmarks run kernels``, ours beside the libraries that are installed. A round
ends when the device has done its work. The bytes that must be moved a second stand in ``extra_info``.
"""

import pytest
import torch

from benchmarks.machine import now
from benchmarks.speed import kernels, peers
from fastlif import functional

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZES = (10**5, 10**7, 10**8) if DEVICE.type == "cuda" else (10**5, 10**6)
T = 10


def _function(neuron: str, library: str):
    if library != kernels.OURS:
        if not peers.version(library):
            pytest.skip(f"{library} is not installed: pip install {library.lower()}")
        made = peers.PEERS[library](DEVICE)
        surrogate = peers.SURROGATES.get(library, "atan")
        wrong = peers.disagreement(made, DEVICE, torch.float32, surrogate=surrogate)
        assert wrong is None, wrong
        return made
    return functional.lif if neuron == "lif" else kernels.ours(neuron, T, DEVICE)


CASES = [("lif", library) for library in (kernels.OURS, *peers.PEERS)] + [(n, kernels.OURS) for n in kernels.NEURONS]


@pytest.mark.parametrize("size", SIZES, ids="N{}".format)
@pytest.mark.parametrize("direction", ["forward", "forward and backward"])
@pytest.mark.parametrize("neuron, library", CASES, ids=["-".join(case) for case in CASES])
def test_speed(benchmark, neuron, library, direction, size):
    steps = 1 if neuron.startswith("noisy_spike") else T
    x = torch.rand(steps, kernels.SAMPLES, size // (steps * kernels.SAMPLES), device=DEVICE).mul_(1.5)
    x.requires_grad_(direction != "forward")
    function, grad = _function(neuron, library), torch.randn_like(x)

    def call():
        spikes = function(x)
        if x.requires_grad:
            torch.autograd.grad(spikes, x, grad)
        now(DEVICE)

    benchmark.group = f"{neuron}, {direction}, T = {steps}, {size:,} neuron-steps"
    benchmark.pedantic(call, rounds=10, warmup_rounds=3)
    moved = kernels.moved_bytes(neuron, direction, x.numel(), x.element_size(), steps)
    if benchmark.stats:  # there are none with --benchmark-disable
        benchmark.extra_info["GB/s"] = moved / benchmark.stats.stats.median / 1e9
