"""Every script in examples/ runs as it stands, and says something. One that takes longer has a --quick form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = ("accelerate", "look_inside")  # test_peers_spikingjelly and test_plot run these
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem not in ELSEWHERE)
NEEDS = {"early_exit": ["sklearn"], "export_nir": ["nir"]}  # not in every environment


@pytest.mark.full
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    for library in NEEDS.get(path.stem, []):
        pytest.importorskip(library, exc_type=ImportError)
    arguments = ["--quick"] if "--quick" in path.read_text() else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TRITON_INTERPRET", None)  # the tests' own
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:fastlif", path, *arguments],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 1, "it prints what it found"
    assert len(path.read_text().splitlines()) < 60
