"""Pictures: that what is drawn is what was recorded, with names and units on the axes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import fastlif  # noqa: E402
from fastlif import LIF, plot  # noqa: E402

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def log():
    torch.manual_seed(0)
    keywords = {"timesteps": 8, "threshold": 0.5, "backend": "reference"}
    model = nn.Sequential(nn.Linear(6, 50), LIF(**keywords), nn.Linear(50, 5), LIF(**keywords))
    with torch.no_grad(), fastlif.record(model, membrane="before") as log:
        model(torch.randn(8 * 2, 6))
    yield log
    matplotlib.pyplot.close("all")


def drawn(ax):
    """The centre (step, row) of each mark of a raster."""
    (marks,) = ax.collections
    return sorted(tuple(path.vertices[:4].mean(0).round(3).tolist()) for path in marks.get_paths())


def test_raster_of_a_tensor():
    spikes = torch.zeros(5, 2, 3)
    spikes[1, 1, 0] = spikes[4, 1, 2] = spikes[0, 0, 1] = 1
    ax = plot.raster(spikes, sample=1)
    assert drawn(ax) == [(2, 0), (5, 2)]
    assert ax.get_xlabel() == "time step" and ax.get_ylabel() == "neuron"
    assert ax.figure.get_size_inches().tolist() == [6, 3]


def test_raster_of_a_log(log):
    ax = plot.raster(log, units=20)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1\n20 of 50 units", "3\n5 units"]
    spikes = log.spikes
    chosen = torch.arange(20) * 50 // 20
    assert len(drawn(ax)) == int(spikes["1"][:, 0, chosen].sum() + spikes["3"][:, 0].sum())
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first layer is on top
    one = plot.raster(log, layer="3", ax=ax.figure.add_subplot())
    assert one is not ax and len(drawn(one)) == int(spikes["3"][:, 0].sum())


def test_membranes(log):
    unit = int(log.spikes["3"][:, 1].sum(0).argmax())
    ax = plot.membrane(log, layer="3", sample=1, units=[unit, 2])
    upper, threshold, dots = ax.lines[:3]
    h, spikes = log.membrane["3"][:, 1, unit], log.spikes["3"][:, 1, unit]
    shift = upper.get_ydata()[0] - float(h[0])
    assert upper.get_ydata() == pytest.approx((h + shift).tolist())
    assert threshold.get_ydata()[0] - shift == pytest.approx(0.5)
    assert list(dots.get_xdata()) == (spikes.nonzero().flatten() + 1).tolist() and len(dots.get_xdata()) > 0
    assert all(value > threshold.get_ydata()[0] for value in dots.get_ydata())
    assert [text.get_text() for text in ax.texts] == [f"unit {unit}", "unit 2"]
    assert ax.get_ylabel() == "membrane\nbefore the spike" and ax.get_xlabel() == "time step"
    assert len(plot.membrane(log.membrane["1"], units=2).lines) == 2  # a tensor has no threshold, and no spikes
    assert len(plot.membrane(log, units=2).texts) == 2


def test_units_of_their_own_thresholds():
    log = fastlif.record(LIF(1, backend="reference"), membrane="before")
    with log:
        log._model(torch.rand(1, 3) * 3)
    log._entries["LIF"].neuron.__dict__["threshold"] = torch.tensor([0.5, 0.6, 0.7])
    ax = plot.membrane(log, units=[0, 2])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "0.5", "0", "0.7"]


def test_rates(log):
    ax = plot.rates(log)
    assert [bar.get_width() for bar in ax.patches] == list(log.rates().values())
    assert [text.get_text() for text in ax.texts] == [f"{rate:.3f}" for rate in log.rates().values()]
    assert ax.get_xlabel() == "spikes per neuron and step"
    assert plot.rates(log.rates(), ax=ax) is ax


@pytest.mark.full
def test_the_example_writes_its_pictures(tmp_path):
    pytest.importorskip("sklearn")
    command = [sys.executable, ROOT / "examples" / "look_inside.py", tmp_path / "pictures"]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT)
    assert "(read-out)" in done.stdout and "of its ReLU twin's energy" in done.stdout
    for name in ("raster", "membranes", "rates"):
        assert 5_000 < (tmp_path / "pictures" / f"{name}.png").stat().st_size < 80_000
