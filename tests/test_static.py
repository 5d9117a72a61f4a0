"""What the kernels compile to, held without a GPU: no spills, wide accesses, instruction budgets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[1]
MEASURE = """
import json, sys
from benchmarks.static import Case, measure
for target, dtype, case in json.loads(sys.argv[1]):
    result = measure(Case(**case), dtype, target)
    widest = [max(widths) if widths else None for widths in (result.loads, result.stores)]
    print(json.dumps([result.spills, *widest, result.instructions_per_element, str(case)]))
"""
PLAIN = {"noise": "none", "statistics": "none"}

# (case, budget): instructions per element or neuron-step, sm_90, fp16.
FORWARD = [
    ({"launcher": "noisy_spike_forward"}, 28),
    ({"launcher": "noisy_spike_forward", "noise": "uniform"}, 16),
    ({"launcher": "noisy_spike_forward", "noise": "none"}, 5),
    ({"launcher": "lif_forward", "T": 10, **PLAIN}, 8.4),
    ({"launcher": "lif_forward", "T": 10}, 33),
]
BACKWARD = [
    ({"launcher": "noisy_spike_backward"}, 44),
    ({"launcher": "noisy_spike_backward", "surrogate": "fast_sigmoid"}, 43),
    ({"launcher": "lif_backward", "T": 10, **PLAIN}, 33),
    ({"launcher": "lif_backward", "T": 32, **PLAIN}, 44),
    ({"launcher": "lif_backward", "T": 4}, 77),
    ({"launcher": "lif_backward", "T": 10}, 103),
    ({"launcher": "lif_backward", "T": 32, "reset": "soft", "state": True}, 125),
]
ELSEWHERE = [
    ("sm_90", "fp16", {"launcher": "noisy_lif_forward", "T": 10, "state": True}),
    ("sm_90", "fp16", {"launcher": "lif_backward", "T": 10, "statistics": "sample"}),
    ("sm_90", "fp16", {"launcher": "lif_forward", "T": 10, "statistics": "sample"}),
    ("sm_90", "fp32", {"launcher": "lif_backward", "T": 10}),
    ("sm_90", "bf16", {"launcher": "noisy_spike_backward", "size": "odd"}),
    *(
        (target, "fp16", case)
        for target in ("sm_80", "sm_100", "gfx942")
        for case in ({"launcher": "noisy_spike_forward"}, {"launcher": "lif_backward", "T": 10})
    ),
]


def measured(jobs):
    """One process for all of them: the test-suite itself runs the kernels in Triton's interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", MEASURE, json.dumps(jobs)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=500)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("cases, width", [(FORWARD, 128), (BACKWARD, 64)], ids=["forward", "backward"])
def test_budgets(cases, width):
    for (spills, load, store, instructions, name), (_, budget) in zip(
        measured([("sm_90", "fp16", case) for case, _ in cases]), cases, strict=True
    ):
        assert not spills, name
        assert load >= width and store >= width, name
        assert 0.5 * budget < instructions <= budget, (name, instructions)


def test_no_spills_anywhere():
    results = measured(ELSEWHERE)
    assert len(results) == len(ELSEWHERE)
    for (spills, *_, name), (target, dtype, _) in zip(results, ELSEWHERE):
        assert not spills, (target, dtype, name)


def test_command(tmp_path, capsys):
    from benchmarks import __main__ as command

    assert command.main(["list"]) == 0
    assert "registers, spills" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["static", "--target", "sm_1"])
    assert "sm_100" in capsys.readouterr().err
