"""The mutation run: it catches, it tells what survives or is broken, and its table follows the code."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from faults import FAULTS, Fault
from mutants import ENVIRONMENT, PASSED, PYTEST, ROOT, changed, run

LIBRARY = "def double(x):\n    return 2 * x\n\n\ndef triple(x):\n    return 3 * x\n"
TESTS = """
from library import double

def test_double():
    assert double(2) == 4

def test_two():
    assert double(1) == 2
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "library.py").write_text(LIBRARY)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_library.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    return tmp_path


def test_every_fault_applies():
    """Each text that is changed stands exactly once in its file, and each test where the table says."""
    for fault in FAULTS:
        assert changed(fault, ROOT) != (ROOT / fault.file).read_text()
        file, name = fault.test.split("[")[0].split("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), f"{fault.test} of {fault.file}: {fault.what}"
    assert max(Counter(FAULTS).values()) == 1


@pytest.mark.full
def test_every_fault_names_a_case_that_is_there():
    """As pytest finds it, with its parameters; a peer's tests are found where the peer is installed."""
    named = {f"tests/{fault.test}" for fault in FAULTS if not fault.test.startswith("peers/")}
    command = [sys.executable, "-m", "pytest", *PYTEST, "--collect-only", *named]
    found = subprocess.run(command, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)
    assert found.returncode == PASSED, found.stderr


@pytest.mark.full
def test_what_is_caught_survives_or_is_broken(project, capfd):
    def fault(what, old, new, test="test_double"):
        return Fault("library.py", what, old, new, f"test_library.py::{test}")

    caught = fault("adds one", "return 2 * x", "return 2 * x + 1")
    unseen = fault("never called", "return 3 * x", "return 4 * x")
    broken = fault("no Python", "return 2 * x", "return 2 *")
    assert run([caught], project, jobs=1) == 0
    assert "1 of 1 faults are caught" in capfd.readouterr().out
    assert run([caught, unseen, broken], project, jobs=2) == 1
    ending = capfd.readouterr().out.split("1 of 3 faults are caught")[1]
    assert "SURVIVES: library.py: never called (test_library.py::test_double)" in ending
    assert "BROKEN: pytest ends with" in ending and "adds one" not in ending
    assert (project / "library.py").read_text() == LIBRARY


@pytest.mark.full
def test_a_test_that_fails_without_a_fault_proves_nothing(project, capfd):
    (project / "library.py").write_text(LIBRARY.replace("2 * x", "5 * x"))
    assert run([Fault("library.py", "", "return 3 * x", "return x", "test_library.py::test_two")], project) == 1
    assert "Without any fault the tests must pass" in capfd.readouterr().out


@pytest.mark.parametrize("old", ["return 7 * x", "return"])
def test_an_entry_whose_text_is_not_there_once_is_named(project, old):
    with pytest.raises(ValueError, match="library.py: a fault: the text to change must be there once, and is [02] t"):
        run([Fault("library.py", "a fault", old, "", "test_library.py::test_two")], project)
