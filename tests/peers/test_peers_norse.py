"""LIF.from_norse: Norse's LIFBoxCell and LIFCell beside what is made of them."""

import types

import peer_rows
import pytest
import torch
from torch import nn

from benchmarks.speed.peers import step_by_step
from fastlif import LI, LIF, Surrogate

pytestmark = pytest.mark.peers("norse")
REFERENCE = {"timesteps": None, "backend": "reference"}


@pytest.fixture
def norse():
    from norse.torch.functional import lif, lif_box, reset
    from norse.torch.module import lif as cells
    from norse.torch.module import lif_box as box_cells

    return types.SimpleNamespace(
        LIFBoxCell=box_cells.LIFBoxCell, LIFBoxParameters=lif_box.LIFBoxParameters, LIFCell=cells.LIFCell,
        LIFRecurrentCell=cells.LIFRecurrentCell, LIFParameters=lif.LIFParameters, subtract=reset.reset_subtract,
        LIF=cells.LIF,
    )  # fmt: skip


def beside(make_cell):
    def make(dtype):
        cell = make_cell(dtype)
        return step_by_step(cell), LIF.from_norse(cell, **REFERENCE), (), ()

    return make


def numbers(dtype, **values):
    """Parameters as Norse holds them, tensors: float32 numbers in ``dtype``."""
    return {name: torch.tensor(value).to(dtype) for name, value in values.items()}


@pytest.mark.parametrize("values", [
    {"tau_mem_inv": 100.0},
    {"tau_mem_inv": 333.0, "v_th": 0.7},
    {"tau_mem_inv": 250.0, "v_leak": 0.3, "v_reset": -0.2},
    {"tau_mem_inv": 1000.0},
])  # fmt: skip
def test_box_cell(norse, values):
    def cell(dtype):
        return norse.LIFBoxCell(norse.LIFBoxParameters(**numbers(dtype, **values)))

    peer_rows.compare(beside(cell), scale=1200 / values["tau_mem_inv"])


@pytest.mark.parametrize("tau_mem_inv", [100.0, 400.0])
def test_box_cell_that_subtracts(norse, tau_mem_inv):
    def cell(dtype):
        p = norse.LIFBoxParameters(**numbers(dtype, tau_mem_inv=tau_mem_inv), reset_method=norse.subtract)
        return norse.LIFBoxCell(p, dt=5e-4)

    assert LIF.from_norse(cell(torch.float32)).reset_to is None
    peer_rows.compare(beside(cell), scale=2400 / tau_mem_inv)


@pytest.mark.parametrize("values", [
    {"tau_syn_inv": 200.0, "tau_mem_inv": 100.0},
    {"tau_syn_inv": 500.0, "tau_mem_inv": 300.0, "v_leak": 0.1, "v_reset": 0.2},
])  # fmt: skip
def test_cell_with_a_filtered_current(norse, values):
    def cell(dtype):
        return norse.LIFCell(norse.LIFParameters(**numbers(dtype, **values)))

    current, neuron = LIF.from_norse(cell(torch.float32))
    assert isinstance(current, LI) and isinstance(neuron, LIF)
    peer_rows.compare(beside(cell), scale=500 / values["tau_mem_inv"])


def test_a_time_constant_for_each_neuron(norse):
    def cell(dtype):
        inverse = torch.linspace(100, 900, peer_rows.FEATURES)
        return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=inverse.to(dtype), v_th=(inverse / 1000).to(dtype)))

    peer_rows.compare(beside(cell), scale=1.5)


def test_a_decay_of_ones_own_stands_for_a_dt_that_is_too_long(norse):
    assert LIF.from_norse(norse.LIFBoxCell(dt=0.1), decay=0.5, gain=1.0).decay == 0.5


def test_keywords_dt_and_mode(norse):
    cell = norse.LIFBoxCell(dt=0.001).eval()
    lif = LIF.from_norse(cell, timesteps=3, stateful=True)
    assert (lif.timesteps, lif.stateful, lif.training) == (3, True, False)
    assert lif.decay == pytest.approx(0.9) and lif.gain == pytest.approx(0.1)
    assert lif.surrogate == Surrogate("fast_sigmoid", 1.0)
    assert LIF.from_norse(cell, dt=0.005).decay == pytest.approx(0.5)
    both = LIF.from_norse(norse.LIFCell(), 2, stateful=True, surrogate="atan")
    assert isinstance(both, nn.Sequential) and all(part.stateful and part.timesteps == 2 for part in both)
    assert both[1].surrogate == Surrogate("atan")


@pytest.mark.parametrize("error, words, make", [
    (TypeError, "got LIFRecurrentCell: its spikes feed back", lambda norse: norse.LIFRecurrentCell(2, 3)),
    (TypeError, "got LIF: it is the loop over time, and LIFCell", lambda norse: norse.LIF()),
    (TypeError, "must be a norse LIFBoxCell or LIFCell, got Linear", lambda norse: nn.Linear(2, 2)),
    (ValueError, "p.method='tanh' has a surrogate that",
     lambda norse: norse.LIFBoxCell(norse.LIFBoxParameters(method="tanh"))),
    (ValueError, "tau_mem_inv is learned",
     lambda norse: norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=nn.Parameter(torch.tensor(100.0))))),
    (ValueError, "must have v_leak=0", lambda norse: norse.LIFBoxCell(
        norse.LIFBoxParameters(v_leak=torch.tensor(0.1), reset_method=norse.subtract))),
    (ValueError, "must be reset_value or reset_subtract, got <lambda>",
     lambda norse: norse.LIFBoxCell(norse.LIFBoxParameters(reset_method=lambda z, v, reset, th: v))),
    (ValueError, "v_reset must be one number",
     lambda norse: norse.LIFBoxCell(norse.LIFBoxParameters(v_reset=torch.zeros(3)))),
    (ValueError, "dt \\* tau_mem_inv must be at most 1, got dt=0.1 s", lambda norse: norse.LIFBoxCell(dt=0.1)),
    (ValueError, "dt \\* tau_syn_inv must be at most 1, got dt=0.006 s", lambda norse: norse.LIFCell(dt=0.006)),
    (ValueError, "dt must be greater than 0", lambda norse: norse.LIFBoxCell(dt=-0.1)),
])  # fmt: skip
def test_what_has_no_counterpart(norse, error, words, make):
    cell = make(norse)
    with pytest.raises(error, match=words):
        LIF.from_norse(cell)
