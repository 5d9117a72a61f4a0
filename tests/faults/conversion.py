"""Faults of conversion, of running a network over time, and of what saves memory."""

# fmt: off
FAULTS = {
    "fastlif/activations.py": {
        "library/test_conversion.py::test_functions_of_a_package_that_a_forward_imports[from ..acts import f]": [
            ("the dots of an import are not counted", '"." * level + path', '"." + path'),
        ],
        "library/test_conversion.py::test_functions_of_a_package_that_a_forward_imports[from p.acts import lazy as f]": [
            ("convert imports what a forward would",
             "getattr(module, \"__dict__\", {}).get(loaded, _OTHER)", "getattr(module, loaded, _OTHER)"),
        ],
        "library/test_conversion.py::test_functional_activations_in_a_notebook": [
            ("what forward imports from a module is not found", "= getattr(module, \"__dict__\", {}).get(loaded, _OTHER)", "= _OTHER"),
            ("of a module that forward imports the last part counts", "path.partition(\".\")[0]", "path"),
            ("an empty tuple in the code", "if isinstance(loaded, tuple) and loaded:", "if isinstance(loaded, tuple):"),
            ("a clamp in another file is an activation", "if function.__globals__ is value.__globals__:", "if True:"),
            ("modules that are made in forward are not found",
             "if forward and function is value and _is_used(*call()):", "if False:"),
            ("a module that becomes an attribute counts",
             "return _call(after, code)[0] is not None", "return True"),
            ("a module that is put into a local first counts", "variable in _names(one)", "False"),
            ("functions of other files are not read",
             "and _is_of_a_user(loaded) and", "and loaded.__globals__ is function.__globals__ and"),
        ],
    },
    "fastlif/conversion.py": {
        "library/test_conversion.py::test_every_neuron_gets_a_tensor_of_its_own": [
            ("all neurons get one tensor",
             "if isinstance(value, torch.Tensor) and value.is_leaf", "if isinstance(value, nn.Parameter)"),
        ],
        "library/test_conversion.py::test_each_neuron_learns_a_parameter_of_its_own": [
            ("all neurons learn one parameter",
             "copy.deepcopy(value) if isinstance(value, torch.Tensor) and value.is_leaf else value", "value"),
        ],
        "library/test_models.py::test_a_training_step_reaches_every_weight[resnet18]": [
            ("convert changes the model", "model = copy_of(model)\n    left", "left"),
        ],
        "library/test_conversion.py::test_a_shared_relu_becomes_a_shared_neuron": [
            ("a neuron for each use of a shared ReLU", "if (child, pattern) not in swapped:", "if True:"),
        ],
        "library/test_conversion.py::test_neuron_and_keywords": [
            ("all neurons are in training mode", "made.train(child.training)", "made"),
        ],
        "library/test_conversion.py::test_the_hooks_of_an_activation_move_to_its_neuron": [
            ("an activation's hooks are lost",
             "_with_hooks_of(child, made.train(child.training))", "made.train(child.training)"),
            ("an activation's forward hooks see no keywords",
             "with_kwargs=with_kwargs, always_call=always_call", "always_call=always_call"),
        ],
        "library/test_conversion.py::test_backward_hooks_of_the_other_kind_stay_of_that_kind": [
            ("every backward hook becomes a full one",
             "made.register_full_backward_hook if child._is_full_backward_hook else made.register_backward_hook",
             "made.register_full_backward_hook"),
        ],
        "library/test_conversion.py::test_an_error_in_a_neuron_still_calls_the_hooks_that_are_always_called": [
            ("an activation's hooks run after successes alone",
             "with_kwargs=with_kwargs, always_call=always_call", "with_kwargs=with_kwargs"),
        ],
        "library/test_conversion.py::test_hooks_of_another_process_stand_beside_the_own": [
            ("an activation's hooks take the place of the neuron's own",
             "        made.register_forward_hook(hook, with_kwargs=with_kwargs, always_call=always_call)",
             "        made._forward_hooks[key] = hook"),
        ],
        "library/test_conversion.py::test_hooks_of_torch_and_fastlif_stay_with_their_module": [
            ("what torch prunes with moves to the neuron",
             'not in ("torch", "fastlif")\n    ]', 'not in ("fastlif",)\n    ]'),
            ("what begins a pass moves to the neuron",
             'not in ("torch", "fastlif")\n    ]', 'not in ("torch",)\n    ]'),
        ],
        "library/test_conversion.py::test_what_could_not_be_swapped_is_said": [
            ("nobody is told of functional activations",
             "    if left:\n        warnings.warn(", "    if False:\n        warnings.warn("),
            ("a class is called like PyTorch's own",
             "if getattr(nn, kind.__name__, kind) is not kind:", "if False:"),
        ],
        "library/test_conversion.py::test_another_neuron_by_name": [
            ("the last pattern decides",
             "(pattern for pattern in makers if", "(pattern for pattern in reversed(makers) if"),
        ],
        "library/test_conversion.py::test_a_shared_relu_in_the_places_of_two_patterns": [
            ("a shared part has one name", "for path in parent_paths]", "for path in parent_paths[:1]]"),
        ],
        "library/test_conversion.py::test_what_the_patterns_leave_is_not_warned_of": [
            ("what a pattern leaves is warned of",
             "is not None:\n            found", "is not False:\n            found"),
            ("the code of what a pattern leaves is warned of", 'path, inside=".")', "path)"),
        ],
        "library/test_passes.py::test_a_shared_stateful_neuron_carries_a_membrane_for_each_call[lif-6]": [
            ("passes are not marked", "    mark_passes(holder.model)\n", ""),
        ],
        "library/test_conversion.py::test_functions_that_a_model_holds": [
            ("functions in a list are not found", '(value,) if name.startswith("_") else (value, *listed)', "(value,)"),
            ("what a builder makes counts", 'forward=name == "forward"', "forward=True"),
        ],
        "library/test_conversion.py::test_layers_that_compute_a_relu_themselves_are_said": [
            ("a fused ReLU is not found", "if type(module).__module__.startswith(_FUSED) and", "if False and"),
            ("every fused module computes a ReLU itself",
             '("torch.ao.nn.intrinsic.qat.", "torch.ao.nn.intrinsic.quantized.")', '("torch.ao.nn.intrinsic.",)'),
        ],
        "library/test_conversion.py::test_what_a_script_module_holds_is_said": [
            ("what a script module holds is not said", 'note(f"{kind} in a ScriptModule", path)', "pass"),
        ],
    },
    "fastlif/scaling.py": {
        "library/test_scaling.py::test_a_user_s_hooks_see_the_model_s_own_data_alone": [
            ("hooks see every scale that is tried", "        hooks.clear()\n", "        pass\n"),
        ],
        "library/test_scaling.py::test_an_activation_that_is_called_by_keyword": [
            ("an activation has positional arguments",
             'x = arguments[0] if arguments else keywords["input"]', "x = arguments[0]"),
        ],
        "library/test_scaling.py::test_it_travels_in_the_state_dict_and_over_time": [
            ("a scale is rounded to 16 bits", "if self.scale.dtype != scale.dtype:", "if False:"),
            ("no gradient through a scaled neuron",
             "self.neuron(input / self.scale)", "self.neuron(input.detach() / self.scale)"),
        ],
        "library/test_scaling.py::test_a_scale_is_the_best_single_level": [
            ("spikes are not scaled",
             "return self.neuron(input / self.scale) * self.scale", "return self.neuron(input / self.scale)"),
        ],
        "library/test_scaling.py::test_over_more_steps_the_scale_is_larger": [
            ("the scale of one step for many", "unflatten(0, (T, 1)).mean(dim=0)[0]", "unflatten(0, (T, 1))[0, 0]"),
        ],
        "library/test_scaling.py::test_nothing_else_changes": [
            ("every device's generator is seeded", "        generator.manual_seed(0)", "        torch.manual_seed(0)"),
            ("its hooks stay", "hooks.enter_context(modules[name].register_forward_hook(to_compare))",
             "modules[name].register_forward_hook(to_compare)"),
        ],
    },
    "fastlif/multistep.py": {
        "library/test_multistep.py::test_a_model_s_keywords_may_have_any_name": [
            ("a model's own T is ours", "how: str, input: torch.Tensor, /, *args", "how: str, input: torch.Tensor, *args"),
            ("a model's own model is ours", "model: nn.Module, input: torch.Tensor, /, *args",
             "model: nn.Module, input: torch.Tensor, *args"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("classes are averaged", 'if how == "mean" and not (', "if False and not ("),
            ("NaN is calibrated",
             "if not all(bool(statistics.isfinite().all()) for statistics in frozen.values()):", "if False:"),
            ("options that nobody takes are dropped",
             "if given and not any(isinstance(neuron, NoisyLIF) for neuron in neurons(model)):", "if False:"),
        ],
        "library/test_conversion.py::test_the_options_of_a_multistep_model[over_time]": [
            ("MultiStep's over_time is ignored", "residual, over_time, statistics)\n", "residual, None, statistics)\n"),
        ],
        "library/test_conversion.py::test_the_options_of_a_multistep_model[residual]": [
            ("MultiStep runs the model itself", "self.model = copy_of(model)", "self.model = model"),
        ],
        "library/test_conversion.py::test_the_options_of_a_multistep_model[alpha]": [
            ("MultiStep's alpha is ignored", "= (alpha, beta,", "= (None, beta,"),
        ],
        "library/test_conversion.py::test_timesteps_can_be_changed": [
            ("the neurons' T is not set", "neuron.timesteps = self._timesteps", "pass"),
        ],
        "library/test_conversion.py::test_multistep_is_the_folded_model": [
            ("the static input is repeated sample by sample",
             "input.expand(T, *input.shape).flatten(0, 1)", "input.repeat_interleave(T, 0)"),
            ("the output is averaged over samples",
             "steps = output.unflatten(0, (timesteps, batch))",
             "steps = output.unflatten(0, (batch, timesteps)).transpose(0, 1)"),
        ],
        "library/test_passes.py::test_a_failed_pass_of_a_multistep_model_is_over": [
            ("a failed pass goes on",
             "        finally:\n            thread.current = around", "        finally:\n            pass"),
        ],
        "library/test_passes.py::test_calibration_is_the_mean_over_batches_of_each_step_and_call": [
            ("calibration by the last batch", "torch.stack(passes).mean(dim=0)", "passes[-1]"),
            ("calibration by the first batch", "torch.stack(passes).mean(dim=0)", "passes[0]"),
            ("calibration by the largest batch", "torch.stack(passes).mean(dim=0)", "torch.stack(passes).amax(dim=0)"),
        ],
        "library/test_conversion.py::test_calibration_leaves_the_rest_of_a_model_alone": [
            ("calibration of a membrane carried from batch to batch",
             "for neuron in carried:\n", "for neuron in ():\n"),
        ],
        "library/test_passes.py::test_each_call_of_a_calibrated_neuron_uses_its_own_row_and_first_steps": [
            ("calibration goes on recording",
             "                    thread.recording = None\n", "                    pass\n"),
        ],
        "library/test_multistep.py::test_a_further_argument_is_repeated_by_its_owner": [
            ("a further argument of another batch is blamed",
             "if any(shape[:1] == (batch,) or sequence and shape[:2] == (T, batch) for shape in shapes):", "if True:"),
            ("a further argument is not spoken of", "error.add_note(FURTHER)", "pass"),
        ],
        "library/test_multistep.py::test_a_second_input_is_folded_by_its_owner": [
            ("a neuron's error says nothing of a second input", "AssertionError, ValueError) as error", "AssertionError) as error"),
            ("nothing is said of a second sequence", "sequence and shape[:2] == (T, batch)", "False"),
            ("a neuron's error is said to be one of the batch", "current.reached and not isinstance(error, ValueError):", "current.reached:"),
        ],
        "library/test_multistep.py::test_what_is_each_neuron_s_own_is_not_set_on_the_model[alpha-2.0]": [
            ("what is each neuron's own is set on the model", "if name in OF_NEURONS and", "if False and"),
            ("a subclass of MultiStep has no such attribute of its own", " and type(self) is MultiStep:", ":"),
        ],
        "library/test_multistep.py::test_neurons_without_noise_are_shifted_by_beta": [
            ("nobody is told of a shift by beta", "        if shifted:\n", "        if False:\n"),
            ("who gives beta is told of it", "if beta is None and _is_shifted", "if _is_shifted"),
            ("neurons with noise are said to be shifted", 'module.noise.kind == "none" and ', ""),
            ("neurons with beta=0 are said to be shifted", " and module.beta != 0", ""),
            ("neurons that had beta before are said to be shifted", " or module.timesteps != 1 or", " or"),
            ("converted neurons are said to be shifted", " or module.converted:\n", ":\n"),
        ],
        "library/test_multistep.py::test_an_error_about_frames_of_each_step_speaks_of_sequences": [
            ("nothing is said of sequences", "if not current.reached and static and input.ndim > 4:", "if False:"),
            ("an error behind a neuron is one of sequences", "not current.reached and static and input.ndim > 4", "input.ndim > 4"),
            ("images are said to be sequences", "not current.reached and static and input.ndim > 4:", "not current.reached:"),
        ],
        "library/test_multistep.py::test_the_input_has_the_dtype_that_its_model_takes": [
            ("a sequence has the dtype of neurons", "check_sequence(input, any_dtype=True)", "check_sequence(input)"),
            ("images have the dtype of neurons", "minimum=1, any_dtype=True)", "minimum=1)"),
        ],
        "library/test_multistep.py::test_a_sequence_goes_in_step_by_step[3]": [
            ("images go in as a sequence",
             "input, static = input.flatten(0, 1), False",
             "input, static = input.transpose(0, 1).flatten(0, 1), False"),
        ],
        "library/test_multistep.py::test_too_long_a_sequence_is_refused_before_anything_runs": [
            ("a sequence of too many steps begins", "self.check_calibrated(\"the input's T\", T)", "pass"),
        ],
        "library/test_conversion.py::test_outputs_of_any_structure": [
            ("an output of no time steps at all is refused",
             "return batch in sizes and timesteps * batch not in sizes", "return batch in sizes"),
            ("what no neuron reached has no steps",
             'output.expand(timesteps, *output.shape) if how == "steps" else output', "output"),
        ],
        "library/test_conversion.py::test_a_model_that_shapes_by_its_input_s_batch_is_noticed": [
            ("an output of the input's batch passes for one that no neuron reached",
             "if current.reached and _only_of_batch(batch, output, T):", "if False:"),
        ],
        "library/test_conversion.py::test_an_error_behind_the_first_neuron_comes_with_what_to_do": [
            ("every error is said to be one of the batch",
             'if T > 1 and re.search("shape|size|dimension", str(error)):', "if T > 1:"),
        ],
        "library/test_conversion.py::test_outputs_in_a_class_of_their_own[Ordered]": [
            ("a dict of another class comes back as a plain one", "if type(output) is dict:", "if True:"),
        ],
        "library/test_conversion.py::test_outputs_in_a_class_of_their_own[Scores]": [
            ("a dataclass is handed on as it is", "if dataclasses.is_dataclass(type(output)):", "if False:"),
        ],
    },
    "fastlif/early_exit.py": {
        "library/test_early_exit.py::test_what_a_layer_changes_in_place_is_not_changed_again": [
            ("each step changes the input again", "multi.run(current, model, input.clone())",
             "multi.run(current, model, input)"),
            ("a user's images are changed", "first_layers, images.clone())", "first_layers, images)"),
        ],
        "library/test_multistep.py::test_the_input_has_the_dtype_that_its_model_takes": [
            ("images that stop early have the dtype of neurons", "minimum=1, any_dtype=True)", "minimum=1)"),
        ],
        "library/test_early_exit.py::test_each_sample_gets_the_mean_over_its_steps[calibrated-6]": [
            ("each step is the first", "first=done, states", "first=0, states"),
        ],
        "library/test_early_exit.py::test_each_sample_gets_the_mean_over_its_steps[LIF-6]": [
            ("each step begins without a membrane", "first=done, states=states", "first=done, states={}"),
        ],
        "library/test_early_exit.py::test_each_sample_gets_the_mean_over_its_steps[sample-6]": [
            ("the membranes of those who stopped go on", "{call: state[rest] for", "{call: state[: len(left)] for"),
            ("sure by the last step alone", "mean.softmax(dim=1)", "added.softmax(dim=1)"),
        ],
        "library/test_nir.py::test_what_is_imported_stops_when_it_is_sure": [
            ("the first layers run in no pass",
             "multi.run(Pass(T, multi.timesteps, batch, static=True), first_layers, images.clone())", "first_layers(images)"),
        ],
        "library/test_early_exit.py::test_antithetic_steps_stay_in_pairs": [
            ("antithetic steps one by one", 'over_time == "antithetic" for', 'over_time == "pairs" for'),
        ],
        "library/test_early_exit.py::test_the_layers_before_the_first_neuron_run_once": [
            ("the first layers at every step", "count = next(i for", "count = 0 * next(i for"),
        ],
    },
    "fastlif/timesteps.py": {
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("nothing is said of sequences", "inputs.ndim < 3 or inputs.shape[1:2] != labels.shape:", "True:"),
            ("a label may be no class", "if lowest < 0 or highest >= classes:", "if False:"),
            ("a label may be less than 0", "if lowest < 0 or", "if"),
            ("scores may be NaN", "numbers & (sums < math.inf).all()", "numbers"),
        ],
        "library/test_timesteps.py::test_an_error_about_as_many_steps_as_samples_speaks_of_sequences": [
            ("an error about sequences has no note", 'error.add_note(hint.removeprefix("; "))', "pass"),
        ],
        "library/test_timesteps.py::test_one_pass_is_a_run_for_every_T[sample]": [
            ("the accuracy of each step alone", "steps.cumsum(dim=0, dtype", "steps.to(dtype"),
        ],
        "library/test_timesteps.py::test_a_class_may_be_ruled_out_and_a_batch_empty": [
            ("no score may be infinite", "(sums < math.inf).all()", "sums.isfinite().all()"),
            ("an empty batch has no largest label", "if not labels.numel():", "if False:"),
        ],
        "library/test_timesteps.py::test_the_loss_decides": [
            ("the loss in samples", "<= loss * count for", "<= 100 * loss for"),
        ],
        "library/test_timesteps.py::test_the_model_is_left_as_it_is": [
            ("a membrane goes on to the next batch", "                neuron.reset()\n", "                pass\n"),
        ],
    },
    "fastlif/time_axis.py": {
        "library/test_time_axis.py::test_the_check_passes[an input that is changed in place]": [
            ("the model is given a leaf", "    copy = x.clone()", "    copy = x"),
        ],
        "library/test_time_axis.py::test_the_check_passes[such a time in a MultiStep]": [
            ("a row for each sample in a MultiStep is a table",
             "(samples, T * samples, (steps or 1) * samples)", "(samples, T * samples)"),
        ],
        "library/test_time_axis.py::test_the_check_refuses_arguments_of_other_types": [
            ("True is a dimension", '    validation.check_index("batch_dim", batch_dim, minimum=0)\n', ""),
            ("a call that is no function", "call is not None and not callable(call)", "False"),
        ],
        "library/test_time_axis.py::test_the_check_passes[every second step, in two patches]": [
            ("as many rows as there are steps and samples are all steps", "== [[step] for step in range(T)]",
             "!= []"),
        ],
        "library/test_time_axis.py::test_the_check_takes_gradients_where_none_are_wanted": [
            ("no gradients where none are wanted", "with torch.inference_mode(False):", "if True:"),
        ],
        "library/test_time_axis.py::test_the_check_finds": [
            ("samples that depend on others are not found",
             'if len(found) > 1:\n            raise ValueError(\n                f"row',
             'if False:\n            raise ValueError(\n                f"row'),
            ("later steps that reach earlier ones are not found",
             "if stepped and found and found[-1] > step:", "if False:"),
            ("a table of one row is a token", "if not is_table and bool(", "if bool("),
            ("a table is a batch", "        if path is None:\n            name", "        if False:\n            name"),
            ("neurons may disagree on T", "        _check_timesteps(model)\n        for", "        for"),
            ("a model without a memory passes", "if (first.T or neuron.timesteps) == 1 and", "if False and"),
            ("a mean of what forgets passes", "if not stepped and (begins != [0] or first.T):", "if not stepped:"),
            ("a neuron that gets nothing at first passes", "if not stepped and (begins", "if (begins"),
            ("a stateful neuron may take all steps for samples", "if others and (isinstance", "if (isinstance"),
            ("neurons and data may disagree on T", "if wrong and _is_whole(", "if False and _is_whole("),
            ("a stateful neuron's graph is cut", "neuron.detach_state = False", "pass"),
            ("a MultiStep is given one input for all steps",
             "if isinstance(model, MultiStep) and call is None and batch_dim == 0 and T == 1:", "if False:"),
        ],
        "peers/test_peers_spikingjelly.py::test_a_single_step_node_that_is_given_all_steps": [
            ("nodes of SpikingJelly are not looked at", "watch(model, WATCHED,", "watch(model, Neuron,"),
            ("a node forgets from call to call", "(isinstance(neuron, Accelerated) or neuron.stateful)", "neuron.stateful"),
        ],
        "library/test_time_axis.py::test_the_check_passes": [
            ("the check keeps the model's surrogate", 'neuron.surrogate = Surrogate("atan")', "pass"),
            ("a mean over time is a sequence", "(begins != [0] or first.T)", "first.T"),
            ("a MultiStep's images are steps", "(begins != [0] or first.T)", "begins != [0]"),
            ("a MultiStep's T is that of its neurons", "(first.T or neuron.timesteps) == 1", "neuron.timesteps == 1"),
            ("a MultiStep agrees with the data on T", "wrong = first.T is None and", "wrong ="),
            ("a token is a sequence", "if not any(ends):", "if False:"),
            ("a stateful neuron forgets from call to call", "if others and (isinstance", "if False and (isinstance"),
            ("a single noisy step forgets", " and (not isinstance(neuron, NoisyLIF) or neuron.converted)", ""),
            ("decay=0 forgets", "bool(torch.as_tensor(neuron.decay).any())", "True"),
            ("a token is a table", "not is_table and bool((given == given[:1]).all())", "False"),
            ("a token by itself is a table", "== 1 < places and", "== 1 and"),
            ("a token at one step is a table", "1 < places and neuron.timesteps == 1 and", "1 < places and"),
            ("a token of a stateful neuron is a table", " == 1 and not neuron.stateful", " == 1"),
        ],
        "library/test_time_axis.py::test_the_check_leaves_the_model_alone": [
            ("the model itself is run", "model = copy_of(model).eval()", "model = model.eval()"),
        ],
    },
    "fastlif/fusion.py": {
        "library/test_fusion.py::test_a_normalisation_on_another_device_is_left_to_pytorch": [
            ("a normalisation on another device is read", "    if batch_norm.weight.device != x.device:", "    if False:"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("a converted model is to be converted first, to be fused", '"" if neurons(model) else "convert', '"convert'),
            ("the neuron may come first", "    if isinstance(batch_norm, Neuron):", "    if False:"),
            ("nothing may be normalised", 'if not hasattr(input, "__torch_function__"):', "if False:"),
        ],
        "library/test_nir.py::test_a_fused_model_is_written_as_it_was": [
            ("torch.fx cannot trace what is fused",
             "    if not isinstance(x, torch.Tensor):  # such", "    if False:  # such"),
        ],
        "library/test_fusion.py::test_batches_that_nobody_counts": [
            ("batches are counted always", "if batch_norm.num_batches_tracked is not None:", "if True:"),
        ],
        "library/test_fusion.py::test_every_option_counts[noisy]": [
            ("momentum is hard-coded",
             "batch_norm.running_var, batch_norm.momentum, eps", "batch_norm.running_var, 0.1, eps"),
            ("eps is hard-coded in evaluation",
             "torch.rsqrt(batch_norm.running_var + eps)", "torch.rsqrt(batch_norm.running_var + 1e-5)"),
            ("the neuron's options are a new neuron's",
             "options = neuron.options(", "options = type(neuron)(neuron.timesteps).options("),
            ("batches are not counted", "batch_norm.num_batches_tracked.add_(1)", "pass"),
        ],
        "library/test_fusion.py::test_a_hook_of_all_modules_sees_both": [
            ("hooks of all modules are ignored", "if _has_any_global_hook():", "if False:"),
        ],
        "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[a hook]": [
            ("hooks are ignored", "any(module._forward_hooks or", "any("),
        ],
        "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[converted]": [
            ("a converted neuron is fused", "elif neuron.converted or neuron.timesteps > 1 or", "elif neuron.timesteps > 1 or"),
        ],
        "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[in evaluation, with gradients]": [
            ("evaluation is fused where gradients are wanted",
             "elif torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):", "elif False:"),
        ],
        "library/test_fusion.py::test_what_cannot_be_fused_is_called_one_after_the_other[stateful]": [
            ("a stateful neuron forgets its membrane",
             "if neuron.stateful or neuron.timesteps is None:", "if neuron.timesteps is None:"),
        ],
        "library/test_conversion.py::test_a_neuron_that_is_put_into_a_multistep_model_later_is_noticed[True]": [
            ("a fused neuron that came later is a single step", "thread.current.converts):", "False):"),
        ],
        "library/test_fusion.py::test_a_fused_network_trains_and_runs_as_before[single step]": [
            ("the neuron is called twice", "elif i - 1 not in pairs:", "else:"),
        ],
        "library/test_fusion.py::test_a_threshold_that_is_set_to_an_integer_is_fused": [
            ("a learned threshold is fused as a number",
             "if neuron.has_tensors():", "if False:"),
        ],
    },
    "fastlif/packing.py": {
        "library/test_packing.py::test_nothing_but_spikes_is_packed": [
            ("what was changed in place is packed",
             "if (version, dtype) != (tensor._version, tensor.dtype) or", "if dtype != tensor.dtype or"),
            ("what does not fill its memory is packed",
             "return backend if torch.ops.aten.is_non_overlapping_and_dense(tensor) else None", "return backend"),
            ("an incomplete byte is packed", "or tensor.numel() % 8 or", "or"),
        ],
        "library/test_packing.py::test_a_change_in_place_is_still_an_error": [
            ("a change in place goes unnoticed", "if kept.tensor._version != kept.version:", "if False:"),
        ],
        "library/test_packing.py::test_two_layers_that_read_the_same_spikes_pack_them_once": [
            ("another part's bits are taken",
             "if place < 0 or place + tensor.numel() > numel or place % step or tensor.numel() % step:",
             "if place < 0:"),
        ],
        "library/test_packing.py::test_layers_that_read_some_steps_take_their_bits": [
            ("the first steps' bits are taken for others",
             "return bits[place // step : (place + tensor.numel()) // step]", "return bits[: tensor.numel() // step]"),
        ],
        "library/test_packing.py::test_otherwise_they_are_packed_later[shape0-keywords0]": [
            ("small steps, whose bytes would be idle, get bits of their own",
             "if 8 * module.bytes_of(numel) > 1.125 * numel:", "if False:"),
        ],
        "library/test_packing.py::test_restored_exactly[reference-pooling-True-dtype5]": [
            ("another layout is restored", "torch.empty_strided(shape, strides, dtype", "torch.empty(shape, dtype"),
        ],
    },
}
