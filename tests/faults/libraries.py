"""Faults of what speaks with other libraries: the exchange format NIR, SpikingJelly, snnTorch, Norse."""

# fmt: off
FAULTS = {
    "fastlif/libraries/names.py": {
        "library/test_conversion.py::test_no_layer_of_another_library_is_taken_for_a_neuron": [
            ("all that begins alike is a neuron", '(place + ".", place + "_")', "place"),
        ],
        "library/test_conversion.py::test_whoever_has_another_library_s_neurons_is_told_what_takes_them_over": [
            ("a class of theirs is ours", "for cls in type(module).__mro__:", "for cls in [type(module)]:"),
        ],
    },
    "fastlif/exchange/nir_models.py": {
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("a model that has neurons of ours too is sent elsewhere", "if library and neurons(model):", "if False:"),
            ("a foreign file ends in its own error", "except (OSError, AssertionError, AttributeError, KeyError, TypeError, ValueError)",
             "except KeyError"),
            ("what the graph says can be said otherwise", "        if name in keywords:\n", "        if False:\n"),
            ("another reset than the graph's", "    if reset is not None:\n", "    if False:\n"),
        ],
        "library/test_conversion.py::test_whoever_has_another_library_s_neurons_is_told_what_takes_them_over": [
            ("neurons of SpikingJelly are written", 'if library == "SpikingJelly":', "if False:"),
            ("neurons of other libraries are written", "    if library:\n", "    if False:\n"),
        ],
        "library/test_nir.py::test_what_is_imported_runs_in_a_multistep_model": [
            ("imported layers look for time in a folded batch",
             "if current is not None and current.timesteps is not None:", "if False:"),
        ],
        "library/test_nir.py::test_what_is_imported_is_computed_again_in_a_multistep_model": [
            ("imported layers that are computed again look for time",
             "if current is None and in_backward():", "if False:"),
        ],
    },
    "fastlif/exchange/nir_neurons.py": {
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("a graph of Norse's may have any dt", "; export one of Norse's with dt=1", ""),
        ],
        "library/test_nir.py::test_a_read_out_keeps_its_scale[LI for each neuron-weights-euler]": [
            ("a read-out forgets its decay", "return LI(None, decay=_value(decay)", "return LI(None, decay=0.5"),
        ],
        "library/test_nir.py::test_a_soft_reset_one_step_late_that_the_graph_cannot_say": [
            ("the graph's reset in the place of the one that is asked for",
             'keywords = {"reset": _value(reset / unit), **keywords}',
             'keywords = {**keywords, "reset": _value(reset / unit)}'),
        ],
        "library/test_nir.py::test_spikes_at_the_threshold": [
            ("a spike at the threshold itself is lost", 'if getattr(neuron, "inclusive", False):', "if False:"),
        ],
        "library/test_nir.py::test_a_reader_in_float32_spikes_at_the_threshold": [
            ("a threshold is lowered before it is scaled alone",
             "np.minimum(_before(threshold), _before(threshold * unit) / unit)", "_before(threshold)"),
        ],
        "library/test_nir.py::test_our_reader_spikes_at_the_threshold_at_every_decay": [
            ("a threshold is lowered after it is scaled alone",
             "np.minimum(_before(threshold), _before(threshold * unit) / unit)",
             "_before(threshold * unit) / unit"),
        ],
        "library/test_nir.py::test_what_a_node_says": [
            ("thresholds keep their scale where r is 1",
             "threshold * unit, reset * unit", "threshold, reset * unit"),
            ("the reset keeps its scale where r is 1",
             "threshold * unit, reset * unit", "threshold * unit, reset"),
            ("an exponential step in the place of Euler's", "lead = 1 - decay", "lead = -np.log(decay)"),
        ],
        "library/test_nir.py::test_the_paper_s_neuron": [
            ("Euler's step in the place of an exponential one", "else np.exp(-dt / tau)", "else 1 - dt / tau"),
            ("the input's gain is forgotten", "unit = gain  #", "unit = np.ones_like(gain)  #"),
        ],
        "library/test_nir.py::test_a_neuron_that_leaks_elsewhere_and_is_reset_there": [
            ("v_leak is forgotten", "np.float64) - leak for value", "np.float64) for value"),
        ],
    },
    "fastlif/exchange/nir_layers.py": {
        "library/test_nir.py::test_batch_normalisation_is_folded": [
            ("batch normalisation without eps", "running_var.double() + batch_norm.eps", "running_var.double()"),
            ("batch normalisation forgets the layer's bias", "((0 if bias is None else bias) - batch", "(0 - batch"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("a layer that was not written is a NoneType", "if node is None:", "if False:"),
        ],
        "library/test_nir.py::test_the_sum_of_a_window": [("a sum is a mean", "divisor = 1 if", "divisor = None if")],
    },
    "fastlif/exchange/nir_graph.py": {
        "library/test_nir.py::test_scaled_thresholds_are_folded[branches]": [
            ("spikes of different heights are added", "if one.factor != other.factor:", "if False:"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("a scale of 0 is divided by", "if not height > 0:", "if False:"),
        ],
        "library/test_nir.py::test_scaled_thresholds_are_folded[linear]": [
            ("a threshold keeps its scale", "where, value.factor / height, self.dt", "where, value.factor, self.dt"),
        ],
        "library/test_nir.py::test_scaled_thresholds_are_folded[images]": [
            ("pooling forgets the height of spikes",
             "factor = 1.0 if isinstance(module, nir_layers.WEIGHTED) else value.factor", "factor = 1.0"),
        ],
        "library/test_nir.py::test_there_and_back[branches-weights-euler]": [
            ("of a sum only the first branch",
             "Value(one.sources + other.sources, one.shape, one.factor)", "Value(one.sources, one.shape, one.factor)"),
        ],
    },
    "fastlif/libraries/spikingjelly.py": {
        "peers/test_peers_spikingjelly.py::test_accelerated_nodes_are_recorded_and_counted_as_our_neurons[m]": [
            ("an accelerated node takes single steps", 'return None if self.step_mode == "m" else 1', "return 1"),
            ("accelerated nodes go on from their membranes", "        node.reset()\n", "        pass\n"),
            ("what counts leaves its membranes", "                setattr(node, name, value)\n", "                pass\n"),
        ],
        "peers/test_peers_spikingjelly.py::test_the_copy_and_what_it_leaves": [
            ("accelerate changes the model",
             "    model = copy_of(model)\n    for module in model.modules():\n        if type(module) in nodes",
             "    for module in model.modules():\n        if type(module) in nodes"),
        ],
        "peers/test_peers_spikingjelly.py::test_strict_changes_nothing": [
            ("strict accelerates what it can", "if left and strict:", "if False:"),
        ],
    },
    "fastlif/libraries/spikingjelly_nodes.py": {
        "peers/test_peers_spikingjelly.py::test_integers_are_taken_as_theirs_takes_them": [
            ("integers are refused", "if not x.is_floating_point() and not x.is_complex():", "if False:"),
        ],
        "peers/test_peers_spikingjelly_rows.py::test_ties_spike": [
            ("a node spikes above the threshold alone", "inclusive=True", "inclusive=False"),
        ],
        "peers/test_peers_spikingjelly.py::test_gradients_through_single_steps": [
            ("the input is not divided by tau", '"gain": 1 / self.tau if self.decay_input else 1.0', '"gain": 1.0'),
        ],
        "peers/test_peers_spikingjelly_rows.py::test_parametric_lif_node[True-0.25]": [
            ("the membrane leaks to 0 whatever v_reset is", "0.0 if self.v_reset is None else self.v_reset", "0.0"),
        ],
    },
    "fastlif/libraries/snntorch_norse.py": {
        "peers/test_peers_norse.py::test_what_has_no_counterpart": [
            ("a dt that is too long is told of as a decay",
             'if "decay" not in keywords and bool((torch.as_tensor(gain) > 1).any()):', "if False:"),
        ],
        "peers/test_peers_snntorch.py::test_a_reset_that_was_set_later_and_does_not_count": [
            ("a reset that snnTorch does not compute is taken over", "if computed != mechanism:", "if False:"),
        ],
        "peers/test_peers_snntorch.py::test_a_hidden_state_is_kept_from_call_to_call": [
            ("snnTorch's hidden state is dropped", "if leaky.init_hidden and timesteps == 1:", "if False:"),
        ],
        "peers/test_peers_snntorch.py::test_subtract_with_delay[0.9-1.0]": [
            ("snnTorch's delayed reset has a gradient", '"detach_reset": leaky.reset_delay', '"detach_reset": False'),
        ],
        "peers/test_peers_norse.py::test_keywords_dt_and_mode": [
            ("Norse's input has no gain", '"gain": gain,', '"gain": 1.0,'),
        ],
    },
}
