"""Faults of the kernels."""

# fmt: off
FAULTS = {
    "kernels/tile.py": {
        "kernels/test_emulated.py::test_nothing_is_found[the emulator, huge sizes, fuzz]": [
            ("int64 dropped", "program = tl.program_id(0).to(tl.int64)", "program = tl.program_id(0)"),
            ("the counter's high word dropped", "(first >> 32).to(tl.uint32)", "(first >> 63).to(tl.uint32)"),
            ("programs share lanes", ".to(tl.int32) * ROWS + tl.arange", ".to(tl.int32) + tl.arange"),
            ("columns overlap other lanes",
             "return column // SUB_BLOCK * (LANES * SUB_BLOCK) + column % SUB_BLOCK", "return column"),
        ],
        "kernels/test_kernels.py::test_lif_sizes[(3, 5, 1024)]": [
            ("programs for one row of several", "COLS * (LANES.value // tile.ROWS)", "COLS"),
        ],
        "kernels/test_kernels.py::test_noisy_spike_sizes[(16, 1025)]": [
            ("programs for the last sub-block missing", "-(-numel // elements) * tiles", "numel // elements * tiles"),
        ],
    },
    "kernels/launch.py": {
        "kernels/test_emulated.py::test_nothing_is_found[callers that are compiled]": [
            ("what torch.compile launches is compiled with fused multiply-adds",
             "**constants, **OPTIONS)\n\n\ndef _ask", "**constants)\n\n\ndef _ask"),
            ("a link to nothing is read", "[file for file in found if file.is_file()]", "found"),
            ("only the kernels' own folder counts", "digest(Path(fastlif.__file__).parent, ", "digest("),
            ("the whole checkout counts", "digest(Path(fastlif.__file__).parent, ", "digest(*fastlif.__path__, "),
            ("what torch.compile keeps on disk outlives the Python that launches",
             "b\"\".join(file.read_bytes() for file in files)", "b\"\".join(file.name.encode() for file in files)"),
        ],
    },
    "kernels/bits.py": {
        "kernels/test_emulated.py::test_nothing_is_found[the emulator, huge sizes, fuzz]": [
            ("int64 dropped from the bytes",
             "return wide(t) * step + (counter_high", "return t.to(tl.int32) * step.to(tl.int32) + (counter_high"),
            ("the counter's high word dropped from the bytes",
             "(counter_high.to(tl.int64) << 32) + counter", "counter"),
        ],
        "kernels/test_emulated.py::test_nothing_is_found[kernels]": [
            ("a load's mask dropped",
             "tl.load(spikes_ptr + t * numel + offsets, mask=mask, other=0.0)",
             "tl.load(spikes_ptr + t * numel + offsets)"),
            ("a store's mask dropped",
             "spikes.to(spikes_ptr.dtype.element_ty), mask=mask)", "spikes.to(spikes_ptr.dtype.element_ty))"),
        ],
        "library/test_packing.py::test_kernels[dtype0-shape2]": [
            ("bits in another order", ".to(tl.int32) << lane,", ".to(tl.int32) << (7 - lane),"),
            ("neighbouring bits are or'ed", "((bits >> lane) & 1) != 0", "((bits >> lane) & 3) != 0"),
        ],
        "library/test_packing.py::test_bits_beside_the_spikes[single step-(3, 8, 2051)-torch.float32]": [
            ("what lies beyond the spikes is a bit", "(spiking & mask).to", "spiking.to"),
        ],
        "library/test_packing.py::test_bits_beside_the_spikes[plain-(3, 8, 2051)-torch.float32]": [
            ("every step's bits in the first step's place",
             "return wide(t) * step + (counter_high", "return 0 * step + (counter_high"),
        ],
    },
    "kernels/noise.py": {
        "kernels/test_kernels.py::test_antithetic_noise[calibrated-5-303]": [
            ("odd steps repeat the noise before", "n = 2.0 * scalars[0] - before", "n = before"),
        ],
        "kernels/test_kernels.py::test_antithetic_noise[sample-3-4096]": [
            ("a step alone draws with itself as the word",
             "t // 2, lane, scalars, KIND)\n        return tl.where",
             "t, lane, scalars, KIND)\n        return tl.where"),
        ],
        "kernels/test_noise.py::test_backends_draw_the_same_noise[single step-triton]": [
            ("six rounds of Philox", "tl.constexpr(7)", "tl.constexpr(6)"),
            ("the wrong word of a lane", "lane % 4 < 2", "lane % 4 < 1"),
            ("a bit of the mantissa lost", "word << 7, word >> 9", "word << 8, word >> 9"),
            ("the trailing bit lost", "0x3F800040", "0x3F800000"),
            ("15 bits", "& 0x007FFF80", "& 0x007FFF00"),
            ("a polynomial's coefficients in another order", "scalars[6 - i]", "scalars[2 + i]"),
            ("mean and range swapped", "tl.fma(u, scalars[1], scalars[0])", "tl.fma(u, scalars[0], scalars[1])"),
        ],
        "kernels/test_noise.py::test_backends_draw_the_same_noise[calibrated-triton]": [
            ("the same noise at every step", "counter_high, step, 0, PHILOX", "counter_high, 0, 0, PHILOX"),
        ],
        "kernels/test_emulated.py::test_nothing_is_found[the emulator, huge sizes, fuzz]": [
            ("32 bits of the counter",
             "tl.philox(seed, counter, counter_high, step", "tl.philox(seed, counter, 0, step"),
        ],
    },
    "kernels/surrogate.py": {
        "library/test_functional.py::test_far_away_a_surrogate_is_zero_and_of_nan_it_is_nan[triton-rectangular]": [
            ("rectangular is no number far away",
             "        outside = tl.minimum(tl.abs(u), 0.0, propagate_nan=tl.PropagateNan.ALL)",
             "        outside = 0.0 * u"),
        ],
        "kernels/test_kernels.py::test_noisy_spike_surrogates": [
            ("atan twice as steep", "(0.5 * w) * _reciprocal", "w * _reciprocal"),
            ("sigmoid not squared", "(w * e) * (r * r)", "(w * e) * r"),
            ("rectangular of twice the width", "tl.abs(u) < 0.5 * w", "tl.abs(u) < w"),
            ("triangular without its height",
             "propagate_nan=tl.PropagateNan.ALL) * (1.0 / w)", "propagate_nan=tl.PropagateNan.ALL)"),
            ("fast_sigmoid not squared",
             "r = _reciprocal(tl.fma(w, tl.abs(u), 1.0))\n        return r * r",
             "r = _reciprocal(tl.fma(w, tl.abs(u), 1.0))\n        return r"),
            ("gaussian without its width", "(0.3989422804014327 / w)", "0.3989422804014327"),
        ],
    },
    "kernels/noisy_spike.py": {
        "kernels/test_emulated.py::test_nothing_is_found[kernels]": [
            ("a load's mask dropped",
             "x = tl.load(x_ptr + offsets, mask=mask, other=0.0)", "x = tl.load(x_ptr + offsets)"),
            ("a store's mask dropped",
             "grad.to(grad_x_ptr.dtype.element_ty), mask=mask)", "grad.to(grad_x_ptr.dtype.element_ty))"),
        ],
        "kernels/test_kernels.py::test_a_tie_is_no_spike": [
            ("a tie spikes", "spiking = h > threshold", "spiking = h >= threshold"),
        ],
        "kernels/test_kernels.py::test_noisy_spike_surrogates": [
            ("the surrogate's threshold is 0", "surrogate_derivative(h - threshold,", "surrogate_derivative(h,"),
        ],
        "kernels/test_noise.py::test_backends_draw_the_same_noise[single step-triton]": [
            ("noise of another step", "counter_high, 0, lane", "counter_high, 1, lane"),
        ],
        "library/test_fusion.py::test_fused_as_one_after_the_other[triton-images-noisy]": [
            ("batch normalisation is ignored", "h = normalised(x, norm, RUN)", "h = x.to(tl.float32)"),
        ],
    },
    "kernels/batch_norm.py": {
        "library/test_fusion.py::test_a_mean_of_many_deviations[training-triton-float32]": [
            ("digits of a large mean lost",
             "tl.fma(x.to(tl.float32) - mean, scale, bias)", "tl.fma(x.to(tl.float32), scale, bias - mean * scale)"),
        ],
        "library/test_fusion.py::test_fused_as_one_after_the_other[triton-images-noisy]": [
            ("mean and bias swapped", "mean, scale, bias = norm", "bias, scale, mean = norm"),
            ("channels counted by element", "offsets // channel_stride % channels", "offsets % channels"),
        ],
        "library/test_fusion.py::test_fused_as_one_after_the_other[triton-channels_last, 5 channels-noisy]": [
            ("a run reaches into the next channel", "math.gcd(vector, channels if stride == 1 else stride)", "vector"),
        ],
    },
    "kernels/scan.py": {
        "library/test_functional.py::test_a_membrane_with_hardly_any_spread_leaves_beta[triton-layer]": [
            ("1 / M where it is no number", 'usable = scale < float("inf")', "usable = deviation > 0.0"),
        ],
        "library/test_parameters.py::test_inclusive[triton-True]": [
            ("inclusive firing is forgotten", "return membrane >= threshold", "return membrane > threshold"),
        ],
        "library/test_parameters.py::test_neurons[triton-delayed]": [
            ("a delayed reset is taken off in its own step",
             "    else:\n        return spiking, h\n",
             "    else:\n        return spiking, h - tl.where(spiking, threshold, 0.0)\n"),
        ],
        "kernels/test_kernels.py::test_an_infinite_membrane_leaves_beta": [
            ("an infinite membrane is normalised", 'tl.where(deviation < float("inf"), deviation, 0.0)', "deviation"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_variants[none-0.0-True-calibrated]": [
            ("the mean stays in", "tl.where(usable, beta - mean * scale, beta)", "tl.where(usable, beta, beta)"),
            ("statistics of the step before",
             "at = wide(t) * groups + group", "at = wide(tl.maximum(t - 1, 0)) * groups + group"),
        ],
        "kernels/test_kernels.py::test_a_tie_is_no_spike": [
            ("a tie spikes", "return membrane > threshold", "return membrane >= threshold"),
        ],
        "kernels/test_kernels.py::test_lif_gradients[-None-atan]": [
            ("soft reset subtracts 1",
             "return spiking, h - tl.where(spiking, threshold, 0.0)",
             "return spiking, h - tl.where(spiking, 1.0, 0.0)"),
        ],
        "kernels/test_emulated.py::test_nothing_is_found[kernels]": [
            ("a load's mask dropped", "place[0], mask=place[1], other=0.0)", "place[0])"),
        ],
        "kernels/test_kernels.py::test_sequence_layouts[lif-None-static]": [
            ("steps of a static input are apart", "wide(t) * stride_xt + place[0]", "wide(t) * 1000 + place[0]"),
            ("every input is taken for folded", "x.stride(0) if x.shape[0] == T else numel", "numel"),
        ],
        "kernels/test_kernels.py::test_time_folded_into_the_batch[False-4-memory_format0]": [
            ("a folded input's samples are taken for its steps",
             "x.stride(0) if x.shape[0] == T else numel", "x.stride(0)"),
        ],
    },
    "kernels/lif.py": {
        "kernels/test_emulated.py::test_nothing_is_found[kernels]": [
            ("the final state without a mask",
             "tl.store(final_state_ptr + offsets, v, mask=mask)", "tl.store(final_state_ptr + offsets, v)"),
        ],
    },
    "kernels/lif_reverse.py": {
        "library/test_parameters.py::test_shapes[triton-(2, 6, 8, 8)-channels-contiguous]": [
            ("of a run's shares for a parameter one is kept",
             "share = tl.sum(tl.reshape(share, [ROWS, COLS // ALIKE, ALIKE]), 2)",
             "share = tl.max(tl.reshape(share, [ROWS, COLS // ALIKE, ALIKE]), 2)"),
        ],
        "library/test_parameters.py::test_shapes[triton-(2, 6, 8, 8)-channels-channels_last]": [
            ("channels side by side are added up",
             "ALIKE: tl.constexpr = 1 if CHANNELS_LAST else RUN", "ALIKE: tl.constexpr = RUN"),
        ],
        "library/test_parameters.py::test_long_sequences[triton-hard]": [
            ("steps past the end count for the parameters",
             "counted = tl.where(inside, grad_h, 0.0)", "counted = grad_h"),
        ],
        "library/test_parameters.py::test_neurons[triton-hard]": [
            ("the decay's gradient has the membrane before the spike",
             "_, before = fire(membranes[CHUNK - 2 - i], threshold, reset, RESET, INCLUSIVE)",
             "before = membranes[CHUNK - 2 - i]"),
        ],
        "kernels/test_kernels.py::test_surrogate_at_the_mean[atan--0.25-False-gaussian]": [
            ("at the mean, the kernel forgets the noise's mean", "(noise_scalars[0] - threshold)", "(-threshold)"),
        ],
        "kernels/test_kernels.py::test_a_chunk_may_begin_at_an_odd_step": [
            ("a chunk that begins at an odd step mirrors what is not its pair",
             "SHARED: tl.constexpr = CHUNK % 2 == 0 or checkpoint_ptr is None", "SHARED: tl.constexpr = True"),
        ],
        "kernels/test_kernels.py::test_lif_state[20-0.9]": [
            ("a chunk is walked through at its first step", "t = chunk * CHUNK + i\n", "t = chunk * CHUNK\n"),
            ("the first chunk begins at zero", "v = tl.where(first > 0, later_v, first_v)", "v = later_v"),
            ("a step beyond the end is inside",
             "inside = first + (CHUNK - 1 - i) < T", "inside = first + (CHUNK - 1 - i) <= T"),
            ("steps beyond the end reach the gradient", "tl.where(inside, grad_before, grad_v)", "grad_before"),
        ],
        "kernels/test_kernels.py::test_lif_steps[37-float32]": [
            ("the checkpoint of the next chunk", "wide(chunks - 2 - later)", "wide(tl.maximum(chunks - 3 - later, 0))"),
        ],
        "kernels/test_kernels.py::test_lif_gradients[-None-atan]": [
            ("soft reset's gradient without the threshold", "1.0 - threshold * derivative", "1.0 - derivative"),
        ],
        "kernels/test_kernels.py::test_lif_gradients[detach-0.0-atan]": [
            ("detach_reset is ignored",
             "                if not DETACH_RESET:\n                    kept",
             "                if True:\n                    kept"),
            ("gradient goes through a reset membrane",
             "kept = tl.where(spiking, 0.0, 1.0)", "kept = tl.where(spiking, 1.0, 1.0)"),
        ],
        "kernels/test_kernels.py::test_lif_gradients[--0.25-atan]": [
            ("reset's gradient forgets reset", "kept += (reset - h) * derivative", "kept -= h * derivative"),
        ],
        "kernels/test_kernels.py::test_lif_state[3-0.9]": [
            ("the last membrane's gradient is ignored",
             "grad_v = tl.load(grad_state_ptr + offsets, mask=mask, other=0.0)",
             "grad_v = tl.zeros([ROWS, COLS], tl.float32)"),
            ("the membrane's gradient does not decay", "grad_before = a * grad_h", "grad_before = grad_h"),
        ],
    },
    "kernels/noisy_lif.py": {
        "kernels/test_kernels.py::test_a_sample_s_statistics_do_not_depend_on_its_place": [
            ("a sample's sums depend on its place in the batch",
             "first = begin + program * (ROWS * COLS)", "first = (begin // (ROWS * COLS) + program) * (ROWS * COLS)"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_variants[uniform--0.25-False-sample]": [
            ("a state's statistics are not taken", "first = -1 if has_state else 0", "first = 0"),
            ("the caller's state is written to",
             "        state.copy_(initial_state)\n", "        state = initial_state\n"),
            ("the sum for the mean", "mean = decay * total / group_size", "mean = decay * total"),
            ("the largest value for the largest deviation",
             "tl.maximum(decay * high - mean, mean - decay * low))", "decay * high - mean)"),
            ("what lies behind the group is summed", "tl.sum(tl.where(inside, v, 0.0), axis=0)", "tl.sum(v, axis=0)"),
            ("statistics before the decay", "mean = decay * total / group_size", "mean = total / group_size"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_several_programs[layer-9001]": [
            ("partial results of the step before",
             "partial_ptr + (wide(t + 1) * groups", "partial_ptr + (wide(tl.maximum(t, 0)) * groups"),
            ("partial results that nobody wrote", "mask = index < programs", "mask = index <= programs"),
        ],
        "library/test_functional.py::test_a_constant_membrane_leaves_beta[triton]": [
            ("a constant membrane is normalised",
             "tl.where(low == high, 0.0, tl.maximum(decay * high - mean, mean - decay * low))",
             "tl.maximum(decay * high - mean, mean - decay * low)"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_of_a_narrow_membrane": [
            ("what lies behind the group is a minimum",
             'tl.min(tl.where(inside, v, float("inf")), axis=0)', "tl.min(v, axis=0)"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_several_programs[sample-4096]": [
            ("eight rows draw at the elements' own counters",
             "counter = start // LANES + column", "counter = start + column"),
        ],
        "kernels/test_noise.py::test_backends_draw_the_same_noise[layer-triton]": [
            ("no noise within a step",
             "step_noise(n, seed, low_word, high_word, t, lane", "step_noise(n, seed, low_word, high_word, 0, lane"),
        ],
    },
}
