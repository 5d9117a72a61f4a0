"""Without a GPU the kernels run under Triton's interpreter, which must be chosen before they are imported."""

import collections
import importlib.util
import os
import re

import pytest
import torch
from counts import COUNTS
from interpreter import prepare_once_a_launch
from profiles import PROFILE, PROFILES, SLOW_CASES

pytest.register_assert_rewrite("helpers", "refusals", "peer_rows")  # so that a failing assert shows its values

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
    settings.register_profile("quick", max_examples=6, derandomize=True, **quiet)
    settings.register_profile("full", max_examples=40, derandomize=True, **quiet)
    settings.register_profile("long", max_examples=200, **quiet)
    settings.load_profile(PROFILE)


def values(item):
    """What each parametrize of a test gave this case, and each fixture with parameters."""
    parameters, result = dict(item.callspec.params), set()
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0].replace(" ", "").split(",") if isinstance(mark.args[0], str) else mark.args[0]
        result.add((*names, repr([parameters.pop(name) for name in names if name in parameters])))
    return result | {(name, repr(value)) for name, value in parameters.items()}


def thinned(items):
    """Of each test's cases a few that have every value of every parameter between them, not every combination."""
    tests = collections.defaultdict(dict)
    for item in items:
        tests[item.nodeid.partition("[")[0]][item] = values(item) if hasattr(item, "callspec") else {item}
    for cases in tests.values():
        unseen = set().union(*cases.values())
        while unseen:
            best = max(cases, key=lambda case: len(cases[case] & unseen))
            unseen -= cases.pop(best)
            yield best


def pytest_itemcollected(item):
    for profile, cases in SLOW_CASES.items():
        if re.search(cases, item.nodeid, re.VERBOSE):
            item.add_marker(profile)


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config, items):
    if PROFILE == "quick":
        slow = {item for item in items if any(item.get_closest_marker(profile) for profile in SLOW_CASES)}
        kept = slow.union(thinned([item for item in items if item not in slow]))
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def pytest_runtest_setup(item):
    """What takes long waits for ``make test-long``; what needs another library for an environment that has it."""
    for profile in PROFILES[PROFILES.index(PROFILE) + 1 :]:
        if item.get_closest_marker(profile):
            pytest.skip(f"it takes long: only with FASTLIF_TEST_PROFILE={profile}")
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
