"""Faults of what looks inside a network and prints what runs here."""

RECORDING = [
    (
        "rates of units that differ",
        "    _check_alike(name, {part.shape[2:] for part in parts}",
        "    _check_alike(name, {0}",
        "library/test_recording.py::test_forwards_follow_one_another_in_time",
    ),
    (
        "units that differ are counted together",
        "                _check_alike(name, {spikes.shape[2:] for spikes in entry.spikes}",
        "                _check_alike(name, {0}",
        "library/test_recording.py::test_forwards_follow_one_another_in_time",
    ),
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

BY_FILE = {
    "fastlif/recording/log.py": RECORDING,
    "fastlif/recording/membranes.py": MEMBRANES,
    "fastlif/recording/energy.py": OPERATIONS,
    "fastlif/plot.py": PLOT,
    "fastlif/__main__.py": MAIN,
}
