"""What every scan over time shares, Eq. (1)-(3): the tile, the membrane of a step, and what a launch is given."""

import triton
import triton.language as tl
from fastlif.kernels.batch_norm import channels_of, channels_of_runs, normalised, of_elements, runs_of
from fastlif.kernels.noise import noise_arguments, step_noise
from fastlif.kernels.tile import LANES, SUB_BLOCK, grid, span, tile, wide

NO_PARAMETERS = dict.fromkeys(("gain_ptr", "decay_ptr", "threshold_ptr"))


@triton.jit
def normalisation(mean, deviation, decay, inv_alpha, beta):
    """a_t and b_t of Eq. (9). Without a normal form a_t = 0 and b_t = beta: see normalisation in reference.py."""
    scale = tl.div_rn(inv_alpha, tl.where(deviation < float("inf"), deviation, 0.0))
    usable = scale < float("inf")
    scale = tl.where(usable, scale, 0.0)
    return decay * scale, tl.where(usable, beta - mean * scale, beta)


@triton.jit
def spikes_at(membrane, threshold, INCLUSIVE: tl.constexpr):
    """Eq. (2)"""
    if INCLUSIVE:
        return membrane >= threshold
    else:
        return membrane > threshold


@triton.jit
def fire(h, threshold, reset, RESET: tl.constexpr, INCLUSIVE: tl.constexpr = False):
    """Whether the neuron spikes, Eq. (2), and its membrane afterwards, Eq. (3). RESET is "hard" or "soft"; or
    "delayed": then the next step takes the threshold off."""
    spiking = spikes_at(h, threshold, INCLUSIVE)
    if RESET == "soft":
        return spiking, h - tl.where(spiking, threshold, 0.0)
    elif RESET == "hard":
        return spiking, tl.where(spiking, reset, h)
    else:
        return spiking, h


@triton.jit
def coefficients(t, group, mean_ptr, deviation_ptr, groups, decay, inv_alpha, beta):
    """a_t and b_t of the recurrence: decay and 0 for plain LIF, from the membrane's statistics otherwise."""
    if mean_ptr is None:
        return decay, 0.0
    else:
        at = wide(t) * groups + group
        return normalisation(tl.load(mean_ptr + at), tl.load(deviation_ptr + at), decay, inv_alpha, beta)


@triton.jit
def own_tile(numel, groups, group_size, GROUP: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
             VECTOR: tl.constexpr):  # fmt: skip
    """The program's tile, a mask of the elements that this program computes, and their group.

    The elements of a group share a mean and a deviation. GROUP says how the groups lie: "all", there is one; "tile",
    each program works for one; "element", samples are so small that the group is looked up for each element.
    """
    if GROUP == "tile":  # a tile on the border of two groups is computed for both, each time with its mask
        TILES: tl.constexpr = LANES // ROWS if COLS >= SUB_BLOCK else LANES // ROWS * (SUB_BLOCK // COLS)
        tiles = tl.num_programs(0) // groups
        group = (tl.program_id(0) // tiles).to(tl.int64)
        begin = group * group_size
        first = begin // (TILES * ROWS * COLS) * TILES
        offsets, counter, counter_high, lane = tile(ROWS, COLS, VECTOR, first + tl.program_id(0) % tiles)
        mask = (offsets >= begin) & (offsets < begin + group_size)
    else:
        offsets, counter, counter_high, lane = tile(ROWS, COLS, VECTOR)
        mask = offsets < numel
        group = tl.minimum(offsets // group_size, groups - 1) if GROUP == "element" else 0
    return offsets, counter, counter_high, lane, mask, group


@triton.jit
def load_step(x_ptr, t, stride_xt, place):
    """x_t of the tile."""
    return tl.load(x_ptr + wide(t) * stride_xt + place[0], mask=place[1], other=0.0)


@triton.jit
def parameters_of(gain_ptr, decay_ptr, threshold_ptr, gain, decay, threshold, channels, channel_stride, numel,
                  CHANNELS_LAST: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):  # fmt: skip
    """Gain, decay and threshold of the tile: the numbers, or what the tensors hold for its elements, [ROWS, COLS].
    Without runs (RUN = 0) a tensor holds one value."""
    number = 1.0 if gain is None else gain  # Triton 3.6 cannot return None
    if gain_ptr is None and decay_ptr is None and threshold_ptr is None:
        return number, decay, threshold
    else:
        runs = 0
        if RUN > 0:
            runs = channels_of_runs(channels, channel_stride, numel, CHANNELS_LAST, RUN, ROWS, COLS)
        return (
            _parameter(gain_ptr, number, runs, RUN, ROWS, COLS),
            _parameter(decay_ptr, decay, runs, RUN, ROWS, COLS),
            _parameter(threshold_ptr, threshold, runs, RUN, ROWS, COLS),
        )


@triton.jit
def _parameter(ptr, number, runs, RUN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    if ptr is None:
        return number
    elif RUN == 0:
        return tl.load(ptr)
    else:
        return of_elements(tl.load(ptr + runs), RUN, ROWS, COLS)


@triton.jit
def membrane_of(x, v, t, a, b, gain, threshold, place, before, seed, noise_scalars, GIVEN: tl.constexpr,
                SCALED: tl.constexpr, RESET: tl.constexpr, INCLUSIVE: tl.constexpr, NOISE: tl.constexpr,
                OVER_TIME: tl.constexpr, RUN: tl.constexpr):  # fmt: skip
    """h_t of the tile, the same without its noise, and the noise, given that of the step ``before``."""
    _, _, counter, counter_high, lane, norm = place
    still = normalised(x, norm, RUN)
    if SCALED:
        still *= gain
    still += a * v
    if GIVEN:
        still += b
    if RESET == "delayed":
        still -= tl.where(spikes_at(v, threshold, INCLUSIVE), threshold, 0.0)
    if NOISE == "none":
        return still, still, before
    else:
        n = step_noise(before, seed, counter, counter_high, t, lane, noise_scalars, NOISE, OVER_TIME)
        return still + n, still, n


def group_of(numel, groups):
    """How a tile's elements find their group, see :func:`own_tile`. Of a small sample most of a tile would be idle."""
    return "all" if groups == 1 else "tile" if numel >= 512 * groups else "element"


def programs_of(numel, groups, group, tile):
    if group != "tile":
        return grid(numel, tile)
    tiles, elements = span(tile)
    group_size = numel // groups
    return groups * tiles * (-(-group_size // elements) + (group_size % elements > 0)), 1, 1


def counts_of(x, T, mean):
    """How many elements of a step, and groups."""
    return x.numel() // T, 1 if mean is None else mean.numel() // T


def scan_arguments(x, T, numel, groups, mean, deviation, seed, norm, parameters, tile):
    """What both directions take: tensors, sizes, runs of channels."""
    norm, channels, runs = channels_of(norm, x, 2, tile.VECTOR)
    values = NO_PARAMETERS
    if parameters is not None:
        *values, count, stride = parameters
        values = dict(zip(NO_PARAMETERS, values))
        if count > 1:
            channels, runs = {"channels": count, "channel_stride": stride}, runs_of(count, stride, tile.VECTOR)
    tensors = {"mean_ptr": mean, "deviation_ptr": deviation, **norm, **values, "seed_ptr": seed}
    return tensors, {
        **channels,
        "T": T,
        "numel": numel,
        "stride_xt": x.stride(0) if x.shape[0] == T else numel,
        "groups": groups,
        "group_size": numel // groups,
    }, runs


def scan_constants(o, tile, group, runs):
    return {
        **noise_arguments(o.noise_scalars),
        "gain": None if o.gain == 1 else o.gain,  # one argument fewer: AMD's compiler spills scalar registers
        "decay": o.decay,
        "inv_alpha": o.inv_alpha,
        "beta": o.beta,
        "threshold": o.threshold,
        "reset": 0.0 if o.reset is None else o.reset,
        "NOISE": o.noise,
        "OVER_TIME": "in turn" if o.over_time == "antithetic" else "independent",
        "GROUP": group,
        "SCALED": o.gain != 1,
        "RESET": "delayed" if o.reset_delay else "soft" if o.reset is None else "hard",
        "INCLUSIVE": o.inclusive,
        **runs._asdict(),
        **tile._asdict(),
    }
