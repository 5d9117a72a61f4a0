"""NIR, the exchange format of spiking networks, both ways: SpikingJelly, snnTorch, Norse, sinabs and others read it."""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import nn

from fastlif import validation
from fastlif.libraries.names import take_over, whose_neurons
from fastlif.machine import imported
from fastlif.models import neurons
from fastlif.multistep import MultiStep
from fastlif.passes import in_backward, pass_again, thread

__all__ = ["from_nir", "to_nir"]

DT = 1e-4  # seconds, what NIR's tools use where nothing is said
SCALES = ("weights", "membrane")
DISCRETISATIONS = ("euler", "exponential")
OF_GRAPH = ("timesteps", "decay", "tau", "threshold", "gain", "rest")  # what no keyword of from_nir says


def to_nir(
    model: nn.Module,
    input_shape: tuple[int, ...],
    dt: float = DT,
    scale: str = "weights",
    discretisation: str = "euler",
) -> Any:
    """``model`` as a ``nir.NIRGraph``, which ``nir.write(path, graph)`` puts into a file.

    Our neuron is ``h = g x + d v``, counted from rest, with gain g and decay d. NIR's is
    ``tau v' = v_leak - v + r I``. A forward Euler step of dt makes ``d v + (1 - d) r I`` of it, with
    tau = dt / (1 - d) and v_leak = 0. So r = 1 gives our membrane times (1 - d) / g. A decay of 1 becomes ``nir.IF``
    with r = 1/dt. A :class:`fastlif.LI` becomes ``nir.LI`` or ``nir.I``, and its membrane keeps its scale. A batch
    normalisation is folded into the layer before it, with its running statistics. NIR spikes above its threshold
    and not at it. So with ``inclusive=True`` the threshold is lowered in the last digit of
    float32. A reader whose membrane differs from ours in that digit may still differ at the threshold itself.
    The scales of :func:`fastlif.scale_thresholds` go into the thresholds and into the weights of the next layers.
    Scaled spikes that are returned, or added to others of another height, get a layer of one weight for each channel;
    where samples are flat it is an ``nn.Linear`` of the identity.

    Args:
        model: layers and :class:`fastlif.LIF`, ``IF``, ``ParametricLIF`` and ``LI`` neurons that torch.fx can trace,
            as :func:`fastlif.convert` and :func:`fastlif.from_nir` make: ``nn.Linear``, ``Conv1d``, ``Conv2d``,
            ``AvgPool2d``, ``AdaptiveAvgPool2d``, ``Flatten``, batch normalisation, and sums. Of a
            :class:`fastlif.MultiStep` its model is taken; the mean over time is left to the reader. It is left as it
            is.
        input_shape: the shape of one sample at one time step, without batch and time: ``(C, H, W)``, ``(features,)``.
        dt: the time step in seconds, to give time constants their unit; 1e-4 by default.
        scale: what keeps its scale. ``"weights"`` (default): r = 1, the weights are as in ``model``, and threshold and
            reset are multiplied by (1 - d) / g. SpikingJelly, snnTorch and Norse all read it. ``"membrane"``:
            threshold and reset are as in ``model``, and r = g / (1 - d), which Norse ignores.
        discretisation: of the tool that will run the graph. ``"euler"`` (default): as above. ``"exponential"``:
            tau = -dt / ln d, with -ln d in the place of 1 - d. sinabs takes time constants in steps and no r: give it
            dt=1.0 and scale="membrane".

    Returns:
        The graph, with dt and discretisation in its metadata.

    Raises:
        ImportError: without the package nir: ``pip install 'fastlif[nir]'``.
        TypeError, ValueError: for wrong arguments, and for what NIR cannot say: a soft reset, noise, statistics
            taken as it runs, calibrated ones that vary, or a layer or function without a node, by its name.
    """
    imported("nir", "fastlif.to_nir needs nir", "nir")
    validation.check_module("model", model)
    input_shape = validation.check_sizes("input_shape", input_shape)
    dt = validation.check_positive("dt", dt)
    validation.check_choice("scale", scale, SCALES)
    validation.check_choice("discretisation", discretisation, DISCRETISATIONS)
    model = model.model if isinstance(model, MultiStep) else model
    library = whose_neurons(model)
    if library and neurons(model):
        raise ValueError(f"model must have no neurons but fastlif's, and it has some of {library}")
    if library == "SpikingJelly":
        raise ValueError(
            "model has neurons of SpikingJelly, which writes them itself: "
            "spikingjelly.activation_based.nir_exchange.export_to_nir(fastlif.restore(model), ...)"
        )
    if library:
        raise ValueError(f"model must have neurons of fastlif{take_over(model)}")
    from fastlif.exchange import nir_graph  # which imports nir and numpy

    return nir_graph.Exporter(model, dt, scale, discretisation).graph(input_shape)


def from_nir(graph: Any, dt: float | None = None, *, discretisation: str | None = None, **keywords: Any) -> nn.Module:
    """A module that computes what a NIR graph says: ``[T, N, *]`` to ``[T, N, *]``, any T. A MultiStep takes it too.

    NIR's neuron is ``tau v' = v_leak - v + r I``; it spikes where v exceeds v_threshold, and is then set to v_reset. A
    step of dt makes ``h = d v + g (v_leak / r + I)`` of it, with d and g as ``discretisation`` says. Our neuron's
    membrane is ``(v - v_leak) / g``, so that its input needs no factor. It starts at v_leak.

    Args:
        graph: a ``nir.NIRGraph``, or the path of a file that holds one.
        dt: the time step in seconds, the unit of the graph's time constants. By default the one that the graph says,
            as those of :func:`fastlif.to_nir` do, or else 1e-4, as in most of NIR's tools.
        discretisation: ``"euler"``: d = 1 - dt/tau and g = r dt/tau, as in SpikingJelly, snnTorch and Norse.
            ``"exponential"``: d = exp(-dt/tau) and g = r dt/tau, as in sinabs. By default what the graph says, or else
            ``"euler"``. A graph gives the spikes of the tool that wrote it in that tool's own form only.
        keywords: passed to each :class:`fastlif.LIF`: surrogate, detach_reset, stateful, detach_state, inclusive,
            backend; the two on state to each :class:`fastlif.LI` too. NIR has no soft reset, and some tools write one
            as a hard one. ``reset=None`` takes it for a soft one, which subtracts v_threshold - v_leak. What snnTorch's
            default neuron writes needs ``reset=None, reset_delay=True``, and ``detach_reset=True`` for its gradient.

    Returns:
        An ``nn.Sequential`` if the graph is a chain, or else a ``torch.fx.GraphModule`` that sums what comes together
        at a node, with the graph's names. The weights have torch's default dtype. Parameters that are equal for all
        neurons become numbers, rounded to 14 digits; others become tensors.

    Raises:
        ImportError: without the package nir: ``pip install 'fastlif[nir]'``.
        TypeError: if ``graph`` is neither a graph nor a path, or a keyword is what the graph says.
        ValueError: for a file without a graph, a node that fastlif has no counterpart for, recurrent edges, several
            inputs or outputs, or a dt that is not positive, exceeds a time constant, or is not the graph's own.
        OSError: if there is no such file, or the system does not let it be read.
    """
    nir = imported("nir", "fastlif.from_nir needs nir", "nir")
    if isinstance(graph, (str, os.PathLike)):
        graph = _read(nir, graph)
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(f"graph must be a nir.NIRGraph or the path of a file with one, got {type(graph).__name__}")
    for name in OF_GRAPH:
        if name in keywords:
            raise TypeError(f"{name} must be left out: the graph says what its neurons compute, and T is the input's")
    reset = keywords.get("reset")
    if reset is not None:
        raise ValueError(
            f"reset must be None, to subtract the threshold, or be left out for the graph's own, got {reset!r}"
        )
    said = graph.metadata if isinstance(graph.metadata, dict) else {}
    if dt is None:
        dt = float(said.get("dt", DT))
    dt = validation.check_positive("dt", dt)
    if not math.isclose(dt, said.get("dt", dt), rel_tol=1e-6):
        raise ValueError(f"dt must be the graph's own, {float(said['dt']):g}, or be left out, got {dt:g}")
    if discretisation is None:
        discretisation = said.get("discretisation", "euler")
    validation.check_choice("discretisation", discretisation, DISCRETISATIONS)
    from fastlif.exchange import nir_graph

    return nir_graph.module(graph, dt, discretisation, keywords)


def _read(nir, path):
    try:
        return nir.read(path, type_check=False)
    except (OSError, AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's: not there, locked, not allowed
            raise
        raise ValueError(
            f"{os.fspath(path)} holds no NIR graph that can be read ({error}): write it again with nir.write"
        ) from None


class PerStep(nn.Module):
    """Runs a layer that takes ``[N, *]`` on each time step of ``[T, N, *]``, all in one call.

    In a MultiStep time is folded into the batch already.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        current = thread.current
        if current is None and in_backward():
            current = pass_again()
        if current is not None and current.timesteps is not None:
            return self.layer(input)
        return self.layer(input.flatten(0, 1)).unflatten(0, input.shape[:2])
