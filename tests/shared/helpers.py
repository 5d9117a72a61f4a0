"""What the numerical tests share: the literal equations in float64, and what it means for two results to agree."""

import importlib.util

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fastlif import Noise, Surrogate, reference
from fastlif.functional import lif, noisy_lif, noisy_spike
from fastlif.noise import noise_like, residual_noise

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
REFERENCE = {"backend": "reference"}
QUIET = {"noise": Noise("none"), **REFERENCE}
FAST_BACKENDS = ["compiled", *["triton"] * bool(importlib.util.find_spec("triton"))]

# |h - threshold| below which the two sides of a comparison may round to different spikes. float32 rounding of h is
# about 1e-7; the statistics of a layer and the hardware's square root add a few units of it.
TIE = 2e-6
# Relative RMS. Gradients of 16 bits are rounded to the dtype at the end; in float32 a steep surrogate (fast_sigmoid,
# 25) magnifies the last bit of h.
GRADIENT_ERROR = {torch.float32: 5e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
DTYPES = list(GRADIENT_ERROR)


class Checkpointed(nn.Module):
    """Layers one after the other, computed again in the backward."""

    def __init__(self, *parts, **keywords):
        super().__init__()
        self.part, self.keywords = nn.Sequential(*parts), keywords

    def forward(self, x):
        return checkpoint(self.part, x, **self.keywords)


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


def membranes_of(function, x, initial_state=None, **keywords):
    """h_t of a call of a neuron, by the literal equations, ``[T, N, *]``."""
    keywords = {name: value for name, value in keywords.items() if name not in ("surrogate", "detach_reset")}
    if function is not lif:
        keywords = {"noise": Noise(), "alpha": 4.0 if function is noisy_lif else None} | keywords
    return literal_membranes(x[None] if function is noisy_spike else x, initial_state=initial_state, **keywords)


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


def weighted_gradients(outputs, inputs, seed=0, lay=lambda weights: weights):
    """Gradients of the outputs' sum, weighted at random, with respect to ``inputs``; ``lay`` lays the weights."""
    generator = torch.Generator("cpu").manual_seed(seed)
    drawn = [torch.randn(output.shape, generator=generator, dtype=torch.float64, device="cpu") for output in outputs]
    return torch.autograd.grad(outputs, inputs, [lay(weights.to(output)) for weights, output in zip(drawn, outputs)])


def outputs_and_gradients(function, backend, x, initial_state=None, lay=lambda weights: weights, **keywords):
    """Spikes, with the last membrane but for noisy_spike; and the gradients of x and of the initial membrane."""
    leaves = [tensor.detach().requires_grad_() for tensor in (x, initial_state) if tensor is not None]
    if function is not noisy_spike:
        keywords |= {"initial_state": None if initial_state is None else leaves[1], "return_state": True}
    outputs = function(leaves[0], backend=backend, **keywords)
    outputs = [outputs] if function is noisy_spike else outputs
    return [output.detach() for output in outputs], weighted_gradients(outputs, leaves, lay=lay)


def check_against_reference(function, backend, x, initial_state=None, *, drawn_for=None, lay=lambda g: g, **keywords):
    """A neuron's spikes, last membrane and every gradient agree with the reference's, of the same noise.

    ``drawn_for`` is x in the memory layout that its noise follows, if that is another one; ``lay`` lays the gradient.
    """
    results = [outputs_and_gradients(function, name, x, initial_state, lay, **keywords)
               for name in (backend, "reference")]  # fmt: skip
    ((spikes, *v), gradients), ((expected, *expected_v), expected_gradients) = results
    assert spikes.numel() < 3 or 0.02 < float(spikes.float().mean()) < 0.9
    membranes = membranes_of(function, x if drawn_for is None else drawn_for, initial_state, **keywords)
    if function is noisy_spike:
        assert spikes.stride() == torch.empty_like(x).stride()
        spikes, expected = spikes[None], expected[None]
    assert_spikes_agree(spikes, expected, membranes, keywords.get("threshold", 1.0))
    same = (spikes == expected).all(dim=0)  # a neuron that parted ways at a tie has another trajectory
    for mine, theirs in zip(v, expected_v):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine[same], theirs[same], rtol=1e-5, atol=2e-6)
    for mine, theirs in zip(gradients, expected_gradients):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        mask = same.expand_as(mine)
        assert relative_error(mine[mask], theirs[mask]) < GRADIENT_ERROR[mine.dtype]


def sample(shape, dtype=torch.float32, seed=0):
    """An input that makes neurons spike now and then."""
    generator = torch.Generator("cpu").manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
    return (x * 0.6 + 0.4).to(DEVICE, dtype)


def statistics_of(name, T):
    """The argument ``statistics``: for "calibrated", numbers for T steps."""
    if name != "calibrated":
        return name
    return torch.linspace(0.1, 0.3, T, device=DEVICE), torch.linspace(0.5, 0.9, T, device=DEVICE)


SEQUENCE_LAYOUTS = {  # of [T, N, C, H, W]
    "static": lambda x: x[:1].expand_as(x),
    "batch-first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "channels_last": lambda x: x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3),
    "batch-inside": lambda x: x.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3),
    "every-other": lambda x: torch.cat([x, x], dim=4)[..., ::2],
    "steps-apart": lambda x: torch.stack([x, x], dim=1)[:, 0],
}
ALL_SURROGATES = [Surrogate(name) for name in reference.SURROGATES]
