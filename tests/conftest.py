"""Without a GPU the kernels run under Triton's interpreter, which must be chosen before they are imported."""

import importlib.util
import os

import pytest
import torch
from counts import COUNTS

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

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
