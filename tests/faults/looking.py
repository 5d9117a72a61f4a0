"""Faults of what looks inside a network and prints what runs here."""

# fmt: off
FAULTS = {
    "fastlif/recording/log.py": {
        "library/test_recording.py::test_forwards_follow_one_another_in_time": [
            ("rates of units that differ",
             "    _check_alike(name, {part.shape[2:] for part in parts}", "    _check_alike(name, {0}"),
            ("units that differ are counted together",
             "                _check_alike(name, {spikes.shape[2:] for spikes in entry.spikes}",
             "                _check_alike(name, {0}"),
            ("a second forward gets further entries",
             "self._layers, self._counts, self._reached = [], {}, False", "self._layers, self._reached = [], False"),
        ],
        "library/test_recording.py::test_rates_of_many_spikes_count_every_one": [
            ("spikes are counted in float32", "spikes.sum(dtype=torch.float64)", "spikes.sum(dtype=torch.float32)"),
            ("a unit's spikes are counted in float32",
             "dim=(0, 1), dtype=torch.float64", "dim=(0, 1), dtype=torch.float32"),
        ],
        "library/test_recording.py::test_a_change_in_place_after_the_neuron": [
            ("what follows in place changes the log", "spikes.append(spikes.clone())", "spikes.append(spikes)"),
        ],
        "library/test_recording.py::test_nothing_is_left_behind": [
            ("hooks stay behind", "        self._hooks.close()\n", ""),
            ("it is recorded for ever", "        _recorded.difference_update(self._neurons)\n", ""),
        ],
        "library/test_recording.py::test_what_a_checkpoint_computes_again_is_not_recorded_again": [
            ("what a checkpoint computes again is recorded again", "        if in_backward():\n            return", ""),
        ],
        "library/test_recording.py::test_a_part_and_another_model_in_one_with": [
            ("a part may be recorded twice", "if module in _recorded:", "if False:"),
        ],
        "library/test_recording.py::test_rates_and_the_table_by_hand": [
            ("a unit without a spike at one step is silent",
             "step.flatten(0, 1).all(dim=0)", "step.flatten(0, 1).any(dim=0)"),
        ],
    },
    "fastlif/recording/membranes.py": {
        "library/test_recording.py::test_membranes_are_those_of_the_spikes[single step-reference]": [
            ("the noise of another seed", "    generator.set_state(state)\n", ""),
        ],
        "library/test_recording.py::test_membranes_are_those_of_the_spikes[stateful-reference]": [
            ("the state is forgotten", "v = states.get(call) if neuron.stateful else None", "v = None"),
        ],
        "library/test_recording.py::test_calls_of_a_shared_neuron_and_static_input": [
            ("every call has the first one's statistics", "len(current.calls[neuron]) - 1 if", "0 if"),
        ],
        "library/test_recording.py::test_membranes_of_16_bits_are_those_of_32": [
            ("a reset is rounded to 16 bits", "    spikes = reference.widen(spikes)\n", ""),
        ],
        "library/test_recording.py::test_membranes_of_a_batch_that_is_not_outermost": [
            ("the noise of another layout", "        x = x.contiguous()  # as", "        pass  # as"),
        ],
        "library/test_recording.py::test_membranes_are_those_of_the_spikes[LIF, soft reset-reference]": [
            ("a soft reset of 1", "return h - threshold * s if reset is None", "return h - s if reset is None"),
        ],
    },
    "fastlif/recording/watch.py": {
        "peers/test_peers_spikingjelly.py::test_steps_without_dimensions_are_recorded[m-shape0]": [
            ("a step has dimensions", "output = output[..., None]", "pass"),
        ],
        "peers/test_peers_spikingjelly.py::test_a_node_that_is_called_by_keyword_is_recorded": [
            ("every input is called input",
             "next(iter((*arguments, *keywords.values())))", 'arguments[0] if arguments else keywords["input"]'),
        ],
        "peers/test_peers_spikingjelly.py::test_what_cannot_be_looked_into_says_what_can": [
            ("accelerated nodes cannot be watched", "WATCHED = (Neuron, Accelerated)", "WATCHED = (Neuron, Neuron)"),
        ],
        "library/test_recording.py::test_a_pass_has_steps_of_its_own": [
            ("a pass has the model's T", "timesteps = of_pass() or neuron.timesteps", "timesteps = neuron.timesteps"),
        ],
    },
    "fastlif/recording/energy.py": {
        "library/test_energy.py::test_energy_by_hand": [
            ("no spike costs too", "torch.ones_like(input) if analogue else input != 0", "torch.ones_like(input)"),
            ("the ReLU twin runs T times", "    return (1, *call.shape[1:])", "    return tuple(call.shape)"),
        ],
        "library/test_energy.py::test_channels_are_no_batch_even_where_both_are_as_many": [
            ("channels are a batch", "len(call.shape) > _dimensions(call.layer) + 2 and ", ""),
        ],
        "library/test_energy.py::test_static_input_is_counted_once_and_the_twin_runs_once": [
            ("averages of spikes are spikes",
             "binary = ((input == 0) | (input == 1)).all()", "binary = (input >= 0).all()"),
        ],
        "library/test_energy.py::test_what_a_neuron_adds_and_multiplies": [
            ("a neuron that does not leak multiplies", "steps * self._factors()", "steps"),
            ("a neuron without a threshold compares with it", "1 if isinstance(neuron, LI) else 2", "2"),
        ],
        "library/test_energy.py::test_products_of_activations_are_named": [
            ("attention is not named", "[*_uncounted(model), *products.names]", "_uncounted(model)"),
        ],
        "library/test_energy.py::test_weights_met_as_by_force": [
            ("groups are forgotten", " * (layer.out_channels // layer.groups)", " * layer.out_channels"),
        ],
    },
    "fastlif/plot.py": {
        "library/test_plot.py::test_raster_of_a_tensor": [
            ("spikes one step early", "x, y = step + 1, row + start", "x, y = step, row + start"),
            ("the first sample whatever was asked for", "steps[:, sample].detach()", "steps[:, 0].detach()"),
        ],
    },
    "fastlif/__main__.py": {
        "packaging/test_main.py::test_there_are_no_arguments": [
            ("arguments are ignored", ".parse_args()", ""),
        ],
        "packaging/test_main.py::test_what_fails_is_told_by_its_first_line": [
            ("a wrong gradient is a right one", "if not (x.grad.isfinite().all() and x.grad.any()):", "if False:"),
            ("an error's last line", "splitlines() or [''])[0]", "splitlines() or [''])[-1]"),
            ("an error ends the report", "    except Exception as error:", "    except ImportError as error:"),
        ],
        "packaging/test_main.py::test_the_kernels_run_and_the_compiler_is_missing": [
            ("the home folder is named", 'text.replace(f"{Path.home()}/", "~/")', "text"),
        ],
        "packaging/test_main.py::test_without_triton": [
            ("a missing triton is not asked for", "    if reason:\n", "    if False:\n"),
        ],
    },
}
