"""Faults of the functions, of their options, and of what checks arguments."""

_LAYOUTS = "kernels/test_kernels.py::test_sequence_layouts[{}]".format
FUNCTIONAL = [
    (
        "the membrane is handed back from rest",
        "state = state + chosen.rest",
        "pass",
        "library/test_parameters.py::test_neurons[reference-hard, rest]",
    ),
    (
        "the seed is always 0",
        "seed = neuron_values.check_seed(seed, input.device)",
        "seed = neuron_values.check_seed(0, input.device)",
        "library/test_functional.py::test_seed_comes_from_torchs_generator",
    ),
    (
        "a seed is drawn where nothing else is",
        'if chosen.noise == "none":\n        return None',
        "if False:\n        return None",
        "library/test_functional.py::test_seed_comes_from_torchs_generator",
    ),
    (
        "samples inside a layout share statistics",
        'if statistics == "sample" and not batch_outermost(unfolded(input, timesteps)):',
        "if False:",
        _LAYOUTS("noisy_lif-sample-batch-inside"),
    ),
    (
        "alpha for 1 / alpha",
        "inv_alpha=1 / alpha",
        "inv_alpha=alpha",
        "kernels/test_kernels.py::test_noisy_lif_steps[4-calibrated-float32]",
    ),
    (
        "the neuron's noise for the residual",
        "= residual_noise(noise, alpha, beta, residual)",
        "= noise.kind, noise.scalars()",
        "library/test_reference.py::test_normalisation_is_the_papers[0.0-layer]",
    ),
    (
        "lif without its initial state",
        "timesteps, initial_state, None, None, None, None, gain",
        "timesteps, None, None, None, None, None, gain",
        "kernels/test_kernels.py::test_lif_state[3-0.9]",
    ),
]

OPTIONS = [
    (
        "the backward at the mean keeps the threshold",
        "self.threshold - self.noise_scalars[0]",
        "self.threshold",
        "pytorch/test_operators.py::test_at_the_mean_the_backward_is_that_of_a_lower_threshold_without_noise",
    ),
    (
        "a record that is held is made again",
        "record = _alive.get(text)",
        "record = None",
        "pytorch/test_eager.py::test_a_record_that_is_held_stays_the_only_one_and_others_are_forgotten",
    ),
    (
        "records are held for good",
        "weakref.WeakValueDictionary()",
        "{}",
        "pytorch/test_eager.py::test_a_record_that_is_held_stays_the_only_one_and_others_are_forgotten",
    ),
    ("True is 1", ", typed=True", "", "pytorch/test_eager.py::test_equal_keys_are_not_equal_arguments"),
    (
        "a copy is another record",
        "return options_of_text, (self.text,)",
        "return Options, tuple(vars(self).values())",
        "pytorch/test_eager.py::test_equal_records_are_one",
    ),
]

BACKENDS = [
    (
        "float64 on a CPU is compiled",
        'if dtype == torch.float64:\n            return "reference"',
        'if False:\n            return "reference"',
        "library/test_functional.py::test_float64_is_the_references",
    ),
    (
        "a missing compiler goes unnoticed",
        'if device == "cpu" and not any(shutil.which',
        'if device == "gpu" and not any(shutil.which',
        "library/test_functional.py::test_no_compiler_says_what_to_install",
    ),
    (
        "Triton on a CPU without its interpreter",
        'if device == "cpu" and _interpreting():',
        'if device == "cpu":',
        "library/test_functional.py::test_triton_on_a_cpu_says_why_not",
    ),
]

_REFUSED = "library/test_bad_inputs.py::test_a_bad_call_is_refused"
TYPES = [
    (
        "a compiler enters a lock",
        "    if torch.compiler.is_dynamo_compiling():  # which cannot enter a lock\n        return _found",
        "    if False:\n        return _found",
        "library/test_parameters.py::test_an_own_surrogate_is_made_in_a_compiled_function",
    ),
    (
        "Triton's function is copied with its surrogate",
        "    def __deepcopy__(self, memo) -> Surrogate:",
        "    def copied(self, memo) -> Surrogate:",
        "library/test_parameters.py::test_a_surrogate_is_copied_and_saved_with_its_triton_function",
    ),
    (
        "a Triton function that cannot be found again is saved",
        "if _at(*place) is not function:",
        "if False:",
        "library/test_parameters.py::test_a_surrogate_is_copied_and_saved_with_its_triton_function",
    ),
    (
        "type checkers do not know a keyword",
        "    inclusive: bool\n",
        "",
        "packaging/test_annotations.py::test_type_checkers_know_every_keyword[lif]",
    ),
    (
        "all of a user's functions are one",
        "if known.name is function and known.triton",
        "if known.triton",
        "library/test_parameters.py::test_own_surrogates_are_known_by_their_function",
    ),
    (
        "another default width",
        '"sigmoid": 4.0',
        '"sigmoid": 5.0',
        "library/test_functional.py::test_defaults_are_the_documented_ones",
    ),
    (
        "the whole range for half",
        "return (self.high - self.low) / 2",
        "return self.high - self.low",
        "kernels/test_noise.py::test_noise_never_leaves_its_range",
    ),
    (
        "the range's end for its middle",
        "return (self.low + self.high) / 2",
        "return self.high",
        "kernels/test_noise.py::test_noise_never_leaves_its_range",
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
    ("T need not divide the batch", "if x.shape[0] % timesteps:", "if False:", _REFUSED),
]

NEURON_VALUES = [
    ("decay beyond 1", "if not 0 <= decay <= 1:", "if not 0 <= decay:", _REFUSED),
    ("tau as the decay", "decay = 1 - 1 / tau", "decay = 1 / tau", "library/test_functional.py::test_tau"),
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
        "library/test_properties.py::test_the_smallest_alpha_is_accepted_for_every_noise",
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
]

BY_FILE = {
    "fastlif/functional.py": FUNCTIONAL,
    "fastlif/options.py": OPTIONS,
    "fastlif/backends.py": BACKENDS,
    "fastlif/types.py": TYPES,
    "fastlif/validation.py": VALIDATION,
    "fastlif/neuron_values.py": NEURON_VALUES,
}
