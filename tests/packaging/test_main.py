"""``python -m fastlif``: a report that comes out whole, whatever is missing."""

import pytest
from test_install import BLOCK, CPU, INTERPRETER, ROOT, python

import fastlif

RUN = "import runpy; runpy.run_module('fastlif', run_name='__main__')"


def report(code=RUN, **variables):
    """The lines of the report by their labels."""
    printed = python("-c", code, cwd=ROOT, PYTHONPATH=ROOT, **variables)
    lines = (line.partition(":") for line in printed.splitlines())
    return {label: text.strip() for label, _, text in lines}


@pytest.mark.full
def test_the_kernels_run_and_the_compiler_is_missing(tmp_path):
    variables = CPU | INTERPRETER | {"PATH": "", "CXX": None, "HOME": tmp_path}
    lines = report(**variables, TORCHINDUCTOR_CACHE_DIR=tmp_path / "c")
    assert lines["fastlif"] == fastlif.__version__
    assert lines["triton on cpu"].startswith("yes, forward and backward took ")
    assert lines["compiled on cpu"].startswith("no: torch.compile needs a C++ compiler and found none of ")
    assert lines["reference on cpu"].startswith("yes, ")
    assert lines["C++ compiler"] == "none found" and lines["TRITON_INTERPRET"] == "1"
    assert lines["Inductor cache"] == lines["TORCHINDUCTOR_CACHE_DIR"] == "~/c", "the home folder is named"


@pytest.mark.full
def test_without_triton():
    lines = report(BLOCK.format(blocked=("triton",)) + RUN, **CPU, PATH="", CXX=None)
    assert lines["triton on cpu"].startswith("no: triton cannot be imported (triton is blocked); install it with")
    assert lines["Triton cache"] == "no: ImportError: triton is blocked"
    assert lines["reference on cpu"].startswith("yes, ") and lines["device cpu"]


@pytest.mark.full
@pytest.mark.parametrize(
    ("kernel", "found"),
    [
        ('raise OSError("no room\\nand more")', "no: OSError: no room"),
        ("return input.sum() * 0", "no: it runs, and its gradient is wrong"),
        ("return input * 1", "yes, "),
    ],
)
def test_what_fails_is_told_by_its_first_line(kernel, found):
    code = f"from fastlif import functional\ndef wrong(input, backend):\n    {kernel}\nfunctional.noisy_lif = wrong\n"
    lines = report(code + RUN, **CPU, PATH="", CXX=None)
    assert lines["reference on cpu"].startswith(found)


def test_there_are_no_arguments():
    errors = python("-m", "fastlif", "--device", cwd=ROOT, works=False, PYTHONPATH=ROOT)
    assert errors.strip().endswith("error: unrecognized arguments: --device")
