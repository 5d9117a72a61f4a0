"""SpikingJelly's models on fastlif's kernels, and back."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from fastlif import validation
from fastlif.libraries.names import library_of, take_over
from fastlif.machine import imported
from fastlif.models import copy_of, with_places

__all__ = ["Accelerated", "accelerate", "restore"]

NODES = "fastlif.libraries.spikingjelly_nodes"  # which imports SpikingJelly


class Accelerated:
    """What the accelerated nodes have in common with our neurons, for whoever looks inside: a base of their classes."""

    step_mode: str
    v_threshold: float
    reset: Callable[[], None]
    _equation: Callable[[], dict[str, Any]]  # decay, gain and rest, as far as they are not a LIF's own
    named_memories: Callable[[], Iterator[tuple[str, Any]]]  # the membrane, and with store_v_seq all of a sequence

    @property
    def timesteps(self) -> int | None:
        """As of our neurons: None for ``[T, N, *]``, 1 for a single step."""
        return None if self.step_mode == "m" else 1

    @property
    def threshold(self) -> float:
        return self.v_threshold


@contextlib.contextmanager
def at_rest(model: nn.Module):
    """The accelerated nodes of ``model`` without their membranes, which they have again at the end."""
    carried = {node: dict(node.named_memories()) for node in model.modules() if isinstance(node, Accelerated)}
    for node in carried:
        node.reset()
    try:
        yield
    finally:
        for node, memories in carried.items():
            for name, value in memories.items():
                setattr(node, name, value)


def accelerate(model: nn.Module, *, strict: bool = False) -> nn.Module:
    """A copy of a SpikingJelly ``model`` whose nodes are computed by fastlif: the same spikes, the same state_dict.

    An ``IFNode``, ``LIFNode`` or ``ParametricLIFNode`` gets a class derived from its own, so SpikingJelly's
    ``reset_net``, ``detach_net``, ``set_step_mode`` and monitors work as before, in single-step and multi-step mode.
    Its surrogate must be ``ATan``, ``Sigmoid``, ``PiecewiseQuadratic``, ``Rect``, ``Erf`` or ``SuperSpike(1)``.

    The equations are SpikingJelly's. In float32 the last digit may differ, as terms are added in another order. So a
    spike can differ only where the membrane is that close to the threshold. Half precision is computed
    in float32, where SpikingJelly computes some of it in half precision.

    Args:
        model: any module with nodes of SpikingJelly. It is left as it is.
        strict: raise an error if there is a neuron that must stay as it is, instead of warning.

    Raises:
        TypeError: if ``model`` is not a module or cannot be copied.
        ValueError: if it has no node that can be accelerated, or, with ``strict``, one that cannot.
        ImportError: if SpikingJelly is not installed.

    Warns:
        UserWarning: naming the neurons of SpikingJelly that stay as they are, and why.
    """
    validation.check_module("model", model)
    strict = validation.check_flag("strict", strict)
    nodes = imported(NODES, "fastlif.accelerate is for models of SpikingJelly", "peers")
    fast = False
    left: dict[str, list[str]] = {}  # where neurons stay, by what they are and why
    for path, module in model.named_modules():
        if library_of(module) == "SpikingJelly":
            reason = nodes.why_not(module)
            fast |= reason is None
            if reason is not None:
                left.setdefault(f"{type(module).__name__}, which {reason}", []).append(path or "the model")
    shown = "; ".join(with_places(left))
    if not fast:
        raise ValueError(
            f"{type(model).__name__} has no IFNode, LIFNode or ParametricLIFNode of SpikingJelly to accelerate"
            + (f"; what it has: {shown}" if left else take_over(model))
        )
    if left and strict:
        raise ValueError(f"fastlif.accelerate cannot accelerate: {shown}. With strict=False these stay as they are")
    model = copy_of(model)
    for module in model.modules():
        if type(module) in nodes.ACCELERATED and nodes.why_not(module) is None:
            module.__class__ = nodes.ACCELERATED[type(module)]
    if left:
        warnings.warn(f"fastlif.accelerate left as they are: {shown}", stacklevel=2)
    return model


def restore(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose accelerated nodes are SpikingJelly's own again, as its NIR export needs them.

    Args:
        model: what :func:`accelerate` made. It is left as it is.

    Raises:
        TypeError: if ``model`` is not a module or cannot be copied.
        ImportError: if SpikingJelly is not installed.
    """
    model = copy_of(model)
    nodes = imported(NODES, "fastlif.restore is for models of SpikingJelly", "peers")
    own = {fast: node for node, fast in nodes.ACCELERATED.items()}
    for module in model.modules():
        if type(module) in own:
            module.__class__ = own[type(module)]
    return model
