"""Faults of what computes: the reference, its noise, the operators, the compiled path."""

# fmt: off
FAULTS = {
    "fastlif/noise.py": {
        "kernels/test_noise.py::test_pairs_of_antithetic_steps_are_independent": [
            ("antithetic noise with the step as its word", "t // 2 if antithetic else t", "t"),
        ],
        "kernels/test_noise.py::test_antithetic_noise_keeps_its_distribution": [
            ("mirrored at 0 and not at the mean", "return 2 * scalars[0] - noise", "return -noise"),
        ],
        "kernels/test_noise.py::test_noise_format": [
            ("the lattice reaches -1", "(2 / 65536) + (1 / 65536 - 1)", "(2 / 65536) - 1"),
            ("six rounds of Philox", "PHILOX_ROUNDS = 7", "PHILOX_ROUNDS = 6"),
            ("high lanes repeat the low ones",
             "[_high_half(word) for word in words]", "[word & 0xFFFF for word in words]"),
            ("32 bits of the seed", "(seed >> 32).to(torch.int32))", "torch.zeros_like(seed, dtype=torch.int32))"),
            ("the same noise at every step",
             "philox((low, high, zero + step, zero), key)", "philox((low, high, zero, zero), key)"),
        ],
        "kernels/test_noise.py::test_philox_known_answers": [
            ("a wrong multiplier", "0xCD9E8D57", "0xCD9E8D59"),
            ("a wrong step of the key", "0xBB67AE85", "0xBB67AE84"),
            ("a product without its carry", " + _high_half(carry), word", ", word"),
        ],
        "kernels/test_noise.py::test_noise_of_a_part_beyond_32_bits": [
            ("a part's high word dropped", "low + first[0], high + first[1]", "low + first[0], high"),
        ],
        "kernels/test_noise.py::test_every_value_is_the_quantile_of_its_probability": [
            ("a quantile without its e", "inv_cdf((1 + x) / 2) * e / x", "inv_cdf((1 + x) / 2) / x"),
            ("a root less in the quantile", "(1 - x * x).sqrt().sqrt().sqrt()", "(1 - x * x).sqrt().sqrt()"),
        ],
        "kernels/test_noise.py::test_residual_noise": [
            ("noise in standard deviations, not half-ranges",
             "(coefficient * (half_range / width) for", "(coefficient * half_range for"),
            ("the residual noise keeps the mean",
             "noise.mean - beta, noise.half_range", "noise.mean, noise.half_range"),
            ("the residual noise keeps the range",
             "noise.half_range - 1 / alpha, noise.width", "noise.half_range, noise.width"),
            ("the residual noise keeps the width", 'residual == "matched" and', 'residual == "range" and'),
            ("the spread is matched to the whole range",
             "truncated_deviation(width) / share", "truncated_deviation(width)"),
            ("the matched width is a guess", "for _ in range(60):", "for _ in range(6):"),
            ("the same width where only uniform noise is wide enough",
             "return 0.0\n    for _", "return width\n    for _"),
        ],
        "kernels/test_noise.py::test_noise_follows_the_memory_layout": [
            ("noise does not follow the memory layout",
             "flat.as_strided(step.shape, torch.empty_like(like).stride())", "flat.view(step.shape)"),
        ],
        "pytorch/test_transforms.py::test_an_ensemble_of_models_runs_at_once": [
            ("noise lies as all examples of vmap together",
             "torch.empty_like(like).stride()", 'torch.empty_like(step, device="meta").stride()'),
        ],
        "kernels/test_noise.py::test_noise_never_leaves_its_range": [
            ("uniform noise without its range", "flat = u * scalars[1] + scalars[0]", "flat = u + scalars[0]"),
        ],
        "library/test_reference.py::test_infinite_alpha_is_the_papers_second_step": [
            ("noise of step 0 at every step",
             "t // 2 if antithetic else t, options.noise,", "t // 2 if antithetic else 0, options.noise,"),
        ],
    },
    "fastlif/reference.py": {
        "pytorch/test_transforms.py::test_images_of_any_size_share_a_compilation[True]": [
            ("strides that change are sorted",
             "    order: list[int] = []  #",
             "    order = sorted(range(len(strides)), key=lambda dim: -strides[dim])\n    strides, order = (), order  #"),
        ],
        "pytorch/test_eager.py::test_forward_mode_is_an_error[reference-lif]": [
            ("the reference has no words for forward mode", "if torch.autograd.forward_ad._current_level >= 0:", "if False:"),
        ],
        "library/test_functional.py::test_a_membrane_with_hardly_any_spread_leaves_beta[reference-layer]": [
            ("1 / M where it is no number", "usable = scale < math.inf", "usable = deviation > 0"),
        ],
        "library/test_functional.py::test_far_away_a_surrogate_is_zero_and_of_nan_it_is_nan[reference-rectangular]": [
            ("rectangular is no number far away", "u.abs().clamp(max=0)", "0 * u"),
        ],
        "library/test_reference.py::test_surrogates_integrate_to_the_spike": [
            ("atan twice as steep", "(w / 2) / (1 + (1.57", "w / (1 + (1.57"),
            ("sigmoid without its height", "return w * e /", "return e /"),
            ("rectangular without its height", "u.abs() < w / 2, 1 / w", "u.abs() < w / 2, 1.0"),
            ("triangular without its height", ".clamp(min=0) / w", ".clamp(min=0)"),
            ("fast_sigmoid without its width", "1 / (1 + w * u.abs()) ** 2", "1 / (1 + u.abs()) ** 2"),
            ("gaussian off by sqrt 2", "(w * 2.5066282746310002)", "(w * 1.7724538509055159)"),
        ],
        "library/test_reference.py::test_lif_by_hand": [
            ("a tie spikes", "h >= threshold if inclusive else h > threshold", "h >= threshold"),
            ("soft reset subtracts 1", "return s, h - threshold * gate", "return s, h - gate"),
        ],
        "library/test_reference.py::test_normalisation_is_the_papers": [
            ("hard reset to 0 whatever reset is",
             "return torch.where(s > 0, reset, h)", "return torch.where(s > 0, 0.0, h)"),
            ("the largest value for the largest deviation", "torch.maximum(high - mean, mean - low)", "high - mean"),
            ("the mean stays in", "torch.where(usable, beta - mean * scale, beta)", "beta + 0 * mean"),
            ("statistics of the membrane before it decays",
             "membrane_statistics(options.decay * v, statistics)", "membrane_statistics(v, statistics)"),
            ("given statistics of step 0 at every step", "view(-1)[t : t + 1]", "view(-1)[:1]"),
            ("statistics of the layer for each sample", 'groups.shape[0] if statistics == "sample" else 1', "1"),
        ],
        "library/test_reference.py::test_scan_gradient": [
            ("at the mean, the noise's mean is forgotten", "else h + options.noise_scalars[0]", "else h"),
            ("reset's gradient forgets reset", "grad * (ctx.reset - h)", "grad * -h"),
            ("gradient goes through a reset membrane", "return grad * (1 - s), ", "return grad, "),
            ("detach_reset is ignored", "s.detach() if options.detach_reset else s", "s"),
        ],
        "pytorch/test_transforms.py::test_a_second_derivative_is_an_error[reference-lif-gradient with a graph]": [
            ("a second derivative is zero, not an error",
             "staticmethod(no_second_derivative)", "staticmethod(lambda ctx, grad: (None,) * 5)"),
        ],
        "library/test_modules.py::test_stateful_carries_the_membrane": [
            ("the initial state is ignored",
             "return v if initial_state is None else initial_state.to(v.dtype)", "return v"),
        ],
        "library/test_packing.py::test_restored_exactly[reference-convolution-False-dtype0]": [
            ("bits in another order", "2.0**j * widen(spikes[j])", "2.0 ** (8 - j) * widen(spikes[j])"),
        ],
        "library/test_functional.py::test_a_constant_membrane_leaves_beta[reference]": [
            ("a constant membrane is normalised",
             "torch.where(low == high, 0, torch.maximum(high - mean, mean - low))",
             "torch.maximum(high - mean, mean - low)"),
        ],
        "library/test_reference.py::test_membrane_without_a_normal_form": [
            ("a constant membrane is divided by", "usable = scale < math.inf", "usable = scale <= math.inf"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_steps[4-layer-float32]": [
            ("a gradient through the statistics", "groups = decayed.detach()", "groups = decayed"),
        ],
    },
    "fastlif/operators/single_step.py": {
        "kernels/test_kernels.py::test_noisy_spike_layouts[channels_last-transposed]": [
            ("another layout's gradient is read as x's", "grad_spikes = lying_like(x, grad_spikes)", "pass"),
        ],
        "kernels/test_kernels.py::test_noisy_spike_layouts[same-sliced]": [
            ("a sliced input is read as dense", "    x = dense(x)\n    grad_x", "    grad_x"),
        ],
        "library/test_fusion.py::test_compiled[True]": [
            ("with batch normalisation inlined without it", "if norm is None and inlined", "if inlined"),
        ],
    },
    "fastlif/operators/scan.py": {
        "library/test_parameters.py::test_shapes[compiled-(2, 6, 5, 7)-mixed-contiguous]": [
            ("a parameter that is a view is read as dense", ".float().contiguous()", ".float()"),
        ],
        "pytorch/test_operators.py::test_opcheck[lif_backward, neurons-channels_last]": [
            ("a parameter's gradient lies as x does",
             "torch.empty_like(tensor).copy_(summed.reshape(tensor.shape))", "summed.reshape(tensor.shape).to(tensor)"),
        ],
        "library/test_parameters.py::test_shapes[compiled-(2, 6, 5, 7)-channels-channels_last]": [
            ("parameters lie as in a contiguous step",
             "sorted(range(len(step)), key=lambda dim: -strides[dim])", "list(range(len(step)))"),
        ],
        "kernels/test_kernels.py::test_sequence_layouts[lif-None-every-other]": [
            ("a sliced input is read as dense",
             "dense_steps(x, timesteps, alone)\n    grad_x", "unfolded(x, timesteps)\n    grad_x"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_steps[4-sample-float32]": [
            ("the layer's statistics for each sample", 'steps.shape[1] if statistics == "sample" else 1', "1"),
        ],
        "kernels/test_kernels.py::test_lif_state_of_another_layout_and_dtype": [
            ("a state in another layout is read as x's",
             "None if initial_state is None else step_as(initial_state, steps)",
             "None if initial_state is None else initial_state.float()"),
        ],
        "kernels/test_kernels.py::test_lif_state[3-0.9]": [
            ("the last membrane's gradient is ignored", "grad_state if ctx.return_state else None", "None"),
        ],
        "pytorch/test_eager.py::test_statistics_are_constants[triton]": [
            ("statistics are differentiated", "    ctx.mark_non_differentiable(mean, deviation)\n", ""),
        ],
    },
    "fastlif/operators/common.py": {
        "kernels/test_emulated.py::test_nothing_is_found[callers that are compiled]": [
            ("torch.compile is not shown a launch", "if keywords or not plain or not _launches_visible(**given):", "if True:"),
            ("a program that is exported holds launches",
             "if not torch._functorch.config.decompose_custom_triton_ops or not", "if not"),
            ("any number of steps is shown", " or not isinstance(steps, int) or", " or"),
            ("launches of every step are shown", " or statistics is not None:", ":"),
            ("a launch is shown to what runs it on another GPU",
             " and x.device.index == torch.cuda.current_device()", ""),
            ("a surrogate of one's own is shown", " and options.surrogate not in OWN", ""),
        ],
        "pytorch/test_transforms.py::test_vmap_is_a_loop_over_examples[compiled-noisy_spike]": [
            ("no examples are one", "torch.stack(results)[:size], 0", "torch.stack(results), 0"),
        ],
        "pytorch/test_eager.py::test_hooks_on_saved_tensors_may_give_back_anything[triton]": [
            ("what hooks on saved tensors give back is plain", "_hooks(False) is None", "True"),
        ],
        "pytorch/test_eager.py::test_a_backward_looks_again_at_what_was_not_plain[triton]": [
            ("a backward trusts whatever a watched forward has kept",
             "arguments if new is None or torch.is_grad_enabled() else arguments[:new]", "arguments[: new or 2]"),
        ],
        "pytorch/test_transforms.py::test_vmap_is_a_loop_over_examples[triton-lif]": [
            ("an example takes the first one's arguments", "argument.select(dim, example)", "argument.select(dim, 0)"),
        ],
        "pytorch/test_transforms.py::test_a_second_derivative_is_an_error[triton-lif-gradient with a graph]": [
            ("a second derivative of a scan is zero, not an error",
             "backward=no_second_derivative", "backward=lambda ctx, *gradients: (None,) * 9"),
        ],
        "pytorch/test_eager.py::test_who_looks_on_sees_operators_and_the_same_bits[triton-lif]": [
            ("a dispatch mode sees nothing", "_dispatch_modes() or _transforms()", "_transforms()"),
        ],
        "pytorch/test_eager.py::test_traced_by_torchscript[triton]": [
            ("TorchScript sees nothing", " or _tracing() is not None", ""),
        ],
        "pytorch/test_eager.py::test_what_a_tensor_only_promises[triton-lif]": [
            ("a negated view is read as it lies", "argument.is_neg() or", ""),
            ("zeros without memory are read", " or argument._is_zerotensor()", ""),
        ],
        "pytorch/test_eager.py::test_a_subclass_sees_operators[triton]": [
            ("everybody sees an operator", "        else:\n            return True, False\n", ""),
        ],
        "pytorch/test_eager.py::test_a_compiled_caller_gets_the_neuron_inlined": [
            ("an exported program is bound to the CPU",
             "if torch.compiler._is_exporting_flag or x.device", "if x.device"),
            ("any number of steps is inlined", " or steps > compiled.MAX_UNROLL", ""),
        ],
        "pytorch/test_eager.py::test_batched_gradients[triton-lif]": [
            ("PyTorch's older vmap sees nothing", " or _old_vmap(argument)", ""),
        ],
        "pytorch/test_eager.py::test_forward_mode_is_an_error[triton-lif]": [
            ("a derivative in forward mode is lost", "if forward_ad._current_level >= 0:", "if False:"),
        ],
    },
    "fastlif/operators/batch_norm.py": {
        "library/test_fusion.py::test_one_copy_of_16_bits_in_32_is_made": [
            ("gradients of a copy in 32 bits",
             "backward(grad, x, weight, None, None,", "backward(grad.float(), x.float(), weight, None, None,"),
        ],
        "library/test_fusion.py::test_statistics_of_16_bits_have_the_digits_of_32": [
            ("statistics of 16 bits", "        x = x.float()\n    mean, variance", "        x = x\n    mean, variance"),
        ],
        "library/test_fusion.py::test_every_option_counts[noisy]": [
            ("eps is hard-coded", "torch.rsqrt(variance + eps)", "torch.rsqrt(variance + 1e-5)"),
            ("momentum is hard-coded",
             "batch_norm_update_stats(x, running_mean, running_var, momentum)",
             "batch_norm_update_stats(x, running_mean, running_var, 0.1)"),
        ],
        "library/test_fusion.py::test_fused_as_one_after_the_other[triton-images-noisy]": [
            ("the backward normalises with the bias for the weight",
             "norm = (weight, bias, mean, invstd)\n        if", "norm = (bias, bias, mean, invstd)\n        if"),
        ],
    },
    "fastlif/compiled/arithmetic.py": {
        "pytorch/test_compiled.py::test_spikes_of_16_bits_are_made_of_floats": [
            ("spikes of 16 bits from booleans", "return spiking.to(torch.float32)", "return spiking"),
        ],
        "library/test_parameters.py::test_neurons[compiled-hard]": [
            ("the input's gain is forgotten backward",
             "grads.append(grad_h * gain if variant.scaled else grad_h)", "grads.append(grad_h)"),
        ],
        "library/test_parameters.py::test_neurons[compiled-delayed]": [
            ("a delayed reset is not taken off the gradient",
             "grad_v = (decay - through_spike) * grad_h", "grad_v = decay * grad_h"),
        ],
        "library/test_parameters.py::test_neurons[compiled-soft]": [
            ("the threshold's gradient misses the soft reset", "(spikes * grad_v if variant.soft_reset else 0)", "0"),
        ],
        "pytorch/test_compiled.py::test_noisy_lif[antithetic, at the mean]": [
            ("the compiled scan's surrogate stays at the membrane",
             'h if at == "membrane" else still + scalars[NOISE]', "h"),
        ],
        "pytorch/test_compiled.py::test_lif_gradients[None-False-sigmoid-torch.float16]": [
            ("soft reset's gradient forgets the threshold",
             "(-threshold if variant.soft_reset else reset - h)", "(-1 if variant.soft_reset else reset - h)"),
            ("soft reset's gradient is detached",
             "(-threshold if variant.soft_reset else reset - h)", "(0 if variant.soft_reset else reset - h)"),
            ("soft reset subtracts 1",
             "h - threshold if variant.soft_reset else reset, h)", "h - 1 if variant.soft_reset else reset, h)"),
        ],
        "pytorch/test_compiled.py::test_lif_gradients[-0.25-True-sigmoid-torch.float32]": [
            ("detach_reset is ignored",
             "if not variant.reset_delay and not detach_reset:", "if not variant.reset_delay:"),
        ],
        "pytorch/test_compiled.py::test_lif_gradients[-0.25-False-atan-torch.float32]": [
            ("reset's gradient forgets reset",
             "(-threshold if variant.soft_reset else reset - h)", "(-threshold if variant.soft_reset else -h)"),
            ("gradient goes through a reset membrane", "else grad_v * (1 - spikes)", "else grad_v"),
            ("the gradient is not carried through a_t",
             "_coefficients(i, mean, deviation, scalars, decay)[0] * grad_h", "grad_h"),
        ],
        "pytorch/test_compiled.py::test_a_tie_is_no_spike": [
            ("a tie spikes",
             "variant.inclusive else membrane > threshold", "variant.inclusive else membrane >= threshold"),
        ],
        "pytorch/test_compiled.py::test_noisy_spike[float32]": [
            ("the surrogate's width for its threshold",
             "reference.derivative_of(surrogate)(u, scalars[2])", "reference.derivative_of(surrogate)(u, scalars[0])"),
        ],
        "pytorch/test_compiled.py::test_noisy_lif[no noise]": [
            ("the mean stays in", "norm, a * v + b, gain", "norm, a * v + 0 * b, gain"),
        ],
        "pytorch/test_compiled.py::test_noisy_lif[sample, soft reset]": [
            ("the smallest value of the layer is the largest",
             "decay * v.amin(dim=-1), decay * v.amax(dim=-1)", "decay * v.amax(dim=-1), decay * v.amax(dim=-1)"),
        ],
        "library/test_fusion.py::test_a_mean_of_many_deviations[training-compiled-float32]": [
            ("digits of a large mean lost",
             "h = (h - norm[0]) * norm[1] + norm[2]", "h = h * norm[1] + (norm[2] - norm[0] * norm[1])"),
        ],
    },
    "fastlif/compiled/graphs.py": {
        "pytorch/test_compiled.py::test_more_than_32_bits_of_elements_are_a_kind_of_their_own_on_a_gpu[2147483648-True]": [
            ("large work on a GPU is no kind of its own", "elements > INT32 and not output.is_cpu", "False"),
            ("large work on a CPU is a kind of its own", "elements > INT32 and not output.is_cpu", "elements > INT32"),
        ],
        "kernels/test_emulated.py::test_nothing_is_found[callers that are compiled]": [
            ("large work on a GPU is indexed in 32 bits", "8 * first if large else first", "first"),
        ],
    },
    "fastlif/compiled/launchers.py": {
        "pytorch/test_compiled.py::test_noise_takes_little_memory_beside_a_large_layer": [
            ("the noise of a layer is drawn at once", "PART = 1 << 18", "PART = 1 << 24"),
        ],
        "pytorch/test_compiled.py::test_lif_gradients[-0.25-False-atan-torch.float32]": [
            ("threshold and reset swapped",
             "numbers = o.threshold, o.reset or 0.0,", "numbers = o.reset or 0.0, o.threshold,"),
            ("the last membrane's gradient is ignored", "[initial_state, grad_state]", "[initial_state, None]"),
            ("the initial state is ignored", "[initial_state, grad_state]", "[None, grad_state]"),
        ],
        "pytorch/test_compiled.py::test_lif_of_several_chunks": [
            ("all chunks end with the first membrane", "reversed(starts)):", "reversed(starts[:1] * len(starts))):"),
        ],
        "pytorch/test_compiled.py::test_noise_of_several_chunks": [
            ("a chunk behind the first begins at its end", "steps, seed, o, chunk.start)", "steps, seed, o)"),
        ],
        "pytorch/test_compiled.py::test_one_compilation_serves_all_sizes_and_values": [
            ("a graph for each of the membranes that are given or wanted",
             "nothing = wanted is None and all([membrane is None for membrane in given])", "nothing = True"),
        ],
        "pytorch/test_compiled.py::test_parts_draw_what_the_whole_draws": [
            ("each part of a step draws what the first draws", "_counter(start + first, x.device)",
             "_counter(start, x.device)"),
            ("parts draw the noise of the first",
             "noise = _noise(part, 1, seed, o, start=start)\n        graphs.run(arithmetic.spike, ()",
             "noise = _noise(part, 1, seed, o)\n        graphs.run(arithmetic.spike, ()"),
            ("parts count elements, not counters", "counter = start // LANES", "counter = start"),
        ],
        "pytorch/test_compiled.py::test_the_counter_of_a_part_has_64_bits": [
            ("32 bits of a part's counter", "counter & 0xFFFFFFFF, counter >> 32", "counter & 0xFFFFFFFF, 0"),
        ],
    },
    "fastlif/layout.py": {
        "pytorch/test_transforms.py::test_vmap_over_examples_that_lie_within_each_other[reference-noisy_lif, sample-one seed]": [
            ("strides of all examples of vmap together",
             'torch.empty_strided(x.shape[1:], x.stride()[1:], device="meta")  #', 'torch.empty_like(x[0], device="meta")  #'),
        ],
        "pytorch/test_pytorch.py::test_a_folded_batch_of_any_layout_is_its_steps[contiguous-3-4-layer]": [
            ("batch-first",
             "        x = x.view(timesteps, x.shape[0] // timesteps, *x.shape[1:])  #",
             "        x = x.view(x.shape[0] // timesteps, timesteps, *x.shape[1:]).transpose(0, 1)  #"),
        ],
        "pytorch/test_pytorch.py::test_a_folded_batch_of_any_layout_is_its_steps[channels last-3-4-lif]": [
            ("a contiguous gradient is read as channels_last",
             "else channels_last(x) and channels_last(tensor)", "else channels_last(x)"),
            ("the gradient of a folded batch lies as it comes",
             "    if _alike(x, tensor):\n        return tensor\n    return steps_as(unfolded",
             "    if tensor.is_contiguous():\n        return tensor\n    return steps_as(unfolded"),
            ("a folded input is not unfolded beside a gradient that lies otherwise",
             "unfolded(x, timesteps) if steps is x else steps)", "steps)"),
        ],
        "pytorch/test_pytorch.py::test_a_folded_batch_of_any_layout_is_its_steps[channels last, turned-3-1-lif]": [
            ("the stride of a single sample counts", "strides[1] if steps.shape[1] > 1 else strides[0]", "strides[1]"),
        ],
        "pytorch/test_pytorch.py::test_a_folded_batch_of_any_layout_is_its_steps[channels last, sliced batch-3-4-lif]": [
            ("spikes are contiguous whatever x is",
             "torch.empty_strided(x.shape, (batch, *strides[2:]), dtype=x.dtype, device=x.device)",
             "torch.empty(x.shape, dtype=x.dtype, device=x.device)"),
        ],
        "pytorch/test_pytorch.py::test_a_folded_batch_of_any_layout_is_its_steps[batch inside-3-4-lif]": [
            ("any steps can be folded in place", "steps.shape[0] > 1 and not batch_outermost(steps)", "False"),
        ],
        "kernels/test_kernels.py::test_sequence_layouts[lif-None-every-other]": [
            ("any layout is dense",
             "if plain or _lie_alike(x.shape[1:], x.stride()[1:], dense_strides(x)[1:]):", "if True:"),
        ],
        "kernels/test_kernels.py::test_noisy_spike_layouts[channels_last-transposed]": [
            ("a gradient of any layout lies as x",
             "or _lie_alike(x.shape, tensor.stride(), dense_strides(x)):", "or True:"),
        ],
        "pytorch/test_pytorch.py::test_the_stride_of_a_single_element_does_not_matter": [
            ("a single element's stride counts", "all(size == 1 or stride == other", "all(stride == other"),
        ],
        "kernels/test_kernels.py::test_lif_steps[2-bfloat16]": [
            ("the membrane in the input's dtype",
             "return torch.float64 if x.dtype == torch.float64 else torch.float32", "return x.dtype"),
        ],
        "kernels/test_kernels.py::test_sequence_layouts[noisy_lif-sample-batch-inside]": [
            ("samples inside are taken for outermost", "dense_strides(x)[1] * x.shape[1] == x[0].numel()", "True"),
        ],
    },
}
