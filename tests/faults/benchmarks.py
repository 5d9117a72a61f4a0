"""Faults of the benchmarks."""

# fmt: off
FAULTS = {
    "benchmarks/report/groups.py": {
        "benchmarks/test_suite.py::test_a_run_replaces_its_own_rows_and_stands_beside_those_of_other_options"
        "[dynamics --seed 2]": [
            ("no data is a data set", ' if row.dataset != "none")', ")"),
        ],
    },
    "benchmarks/training/data.py": {
        "benchmarks/test_suite.py::test_synthetic_data_stand_in_for_each_network_that_has_none[there0]": [
            ("Table 1's network has no synthetic data", "not (small and work", "not (True and work"),
            ("a batch of Table 1's network is a deep network's", "self._form.batch_size if small", "self._form.large_batch_size if small"),
        ],
        "benchmarks/test_suite.py::test_synthetic_data_stand_in_for_each_network_that_has_none[there1]": [
            ("synthetic data beside real ones", "not (small and work", "not (False and work"),
        ],
        "benchmarks/test_suite.py::test_without_its_data_only_throughput_is_measured_and_labelled": [
            ("how to get the data is cut off", "{error}{hint}", "{str(error).split('; ')[0]}{hint}"),
        ],
    },
    "benchmarks/training/datasets.py": {
        "benchmarks/test_datasets.py::test_the_files_of_debian_are_unpacked_once": [
            ("files of another package", "SYSTEM_ROOT / name", "SYSTEM_ROOT"),
        ],
        "benchmarks/test_datasets.py::test_download_without_network": [
            ("an empty folder is a data set", 'any(folder.glob("*"))', "folder.is_dir()"),
        ],
        "benchmarks/test_datasets.py::test_damaged_files_are_refused": [
            ("whatever is there is taken", "hexdigest() != expected", "hexdigest() == ''"),
        ],
    },
    "benchmarks/paper/training_speed.py": {
        "benchmarks/test_trials.py::test_direct_training_gets_half_of_the_epochs": [
            ("direct training gets all of the epochs", "max(1, epochs // 2)", "epochs"),
        ],
    },
    "benchmarks/paper/noise_type.py": {
        "benchmarks/test_trials.py::test_leads_of_the_noise_are_those_of_their_names": [
            ("the gain without noise comes first", "with_noise - without)", "without - with_noise)"),
        ],
    },
    "benchmarks/paper/accuracy.py": {
        "benchmarks/test_suite.py::test_a_goal_is_judged_by_the_accuracies_where_no_lead_was_recorded": [
            ("no verdict on older rows", "if not over_goals[steps].trainings:", "if False:"),
        ],
        "benchmarks/test_trials.py::test_the_accuracy_of_a_row_is_that_of_its_own_network": [
            ("the spiking network in the place of the ReLU network", ', neuron="relu")', ")"),
            ("how far ReLU is ahead, for how far it is behind",
             "right(T=T) - trials.right(T=RELU)", "right(T=RELU) - trials.right(T=T)"),
            ("every goal for T = 10", "trials.right(T=steps) - goal", "trials.right(T=T) - goal"),
            ("T = 10 for SDSNN's single step", "trials.right(T=1) - SDSNN", "trials.right(T=T) - SDSNN"),
        ],
        "benchmarks/test_suite.py::test_our_own_accuracies_are_goals_of_the_full_form_and_the_modern_preset": [
            ("the last goal is not looked at", "one.beyond() for one in over_goals.values()", "over_goals[1].beyond() for one in '1'"),
            ("what was recorded is not judged by", "if not over_goals[steps].trainings:", "if True:"),
            ("our goals for any recipe", "(own[0].dataset, own[0].preset) == OURS", 'own[0].dataset == "fashion-mnist"'),
        ],
    },
    "benchmarks/paper/any_t.py": {
        "benchmarks/test_trials.py::test_leads_of_any_t_are_those_of_their_names": [
            ("calibrated behind the layer",
             "last - trials.right(variant=LAYER, T=T)", "trials.right(variant=LAYER, T=T) - last"),
            ("every T is timed at the last", "over(multi, steps))", "multi)"),
            ("drawn against the steps for the time",
             "metric=metric, **row.setting) or int", 'metric="steps of an image", **row.setting) or int'),
        ],
        "benchmarks/test_trials.py::test_a_spiking_output_has_no_early_exit": [
            ("early exit whatever the scores", 'if "cross-entropy" in lab.spec(work).recipe.loss else ()', ""),
        ],
    },
    "benchmarks/paper/ablation.py": {
        "benchmarks/test_trials.py::test_leads_of_the_ablation_are_those_of_their_names": [
            ("a width over another", '- right("noise width", "4")', '- right("noise width", "2")'),
            ("tuned over T steps against none",
             'right("fine-tuning", "in a single step")', 'right("fine-tuning", "none")'),
        ],
        "benchmarks/test_suite.py::test_each_claim_is_judged_by_its_own_comparisons[ablation]": [
            ("residual noise at the last T alone",
             "all_of(one.beyond() for one in residual.values())", "residual[T].beyond()"),
        ],
    },
    "benchmarks/paper/surrogate.py": {
        "benchmarks/test_trials.py::test_leads_of_the_surrogates_are_those_of_their_names": [
            ("a difference is turned round", "right[one] - right[other]", "right[other] - right[one]"),
            ("all drawn", "name if at == DRAWN else fastlif.Surrogate(name, at=at)", "name"),
        ],
        "benchmarks/test_suite.py::test_each_claim_is_judged_by_its_own_comparisons[surrogate]": [
            ("worse is as good", "one.beyond(-EQUAL)", "one.at_most(EQUAL)"),
        ],
    },
    "benchmarks/paper/methods.py": {
        "benchmarks/test_trials.py::test_leads_of_the_methods_are_those_of_their_names": [
            ("ours over itself",
             "trials.right(method=OURS, T=steps) - trials.right(method=other, T=steps)",
             "trials.right(method=OURS, T=steps) - trials.right(method=OURS, T=steps)"),
        ],
        "benchmarks/test_suite.py::test_each_claim_is_judged_by_its_own_comparisons[methods]": [
            ("a direct network's accuracy over T steps taken for QCFS's",
             "leads[other, one].beyond() for one in FEW", "leads[DIRECT, one].beyond() for one in FEW"),
        ],
        "benchmarks/test_suite.py::test_methods_are_judged_by_their_times_too": [
            ("ours beside itself", "zip(latencies[OURS], latencies[other])", "zip(latencies[OURS], latencies[OURS])"),
            ("an image at the first T alone", "all_of(faster(*pair) for pair in pairs)", "faster(*pairs[0])"),
        ],
    },
    "benchmarks/paper/rate_coding.py": {
        "benchmarks/test_rate_coding.py::test_a_quantised_network_learns_its_thresholds_and_gives_them_to_the_neurons": [
            ("learned thresholds are not taken over",
             "thresholds = {name: one.threshold.item() for name, one in learned.items()}", "thresholds = {}"),
        ],
    },
    "benchmarks/training/networks.py": {
        "benchmarks/test_rate_coding.py::test_a_quantised_relu_is_what_its_neuron_gives_on_average": [
            ("a quantised activation that truncates", "(level + 0.5).floor() - level", "level.floor() - level"),
        ],
        "benchmarks/test_rate_coding.py::test_a_quantised_relu_s_gradient_passes_through_the_rounding": [
            ("the rounding stops the gradient",
             "step * (level + ((level + 0.5).floor() - level).detach())", "step * (level + 0.5).floor()"),
        ],
    },
    "benchmarks/speed/measure.py": {
        "benchmarks/test_measure.py::test_of_two_calls_in_turns_each_gets_the_time_of_its_own_calls": [
            ("one call's time goes to the other",
             "times[index].append", "times[index - 1].append"),
            ("the time of a turn is not divided by its calls",
             "append((now(device) - began) / calls)", "append(now(device) - began)"),
            ("turns have one order",
             "for index in orders.sample(range(len(functions)), len(functions)):",
             "for index in range(len(functions)):"),
            ("turns have no end but the budget's", "len(times[0]) < TURNS[1] and", "len(times[0]) < 10 * TURNS[1] and"),
        ],
        "benchmarks/test_measure.py::test_several_calls_take_turns_and_each_is_timed_by_itself": [
            ("times of calls accumulate",
             "        for index in order:\n            start = now(device)\n            calls",
             "        start = now(device)\n        for index in order:\n            calls"),
            ("calls have one order in all turns",
             "[orders.sample(range(len(calls)), len(calls)) for", "[list(range(len(calls))) for"),
            ("the first turn counts", "zip(*measured[1:])", "zip(*measured)"),
        ],
        "benchmarks/test_measure.py::test_a_call_is_timed_by_itself_and_not_at_first": [
            ("the first call, which compiles, tells how often to call",
             "            start = time.perf_counter()  # the first call compiles: what follows tells the time "
             "of a call",
             "            pass"),
        ],
        "benchmarks/test_measure.py::test_a_short_call_warms_up_and_is_timed_more_often": [
            ("few calls, as if one call took as long as all of them",
             "math.ceil(budget * len(calls) / all_once)", "math.ceil(budget / all_once)"),
            ("nothing is warmed up", "if calls >= 2 and elapsed > WARM_UP_SECONDS[device.type]:", "if calls >= 2:"),
        ],
        "benchmarks/test_measure.py::test_the_times_of_a_gpu_are_in_seconds": [
            ("milliseconds for seconds on a GPU", "start.elapsed_time(end) / 1000", "start.elapsed_time(end)"),
        ],
        "benchmarks/test_measure.py::test_the_peak_memory_of_a_gpu_is_what_the_call_adds": [
            ("what was there before counts as peak memory",
             "max_memory_allocated(device) - before", "max_memory_allocated(device)"),
        ],
        "benchmarks/test_measure.py::test_the_bandwidth_of_a_copy_counts_reads_and_writes": [
            ("a copy reads and writes, one is counted", "moved = 2 * source.numel()", "moved = source.numel()"),
        ],
    },
    "benchmarks/machine.py": {
        "benchmarks/test_measure.py::test_the_clock_waits_for_a_gpu": [
            ("the clock does not wait for the GPU",
             "        torch.cuda.synchronize(device)\n    return time", "        pass\n    return time"),
        ],
    },
    "benchmarks/report/page.py": {
        "benchmarks/test_report.py::test_a_run_alone_needs_no_name_and_claims_are_lines": [
            ("a table's line for each finding", "finding.heading or finding.words", "finding.words"),
            ("one verdict for all that a line is about", "setdefault((group, finding.about), [])",
             'setdefault((group, ""), [])'),
        ],
    },
    "benchmarks/report/rows.py": {
        "benchmarks/test_results.py::test_runs_that_end_together_keep_each_other_s_rows": [
            ("whoever writes last is alone", "fcntl.flock(handle, fcntl.LOCK_EX)", "pass"),
        ],
        "benchmarks/test_results.py::test_spread": [
            ("p80 for the median", "p20, median, p80 = values", "p20, p80, median = values"),
        ],
        "benchmarks/test_results.py::test_select": [
            ("rows about any of it", "return all(str(getattr", "return any(str(getattr"),
        ],
        "benchmarks/test_results.py::test_a_new_run_replaces_its_own_rows_alone": [
            ("a run replaces those of other networks",
             "return self.experiment, self.options, self.dataset, self.network",
             "return self.experiment, self.options, self.dataset"),
        ],
    },
    "benchmarks/speed/peers.py": {
        "benchmarks/test_measure.py::test_ours_must_keep_its_membrane_in_32_bits_and_others_need_not": [
            ("ours in 16 bits is held to nothing",
             "ties, rounding = 0, torch.finfo(dtype).eps", "ties, rounding = x.numel() // 20, 0.3"),
        ],
        "benchmarks/test_measure.py::test_what_another_library_computes_otherwise_is_found": [
            ("a peer with wrong gradients accepted",
             "if different <= ties and error <= rounding:", "if different <= ties:"),
            ("a peer with wrong spikes accepted",
             "if different <= ties and error <= rounding:", "if error <= rounding:"),
            ("a peer compared with itself", "for function in (neuron, expected):", "for function in (neuron, neuron):"),
        ],
        "benchmarks/test_measure.py::test_a_single_step_of_a_cell_is_one_call_without_a_loop": [
            ("the comparison's loop is charged to others' single step", "if len(x) == 1:", "if False:"),
        ],
    },
    "benchmarks/speed/kernels.py": {
        "benchmarks/test_measure.py::test_plain_noise_is_ours": [
            ("plain noise of another width", "mul_(0.125)", "mul_(0.25)"),
            ("normal noise for uniform", 'if kind == "uniform" else', 'if kind == "none" else'),
        ],
        "benchmarks/test_suite.py::test_two_libraries_are_compared_at_the_sizes_that_both_have": [
            ("a size that ours lacks", "ours.keys() & theirs.keys()", "theirs.keys()"),
        ],
        "benchmarks/test_speed.py::test_a_library_is_beaten_at_every_size_or_not_at_all": [
            ("the largest size speaks for all", "all_of(verdicts.values())", "verdicts[largest]"),
        ],
        "benchmarks/test_suite.py::test_a_time_below_that_of_a_part_of_it_is_no_verdict": [
            ("a backward beyond the whole is believed", "PASSES[:2] if direction", "PASSES[:1] if direction"),
        ],
        "benchmarks/test_speed.py::test_ours_against_t_is_drawn_of_what_was_measured_alone": [
            ("times that others' turns changed are drawn too",
             'if row.setting["T"] != str(T)]', "]"),
        ],
        "benchmarks/test_measure.py::test_nobody_gets_huge_pages_where_libraries_are_compared": [
            ("ours alone get huge pages",
             '@mock.patch.object(graphs, "in_huge_pages", lambda output: None)  #', "#"),
        ],
        "benchmarks/test_measure.py::test_each_pass_of_each_library_gets_its_own_time": [
            ("forward and backward swapped",
             'if direction == "backward":\n        spikes', 'if direction == "forward":\n        spikes'),
            ("seconds for milliseconds", '"time", "ms", seconds * 1e3', '"time", "ms", seconds'),
            ("a fraction of a copy's slowest", "achieved * (1 / copy.median)", "achieved * (1 / copy.p20)"),
        ],
        "benchmarks/test_speed.py::test_what_is_wrong_is_not_timed": [
            ("ours is not checked",
             "            if wrong:\n                raise options",
             "            if False:\n                raise options"),
        ],
        "benchmarks/test_speed.py::test_bytes_that_must_be_moved": [
            ("the membrane's bytes are not counted", "membrane = 8 - 4 / T if", "membrane = 0 if"),
        ],
    },
    "benchmarks/speed/host.py": {
        "benchmarks/test_speed.py::test_a_forward_for_training_is_held_to_the_same_limit": [
            ("a forward for training has no limit", ' "forward, with gradient": 4,', ""),
        ],
        "kernels/test_emulated.py::test_nothing_is_found[the emulator, huge sizes, fuzz]": [
            ("ten launches beside a single one of Triton's JIT", "for _ in range(count):", "for _ in range(1):"),
        ],
    },
    "benchmarks/speed/end_to_end.py": {
        "benchmarks/test_measure.py::test_all_that_is_compared_takes_turns_in_an_order_that_changes": [
            ("what is compared is timed one after the other",
             "measuring.by_turns(calls, lab.device, **turn)",
             "[measuring.by_turns([one], lab.device, **turn)[0] for one in calls]"),
        ],
        "benchmarks/test_measure.py::test_nothing_is_recorded_without_relu_to_compare_with": [
            ("whoever comes first is taken for ReLU", " or (RELU, 1) not in ready:", ":"),
        ],
        "benchmarks/test_speed.py::test_bars_stand_around_the_name_of_their_way": [
            ("bars beside the name of their way", "(len(contenders) - 1) / 2", "2"),
        ],
        "benchmarks/test_measure.py::test_each_network_s_time_is_its_own_and_what_fails_is_said_in_a_line": [
            ("a contender in the place of ReLU", "zip(times, measured[0])", "zip(times, measured[1])"),
            ("ReLU's memory for everyone",
             'record(neurons, T, "peak memory", "MB", memory', 'record(neurons, T, "peak memory", "MB", memories[0]'),
            ("batches a second for images a second",
             "spread(len(task.images) / time for time in times)", "spread(1 / time for time in times)"),
        ],
    },
    "benchmarks/speed/contenders.py": {
        "benchmarks/test_measure.py::test_a_network_is_timed_in_the_mode_it_is_used_in": [
            ("training is timed in evaluation mode", "model.train(direction == TRAINING)", "model.eval()"),
        ],
        "benchmarks/test_measure.py::test_networks_that_are_timed_have_the_paper_s_width": [
            ("a small network is timed", "lab.options.width or 1.0", "lab.options.width or lab.form.width"),
        ],
    },
    "benchmarks/paper/inference.py": {
        "benchmarks/test_trials.py::test_the_latency_to_a_goal_is_that_of_all_its_steps": [
            ("the latency of a chunk for that of all steps", " * (one.steps / one.model.timesteps)", ""),
            ("a network timed at the steps that it was tested at", "over(multi, min(CHUNK, steps))", "multi"),
        ],
    },
    "benchmarks/training/lab.py": {
        "benchmarks/test_measure.py::test_a_row_s_commit_is_that_at_the_start_of_its_run": [
            ("another commit than the run's", 'commit = "", self.commit', 'commit = "", "another"'),
        ],
        "benchmarks/test_suite.py::test_rows_of_a_resumed_training_name_its_commit": [
            ("the test's commit for the training's", "dict.fromkeys([*commits, self.commit])", "[self.commit]"),
            ("a training without its commit", "                commit=self.commit,\n", ""),
        ],
        "benchmarks/test_trials.py::test_images_are_erased_where_that_is_asked_for": [
            ("no image is erased", "            erase=options.erase,\n", ""),
        ],
        "benchmarks/test_trials.py::test_the_surrogate_that_is_asked_for_is_trained_with": [
            ("the preset's surrogate all the same", "options.surrogate or preset.surrogate", "preset.surrogate"),
        ],
        "benchmarks/test_trials.py::test_the_accuracy_of_a_row_is_that_of_its_own_network": [
            ("every training from the first seed", "seed=options.seed if seed is None else seed", "seed=options.seed"),
        ],
    },
    "benchmarks/training/trials.py": {
        "benchmarks/test_trials.py::test_the_accuracy_of_a_row_is_that_of_its_own_network": [
            ("the accuracy after the next step", "per_step[T - 1])", "per_step[min(T, len(per_step) - 1)])"),
            ("noise of one seed for all trainings", "dtype=recipe.dtype, seed=recipe.seed)", "dtype=recipe.dtype, seed=1)"),
            ("a fraction for points", "points = 100 * part", "points = part"),
        ],
    },
    "benchmarks/paper/training_time.py": {
        "benchmarks/test_suite.py::test_training_time": [
            ("what was never reached counts as reached at the end",
             "reached[way] = len(needed) == len(epochs)", "reached[way] = True"),
            ("a bound is taken for the time saved",
             'return None if (bound, told) in (("at least", False), ("at most", True)) else told', "return told"),
            ("drawn as reached, if one training reached it", "reached = count == trainings", "reached = count > 0"),
        ],
        "benchmarks/test_suite.py::test_a_network_without_a_goal_is_left_out": [
            ("every network has a goal", "goals.get((work.dataset, work.network))", "goals[work.dataset, work.network]"),
        ],
    },
    "benchmarks/report/verdicts.py": {
        "benchmarks/test_suite.py::test_a_verdict_takes_two_standard_errors_and_three_trainings": [
            ("one standard error is enough", "abs(distance) > 2 * self.error", "abs(distance) > self.error"),
            ("a single training is enough", "ENOUGH = 3", "ENOUGH = 1"),
        ],
        "benchmarks/test_suite.py::test_equal_takes_an_error_that_fits_into_the_margin": [
            ("far behind is equal", "for sign in (1, -1))", "for sign in (1,))"),
            ("equal until it is shown to differ", "return None if beyond is None else not beyond", "return not beyond"),
        ],
        "benchmarks/test_suite.py::test_a_verdict_on_a_time_takes_three_samples": [
            ("p20 and p80 of three decide", "OUTSIDE = {3: 2 / 3, 4: 1.5}", "OUTSIDE = {}"),
            ("one timing decides", "return holds if enough and (holds or fails)", "return holds if (holds or fails)"),
        ],
        "benchmarks/test_suite.py::test_three_measurements_end_at_min_and_max_and_four_beyond": [
            ("of four as of three", "4: 1.5}", "4: 2 / 3}"),
        ],
        "benchmarks/test_suite.py::test_what_is_not_a_number_is_no_verdict": [
            ("what is not a number is behind",
             "return distance > 0 if self.trainings >= ENOUGH and abs(distance) > 2 * self.error else None",
             "return None if self.trainings < ENOUGH or abs(distance) <= 2 * self.error else distance > 0"),
        ],
        "benchmarks/test_suite.py::test_a_claim_of_several_comparisons_needs_all_of_them": [
            ("no comparison bears out all", "True if verdicts == {True} else None", "None if None in verdicts else True"),
        ],
        "benchmarks/test_trials.py::test_a_lead_s_error_has_the_images_part_and_the_trainings": [
            ("the images' error shrinks with the trainings",
             ".mean().item(), images)", ".mean().item() / len(values), images)"),
            ("no error where nothing differs", "max(by_image, NONE_SEEN / images)", "by_image"),
            ("the trainings' error is forgotten",
             "math.hypot(max(by_image, NONE_SEEN / images), few * by_training)", "max(by_image, NONE_SEEN / images)"),
            ("a few trainings' spread is taken for exact", "few * by_training)", "by_training)"),
        ],
        "benchmarks/test_suite.py::test_a_verdict_on_a_time_takes_spreads_that_do_not_overlap": [
            ("times faster without the factor", "_told(times * high", "_told(high"),
            ("medians beyond the limit", "_told(low >= limit", "_told(row.median >= limit"),
            ("medians within the limit", "_told(high <= limit", "_told(row.median <= limit"),
        ],
    },
    "benchmarks/training/evaluation.py": {
        "benchmarks/test_trials.py::test_networks_take_turns_and_their_times_are_of_an_image": [
            ("networks are timed one after the other",
             "in_turns([functools.partial(call, model) for model in models], batch.device)",
             "[in_turns([functools.partial(call, model)], batch.device)[0] for model in models]"),
            ("networks are timed as in training", "modes.enter_context(evaluating(model))", "pass"),
            ("a batch's time for an image's", "[time * (1 / len(batch)) for", "[time for"),
        ],
        "benchmarks/test_trials.py::test_accuracy_is_the_fraction_of_all_images_in_evaluation_mode": [
            ("evaluated in training mode",
             "        evaluating(model),\n", ""),
        ],
        "benchmarks/test_rate_coding.py::test_early_exit_is_measured_image_by_image": [
            ("the steps of other images", "scores, steps[index] = model", "scores, steps[: len(index)] = model"),
        ],
    },
    "benchmarks/demo.py": {
        "benchmarks/test_suite.py::test_without_matplotlib_nothing_is_trained_and_no_report_is_made": [
            ("all is trained before matplotlib is looked for", "png(lambda figure: None)", "pass"),
        ],
    },
    "benchmarks/run.py": {
        "benchmarks/test_speed.py::test_a_measurement_of_speed_that_ends_early_keeps_its_rows": [
            ("a run that was broken off takes the place of a whole one", "_save(lab, complete=False)", "_save(lab)"),
        ],
        "benchmarks/test_suite.py::test_a_data_set_is_measured_once": [
            ("a data set is measured twice", "tuple(dict.fromkeys(arguments.dataset or Options.datasets))",
             "tuple(arguments.dataset or Options.datasets)"),
        ],
    },
    "benchmarks/__main__.py": {
        "benchmarks/test_suite.py::test_whatever_is_stopped_says_so": [
            ("a command that is stopped went well", "return 130", "return 0"),
        ],
        "benchmarks/test_bad_files.py::test_a_full_disk_ends_a_command_in_a_sentence": [
            ("a full disk is a traceback", "(UsageError, ImportError, OSError)", "(UsageError, ImportError)"),
        ],
        "benchmarks/test_suite.py::test_without_matplotlib_nothing_is_trained_and_no_report_is_made": [
            ("a missing package is a traceback", "(UsageError, ImportError, OSError)", "(UsageError, OSError)"),
        ],
    },
    "benchmarks/speed/nir_peers.py": {
        "benchmarks/test_suite.py::test_without_its_peers_the_table_of_nir_stays": [
            ("peers that are not there are results", "is None]:", "is None and False]:"),
        ],
        "benchmarks/test_suite.py::test_what_a_peer_needs_and_lacks_is_no_result_of_it": [
            ("a missing package is a result", "    except ImportError:\n        raise\n", ""),
        ],
    },
    "benchmarks/training/loop.py": {
        "benchmarks/test_trials.py::test_an_epoch_s_time_is_that_of_its_training_and_its_loss_the_mean": [
            ("the last batch's loss for the epoch's", "torch.stack(losses).mean()", "losses[-1]"),
        ],
    },
    "benchmarks/speed/static.py": {
        "benchmarks/test_instructions.py::test_instructions_are_counted_as_they_stand_in_the_code": [
            ("loops without their last instruction", "range(labels[target[0]], i + 1)", "range(labels[target[0]], i)"),
        ],
        "benchmarks/test_instructions.py::test_what_spills_is_told": [
            ("spills without accesses are not seen",
             'if size or accesses else "0"', 'if accesses else "0"'),
        ],
    },
}
