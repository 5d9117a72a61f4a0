"""The compiled kernels, thread by thread in the emulator, with its checkers: no GPU is needed.

A process of its own runs these tests, since in this one the kernels are Triton's interpreter's. By default a selection;
with FASTLIF_TEST_PROFILE=long every test of the kernels, with more examples.
"""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from profiles import PROFILE
from test_static import ALLOWANCE, VERSION

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
COMPILED = "tests/kernels/emulated/test_compiled_callers.py"
SELECTION = {
    "the emulator, huge sizes, fuzz": [
        "tests/kernels/emulated/test_machine.py",
        "tests/kernels/emulated/test_launch.py",
        "tests/kernels/emulated/test_huge_sizes.py::test_noisy_spike[contiguous-gaussian-2^35+4112]",
        "tests/kernels/emulated/test_huge_sizes.py::test_scan[18-none-False-2^30+4099]",
        "tests/kernels/emulated/test_huge_sizes.py::test_noisy_lif[2^31+4096]",
        "tests/kernels/emulated/test_huge_sizes.py::test_packing[2^32+16]",
        "tests/kernels/emulated/test_fuzz.py",
    ],
    "callers that are compiled": [
        f"{COMPILED}::test_same_results_without_the_operator[{name}]"
        for name in ("single step", "given statistics, mirrored")
    ]
    + [f"{COMPILED}::test_{name}" for name in (
        "what_keeps_the_operator", "an_exported_program_keeps_the_operator",
        "a_launch_on_another_gpu_keeps_the_operator", "large_work_of_the_compiled_backend_is_indexed_in_64_bits",
        "what_is_kept_on_disk_ends_with_the_python_that_made_it",
    )],
    "kernels": [
        "tests/kernels/test_kernels.py::test_noisy_spike_sizes",
        "tests/kernels/test_kernels.py::test_lif_sizes",
        "tests/kernels/test_kernels.py::test_lif_state",
        "tests/kernels/test_kernels.py::test_noisy_lif_several_programs",
        "tests/kernels/test_kernels.py::test_noisy_lif_long",
        "tests/library/test_fusion.py::test_fused_as_one_after_the_other[triton-images of 7 x 7-noisy]",
        "tests/library/test_fusion.py::test_fused_as_one_after_the_other[triton-channels_last, 5 channels-LIF]",
        "tests/library/test_packing.py::test_kernels",
        "tests/library/test_packing.py::test_bits_beside_the_spikes",
        "tests/library/test_parameters.py::test_shapes[triton-(2, 6, 8, 8)-channels-contiguous]",
        "tests/library/test_parameters.py::test_shapes[triton-(2, 6, 8, 8)-channels-channels_last]",
    ],
}
WHOLE = {
    "the emulator, huge sizes, fuzz": ["tests/kernels/emulated"],
    "kernels": ["tests/kernels/test_kernels.py"],
    "fusion": ["tests/library/test_fusion.py", "-k=triton"],
    "parameters": ["tests/library/test_parameters.py", "-k=triton"],
    "packing, operators": [
        "tests/library/test_packing.py::test_kernels",
        "tests/library/test_packing.py::test_bits_beside_the_spikes",
        "tests/pytorch/test_operators.py",
        "-k=not inductor",
    ],
    "noise": ["tests/kernels/test_noise.py", "-k=triton"],
}
RUNS = WHOLE if PROFILE == "long" else SELECTION


def run(*command):
    result = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT, timeout=3000)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    return result.stdout


@pytest.mark.parametrize("tests", RUNS)
def test_nothing_is_found(tests):
    if tests == "callers that are compiled" and torch.__version__ < (2, 15):
        pytest.skip("torch before 2.15 is not shown the launches")
    assert "M instructions of threads" in run("pytest", "-p", "emulator.pytest_plugin", "-q", "-x", *RUNS[tests])


@pytest.mark.full
def test_command(tmp_path):
    out = tmp_path / "table.csv"
    run("benchmarks", "executed", "--kernel", "noisy_spike_backward", "--dtype", "fp32", "--out", out)
    rows = list(csv.DictReader(out.open()))
    assert len(rows) > 5 and out.with_suffix(".md").read_text().startswith("Compiled for sm_90, fp32 in and out")
    by_noise = {row["configuration"].split(",")[0]: float(row["instructions"]) for row in rows}
    most = 48 * ALLOWANCE if VERSION >= (3, 8) else 150  # the dearest has 47.4; versions as in test_static.py
    twice = 1 if VERSION >= (3, 8) else 2  # before, two stores share a sector
    for row in rows:
        assert 10 < float(row["instructions"]) <= most and row["launches"] == "1"
        assert 1 <= float(row["load traffic"]) < 4 and 1 <= float(row["store traffic"]) <= twice
    assert by_noise["no noise"] < by_noise["uniform"] < by_noise["gaussian"]
