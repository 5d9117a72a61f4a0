"""From an ordinary network to a single-step spiking one: the first of the paper's three steps."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from fastlif import validation
from fastlif.activations import ACTIVATION_MODULES, functions_of
from fastlif.libraries.names import take_over
from fastlif.models import copy_of, mark_passes, neurons, with_places
from fastlif.modules import NoisyLIF

__all__ = ["convert"]

_FUSED = ("torch.ao.nn.intrinsic.qat.", "torch.ao.nn.intrinsic.quantized.")  # where a class may compute a ReLU itself


def convert(
    model: nn.Module,
    neuron: Callable[..., nn.Module] | dict[str, Any] = NoisyLIF,
    *,
    activations: type[nn.Module] | tuple[type[nn.Module], ...] = (nn.ReLU,),
    **keywords: Any,
) -> nn.Module:
    """A copy of ``model`` with its activations swapped for spiking neurons; the weights keep their state_dict keys.

    Args:
        model: any module. It is left as it is; a ReLU that is shared becomes one neuron, shared likewise. The
            forward and backward hooks of an activation move to its neuron, but for torch's own, such as pruning's. A
            hook that is a method, an object or a partial is copied with what it holds. The model may have stateful
            neurons already, as a part of a converted model has.
        neuron: what makes a neuron, by default :class:`fastlif.NoisyLIF`. Or a dict from patterns to such makers: each
            activation gets the neuron of the first pattern that its name in the model matches. Where that is None, or
            no pattern matches, the activation stays. In a pattern ``*`` stands for any characters, dots included, ``?``
            for one and ``[34]`` for one of those (:func:`fnmatch.fnmatchcase`).
        activations: the types of the modules to swap, their subclasses included; ``nn.ReLU`` alone by default.
        keywords: passed to whatever makes neurons. Every neuron gets a copy of a tensor among them: an optimizer
            takes the parameters of what is returned.

    Raises:
        TypeError: if ``model`` is not a module or cannot be copied, ``neuron`` does not make modules, or
            ``activations`` are not types of modules.
        ValueError: if there is neither an activation to swap nor a stateful neuron, or a pattern takes no activation.

    Warns:
        UserWarning: naming the activations that could not be swapped: functional ones, found in the code of each
            module's class, and modules of other types. What ``neuron`` leaves by its patterns is not named.

    Examples:
        The ReLU6 of a MobileNet too; the last two stages alone; squeeze-and-excitation kept and a plain LIF first::

            convert(mobilenet_v2(), activations=(nn.ReLU, nn.ReLU6))
            convert(resnet18(), {"layer[34].*": NoisyLIF}, alpha=8.0)
            convert(regnet, {"*.se.*": None, "stem.*": partial(LIF, decay=0.9), "*": NoisyLIF})
    """
    makers = validation.check_makers(neuron)
    activations = validation.check_activations(activations)
    model = copy_of(model)
    left = _other_activations(model, activations, makers)
    holder = nn.Module()
    holder.model = model  # so that a model that is itself a ReLU has a parent too
    chosen = _choose(holder, activations, makers)
    if not chosen and (isinstance(neuron, dict) or not any(neuron.stateful for neuron in neurons(model))):
        kinds = " or ".join(_type_name(kind) for kind in activations)
        advice = "Replace these by nn.ReLU modules first, or name the types of modules in activations"
        raise ValueError(
            f"{type(model).__name__} has no {kinds} to swap"
            + (f" but {len(neurons(model))} fastlif neurons: it spikes already" if neurons(model) else "")
            + take_over(model)
            + (f"; what it has: {'; '.join(left)}. {advice}" if left else "")
        )
    if isinstance(neuron, dict):
        _check_every_pattern_is_used(makers, chosen)
    swapped: dict[tuple[nn.Module, str | None], nn.Module] = {}
    for parent, name, pattern, _ in chosen:
        child = getattr(parent, name)
        if makers.get(pattern) is None:
            continue
        if (child, pattern) not in swapped:
            copies = {key: copy.deepcopy(value) if isinstance(value, torch.Tensor) and value.is_leaf else value
                      for key, value in keywords.items()}  # fmt: skip
            made = makers[pattern](**copies)
            if not isinstance(made, nn.Module):
                raise TypeError(f"neuron must make a torch.nn.Module, and made a {type(made).__name__}")
            swapped[child, pattern] = _with_hooks_of(child, made.train(child.training))
        setattr(parent, name, swapped[child, pattern])
        if isinstance(parent, nn.TransformerEncoderLayer):
            parent.activation_relu_or_gelu = 0  # else its fast path computes a ReLU and calls no neuron
    for module in holder.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # it is for that fast path alone
    if left:
        warnings.warn(
            f"fastlif.convert could not swap: {'; '.join(left)}. Only modules of the types in activations are swapped; "
            "these stay as they are",
            stacklevel=2,
        )
    mark_passes(holder.model)
    return holder.model


def _choose(holder: nn.Module, activations: tuple, makers: dict) -> list[tuple[nn.Module, str, str | None, str]]:
    """Where an activation stands: its parent, its name there, the pattern that takes it, and its name in the model."""
    paths: dict[nn.Module, list[str]] = {}  # of each module, as a shared one has several
    for path, module in holder.named_modules(remove_duplicate=False):
        paths.setdefault(module, []).append(path)
    chosen = []
    for parent, parent_paths in paths.items():
        for name, child in parent._modules.items():
            if isinstance(child, activations):
                names = [f"{path}.{name}".strip(".").removeprefix("model").lstrip(".") for path in parent_paths]
                chosen.append((parent, name, _pattern(makers, names), names[0]))
    return chosen


def _pattern(makers: dict, names: list[str]) -> str | None:
    """The first of the patterns that one of ``names`` matches."""
    return next((pattern for pattern in makers if any(fnmatchcase(name, pattern) for name in names)), None)


def _check_every_pattern_is_used(makers: dict, chosen: list) -> None:
    used = {pattern for _, _, pattern, _ in chosen}
    for pattern in makers:
        if pattern not in used:
            names = [name for *_, name in chosen]
            raise ValueError(
                f"neuron's pattern {pattern!r} must match an activation that no pattern before it takes; there are "
                + ", ".join(names[:20])
                + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
            )


def _type_name(kind: type) -> str:
    if getattr(nn, kind.__name__, kind) is not kind:  # another class of that name
        return f"{kind.__module__}.{kind.__qualname__}"
    return f"nn.{kind.__name__}" if hasattr(nn, kind.__name__) else kind.__name__


def _with_hooks_of(child: nn.Module, made: nn.Module) -> nn.Module:
    """``made``, which calls the user's hooks of the activation too, such as those that read its output."""
    for key, hook in _of_users(child._forward_pre_hooks):
        made.register_forward_pre_hook(hook, with_kwargs=key in child._forward_pre_hooks_with_kwargs)
    for key, hook in _of_users(child._forward_hooks):
        with_kwargs, always_call = key in child._forward_hooks_with_kwargs, key in child._forward_hooks_always_called
        made.register_forward_hook(hook, with_kwargs=with_kwargs, always_call=always_call)
    for _, hook in _of_users(child._backward_pre_hooks):
        made.register_full_backward_pre_hook(hook)
    for _, hook in _of_users(child._backward_hooks):
        (made.register_full_backward_hook if child._is_full_backward_hook else made.register_backward_hook)(hook)
    return made


def _of_users(hooks: dict) -> list[tuple]:
    """``hooks`` with their keys, without those of torch and fastlif, which need the module that they were made for."""
    return [
        (key, hook)
        for key, hook in hooks.items()
        if (getattr(hook, "__module__", None) or "").split(".")[0] not in ("torch", "fastlif")
    ]


def _other_activations(model: nn.Module, activations: tuple, makers: dict) -> list[str]:
    """What computes an activation in ``model`` and is not one of ``activations``, where ``makers`` wants neurons."""
    found: dict[str, list[str]] = {}  # where each kind of them is

    def note(what: str, path: str, inside: str = "") -> None:
        if makers.get(_pattern(makers, [f"{path}{inside}".lstrip(".")])) is not None:
            found.setdefault(what, []).append(path.lstrip(".") or "the model")

    functions_by_class: dict[type, set[str]] = {}
    for path, module in model.named_modules():
        if isinstance(module, activations):
            continue
        if isinstance(module, ACTIVATION_MODULES):
            note(type(module).__name__, path)
            continue
        if isinstance(module, torch.jit.ScriptModule):
            kind = getattr(module, "original_name", "")
            if kind in {one.__name__ for one in ACTIVATION_MODULES}:
                note(f"{kind} in a ScriptModule", path)
            continue
        if isinstance(module, (nn.RNN, nn.RNNCell)) and module.nonlinearity == "relu":
            note(f'{type(module).__name__} with nonlinearity="relu"', path)
        if type(module).__module__.startswith(_FUSED) and "ReLU" in type(module).__name__:
            note(type(module).__name__, path)
        for name, value in vars(module).items():
            listed = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            if not name.startswith("_") and any(isinstance(v, (*activations, *ACTIVATION_MODULES)) for v in listed):
                note(f"modules in a plain {type(value).__name__}", f"{path}.{name}")
            held = (value,) if name.startswith("_") else (value, *listed)
            for function in sorted({function for one in held for function in functions_of(one)}):
                note(f"the function {function}", f"{path}.{name}")  # such as nn.TransformerEncoderLayer.activation
        for cls in type(module).__mro__:
            generated = cls is type(module) and isinstance(module, torch.fx.GraphModule)
            if generated or cls.__module__.split(".")[0] not in ("torch", "builtins", "fastlif"):
                if cls not in functions_by_class:
                    functions_by_class[cls] = {
                        function for name, method in vars(cls).items() if name != "__init__"
                        for function in functions_of(method, bound=True, forward=name == "forward")
                    }  # fmt: skip
                for function in sorted(functions_by_class[cls]):
                    note(f"{function} in {_type_name(cls)}", path, inside=".")  # "layer1.*" is about layer1's code too
    return with_places(found)
