"""The kernels against the reference, noise included: on a GPU where there is one, under the interpreter elsewhere."""

import itertools
import os

import pytest
import torch
from helpers import ALL_SURROGATES, DEVICE, DTYPES, SEQUENCE_LAYOUTS, check_against_reference, sample, statistics_of

from fastlif import LIF, Noise, NoisyLIF, Surrogate, reference
from fastlif.functional import lif, noisy_lif, noisy_spike

pytest.importorskip("triton")

NOISES = {
    "gaussian": Noise(),
    "uniform": Noise("uniform"),
    "shifted": Noise(low=-0.5, high=1.0, width=3.0),
    "none": Noise("none"),
}
STATISTICS = ["layer", "sample", "calibrated"]


@pytest.fixture(autouse=True)
def uninitialised_memory_is_nan():
    """In the interpreter. The emulator knows by itself what was written; on a GPU FASTLIF_POISON=1 does the same."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty_strided((2, 3), (1, 2), dtype=torch.bfloat16).isnan().all()
    yield
    torch.use_deterministic_algorithms(before, warn_only=before)


def short(value):
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else None


def check(function, x, *initial_state, **keywords):
    keywords |= {} if function is lif else {"seed": 5}
    check_against_reference(function, "triton", x, *initial_state, **keywords)


# --- noisy_spike --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("noise", NOISES)
def test_noisy_spike(noise, dtype):
    check(noisy_spike, sample((3, 7, 11, 23), dtype), noise=NOISES[noise])


@pytest.mark.parametrize("width", [None, 1.7])
@pytest.mark.parametrize("surrogate", reference.SURROGATES)
def test_noisy_spike_surrogates(surrogate, width):
    check(noisy_spike, sample((2, 2500)), surrogate=Surrogate(surrogate, width), threshold=0.8)


@pytest.mark.parametrize("shape", [(1,), (63,), (500,), (2047,), (2048,), (2049,), (1, 1, 1), (16, 1025)], ids=str)
def test_noisy_spike_sizes(shape):
    check(noisy_spike, sample(shape))


LAYOUTS = {
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(0, 1),
    "sliced": lambda x: torch.cat([x, x], dim=1)[:, ::2],
    "expanded": lambda x: x[:1].expand_as(x),
    "one pixel": lambda x: x[:, :, :1, :1].contiguous(),  # whose strides are those of every format at once
}
GRADIENT_LAYOUTS = {
    "same": lambda g: g,
    "expanded": lambda g: g[:1, :1].expand_as(g),
    "channels_last": LAYOUTS["channels_last"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient", GRADIENT_LAYOUTS)
def test_noisy_spike_layouts(layout, gradient):
    check(noisy_spike, LAYOUTS[layout](sample((6, 6, 9, 10))), lay=GRADIENT_LAYOUTS[gradient])


# --- LIF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("T", [1, 2, 4, 10, 16, 17, 37])
def test_lif_steps(T, dtype):
    """37 steps make the backward keep membranes at two checkpoints, with a last chunk that is not full."""
    check(lif, sample((T, 3, 5, 101), dtype))


@pytest.mark.parametrize("surrogate", ALL_SURROGATES, ids=lambda s: s.name)
@pytest.mark.parametrize("reset", [0.0, -0.25, None])
@pytest.mark.parametrize("detach_reset", [False, True], ids=["", "detach"])
def test_lif_gradients(reset, detach_reset, surrogate):
    check(lif, sample((5, 2, 700)), threshold=0.9, reset=reset, detach_reset=detach_reset, surrogate=surrogate)


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("T", [3, 20])
def test_lif_state(T, decay):
    check(lif, sample((T, 3, 700)), sample((3, 700), seed=2) * 0.5, decay=decay)


def test_lif_state_of_another_layout_and_dtype():
    """Its gradient comes in its own dtype."""
    state = sample((7, 40, 3), torch.float16, seed=2).transpose(0, 2)
    check(lif, sample((3, 3, 40, 7)), state, decay=0.9)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 1023), (3, 5, 1024), (3, 1, 1025), (3, 7, 500)], ids=str)
def test_lif_sizes(shape):
    check(lif, sample(shape) + 0.5)


# --- The converted neuron -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("T", [1, 4, 10])
def test_noisy_lif_steps(T, statistics, dtype):
    check(noisy_lif, sample((T, 3, 5, 101), dtype), statistics=statistics_of(statistics, T))


RESETS = [(-0.25, False), (None, False), (None, True), (0.0, True)]


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("reset, detach_reset", RESETS)
@pytest.mark.parametrize("noise", ["uniform", "none"])
def test_noisy_lif_variants(statistics, reset, detach_reset, noise):
    check(noisy_lif, sample((3, 4, 400)), sample((4, 400), seed=2) * 0.5, noise=NOISES[noise], reset=reset,
          statistics=statistics_of(statistics, 3), detach_reset=detach_reset, alpha=3.0, beta=0.4)  # fmt: skip


@pytest.mark.parametrize("size", [9001, 4096, 3 * 2048])
@pytest.mark.parametrize("statistics", ["layer", "sample"])
def test_noisy_lif_several_programs(statistics, size):
    """More than 4,096 neurons in a group: partial results of several programs, a launch for every step. Sub-blocks
    draw together or not, as the size has it."""
    check(noisy_lif, sample((3, 2, size)), sample((2, size), seed=2), statistics=statistics)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_noisy_lif_long(statistics):
    check(noisy_lif, sample((18, 2, 300)), statistics=statistics_of(statistics, 18))


@pytest.mark.parametrize(
    "statistics, T, size",
    [("layer", 5, 303), ("sample", 5, 303), ("calibrated", 5, 303), ("sample", 3, 2048), ("sample", 3, 4096),
     ("layer", 3, 4200), ("calibrated", 18, 150)],
)  # fmt: skip
def test_antithetic_noise(statistics, T, size):
    """A program of 2,048 neurons keeps the noise of the step before, one of 4,096 draws it again; 18 steps have the
    backward begin its chunks in the middle."""
    check(noisy_lif, sample((T, 2, size)), sample((2, size), seed=2) * 0.5, over_time="antithetic", beta=0.25,
          statistics=statistics_of(statistics, T), noise=NOISES["shifted"])  # fmt: skip


def test_a_chunk_may_begin_at_an_odd_step(monkeypatch):
    from fastlif.kernels import lif_reverse as kernel

    tile = kernel._backward_tile
    monkeypatch.setattr(kernel, "_backward_tile", lambda *step: tile(*step)._replace(CHUNK=3))
    check(noisy_lif, sample((7, 1, 300)), over_time="antithetic", noise=NOISES["shifted"],
          statistics=statistics_of("calibrated", 7))  # fmt: skip


@pytest.mark.parametrize(
    "surrogate, reset, detach_reset, noise",
    [(name, *reset, noise)
     for name, (reset, noise) in zip(itertools.cycle(reference.SURROGATES), itertools.product(RESETS, NOISES))],
)  # fmt: skip
def test_surrogate_at_the_mean(surrogate, reset, detach_reset, noise):
    """Of a membrane whose noise has a mean, and a mean that is left beside the membrane.

    1, 5 and 14 steps have tiles of their own.
    """
    keywords = {"noise": NOISES[noise], "surrogate": Surrogate(surrogate, at="mean")}
    check(noisy_spike, sample((2, 700)), threshold=0.7, **keywords)
    for T, statistics in ((1, "layer"), (5, "calibrated"), (14, "calibrated")):
        check(noisy_lif, sample((T, 2, 200)), sample((2, 200), seed=2) * 0.5, reset=reset, beta=0.1,
              detach_reset=detach_reset, statistics=statistics_of(statistics, T), **keywords)  # fmt: skip


@pytest.mark.parametrize("alpha", [2.0, 16.0, float("inf")])
def test_noisy_lif_alpha(alpha):
    """alpha = 2 leaves N'_noise the constant m - beta."""
    check(noisy_lif, sample((4, 2, 1100)), alpha=alpha)


def test_noisy_lif_of_a_narrow_membrane():
    """Its smallest value is nobody else's: what a program reads behind its group is far below."""
    check(noisy_lif, 0.05 * sample((3, 2, 40)) + 0.8, statistics="sample", noise=NOISES["none"], beta=0.1)


@pytest.mark.parametrize("layout", SEQUENCE_LAYOUTS)
@pytest.mark.parametrize("function, statistics", [(lif, None), (noisy_lif, "layer"), (noisy_lif, "sample")])
def test_sequence_layouts(function, statistics, layout):
    x = SEQUENCE_LAYOUTS[layout](sample((3, 4, 6, 5, 7)))
    keywords = {"statistics": statistics} if statistics else {}
    drawn_for = x.contiguous() if layout == "batch-inside" and statistics == "sample" else x  # see functional.py
    check(function, x, drawn_for=drawn_for, **keywords)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("N", [1, 4])
@pytest.mark.parametrize("calibrated", [False, True])
def test_time_folded_into_the_batch(calibrated, N, memory_format):
    """What lies as ``[T*N, *]`` is read as it is, also beside a gradient that lies otherwise."""
    x = sample((3 * N, 6, 5, 7)).to(memory_format=memory_format).requires_grad_()
    weights, results = sample(x.shape, seed=2), []
    for timesteps in (3, None):
        neuron = NoisyLIF(timesteps, backend="triton") if calibrated else LIF(timesteps, backend="triton")
        if calibrated:
            neuron.convert()
            neuron.set_calibration(torch.linspace(0, 0.4, 3)[None], torch.linspace(0.4, 0.6, 3)[None])
        torch.manual_seed(1)
        spikes = neuron.to(DEVICE)(x if timesteps else x.unflatten(0, (3, N))).view_as(x)
        results.append((spikes, *torch.autograd.grad(spikes, x, weights)))
    for folded, expected in zip(*results):
        assert torch.equal(folded, expected) and expected.any()


# --- Ties, values that are no numbers, and sums -------------------------------------------------------------------


@pytest.mark.parametrize("reset", [0.0, None])
def test_a_tie_is_no_spike(reset):
    """h equals the threshold exactly, in the first step and, through decay, in the second: Eq. (2) says >."""
    x = torch.tensor([[1.0, 0.5], [0.5, 0.75]], device=DEVICE).view(2, 1, 2)
    assert lif(x, reset=reset, backend="triton").sum() == 0
    above = torch.nextafter(x, torch.full_like(x, 2))
    assert lif(above, reset=reset, backend="triton").flatten().tolist() == [1, 0, 0, 1]
    still = Noise("none")
    assert noisy_spike(x[0], noise=still, backend="triton").sum() == 0
    assert noisy_spike(above[0], noise=still, backend="triton").flatten().tolist() == [1, 0]


@pytest.mark.parametrize("statistics", ["layer", "sample"])
def test_an_infinite_membrane_leaves_beta(statistics):
    x = sample((3, 2, 40))
    x[0, 1, 7] = float("inf")
    spikes = [noisy_lif(x, reset=None, seed=1, statistics=statistics, backend=b) for b in ("triton", "reference")]
    assert torch.equal(*spikes) and 0 < float(spikes[0][1, 1].mean()) < 1


def test_a_sample_s_statistics_do_not_depend_on_its_place():
    """Without noise, which does: the sums are rounded in the same order wherever a sample lies."""
    x = sample((2, 31, 68)) + 0.3
    keywords = {"noise": Noise("none"), "statistics": "sample", "return_state": True, "backend": "triton"}
    whole, flipped = noisy_lif(x, **keywords), noisy_lif(x.flip(1), **keywords)
    assert torch.equal(whole[0], flipped[0].flip(1)) and torch.equal(whole[1], flipped[1].flip(0))
