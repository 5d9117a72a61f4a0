"""The kernels against the reference, noise included: on a GPU where there is one, under the interpreter elsewhere."""

import itertools

import pytest
import torch
from helpers import ALL_SURROGATES, DEVICE, assert_spikes_agree, literal_membranes, relative_error, weighted_gradients

from fastlif import Noise, Surrogate, reference
from fastlif.functional import lif, noisy_lif, noisy_spike

pytest.importorskip("triton")

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# Relative RMS. 16-bit gradients are rounded to the dtype at the end; in float32 a steep surrogate (fast_sigmoid, 25)
# magnifies the last bit of h.
GRADIENT_ERROR = {torch.float32: 5e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
NOISES = {
    "gaussian": Noise(),
    "uniform": Noise("uniform"),
    "shifted": Noise(low=-0.5, high=1.0, width=3.0),
    "none": Noise("none"),
}


def short(value):
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else None


def sample(shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * 0.6 + 0.4).to(DEVICE, dtype)


def check_spike(x, *, noise=NOISES["gaussian"], gradient_layout=lambda g: g, **keywords):
    """Forward and backward of noisy_spike on the kernels and on the reference, from one input and seed."""
    keywords |= {"noise": noise, "seed": 5}
    results = []
    for backend in ("triton", "reference"):
        leaf = x.detach().requires_grad_()
        spikes = noisy_spike(leaf, backend=backend, **keywords)
        assert spikes.stride() == torch.empty_like(x).stride()
        weights = gradient_layout(sample(x.shape, seed=1).to(x.dtype))
        results.append((spikes.detach(), *torch.autograd.grad(spikes, leaf, weights)))
    threshold = keywords.get("threshold", 1.0)
    membranes = literal_membranes(x[None], noise=noise, seed=5, threshold=threshold)
    (spikes, grad), (expected, expected_grad) = results
    assert_spikes_agree(spikes[None], expected[None], membranes, threshold)
    assert relative_error(grad, expected_grad) < GRADIENT_ERROR[x.dtype]
    return spikes


def check_scan(function, x, initial_state=None, drawn_for=None, **keywords):
    """Spikes, last membrane and every gradient of a scan, on the kernels and on the reference.

    ``drawn_for`` is x in the memory layout that its noise follows, if that is another one.
    """
    results = []
    for backend in ("triton", "reference"):
        leaves = [value.detach().requires_grad_() for value in (x, initial_state) if value is not None]
        state = leaves[1] if initial_state is not None else None
        spikes, v = function(leaves[0], initial_state=state, return_state=True, backend=backend, **keywords)
        results.append((spikes.detach(), v.detach(), *weighted_gradients([spikes, v], leaves)))
    actual, expected = results
    literal = {key: value for key, value in keywords.items() if key not in ("surrogate", "detach_reset")}
    if function is noisy_lif:
        literal = {"alpha": 4.0, "noise": Noise()} | literal
    membranes = literal_membranes(x if drawn_for is None else drawn_for, initial_state=initial_state, **literal)
    assert_spikes_agree(actual[0], expected[0], membranes)
    assert 0.02 < float(actual[0].float().mean()) < 0.9
    same = (actual[0] == expected[0]).all(dim=0)  # a neuron that parted ways at a tie has another trajectory
    assert actual[1].dtype == torch.float32
    torch.testing.assert_close(actual[1][same], expected[1][same], rtol=1e-5, atol=2e-6)
    for mine, theirs in zip(actual[2:], expected[2:]):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        mask = same.expand_as(mine)
        assert relative_error(mine[mask], theirs[mask]) < GRADIENT_ERROR[mine.dtype]
    return actual


# --- noisy_spike --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_noisy_spike(noise, dtype):
    check_spike(sample((3, 7, 11, 23), dtype), noise=NOISES[noise])


@pytest.mark.parametrize("width", [None, 1.7])
@pytest.mark.parametrize("surrogate", reference.SURROGATES)
def test_noisy_spike_surrogates(surrogate, width):
    surrogate = Surrogate(surrogate, width)
    check_spike(sample((2, 2500)), surrogate=surrogate, threshold=0.8)


@pytest.mark.parametrize("shape", [(1,), (63,), (500,), (2047,), (2048,), (2049,), (1, 1, 1), (16, 1025)], ids=str)
def test_noisy_spike_sizes(shape):
    check_spike(sample(shape))


LAYOUTS = {
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(0, 1),
    "sliced": lambda x: torch.cat([x, x], dim=1)[:, ::2],
    "expanded": lambda x: x[:1].expand_as(x),
    "one pixel": lambda x: x[:, :, :1, :1].contiguous(),  # whose strides are those of every format at once
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("gradient", ["same", "expanded", "channels_last"])
def test_noisy_spike_layouts(layout, gradient):
    x = LAYOUTS[layout](sample((6, 6, 9, 10)))
    change = {"same": lambda g: g, "expanded": lambda g: g[:1, :1].expand_as(g),
              "channels_last": lambda g: g.to(memory_format=torch.channels_last)}[gradient]  # fmt: skip
    check_spike(x, gradient_layout=change)


# --- LIF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("T", [1, 2, 4, 10, 16, 17, 37])
def test_lif_steps(T, dtype):
    """37 steps make the backward keep membranes at two checkpoints, with a last chunk that is not full."""
    check_scan(lif, sample((T, 3, 5, 101), dtype))


@pytest.mark.parametrize("surrogate", ALL_SURROGATES, ids=lambda s: s.name)
@pytest.mark.parametrize("reset", [0.0, -0.25, None])
@pytest.mark.parametrize("detach_reset", [False, True], ids=["", "detach"])
def test_lif_gradients(reset, detach_reset, surrogate):
    check_scan(lif, sample((5, 2, 700)), reset=reset, detach_reset=detach_reset, surrogate=surrogate)


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("T", [3, 20])
def test_lif_state(T, decay):
    check_scan(lif, sample((T, 3, 700)), sample((3, 700), seed=2) * 0.5, decay=decay)


def test_lif_threshold():
    check_scan(lif, sample((3, 3, 700)), reset=None, threshold=0.7)


def test_lif_state_of_another_layout_and_dtype():
    """Its gradient comes in its own dtype."""
    state = sample((7, 40, 3), torch.float16, seed=2).transpose(0, 2)
    check_scan(lif, sample((3, 3, 40, 7)), state, decay=0.9)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 1023), (3, 5, 1024), (3, 1, 1025), (3, 7, 500)], ids=str)
def test_lif_sizes(shape):
    check_scan(lif, sample(shape) + 0.5)


# --- The converted neuron -----------------------------------------------------------------------------------------


def statistics_of(name, T):
    if name != "calibrated":
        return name
    return torch.linspace(0.1, 0.3, T, device=DEVICE), torch.linspace(0.5, 0.9, T, device=DEVICE)


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
@pytest.mark.parametrize("statistics", ["layer", "sample", "calibrated"])
@pytest.mark.parametrize("T", [1, 4, 10])
def test_noisy_lif_steps(T, statistics, dtype):
    check_scan(noisy_lif, sample((T, 3, 5, 101), dtype), seed=5, statistics=statistics_of(statistics, T))


@pytest.mark.parametrize("statistics", ["layer", "sample", "calibrated"])
@pytest.mark.parametrize("reset, detach_reset", [(-0.25, False), (None, False), (None, True), (0.0, True)])
@pytest.mark.parametrize("noise", ["uniform", "none"])
def test_noisy_lif_variants(statistics, reset, detach_reset, noise):
    check_scan(
        noisy_lif, sample((3, 4, 400)), sample((4, 400), seed=2) * 0.5, seed=5, noise=NOISES[noise], reset=reset,
        statistics=statistics_of(statistics, 3), detach_reset=detach_reset, alpha=3.0, beta=0.4,
    )  # fmt: skip


@pytest.mark.parametrize("size", [9001, 4096, 3 * 2048])
@pytest.mark.parametrize("statistics", ["layer", "sample"])
def test_noisy_lif_several_programs(statistics, size):
    """More than 4,096 neurons in a group: partial results of several programs, a launch for every step. Sub-blocks
    draw together or not, as the size has it."""
    check_scan(noisy_lif, sample((3, 2, size)), sample((2, size), seed=2), seed=5, statistics=statistics)


@pytest.mark.parametrize("statistics", ["layer", "sample", "calibrated"])
def test_noisy_lif_long(statistics):
    check_scan(noisy_lif, sample((18, 2, 300)), seed=5, statistics=statistics_of(statistics, 18))


@pytest.mark.parametrize(
    "statistics, T, size",
    [("layer", 5, 303), ("sample", 5, 303), ("calibrated", 5, 303), ("sample", 3, 2048), ("sample", 3, 4096),
     ("layer", 3, 4200), ("calibrated", 18, 150)],
)  # fmt: skip
def test_antithetic_noise(statistics, T, size):
    """A program of 2,048 neurons keeps the noise of the step before, one of 4,096 draws it again; 18 steps have the
    backward begin its chunks in the middle."""
    check_scan(
        noisy_lif, sample((T, 2, size)), sample((2, size), seed=2) * 0.5, seed=5, over_time="antithetic", beta=0.25,
        statistics=statistics_of(statistics, T), noise=NOISES["shifted"],
    )  # fmt: skip


def test_a_chunk_may_begin_at_an_odd_step(monkeypatch):
    from fastlif.kernels import lif_reverse as kernel

    tile = kernel._backward_tile
    monkeypatch.setattr(kernel, "_backward_tile", lambda *step: tile(*step)._replace(CHUNK=3))
    check_scan(noisy_lif, sample((7, 1, 300)), seed=5, over_time="antithetic", noise=NOISES["shifted"],
               statistics=statistics_of("calibrated", 7))  # fmt: skip


RESETS = [(-0.25, False), (None, False), (None, True), (0.0, True)]


@pytest.mark.parametrize(
    "surrogate, reset, detach_reset",
    [(name, *reset) for name, reset in zip(reference.SURROGATES, itertools.cycle(RESETS))],
)
def test_surrogate_at_the_mean(surrogate, reset, detach_reset):
    """Of a membrane whose noise has a mean, and a mean that is left beside the membrane."""
    keywords = {"noise": NOISES["shifted"], "surrogate": Surrogate(surrogate, at="mean")}
    check_spike(sample((2, 700)), threshold=0.7, **keywords)
    for T, statistics in ((1, "layer"), (5, "calibrated")):
        check_scan(noisy_lif, sample((T, 2, 200)), sample((2, 200), seed=2) * 0.5, seed=5, beta=0.5, reset=reset,
                   detach_reset=detach_reset, statistics=statistics_of(statistics, T), **keywords)  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("noise", NOISES)
def test_surrogate_at_the_mean_of_any_noise(noise):
    keywords = {"noise": NOISES[noise], "surrogate": Surrogate("sigmoid", at="mean")}
    check_spike(sample((2, 700)), **keywords)
    check_scan(noisy_lif, sample((14, 1, 200)), seed=5, statistics=statistics_of("calibrated", 14), **keywords)


@pytest.mark.parametrize("alpha", [2.0, 16.0, float("inf")])
def test_noisy_lif_alpha(alpha):
    """alpha = 2 leaves N'_noise the constant m - beta."""
    check_scan(noisy_lif, sample((4, 2, 1100)), seed=5, alpha=alpha)


def test_noisy_lif_of_a_narrow_membrane():
    """Its smallest value is nobody else's: what a program reads behind its group is far below."""
    check_scan(noisy_lif, 0.05 * sample((3, 2, 40)) + 0.8, seed=5, statistics="sample", noise=NOISES["none"], beta=0.1)


SEQUENCE_LAYOUTS = {
    "static": lambda x: x[:1].expand_as(x),
    "batch-first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "channels_last": lambda x: x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3),
    "batch-inside": lambda x: x.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3),
    "every-other": lambda x: torch.cat([x, x], dim=4)[..., ::2],
    "steps-apart": lambda x: torch.stack([x, x], dim=1)[:, 0],
}


@pytest.mark.parametrize("layout", SEQUENCE_LAYOUTS, ids=str)
@pytest.mark.parametrize("function, statistics", [(lif, None), (noisy_lif, "layer"), (noisy_lif, "sample")])
def test_sequence_layouts(function, statistics, layout):
    x = SEQUENCE_LAYOUTS[layout](sample((3, 4, 6, 5, 7)))
    keywords = {"seed": 5, "statistics": statistics} if statistics else {}
    drawn_for = x.contiguous() if layout == "batch-inside" and statistics == "sample" else x  # see functional.py
    check_scan(function, x, drawn_for=drawn_for, **keywords)


# --- Ties, and values that are no numbers -------------------------------------------------------------------------


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


@pytest.mark.parametrize("backend", ["triton", "reference"])
@pytest.mark.parametrize("reset", [0.0, None])
@pytest.mark.parametrize("value, spike", [(float("nan"), 0), (float("inf"), 1), (-float("inf"), 0)])
def test_not_a_number_stays_where_it_is(value, spike, reset, backend):
    x = sample((4, 3, 50))
    poisoned = x.clone()
    poisoned[1, 1, 7] = value
    others = torch.ones(3, 50, dtype=torch.bool, device=DEVICE)
    others[1, 7] = False
    for function, keywords in [
        (lif, {}),
        (noisy_lif, {"seed": 1, "statistics": statistics_of("calibrated", 4)}),
        (noisy_lif, {"seed": 1, "statistics": "sample"}),
    ]:
        clean = function(x, reset=reset, backend=backend, **keywords)
        leaf = poisoned.clone().requires_grad_()
        spikes = function(leaf, reset=reset, backend=backend, **keywords)
        assert int(spikes[1, 1, 7]) == spike
        untouched = others.clone()
        if keywords.get("statistics") == "sample":
            untouched[1] = False  # the sample's own statistics
        assert torch.equal(spikes.detach()[:, untouched], clean[:, untouched])
        spikes.sum().backward()
        assert bool(leaf.grad[:, untouched].isfinite().all())


@pytest.mark.parametrize("statistics", ["layer", "sample"])
def test_an_infinite_membrane_leaves_beta(statistics):
    x = sample((3, 2, 40))
    x[0, 1, 7] = float("inf")
    spikes = [noisy_lif(x, reset=None, seed=1, statistics=statistics, backend=b) for b in ("triton", "reference")]
    assert torch.equal(*spikes) and 0 < float(spikes[0][1, 1].mean()) < 1


@pytest.mark.full
def test_block_sizes_do_not_change_the_noise(monkeypatch):
    from fastlif.kernels import noisy_spike as kernel
    from fastlif.kernels.tile import Tile

    x = sample((3, 3001))
    expected = noisy_spike(x, seed=9, backend="triton")
    for rows, cols, vector in itertools.product((1, 4), (128, 512), (4, 8)):
        tile = Tile(rows, cols, vector, num_warps=1)
        monkeypatch.setattr(kernel, "noise_tile", lambda numel, tile=tile: tile)
        assert torch.equal(noisy_spike(x, seed=9, backend="triton"), expected)
    assert torch.equal(noisy_spike(x[:1], seed=9, backend="triton"), expected[:1])


def test_a_sample_s_statistics_do_not_depend_on_its_place():
    """Without noise, which does: the sums are rounded in the same order wherever a sample lies."""
    x = sample((2, 31, 68)) + 0.3
    keywords = {"noise": Noise("none"), "statistics": "sample", "return_state": True, "backend": "triton"}
    whole, flipped = noisy_lif(x, **keywords), noisy_lif(x.flip(1), **keywords)
    assert torch.equal(whole[0], flipped[0].flip(1)) and torch.equal(whole[1], flipped[1].flip(0))
