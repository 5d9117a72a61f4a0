"""The graphs of NIR: a traced module becomes one, and one becomes a module."""

from __future__ import annotations

import dataclasses
import graphlib
import keyword
import operator
from collections import OrderedDict

import nir
import numpy as np
import torch
from torch import nn

from fastlif.exchange import nir_layers, nir_neurons
from fastlif.exchange.nir_models import PerStep
from fastlif.neuron import Neuron
from fastlif.scaling import Scaled

ADDITIONS = (operator.add, operator.iadd, torch.add, "add")
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
FLATTENINGS = (torch.flatten, "flatten")


class Tracer(torch.fx.Tracer):
    """Looks into all modules but neurons and torch's own."""

    def is_leaf_module(self, module, name):
        return isinstance(module, (Neuron, PerStep, Scaled)) or super().is_leaf_module(module, name)


@dataclasses.dataclass(frozen=True)
class Value:
    """What flows in the traced model: the sum of what some NIR nodes give, times a factor that is still to be folded
    into what takes it, and its shape without time and batch."""

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    factor: float = 1.0


class Exporter:
    """Goes through the traced model once, and makes the nodes and edges of its graph."""

    def __init__(self, model, dt, scale, discretisation):
        self.dt, self.scale, self.discretisation = dt, scale, discretisation
        self.root = nn.Sequential(model)  # a model that is a single layer has a parent too
        floating = [tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]
        self.like = floating[0] if floating else torch.empty(0)
        sequences = any(neuron.timesteps is None for neuron in model.modules() if isinstance(neuron, Neuron))
        self.leading = 2 if sequences else 1  # [T, N, *] or [T*N, *]
        self.nodes, self.edges = {}, []
        self.values: dict[torch.fx.Node, Value] = {}

    def graph(self, input_shape):
        try:
            traced = Tracer().trace(self.root)
        except Exception as error:  # whatever the model's own code raises where it meets no tensor
            name = type(self.root[0]).__name__
            raise ValueError(f"model must be one that torch.fx can trace, and {name} is not: {error}") from error
        for node in reversed(traced.nodes):
            if node.op == "call_module" and not node.users:
                traced.erase_node(node)
        first, *nodes, last = traced.nodes
        self.values[first] = self._add("input", nir.Input(np.array(input_shape)), (), input_shape, input_shape)
        for node in nodes:
            if node.op == "call_module" and node not in self.values:
                self._module(node)
            elif node.op in ("call_function", "call_method"):
                self._function(node)
        (result,) = last.args
        if not isinstance(result, torch.fx.Node) or result not in self.values:
            raise ValueError("model must return one tensor, which its layers and neurons gave, to be written as NIR")
        value = self._plain(self.values[result])
        self._add("output", nir.Output(np.array(value.shape)), value.sources, value.shape, value.shape)
        metadata = {"dt": self.dt, "discretisation": self.discretisation}
        return nir.NIRGraph(self.nodes, self.edges, metadata=metadata, type_check=False)

    def _add(self, path, node, sources, input_shape, output_shape) -> Value:
        name = path.replace(".", "_")
        while name in self.nodes or (name == "output" and not isinstance(node, nir.Output)):
            name += "_"
        node.input_type, node.output_type = {"input": np.array(input_shape)}, {"output": np.array(output_shape)}
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return Value((name,), tuple(output_shape))

    def _value(self, argument, where) -> Value:
        if not isinstance(argument, torch.fx.Node) or argument not in self.values:
            raise ValueError(f"model: {where} takes what no layer or neuron gave ({argument}), which NIR cannot say")
        return self.values[argument]

    def _plain(self, value) -> Value:
        """The value without its factor, which becomes a layer of its own: one weight for each neuron or channel."""
        if value.factor == 1:
            return value
        layer = nir_layers.identity(value.shape)
        made = nir_layers.to_node(layer, None, value.factor, value.shape, value.shape, "the scale", self.leading)
        return self._add(f"{value.sources[0]}_scale", made, value.sources, value.shape, value.shape)

    def _function(self, node):
        where = f"the call of {getattr(node.target, '__name__', node.target)}"
        if node.target in ADDITIONS and len(node.args) == 2 and not node.kwargs:
            one, other = (self._value(argument, where) for argument in node.args)
            if one.shape != other.shape or set(one.sources) & set(other.sources):
                raise ValueError(
                    f"model: {where} must sum different tensors of one shape, got {one.shape} and {other.shape}"
                )
            if one.factor != other.factor:
                one, other = self._plain(one), self._plain(other)
            self.values[node] = Value(one.sources + other.sources, one.shape, one.factor)
        elif node.target in FLATTENINGS:
            dims = dict(zip(("start_dim", "end_dim"), node.args[1:])) | node.kwargs
            self._layer(node, nn.Flatten(**{"start_dim": 0, **dims}), node.name, where, self.leading)
        else:
            raise ValueError(f"model: NIR has no node for {where}: use a module that it has one for, as nn.Flatten")

    def _module(self, node):
        module, leading = self.root.get_submodule(node.target), self.leading
        if isinstance(module, PerStep):
            module, leading = module.layer, 1
        path = node.target.removeprefix("0").lstrip(".") or type(module).__name__.lower()
        where = f"{type(module).__name__} ({path})"
        if len(node.args) != 1 or node.kwargs:
            raise ValueError(f"model: {where} must be called with one tensor, to be written as NIR")
        if isinstance(module, (Neuron, Scaled)):
            value = self._value(node.args[0], where)
            neuron, height = (module.neuron, module.scale.item()) if isinstance(module, Scaled) else (module, 1.0)
            if not height > 0:
                raise ValueError(f"model: the scale of {where} must be greater than 0, got {height:g}")
            made = nir_neurons.to_node(
                neuron, value.shape, where, value.factor / height, self.dt, self.scale, self.discretisation
            )
            added = self._add(path, made, value.sources, value.shape, value.shape)
            self.values[node] = dataclasses.replace(added, factor=height)
        elif isinstance(module, DROPOUTS) and module.training:
            raise ValueError(f"model: {where} must be in evaluation to be written as NIR: call model.eval() first")
        elif isinstance(module, (nn.Identity, *DROPOUTS)):
            self.values[node] = self._value(node.args[0], where)
        else:
            self._layer(node, module, path, where, leading)

    def _layer(self, node, module, path, where, leading):
        """Adds a layer, and with it the batch normalisation that alone takes its output, if there is one."""
        value, users, batch_norm = self._value((*node.args, None)[0], where), list(node.users), None
        if isinstance(module, nir_layers.WEIGHTED) and len(users) == 1 and users[0].op == "call_module":
            after = self.root.get_submodule(users[0].target)
            batch_norm = after if isinstance(after, nir_layers.BATCH_NORMS) else None
        shape = self._shape(module, value, where, leading)
        made = nir_layers.to_node(module, batch_norm, value.factor, value.shape, shape, where, leading)
        added = value if made is None else self._add(path, made, value.sources, value.shape, shape)
        factor = 1.0 if isinstance(module, nir_layers.WEIGHTED) else value.factor
        self.values[node] = dataclasses.replace(added, factor=factor)
        if batch_norm is not None:
            self.values[users[0]] = self.values[node]

    def _shape(self, module, value, where, leading) -> tuple[int, ...]:
        """The shape of what a layer makes of ``value``, without time and batch."""
        nir_layers.check_layer(module, where)
        zeros = torch.zeros((1,) * leading + value.shape, dtype=self.like.dtype, device=self.like.device)
        try:
            with torch.no_grad():
                return tuple(module(zeros).shape[leading:])
        except RuntimeError as error:
            raise ValueError(f"input_shape does not fit: {where} gets {value.shape}: {error}") from None


# --- From NIR ------------------------------------------------------------------------------------------------------


def module(graph: nir.NIRGraph, dt: float, discretisation: str, keywords: dict) -> nn.Module:
    """See :func:`fastlif.from_nir`."""
    order, sources, output = _structure(graph)
    names = _names(order)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name in order:
        node = graph.nodes[name]
        if isinstance(node, (nir.LIF, nir.IF, nir.LI, nir.I)):
            layers[names[name]] = nir_neurons.from_node(node, name, dt, discretisation, keywords)
        else:
            layers[names[name]] = nir_layers.from_node(node, name)
    before = [None, *order]
    if all(sources[name] == [one] for name, one in zip([*order, output], before)):
        return nn.Sequential(layers)
    return _graph_module(order, sources, output, names, layers)


def _structure(graph) -> tuple[list[str], dict[str, list], str]:
    """The nodes in the order in which they run, where each gets its input (None is the graph's), and the output."""
    ends = {kind: [name for name, node in graph.nodes.items() if isinstance(node, kind)]
            for kind in (nir.Input, nir.Output)}  # fmt: skip
    for kind, found in ends.items():
        if len(found) != 1:
            raise ValueError(f"graph must have one nir.{kind.__name__} node, got {len(found)}")
    (input,), (output,) = ends.values()
    sources: dict[str, list] = {name: [] for name in graph.nodes}
    for source, target in dict.fromkeys(map(tuple, graph.edges)):
        for name in (source, target):
            if name not in sources:
                raise ValueError(f"graph has an edge of the node {name!r}, which it does not hold")
        sources[target].append(None if source == input else source)
    try:
        order = list(graphlib.TopologicalSorter({name: [one for one in found if one is not None]
                                                 for name, found in sources.items()}).static_order())  # fmt: skip
    except graphlib.CycleError as error:
        raise ValueError(
            f"graph must have no recurrent edges, got {' -> '.join(reversed(error.args[1]))}: fastlif's neurons run "
            "over all steps of a layer at once"
        ) from None
    for name, found in sources.items():
        if not found and name != input:
            raise ValueError(f"graph must lead its input to every node, and none leads to {name!r}")
    return [name for name in order if name not in (input, output)], sources, output


def _names(order: list[str]) -> dict[str, str]:
    """For each node a name that a module may have."""
    names: dict[str, str] = {}
    taken = {*keyword.kwlist, *dir(nn.Sequential()), *dir(torch.fx.GraphModule(nn.Module(), torch.fx.Graph())), ""}
    for name in order:
        names[name] = name.replace(".", "_")
        while names[name] in taken:
            names[name] += "_"
        taken.add(names[name])
    return names


def _graph_module(order, sources, output, names, layers) -> torch.fx.GraphModule:
    graph = torch.fx.Graph()
    values = {None: graph.placeholder("input")}

    def summed(name):
        first, *others = (values[source] for source in sources[name])
        for other in others:
            first = graph.call_function(torch.add, (first, other))
        return first

    for name in order:
        values[name] = graph.call_module(names[name], (summed(name),))
    graph.output(summed(output))
    return torch.fx.GraphModule(nn.Sequential(layers), graph)
