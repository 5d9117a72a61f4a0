"""How much a run of the tests tries: FASTLIF_TEST_PROFILE."""

import os

# "quick": make test. Of a test, a few cases that have every value of every parameter; without what is slow.
# "full": every combination, as in CI. "long": what takes very long too, and many more examples.
PROFILES = ("quick", "full", "long")
PROFILE = os.environ.get("FASTLIF_TEST_PROFILE", "quick")
if PROFILE not in PROFILES:
    raise SystemExit(f"FASTLIF_TEST_PROFILE must be one of {', '.join(PROFILES)}, not {PROFILE!r}")

# Cases that only these profiles run, beside quicker ones of the same test: regular expressions with free spaces. A
# whole test says so itself: pytest.mark.full and pytest.mark.long.
SLOW_CASES = {
    "full": r"""
    test_demo.py::test_training_in_a_single_step_learns\[(mse|smoothed)
    |test_docs.py::test_the_blocks_of_a_page_run\[serve
    |test_speed.py::test_a_peer_computes_what_ours_does\[torch.compile
    |test_early_exit.py::test_each_sample_gets_the_mean_over_its_steps\[compiled
    |test_functional.py::test_a_constant_membrane_leaves_beta\[compiled
    |test_compiled.py::test_small_work_has_one_thread_and_large_work_has_all\[large
    |test_models.py::test_over_time_calibrated_saved_and_exported\[resnet18
    |test_parameters.py::test_long_sequences\[(.*-delayed|triton)
    |test_transforms.py::test_per_example_gradients\[triton
    |test_pytorch.py::test_(compile_whole_for_every_batch_size|distributed_data_parallel)\[paper
    |test_pytorch.py::test_(autocast_and_gradscaler|a_model_of_16_bits)\[resnet18
    |test_pytorch.py::test_compile_by_inductor\[(single|multi)
    |test_pytorch.py::test_copies_and_state_dicts\[(paper-calibrated|paper-multi-after|resnet18)
    |test_pytorch.py::test_checkpointing_draws_the_same_noise_again\[(paper|resnet18)-(calibrated|multi)
    |test_pytorch.py::test_export_and_reload\[(resnet18|paper-calibrated)
    |test_pytorch.py::test_hooks_and_graphs_that_are_kept\[paper-calibrated
    |test_transforms.py::test_batches_of_any_size_share_a_compilation\[(reference|compiled-1)
    |test_pytorch.py::test_modes_change_nothing\[(multi|calibrated)
    |test_operators.py::test_opcheck\[(?!noisy_spike|lif-|lif,[ ]given|noisy_lif-)
    |test_kernels.py::test_(noisy_lif_long\[sample|lif_state\[20|lif_steps\[(37|17)|antithetic_noise\[(sample-5|.*-18))
    |test_kernels.py::test_noisy_lif_several_programs\[.*-9001
    |test_noise.py::test_backends_draw_the_same_noise\[(single[ ]step-compiled|layer-[ct]|calibrated-[ct])
    |test_fusion.py::test_fused_as_one_after_the_other\[compiled
    |test_fusion.py::test_in_evaluation\[compiled-images-noisy
    |test_fusion.py::test_fused_as_one_after_the_other\[triton-(images[ ]of[ ]7[ ]x[ ]7-LIF|channels_last-LIF|many)
    |test_fusion.py::test_fused_as_one_after_the_other\[triton-vectors-LIF,
    |test_fusion.py::test_a_mean_of_many_deviations\[training-triton-(bfloat16|float16)
    |test_huge_sizes.py::test_noisy_lif\[2\^31\+4096""",
    "long": r"""
    test_noise.py::test_backends_draw_the_same_noise\[sample-
    |test_fusion.py::test_16_bits\[compiled-(.*-dtype1|LIF)
    |test_fusion.py::test_fused_as_one_after_the_other\[compiled-(images-LIF|one[ ]channel-LIF)
    |test_fusion.py::test_a_mean_of_many_deviations\[training-compiled-bfloat16
    |test_fusion.py::test_a_fused_network_trains_and_runs_as_before\[MultiStep
    |test_pytorch.py::test_(distributed_data_parallel|compile_whole_for_every_batch_size)\[resnet18
    |test_pytorch.py::test_no_layout_is_ever_copied\[.*-(single|calibrated)-
    |test_transforms.py::test_per_example_gradients\[triton-noisy_lif,
    |test_transforms.py::test_batches_of_any_size_share_a_compilation\[.*-None""",
}
