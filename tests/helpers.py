"""What the numerical tests share: the literal equations in float64, and what it means for two results to agree."""

import importlib.util
import math

import torch

from fastlif import Noise, Surrogate, reference
from fastlif.noise import noise_like, residual_noise

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
REFERENCE = {"backend": "reference"}
QUIET = {"noise": Noise("none"), **REFERENCE}
FAST_BACKENDS = ["compiled", *["triton"] * bool(importlib.util.find_spec("triton"))]

# |h - threshold| below which the two sides of a comparison may round to different spikes. float32 rounding of h is
# about 1e-7; the statistics of a layer and the hardware's square root add a few units of it.
TIE = 2e-6


def literal_membranes(
    x,
    *,
    decay=0.5,
    threshold=1.0,
    reset=0.0,
    alpha=None,
    beta=0.5,
    noise=Noise("none"),
    residual="matched",
    over_time="independent",
    statistics="layer",
    seed=None,
    initial_state=None,
):
    """h_t in float64, Eq. (1)-(3); with alpha, Eq. (6)-(9) as printed, standard deviation and all. ``[T, N, *]``."""
    x = x.double()
    v = torch.zeros_like(x[0]) if initial_state is None else initial_state.double()
    membranes = []
    for t in range(len(x)):
        h = x[t] + (decay * v if alpha is None else normalised_membrane(decay * v, alpha, beta, statistics, t))
        if noise.kind != "none":
            kind, scalars = noise.kind, noise.scalars()
            if alpha is not None:
                kind, scalars = residual_noise(noise, alpha, beta, residual)
            h = h + step_noise(x[t], torch.tensor([seed], device=x.device), t, kind, scalars, over_time)
        spikes = (h > threshold).double()
        v = h - threshold * spikes if reset is None else h * (1 - spikes) + reset * spikes
        membranes.append(h)
    return torch.stack(membranes)


def step_noise(step, seed, t, kind, scalars, over_time):
    """n_t, as its format is published."""
    if over_time == "independent":
        return noise_like(step, seed, t, kind, scalars)
    n = noise_like(step, seed, t // 2, kind, scalars)
    return 2 * scalars[0] - n if t % 2 else n


def normalised_membrane(A, alpha, beta, statistics, t):
    """N(lambda V(t-1)), Eq. (7)-(9)."""
    if not isinstance(statistics, str):
        mean, deviation = (value[t].double() for value in statistics)
        return (A - mean) / (alpha * deviation) + beta
    dims = tuple(range(1, A.ndim)) if statistics == "sample" else tuple(range(A.ndim))
    sigma = A.std(dim=dims, correction=0, keepdim=True)
    normal = torch.where(sigma > 0, (A - A.mean(dim=dims, keepdim=True)) / sigma, 0.0)
    largest = normal.abs().amax(dim=dims, keepdim=True)
    return torch.where(largest > 0, normal / (alpha * largest), 0.0) + beta


def assert_spikes_agree(actual, expected, membranes, threshold=1.0):
    """Equal spikes ``[T, N, *]``, except that a neuron may part ways where its membrane is at the threshold.

    At its first differing step |h - threshold| must be below TIE, and at most one neuron in a thousand may differ.
    """
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    assert bool(((actual == 0) | (actual == 1)).all()), "spikes are 0 or 1"
    differ = (actual != expected).flatten(1)
    count = int(differ.any(dim=0).sum())
    assert count <= max(1, differ.shape[1] // 1000), f"{count} of {differ.shape[1]} neurons differ"
    if count:
        first = differ.int().argmax(dim=0, keepdim=True)
        distance = (membranes.flatten(1).gather(0, first) - threshold).abs()[0][differ.any(dim=0)]
        assert float(distance.max()) < TIE, f"spikes differ {float(distance.max()):.1e} away from the threshold"


def seeded(function, *args, **keywords):
    """What ``function`` gives, with the same noise every time."""
    torch.manual_seed(0)
    return function(*args, **keywords)


def relative_error(actual, expected):
    """Root mean square of the difference over that of ``expected``."""
    return float((actual.double() - expected.double()).norm() / expected.double().norm().clamp(min=1e-30))


def weighted_gradients(outputs, inputs, seed=0):
    """Gradients of the outputs' sum, weighted at random, with respect to ``inputs``."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(
        (output.double() * torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.device)).sum()
        for output in outputs
    )
    return torch.autograd.grad(total, inputs)


ALL_SURROGATES = [Surrogate(name) for name in reference.SURROGATES]
SQRT2 = math.sqrt(2)
