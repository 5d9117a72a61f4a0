"""Faults of the neurons as modules, and of the passes that their calls belong to."""

# fmt: off
FAULTS = {
    "fastlif/modules.py": {
        "library/test_conversion.py::test_what_was_loaded_into_a_model_without_memory_is_calibrated": [
            ("what was calibrated goes to meta",
             "value.device if before.is_meta else before.device", "before.device"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("any statistics can be set later", "    _checks = Neuron._checks | {", "    _others = {"),
            ("wrong calibrated values are loaded", "        if wrong:  # neither", "        if False:  # neither"),
        ],
        "library/test_conversion.py::test_calibration_travels_in_the_state_dict": [
            ("statistics of 16 bits are taken over", "self._buffers[name].float()", "self._buffers[name]"),
            ("more steps than were calibrated", "if end > T:", "if False:"),
            ("calibrated values are not in the state_dict",
             "value.numel() > 0)", "False)"),
        ],
        "library/test_multistep.py::test_calibrated_neurons_carry_no_membrane_into_a_call": [
            ("step 1 drops a carried membrane", "if initial_state is not None and first == 0 and", "if False and"),
        ],
        "library/test_parameters.py::test_a_parametrization_of_a_parametric_lif_counts": [
            ("parametrizations are left out",
             "self._buffers or self._modules or self._is_replica", "self._buffers or self._is_replica"),
        ],
        "pytorch/test_pytorch.py::test_replicas_of_neurons_that_learn": [
            ("what a replica learned is left out", "self._modules or self._is_replica", "self._modules"),
        ],
        "library/test_parameters.py::test_a_learned_decay_is_clamped[-0.25-0.0]": [
            ("a learned decay may leave [0, 1]", 'tensors["decay"] = tensors["decay"].clamp(0, 1)', "pass"),
        ],
        "library/test_modules.py::test_a_pickle_of_an_older_version[residual]": [
            ("an old pickle computes another residual noise", '_earlier = {"residual": "range"}', "_earlier = {}"),
        ],
        "library/test_conversion.py::test_a_neuron_that_is_put_into_a_multistep_model_later_is_noticed[False]": [
            ("a neuron that came later is a single step", "thread.current.converts:", "False:"),
        ],
        "library/test_modules.py::test_noisy_lif_is_single_step_until_converted": [
            ("a converted neuron of one step is a single step",
             "if not self.converted and self._single(input):", "if self._single(input):"),
        ],
        "library/test_time_axis.py::test_a_stateful_time_first_neuron_carries_its_membrane_over_single_steps": [
            ("a stateful neuron of one step is a single step",
             "return input.shape[0] == 1 and not self.stateful", "return input.shape[0] == 1"),
        ],
        "library/test_conversion.py::test_the_options_of_a_multistep_model[residual]": [
            ("NoisyLIF's residual is the default's", "self.noise, self.residual,", 'self.noise, "matched",'),
        ],
        "library/test_modules.py::test_statistics_that_lie_apart_are_gathered": [
            ("statistics that were assigned are read where they do not lie",
             "self._buffers[name].float().contiguous()", "self._buffers[name].float()"),
            ("statistics that were set are read where they do not lie",
             "value.contiguous(), value.numel()", "value, value.numel()"),
        ],
        "library/test_passes.py::test_each_call_of_a_calibrated_neuron_uses_its_own_row_and_first_steps": [
            ("the last steps of the calibrated",
             "mean[call, first:end], deviation[call, first:end]",
             "mean[call, T - timesteps :], deviation[call, T - timesteps :]"),
            ("the calibrated row of the call before",
             "mean[call, first:end], deviation[call, first:end]",
             "mean[max(call - 1, 0), first:end], deviation[max(call - 1, 0), first:end]"),
        ],
        "library/test_conversion.py::test_statistics_that_are_given_forget_a_calibration": [
            ("statistics that are given keep a calibration", "        if statistics is not None:\n", "        if False:\n"),
            ("a conversion forgets the calibration", "        if statistics is not None:\n", "        if True:\n"),
            ("what was forgotten is in the state_dict", "value.numel() > 0)", "True)"),
        ],
        "library/test_conversion.py::test_calibrating_again_forgets_the_first_calibration": [
            ("calibration uses what was calibrated before",
             'if thread.recording is not None:\n            return "layer"', "if False:\n            pass"),
        ],
    },
    "fastlif/models.py": {
        "library/test_conversion.py::test_a_loader_s_batches_go_to_the_model_s_device": [
            ("batches stay where they are", "input.to(first.device) if input.is_cpu else input", "input"),
            ("batches are brought back", "input.to(first.device) if input.is_cpu else input", "input.to(first.device)"),
        ],
        "library/test_conversion.py::test_calibration_leaves_the_rest_of_a_model_alone": [
            ("calibration in training mode", "    model.eval()\n", ""),
            ("all modules train after calibration", "module.training = mode", "module.training = True"),
        ],
        "library/test_energy.py::test_energy_leaves_the_model_as_it_was": [
            ("what runs in evaluation forgets the carried membranes",
             "            neuron.states = state\n", "            neuron.states = {}\n"),
            ("a model stays in evaluation", "            module.training = mode", "            pass"),
        ],
        "library/test_scaling.py::test_nothing_else_changes": [
            ("a trained network stays in evaluation", "module.training = mode", "module.training = False"),
        ],
        "peers/test_peers_spikingjelly.py::test_our_reset_and_detach_reach_their_neurons": [
            ("SpikingJelly's nodes are not reset",
             "for neuron in [*neurons(model), *of_spikingjelly(model)]:", "for neuron in neurons(model):"),
        ],
    },
    "fastlif/neuron.py": {
        "library/test_passes.py::test_a_part_in_another_thread_is_refused[True]": [
            ("compiled code may run in another thread", "not (self.compiled_apart or self.running)", "not self.compiled_apart"),
        ],
        "library/test_passes.py::test_a_compiled_stateful_neuron_is_not_computed_again": [
            ("compiled code computes a stateful neuron again", "        elif self.stateful:  #", "        elif False:  #"),
        ],
        "library/test_modules.py::test_a_copy_of_a_compiled_neuron_computes_by_itself[copy]": [
            ("a copy runs what its original compiled", 'not in ("_kept", "_compiled_call_impl")', '!= "_kept"'),
        ],
        "library/test_passes.py::test_checkpoints_of_parts_that_are_compiled_by_themselves[4-True-True]": [
            ("compiled code looks for no pass", "if not (self.compiled_apart or self.running) or torch", "if True or torch"),
        ],
        "library/test_passes.py::test_the_layers_of_a_multistep_are_one_graph_by_themselves": [
            ("compiled code always looks for a pass", "if not (self.compiled_apart or self.running) or torch", "if torch"),
        ],
        "library/test_modules.py::test_a_cuda_graph_reads_the_membrane_where_it_writes_it[LIF-True]": [
            ("a CUDA graph does not write to what inference made", "before.is_inference() or torch", "torch"),
        ],
        "library/test_parameters.py::test_the_graph_is_kept_from_call_to_call[LIF]": [
            ("the graph is never kept", "state.detach() if self.detach_state else state", "state.detach()"),
        ],
        "library/test_modules.py::test_the_membrane_is_carried_detached[LIF]": [
            ("the membrane keeps its graph", "state.detach() if self.detach_state else state", "state"),
        ],
        "library/test_modules.py::test_a_cuda_graph_reads_the_membrane_where_it_writes_it[LIF-False]": [
            ("a CUDA graph forgets the membrane", "before is not None and not wanted and", "False and"),
            ("a CUDA graph overwrites what a backward needs", "before is not None and not wanted and", "before is not None and"),
        ],
        "library/test_parameters.py::test_what_is_learned_goes_on_being_learned[threshold]": [
            ("what is learned stops being learned", "if is_buffer and name in self._parameters:", "if False:"),
        ],
        "library/test_parameters.py::test_a_new_neuron_that_computes_its_parameters_in_a_checkpoint": [
            ("a parametrization is computed to know of it", ' or name in getattr(self, "parametrizations", ())', ""),
        ],
        "library/test_conversion.py::test_what_was_loaded_into_a_model_without_memory_is_calibrated": [
            ("what was loaded cannot be moved", "            if tensor.is_meta and not tensor.numel():", "            if False:"),
        ],
        "library/test_modules.py::test_tau_is_another_word_for_the_decay": [
            ("tau is set beside the decay", "self.decay = neuron_values.check_decay(None, value)", "pass"),
        ],
        "pytorch/test_pytorch.py::test_copies_in_the_middle_of_a_sequence[LIF]": [
            ("autograd is given a membrane of inference mode",
             "return state.clone()  # which autograd can save", "return state"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("any flag can be set later", "if check is not None:", "if False:"),
            ("a membrane of another shape is dropped",
             "if state.shape != step:\n            raise",
             "if state.shape != step:\n            return None\n            raise"),
        ],
        "library/test_parameters.py::test_a_parameter_may_be_set_later": [
            ("a tensor that is set later is no buffer",
             "self.register_buffer(name, value)", "vars(self)[name] = value"),
            ("a parameter stays where a number was set",
             "            if not isinstance(value, nn.Parameter):\n"
             "                self._parameters.pop(name, None)\n",
             ""),
        ],
        "library/test_modules.py::test_stateful_carries_the_membrane": [
            ("reset forgets nothing",
             'where a spike puts one."""\n        self.states = {}', 'where a spike puts one."""'),
        ],
        "library/test_passes.py::test_what_is_computed_again_belongs_to_its_own_pass[lif-another T-True]": [
            ("a pass in which T is another is the present one",
             "            T = current.timesteps\n        if T", "        if T"),
        ],
        "library/test_time_axis.py::test_neurons_of_a_multistep_model_agree_on_its_timesteps": [
            ("neurons may disagree with their model on T", "if current.of_neurons not in (None, T):", "if False:"),
        ],
        "library/test_modules.py::test_half_keeps_the_membrane_in_float32": [
            ("the membrane in half precision",
             "return result if result.dtype == tensor.dtype else tensor.to(result.device)", "return result"),
        ],
        "library/test_modules.py::test_repr_tells_the_whole_neuron": [
            ("a repr without what is not an equation's number",
             'for name in (*self._shown, "surrogate", "detach_reset", "stateful", "detach_state", "backend"):',
             "for name in self._shown:"),
        ],
        "library/test_modules.py::test_a_pickle_s_parameter_is_not_hidden_by_a_default": [
            ("a default hides a parameter", "if name not in held}", "if name not in state}"),
        ],
        "library/test_passes.py::test_a_shared_relu_made_stateful_after_the_conversion": [
            ("a neuron made stateful late is taken", "if self.stateful and self.unmarked:", "if False:"),
        ],
        "pytorch/test_eager.py::test_a_changed_attribute_counts": [
            ("a changed attribute is not noticed", '        vars(self)["_kept"] = {}', "        pass"),
        ],
        "pytorch/test_pytorch.py::test_replicas_of_neurons_that_learn": [
            ("a replica's learned numbers are refused",
             "not (isinstance(value, nn.Parameter) or self._is_replica)", "not isinstance(value, nn.Parameter)"),
        ],
        "library/test_conversion.py::test_a_batch_in_the_second_dimension_is_noticed": [
            ("a batch in the second dimension of an input that is repeated",
             "        if x.shape[0] % (T * current.batch):", "        if False:"),
            ("an odd batch in a MultiStep is one whose T does not fit",
             "if current is None or T == 1 or not current.batch:", "if True:"),
        ],
    },
    "fastlif/passes.py": {
        "library/test_passes.py::test_a_compiled_call_that_cannot_be_told_is_an_error": [
            ("calls in compiled code are numbered", "or len(calls) > 1 and calls[0] is COMPILED", ""),
        ],
        "library/test_passes.py::test_a_copy_has_none_of_the_passes_that_run[copy]": [
            ("a copy has the passes that run", "return Running, ()", "return Running, (list(self),)"),
        ],
        "library/test_passes.py::test_a_shared_stateful_neuron_carries_a_membrane_for_each_call[lif-6]": [
            ("all calls in a pass are the first", "return len(calls) - 1", "return 0"),
        ],
        "library/test_passes.py::test_a_shared_calibrated_neuron_that_is_computed_again_uses_the_row_of_its_call": [
            ("a call that is computed again is the last",
             "return self.again[neuron] % len(calls)", "return len(calls) - 1"),
            ("calls of one backward count in the next",
             "if self.backward != torch._C._current_graph_task_id():", "if self.backward == -1:"),
        ],
        "library/test_passes.py::test_a_call_that_cannot_be_told_is_an_error": [
            ("calls of several checkpoints are numbered",
             "if any(checkpoint != calls[0] for checkpoint in calls) or", "if"),
        ],
        "library/test_passes.py::test_what_is_computed_again_belongs_to_its_own_pass[lif-another batch-True]": [
            ("a pass is not left with its graph", "node.metadata[PASS] = self", "pass"),
        ],
        "library/test_passes.py::test_a_failed_pass_is_over": [
            ("a pass never ends", "if thread.current is not None and thread.current.root is model:", "if False:"),
        ],
    },
    "fastlif/variants.py": {
        "library/test_parameters.py::test_parametric_lif[True-None]": [
            ("w stays",
             "        nn.init.constant_(self.w, -math.log(self.init_tau - 1))",
             "        if not self.w.any():\n            nn.init.constant_(self.w, -math.log(self.init_tau - 1))"),
        ],
        "library/test_parameters.py::test_leaky_integrator_goes_on_in_float64": [
            ("a membrane stays in float32", "if v is None else v.to(membrane_dtype(x))", "if v is None else v"),
        ],
        "library/test_parameters.py::test_leaky_integrator_whose_decay_has_become_nan": [
            ("the integrator's decay may become NaN",
             "                neuron_values.check_parameter(name, value, x.shape[1:], x.device)\n", "                pass\n"),
        ],
        "library/test_parameters.py::test_leaky_integrator_learns_its_decay_and_gain[channels]": [
            ("the integrator's decay is not clamped",
             "return self.decay.clamp(0, 1) if isinstance(self.decay, torch.Tensor) else self.decay",
             "return self.decay"),
        ],
        "library/test_parameters.py::test_leaky_integrator_takes_one_value_of_any_shape_and_dtype": [
            ("one value must have the step's dimensions",
             "(value.reshape(()) if value.numel() == 1 else value).to(v.dtype)", "value.to(v.dtype)"),
        ],
        "library/test_parameters.py::test_leaky_integrator_keeps_its_membrane_when_its_output_is_changed": [
            ("the integrator's membrane is a part of its output",
             "_carry(states, call, v)",
             "_carry(states, call, membranes[-1])"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("any decay can be set later", "            return number(value)", "            return value"),
        ],
        "packaging/test_annotations.py::test_every_public_signature_is_annotated": [
            ("a public argument without a type", "init_tau: float = 2.0", "init_tau=2.0"),
        ],
    },
}
