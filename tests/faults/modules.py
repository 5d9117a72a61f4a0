"""Faults of the modules, conversion and what is built on them."""

_ROWS = "library/test_passes.py::test_each_call_of_a_calibrated_neuron_uses_its_own_row_and_first_steps"
MODULES = [
    (
        "parametrizations are left out",
        "self._buffers or self._modules or",
        "self._buffers or",
        "library/test_parameters.py::test_a_parametrization_of_a_parametric_lif_counts",
    ),
    (
        "what a replica learned is left out",
        '"_is_replica" in self.__dict__',
        "False",
        "pytorch/test_pytorch.py::test_replicas_of_neurons_that_learn",
    ),
    (
        "a learned decay may leave [0, 1]",
        'tensors["decay"] = tensors["decay"].clamp(0, 1)',
        "pass",
        "library/test_parameters.py::test_a_learned_decay_is_clamped[-0.25-0.0]",
    ),
    (
        "the graph is never kept",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if self.detach_state",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if True",
        "library/test_parameters.py::test_the_graph_is_kept_from_call_to_call[LIF]",
    ),
    (
        "LIF's membrane keeps its graph",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if self.detach_state",
        "**tensors)\n        if states is not None:\n            states[call] = state.detach() if False",
        "library/test_modules.py::test_the_membrane_is_carried_detached[LIF]",
    ),
    (
        "NoisyLIF's membrane keeps its graph",
        "deviation[:, 0]))\n        if states is not None:\n            states[call] = state.detach()",
        "deviation[:, 0]))\n        if states is not None:\n            states[call] = state",
        "library/test_modules.py::test_the_membrane_is_carried_detached[NoisyLIF]",
    ),
    (
        "an old pickle computes another residual noise",
        '_earlier = {"residual": "range"}',
        "_earlier = {}",
        "library/test_modules.py::test_a_pickle_of_an_older_version[residual]",
    ),
    (
        "a converted neuron of one step is a single step",
        "if not self.converted and self._single(input):",
        "if self._single(input):",
        "library/test_modules.py::test_noisy_lif_is_single_step_until_converted",
    ),
    (
        "a stateful neuron of one step is a single step",
        "return input.shape[0] == 1 and not self.stateful",
        "return input.shape[0] == 1",
        "library/test_time_axis.py::test_a_stateful_time_first_neuron_carries_its_membrane_over_single_steps",
    ),
    (
        "NoisyLIF's residual is the default's",
        "self.noise, self.residual,",
        'self.noise, "matched",',
        "library/test_conversion.py::test_the_residual_noise_of_a_converted_network",
    ),
    (
        "more steps than were calibrated",
        "if end > T:",
        "if False:",
        "library/test_conversion.py::test_calibration_travels_in_the_state_dict",
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
        "library/test_conversion.py::test_calibrating_again_forgets_the_first_calibration",
    ),
    (
        "calibrated values are not in the state_dict",
        "self.register_buffer(name, value, persistent=True)",
        "self.register_buffer(name, value, persistent=False)",
        "library/test_conversion.py::test_calibration_travels_in_the_state_dict",
    ),
    (
        "wrong calibrated values are loaded",
        "        if wrong:  # neither",
        "        if False:  # neither",
        "library/test_bad_inputs.py::test_a_bad_call_is_refused",
    ),
]

_AGAIN = "library/test_passes.py::test_what_is_computed_again_belongs_to_its_own_pass"
NEURON = [
    (
        "calibration in training mode",
        "    model.eval()\n",
        "",
        "library/test_conversion.py::test_calibration_leaves_running_statistics_alone",
    ),
    (
        "all modules train after calibration",
        "module.training = mode",
        "module.training = True",
        "library/test_conversion.py::test_frozen_layers_stay_frozen",
    ),
    (
        "calibration forgets the carried membrane",
        "            neuron.states = state\n",
        "            pass\n",
        "library/test_conversion.py::test_calibration_leaves_the_carried_membrane_alone",
    ),
    (
        "a model stays in evaluation",
        "            module.training = mode",
        "            pass",
        "library/test_energy.py::test_energy_leaves_the_model_as_it_was",
    ),
    (
        "a trained network stays in evaluation",
        "module.training = mode",
        "module.training = False",
        "library/test_scaling.py::test_nothing_else_changes",
    ),
    (
        "a tensor that is set later is no buffer",
        "self.register_buffer(name, value)",
        "vars(self)[name] = value",
        "library/test_parameters.py::test_a_parameter_may_be_set_later",
    ),
    (
        "reset forgets nothing",
        "    def _forget(self) -> None:\n        self.states = {}",
        "    def _forget(self) -> None:\n        pass",
        "library/test_modules.py::test_stateful_carries_the_membrane",
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
        "library/test_time_axis.py::test_neurons_of_a_multistep_model_agree_on_its_timesteps",
    ),
    (
        "batch-first",
        "return x.view(T, x.shape[0] // T, *x.shape[1:]), call, states",
        "return x.view(x.shape[0] // T, T, *x.shape[1:]).transpose(0, 1), call, states",
        "library/test_modules.py::test_lif_folds_time_into_the_batch",
    ),
    (
        "a membrane of another shape is dropped",
        "if state.shape != x.shape[1:]:\n            raise",
        "if state.shape != x.shape[1:]:\n            return None\n            raise",
        "library/test_modules.py::test_stateful_carries_the_membrane",
    ),
    (
        "the membrane in half precision",
        "return result if result.dtype == tensor.dtype else tensor.to(result.device)",
        "return result",
        "library/test_modules.py::test_half_keeps_the_membrane_in_float32",
    ),
    (
        "a repr without what is not an equation's number",
        'for name in (*self._shown, "surrogate", "detach_reset", "stateful", "detach_state", "backend"):',
        "for name in self._shown:",
        "library/test_modules.py::test_repr_tells_the_whole_neuron",
    ),
    (
        "a default hides a parameter",
        "if name not in held}",
        "if name not in state}",
        "library/test_modules.py::test_a_pickle_s_parameter_is_not_hidden_by_a_default",
    ),
    (
        "a neuron made stateful late is taken",
        "if self.stateful and self.unmarked:",
        "if False:",
        "library/test_passes.py::test_a_shared_relu_made_stateful_after_the_conversion",
    ),
    (
        "a changed attribute is not noticed",
        '        vars(self)["_kept"] = {}',
        "        pass",
        "pytorch/test_eager.py::test_a_changed_attribute_counts",
    ),
]

NEURON += [
    (
        "a replica's learned numbers are refused",
        'if is_buffer and vars(self).get("_is_replica"):',
        "if False:",
        "pytorch/test_pytorch.py::test_replicas_of_neurons_that_learn",
    ),
    (
        "a parameter stays where a number was set",
        "            if not isinstance(value, nn.Parameter):\n                self._parameters.pop(name, None)\n",
        "",
        "library/test_parameters.py::test_a_number_takes_the_place_of_a_parameter",
    ),
    (
        "a batch in the second dimension of an input that is repeated",
        "if current is not None and T > 1 and current.batch and x.shape[0] % (T * current.batch):",
        "if False:",
        "library/test_conversion.py::test_a_batch_in_the_second_dimension_is_noticed",
    ),
    (
        "SpikingJelly's nodes are not reset",
        "for neuron in [*neurons(model), *of_spikingjelly(model)]:",
        "for neuron in neurons(model):",
        "peers/test_peers_spikingjelly.py::test_our_reset_and_detach_reach_their_neurons",
    ),
]
PASSES = [
    (
        "all calls in a pass are the first",
        "return len(calls) - 1",
        "return 0",
        "library/test_passes.py::test_a_shared_stateful_neuron_carries_a_membrane_for_each_call[lif-6]",
    ),
    (
        "a call that is computed again is the last",
        "return self.again[neuron] % len(calls)",
        "return len(calls) - 1",
        "library/test_passes.py::test_a_shared_calibrated_neuron_that_is_computed_again_uses_the_row_of_its_call",
    ),
    (
        "calls of one backward count in the next",
        "if self.backward != torch._C._current_graph_task_id():",
        "if self.backward == -1:",
        "library/test_passes.py::test_a_backward_that_failed_halfway_does_not_count",
    ),
    (
        "calls of several checkpoints are numbered",
        "if any(checkpoint != calls[0] for checkpoint in calls):",
        "if False:",
        "library/test_passes.py::test_a_call_that_cannot_be_told_is_an_error",
    ),
    ("a pass is not left with its graph", "metadata(node)[PASS] = self", "pass", f"{_AGAIN}[lif-another batch-True]"),
    (
        "a pass never ends",
        "if thread.current is not None and thread.current.root is model:",
        "if False:",
        "library/test_passes.py::test_a_failed_pass_is_over",
    ),
]

CONVERSION = [
    (
        "convert changes the model",
        "model = _copy(model)\n    left",
        "left",
        "library/test_conversion.py::test_torchvision_models[resnet18-9]",
    ),
    (
        "a neuron for each use of a shared ReLU",
        "if (child, pattern) not in swapped:",
        "if True:",
        "library/test_conversion.py::test_a_shared_relu_becomes_a_shared_neuron",
    ),
    (
        "all neurons are in training mode",
        "made.train(child.training)",
        "made",
        "library/test_conversion.py::test_neuron_and_keywords",
    ),
    (
        "nobody is told of functional activations",
        "    if left:\n        warnings.warn(",
        "    if False:\n        warnings.warn(",
        "library/test_conversion.py::test_what_could_not_be_swapped_is_said",
    ),
    (
        "the last pattern decides",
        "(pattern for pattern in makers if",
        "(pattern for pattern in reversed(makers) if",
        "library/test_conversion.py::test_another_neuron_by_name",
    ),
    (
        "a shared part has one name",
        "for path in parent_paths]",
        "for path in parent_paths[:1]]",
        "library/test_conversion.py::test_a_shared_relu_in_the_places_of_two_patterns",
    ),
    (
        "what a pattern leaves is warned of",
        "if pattern is not None and makers[pattern] is not None:\n            found",
        "if True:\n            found",
        "library/test_conversion.py::test_what_the_patterns_leave_is_not_warned_of",
    ),
    (
        "the code of what a pattern leaves is warned of",
        'path, inside=".")',
        "path)",
        "library/test_conversion.py::test_what_the_patterns_leave_is_not_warned_of",
    ),
    (
        "passes are not marked",
        "    mark_passes(holder.model)\n",
        "",
        "library/test_passes.py::test_a_shared_stateful_neuron_carries_a_membrane_for_each_call[lif-6]",
    ),
]

_SAMPLES = "library/test_early_exit.py::test_each_sample_gets_the_mean_over_its_steps"
CONVERSION += [
    (
        "an empty tuple in the code",
        "if isinstance(loaded, tuple) and loaded:",
        "if isinstance(loaded, tuple):",
        "library/test_conversion.py::test_functional_activations_in_a_notebook",
    ),
    (
        "what a script module holds is not said",
        'note(f"{kind} in a ScriptModule", path)',
        "pass",
        "library/test_conversion.py::test_what_a_script_module_holds_is_said",
    ),
    (
        "a clamp in another file is an activation",
        "if function.__globals__ is value.__globals__:",
        "if True:",
        "library/test_conversion.py::test_functional_activations_in_a_notebook",
    ),
    (
        "functions of other files are not read",
        "and _is_of_a_user(loaded) and",
        "and loaded.__globals__ is function.__globals__ and",
        "library/test_conversion.py::test_functional_activations_in_a_notebook",
    ),
]
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
        "library/test_early_exit.py::test_antithetic_steps_stay_in_pairs",
    ),
    (
        "the first layers at every step",
        "count = next(i for",
        "count = 0 * next(i for",
        "library/test_early_exit.py::test_the_layers_before_the_first_neuron_run_once",
    ),
]

TIMESTEPS = [
    (
        "the accuracy of each step alone",
        "steps.cumsum(dim=0, dtype",
        "steps.to(dtype",
        "library/test_timesteps.py::test_one_pass_is_a_run_for_every_T[sample]",
    ),
    (
        "the loss in samples",
        "<= loss * count for",
        "<= 100 * loss for",
        "library/test_timesteps.py::test_the_loss_decides",
    ),
    (
        "a membrane goes on to the next batch",
        "                neuron.reset()\n",
        "                pass\n",
        "library/test_timesteps.py::test_the_model_is_left_as_it_is",
    ),
]

_MEAN = "library/test_passes.py::test_calibration_is_the_mean_over_batches_of_each_step_and_call"
MULTISTEP = [
    (
        "MultiStep's over_time is ignored",
        '"over_time": over_time,',
        "",
        "library/test_conversion.py::test_antithetic_noise_of_a_converted_network",
    ),
    (
        "MultiStep runs the model itself",
        "self.model = _copy(model)",
        "self.model = model",
        "library/test_conversion.py::test_the_residual_noise_of_a_converted_network",
    ),
    (
        "MultiStep's alpha is ignored",
        '= {"alpha": alpha, "beta": beta,',
        '= {"beta": beta,',
        "library/test_conversion.py::test_alpha_and_beta_of_a_multistep_model_are_those_of_its_neurons",
    ),
    (
        "the neurons' T is not set",
        "neuron.timesteps = self._timesteps",
        "pass",
        "library/test_conversion.py::test_timesteps_can_be_changed",
    ),
    (
        "the static input is repeated sample by sample",
        "input.expand(T, *input.shape).flatten(0, 1)",
        "input.repeat_interleave(T, 0)",
        "library/test_conversion.py::test_multistep_is_the_folded_model",
    ),
    (
        "the output is averaged over samples",
        "steps = output.unflatten(0, (timesteps, batch))",
        "steps = output.unflatten(0, (batch, timesteps)).transpose(0, 1)",
        "library/test_conversion.py::test_multistep_is_the_folded_model",
    ),
    (
        "a failed pass goes on",
        "        finally:\n            thread.current = around",
        "        finally:\n            pass",
        "library/test_passes.py::test_a_failed_pass_of_a_multistep_model_is_over",
    ),
    ("calibration by the last batch", "torch.stack(passes).mean(dim=0)", "passes[-1]", _MEAN),
    ("calibration by the first batch", "torch.stack(passes).mean(dim=0)", "passes[0]", _MEAN),
    ("calibration by the largest batch", "torch.stack(passes).mean(dim=0)", "torch.stack(passes).amax(dim=0)", _MEAN),
    (
        "calibration of a membrane carried from batch to batch",
        "for neuron in carried:\n",
        "for neuron in ():\n",
        "library/test_conversion.py::test_calibration_leaves_the_carried_membrane_alone",
    ),
    (
        "calibration goes on recording",
        "                    thread.recording = None\n",
        "                    pass\n",
        "library/test_conversion.py::test_calibration_freezes_what_the_neurons_saw",
    ),
    (
        "images go in as a sequence",
        "input, static = input.flatten(0, 1), None",
        "input, static = input.transpose(0, 1).flatten(0, 1), None",
        "library/test_multistep.py::test_a_sequence_goes_in_step_by_step[3]",
    ),
    (
        "a sequence of too many steps begins",
        'self.check_calibrated("the input\'s T", T)',
        "pass",
        "library/test_multistep.py::test_too_long_a_sequence_is_refused_before_anything_runs",
    ),
    (
        "what no neuron reached has no steps",
        'output.expand(timesteps, *output.shape) if how == "steps" else output',
        "output",
        "library/test_multistep.py::test_every_step_of_outputs_of_any_structure",
    ),
    (
        "NaN is calibrated",
        "if not all(bool(statistics.isfinite().all()) for statistics in frozen.values()):",
        "if False:",
        "library/test_bad_inputs.py::test_a_bad_call_is_refused",
    ),
]

_NOT_FUSED = "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[{}]".format
MULTISTEP += [
    (
        "an output of the input's batch passes for one that no neuron reached",
        "if current.reached and _only_of_batch(batch, output, T):",
        "if False:",
        "library/test_conversion.py::test_a_model_that_shapes_by_its_input_s_batch_is_noticed",
    ),
    (
        "every error is said to be one of the batch",
        'if current.reached and T > 1 and re.search("shape|size|dimension", str(error)):',
        "if current.reached:",
        "library/test_conversion.py::test_an_error_behind_the_first_neuron_comes_with_what_to_do",
    ),
    (
        "options that nobody takes are dropped",
        "if given and not any(isinstance(neuron, NoisyLIF) for neuron in neurons(model)):",
        "if False:",
        "library/test_bad_inputs.py::test_a_bad_call_is_refused",
    ),
    (
        "a dict of another class comes back as a plain one",
        "if type(output) is dict:",
        "if True:",
        "library/test_conversion.py::test_outputs_in_a_class_of_their_own[Ordered]",
    ),
    (
        "an output of no time steps at all is refused",
        "return batch in sizes and timesteps * batch not in sizes",
        "return batch in sizes",
        "library/test_conversion.py::test_outputs_of_any_structure",
    ),
    (
        "a dataclass is handed on as it is",
        "if dataclasses.is_dataclass(output) and not isinstance(output, type):",
        "if False:",
        "library/test_conversion.py::test_outputs_in_a_class_of_their_own[Scores]",
    ),
]
FUSION = [
    (
        "momentum is hard-coded",
        "batch_norm.running_var, batch_norm.momentum, eps",
        "batch_norm.running_var, 0.1, eps",
        "library/test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "eps is hard-coded in evaluation",
        "torch.rsqrt(batch_norm.running_var + eps)",
        "torch.rsqrt(batch_norm.running_var + 1e-5)",
        "library/test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "the neuron's options are a new neuron's",
        "options = neuron.options(",
        "options = type(neuron)(neuron.timesteps).options(",
        "library/test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "batches are not counted",
        "batch_norm.num_batches_tracked.add_(1)",
        "pass",
        "library/test_fusion.py::test_every_option_counts[noisy]",
    ),
    (
        "hooks of all modules are ignored",
        "if _has_any_global_hook():",
        "if False:",
        "library/test_fusion.py::test_a_hook_of_all_modules_sees_both",
    ),
    (
        "hooks are ignored",
        "any(module._forward_hooks or",
        "any(",
        "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[a hook]",
    ),
    (
        "a converted neuron is fused",
        "(neuron.converted or neuron.timesteps > 1)",
        "(neuron.timesteps > 1)",
        "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[converted]",
    ),
    (
        "evaluation is fused where gradients are wanted",
        "elif torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):",
        "elif False:",
        _NOT_FUSED("in evaluation, with gradients"),
    ),
    (
        "a stateful neuron forgets its membrane",
        "if neuron.stateful or neuron.timesteps is None:",
        "if neuron.timesteps is None:",
        "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[stateful]",
    ),
    (
        "the neuron is called twice",
        "i += 2 if i in pairs else 1",
        "i += 1",
        "library/test_fusion.py::test_a_fused_network_trains_and_runs_as_before[single step]",
    ),
]

FUSION += [
    (
        "a learned threshold is fused as a number",
        "if isinstance(neuron, LIF) and neuron.tensors(x):",
        "if False:",
        "library/test_fusion.py::test_a_threshold_that_is_set_to_an_integer_is_fused",
    ),
]
PACKING = [
    (
        "what was changed in place is packed",
        "if (version, dtype) != (tensor._version, tensor.dtype) or",
        "if dtype != tensor.dtype or",
        "library/test_packing.py::test_nothing_but_spikes_is_packed",
    ),
    (
        "what does not fill its memory is packed",
        "return backend if torch.ops.aten.is_non_overlapping_and_dense(tensor) else None",
        "return backend",
        "library/test_packing.py::test_nothing_but_spikes_is_packed",
    ),
    (
        "an incomplete byte is packed",
        "or tensor.numel() % 8 or",
        "or",
        "library/test_packing.py::test_nothing_but_spikes_is_packed",
    ),
    (
        "a change in place goes unnoticed",
        "if kept.tensor._version != kept.version:",
        "if False:",
        "library/test_packing.py::test_a_change_in_place_is_still_an_error",
    ),
    (
        "another part's bits are taken",
        "if place < 0 or place + tensor.numel() > numel or place % step or tensor.numel() % step:",
        "if place < 0:",
        "library/test_packing.py::test_two_layers_that_read_the_same_spikes_pack_them_once",
    ),
    (
        "the first steps' bits are taken for others",
        "return bits[place // step : (place + tensor.numel()) // step]",
        "return bits[: tensor.numel() // step]",
        "library/test_packing.py::test_layers_that_read_some_steps_take_their_bits",
    ),
    (
        "small steps, whose bytes would be idle, get bits of their own",
        "if 8 * module.bytes_of(numel) > 1.125 * numel:",
        "if False:",
        "library/test_packing.py::test_otherwise_they_are_packed_later[shape0-keywords0]",
    ),
    (
        "another layout is restored",
        "torch.empty_strided(shape, strides, dtype",
        "torch.empty(shape, dtype",
        "library/test_packing.py::test_restored_exactly[reference-pooling-True-dtype5]",
    ),
]

_FINDS = "library/test_time_axis.py::test_the_check_finds"
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
    ("neurons may disagree on T", "    _check_timesteps(model)\n    for", "    for", _FINDS),
    (
        "the model itself is run",
        "model = _copy(model).eval()",
        "model = model.eval()",
        "library/test_time_axis.py::test_the_check_leaves_the_model_alone",
    ),
]

TIME_AXIS += [
    (
        "a model without a memory passes",
        "if stepped and forgetful:",
        "if False:",
        "library/test_time_axis.py::test_the_check_finds",
    ),
    (
        "a stateful neuron's graph is cut",
        "neuron.detach_state = False",
        "pass",
        "library/test_time_axis.py::test_the_check_finds",
    ),
    (
        "a MultiStep is given one input for all steps",
        "if isinstance(model, MultiStep) and call is None and batch_dim == 0 and T == 1:",
        "if False:",
        "library/test_time_axis.py::test_the_check_finds",
    ),
]
RECORDING = [
    (
        "what follows in place changes the log",
        "spikes.append(spikes.clone())",
        "spikes.append(spikes)",
        "library/test_recording.py::test_a_change_in_place_after_the_neuron",
    ),
    (
        "hooks stay behind",
        "        for handle in self._handles or ():\n            handle.remove()\n",
        "",
        "library/test_recording.py::test_nothing_is_left_behind",
    ),
    (
        "what a checkpoint computes again is recorded again",
        "        if in_backward():\n            return",
        "",
        "library/test_recording.py::test_what_a_checkpoint_computes_again_is_not_recorded_again",
    ),
    (
        "a second forward gets further entries",
        "self._layers, self._counts, self._reached = [], {}, False",
        "self._layers, self._reached = [], False",
        "library/test_recording.py::test_forwards_follow_one_another_in_time",
    ),
    (
        "a part may be recorded twice",
        "if module in _recorded:",
        "if False:",
        "library/test_recording.py::test_a_part_and_another_model_in_one_with",
    ),
    (
        "it is recorded for ever",
        "        _recorded.difference_update(self._neurons)\n",
        "",
        "library/test_recording.py::test_nothing_is_left_behind",
    ),
    (
        "a unit without a spike at one step is silent",
        "step.flatten(0, 1).all(dim=0)",
        "step.flatten(0, 1).any(dim=0)",
        "library/test_recording.py::test_rates_and_the_table_by_hand",
    ),
]

_MEMBRANES = "library/test_recording.py::test_membranes_are_those_of_the_spikes[{}-reference]".format
MEMBRANES = [
    ("the noise of another seed", "    generator.set_state(state)\n", "", _MEMBRANES("single step")),
    ("the state is forgotten", "v = states.get(call) if neuron.stateful else None", "v = None", _MEMBRANES("stateful")),
    (
        "every call has the first one's statistics",
        "len(current.calls[neuron]) - 1 if",
        "0 if",
        "library/test_recording.py::test_calls_of_a_shared_neuron_and_static_input",
    ),
    (
        "the noise of another layout",
        "        x = x.contiguous()  # as",
        "        pass  # as",
        "library/test_recording.py::test_membranes_of_a_batch_that_is_not_outermost",
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
        "library/test_recording.py::test_a_pass_has_steps_of_its_own",
    ),
    (
        "no spike costs too",
        "torch.ones_like(input) if analogue else input != 0",
        "torch.ones_like(input)",
        "library/test_energy.py::test_energy_by_hand",
    ),
    (
        "averages of spikes are spikes",
        "binary = ((input == 0) | (input == 1)).all()",
        "binary = (input >= 0).all()",
        "library/test_energy.py::test_static_input_is_counted_once_and_the_twin_runs_once",
    ),
    (
        "the ReLU twin runs T times",
        "    return (1, *call.shape[1:])",
        "    return tuple(call.shape)",
        "library/test_energy.py::test_energy_by_hand",
    ),
    (
        "groups are forgotten",
        " * (layer.out_channels // layer.groups)",
        " * layer.out_channels",
        "library/test_energy.py::test_weights_met_as_by_force",
    ),
]

PLOT = [
    (
        "spikes one step early",
        "x, y = step + 1, row + start",
        "x, y = step, row + start",
        "library/test_plot.py::test_raster_of_a_tensor",
    ),
    (
        "the first sample whatever was asked for",
        "steps[:, sample].detach()",
        "steps[:, 0].detach()",
        "library/test_plot.py::test_raster_of_a_tensor",
    ),
]

NIR_NEURONS = [
    (
        "thresholds keep their scale where r is 1",
        "threshold * factor, reset * factor",
        "threshold, reset * factor",
        "library/test_nir.py::test_what_a_node_says",
    ),
    (
        "the reset keeps its scale where r is 1",
        "threshold * factor, reset * factor",
        "threshold * factor, reset",
        "library/test_nir.py::test_what_a_node_says",
    ),
    (
        "an exponential step in the place of Euler's",
        "lead = 1 - decay",
        "lead = -np.log(decay)",
        "library/test_nir.py::test_what_a_node_says",
    ),
    (
        "Euler's step in the place of an exponential one",
        "else np.exp(-dt / tau)",
        "else 1 - dt / tau",
        "library/test_nir.py::test_the_paper_s_neuron",
    ),
    (
        "v_leak is forgotten",
        "np.float64) - leak for value",
        "np.float64) for value",
        "library/test_nir.py::test_a_neuron_that_leaks_elsewhere_and_is_reset_there",
    ),
    (
        "the input's gain is forgotten",
        "unit = gain  #",
        "unit = np.ones_like(gain)  #",
        "library/test_nir.py::test_the_paper_s_neuron",
    ),
]

NIR_LAYERS = [
    (
        "batch normalisation without eps",
        "running_var.double() + batch_norm.eps",
        "running_var.double()",
        "library/test_nir.py::test_batch_normalisation_is_folded",
    ),
    (
        "batch normalisation forgets the layer's bias",
        "((0 if bias is None else bias) - batch",
        "(0 - batch",
        "library/test_nir.py::test_batch_normalisation_is_folded",
    ),
    ("a sum is a mean", "divisor = 1 if", "divisor = None if", "library/test_nir.py::test_the_sum_of_a_window"),
]

NIR_GRAPH = [
    (
        "of a sum only the first branch",
        "Value(one.sources + other.sources, one.shape)",
        "Value(one.sources, one.shape)",
        "library/test_nir.py::test_there_and_back[branches-weights-euler]",
    ),
]

SCALING = [
    (
        "spikes are not scaled",
        "return self.neuron(input / self.scale) * self.scale",
        "return self.neuron(input / self.scale)",
        "library/test_scaling.py::test_a_scale_is_the_best_single_level",
    ),
    (
        "the scale of one step for many",
        "unflatten(0, (T, 1)).mean(dim=0)[0]",
        "unflatten(0, (T, 1))[0, 0]",
        "library/test_scaling.py::test_over_more_steps_the_scale_is_larger",
    ),
    (
        "its hooks stay",
        "            hook.remove()",
        "            pass",
        "library/test_scaling.py::test_nothing_else_changes",
    ),
]

ACCELERATION = [
    (
        "accelerate changes the model",
        "    model = _copy(model)\n    for module in model.modules():\n        if type(module) in nodes",
        "    for module in model.modules():\n        if type(module) in nodes",
        "peers/test_peers_spikingjelly.py::test_the_copy_and_what_it_leaves",
    ),
    (
        "strict accelerates what it can",
        "if left and strict:",
        "if False:",
        "peers/test_peers_spikingjelly.py::test_strict_changes_nothing",
    ),
]

NODES = [
    (
        "a node spikes above the threshold alone",
        "inclusive=True",
        "inclusive=False",
        "peers/test_peers_spikingjelly_rows.py::test_ties_spike",
    ),
    (
        "the input is not divided by tau",
        '"gain": 1 / self.tau if self.decay_input else 1.0',
        '"gain": 1.0',
        "peers/test_peers_spikingjelly.py::test_gradients_through_single_steps",
    ),
    (
        "the membrane leaks to 0 whatever v_reset is",
        "0.0 if self.v_reset is None else self.v_reset",
        "0.0",
        "peers/test_peers_spikingjelly_rows.py::test_parametric_lif_node[True-0.25]",
    ),
]

OTHER_LIBRARIES = [
    (
        "a dt that is too long is told of as a decay",
        'if "decay" not in keywords and bool((torch.as_tensor(gain) > 1).any()):',
        "if False:",
        "peers/test_peers_norse.py::test_what_has_no_counterpart",
    ),
    (
        "snnTorch's hidden state is dropped",
        "if leaky.init_hidden and timesteps == 1:",
        "if False:",
        "peers/test_peers_snntorch.py::test_a_hidden_state_is_kept_from_call_to_call",
    ),
    (
        "snnTorch's delayed reset has a gradient",
        '"detach_reset": leaky.reset_delay',
        '"detach_reset": False',
        "peers/test_peers_snntorch.py::test_subtract_with_delay[0.9-1.0]",
    ),
    (
        "Norse's input has no gain",
        '"gain": gain,',
        '"gain": 1.0,',
        "peers/test_peers_norse.py::test_keywords_dt_and_mode",
    ),
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
        "packaging/test_annotations.py::test_every_public_signature_is_annotated",
    ),
]

BY_FILE = {
    "fastlif/modules.py": MODULES,
    "fastlif/neuron.py": NEURON,
    "fastlif/passes.py": PASSES,
    "fastlif/conversion.py": CONVERSION,
    "fastlif/early_exit.py": EARLY_EXIT,
    "fastlif/timesteps.py": TIMESTEPS,
    "fastlif/multistep.py": MULTISTEP,
    "fastlif/fusion.py": FUSION,
    "fastlif/packing.py": PACKING,
    "fastlif/time_axis.py": TIME_AXIS,
    "fastlif/recording/log.py": RECORDING,
    "fastlif/recording/membranes.py": MEMBRANES,
    "fastlif/recording/energy.py": OPERATIONS,
    "fastlif/plot.py": PLOT,
    "fastlif/exchange/nir_neurons.py": NIR_NEURONS,
    "fastlif/exchange/nir_layers.py": NIR_LAYERS,
    "fastlif/exchange/nir_graph.py": NIR_GRAPH,
    "fastlif/scaling.py": SCALING,
    "fastlif/libraries/spikingjelly.py": ACCELERATION,
    "fastlif/libraries/spikingjelly_nodes.py": NODES,
    "fastlif/libraries/snntorch_norse.py": OTHER_LIBRARIES,
    "fastlif/__main__.py": MAIN,
    "fastlif/variants.py": VARIANTS,
}
