"""Without a GPU the kernels run under Triton's interpreter, which must be chosen before they are imported."""

import importlib.util
import os
import re

import pytest
import torch
from counts import COUNTS
from interpreter import prepare_once_a_launch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
    if importlib.util.find_spec("triton"):
        prepare_once_a_launch()

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)

if os.environ.get("FASTLIF_POISON") == "1":  # uninitialised memory is filled with NaN
    torch.use_deterministic_algorithms(True, warn_only=True)

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # then the property tests are skipped
    pass
else:
    quiet = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("default", max_examples=40, derandomize=True, **quiet)
    settings.register_profile("long", max_examples=2000, **quiet)
    settings.load_profile(os.environ.get("FASTLIF_TEST_PROFILE", "default"))


# Cases that take long, beside quicker ones of the same test. Whole tests say so themselves: pytest.mark.long.
LONG_CASES = re.compile(
    r"""test_noise.py::test_backends_draw_the_same_noise\[sample-
    |test_noise.py::test_two_calls_in_a_compiled_graph_draw_twice\[(reference|triton)
    |test_fusion.py::test_16_bits\[compiled-(.*-dtype1|LIF)
    |test_fusion.py::test_fused_as_one_after_the_other\[compiled-(images-LIF|one[ ]channel-LIF)
    |test_fusion.py::test_a_mean_of_many_deviations\[training-compiled-bfloat16
    |test_fusion.py::test_a_fused_network_trains_and_runs_as_before\[MultiStep
    |test_fusion.py::test_compiled\[False
    |test_pytorch.py::test_(distributed_data_parallel|compile_whole_for_every_batch_size)\[resnet18
    |test_pytorch.py::test_no_layout_is_ever_copied\[.*-(single|calibrated)-
    |test_pytorch.py::test_compile_by_inductor\[single
    |test_transforms.py::test_per_example_gradients\[triton-noisy_lif,
    |test_transforms.py::test_batches_of_any_size_share_a_compilation\[.*-None
    |test_install.py::test_first_steps\[without[ ](triton|torchvision)
    |test_install.py::test_a_wheel_holds_the_package_alone\[from[ ]the[ ]sdist""",
    re.VERBOSE,
)


def pytest_collection_modifyitems(items):
    for item in items:
        if LONG_CASES.search(item.nodeid):
            item.add_marker(pytest.mark.long)


def pytest_runtest_setup(item):
    """What takes long waits for ``make test-long``; what needs another library for an environment that has it."""
    if item.get_closest_marker("long") and os.environ.get("FASTLIF_TEST_PROFILE") != "long":
        pytest.skip("it takes long: make test-long runs it")
    for marker in item.iter_markers("peers"):
        if item.config.option.markexpr != "peers" and importlib.util.find_spec(marker.args[0]) is None:
            pytest.skip(f"{marker.args[0]} is not installed: make test-peers has it")


@pytest.fixture
def fresh_compiler():
    """Code that many tests compile for many settings would meet the limit of recompilations."""
    torch.compiler.reset()


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # one of several processes: the first one prints for all
        session.config.workeroutput["counts"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    COUNTS.update(getattr(node, "workeroutput", {}).get("counts", {}))


def pytest_terminal_summary(terminalreporter):
    if COUNTS:
        terminalreporter.section("tried")
        for what, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:6,} {what}")
