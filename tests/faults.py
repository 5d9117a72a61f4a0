"""Small faults of the library, its kernels and its benchmarks, each with a quick test that must catch it: mutants.py.

An entry follows the code: its old text stands exactly once in its file. What it changes is told in a few words.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """``new`` instead of ``old`` in ``file``, which ``test``, a name that pytest takes, in tests/, must catch."""

    file: str
    what: str
    old: str
    new: str
    test: str


REFERENCE = [
    (
        "antithetic noise with the step as its word",
        "t // 2 if antithetic else t",
        "t",
        "test_noise.py::test_pairs_of_antithetic_steps_are_independent",
    ),
    (
        "mirrored at 0 and not at the mean",
        "return 2 * scalars[0] - noise",
        "return -noise",
        "test_noise.py::test_antithetic_noise_keeps_its_distribution",
    ),
    (
        "at the mean, the noise's mean is forgotten",
        "else h + options.noise_scalars[0]",
        "else h",
        "test_reference.py::test_scan_gradient_at_the_mean",
    ),
    (
        "atan twice as steep",
        "(w / 2) / (1 + (1.57",
        "w / (1 + (1.57",
        "test_reference.py::test_surrogates_integrate_to_the_spike",
    ),
    (
        "sigmoid not even",
        "torch.sigmoid(-w * u)",
        "torch.sigmoid(-u)",
        "test_reference.py::test_surrogates_integrate_to_the_spike",
    ),
    (
        "rectangular without its height",
        "u.abs() < w / 2, 1 / w",
        "u.abs() < w / 2, 1.0",
        "test_reference.py::test_surrogates_integrate_to_the_spike",
    ),
    (
        "triangular without its height",
        ".clamp(min=0) / w",
        ".clamp(min=0)",
        "test_reference.py::test_surrogates_integrate_to_the_spike",
    ),
    (
        "fast_sigmoid without its width",
        "1 / (1 + w * u.abs()) ** 2",
        "1 / (1 + u.abs()) ** 2",
        "test_reference.py::test_surrogates_integrate_to_the_spike",
    ),
    (
        "gaussian off by sqrt 2",
        "(w * 2.5066282746310002)",
        "(w * 1.7724538509055159)",
        "test_reference.py::test_surrogates_integrate_to_the_spike",
    ),
    (
        "a tie spikes",
        "h >= threshold if inclusive else h > threshold",
        "h >= threshold",
        "test_reference.py::test_lif_by_hand",
    ),
    (
        "soft reset subtracts 1",
        "return s, h - threshold * gate",
        "return s, h - gate",
        "test_reference.py::test_lif_by_hand",
    ),
    (
        "hard reset to 0 whatever reset is",
        "return torch.where(s > 0, reset, h)",
        "return torch.where(s > 0, 0.0, h)",
        "test_reference.py::test_normalisation_is_the_papers",
    ),
    ("reset's gradient forgets reset", "grad * (ctx.reset - h)", "grad * -h", "test_reference.py::test_scan_gradient"),
    (
        "gradient goes through a reset membrane",
        "return grad * (1 - s), ",
        "return grad, ",
        "test_reference.py::test_scan_gradient",
    ),
    (
        "detach_reset is ignored",
        "s.detach() if options.detach_reset else s",
        "s",
        "test_reference.py::test_scan_gradient",
    ),
    (
        "a second derivative is zero, not an error",
        "        raise RuntimeError(NO_SECOND_DERIVATIVE)",
        "        return None, None, None, None, None",
        "test_transforms.py::test_a_second_derivative_is_an_error[reference-lif-gradient with a graph]",
    ),
    (
        "the initial state is ignored",
        "return v if initial_state is None else initial_state.to(v.dtype)",
        "return v",
        "test_functional.py::test_a_sequence_in_two_halves",
    ),
    ("the lattice reaches -1", "(2 / 65536) + (1 / 65536 - 1)", "(2 / 65536) - 1", "test_noise.py::test_noise_format"),
    ("six rounds of Philox", "PHILOX_ROUNDS = 7", "PHILOX_ROUNDS = 6", "test_noise.py::test_noise_format"),
    ("a wrong multiplier", "0xCD9E8D57", "0xCD9E8D59", "test_noise.py::test_philox_known_answers"),
    ("a wrong step of the key", "0xBB67AE85", "0xBB67AE84", "test_noise.py::test_philox_known_answers"),
    ("a product without its carry", " + _high_half(carry), word", ", word", "test_noise.py::test_philox_known_answers"),
    (
        "high lanes repeat the low ones",
        "[_high_half(word) for word in words]",
        "[word & 0xFFFF for word in words]",
        "test_noise.py::test_noise_format",
    ),
    (
        "32 bits of the seed",
        "(seed >> 32).to(torch.int32))",
        "torch.zeros_like(seed, dtype=torch.int32))",
        "test_noise.py::test_noise_format",
    ),
    (
        "the same noise at every step",
        "philox((low, high, zero + step, zero), key)",
        "philox((low, high, zero, zero), key)",
        "test_noise.py::test_noise_format",
    ),
    (
        "a part's high word dropped",
        "low + first[0], high + first[1]",
        "low + first[0], high",
        "test_noise.py::test_noise_of_a_part_beyond_32_bits",
    ),
    (
        "a quantile without its e",
        "inv_cdf((1 + x) / 2) * e / x",
        "inv_cdf((1 + x) / 2) / x",
        "test_noise.py::test_gaussian_quantile",
    ),
    (
        "a root less in the quantile",
        "(1 - x * x).sqrt().sqrt().sqrt()",
        "(1 - x * x).sqrt().sqrt()",
        "test_noise.py::test_gaussian_quantile",
    ),
    (
        "noise in standard deviations, not half-ranges",
        "(coefficient * (half_range / width) for",
        "(coefficient * half_range for",
        "test_noise.py::test_residual_noise",
    ),
    (
        "the residual noise keeps the mean",
        "noise.mean - beta, noise.half_range",
        "noise.mean, noise.half_range",
        "test_noise.py::test_residual_noise",
    ),
    (
        "the residual noise keeps the range",
        "noise.half_range - 1 / alpha, noise.width",
        "noise.half_range, noise.width",
        "test_noise.py::test_residual_noise",
    ),
    (
        "the residual noise keeps the width",
        'residual == "matched" and',
        'residual == "range" and',
        "test_noise.py::test_residual_noise",
    ),
    (
        "the spread is matched to the whole range",
        "truncated_deviation(width) / share",
        "truncated_deviation(width)",
        "test_noise.py::test_residual_noise",
    ),
    ("the matched width is a guess", "for _ in range(60):", "for _ in range(6):", "test_noise.py::test_residual_noise"),
    (
        "the same width where only uniform noise is wide enough",
        "return 0.0\n    for _",
        "return width\n    for _",
        "test_noise.py::test_residual_noise",
    ),
    (
        "noise does not follow the memory layout",
        'flat.as_strided(step.shape, torch.empty_like(step, device="meta").stride())',
        "flat.view(step.shape)",
        "test_noise.py::test_noise_follows_the_memory_layout",
    ),
    (
        "uniform noise without its range",
        "flat = u * scalars[1] + scalars[0]",
        "flat = u + scalars[0]",
        "test_noise.py::test_noise_never_leaves_its_range",
    ),
    (
        "noise of step 0 at every step",
        "t // 2 if antithetic else t, options.noise,",
        "t // 2 if antithetic else 0, options.noise,",
        "test_reference.py::test_infinite_alpha_is_the_papers_second_step",
    ),
    (
        "bits in another order",
        "2.0**j * widen(spikes[j])",
        "2.0 ** (8 - j) * widen(spikes[j])",
        "test_packing.py::test_restored_exactly[reference-convolution-False-dtype0]",
    ),
    (
        "the largest value for the largest deviation",
        "torch.maximum(high - mean, mean - low)",
        "high - mean",
        "test_reference.py::test_normalisation_is_the_papers",
    ),
    (
        "a constant membrane is normalised",
        "torch.where(low == high, 0, torch.maximum(high - mean, mean - low))",
        "torch.maximum(high - mean, mean - low)",
        "test_functional.py::test_a_constant_membrane_leaves_beta[reference]",
    ),
    (
        "a constant membrane is divided by",
        "(deviation > 0) & (deviation < math.inf)",
        "deviation < math.inf",
        "test_reference.py::test_membrane_without_a_normal_form",
    ),
    (
        "the mean stays in",
        "torch.where(usable, beta - mean * scale, beta)",
        "beta + 0 * mean",
        "test_reference.py::test_normalisation_is_the_papers",
    ),
    (
        "statistics of the membrane before it decays",
        "membrane_statistics(o.decay * v, statistics)",
        "membrane_statistics(v, statistics)",
        "test_reference.py::test_normalisation_is_the_papers",
    ),
    (
        "a gradient through the statistics",
        "groups = decayed.detach()",
        "groups = decayed",
        "test_kernels.py::test_noisy_lif_steps[4-layer-float32]",
    ),
    (
        "given statistics of step 0 at every step",
        "(value[t].reshape(1) for",
        "(value[0].reshape(1) for",
        "test_reference.py::test_normalisation_is_the_papers",
    ),
    (
        "statistics of the layer for each sample",
        'groups.shape[0] if statistics == "sample" else 1',
        "1",
        "test_reference.py::test_normalisation_is_the_papers",
    ),
]

TILE = [
    (
        "int64 dropped",
        "program = tl.program_id(0).to(tl.int64)",
        "program = tl.program_id(0)",
        "test_addresses.py::test_a_tile_beyond_32_bits",
    ),
    (
        "the counter's high word dropped",
        "(first >> 32).to(tl.uint32)",
        "(first >> 63).to(tl.uint32)",
        "test_addresses.py::test_a_tile_beyond_32_bits",
    ),
    (
        "programs share lanes",
        ".to(tl.int32) * ROWS + tl.arange",
        ".to(tl.int32) + tl.arange",
        "test_addresses.py::test_a_tile_beyond_32_bits",
    ),
    (
        "columns overlap other lanes",
        "return column // SUB_BLOCK * (LANES * SUB_BLOCK) + column % SUB_BLOCK",
        "return column",
        "test_addresses.py::test_a_tile_beyond_32_bits",
    ),
    (
        "programs for one row of several",
        "COLS * (LANES.value // tile.ROWS)",
        "COLS",
        "test_kernels.py::test_lif_sizes[(3, 5, 1024)]",
    ),
    (
        "programs for the last sub-block missing",
        "-(-numel // elements) * tiles",
        "numel // elements * tiles",
        "test_kernels.py::test_noisy_spike_sizes[(16, 1025)]",
    ),
]

BITS = [
    (
        "int64 dropped from the bytes",
        "tl.program_id(0).to(tl.int64) * BLOCK",
        "tl.program_id(0) * BLOCK",
        "test_addresses.py::test_bits_beyond_32_bits",
    ),
    (
        "int64 dropped from the bits",
        "bit.to(tl.int64) * size",
        "bit * size",
        "test_addresses.py::test_bits_beyond_32_bits",
    ),
    (
        "a load's mask dropped",
        "tl.load(spikes_ptr + element, mask=mask, other=0.0)",
        "tl.load(spikes_ptr + element)",
        "test_addresses.py::test_no_access_beside_bits_and_channels",
    ),
    (
        "a store's mask dropped",
        "bits.to(tl.uint8), mask=mask)",
        "bits.to(tl.uint8))",
        "test_addresses.py::test_no_access_beside_bits_and_channels",
    ),
    (
        "bits in another order",
        ".to(tl.int32) << bit,",
        ".to(tl.int32) << (7 - bit),",
        "test_packing.py::test_kernels[dtype0-1024]",
    ),
    (
        "neighbouring bits are or'ed",
        "((bits >> bit) & 1) != 0",
        "((bits >> bit) & 3) != 0",
        "test_packing.py::test_kernels[dtype0-1024]",
    ),
]

_TRITON_NOISE = "test_noise.py::test_backends_draw_the_same_noise[single step-triton]"
NOISE = [
    (
        "odd steps repeat the noise before",
        "n = 2.0 * scalars[0] - before",
        "n = before",
        "test_kernels.py::test_antithetic_noise[calibrated-5-303]",
    ),
    (
        "a step alone draws with itself as the word",
        "t // 2, lane, scalars, KIND)\n        return tl.where",
        "t, lane, scalars, KIND)\n        return tl.where",
        "test_kernels.py::test_antithetic_noise[sample-3-4096]",
    ),
    ("six rounds of Philox", "tl.constexpr(7)", "tl.constexpr(6)", _TRITON_NOISE),
    ("the wrong word of a lane", "lane % 4 < 2", "lane % 4 < 1", _TRITON_NOISE),
    ("a bit of the mantissa lost", "word << 7, word >> 9", "word << 8, word >> 9", _TRITON_NOISE),
    ("the trailing bit lost", "0x3F800040", "0x3F800000", _TRITON_NOISE),
    ("15 bits", "& 0x007FFF80", "& 0x007FFF00", _TRITON_NOISE),
    ("a polynomial's coefficients in another order", "scalars[6 - i]", "scalars[2 + i]", _TRITON_NOISE),
    ("mean and range swapped", "tl.fma(u, scalars[1], scalars[0])", "tl.fma(u, scalars[0], scalars[1])", _TRITON_NOISE),
    (
        "the same noise at every step",
        "counter_high, step, 0, PHILOX",
        "counter_high, 0, 0, PHILOX",
        "test_noise.py::test_backends_draw_the_same_noise[calibrated-triton]",
    ),
    (
        "32 bits of the counter",
        "tl.philox(seed, counter, counter_high, step",
        "tl.philox(seed, counter, 0, step",
        "test_addresses.py::test_noise_beyond_32_bits",
    ),
]

_SURROGATES = "test_kernels.py::test_noisy_spike_surrogates"
SURROGATE = [
    ("atan twice as steep", "(0.5 * w) * _reciprocal", "w * _reciprocal", _SURROGATES),
    ("sigmoid not squared", "(w * e) * (r * r)", "(w * e) * r", _SURROGATES),
    ("rectangular of twice the width", "tl.abs(u) < 0.5 * w", "tl.abs(u) < w", _SURROGATES),
    (
        "triangular without its height",
        "propagate_nan=tl.PropagateNan.ALL) * (1.0 / w)",
        "propagate_nan=tl.PropagateNan.ALL)",
        _SURROGATES,
    ),
    (
        "fast_sigmoid not squared",
        "r = _reciprocal(tl.fma(w, tl.abs(u), 1.0))\n        return r * r",
        "r = _reciprocal(tl.fma(w, tl.abs(u), 1.0))\n        return r",
        _SURROGATES,
    ),
    ("gaussian without its width", "(0.3989422804014327 / w)", "0.3989422804014327", _SURROGATES),
]

NOISY_SPIKE = [
    (
        "a load's mask dropped",
        "x = tl.load(x_ptr + offsets, mask=mask, other=0.0)",
        "x = tl.load(x_ptr + offsets)",
        "test_addresses.py::test_no_access_beside_a_tensor[1]",
    ),
    (
        "a store's mask dropped",
        "grad.to(grad_x_ptr.dtype.element_ty), mask=mask)",
        "grad.to(grad_x_ptr.dtype.element_ty))",
        "test_addresses.py::test_no_access_beside_a_tensor[1]",
    ),
    (
        "a tie spikes",
        "tl.where(h > threshold, 1.0, 0.0)",
        "tl.where(h >= threshold, 1.0, 0.0)",
        "test_kernels.py::test_a_tie_is_no_spike",
    ),
    ("the surrogate's threshold is 0", "surrogate_derivative(h - threshold,", "surrogate_derivative(h,", _SURROGATES),
    ("noise of another step", "counter_high, 0, lane", "counter_high, 1, lane", _TRITON_NOISE),
    (
        "batch normalisation is ignored",
        "h = normalised(x, norm, RUN)",
        "h = x.to(tl.float32)",
        "test_fusion.py::test_fused_as_one_after_the_other[triton-images-noisy]",
    ),
]

BATCH_NORM = [
    (
        "digits of a large mean lost",
        "tl.fma(x.to(tl.float32) - mean, scale, bias)",
        "tl.fma(x.to(tl.float32), scale, bias - mean * scale)",
        "test_fusion.py::test_a_mean_of_many_deviations[training-triton-float32]",
    ),
    (
        "mean and bias swapped",
        "mean, scale, bias = norm",
        "bias, scale, mean = norm",
        "test_fusion.py::test_fused_as_one_after_the_other[triton-images-noisy]",
    ),
    (
        "a run reaches into the next channel",
        "math.gcd(vector, channels if stride == 1 else stride)",
        "vector",
        "test_fusion.py::test_fused_as_one_after_the_other[triton-channels_last, 5 channels-noisy]",
    ),
    (
        "channels counted by element",
        "offsets // channel_stride % channels",
        "offsets % channels",
        "test_fusion.py::test_fused_as_one_after_the_other[triton-images-noisy]",
    ),
]

_CHUNKS = "test_kernels.py::test_lif_state[20-0.9]"
_VARIANT = "test_kernels.py::test_noisy_lif_variants[none-{}-{}]".format
LIF = [
    (
        "steps past the end count for the parameters",
        "counted = tl.where(inside, grad_h, 0.0)",
        "counted = grad_h",
        "test_parameters.py::test_long_sequences[triton-hard]",
    ),
    (
        "the decay's gradient has the membrane before the spike",
        "_, before = fire(membranes[CHUNK - 2 - i], threshold, reset, RESET, INCLUSIVE)",
        "before = membranes[CHUNK - 2 - i]",
        "test_parameters.py::test_neurons[triton-hard]",
    ),
    (
        "inclusive firing is forgotten",
        "return membrane >= threshold",
        "return membrane > threshold",
        "test_parameters.py::test_inclusive[triton-True]",
    ),
    (
        "a delayed reset is taken off in its own step",
        "    else:\n        return spiking, h\n",
        "    else:\n        return spiking, h - tl.where(spiking, threshold, 0.0)\n",
        "test_parameters.py::test_neurons[triton-delayed]",
    ),
    (
        "at the mean, the kernel forgets the noise's mean",
        "(noise_scalars[0] - threshold)",
        "(-threshold)",
        "test_kernels.py::test_surrogate_at_the_mean[atan--0.25-False]",
    ),
    (
        "a chunk that begins at an odd step mirrors what is not its pair",
        "SHARED: tl.constexpr = CHUNK % 2 == 0 or checkpoint_ptr is None",
        "SHARED: tl.constexpr = True",
        "test_kernels.py::test_a_chunk_may_begin_at_an_odd_step",
    ),
    (
        "an infinite membrane is normalised",
        '(deviation > 0.0) & (deviation < float("inf"))',
        "deviation > 0.0",
        "test_kernels.py::test_an_infinite_membrane_leaves_beta",
    ),
    (
        "the mean stays in",
        "tl.where(usable, beta - mean * scale, beta)",
        "tl.where(usable, beta, beta)",
        _VARIANT("0.0-True", "calibrated"),
    ),
    (
        "a tie spikes",
        "return membrane > threshold",
        "return membrane >= threshold",
        "test_kernels.py::test_a_tie_is_no_spike",
    ),
    (
        "soft reset subtracts 1",
        "return spiking, h - tl.where(spiking, threshold, 0.0)",
        "return spiking, h - tl.where(spiking, 1.0, 0.0)",
        "test_kernels.py::test_lif_threshold",
    ),
    (
        "a load's mask dropped",
        "place[0], mask=place[1], other=0.0)",
        "place[0])",
        "test_addresses.py::test_no_access_beside_a_tensor[1]",
    ),
    (
        "steps of a static input are apart",
        "wide(t) * stride_xt + place[0]",
        "wide(t) * 1000 + place[0]",
        "test_kernels.py::test_sequence_layouts[lif-None-static]",
    ),
    (
        "statistics of the step before",
        "at = wide(t) * groups + group",
        "at = wide(tl.maximum(t - 1, 0)) * groups + group",
        _VARIANT("0.0-True", "calibrated"),
    ),
    (
        "the final state without a mask",
        "tl.store(final_state_ptr + offsets, v, mask=mask)",
        "tl.store(final_state_ptr + offsets, v)",
        "test_addresses.py::test_no_access_beside_a_tensor[1]",
    ),
    ("a chunk is walked through at its first step", "t = chunk * CHUNK + i\n", "t = chunk * CHUNK\n", _CHUNKS),
    (
        "the checkpoint of the next chunk",
        "wide(chunks - 2 - later)",
        "wide(tl.maximum(chunks - 3 - later, 0))",
        "test_kernels.py::test_lif_steps[37-float32]",
    ),
    ("the first chunk begins at zero", "v = tl.where(first > 0, later_v, first_v)", "v = later_v", _CHUNKS),
    (
        "a step beyond the end is inside",
        "inside = first + (CHUNK - 1 - i) < T",
        "inside = first + (CHUNK - 1 - i) <= T",
        _CHUNKS,
    ),
    ("steps beyond the end reach the gradient", "tl.where(inside, grad_before, grad_v)", "grad_before", _CHUNKS),
    (
        "soft reset's gradient without the threshold",
        "1.0 - threshold * derivative",
        "1.0 - derivative",
        "test_kernels.py::test_lif_threshold",
    ),
    (
        "detach_reset is ignored",
        "                if not DETACH_RESET:\n                    kept",
        "                if True:\n                    kept",
        "test_kernels.py::test_lif_gradients[detach-0.0-atan]",
    ),
    (
        "reset's gradient forgets reset",
        "kept += (reset - h) * derivative",
        "kept -= h * derivative",
        "test_kernels.py::test_lif_gradients[--0.25-atan]",
    ),
    (
        "gradient goes through a reset membrane",
        "kept = tl.where(spiking, 0.0, 1.0)",
        "kept = tl.where(spiking, 1.0, 1.0)",
        "test_kernels.py::test_lif_gradients[detach-0.0-atan]",
    ),
    (
        "the last membrane's gradient is ignored",
        "grad_v = tl.load(grad_state_ptr + offsets, mask=mask, other=0.0)",
        "grad_v = tl.zeros([ROWS, COLS], tl.float32)",
        "test_kernels.py::test_lif_state[3-0.9]",
    ),
    (
        "the membrane's gradient does not decay",
        "grad_before = a * grad_h",
        "grad_before = grad_h",
        "test_kernels.py::test_lif_state[3-0.9]",
    ),
]

_SAMPLES = "test_kernels.py::test_noisy_lif_variants[uniform--0.25-False-sample]"
_PROGRAMS = "test_kernels.py::test_noisy_lif_several_programs[{}]".format
NOISY_LIF = [
    ("a state's statistics are not taken", "first = -1 if has_state else 0", "first = 0", _SAMPLES),
    (
        "the caller's state is written to",
        "        state.copy_(initial_state)\n",
        "        state = initial_state\n",
        _SAMPLES,
    ),
    (
        "partial results of the step before",
        "partial_ptr + (wide(t + 1) * groups",
        "partial_ptr + (wide(tl.maximum(t, 0)) * groups",
        _PROGRAMS("layer-9001"),
    ),
    (
        "partial results that nobody wrote",
        "mask = index < programs",
        "mask = index <= programs",
        _PROGRAMS("layer-9001"),
    ),
    ("the sum for the mean", "mean = decay * total / group_size", "mean = decay * total", _SAMPLES),
    (
        "the largest value for the largest deviation",
        "tl.maximum(decay * high - mean, mean - decay * low))",
        "decay * high - mean)",
        _SAMPLES,
    ),
    (
        "a constant membrane is normalised",
        "tl.where(low == high, 0.0, tl.maximum(decay * high - mean, mean - decay * low))",
        "tl.maximum(decay * high - mean, mean - decay * low)",
        "test_functional.py::test_a_constant_membrane_leaves_beta[triton]",
    ),
    ("what lies behind the group is summed", "tl.sum(tl.where(inside, v, 0.0), axis=0)", "tl.sum(v, axis=0)", _SAMPLES),
    (
        "what lies behind the group is a minimum",
        'tl.min(tl.where(inside, v, float("inf")), axis=0)',
        "tl.min(v, axis=0)",
        "test_kernels.py::test_noisy_lif_of_a_narrow_membrane",
    ),
    ("statistics before the decay", "mean = decay * total / group_size", "mean = total / group_size", _SAMPLES),
    (
        "eight rows draw at the elements' own counters",
        "counter = start // LANES + column",
        "counter = start + column",
        _PROGRAMS("sample-4096"),
    ),
    (
        "no noise within a step",
        "step_noise(n, seed, low_word, high_word, t, lane",
        "step_noise(n, seed, low_word, high_word, 0, lane",
        "test_noise.py::test_backends_draw_the_same_noise[layer-triton]",
    ),
]

_LAYOUTS = "test_kernels.py::test_sequence_layouts[{}]".format
SINGLE_STEP = [
    (
        "another layout's gradient is read as x's",
        "grad_spikes = lying_like(x, grad_spikes)",
        "pass",
        "test_kernels.py::test_noisy_spike_layouts[channels_last-transposed]",
    ),
    (
        "a sliced input is read as dense",
        "    x = dense(x)\n    grad_x",
        "    grad_x",
        "test_kernels.py::test_noisy_spike_layouts[same-sliced]",
    ),
    (
        "with batch normalisation inlined without it",
        "if norm is None and inlined",
        "if inlined",
        "test_fusion.py::test_compiled[True]",
    ),
]

SCAN = [
    (
        "a parameter that is a view is read as dense",
        ".float().contiguous()",
        ".float()",
        "test_parameters.py::test_shapes[compiled-mixed-contiguous]",
    ),
    (
        "a parameter's gradient lies as x does",
        "torch.empty_like(tensor).copy_(summed.reshape(tensor.shape))",
        "summed.reshape(tensor.shape).to(tensor)",
        "test_operators.py::test_opcheck[lif_backward, neurons-channels_last]",
    ),
    (
        "parameters lie as in a contiguous step",
        "sorted(range(len(step)), key=lambda dim: -strides[dim])",
        "list(range(len(step)))",
        "test_parameters.py::test_shapes[compiled-channels-channels_last]",
    ),
    (
        "a sliced input is read as dense",
        "    x = dense_steps(x)\n    tensors",
        "    tensors",
        _LAYOUTS("lif-None-every-other"),
    ),
    (
        "the layer's statistics for each sample",
        'x.shape[1] if statistics == "sample" else 1',
        "1",
        "test_kernels.py::test_noisy_lif_steps[4-sample-float32]",
    ),
    (
        "a state in another layout is read as x's",
        "initial_state = step_as(initial_state, x)",
        "initial_state = initial_state.float()",
        "test_kernels.py::test_lif_state_of_another_layout_and_dtype",
    ),
    (
        "the last membrane's gradient is ignored",
        "grad_state if ctx.return_state else None",
        "None",
        "test_kernels.py::test_lif_state[3-0.9]",
    ),
    (
        "statistics are differentiated",
        "    ctx.mark_non_differentiable(mean, deviation)\n",
        "",
        "test_eager.py::test_statistics_are_constants[triton]",
    ),
]

COMMON = [
    (
        "an example takes the first one's arguments",
        "argument.select(dim, example)",
        "argument.select(dim, 0)",
        "test_transforms.py::test_vmap_is_a_loop_over_examples[triton-lif]",
    ),
    (
        "a second derivative of a scan is zero, not an error",
        "    raise RuntimeError(NO_SECOND_DERIVATIVE)",
        "    return (None,) * 9",
        "test_transforms.py::test_a_second_derivative_is_an_error[triton-lif-gradient with a graph]",
    ),
    (
        "a dispatch mode sees nothing",
        "_dispatch_modes() or _transforms()",
        "_transforms()",
        "test_eager.py::test_who_looks_on_sees_operators_and_the_same_bits[triton-lif]",
    ),
    ("TorchScript sees nothing", " or _tracing() is not None", "", "test_eager.py::test_traced_by_torchscript[triton]"),
    (
        "a negated view is read as it lies",
        "if tensor.is_neg() or",
        "if",
        "test_eager.py::test_what_a_tensor_only_promises[triton-lif]",
    ),
    (
        "zeros without memory are read",
        " or tensor._is_zerotensor()",
        "",
        "test_eager.py::test_what_a_tensor_only_promises[triton-lif]",
    ),
    (
        "everybody sees an operator",
        "if type(tensor) not in _PLAIN or tensor",
        "if tensor",
        "test_eager.py::test_a_subclass_sees_operators[triton]",
    ),
    (
        "an exported program is bound to the CPU",
        "if torch.compiler._is_exporting_flag or x.device",
        "if x.device",
        "test_eager.py::test_a_compiled_caller_gets_the_neuron_inlined",
    ),
    (
        "PyTorch's older vmap sees nothing",
        " or _old_vmap(tensor)",
        "",
        "test_eager.py::test_batched_gradients[triton-lif]",
    ),
    (
        "a derivative in forward mode is lost",
        "if forward_ad._current_level >= 0:",
        "if False:",
        "test_eager.py::test_forward_mode_is_an_error[triton-lif]",
    ),
    (
        "any number of steps is inlined",
        " or steps > compiled.MAX_UNROLL",
        "",
        "test_eager.py::test_a_compiled_caller_gets_the_neuron_inlined",
    ),
]

OF_BATCH_NORM = [
    (
        "eps is hard-coded",
        "torch.rsqrt(variance + eps)",
        "torch.rsqrt(variance + 1e-5)",
        "test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "momentum is hard-coded",
        "batch_norm_update_stats(x, running_mean, running_var, momentum)",
        "batch_norm_update_stats(x, running_mean, running_var, 0.1)",
        "test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "the backward normalises with the bias for the weight",
        "norm = (weight, bias, mean, invstd)\n        if",
        "norm = (bias, bias, mean, invstd)\n        if",
        "test_fusion.py::test_fused_as_one_after_the_other[triton-images-noisy]",
    ),
]

OPTIONS = [
    (
        "the backward at the mean keeps the threshold",
        "self.threshold - self.noise_scalars[0]",
        "self.threshold",
        "test_operators.py::test_at_the_mean_the_backward_is_that_of_a_lower_threshold_without_noise",
    ),
    (
        "a record that is held is made again",
        "record = _held.get(text)",
        "record = None",
        "test_eager.py::test_a_record_that_is_held_stays_the_only_one_and_others_are_forgotten",
    ),
    (
        "records are held for good",
        "weakref.WeakValueDictionary()",
        "{}",
        "test_eager.py::test_a_record_that_is_held_stays_the_only_one_and_others_are_forgotten",
    ),
    ("True is 1", ", typed=True", "", "test_eager.py::test_equal_keys_are_not_equal_arguments"),
    (
        "a copy is another record",
        "return options_of_text, (self.text,)",
        "return Options, tuple(vars(self).values())",
        "test_eager.py::test_equal_records_are_one",
    ),
]

LAYOUT = [
    (
        "any layout is dense",
        "if x.is_contiguous() or _lie_alike(x.shape[1:], x.stride()[1:], dense_strides(x)[1:]):",
        "if True:",
        _LAYOUTS("lif-None-every-other"),
    ),
    (
        "a gradient of any layout lies as x",
        "or _lie_alike(x.shape, tensor.stride(), dense_strides(x)):",
        "or True:",
        "test_kernels.py::test_noisy_spike_layouts[channels_last-transposed]",
    ),
    (
        "a single element's stride counts",
        "all(size == 1 or stride == other",
        "all(stride == other",
        "test_pytorch.py::test_the_stride_of_a_single_element_does_not_matter",
    ),
    (
        "the membrane in the input's dtype",
        "return torch.float64 if x.dtype == torch.float64 else torch.float32",
        "return x.dtype",
        "test_kernels.py::test_lif_steps[2-bfloat16]",
    ),
    (
        "samples inside are taken for outermost",
        "dense_strides(x)[1] * x.shape[1] == x[0].numel()",
        "True",
        _LAYOUTS("noisy_lif-sample-batch-inside"),
    ),
]

_AGAIN = "test_passes.py::test_what_is_computed_again_belongs_to_its_own_pass"
_ROWS = "test_passes.py::test_each_call_of_a_calibrated_neuron_uses_its_own_row_and_first_steps"
MODULES = [
    (
        "a learned decay may leave [0, 1]",
        "tensor.clamp(0, 1) if learned else tensor",
        "tensor",
        "test_parameters.py::test_a_learned_decay_is_clamped[-0.25-0.0]",
    ),
    (
        "the graph is never kept",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if self.detach_state",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if True",
        "test_parameters.py::test_the_graph_is_kept_from_call_to_call[LIF]",
    ),
    (
        "LIF's membrane keeps its graph",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if self.detach_state",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if False",
        "test_modules.py::test_the_membrane_is_carried_detached[LIF]",
    ),
    (
        "NoisyLIF's membrane keeps its graph",
        "deviation[:, 0]))\n        if states is not None:\n            states[call] = state.detach()",
        "deviation[:, 0]))\n        if states is not None:\n            states[call] = state",
        "test_modules.py::test_the_membrane_is_carried_detached[NoisyLIF]",
    ),
    (
        "an old pickle computes another residual noise",
        '_earlier = {"residual": "range"}',
        "_earlier = {}",
        "test_modules.py::test_a_pickle_of_an_older_version[residual]",
    ),
    (
        "a converted neuron of one step is a single step",
        "if not self.converted and self._single(input):",
        "if self._single(input):",
        "test_modules.py::test_noisy_lif_is_single_step_until_converted",
    ),
    (
        "a stateful neuron of one step is a single step",
        "return input.shape[0] == 1 and not self.stateful",
        "return input.shape[0] == 1",
        "test_time_axis.py::test_a_stateful_time_first_neuron_carries_its_membrane_over_single_steps",
    ),
    (
        "NoisyLIF's residual is the default's",
        "self.noise, self.residual,",
        'self.noise, "matched",',
        "test_conversion.py::test_the_residual_noise_of_a_converted_network",
    ),
    (
        "more steps than were calibrated",
        "if end > T:",
        "if False:",
        "test_conversion.py::test_calibration_travels_in_the_state_dict",
    ),
    (
        "the last steps of the calibrated",
        "now = call, slice(first, end)",
        "now = call, slice(T - x.shape[0], T)",
        _ROWS,
    ),
    (
        "the calibrated row of the call before",
        "now = call, slice(first, end)",
        "now = max(call - 1, 0), slice(first, end)",
        _ROWS,
    ),
    (
        "calibration uses what was calibrated before",
        'if thread.recording is not None:\n            return "layer"',
        "if False:\n            pass",
        "test_conversion.py::test_calibrating_again_forgets_the_first_calibration",
    ),
    (
        "calibrated values are not in the state_dict",
        "self.register_buffer(name, value, persistent=True)",
        "self.register_buffer(name, value, persistent=False)",
        "test_conversion.py::test_calibration_travels_in_the_state_dict",
    ),
    (
        "wrong calibrated values are loaded",
        "        if wrong:  # neither",
        "        if False:  # neither",
        "test_bad_inputs.py::test_a_bad_call_is_refused",
    ),
]

NEURON = [
    (
        "calibration in training mode",
        "    model.eval()\n",
        "",
        "test_conversion.py::test_calibration_leaves_running_statistics_alone",
    ),
    (
        "all modules train after calibration",
        "module.training = mode",
        "module.training = True",
        "test_conversion.py::test_frozen_layers_stay_frozen",
    ),
    (
        "calibration forgets the carried membrane",
        "            neuron.states = state\n",
        "            pass\n",
        "test_conversion.py::test_calibration_leaves_the_carried_membrane_alone",
    ),
    (
        "a model stays in evaluation",
        "            module.training = mode",
        "            pass",
        "test_operations.py::test_energy_leaves_the_model_as_it_was",
    ),
    (
        "a trained network stays in evaluation",
        "module.training = mode",
        "module.training = False",
        "test_scaling.py::test_nothing_else_changes",
    ),
    (
        "a tensor that is set later is no buffer",
        "self.register_buffer(name, value)",
        "vars(self)[name] = value",
        "test_parameters.py::test_a_parameter_may_be_set_later",
    ),
    (
        "reset forgets nothing",
        "    def _forget(self) -> None:\n        self.states = {}",
        "    def _forget(self) -> None:\n        pass",
        "test_modules.py::test_stateful_carries_the_membrane",
    ),
    (
        "a pass in which T is another is the present one",
        "            T = current.timesteps\n        if T",
        "        if T",
        f"{_AGAIN}[lif-another T-True]",
    ),
    (
        "neurons may disagree with their model on T",
        "if current.of_neurons not in (None, T):",
        "if False:",
        "test_time_axis.py::test_neurons_of_a_multistep_model_agree_on_its_timesteps",
    ),
    (
        "batch-first",
        "return x.view(T, x.shape[0] // T, *x.shape[1:]), call, states",
        "return x.view(x.shape[0] // T, T, *x.shape[1:]).transpose(0, 1), call, states",
        "test_modules.py::test_lif_folds_time_into_the_batch",
    ),
    (
        "a membrane of another shape is dropped",
        "if state.shape != x.shape[1:]:\n            raise",
        "if state.shape != x.shape[1:]:\n            return None\n            raise",
        "test_modules.py::test_stateful_carries_the_membrane",
    ),
    (
        "the membrane in half precision",
        "return result if result.dtype == tensor.dtype else tensor.to(result.device)",
        "return result",
        "test_modules.py::test_half_keeps_the_membrane_in_float32",
    ),
    (
        "a repr without what is not an equation's number",
        'for name in (*self._shown, "surrogate", "detach_reset", "stateful", "detach_state", "backend"):',
        "for name in self._shown:",
        "test_modules.py::test_repr_tells_the_whole_neuron",
    ),
    (
        "a default hides a parameter",
        "if name not in held}",
        "if name not in state}",
        "test_modules.py::test_a_pickle_s_parameter_is_not_hidden_by_a_default",
    ),
    (
        "a neuron made stateful late is taken",
        "if self.stateful and self.unmarked:",
        "if False:",
        "test_passes.py::test_a_shared_relu_made_stateful_after_the_conversion",
    ),
    (
        "a changed attribute is not noticed",
        '        vars(self)["_kept"] = {}',
        "        pass",
        "test_eager.py::test_a_changed_attribute_counts",
    ),
]

PASSES = [
    (
        "all calls in a pass are the first",
        "return len(calls) - 1",
        "return 0",
        "test_passes.py::test_a_shared_stateful_neuron_carries_a_membrane_for_each_call[lif-6]",
    ),
    (
        "a call that is computed again is the last",
        "return self.again[neuron] % len(calls)",
        "return len(calls) - 1",
        "test_passes.py::test_a_shared_calibrated_neuron_that_is_computed_again_uses_the_row_of_its_call",
    ),
    (
        "calls of one backward count in the next",
        "if self.backward != torch._C._current_graph_task_id():",
        "if self.backward == -1:",
        "test_passes.py::test_a_backward_that_failed_halfway_does_not_count",
    ),
    (
        "calls of several checkpoints are numbered",
        "if any(checkpoint != calls[0] for checkpoint in calls):",
        "if False:",
        "test_passes.py::test_a_call_that_cannot_be_told_is_an_error",
    ),
    ("a pass is not left with its graph", "metadata(node)[PASS] = self", "pass", f"{_AGAIN}[lif-another batch-True]"),
    (
        "a pass never ends",
        "if thread.current is not None and thread.current.root is model:",
        "if False:",
        "test_passes.py::test_a_failed_pass_is_over",
    ),
]

CONVERSION = [
    (
        "convert changes the model",
        "model = _copy(model)\n    left",
        "left",
        "test_conversion.py::test_torchvision_models[resnet18-9]",
    ),
    (
        "a neuron for each use of a shared ReLU",
        "if (child, pattern) not in swapped:",
        "if True:",
        "test_conversion.py::test_a_shared_relu_becomes_a_shared_neuron",
    ),
    (
        "all neurons are in training mode",
        "made.train(child.training)",
        "made",
        "test_conversion.py::test_neuron_and_keywords",
    ),
    (
        "nobody is told of functional activations",
        "    if left:\n        warnings.warn(",
        "    if False:\n        warnings.warn(",
        "test_conversion.py::test_what_could_not_be_swapped_is_said",
    ),
    (
        "the last pattern decides",
        "(pattern for pattern in makers if",
        "(pattern for pattern in reversed(makers) if",
        "test_conversion.py::test_another_neuron_by_name",
    ),
    (
        "a shared part has one name",
        "for path in parent_paths]",
        "for path in parent_paths[:1]]",
        "test_conversion.py::test_a_shared_relu_in_the_places_of_two_patterns",
    ),
    (
        "what a pattern leaves is warned of",
        "if pattern is not None and makers[pattern] is not None:\n            found",
        "if True:\n            found",
        "test_conversion.py::test_what_the_patterns_leave_is_not_warned_of",
    ),
    (
        "the code of what a pattern leaves is warned of",
        'path, inside=".")',
        "path)",
        "test_conversion.py::test_what_the_patterns_leave_is_not_warned_of",
    ),
    (
        "passes are not marked",
        "    mark_passes(holder.model)\n",
        "",
        "test_passes.py::test_a_shared_stateful_neuron_carries_a_membrane_for_each_call[lif-6]",
    ),
]

_SAMPLES = "test_early_exit.py::test_each_sample_gets_the_mean_over_its_steps"
EARLY_EXIT = [
    ("each step is the first", "first=done, states", "first=0, states", f"{_SAMPLES}[calibrated-6]"),
    ("each step begins without a membrane", "first=done, states=states", "first=done, states={}", f"{_SAMPLES}[LIF-6]"),
    (
        "the membranes of those who stopped go on",
        "{call: state[rest] for",
        "{call: state[: len(left)] for",
        f"{_SAMPLES}[sample-6]",
    ),
    ("sure by the last step alone", "mean.softmax(dim=1)", "added.softmax(dim=1)", f"{_SAMPLES}[sample-6]"),
    (
        "antithetic steps one by one",
        'over_time == "antithetic" for',
        'over_time == "pairs" for',
        "test_early_exit.py::test_antithetic_steps_stay_in_pairs",
    ),
    (
        "the first layers at every step",
        "count = next(i for",
        "count = 0 * next(i for",
        "test_early_exit.py::test_the_layers_before_the_first_neuron_run_once",
    ),
]

TIMESTEPS = [
    (
        "the accuracy of each step alone",
        "steps.cumsum(dim=0, dtype",
        "steps.to(dtype",
        "test_timesteps.py::test_one_pass_is_a_run_for_every_T[sample]",
    ),
    ("the loss in samples", "<= loss * count for", "<= 100 * loss for", "test_timesteps.py::test_the_loss_decides"),
    (
        "a membrane goes on to the next batch",
        "                neuron.reset()\n",
        "                pass\n",
        "test_timesteps.py::test_the_model_is_left_as_it_is",
    ),
]

_MEAN = "test_passes.py::test_calibration_is_the_mean_over_batches_of_each_step_and_call"
MULTISTEP = [
    (
        "MultiStep's over_time is ignored",
        "over_time=over_time, statistics",
        "statistics",
        "test_conversion.py::test_antithetic_noise_of_a_converted_network",
    ),
    (
        "MultiStep runs the model itself",
        "self.model = _copy(model)",
        "self.model = model",
        "test_conversion.py::test_the_residual_noise_of_a_converted_network",
    ),
    (
        "MultiStep's alpha is ignored",
        "neuron.convert(alpha=alpha, beta=beta,",
        "neuron.convert(beta=beta,",
        "test_conversion.py::test_alpha_and_beta_of_a_multistep_model_are_those_of_its_neurons",
    ),
    (
        "the neurons' T is not set",
        "neuron.timesteps = self._timesteps",
        "pass",
        "test_conversion.py::test_timesteps_can_be_changed",
    ),
    (
        "the static input is repeated sample by sample",
        "input.expand(T, *input.shape).flatten(0, 1)",
        "input.repeat_interleave(T, 0)",
        "test_conversion.py::test_multistep_is_the_folded_model",
    ),
    (
        "the output is averaged over samples",
        "steps = output.unflatten(0, (timesteps, batch))",
        "steps = output.unflatten(0, (batch, timesteps)).transpose(0, 1)",
        "test_conversion.py::test_multistep_is_the_folded_model",
    ),
    (
        "a failed pass goes on",
        "        finally:\n            thread.current = around",
        "        finally:\n            pass",
        "test_passes.py::test_a_failed_pass_of_a_multistep_model_is_over",
    ),
    ("calibration by the last batch", "torch.stack(passes).mean(dim=0)", "passes[-1]", _MEAN),
    ("calibration by the first batch", "torch.stack(passes).mean(dim=0)", "passes[0]", _MEAN),
    ("calibration by the largest batch", "torch.stack(passes).mean(dim=0)", "torch.stack(passes).amax(dim=0)", _MEAN),
    (
        "calibration of a membrane carried from batch to batch",
        "for neuron in carried:\n",
        "for neuron in ():\n",
        "test_conversion.py::test_calibration_leaves_the_carried_membrane_alone",
    ),
    (
        "calibration goes on recording",
        "                    thread.recording = None\n",
        "                    pass\n",
        "test_conversion.py::test_calibration_freezes_what_the_neurons_saw",
    ),
    (
        "images go in as a sequence",
        "input, static = input.flatten(0, 1), None",
        "input, static = input.transpose(0, 1).flatten(0, 1), None",
        "test_multistep.py::test_a_sequence_goes_in_step_by_step[3]",
    ),
    (
        "a sequence of too many steps begins",
        'self.check_calibrated("the input\'s T", T)',
        "pass",
        "test_multistep.py::test_too_long_a_sequence_is_refused_before_anything_runs",
    ),
    (
        "what no neuron reached has no steps",
        'output.expand(timesteps, *output.shape) if how == "steps" else output',
        "output",
        "test_multistep.py::test_every_step_of_outputs_of_any_structure",
    ),
    (
        "NaN is calibrated",
        "if not all(bool(statistics.isfinite().all()) for statistics in frozen.values()):",
        "if False:",
        "test_bad_inputs.py::test_a_bad_call_is_refused",
    ),
]

FUSION = [
    (
        "momentum is hard-coded",
        "batch_norm.running_var, batch_norm.momentum, eps",
        "batch_norm.running_var, 0.1, eps",
        "test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "eps is hard-coded in evaluation",
        "torch.rsqrt(batch_norm.running_var + eps)",
        "torch.rsqrt(batch_norm.running_var + 1e-5)",
        "test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "the neuron's options are a new neuron's",
        "options = neuron.options(",
        "options = type(neuron)(neuron.timesteps).options(",
        "test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "batches are not counted",
        "batch_norm.num_batches_tracked.add_(1)",
        "pass",
        "test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "hooks of all modules are ignored",
        "if _has_any_global_hook():",
        "if False:",
        "test_fusion.py::test_a_hook_of_all_modules_sees_both",
    ),
    (
        "hooks are ignored",
        "any(module._forward_hooks or",
        "any(",
        "test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[a hook]",
    ),
    (
        "a converted neuron is fused",
        "(neuron.converted or neuron.timesteps > 1)",
        "(neuron.timesteps > 1)",
        "test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[converted]",
    ),
    (
        "evaluation is fused where gradients are wanted",
        "elif torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):",
        "elif False:",
        "test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[in evaluation, with gradients]",
    ),
    (
        "a stateful neuron forgets its membrane",
        "if neuron.stateful or neuron.timesteps is None:",
        "if neuron.timesteps is None:",
        "test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[stateful]",
    ),
    (
        "the neuron is called twice",
        "i += 2 if i in pairs else 1",
        "i += 1",
        "test_fusion.py::test_a_fused_network_trains_and_runs_as_before[single step]",
    ),
]

PACKING = [
    (
        "what was changed in place is packed",
        "if (version, dtype) != (tensor._version, tensor.dtype) or",
        "if dtype != tensor.dtype or",
        "test_packing.py::test_nothing_but_spikes_is_packed",
    ),
    (
        "what does not fill its memory is packed",
        "return backend if torch.ops.aten.is_non_overlapping_and_dense(tensor) else None",
        "return backend",
        "test_packing.py::test_nothing_but_spikes_is_packed",
    ),
    (
        "an incomplete byte is packed",
        "or tensor.numel() % 8 or",
        "or",
        "test_packing.py::test_nothing_but_spikes_is_packed",
    ),
    (
        "a change in place goes unnoticed",
        "if kept.tensor._version != kept.version:",
        "if False:",
        "test_packing.py::test_a_change_in_place_is_still_an_error",
    ),
    (
        "another part's bits are taken",
        "bits = held() if packed == place else None",
        "bits = held()",
        "test_packing.py::test_two_layers_that_read_the_same_spikes_pack_them_once",
    ),
    (
        "another layout is restored",
        "torch.empty_strided(shape, strides, dtype",
        "torch.empty(shape, dtype",
        "test_packing.py::test_restored_exactly[reference-pooling-True-dtype5]",
    ),
]

FUNCTIONAL = [
    (
        "the membrane is handed back from rest",
        "state = state + chosen.rest",
        "pass",
        "test_parameters.py::test_neurons[reference-hard, rest]",
    ),
    (
        "the seed is always 0",
        "seed = validation.check_seed(seed, input.device)",
        "seed = validation.check_seed(0, input.device)",
        "test_functional.py::test_seed_comes_from_torchs_generator",
    ),
    (
        "a seed is drawn where nothing else is",
        'if chosen.noise == "none":\n        return None',
        "if False:\n        return None",
        "test_functional.py::test_seed_comes_from_torchs_generator",
    ),
    (
        "samples inside a layout share statistics",
        'if statistics == "sample" and not batch_outermost(input):',
        "if False:",
        _LAYOUTS("noisy_lif-sample-batch-inside"),
    ),
    (
        "alpha for 1 / alpha",
        "inv_alpha=1 / alpha",
        "inv_alpha=alpha",
        "test_kernels.py::test_noisy_lif_steps[4-calibrated-float32]",
    ),
    (
        "the neuron's noise for the residual",
        "= reference.residual_noise(noise, alpha, beta, residual)",
        "= noise.kind, noise.scalars()",
        "test_reference.py::test_normalisation_is_the_papers[0.0-layer]",
    ),
    (
        "lif without its initial state",
        "input, initial_state, None, None, None, None, gain",
        "input, None, None, None, None, None, gain",
        "test_kernels.py::test_lif_state[3-0.9]",
    ),
]

BACKENDS = [
    (
        "float64 on a CPU is compiled",
        'if dtype == torch.float64:\n            return "reference"',
        'if False:\n            return "reference"',
        "test_functional.py::test_float64_is_the_references",
    ),
    (
        "a missing compiler goes unnoticed",
        'if device == "cpu" and not any(shutil.which',
        'if device == "gpu" and not any(shutil.which',
        "test_functional.py::test_no_compiler_says_what_to_install",
    ),
    (
        "Triton on a CPU without its interpreter",
        'if device == "cpu" and _interpreting():',
        'if device == "cpu":',
        "test_functional.py::test_triton_on_a_cpu_says_why_not",
    ),
]

_REFUSED = "test_bad_inputs.py::test_a_bad_call_is_refused"
TYPES = [
    (
        "type checkers do not know a keyword",
        "    inclusive: bool\n",
        "",
        "test_annotations.py::test_type_checkers_know_every_keyword[lif]",
    ),
    (
        "all of a user's functions are one",
        "if known.name is function and known.triton",
        "if known.triton",
        "test_parameters.py::test_own_surrogates_are_known_by_their_function",
    ),
    (
        "another default width",
        '"sigmoid": 4.0',
        '"sigmoid": 5.0',
        "test_functional.py::test_defaults_are_the_documented_ones",
    ),
    (
        "the whole range for half",
        "return (self.high - self.low) / 2",
        "return self.high - self.low",
        "test_noise.py::test_noise_never_leaves_its_range",
    ),
    (
        "the range's end for its middle",
        "return (self.low + self.high) / 2",
        "return self.high",
        "test_noise.py::test_noise_never_leaves_its_range",
    ),
    ("low may exceed high", "if self.low > self.high:", "if False:", _REFUSED),
]

VALIDATION = [
    (
        "NaN is a number",
        "if value != value or (finite and value - value != 0):",
        "if finite and value - value != 0:",
        _REFUSED,
    ),
    ("decay beyond 1", "if not 0 <= decay <= 1:", "if not 0 <= decay:", _REFUSED),
    ("tau as the decay", "decay = 1 - 1 / tau", "decay = 1 / tau", "test_functional.py::test_tau"),
    (
        "alpha may exceed the noise's range",
        'if noise.kind != "none" and 1 / alpha > noise.half_range:',
        "if False:",
        _REFUSED,
    ),
    (
        "the smallest alpha is refused",
        "while 1 / alpha > noise.half_range:",
        "while False:",
        "test_properties.py::test_the_smallest_alpha_is_accepted_for_every_noise",
    ),
    ("statistics of another T", "if value.shape != (timesteps,):", "if False:", _REFUSED),
    (
        "a negative deviation",
        "deviation.isfinite() & (deviation >= 0)).all())\n    except",
        "deviation.isfinite()).all())\n    except",
        _REFUSED,
    ),
    ("a state of another shape", "if state.shape != x.shape[1:]:", "if False:", _REFUSED),
    ("a seed of two elements", "if seed.numel() != 1:", "if False:", _REFUSED),
    ("T need not divide the batch", "if x.shape[0] % timesteps:", "if False:", _REFUSED),
]

_FINDS = "test_time_axis.py::test_the_check_finds"
TIME_AXIS = [
    (
        "samples that depend on others are not found",
        'if len(found) > 1:\n            raise ValueError(\n                f"row',
        'if False:\n            raise ValueError(\n                f"row',
        _FINDS,
    ),
    (
        "later steps that reach earlier ones are not found",
        "if stepped and found and found[-1] > step:",
        "if False:",
        _FINDS,
    ),
    ("neurons may disagree on T", "    _check_timesteps(model)\n    reset", "    reset", _FINDS),
    (
        "the model itself is run",
        "model = _copy(model).eval()",
        "model = model.eval()",
        "test_time_axis.py::test_the_check_leaves_the_model_alone",
    ),
]

_GRADIENTS = "test_compiled.py::test_lif_gradients[{}]".format
COMPILED = [
    (
        "the input's gain is forgotten backward",
        "grads.append(grad_h * gain if variant.scaled else grad_h)",
        "grads.append(grad_h)",
        "test_parameters.py::test_neurons[compiled-hard]",
    ),
    (
        "a delayed reset is not taken off the gradient",
        "grad_v = (decay - moved) * grad_h",
        "grad_v = decay * grad_h",
        "test_parameters.py::test_neurons[compiled-delayed]",
    ),
    (
        "the threshold's gradient misses the soft reset",
        "(spikes * grad_v if variant.soft_reset else 0)",
        "0",
        "test_parameters.py::test_neurons[compiled-soft]",
    ),
    (
        "the compiled scan's surrogate stays at the membrane",
        'h if at == "membrane" else still + scalars[NOISE]',
        "h",
        "test_compiled.py::test_antithetic_noise_and_gradients_at_the_mean",
    ),
    (
        "soft reset's gradient forgets the threshold",
        "(-threshold if variant.soft_reset else reset - h)",
        "(-1 if variant.soft_reset else reset - h)",
        _GRADIENTS("None-False-sigmoid-torch.float16"),
    ),
    (
        "soft reset's gradient is detached",
        "(-threshold if variant.soft_reset else reset - h)",
        "(0 if variant.soft_reset else reset - h)",
        _GRADIENTS("None-False-sigmoid-torch.float16"),
    ),
    (
        "detach_reset is ignored",
        "if not variant.reset_delay and not detach_reset:",
        "if not variant.reset_delay:",
        _GRADIENTS("-0.25-True-sigmoid-torch.float32"),
    ),
    (
        "reset's gradient forgets reset",
        "(-threshold if variant.soft_reset else reset - h)",
        "(-threshold if variant.soft_reset else -h)",
        _GRADIENTS("-0.25-False-atan-torch.float32"),
    ),
    (
        "gradient goes through a reset membrane",
        "else grad_v * (1 - spikes)",
        "else grad_v",
        _GRADIENTS("-0.25-False-atan-torch.float32"),
    ),
    (
        "soft reset subtracts 1",
        "h - threshold if variant.soft_reset else reset, h)",
        "h - 1 if variant.soft_reset else reset, h)",
        _GRADIENTS("None-False-sigmoid-torch.float16"),
    ),
    (
        "a tie spikes",
        "variant.inclusive else membrane > threshold",
        "variant.inclusive else membrane >= threshold",
        "test_compiled.py::test_a_tie_is_no_spike",
    ),
    (
        "threshold and reset swapped",
        "numbers = o.threshold, o.reset or 0.0,",
        "numbers = o.reset or 0.0, o.threshold,",
        _GRADIENTS("-0.25-False-atan-torch.float32"),
    ),
    (
        "the surrogate's width for its threshold",
        "reference.SURROGATES[surrogate](u, scalars[2])",
        "reference.SURROGATES[surrogate](u, scalars[0])",
        "test_compiled.py::test_noisy_spike_gradients[torch.float32]",
    ),
    (
        "all chunks end with the first membrane",
        "reversed(starts)):",
        "reversed(starts[:1] * len(starts))):",
        "test_compiled.py::test_gradients_of_several_chunks",
    ),
    (
        "a chunk behind the first begins at its end",
        "_noise(x, seed, o, chunk.start)",
        "_noise(x, seed, o)",
        "test_compiled.py::test_noise_of_several_chunks",
    ),
    (
        "the gradient is not carried through a_t",
        "_coefficients(i, mean, deviation, scalars, decay)[0] * grad_h",
        "grad_h",
        _GRADIENTS("-0.25-False-atan-torch.float32"),
    ),
    (
        "the last membrane's gradient is ignored",
        "_first_membrane(x, grad_state, o)",
        "_first_membrane(x, None, o)",
        _GRADIENTS("-0.25-False-atan-torch.float32"),
    ),
    (
        "the initial state is ignored",
        "starts = [_first_membrane(x, initial_state, o)]",
        "starts = [_first_membrane(x, None, o)]",
        _GRADIENTS("-0.25-False-atan-torch.float32"),
    ),
    (
        "the mean stays in",
        "norm, a * v + b, gain",
        "norm, a * v + 0 * b, gain",
        "test_compiled.py::test_noisy_lif_gradients[none-given-None-True-dtype2]",
    ),
    (
        "parts draw the noise of the first",
        "noise = _noise(part, seed, o, start=start)\n        graphs.run(_spike, ()",
        "noise = _noise(part, seed, o)\n        graphs.run(_spike, ()",
        "test_compiled.py::test_parts_draw_what_the_whole_draws",
    ),
    (
        "parts count elements, not counters",
        "counter = start // reference.LANES",
        "counter = start",
        "test_compiled.py::test_parts_draw_what_the_whole_draws",
    ),
    (
        "32 bits of a part's counter",
        "counter & 0xFFFFFFFF, counter >> 32",
        "counter & 0xFFFFFFFF, 0",
        "test_compiled.py::test_the_counter_of_a_part_has_64_bits",
    ),
    (
        "the smallest value of the layer is the largest",
        "decay * v.amin(dim=-1), decay * v.amax(dim=-1)",
        "decay * v.amax(dim=-1), decay * v.amax(dim=-1)",
        "test_compiled.py::test_noisy_lif_gradients[gaussian-sample-None-False-dtype3]",
    ),
    (
        "digits of a large mean lost",
        "h = (h - norm[0]) * norm[1] + norm[2]",
        "h = h * norm[1] + (norm[2] - norm[0] * norm[1])",
        "test_fusion.py::test_a_mean_of_many_deviations[training-compiled-float32]",
    ),
]

# --- Benchmarks: the right clock, the right time, the right words --------------------------------------------------

_TURNS = "benchmarks/test_measure.py::test_of_two_calls_in_turns_each_gets_the_time_of_its_own_calls"
_ALONE = "benchmarks/test_measure.py::test_a_call_is_timed_by_itself_and_not_at_first"
MEASURE = [
    (
        "one call's time goes to the other",
        "for own, call in zip(times, (first, second)):",
        "for own, call in zip(times[::-1], (first, second)):",
        _TURNS,
    ),
    (
        "the time of a turn is not divided by its calls",
        "own.append((now(device) - began) / calls)",
        "own.append(now(device) - began)",
        _TURNS,
    ),
    ("turns have no end but the budget's", "len(times[0]) < TURNS[1] and", "len(times[0]) < 10 * TURNS[1] and", _TURNS),
    (
        "times of calls accumulate",
        "    for _ in range(count):\n        start = now(device)\n        call()\n        times",
        "    start = now(device)\n    for _ in range(count):\n        call()\n        times",
        _ALONE,
    ),
    (
        "the first call, which compiles, tells how often to call",
        "            start = time.perf_counter()  # the first call compiles: what follows tells the time of a call",
        "            pass",
        _ALONE,
    ),
    (
        "nothing is warmed up",
        "if calls >= 2 and elapsed > WARM_UP_SECONDS[device.type]:",
        "if calls >= 2:",
        "benchmarks/test_measure.py::test_a_short_call_warms_up_and_is_timed_more_often",
    ),
    (
        "milliseconds for seconds on a GPU",
        "start.elapsed_time(end) / 1000",
        "start.elapsed_time(end)",
        "benchmarks/test_measure.py::test_the_times_of_a_gpu_are_in_seconds",
    ),
    (
        "what was there before counts as peak memory",
        "max_memory_allocated(device) - before",
        "max_memory_allocated(device)",
        "benchmarks/test_measure.py::test_the_peak_memory_of_a_gpu_is_what_the_call_adds",
    ),
    (
        "a copy reads and writes, one is counted",
        "moved = 2 * source.numel()",
        "moved = source.numel()",
        "benchmarks/test_measure.py::test_the_bandwidth_of_a_copy_counts_reads_and_writes",
    ),
]

MACHINE = [
    (
        "the clock does not wait for the GPU",
        "        torch.cuda.synchronize(device)\n    return time",
        "        pass\n    return time",
        "benchmarks/test_measure.py::test_the_clock_waits_for_a_gpu",
    ),
]

RESULTS = [
    (
        "p80 for the median",
        "p20, median, p80 = values",
        "p20, p80, median = values",
        "benchmarks/test_results.py::test_spread",
    ),
    (
        "rows about any of it",
        "return all(str(getattr",
        "return any(str(getattr",
        "benchmarks/test_results.py::test_select",
    ),
    (
        "a run replaces those of other networks",
        "return self.experiment, self.options, self.dataset, self.network",
        "return self.experiment, self.options, self.dataset",
        "benchmarks/test_results.py::test_a_new_run_replaces_its_own_rows_alone",
    ),
]

_FOUND = "benchmarks/test_measure.py::test_what_another_library_computes_otherwise_is_found"
PEERS = [
    (
        "a peer with wrong gradients accepted",
        "if different <= ties and error <= rounding:",
        "if different <= ties:",
        _FOUND,
    ),
    (
        "a peer with wrong spikes accepted",
        "if different <= ties and error <= rounding:",
        "if error <= rounding:",
        _FOUND,
    ),
    ("a peer compared with itself", "for function in (neuron, expected):", "for function in (neuron, neuron):", _FOUND),
    (
        "plain noise of another width",
        "mul_(0.125)",
        "mul_(0.25)",
        "benchmarks/test_measure.py::test_plain_noise_is_ours",
    ),
]

_EACH_PASS = "benchmarks/test_measure.py::test_each_pass_of_each_library_gets_its_own_time"
KERNELS = [
    (
        "forward and backward swapped",
        '        "forward": forward,\n        "backward": lambda',
        '        "backward": forward,\n        "forward": lambda',
        _EACH_PASS,
    ),
    ("seconds for milliseconds", '"time", "ms", _scaled(seconds, 1e3)', '"time", "ms", seconds', _EACH_PASS),
    (
        "a fraction of a copy's slowest",
        "_scaled(achieved, 1 / copy.median)",
        "_scaled(achieved, 1 / copy.p20)",
        _EACH_PASS,
    ),
    (
        "ours is not checked",
        "            if wrong:\n                raise options",
        "            if False:\n                raise options",
        "benchmarks/test_speed.py::test_what_is_wrong_is_not_timed",
    ),
    (
        "the membrane's bytes are not counted",
        "membrane = 8 - 4 / T if",
        "membrane = 0 if",
        "benchmarks/test_speed.py::test_bytes_that_must_be_moved",
    ),
]

_OWN = "benchmarks/test_measure.py::test_each_network_s_time_is_its_own"
END_TO_END = [
    ("ReLU and the contender swapped", "measuring.by_turns(relu, call,", "measuring.by_turns(call, relu,", _OWN),
    (
        "ReLU's memory for everyone",
        "_record(lab, task, way, direction, (neurons, T), times, memory)",
        "_record(lab, task, way, direction, (neurons, T), times, relu_memory)",
        _OWN,
    ),
    (
        "batches a second for images a second",
        "spread(len(task.images) / time for time in times)",
        "spread(1 / time for time in times)",
        _OWN,
    ),
]

CONTENDERS = [
    (
        "training is timed in evaluation mode",
        "model.train(direction == TRAINING)",
        "model.eval()",
        "benchmarks/test_measure.py::test_a_network_is_timed_in_the_mode_it_is_used_in",
    ),
]

_A_ROW = "benchmarks/test_measure.py::test_the_accuracy_of_a_row_is_that_of_its_own_network"
_A_LEAD = "benchmarks/test_measure.py::test_a_lead_s_error_has_the_images_part_and_the_trainings"
_A_VERDICT = "benchmarks/test_suite.py::test_a_verdict_takes_two_standard_errors_and_three_trainings"
_EQUAL = "benchmarks/test_suite.py::test_equal_takes_an_error_that_fits_into_the_margin"
_A_TIME = "benchmarks/test_suite.py::test_a_verdict_on_a_time_takes_spreads_that_do_not_overlap"
LAB = [
    (
        "every training from the first seed",
        "seed=options.seed if seed is None else seed",
        "seed=options.seed",
        _A_ROW,
    ),
]
TRIALS = [
    ("the accuracy after the next step", "per_step[T - 1])", "per_step[min(T, len(per_step) - 1)])", _A_ROW),
    ("noise of one seed for all trainings", '"seed": spec.recipe.seed}', '"seed": 1}', _A_ROW),
    ("a fraction for points", "mean_and_error(100 * lead)", "mean_and_error(lead)", _A_ROW),
]
VERDICTS = [
    ("one standard error is enough", "abs(distance) <= 2 * self.error", "abs(distance) <= self.error", _A_VERDICT),
    ("a single training is enough", "ENOUGH = 3", "ENOUGH = 1", _A_VERDICT),
    ("far behind is equal", "for sign in (1, -1)}", "for sign in (1,)}", _EQUAL),
    ("equal until it is shown to differ", "None if None in verdicts else True\n\n    def", "True\n\n    def", _EQUAL),
    (
        "the images' error shrinks with the trainings",
        ".mean().item()\n    by",
        ".mean().item() / trainings\n    by",
        _A_LEAD,
    ),
    ("the trainings' error is forgotten", "math.hypot(by_image, by_training)", "by_image", _A_LEAD),
    ("times faster without the factor", "sooner, later = times * ours.p80", "sooner, later = ours.p80", _A_TIME),
    ("medians within the limit", "True if row.p80 <= limit", "True if row.median <= limit", _A_TIME),
]
EVALUATION = [
    (
        "evaluated in training mode",
        "    model.eval()\n    found = torch.zeros(len(images)",
        "    found = torch.zeros(len(images)",
        "benchmarks/test_measure.py::test_accuracy_is_the_fraction_of_all_images_in_evaluation_mode",
    ),
    (
        "the steps of other images",
        "scores, steps[index] = model",
        "scores, steps[: len(index)] = model",
        "benchmarks/test_rate_coding.py::test_early_exit_is_measured_image_by_image",
    ),
]

TRAINING = [
    (
        "the last batch's loss for the epoch's",
        "torch.stack(losses).mean()",
        "losses[-1]",
        "benchmarks/test_measure.py::test_an_epoch_s_time_is_that_of_its_training_and_its_loss_the_mean",
    ),
]

STATIC = [
    (
        "loops without their last instruction",
        "range(labels[target[0]], i + 1)",
        "range(labels[target[0]], i)",
        "benchmarks/test_measure.py::test_instructions_are_counted_as_they_stand_in_the_code",
    ),
    (
        "spills without accesses are not seen",
        "return self.local_bytes > 0 or self.local_accesses > 0",
        "return self.local_accesses > 0",
        "benchmarks/test_measure.py::test_what_spills_is_told",
    ),
]

_MEMBRANES = "test_recording.py::test_membranes_are_those_of_the_spikes[{}-reference]".format
RECORDING = [
    (
        "what follows in place changes the log",
        "spikes.append(spikes.clone())",
        "spikes.append(spikes)",
        "test_recording.py::test_a_change_in_place_after_the_neuron",
    ),
    (
        "hooks stay behind",
        "        for handle in self._handles or ():\n            handle.remove()\n",
        "",
        "test_recording.py::test_nothing_is_left_behind",
    ),
    (
        "what a checkpoint computes again is recorded again",
        "        if in_backward():\n            return",
        "",
        "test_recording.py::test_what_a_checkpoint_computes_again_is_not_recorded_again",
    ),
    (
        "a second forward gets further entries",
        "self._layers, self._counts, self._reached = [], {}, False",
        "self._layers, self._reached = [], False",
        "test_recording.py::test_forwards_follow_one_another_in_time",
    ),
    (
        "a part may be recorded twice",
        "if module in _recorded:",
        "if False:",
        "test_recording.py::test_a_part_and_another_model_in_one_with",
    ),
    (
        "it is recorded for ever",
        "        _recorded.difference_update(self._neurons)\n",
        "",
        "test_recording.py::test_nothing_is_left_behind",
    ),
    (
        "a unit without a spike at one step is silent",
        "step.flatten(0, 1).all(dim=0)",
        "step.flatten(0, 1).any(dim=0)",
        "test_recording.py::test_rates_and_the_table_by_hand",
    ),
]

MEMBRANES = [
    ("the noise of another seed", "    generator.set_state(state)\n", "", _MEMBRANES("single step")),
    ("the state is forgotten", "v = states.get(call) if neuron.stateful else None", "v = None", _MEMBRANES("stateful")),
    (
        "every call has the first one's statistics",
        "len(current.calls[neuron]) - 1 if",
        "0 if",
        "test_recording.py::test_calls_of_a_shared_neuron_and_static_input",
    ),
    (
        "the noise of another layout",
        "        x = x.contiguous()  # as",
        "        pass  # as",
        "test_recording.py::test_membranes_of_a_batch_that_is_not_outermost",
    ),
    (
        "a soft reset of 1",
        "return h - threshold * s if reset is None",
        "return h - s if reset is None",
        _MEMBRANES("LIF, soft reset"),
    ),
]

OPERATIONS = [
    (
        "a pass has the model's T",
        "timesteps = thread.current.timesteps",
        "pass",
        "test_recording.py::test_a_pass_has_steps_of_its_own",
    ),
    (
        "no spike costs too",
        "torch.ones_like(input) if analogue else input != 0",
        "torch.ones_like(input)",
        "test_operations.py::test_energy_by_hand",
    ),
    (
        "averages of spikes are spikes",
        "binary = ((input == 0) | (input == 1)).all()",
        "binary = (input >= 0).all()",
        "test_operations.py::test_static_input_is_counted_once_and_the_twin_runs_once",
    ),
    (
        "the ReLU twin runs T times",
        "    return (1, *call.shape[1:])",
        "    return tuple(call.shape)",
        "test_operations.py::test_energy_by_hand",
    ),
    (
        "groups are forgotten",
        " * (layer.out_channels // layer.groups)",
        " * layer.out_channels",
        "test_operations.py::test_weights_met_as_by_force",
    ),
]

PLOT = [
    (
        "spikes one step early",
        "x, y = step + 1, row + start",
        "x, y = step, row + start",
        "test_plot.py::test_raster_of_a_tensor",
    ),
    (
        "the first sample whatever was asked for",
        "steps[:, sample].detach()",
        "steps[:, 0].detach()",
        "test_plot.py::test_raster_of_a_tensor",
    ),
]

NIR_NEURONS = [
    (
        "thresholds keep their scale where r is 1",
        "threshold * factor, reset * factor",
        "threshold, reset * factor",
        "test_nir.py::test_what_a_node_says",
    ),
    (
        "the reset keeps its scale where r is 1",
        "threshold * factor, reset * factor",
        "threshold * factor, reset",
        "test_nir.py::test_what_a_node_says",
    ),
    (
        "an exponential step in the place of Euler's",
        "lead = 1 - decay",
        "lead = -np.log(decay)",
        "test_nir.py::test_what_a_node_says",
    ),
    (
        "Euler's step in the place of an exponential one",
        "else np.exp(-dt / tau)",
        "else 1 - dt / tau",
        "test_nir.py::test_the_paper_s_neuron",
    ),
    (
        "v_leak is forgotten",
        "np.float64) - leak for value",
        "np.float64) for value",
        "test_nir.py::test_a_neuron_that_leaks_elsewhere_and_is_reset_there",
    ),
    (
        "the input's gain is forgotten",
        "unit = gain  #",
        "unit = np.ones_like(gain)  #",
        "test_nir.py::test_the_paper_s_neuron",
    ),
]

NIR_LAYERS = [
    (
        "batch normalisation without eps",
        "running_var.double() + batch_norm.eps",
        "running_var.double()",
        "test_nir.py::test_batch_normalisation_is_folded",
    ),
    (
        "batch normalisation forgets the layer's bias",
        "((0 if bias is None else bias) - batch",
        "(0 - batch",
        "test_nir.py::test_batch_normalisation_is_folded",
    ),
    ("a sum is a mean", "divisor = 1 if", "divisor = None if", "test_nir.py::test_the_sum_of_a_window"),
]

NIR_GRAPH = [
    (
        "of a sum only the first branch",
        "Value(one.sources + other.sources, one.shape)",
        "Value(one.sources, one.shape)",
        "test_nir.py::test_there_and_back[branches-weights-euler]",
    ),
]

SCALING = [
    (
        "spikes are not scaled",
        "return self.neuron(input / self.scale) * self.scale",
        "return self.neuron(input / self.scale)",
        "test_scaling.py::test_a_scale_is_the_best_single_level",
    ),
    (
        "the scale of one step for many",
        "unflatten(0, (T, 1)).mean(dim=0)[0]",
        "unflatten(0, (T, 1))[0, 0]",
        "test_scaling.py::test_over_more_steps_the_scale_is_larger",
    ),
    ("its hooks stay", "            hook.remove()", "            pass", "test_scaling.py::test_nothing_else_changes"),
]

ACCELERATION = [
    (
        "accelerate changes the model",
        "    model = _copy(model)\n    for module in model.modules():\n        if type(module) in nodes",
        "    for module in model.modules():\n        if type(module) in nodes",
        "test_peers_spikingjelly.py::test_the_copy_and_what_it_leaves",
    ),
    (
        "strict accelerates what it can",
        "if left and strict:",
        "if False:",
        "test_peers_spikingjelly.py::test_strict_changes_nothing",
    ),
]
NODES = [
    (
        "a node spikes above the threshold alone",
        "inclusive=True",
        "inclusive=False",
        "test_peers_spikingjelly_rows.py::test_ties_spike",
    ),
    (
        "the input is not divided by tau",
        '"gain": 1 / self.tau if self.decay_input else 1.0',
        '"gain": 1.0',
        "test_peers_spikingjelly.py::test_gradients_through_single_steps",
    ),
    (
        "the membrane leaks to 0 whatever v_reset is",
        "0.0 if self.v_reset is None else self.v_reset",
        "0.0",
        "test_peers_spikingjelly_rows.py::test_parametric_lif_node[True-0.25]",
    ),
]
OTHER_LIBRARIES = [
    (
        "snnTorch's delayed reset has a gradient",
        '"detach_reset": leaky.reset_delay',
        '"detach_reset": False',
        "test_peers_snntorch.py::test_subtract_with_delay[0.9-1.0]",
    ),
    ("Norse's input has no gain", '"gain": gain,', '"gain": 1.0,', "test_peers_norse.py::test_keywords_dt_and_mode"),
]
_REPORT = "packaging/test_main.py::test_what_fails_is_told_by_its_first_line"
MAIN = [
    ("a wrong gradient is a right one", "if not (x.grad.isfinite().all() and x.grad.any()):", "if False:", _REPORT),
    ("an error's last line", "splitlines() or [''])[0]", "splitlines() or [''])[-1]", _REPORT),
    ("an error ends the report", "    except Exception as error:", "    except ImportError as error:", _REPORT),
    (
        "the home folder is named",
        'text.replace(f"{Path.home()}/", "~/")',
        "text",
        "packaging/test_main.py::test_the_kernels_run_and_the_compiler_is_missing",
    ),
    (
        "a missing triton is not asked for",
        "    if reason:\n",
        "    if False:\n",
        "packaging/test_main.py::test_without_triton",
    ),
]
VARIANTS = [
    (
        "a public argument without a type",
        "init_tau: float = 2.0",
        "init_tau=2.0",
        "test_annotations.py::test_every_public_signature_is_annotated",
    ),
]
BY_FILE = {
    "fastlif/__main__.py": MAIN,
    "fastlif/variants.py": VARIANTS,
    "fastlif/acceleration.py": ACCELERATION,
    "fastlif/nodes.py": NODES,
    "fastlif/peers.py": OTHER_LIBRARIES,
    "fastlif/backends.py": BACKENDS,
    "fastlif/compiled.py": COMPILED,
    "fastlif/conversion.py": CONVERSION,
    "fastlif/functional.py": FUNCTIONAL,
    "fastlif/early_exit.py": EARLY_EXIT,
    "fastlif/fusion.py": FUSION,
    "fastlif/layout.py": LAYOUT,
    "fastlif/membranes.py": MEMBRANES,
    "fastlif/modules.py": MODULES,
    "fastlif/neuron.py": NEURON,
    "fastlif/passes.py": PASSES,
    "fastlif/multistep.py": MULTISTEP,
    "fastlif/operations.py": OPERATIONS,
    "fastlif/nir_graph.py": NIR_GRAPH,
    "fastlif/nir_layers.py": NIR_LAYERS,
    "fastlif/nir_neurons.py": NIR_NEURONS,
    "fastlif/operators/batch_norm.py": OF_BATCH_NORM,
    "fastlif/operators/common.py": COMMON,
    "fastlif/operators/scan.py": SCAN,
    "fastlif/operators/single_step.py": SINGLE_STEP,
    "fastlif/options.py": OPTIONS,
    "fastlif/packing.py": PACKING,
    "fastlif/plot.py": PLOT,
    "fastlif/recording.py": RECORDING,
    "fastlif/reference.py": REFERENCE,
    "fastlif/scaling.py": SCALING,
    "fastlif/time_axis.py": TIME_AXIS,
    "fastlif/timesteps.py": TIMESTEPS,
    "fastlif/types.py": TYPES,
    "fastlif/validation.py": VALIDATION,
    "benchmarks/speed/contenders.py": CONTENDERS,
    "benchmarks/speed/end_to_end.py": END_TO_END,
    "benchmarks/speed/kernels.py": KERNELS,
    "benchmarks/training/lab.py": LAB,
    "benchmarks/machine.py": MACHINE,
    "benchmarks/speed/measure.py": MEASURE,
    "benchmarks/speed/peers.py": PEERS,
    "benchmarks/report/rows.py": RESULTS,
    "benchmarks/report/verdicts.py": VERDICTS,
    "benchmarks/speed/static.py": STATIC,
    "benchmarks/training/evaluation.py": EVALUATION,
    "benchmarks/training/loop.py": TRAINING,
    "benchmarks/training/trials.py": TRIALS,
    "kernels/batch_norm.py": BATCH_NORM,
    "kernels/bits.py": BITS,
    "kernels/lif.py": LIF,
    "kernels/noise.py": NOISE,
    "kernels/noisy_lif.py": NOISY_LIF,
    "kernels/noisy_spike.py": NOISY_SPIKE,
    "kernels/surrogate.py": SURROGATE,
    "kernels/tile.py": TILE,
}
FAULTS = [Fault(file, *fault) for file, faults in BY_FILE.items() for fault in faults]
