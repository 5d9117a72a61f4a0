"""``pytest -p emulator.pytest_plugin``: backend="triton" on CPU tensors runs the compiled kernels in the emulator.

A test fails if a checker finds anything while it runs.
"""

import os
from collections import Counter, defaultdict

import pytest

# Before anything imports torch or triton: no GPU is used, and conftest.py does not choose the interpreter.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TRITON_INTERPRET"] = "0"

from emulator import driver  # noqa: E402


def pytest_addoption(parser):
    group = parser.getgroup("emulated PTX")
    group.addoption("--arch", type=int, default=90, help="compile for sm_ARCH (default: %(default)s)")


def pytest_configure(config):
    from fastlif import backends

    driver.install(config.option.arch)
    driver.poison()
    backends._interpreting = lambda: True  # on a CPU Triton runs


@pytest.hookimpl(wrapper=True)
def _a_finding_fails():
    """What a checker finds comes first: it may be why the test fails."""
    before = len(driver.reports)
    try:
        return (yield)
    finally:
        findings = [str(report) for report in driver.reports[before:] if not report.benign]
        if findings:
            pytest.fail("\n".join(dict.fromkeys(findings)), pytrace=False)


# What a test's fixtures launch is looked at too.
pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _a_finding_fails


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("emulated PTX")
    launches = defaultdict(list)
    for launch in driver.statistics:
        launches[launch.kernel].append(launch)
    for kernel, each in launches.items():
        instructions = sum(launch.thread_instructions for launch in each)
        accesses = sum((launch.widths for launch in each), Counter())
        widths = ", ".join(f"{count:,} x {what}.{8 * size}" for (what, size), count in sorted(accesses.items()))
        terminalreporter.write_line(
            f"{kernel}: {len(each):,} launches, {instructions / 1e6:,.1f} M instructions of threads; {widths}"
        )
    kinds = Counter(report.kind for report in driver.reports)
    found = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    terminalreporter.write_line(f"found: {found or 'nothing'}")
