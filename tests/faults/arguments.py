"""Faults of the functions, of their options, and of what checks arguments."""

# fmt: off
FAULTS = {
    "fastlif/functional.py": {
        "library/test_parameters.py::test_neurons[reference-hard, rest]": [
            ("the membrane is handed back from rest", "state = state + chosen.rest", "pass"),
        ],
        "library/test_functional.py::test_seed_comes_from_torchs_generator": [
            ("the seed is always 0",
             "seed = neuron_values.check_seed(seed, input.device)", "seed = neuron_values.check_seed(0, input.device)"),
            ("a seed is drawn where nothing else is",
             'if chosen.noise == "none":\n        return None', "if False:\n        return None"),
        ],
        "kernels/test_kernels.py::test_sequence_layouts[noisy_lif-sample-batch-inside]": [
            ("samples inside a layout share statistics",
             'if statistics == "sample" and not batch_outermost(unfolded(input, timesteps)):', "if False:"),
        ],
        "kernels/test_kernels.py::test_noisy_lif_steps[4-calibrated-float32]": [
            ("alpha for 1 / alpha", "inv_alpha=1 / alpha", "inv_alpha=alpha"),
        ],
        "library/test_reference.py::test_normalisation_is_the_papers[0.0-layer]": [
            ("the neuron's noise for the residual",
             "= residual_noise(noise, alpha, beta, residual)", "= noise.kind, noise.scalars()"),
        ],
        "kernels/test_kernels.py::test_lif_state[3-0.9]": [
            ("lif without its initial state",
             "timesteps, initial_state, None, None, None, None, gain", "timesteps, None, None, None, None, None, gain"),
        ],
    },
    "fastlif/options.py": {
        "kernels/test_kernels.py::test_surrogate_at_the_mean[atan--0.25-False-gaussian]": [
            ("the backward at the mean keeps the threshold",
             "self.threshold - self.noise_scalars[0]", "self.threshold"),
        ],
        "pytorch/test_eager.py::test_a_record_that_is_held_stays_the_only_one_and_others_are_forgotten": [
            ("a record that is held is made again", "record = _alive.get(text)", "record = None"),
            ("records are held for good", "weakref.WeakValueDictionary()", "{}"),
        ],
        "pytorch/test_eager.py::test_equal_keys_are_not_equal_arguments": [("True is 1", ", typed=True", "")],
        "pytorch/test_eager.py::test_equal_records_are_one": [
            ("a copy is another record",
             "return options_of_text, (self.text,)", "return Options, tuple(vars(self).values())"),
        ],
    },
    "fastlif/backends.py": {
        "library/test_functional.py::test_without_triton_another_backend_is_named_that_runs[compiled-cuda-reference]": [
            ("Inductor needs no triton on a GPU", 'if device == "cuda" and (', "if False and ("),
        ],
        "kernels/test_emulated.py::test_nothing_is_found[callers that are compiled]": [
            ("the first thing that is compiled is kept without the kernels' text",
             "        kernels()  # imported now: torch.compile asks for their text before it runs one\n", ""),
        ],
        "library/test_functional.py::test_float64_is_the_references": [
            ("float64 on a CPU is compiled",
             'if dtype == torch.float64:\n            return "reference"', 'if False:\n            return "reference"'),
        ],
        "library/test_functional.py::test_no_compiler_says_what_to_install": [
            ("a missing compiler goes unnoticed",
             'if device == "cpu" and not any(shutil.which', 'if device == "gpu" and not any(shutil.which'),
        ],
        "library/test_functional.py::test_triton_on_a_cpu_says_why_not": [
            ("Triton on a CPU without its interpreter",
             'or device == "cpu" and _interpreting():', 'or device == "cpu":'),
        ],
    },
    "fastlif/types.py": {
        "library/test_parameters.py::test_another_process_takes_no_other_function_for_an_exported_one": [
            ("functions are told apart by their number", "return hashlib.sha256(repr(_meaning(function))", "return hashlib.sha256(repr(len(OWN))"),
            ("what a function reads is not told apart", "[inner(one) for one in reads]", "0"),
        ],
        "library/test_parameters.py::test_a_bound_method_is_one_surrogate_and_equal_objects_are_two": [
            ("a bound method is another each time", "and known.name == function", "and known.name is function"),
            ("equal objects are one", "isinstance(function, MethodType) and known.name", "known.name"),
        ],
        "library/test_parameters.py::test_an_own_surrogate_is_made_in_a_compiled_function": [
            ("a compiler enters a lock", "contextlib.nullcontext() if compiling else _naming", "_naming"),
        ],
        "library/test_parameters.py::test_a_surrogate_is_copied_and_saved_with_its_triton_function": [
            ("Triton's function is copied with its surrogate",
             "    def __deepcopy__(self, memo) -> Surrogate:", "    def copied(self, memo) -> Surrogate:"),
            ("a Triton function that cannot be found again is saved", "if _at(*place) is not function:", "if False:"),
        ],
        "packaging/test_annotations.py::test_type_checkers_know_every_keyword[lif]": [
            ("type checkers do not know a keyword", "    inclusive: bool\n", ""),
        ],
        "library/test_parameters.py::test_own_surrogates_are_known_by_their_function": [
            ("all of a user's functions are one", "if same and known.triton", "if known.triton"),
        ],
        "library/test_functional.py::test_defaults_are_the_documented_ones": [
            ("another default width", '"sigmoid": 4.0', '"sigmoid": 5.0'),
        ],
        "kernels/test_noise.py::test_noise_never_leaves_its_range": [
            ("the whole range for half", "return (self.high - self.low) / 2", "return self.high - self.low"),
            ("the range's end for its middle", "return (self.low + self.high) / 2", "return self.high"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("low may exceed high", "if self.low > self.high:", "if False:"),
        ],
    },
    "fastlif/validation.py": {
        "peers/test_peers_spikingjelly.py::test_what_cannot_be_looked_into_says_what_can": [
            ("a neuron of another library is passed over", "if library and module not in neurons:", "if False:"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("NaN is a number",
             "if value != value or (finite and value - value != 0):", "if finite and value - value != 0:"),
            ("T need not divide the batch", "if x.shape[0] % timesteps:", "if False:"),
        ],
    },
    "fastlif/neuron_values.py": {
        "pytorch/test_pytorch.py::test_a_noise_that_shrinks_in_a_compiled_model_is_refused_in_words": [
            ("a symbol is formatted", 'f"alpha={alpha} gives', 'f"alpha={alpha:g} gives'),
        ],
        "library/test_functional.py::test_a_seed_beyond_63_bits_is_a_negative_one": [
            ("an unsigned seed is halved", "number -= 2**64 if number >= 2**63 else 0", "number -= 2**63 if number >= 2**63 else 0"),
        ],
        "library/test_bad_inputs.py::test_a_bad_call_is_refused": [
            ("decay beyond 1", "if not 0 <= decay <= 1:", "if not 0 <= decay:"),
            ("alpha may exceed the noise's range",
             'if noise.kind != "none" and 1 / alpha > noise.half_range:', "if False:"),
            ("statistics of another T", "if value.shape != (timesteps,):", "if False:"),
            ("a negative deviation",
             "deviation.isfinite() & (deviation >= 0)).all())\n        except",
             "deviation.isfinite()).all())\n        except"),
            ("a state of another shape", "if state.shape != x.shape[1:]:", "if False:"),
            ("a seed of two elements", "if seed.numel() != 1:", "if False:"),
        ],
        "pytorch/test_transforms.py::test_a_membrane_stays_within_vmap[LIF-gradients]": [
            ("a membrane out of vmap that a gradient holds", "membrane = functorch.get_unwrapped(membrane)", "return"),
            ("a membrane within vmap is out of it", "functorch.maybe_get_level(membrane) > level:", "True:"),
        ],
        "library/test_parameters.py::test_parametric_lif[True-None]": [
            ("tau as the decay", "decay = 1 - 1 / tau", "decay = 1 / tau"),
        ],
        "library/test_properties.py::test_the_smallest_alpha_is_accepted_for_every_noise": [
            ("the smallest alpha is refused", "while 1 / alpha > noise.half_range:", "while False:"),
        ],
    },
}
