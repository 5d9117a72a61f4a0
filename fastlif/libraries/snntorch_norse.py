"""Neurons of snnTorch and Norse as :class:`fastlif.LIF`: what ``LIF.from_snntorch`` and ``LIF.from_norse`` do."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from fastlif import validation
from fastlif.machine import imported
from fastlif.modules import LIF
from fastlif.types import Surrogate
from fastlif.variants import LI

__all__ = ["from_norse", "from_snntorch"]

# snnTorch's surrogates by the functions that make them: ours, and what they call the width.
SNNTORCH_SURROGATES = {"atan": ("atan", "alpha"), "sigmoid": ("sigmoid", "slope"),
                       "fast_sigmoid": ("fast_sigmoid", "slope")}  # fmt: skip

COMPUTED = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}  # by the name of a Leaky's step


def from_snntorch(cls: type[LIF], leaky: Any, timesteps: int | None, keywords: dict) -> LIF:
    snntorch = imported("snntorch", "fastlif.LIF.from_snntorch needs snntorch", "peers")
    if type(leaky) is not snntorch.Leaky:
        raise TypeError(f"leaky must be a snntorch.Leaky, got {type(leaky).__name__}{_why_not(leaky)}")
    mechanism = leaky.reset_mechanism
    computed = COMPUTED.get(leaky.state_function.__name__, mechanism)
    if computed != mechanism:
        raise ValueError(
            f"leaky has reset_mechanism={mechanism!r}, which was set after it was made, and snnTorch goes on with "
            f"{computed!r}: make a snntorch.Leaky with the reset_mechanism that you want"
        )
    if mechanism == "none":
        raise ValueError("leaky has reset_mechanism='none', and a fastlif.LIF resets: there is no counterpart")
    if mechanism == "subtract" and not leaky.reset_delay:
        raise ValueError(
            "leaky subtracts without delay (reset_mechanism='subtract', reset_delay=False), and snnTorch subtracts "
            "again where the membrane that is left exceeds the threshold: there is no counterpart. Take the neuron "
            "that subtracts once, fastlif.LIF(decay=beta, reset=None), or keep the delay"
        )
    for name in ("inhibition", "state_quant"):
        if getattr(leaky, name) is not False:
            raise ValueError(f"leaky has {name}={getattr(leaky, name)!r}, which a fastlif.LIF does not have")
    factor = leaky.graded_spikes_factor
    if factor.requires_grad or bool((factor != 1).any()):
        which = "that is learned" if factor.requires_grad else "other than 1"
        raise ValueError(f"leaky has a graded_spikes_factor {which}, and a fastlif.LIF spikes with 1: scale behind it")
    if bool((leaky.threshold <= 0).any()):
        raise ValueError("leaky has a threshold of 0 or less, at which snnTorch resets a neuron that is at rest")
    beta = leaky.beta
    values = {
        "decay": _parameter(beta.detach().clamp(0, 1), beta.requires_grad),
        "threshold": _parameter(leaky.threshold.detach(), leaky.threshold.requires_grad),
        "reset": 0.0 if mechanism == "zero" else None,
        "reset_delay": mechanism == "subtract",
        "detach_reset": leaky.reset_delay,  # a delayed reset is taken without gradient
    }
    if leaky.init_hidden and timesteps == 1:  # called once a step, it keeps its membrane itself
        values |= {"stateful": True, "detach_state": False}
    if "surrogate" not in keywords:
        values["surrogate"] = _snntorch_surrogate(leaky.spike_grad)
    lif = cls(timesteps, **values | keywords)
    if "decay" not in keywords and beta.requires_grad:
        lif.get_parameter("decay").data.copy_(beta.detach())  # the raw value, which may lie outside of [0, 1]
    return lif.train(leaky.training)


def from_norse(cls: type[LIF], cell: Any, timesteps: int | None, dt: float | None, keywords: dict) -> nn.Module:
    box, lif = (imported(f"norse.torch.module.{name}", "fastlif.LIF.from_norse needs norse", "peers")
                for name in ("lif_box", "lif"))  # fmt: skip
    if type(cell) not in (box.LIFBoxCell, lif.LIFCell):
        raise TypeError(f"cell must be a norse LIFBoxCell or LIFCell, got {type(cell).__name__}{_why_not(cell)}")
    p, dt = cell.p, validation.check_positive("dt", cell.dt if dt is None else dt)
    for name, value in p._asdict().items():
        if isinstance(value, torch.Tensor) and value.requires_grad:
            raise ValueError(f"cell.p.{name} is learned, and fastlif.LIF learns a decay, gain and threshold: detach it")
    reset = _norse_reset(p)
    inverse = torch.as_tensor(p.tau_mem_inv)
    gain = dt * float(inverse) if inverse.numel() == 1 else dt * inverse
    if "decay" not in keywords and bool((torch.as_tensor(gain) > 1).any()):
        raise ValueError(f"dt * tau_mem_inv must be at most 1, got dt={dt:g} s and tau_mem_inv={p.tau_mem_inv} 1/s")
    of_filter = None if type(cell) is box.LIFBoxCell else 1 - dt * _number("tau_syn_inv", p.tau_syn_inv)
    if of_filter is not None and of_filter < 0:
        raise ValueError(f"dt * tau_syn_inv must be at most 1, got dt={dt:g} s and tau_syn_inv={p.tau_syn_inv} 1/s")
    values = {
        "decay": 1 - gain,
        "gain": gain,
        "threshold": _parameter(torch.as_tensor(p.v_th), False),
        "reset": reset,
        "rest": _number("v_leak", p.v_leak),
    }
    if "surrogate" not in keywords:
        if p.method != "super":
            raise ValueError(
                f"cell.p.method={p.method!r} has a surrogate that fastlif does not have: give one, as surrogate='atan'"
            )
        values["surrogate"] = Surrogate("fast_sigmoid", 1.0)  # Norse does not use alpha in it
    neuron = cls(timesteps, **values | keywords).train(cell.training)
    if of_filter is None:
        return neuron
    carried = {name: keywords[name] for name in ("stateful", "detach_state") if name in keywords}
    current = LI(timesteps, decay=of_filter, **carried)
    return nn.Sequential(current.train(cell.training), neuron)


def _why_not(neuron) -> str:
    name = type(neuron).__name__
    if name.startswith(("Synaptic", "Alpha")):
        return ": it filters its input before the membrane, a second state that a LIF does not have"
    if name.startswith("R") or "Recurrent" in name:
        return ": its spikes feed back into its input, step by step"
    if name == "LIF":
        return ": it is the loop over time, and LIFCell(p=lif.p, dt=lif.dt) is its neuron"
    return ""


def _parameter(tensor: torch.Tensor, learned: bool):
    """A number, a tensor with a value for each neuron, or an ``nn.Parameter``, as LIF takes them."""
    if learned:
        return nn.Parameter(tensor.clone())
    return float(tensor) if tensor.numel() == 1 else tensor.clone()


def _number(name: str, value) -> float:
    value = torch.as_tensor(value)
    if value.numel() != 1:
        raise ValueError(f"cell.p.{name} must be one number for all neurons, got shape {tuple(value.shape)}")
    return float(value)


def _snntorch_surrogate(function) -> Surrogate:
    """Ours for a function that snntorch.surrogate has made; its parameter is a variable of the function."""
    maker = getattr(function, "__qualname__", type(function).__name__).partition(".")[0]
    known = SNNTORCH_SURROGATES.get(maker) if function.__module__ == "snntorch.surrogate" else None
    if known is None:
        raise ValueError(
            f"leaky.spike_grad is {maker}, a surrogate that fastlif does not have: give one, as surrogate='atan'"
        )
    name, width = known
    return Surrogate(name, float(inspect.getclosurevars(function).nonlocals[width]))


def _norse_reset(p) -> float | None:
    reset = getattr(p, "reset_method", None)  # LIFCell has none: it resets to v_reset
    name = "reset_value" if reset is None else reset.__name__
    if name == "reset_value":
        return _number("v_reset", p.v_reset)
    if name != "reset_subtract":
        raise ValueError(f"cell.p.reset_method must be reset_value or reset_subtract, got {name}")
    if _number("v_leak", p.v_leak) != 0:
        raise ValueError(
            f"cell.p.reset_method=reset_subtract must have v_leak=0, got {float(p.v_leak)}: Norse subtracts v_th, and "
            "fastlif the way from v_leak to v_th"
        )
    return None
