"""The layers of NIR, both ways."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from torch import nn
from torch.nn.utils import skip_init

from fastlif.exchange.nir_models import PerStep

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def check_layer(layer: nn.Module, where: str) -> None:
    """Refuses what NIR has no node for."""
    if isinstance(layer, BATCH_NORMS):
        raise ValueError(
            f"model: {where} must follow an nn.Linear, nn.Conv1d or nn.Conv2d whose output nothing else takes, to be "
            "folded into it, as NIR has no node for it"
        )
    if not isinstance(layer, (*WEIGHTED, *POOLS, nn.Flatten)):
        instead = "; use nn.AvgPool2d" if "MaxPool" in where else ""
        raise ValueError(f"model: NIR has no node for {where}{instead}")


def to_node(
    layer: nn.Module, batch_norm: nn.Module | None, factor: float, input_shape, output_shape, where: str, leading: int
):
    """The node of a layer; None for one that flattens what is flat.

    Args:
        layer: from ``input_shape`` to ``output_shape``, without time and batch.
        batch_norm: what to fold into it.
        factor: of its input, to fold into its weights, if it has any.
        leading: how many dimensions time and batch are.
    """
    if isinstance(layer, nn.Flatten):
        return _flatten(layer, input_shape, where, leading)
    dimensions = 1 if isinstance(layer, nn.Linear) else 2 if isinstance(layer, nn.Conv1d) else 3
    if len(input_shape) != dimensions:
        raise ValueError(f"model: {where} must get {dimensions} dimensions a sample for NIR, got {input_shape}")
    if isinstance(layer, POOLS):
        return _pool(layer, input_shape, output_shape, where)
    weight, bias = _folded(layer, batch_norm, factor, where)
    if isinstance(layer, nn.Linear):
        return nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
    if layer.padding_mode != "zeros":
        raise ValueError(f"model: NIR pads with zeros alone, and {where} has padding_mode={layer.padding_mode!r}")
    bias = np.zeros(len(weight), weight.dtype) if bias is None else bias
    sizes: tuple = layer.stride, _padding(layer, where), layer.dilation
    if isinstance(layer, nn.Conv1d):
        return nir.Conv1d(input_shape[1], weight, *(size for (size,) in sizes), layer.groups, bias)
    return nir.Conv2d(input_shape[1:], weight, *sizes, layer.groups, bias)


def identity(shape) -> nn.Module:
    """A layer of weights that gives its input of this shape, without time and batch."""
    if len(shape) not in (1, 2, 3):
        raise ValueError(f"model: scaled spikes that are added or returned must have 1 to 3 dimensions, got {shape}")
    count = shape[0]
    if len(shape) == 1:
        layer = skip_init(nn.Linear, count, count, bias=False)
        nn.init.eye_(layer.weight)
    else:
        kind = nn.Conv1d if len(shape) == 2 else nn.Conv2d
        layer = skip_init(kind, count, count, 1, groups=count, bias=False)
        nn.init.ones_(layer.weight)
    return layer


def _flatten(layer, input_shape, where, leading):
    dimensions = leading + len(input_shape)
    first, last = (dim + dimensions if dim < 0 else dim for dim in (layer.start_dim, layer.end_dim))
    if first < leading:
        raise ValueError(
            f"model: {where} must begin after {'time and ' if leading == 2 else ''}batch, at dimension {leading}, got "
            f"start_dim={layer.start_dim}"
        )
    if first >= last:
        return None
    return nir.Flatten(np.array(input_shape), first - leading, -1 if last == dimensions - 1 else last - leading)


def _pool(layer, input_shape, output_shape, where):
    kind = nir.AvgPool2d
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        sizes = list(zip(input_shape[1:], output_shape[1:]))
        if any(size % pooled for size, pooled in sizes):
            raise ValueError(
                f"model: {where} must divide its input evenly to be NIR's AvgPool2d, and {input_shape[1:]} to "
                f"{output_shape[1:]} does not"
            )
        kernel = stride = [size // pooled for size, pooled in sizes]
        padding = [0, 0]
    else:
        pairs = (layer.kernel_size, layer.stride, layer.padding)
        kernel, stride, padding = (size if isinstance(size, tuple) else (size, size) for size in pairs)
        if layer.ceil_mode or (any(padding) and not layer.count_include_pad):
            raise ValueError(f"model: NIR's AvgPool2d has no ceil_mode and counts its padding, unlike {where}")
        if layer.divisor_override not in (None, 1):
            raise ValueError(f"model: NIR's AvgPool2d has no divisor_override, unlike {where}")
        kind = nir.SumPool2d if layer.divisor_override else kind
    return kind(*(np.array(size) for size in (kernel, stride, padding)))


def _folded(layer, batch_norm, factor, where):
    """Weight and bias of a layer whose input has a factor, and of the batch normalisation after it, if there is one."""
    weight, bias = layer.weight.detach().double() * factor, None if layer.bias is None else layer.bias.detach().double()
    if batch_norm is not None:
        name = type(batch_norm).__name__
        if batch_norm.running_mean is None:
            raise ValueError(f"model: NIR has no statistics taken as it runs, as the {name} after {where} takes them")
        if batch_norm.training:
            raise ValueError(f"model: the {name} after {where} must be in evaluation: call model.eval() first")
        scale = 1 / torch.sqrt(batch_norm.running_var.double() + batch_norm.eps)
        scale = scale if batch_norm.weight is None else scale * batch_norm.weight.detach().double()
        bias = ((0 if bias is None else bias) - batch_norm.running_mean.double()) * scale
        bias = bias if batch_norm.bias is None else bias + batch_norm.bias.detach().double()
        weight = weight * scale.view(-1, *(1,) * (weight.ndim - 1))
    kind = np.float64 if layer.weight.dtype == torch.float64 else np.float32
    return weight.cpu().numpy().astype(kind), None if bias is None else bias.cpu().numpy().astype(kind)


def _padding(layer, where) -> tuple[int, ...]:
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    if layer.padding != "same":
        return layer.padding
    total = [dilation * (size - 1) for dilation, size in zip(layer.dilation, layer.kernel_size)]
    if any(one % 2 for one in total):
        raise ValueError(f'model: padding="same" of {where} must be equal on both sides for NIR: use odd kernels')
    return tuple(one // 2 for one in total)


def from_node(node, name: str) -> nn.Module:
    """The layer of a node, for ``[T, N, *]``, or for ``[T*N, *]`` in a MultiStep."""
    if node is None:
        raise ValueError(f"graph: the tool that wrote the graph had no node for the layer {name!r}")
    if isinstance(node, (nir.Affine, nir.Linear)):
        weight = node.weight
        if weight.ndim != 2:
            raise ValueError(f"graph: the weight of {name!r} must have 2 dimensions, got shape {tuple(weight.shape)}")
        return _with_weights(nn.Linear, node, weight.shape[1], weight.shape[0])
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        weight, groups = node.weight, int(node.groups)
        padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
        return PerStep(_with_weights(
            nn.Conv1d if isinstance(node, nir.Conv1d) else nn.Conv2d, node, weight.shape[1] * groups, weight.shape[0],
            kernel_size=tuple(weight.shape[2:]), stride=_integers(node.stride), dilation=_integers(node.dilation),
            padding=padding if isinstance(padding, str) else _integers(padding), groups=groups,
        ))  # fmt: skip
    if isinstance(node, (nir.AvgPool2d, nir.SumPool2d)):
        sizes: Any = (_integers(size) for size in (node.kernel_size, node.stride, node.padding))
        kernel, stride, padding = sizes
        divisor = 1 if isinstance(node, nir.SumPool2d) else None
        return PerStep(nn.AvgPool2d(kernel, stride, padding, divisor_override=divisor))
    if isinstance(node, nir.Flatten):
        first, last = int(node.start_dim), int(node.end_dim)  # of a sample; ours are of [N, *]
        return PerStep(nn.Flatten(first + 1 if first >= 0 else first, last + 1 if last >= 0 else last))
    raise ValueError(f"graph: fastlif has no counterpart for nir.{type(node).__name__}, the node {name!r}")


def _with_weights(kind: type[nn.Module], node, *arguments, **keywords) -> nn.Module:
    """A layer with the node's weight and bias, made without drawing others."""
    bias = getattr(node, "bias", None)
    layer = kind(*arguments, **keywords, bias=bias is not None, device="meta")
    for name, values in (("weight", node.weight), ("bias", bias)):
        if values is not None:
            setattr(layer, name, nn.Parameter(torch.tensor(np.asarray(values), dtype=torch.get_default_dtype())))
    return layer


def _integers(value) -> int | tuple[int, ...]:
    value = np.asarray(value).astype(int).tolist()
    return tuple(value) if isinstance(value, list) else value
