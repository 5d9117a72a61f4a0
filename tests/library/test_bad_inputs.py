"""Every bad input: what is refused, with which error and in which words. Whatever was refused has changed nothing.

The tables have a mistake a row: the error, a phrase of its message, and the call.
"""

import copy
import functools
import importlib.util
import math
import sys
import unittest.mock

import numpy as np
import pytest
import torch
from helpers import QUIET, REFERENCE
from refusals import refused
from torch import nn

import fastlif
from fastlif import LIF, MultiStep, Noise, NoisyLIF, Surrogate, convert, energy, from_nir, plot, record, to_nir
from fastlif.functional import lif, noisy_lif, noisy_spike
from fastlif.scaling import scale_thresholds
from fastlif.timesteps import recommend_timesteps

nir = importlib.import_module("nir") if importlib.util.find_spec("nir") else None
NAN, INF = math.nan, math.inf
STEPS = 3  # that the MultiStep model below is calibrated for


def int64(*values, **options):
    return torch.tensor(values, dtype=torch.int64, **options)


# --- Functions: x is [2, 3, 4] -------------------------------------------------------------------------------------

ZERO, ONE = torch.zeros(2), torch.ones(2)
FUNCTIONAL = [
    # the input
    (TypeError, "input must be a torch.Tensor, got float32", lambda x: noisy_spike(np.float32(1))),
    (TypeError, "input must be float32, float16, bfloat16 or float64, got int64", lambda x: noisy_spike(x.long())),
    (TypeError, "got complex64", lambda x: noisy_lif(x.to(torch.complex64))),
    (TypeError, "sparse_coo: call .to_dense() first", lambda x: noisy_spike(x.to_sparse())),
    (TypeError, "sparse_csr: call .to_dense() first", lambda x: lif(x[0].to_sparse_csr())),
    (TypeError, "got a nested one: pad it", lambda x: lif(torch.nested.nested_tensor([x[0], x[0, :2]]))),
    (ValueError, "at least one time step, got shape (0, 3, 4)", lambda x: lif(x[:0])),
    (ValueError, "[T, N, *] with at least 2 dimensions, got shape (4,)", lambda x: noisy_lif(x[0, 0])),
    (ValueError, "[N, *] with at least 1 dimensions, got shape ()", lambda x: noisy_spike(x[0, 0, 0])),
    # numbers
    (ValueError, "decay must lie in [0, 1], got 1.5", lambda x: lif(x, decay=1.5)),
    (ValueError, "decay must lie in [0, 1], got -0.1", lambda x: noisy_lif(x, decay=-0.1)),
    (ValueError, "decay must be a number, got nan", lambda x: lif(x, decay=NAN)),
    (ValueError, "decay must be a number that a float can hold", lambda x: lif(x, decay=10**400)),
    (TypeError, "decay must be a number, got bool", lambda x: lif(x, decay=True)),
    (TypeError, "decay must be a number, got complex", lambda x: lif(x, decay=0.5 + 0j)),
    (TypeError, "decay must be a number, got Tensor", lambda x: noisy_lif(x, decay=torch.full((4,), 0.5))),
    (ValueError, "decay must be a number or a tensor that broadcasts against one time step, (3, 4), got shape (3,)",
     lambda x: lif(x, decay=torch.full((3,), 0.5))),
    (ValueError, "threshold must be a number or a tensor that broadcasts against one time step, (3, 4), got shape (1, 3, 4)",
     lambda x: lif(x, threshold=torch.ones(1, 3, 4))),
    (ValueError, "decay must lie in [0, 1], got values from -0.5 to 1: clamp it",
     lambda x: lif(x, decay=torch.tensor([1, -0.5, 0.5, 1]))),
    (ValueError, "decay must hold numbers, and there is NaN in it", lambda x: lif(x, decay=torch.tensor(NAN))),
    (ValueError, "threshold must be finite to be subtracted from the membrane (reset=None), got values from 0.5 to inf",
     lambda x: lif(x, threshold=torch.tensor([0.5, INF, 1, 1]), reset=None)),
    (ValueError, "gain must be finite, got values from 1 to inf", lambda x: lif(x, gain=torch.tensor([1, INF, 1, 1]))),
    (ValueError, "gain must be a finite number, got inf", lambda x: lif(x, gain=INF)),
    (TypeError, "gain must have a floating point dtype, got int64", lambda x: lif(x, gain=int64(2))),
    (ValueError, "threshold must be on the input's device cpu, got meta",
     lambda x: lif(x, threshold=torch.ones((), device="meta"))),
    (ValueError, "exactly one of decay and tau, got decay=a tensor and tau=2.0",
     lambda x: lif(x, decay=torch.tensor(0.5), tau=2.0)),
    (ValueError, "rest must be a finite number, got inf", lambda x: lif(x, rest=INF)),
    (TypeError, "inclusive must be True or False, got int", lambda x: lif(x, inclusive=1)),
    (TypeError, "reset_delay must be True or False, got str", lambda x: lif(x, reset_delay="yes")),
    (ValueError, "one step later: give reset=None with it, got reset=0.0", lambda x: lif(x, reset_delay=True)),
    (ValueError, "triton belongs to a surrogate of your own, got it with the name 'atan'",
     lambda x: lif(x, surrogate=Surrogate("atan", triton=abs))),
    (ValueError, "tau must be at least 1 (decay = 1 - 1/tau), got 0.5", lambda x: lif(x, tau=0.5)),
    (ValueError, "tau must be a number, got nan", lambda x: noisy_lif(x, tau=NAN)),
    (ValueError, "threshold must be a number, got nan", lambda x: noisy_spike(x[0], threshold=NAN)),
    (ValueError, "threshold must be finite to be subtracted", lambda x: lif(x, threshold=INF, reset=None)),
    (ValueError, "reset must be a finite number, got -inf", lambda x: noisy_lif(x, reset=-INF)),
    (ValueError, "alpha must be greater than 0, got 0", lambda x: noisy_lif(x, alpha=0)),
    (ValueError, "alpha must be at least 1e-18", lambda x: noisy_lif(x, alpha=1e-300, noise=Noise("none"))),
    (ValueError, "alpha must be a number, got nan", lambda x: noisy_lif(x, alpha=NAN)),
    (ValueError, "more than the noise's half-range 0.5: alpha must be at least 2", lambda x: noisy_lif(x, alpha=1.9)),
    (ValueError, "alpha must be inf", lambda x: noisy_lif(x, noise=Noise(low=0.5, high=0.5))),
    (ValueError, "beta must be a finite number, got inf", lambda x: noisy_lif(x, beta=INF)),
    (TypeError, "detach_reset must be True or False, got str", lambda x: lif(x, detach_reset="no")),
    (TypeError, "return_state must be True or False, got NoneType", lambda x: lif(x, return_state=None)),
    (TypeError, "return_state must be True or False, got int", lambda x: noisy_lif(x, return_state=1)),
    # keywords
    (TypeError, "lif takes decay, not beta (snnTorch's name)", lambda x: lif(x, beta=0.9)),
    (TypeError, "noisy_lif takes reset, not v_reset (SpikingJelly's name); None", lambda x: noisy_lif(x, v_reset=None)),
    (TypeError, "noisy_spike takes threshold, not v_th (Norse's name)", lambda x: noisy_spike(x, v_th=1)),
    (TypeError, "unexpected keyword argument 'v_reset'", lambda x: noisy_spike(x, v_reset=0)),  # it has none
    (TypeError, "takes 1 positional argument but 2 were given", lambda x: lif(x, 0.5)),
    # noise and surrogate
    (ValueError, "noise low must not exceed high, got low=1.0 and high=0.0", lambda x: Noise(low=1.0, high=0.0)),
    (ValueError, "noise low must lie in [-1e+18, 1e+18], got -1e+308", lambda x: Noise(low=-1e308, high=1e308)),
    (ValueError, "noise high must be a finite number, got inf", lambda x: Noise(high=INF)),
    (ValueError, "noise width must lie in [1e-18, 1e+18], got 1e-300", lambda x: Noise(width=1e-300)),
    (ValueError, "noise kind must be one of gaussian, uniform, none, got 'normal'", lambda x: Noise("normal")),
    (AttributeError, "cannot assign to field 'low'", lambda x: setattr(Noise(), "low", 0.5)),
    (TypeError, "noise must be a fastlif.Noise, got str", lambda x: noisy_spike(x[0], noise="gaussian")),
    (TypeError, "noise must be a fastlif.Noise, got type", lambda x: noisy_lif(x, noise=Noise)),
    (ValueError, "surrogate must be one of atan, sigmoid, rectangular", lambda x: lif(x, surrogate="arctan")),
    (TypeError, "surrogate must be a name, a function or a fastlif.Surrogate, got int", lambda x: lif(x, surrogate=2)),
    (TypeError, "or a fastlif.Surrogate, got type", lambda x: lif(x, surrogate=Surrogate)),
    (ValueError, "surrogate width must be a finite number, got inf", lambda x: Surrogate("atan", INF)),
    (ValueError, "surrogate width must lie in [1e-18, 1e+18]", lambda x: Surrogate("gaussian", 1e-200)),
    (AttributeError, "cannot assign to field 'width'", lambda x: setattr(Surrogate(), "width", 1.0)),
    (ValueError, "surrogate at must be one of membrane, mean, got 'noise'", lambda x: Surrogate(at="noise")),
    # statistics
    (ValueError, "statistics must be one of layer, sample, got 'batch'", lambda x: noisy_lif(x, statistics="batch")),
    (ValueError, "residual must be one of matched, range, got 'none'", lambda x: noisy_lif(x, residual="none")),
    (ValueError, "over_time must be one of independent, antithetic, got 'paired'", lambda x: noisy_lif(x, over_time="paired")),
    (ValueError, "or a pair (mean, deviation) of tensors", lambda x: noisy_lif(x, statistics=(0.0, 1.0))),
    (ValueError, "or a pair (mean, deviation) of tensors", lambda x: noisy_lif(x, statistics=torch.zeros(2, 2))),
    (ValueError, "or a pair (mean, deviation) of tensors", lambda x: noisy_lif(x, statistics=(ZERO, ONE, ONE))),
    (ValueError, "deviation must have one value per time step, shape (2,), got (3,)",
     lambda x: noisy_lif(x, statistics=(ZERO, torch.ones(3)))),
    (TypeError, "mean must have a floating point dtype", lambda x: noisy_lif(x, statistics=(ZERO.long(), ONE))),
    (TypeError, "mean must be a dense tensor", lambda x: noisy_lif(x, statistics=(ONE.to_sparse(), ONE))),
    (ValueError, "mean must be on the input's device", lambda x: noisy_lif(x, statistics=(ONE.to("meta"), ONE))),
    (ValueError, "finite values, the deviation at least 0, got [nan, nan]",
     lambda x: noisy_lif(x, statistics=(ZERO * NAN, ONE))),
    (ValueError, "and [1.0, inf]", lambda x: noisy_lif(x, statistics=(ZERO, torch.tensor([1.0, INF])))),
    (ValueError, "and [-1.0, -1.0]", lambda x: noisy_lif(x, statistics=(ZERO, -ONE))),
    # the initial state
    (TypeError, "initial_state must be a torch.Tensor, got float", lambda x: lif(x, initial_state=0.0)),
    (TypeError, "initial_state must have a floating point dtype", lambda x: lif(x, initial_state=x[0].long())),
    (TypeError, "initial_state must be a dense tensor", lambda x: noisy_lif(x, initial_state=x[0].to_sparse())),
    (ValueError, "shape of one time step, (3, 4), got (1, 4)", lambda x: lif(x, initial_state=x[0, :1])),
    (ValueError, "initial_state must be on the input's device", lambda x: lif(x, initial_state=x[0].to("meta"))),
    # the seed
    (TypeError, "seed must be an integer or a one-element int64 tensor, got float", lambda x: noisy_spike(x, seed=0.5)),
    (TypeError, "a one-element int64 tensor, got bool", lambda x: noisy_lif(x, seed=True)),
    (TypeError, "a one-element int64 tensor, got str", lambda x: noisy_lif(x, seed="0", noise=Noise("none"))),
    (TypeError, "got dtype int32", lambda x: noisy_lif(x, seed=int64(1).int())),
    (TypeError, "seed must be a dense tensor", lambda x: noisy_lif(x, seed=int64(1).to_sparse())),
    (ValueError, "seed must have one element, got shape (0,)", lambda x: noisy_lif(x, seed=int64())),
    (ValueError, "seed must have one element, got shape (2,)", lambda x: noisy_spike(x, seed=int64(1, 2))),
    (ValueError, "seed must fit into 64 bits, got 18446744073709551616", lambda x: noisy_spike(x, seed=2**64)),
    (ValueError, "seed must fit into 64 bits, got -9223372036854775809", lambda x: noisy_lif(x, seed=-(2**63) - 1)),
    (ValueError, "seed must be on the input's device", lambda x: noisy_spike(x, seed=int64(1, device="meta"))),
    # the backend
    (ValueError, "backend must be one of auto, triton, compiled, reference, got 'cuda'", lambda x: lif(x, backend="cuda")),
    (TypeError, 'backend="compiled" computes in float32: for a float64 input use backend="reference"',
     lambda x: lif(x.double(), backend="compiled")),
    (TypeError, 'for a float64 input use backend="reference"', lambda x: noisy_spike(x.double(), backend="triton")),
    (RuntimeError, 'backend="compiled" cannot run here', lambda x: lif(x.to("meta"), backend="compiled")),
    (RuntimeError, "cannot be differentiated twice", lambda x: second_derivative(x)),
]  # fmt: skip


def second_derivative(x):
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(lif(x, **REFERENCE).sum(), x, create_graph=True)
    torch.autograd.grad(grad.square().sum(), x)


# --- Modules: m.lif and m.noisy run two steps, are stateful and have carried a membrane [2, 3] ---------------------

MODULES = [
    (TypeError, "timesteps must be an integer, got bool", lambda m: LIF(True)),
    (TypeError, "timesteps must be an integer, got float", lambda m: NoisyLIF(timesteps=2.0)),
    (TypeError, "a time constant is given by name, tau=2.0", lambda m: LIF(2.0)),
    (TypeError, "stateful must be True or False, got numpy.bool", lambda m: LIF(stateful=np.bool_(True))),
    (TypeError, "decay must be a number or a tensor, got None", lambda m: setattr(m.lif, "decay", None)),
    (ValueError, "tau must be at least 1", lambda m: setattr(m.lif, "tau", 0.5)),
    (ValueError, "timesteps must be at most 2147483647", lambda m: LIF(timesteps=2**31)),
    (TypeError, "positional arguments but 3 were given", lambda m: LIF(2, 0.5)),
    (TypeError, "NoisyLIF takes surrogate, not spike_grad", lambda m: convert(nn.ReLU(), spike_grad=None)),
    (TypeError, "LIF takes timesteps, not step_mode (SpikingJelly's name); time is folded", lambda m: LIF(step_mode="m")),
    (AttributeError, "reset() forgets the membrane and cannot be set: set reset_to=0.5", lambda m: setattr(m.lif, "reset", 0.5)),
    (ValueError, "alpha must be at least 2", lambda m: NoisyLIF(alpha=1.0)),
    (ValueError, "residual must be one of matched, range", lambda m: NoisyLIF(residual=None)),
    (ValueError, "over_time must be one of independent, antithetic", lambda m: NoisyLIF(over_time=True)),
    (ValueError, "statistics must be one of layer, sample", lambda m: NoisyLIF(statistics=(ZERO, ONE))),
    (ValueError, "surrogate must be one of", lambda m: LIF(surrogate="step")),
    (ValueError, "backend must be one of", lambda m: LIF(backend="numba")),
    (TypeError, "noise must be a fastlif.Noise, got float", lambda m: NoisyLIF(noise=0.1)),
    (TypeError, "stateful must be True or False, got str", lambda m: LIF(stateful="yes")),
    (TypeError, "detach_state must be True or False, got NoneType", lambda m: NoisyLIF(detach_state=None)),
    (ValueError, "decay must lie in [0, 1], got values from 2 to 2", lambda m: LIF(decay=nn.Parameter(torch.tensor(2.0)))),
    (ValueError, "one step later: give reset=None with it", lambda m: LIF(reset_delay=True)),
    (TypeError, "IF does not leak and takes no tau: use fastlif.LIF", lambda m: fastlif.IF(tau=2.0)),
    (TypeError, "ParametricLIF learns it and takes no decay: give init_tau", lambda m: fastlif.ParametricLIF(decay=0.5)),
    (ValueError, "init_tau must be more than 1 step, got 1.0", lambda m: fastlif.ParametricLIF(init_tau=1)),
    (ValueError, "channels must be at least 1, got 0", lambda m: fastlif.ParametricLIF(channels=0)),
    (ValueError, "a dimension of 3 channels after the batch, got steps of shape (3,)",
     lambda m: fastlif.ParametricLIF(2, channels=3)(torch.ones(6))),
    (ValueError, "decay must be a number, an nn.Parameter, which is learned, or a tensor with",
     lambda m: LIF(decay=nn.Parameter(torch.zeros(4)).sigmoid())),
    (ValueError, "gain must be a number or a tensor", lambda m: fastlif.LI(gain=torch.ones(3))(torch.zeros(2, 4))),
    (TypeError, "gain must have a floating point dtype", lambda m: fastlif.LI(gain=int64(1, 1, 1))),
    (ValueError, "gain must be finite, got values from inf to inf", lambda m: fastlif.LI(gain=torch.full((3,), INF))),
    (ValueError, "decay must lie in [0, 1], got 1.5", lambda m: fastlif.LI(decay=1.5)),
    (ValueError, "decay must lie in [0, 1], got 3.0", lambda m: changed(fastlif.LI(), decay=3.0)),
    (ValueError, "statistics must be one of", lambda m: changed(NoisyLIF(), statistics="samples")),
    (TypeError, "stateful must be True or False, got str", lambda m: changed(LIF(), stateful="no")),
    (TypeError, "model must be a torch.nn.Module, got str", lambda m: fastlif.detach("model")),
    (TypeError, "detach_reset must be True or False, got NoneType", lambda m: NoisyLIF(detach_reset=None)),
    (ValueError, "threshold must be finite to be subtracted", lambda m: LIF(threshold=INF, reset=None)),
    (TypeError, "got int64", lambda m: m.noisy(int64(1, 2))),
    (ValueError, "[T*N, *] with at least 1 dimensions", lambda m: m.lif(torch.tensor(1.0))),
    (ValueError, "[T, N, *] with at least 2 dimensions", lambda m: LIF(None)(torch.zeros(4))),
    (ValueError, "[T, N, *] with at least one time step", lambda m: NoisyLIF(None)(torch.zeros(0, 4))),
    (ValueError, "timesteps=2 must divide the batch", lambda m: m.lif(torch.zeros(5, 3))),
    (ValueError, "has shape (2, 3), this call's time step (3, 3): call fastlif.reset", lambda m: m.lif(torch.ones(6, 3))),
    (ValueError, "has shape (2, 3), this call's time step (2, 4)", lambda m: m.noisy(torch.zeros(4, 4))),
    (ValueError, "on cpu, this call's input on meta: call fastlif.reset",
     lambda m: m.lif(torch.zeros(4, 3, device="meta"))),
    (ValueError, "timesteps must be at least 1, got 0", lambda m: changed(m.lif, timesteps=0)(torch.zeros(4, 3))),
    (TypeError, "timesteps must be an integer, got str", lambda m: changed(m.lif, timesteps="2")(torch.zeros(4, 3))),
    (ValueError, "alpha must be greater than 0", lambda m: changed(m.noisy, alpha=-1.0)(torch.zeros(4, 3))),
    (TypeError, "threshold must be a number, got str", lambda m: changed(m.lif, threshold="1")(torch.zeros(4, 3))),
    (TypeError, "model must be a torch.nn.Module, got type", lambda m: fastlif.reset(LIF)),
]  # fmt: skip


def changed(module, **attributes):
    """A copy of a module whose attributes were set by hand."""
    module = copy.deepcopy(module)
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def carried():
    m = nn.ModuleDict({"lif": LIF(2, stateful=True, **REFERENCE), "noisy": NoisyLIF(2, stateful=True, **REFERENCE)})
    for neuron in m.values():
        neuron(torch.full((4, 3), 0.3))
    return m


# --- Conversion: m.relu is a ReLU network, m.net its conversion, m.multi that over 3 steps, calibrated -------------

BATCH = torch.linspace(-1, 2, 24).view(4, 6)
NODES = "fastlif.libraries.spikingjelly_nodes"
EVENTS, LABELLED = BATCH.expand(2, 4, 6), [(BATCH, int64(0, 1, 2, 0))]


def without(module, function, *arguments):
    """Calls ``function`` where ``module`` cannot be imported."""
    with unittest.mock.patch.dict(sys.modules, {module: None}):
        function(*arguments)


CONVERSION = [
    (TypeError, "it keeps a tensor with its graph, such as a membrane (reset the model first)",
     lambda m: convert(changed(LINEAR, kept=torch.ones(1, requires_grad=True) + 1))),
    (TypeError, "unexpected keyword argument 'treshold'", lambda m: convert(m.relu, treshold=1)),
    (TypeError, "neuron must be a class or a function that makes modules, or a dict from patterns to these, got NoisyLIF",
     lambda m: convert(m.relu, NoisyLIF())),
    (TypeError, "or a dict from patterns to these, got str", lambda m: convert(m.relu, "lif")),
    (TypeError, "neuron must make a torch.nn.Module, and made a int", lambda m: convert(m.relu, lambda: 3)),
    (TypeError, "neuron's patterns must be strings such as 'layer1.*', got int", lambda m: convert(m.relu, {1: LIF})),
    (TypeError, "neuron['*'] must be a class or a function that makes modules, or None, got LIF",
     lambda m: convert(m.relu, {"*": LIF()})),
    (TypeError, "neuron['1'] must be a class or a function that makes modules, or None, got str",
     lambda m: convert(m.relu, {"1": "lif"})),
    (ValueError, "neuron must have a pattern with something that makes neurons, got {}", lambda m: convert(m.relu, {})),
    (ValueError, "something that makes neurons, got {'*': None}", lambda m: convert(m.relu, {"*": None})),
    (ValueError, "neuron's pattern 'layer1.*' must match an activation that no pattern before it takes; there are 1",
     lambda m: convert(m.relu, {"layer1.*": LIF})),
    (ValueError, "neuron's pattern '1' must match an activation", lambda m: convert(m.relu, {"*": LIF, "1": NoisyLIF})),
    (ValueError, "a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, ... (30 in all)",
     lambda m: convert(nn.ModuleDict({f"a{i}": nn.ReLU() for i in range(30)}), {"b*": LIF})),
    (ValueError, "Sequential has no nn.ReLU6 or nn.GELU to swap; what it has: 2 x ReLU (1, ...). Replace these by nn.ReLU modules first, "
     "or name the types", lambda m: convert(m.relu, activations=(nn.ReLU6, nn.GELU))),
    (TypeError, "activations must be types of modules, such as (nn.ReLU, nn.ReLU6), got ReLU",
     lambda m: convert(m.relu, activations=nn.ReLU())),
    (TypeError, "such as (nn.ReLU, nn.ReLU6), got int", lambda m: convert(m.relu, activations=(nn.ReLU, int))),
    (ValueError, "activations must name at least one type of module, such as nn.ReLU, got none",
     lambda m: convert(m.relu, activations=())),
    (TypeError, "model must be a torch.nn.Module, got str", lambda m: scale_thresholds("resnet18")),
    (ValueError, "Sequential has no fastlif neuron: convert it first", lambda m: scale_thresholds(m.relu)),
    (ValueError, "model is scaled already", lambda m: scale_thresholds(scale_thresholds(m.net))),
    (ValueError, "give both trained and batches, or neither", lambda m: scale_thresholds(m.net, m.relu)),
    (ValueError, "give both trained and batches, or neither", lambda m: scale_thresholds(m.net, batches=[BATCH])),
    (TypeError, "trained must be a torch.nn.Module, got list", lambda m: scale_thresholds(m.net, [], [BATCH])),
    (TypeError, "batches must be an iterable of batches", lambda m: scale_thresholds(m.net, m.relu, BATCH)),
    (TypeError, "each batch must be a tensor, or a tuple that begins with one, got list of str",
     lambda m: scale_thresholds(m.net, m.relu, [["a"]])),
    (ValueError, "batches must hold at least one batch, got none", lambda m: scale_thresholds(m.net, m.relu, [])),
    (ValueError, "trained must be the network that model was converted from, and has no module '1'",
     lambda m: scale_thresholds(m.net, LINEAR, [BATCH])),
    (ValueError, "no module 'model.1'. If model has time steps already, as a MultiStep, scale what fastlif.convert made",
     lambda m: scale_thresholds(MultiStep(m.net, STEPS), m.relu, [BATCH])),
    (ValueError, "1 in trained must be elementwise, and makes (4, 4) of (4, 8)", lambda m: scale_thresholds(
        m.net, nn.Sequential(m.relu[0], nn.AvgPool1d(2), nn.Flatten(), nn.ReLU()), [BATCH])),
    (ValueError, "batches must leave every activation finite, and 1 has NaN or infinity",
     lambda m: scale_thresholds(m.net, m.relu, [BATCH, BATCH * NAN])),
    (TypeError, "model must be a torch.nn.Module, got str", lambda m: fastlif.accelerate("spiking_resnet18")),
    (TypeError, "strict must be True or False, got int", lambda m: fastlif.accelerate(m.net, strict=1)),
    (TypeError, "model must be a torch.nn.Module, got NoneType", lambda m: fastlif.restore(None)),
    (ImportError, "fastlif.accelerate is for models of SpikingJelly, which cannot be imported",
     lambda m: without(NODES, fastlif.accelerate, m.net)),
    (ImportError, "pip install 'fastlif[peers]'", lambda m: without(NODES, fastlif.restore, m.net)),
    (TypeError, "model must be a torch.nn.Module, got str", lambda m: fastlif.fuse("model")),
    (ValueError, "Sequential has no batch normalisation directly before a fastlif neuron in an nn.Sequential: convert it first",
     lambda m: fastlif.fuse(m.relu)),
    (ValueError, "nn.Sequential: in a forward of your own, call fastlif.batch_norm_neuron", lambda m: fastlif.fuse(m.net)),
    (ValueError, "model has neurons of scale_thresholds, which run alone",
     lambda m: fastlif.fuse(scale_thresholds(m.net))),
    (ValueError, "FusedSequential is fused already", lambda m: fastlif.fuse(fastlif.fuse(NORMED))),
    (TypeError, "neuron must be a", lambda m: fastlif.batch_norm_neuron(NORMED[0], torch.relu, BATCH)),
    (ValueError, "surrogate must be one of",
     lambda m: fastlif.batch_norm_neuron(NORMED[0], changed(LIF(), surrogate="step"), BATCH)),
    (ValueError, "expected 4D input", lambda m: fastlif.batch_norm_neuron(nn.BatchNorm2d(6), NoisyLIF(), BATCH)),
    (ValueError, "more than 1 value per channel", lambda m: fastlif.batch_norm_neuron(NORMED[0], NORMED[1], BATCH[:1])),
    (TypeError, "input must be a torch.Tensor, got NoneType", lambda m: fastlif.batch_norm_neuron(*NORMED, None)),
    (TypeError, "batch_norm must be the layer before the neuron, got LIF",
     lambda m: fastlif.batch_norm_neuron(NORMED[1], NORMED[0], BATCH)),
    (ValueError, "timesteps=3 must divide the batch", lambda m: fastlif.batch_norm_neuron(NORMED[0], LIF(3), BATCH)),
    (ImportError, "fastlif.LIF.from_snntorch needs snntorch, which cannot be imported",
     lambda m: without("snntorch", LIF.from_snntorch, LINEAR)),
    (ImportError, "fastlif.LIF.from_norse needs norse, which cannot be imported",
     lambda m: without("norse.torch.module.lif_box", LIF.from_norse, LINEAR)),
    (TypeError, "model must be a torch.nn.Module, got type", lambda m: MultiStep(NoisyLIF)),
    (ValueError, "no fastlif neuron: convert it first", lambda m: MultiStep(m.relu)),
    (ValueError, "model has time steps already", lambda m: MultiStep(nn.Sequential(m.multi), 4)),
    (ValueError, "timesteps must be at least 1, got 0", lambda m: MultiStep(m.net, 0)),
    (ValueError, "alpha must be at least 2", lambda m: MultiStep(NoisyLIF(), 2, alpha=1.5)),
    (ValueError, "statistics must be one of", lambda m: MultiStep(m.net, 2, statistics="batch")),
    (ValueError, "residual must be one of", lambda m: MultiStep(m.net, 2, residual="width")),
    (ValueError, "over_time must be one of", lambda m: MultiStep(m.net, 2, over_time="")),
    (TypeError, "repeat_input must be True or False, got str", lambda m: MultiStep(m.net, repeat_input="no")),
    (ValueError, "only a fastlif.NoisyLIF takes alpha, statistics, and LIF has none",
     lambda m: MultiStep(LIF(), 2, alpha=4.0, statistics="sample")),
    (ValueError, "Linear has no nn.ReLU to swap", lambda m: convert(LINEAR)),
    (ValueError, "no nn.ReLU to swap but 2 fastlif neurons: it spikes already", lambda m: convert(convert(m.relu))),
    (TypeError, "got Proxy: torch.fx cannot look into a neuron", lambda m: torch.fx.symbolic_trace(NoisyLIF())),
    (TypeError, "timesteps must be an integer, got float", lambda m: setattr(m.multi, "timesteps", 2.5)),
    (TypeError, "got int64", lambda m: MultiStep(LIF())(BATCH.long())),
    (TypeError, "input must be a torch.Tensor, got list", lambda m: m.multi([1, 2])),
    (ValueError, "[N, *] with at least 1 dimensions", lambda m: m.multi(torch.tensor(1.0))),
    (ValueError, "must hold its batch in the first dimension", lambda m: m.flat(BATCH)),
    (TypeError, "holds torch.int64, which has no mean over time: return scores",
     lambda m: MultiStep(Forward(lambda y: y.argmax(1)), STEPS)(BATCH)),
    (RuntimeError, "was calibrated for 2 calls in a pass of its MultiStep model: run it inside that model",
     lambda m: m.shared.model[0](BATCH[:STEPS])),
    # calibration
    (ValueError, "must hold at least one batch to calibrate with, got none", lambda m: m.multi.calibrate([])),
    (TypeError, "batches must be an iterable of batches", lambda m: m.multi.calibrate({"train": BATCH})),
    (TypeError, "begins with one, got tuple", lambda m: m.multi.calibrate([BATCH, ()])),
    (TypeError, "begins with one, got tuple of str", lambda m: m.multi.calibrate([("a", BATCH)])),
    (ValueError, "each batch must hold something, got one of shape (0, 6)",
     lambda m: m.multi.calibrate([BATCH, BATCH[:0]])),
    (OSError, "the disk is gone", lambda m: m.multi.calibrate(failing(OSError("the disk is gone")))),
    (ValueError, "batches must leave every membrane finite", lambda m: m.multi.calibrate([BATCH, BATCH * NAN])),
    (ValueError, "called more often for one batch than for another", lambda m: m.often.calibrate([BATCH, BATCH[:2]])),
    (ValueError, "no fastlif.NoisyLIF, so there is nothing to calibrate",
     lambda m: MultiStep(convert(m.relu, LIF), 2).calibrate([BATCH])),
    (TypeError, "sequence must be True or False, got int", lambda m: m.multi.calibrate([EVENTS], sequence=1)),
    (ValueError, "sequences must all have one T, got 2 and 3 steps",
     lambda m: m.multi.calibrate([EVENTS, torch.zeros(3, 4, 6)], sequence=True)),
    # sequences, and every step
    (TypeError, "sequence must be True or False, got str", lambda m: m.multi(EVENTS, sequence="yes")),
    (ValueError, "at least one time step, got shape (0, 4, 6)", lambda m: m.multi(EVENTS[:0], sequence=True)),
    (ValueError, "output must be one of mean, steps, got 'sum'", lambda m: MultiStep(m.net, 2, output="sum")),
    # stopping early
    (ValueError, "[N, *] with at least 1 dimensions", lambda m: m.multi.until_confident(torch.tensor(1.0))),
    *((ValueError, f"confidence must lie between 0 and 1, got {value}",
       lambda m, value=value: m.multi.until_confident(BATCH, value)) for value in (0.0, 1.0, -0.5, 90.0)),
    (ValueError, "confidence must be a number, got nan", lambda m: m.multi.until_confident(BATCH, NAN)),
    (TypeError, "confidence must be a number, got str", lambda m: m.multi.until_confident(BATCH, "high")),
    (ValueError, "max_timesteps must be at least 1, got 0", lambda m: m.multi.until_confident(BATCH, 0.9, 0)),
    (ValueError, "max_timesteps is 4 and exceeds the 3 steps", lambda m: m.multi.until_confident(BATCH, 0.9, 4)),
    (RuntimeError, "until_confident is for evaluation: call multi.eval() first",
     lambda m: m.multi.until_confident(BATCH)),
    (ValueError, 'until_confident cannot use statistics="layer"', lambda m: MultiStep(m.net).eval().until_confident(BATCH)),
    (ValueError, "cannot run stateful neurons: use stateful=False",
     lambda m: MultiStep(LIF(stateful=True)).eval().until_confident(BATCH)),
    (TypeError, "needs a model that returns scores [N, classes], got shape (4, 1, 6)",
     lambda m: MultiStep(LIF(**REFERENCE)).eval().until_confident(BATCH[:, None])),
    (TypeError, "needs a model that returns scores [N, classes], got dict",
     lambda m: MultiStep(Forward(lambda y: {"scores": y})).eval().until_confident(BATCH)),
    (ValueError, "one row for each sample, got 2 rows of scores for 4",
     lambda m: MultiStep(Forward(lambda y: y[:2])).eval().until_confident(BATCH)),
    (ValueError, "one row for each sample, got 8 rows of a neuron for 4 samples",
     lambda m: MultiStep(nn.Sequential(Doubled(), LIF(), Halved()), repeat_input=True).eval().until_confident(BATCH)),
    # how many steps are enough
    (TypeError, "multi must be a fastlif.MultiStep, got Sequential", lambda m: recommend_timesteps(m.net, LABELLED)),
    (TypeError, "loader must be an iterable of batches, such as a data loader or a list of tensors, got int",
     lambda m: recommend_timesteps(m.multi, 5)),
    (TypeError, "labelled batches, (inputs, labels) tensors, got Tensor",
     lambda m: recommend_timesteps(m.multi, [*LABELLED, BATCH])),
    (TypeError, "got list of 1", lambda m: recommend_timesteps(m.multi, [[BATCH]])),
    (TypeError, "got tuple of 2", lambda m: recommend_timesteps(m.multi, [(BATCH, [0, 1, 2, 0])])),
    (TypeError, "integer labels [N] for inputs [N, *] of shape (4, 6), got float32 of shape (4,)",
     lambda m: recommend_timesteps(m.multi, [(BATCH, torch.zeros(4))])),
    (TypeError, "got int64 of shape (4,); sequences [T, N, *] are not measured here",
     lambda m: recommend_timesteps(m.multi, [(EVENTS, int64(0, 1, 2, 0))])),
    (TypeError, "got shape (4, 4, 3); sequences [T, N, *] are not measured here",
     lambda m: recommend_timesteps(m.multi, [(BATCH.expand(4, 4, 6), int64(0, 1, 2, 0))])),
    (TypeError, "got int64 of shape (3,)", lambda m: recommend_timesteps(m.multi, [(BATCH, int64(0, 1, 2))])),
    (ValueError, "loader must hold at least one sample", lambda m: recommend_timesteps(m.multi, [])),
    (ValueError, "loss must be at least 0 percentage points, got -1",
     lambda m: recommend_timesteps(m.multi, LABELLED, loss=-1)),
    (ValueError, "loss must be a finite number, got inf", lambda m: recommend_timesteps(m.multi, LABELLED, INF)),
    (ValueError, "max_timesteps must be at", lambda m: recommend_timesteps(m.multi, LABELLED, max_timesteps=0)),
    (ValueError, "max_timesteps is 4 and exceeds the 3 steps that were calibrated: calibrate again",
     lambda m: recommend_timesteps(m.multi, LABELLED, max_timesteps=4)),
    (TypeError, "recommend_timesteps needs a model that returns scores [N, classes], got shape (4, 1, 6)",
     lambda m: recommend_timesteps(MultiStep(LIF(**REFERENCE), 2), [(BATCH[:, None], int64(0, 1, 2, 0))])),
    (ValueError, "labels must lie in 0..5, as the scores do, got 1..6",
     lambda m: recommend_timesteps(MultiStep(LIF(**REFERENCE), 2), [(BATCH, int64(1, 2, 3, 6))])),
    (ValueError, "got -1..1", lambda m: recommend_timesteps(MultiStep(LIF(**REFERENCE), 2), [(BATCH, int64(0, 1, -1, 0))])),
    (ValueError, "multi must give scores that are numbers, and there is NaN or infinity in them",
     lambda m: recommend_timesteps(MultiStep(nn.Sequential(LIF(**REFERENCE), Forward(lambda y: y * NAN))), LABELLED)),
]  # fmt: skip


def failing(error):
    yield BATCH
    raise error


LINEAR = nn.Linear(2, 2)
NORMED = nn.Sequential(nn.BatchNorm1d(6), LIF())


class Often(nn.Module):
    """Calls its neuron once, and for a larger batch twice."""

    def __init__(self):
        super().__init__()
        self.first, self.neuron = NoisyLIF(**QUIET), NoisyLIF(**QUIET)

    def forward(self, x):
        y = self.neuron(self.first(x))
        return self.neuron(y) if len(x) > 2 else y


def converted():
    torch.manual_seed(0)
    relu = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    net = convert(relu, **QUIET)
    net[1].train(False)  # flags that differ, to be found again
    neuron = NoisyLIF(**QUIET)
    models = {
        "multi": net,
        "shared": nn.Sequential(neuron, neuron),
        "flat": nn.Sequential(neuron, nn.Flatten(0)),
        "often": Often(),
    }
    models = {name: MultiStep(model, STEPS) for name, model in models.items()}
    for name in ("multi", "shared"):
        models[name].calibrate([BATCH])
    return nn.ModuleDict({"relu": relu, "net": net, **models})


# --- Looking inside: m as for the conversion; LOG holds spikes and no membranes, RATES rates alone ------------------


def logged(**keywords):
    model = nn.Sequential(nn.Linear(3, 5), LIF(2, **REFERENCE))
    with torch.no_grad(), record(model, **keywords) as log:
        model(torch.ones(4, 3))
    return log


LOG, RATES, EMPTY = logged(), logged(spikes=False), record(LIF())
CLOSED, SPIKES = logged(membrane="after"), torch.ones(4, 2, 3)
COMPILED = torch.compile(LIF(), backend="eager")
INSIDE = [
    (TypeError, "model must be a torch.nn.Module, got type", lambda m: record(LIF)),
    (ValueError, "Sequential has no fastlif neuron: convert it first", lambda m: record(m.relu)),
    (TypeError, "spikes must be True or False, got str", lambda m: record(m.net, spikes="all")),
    (ValueError, "model must have a neuron that spikes", lambda m: record(fastlif.LI())),
    (ValueError, "membrane must be None, 'before' or 'after', got 'h'", lambda m: record(m.net, membrane="h")),
    (RuntimeError, "model must not be compiled, and it is, by torch.compile", lambda m: record(COMPILED)),
    (RuntimeError, "model must not be compiled, and model is", lambda m: record(changed(m.multi, model=COMPILED))),
    (RuntimeError, "a log records one `with`: call fastlif.record(model) again", lambda m: LOG.__enter__()),
    (RuntimeError, "nothing was recorded: call the model itself", lambda m: EMPTY.table()),
    (RuntimeError, "spikes were not recorded: use fastlif.record(model, spikes=True)", lambda m: RATES.spikes),
    (RuntimeError, "the membrane was not recorded: use fastlif.record(model, membrane='before')", lambda m: LOG.membrane),
    (ValueError, "per must be one of layer, unit, got 'neuron'", lambda m: LOG.rates(per="neuron")),
    (KeyError, "there are none, as no neuron was called", lambda m: EMPTY.spikes["0"]),
    (TypeError, "model must be a torch.nn.Module, got str", lambda m: energy("net", BATCH)),
    (ValueError, "Sequential has no fastlif neuron", lambda m: energy(m.relu, BATCH)),
    (RuntimeError, "model must not be compiled, and it is, by torch.compile", lambda m: energy(COMPILED, BATCH)),
    (TypeError, "input must be a torch.Tensor, got ndarray", lambda m: energy(m.net, BATCH.numpy())),
    (ValueError, "input must hold at least one sample, got shape (0, 6)", lambda m: energy(m.net, BATCH[:0])),
    (ValueError, "add_pj must be greater than 0, got -1", lambda m: energy(m.net, BATCH, add_pj=-1)),
    (TypeError, "multiply_pj must be a number, got str", lambda m: energy(m.net, BATCH, multiply_pj="4")),
    (TypeError, "recorded must be a fastlif log or a tensor [T, N, *], got dict", lambda m: plot.raster({})),
    (ValueError, "recorded must be [T, N, *] and hold something, got shape (4,)", lambda m: plot.raster(SPIKES[:, 0, 0])),
    (ValueError, "sample must be from 0 to 1, got 2", lambda m: plot.raster(SPIKES, sample=2)),
    (ValueError, "units must be at least 1, got 0", lambda m: plot.raster(SPIKES, units=0)),
    (ValueError, "layer chooses an entry of a log, and recorded is a tensor", lambda m: plot.raster(SPIKES, layer="1")),
    (KeyError, "'2' was not recorded; there are 1", lambda m: plot.raster(LOG, layer="2")),
    (RuntimeError, "the membrane was not recorded", lambda m: plot.membrane(LOG)),
    (ValueError, "units must be from 0 to 4, got 5", lambda m: plot.membrane(CLOSED, units=[0, 5])),
    (TypeError, "units must be an integer, got list", lambda m: plot.membrane(CLOSED, units=[])),
    (TypeError, "threshold must be a number, got str", lambda m: plot.membrane(CLOSED, threshold="1")),
    (TypeError, "recorded must be a fastlif log or its rates(), got Tensor", lambda m: plot.rates(SPIKES)),
    (TypeError, "recorded must be a fastlif log or its rates(), got dict", lambda m: plot.rates(LOG.rates(per="unit"))),
    (ValueError, "recorded must hold at least one rate, got none", lambda m: plot.rates({})),
    (ImportError, "fastlif.plot needs matplotlib, which cannot be imported (",
     lambda m: without("matplotlib", plot.rates, {"a": 0.5})),
    (ImportError, "): pip install 'fastlif[plot]'", lambda m: without("matplotlib", plot.rates, {"a": 0.5})),
    (ImportError, "pip install 'fastlif[nir]'", lambda m: without("nir", to_nir, m.net, (6,))),
    (ImportError, "pip install 'fastlif[nir]'", lambda m: without("nir", from_nir, "network.nir")),
]  # fmt: skip


# --- NIR: m holds networks that it cannot say, chain(...) is a graph of the nodes given ------------------------------

NIR = [
    (TypeError, "model must be a torch.nn.Module, got OrderedDict", lambda m: to_nir(m.state_dict(), (2,))),
    (TypeError, "input_shape must be a tuple of integers, got int", lambda m: to_nir(LIF(), 2)),
    (ValueError, "input_shape must hold integers of at least 1, such as (3, 32, 32), got ()", lambda m: to_nir(LIF(), ())),
    (ValueError, "input_shape must hold integers of at least 1", lambda m: to_nir(LIF(), (2, 0))),
    (ValueError, "input_shape must hold integers of at least 1", lambda m: to_nir(LIF(), (2.0,))),
    (ValueError, "input_shape does not fit: Linear (0) gets (3,)", lambda m: to_nir(m.mlp, (3,))),
    (ValueError, "input_shape does not fit: a parameter of LIF (lif) has shape (3,), and it gets (2,)",
     lambda m: to_nir(LIF(threshold=torch.ones(3)), (2,))),
    (ValueError, "dt must be greater than 0, got 0", lambda m: to_nir(m.mlp, (2,), dt=0)),
    (TypeError, "dt must be a number, got str", lambda m: to_nir(m.mlp, (2,), dt="1ms")),
    (ValueError, "scale must be one of weights, membrane, got 'r'", lambda m: to_nir(m.mlp, (2,), scale="r")),
    (ValueError, "discretisation must be one of euler, exponential, got None",
     lambda m: to_nir(m.mlp, (2,), discretisation=None)),
    (ValueError, "NIR has no soft reset, as LIF (lif) has with reset=None", lambda m: to_nir(LIF(reset=None), (2,))),
    (ValueError, "the scale of Scaled (scaled) must be greater than 0, got 0", lambda m: to_nir(m.silent, (2,))),
    (ValueError, "NIR has no noise, which NoisyLIF (noisylif) draws", lambda m: to_nir(NoisyLIF(), (2,))),
    (ValueError, "NIR has no statistics taken as it runs, as NoisyLIF (noisylif)",
     lambda m: to_nir(NoisyLIF(noise=Noise("none")), (2,))),
    (ValueError, "NIR has no calibrated statistics that vary from step to step", lambda m: to_nir(m.calibrated, (2,))),
    (ValueError, "must be 1 for all neurons (NIR's IF) or for none", lambda m: to_nir(LIF(decay=torch.tensor([1, 0.5])), (2,))),
    (ValueError, 'must be greater than 0 for discretisation="exponential"',
     lambda m: to_nir(LIF(decay=0.0), (2,), discretisation="exponential")),
    (ValueError, 'the gain of LIF (lif) must be greater than 0, unless scale="membrane"', lambda m: to_nir(LIF(gain=-1.0), (2,))),
    (ValueError, "NIR has no node for MaxPool2d (0); use nn.AvgPool2d", lambda m: to_nir(nn.Sequential(nn.MaxPool2d(2)), (1, 4, 4))),
    (ValueError, "no neurons but fastlif's, and it has some of SpikingJelly", lambda m: to_nir(m.foreign, (2,))),
    (ValueError, "NIR has no node for the call of relu", lambda m: to_nir(Forward(torch.relu), (2,))),
    (ValueError, "the call of add takes what no layer or neuron gave (1.0)", lambda m: to_nir(Forward(lambda x: x + 1.0), (2,))),
    (ValueError, "must sum different tensors of one shape", lambda m: to_nir(Forward(lambda x: x + x), (2,))),
    (ValueError, "the call of flatten must begin after batch, at dimension 1, got start_dim=0",
     lambda m: to_nir(Forward(torch.flatten), (2, 3))),
    (ValueError, "model must return one tensor", lambda m: to_nir(Forward(lambda x: (x, x)), (2,))),
    (ValueError, "model must be one that torch.fx can trace, and Forward is not",
     lambda m: to_nir(Forward(lambda x: x if x.sum() > 0 else -x), (2,))),
    (ValueError, "BatchNorm1d (0) must follow an nn.Linear", lambda m: to_nir(nn.Sequential(nn.BatchNorm1d(2)), (2,))),
    (ValueError, "the BatchNorm1d after Linear (0) must be in evaluation: call model.eval() first",
     lambda m: to_nir(m.normalised, (2,))),
    (ValueError, "as the BatchNorm1d after Linear (0) takes them", lambda m: to_nir(m.running, (2,))),
    (ValueError, "Dropout (dropout) must be in evaluation", lambda m: to_nir(nn.Dropout(), (2,))),
    (ValueError, "Linear (0) must get 1 dimensions a sample", lambda m: to_nir(m.mlp, (4, 2))),
    (ValueError, "has padding_mode='circular'", lambda m: to_nir(m.circular, (1, 4))),
    (ValueError, 'padding="same" of Conv1d (conv1d)', lambda m: to_nir(m.same, (1, 4))),
    (ValueError, "AdaptiveAvgPool2d (adaptiveavgpool2d) must divide its input evenly",
     lambda m: to_nir(nn.AdaptiveAvgPool2d(2), (1, 5, 4))),
    (ValueError, "no ceil_mode and counts its padding", lambda m: to_nir(nn.AvgPool2d(2, ceil_mode=True), (1, 5, 4))),
    (ValueError, "no ceil_mode and counts its padding",
     lambda m: to_nir(nn.AvgPool2d(2, padding=1, count_include_pad=False), (1, 4, 4))),
    (ValueError, "has no divisor_override", lambda m: to_nir(nn.AvgPool2d(2, divisor_override=3), (1, 4, 4))),
    # and back
    (TypeError, "graph must be a nir.NIRGraph or the path of a file with one, got ModuleDict", lambda m: from_nir(m)),
    (OSError, "nowhere.nir", lambda m: from_nir("nowhere.nir")),
    (ValueError, "holds no NIR graph that can be read", lambda m: from_nir(__file__)),
    (ValueError, "dt must be a finite number, got nan", lambda m: from_nir(chain(lif_node()), dt=NAN)),
    (ValueError, "dt must be the graph's own, 0.0001, or be left out, got 0.001",
     lambda m: from_nir(to_nir(m.mlp, (2,)), dt=1e-3)),
    (ValueError, "dt must not exceed the time constants, and 0.1 does exceed tau = 0.01 of 'lif'",
     lambda m: from_nir(chain(lif_node()), dt=0.1)),
    (ValueError, "in the same unit; export one of Norse's with dt=1", lambda m: from_nir(chain(lif_node()), dt=0.1)),
    (ValueError, "discretisation must be one of euler, exponential", lambda m: from_nir(chain(lif_node()), discretisation="exact")),
    (ValueError, "tau of 'lif' must be greater than 0, got -0.01", lambda m: from_nir(chain(lif_node(tau=-0.01)))),
    (ValueError, "tau of 'lif' must be greater than 0, got nan", lambda m: from_nir(chain(lif_node(tau=NAN)))),
    (ValueError, "r of 'lif' must be greater than 0, got 0", lambda m: from_nir(chain(lif_node(r=0.0)))),
    (ValueError, "threshold must hold numbers, and there is NaN in it", lambda m: from_nir(chain(lif_node(v_threshold=NAN)))),
    (TypeError, "unexpected keyword argument 'treshold'", lambda m: from_nir(chain(lif_node()), treshold=1)),
    (TypeError, "threshold must be left out: the graph says what its neurons compute",
     lambda m: from_nir(chain(lif_node()), threshold=2.0)),
    (TypeError, "gain must be left out: the graph says", lambda m: from_nir(chain(lif_node()), gain=2.0)),
    (ValueError, "reset must be None, to subtract the threshold, or be left out for the graph's own, got 0.5",
     lambda m: from_nir(chain(lif_node()), reset=0.5)),
    (ValueError, "the tool that wrote the graph had no node for the layer 'linear'", lambda m: from_nir(unwritten())),
    (ValueError, "fastlif has no counterpart for nir.Scale, the node 'scale'",
     lambda m: from_nir(chain(nir.Scale(np.ones(2))))),
    (ValueError, "no recurrent edges, got lif -> linear -> lif",
     lambda m: from_nir(chain(lif_node(), edges=[("lif", "linear"), ("linear", "lif")]))),
    (ValueError, "graph must lead its input to every node, and none leads to 'linear'",
     lambda m: from_nir(chain(lif_node(), edges=[("linear", "output")]))),
    (ValueError, "graph has an edge of the node 'nobody'", lambda m: from_nir(chain(lif_node(), edges=[("nobody", "lif")]))),
    (ValueError, "graph must have one nir.Output node, got 0", lambda m: from_nir(
        nir.NIRGraph({"input": nir.Input(np.array([2]))}, [], type_check=False))),
]  # fmt: skip


class Forward(nn.Module):
    """A neuron, and a function of its spikes."""

    def __init__(self, function):
        super().__init__()
        self.neuron, self.function = LIF(), function

    def forward(self, x):
        return self.function(self.neuron(x))


class Doubled(nn.Module):
    """Two rows for each sample, as of two patches."""

    def forward(self, x):
        return x.repeat_interleave(2, dim=0)


class Halved(nn.Module):
    def forward(self, x):
        return x[::2]


def lif_node(**values):
    values = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **values}
    return nir.LIF(**{name: np.full(2, value) for name, value in values.items()})


def chain(node, edges=()):
    """A graph of one node; with more edges also of a linear layer, which they lead to or from."""
    graph = nir.NIRGraph.from_list(node)
    if edges:
        graph.nodes["linear"] = nir.Linear(np.eye(2))
    graph.edges.extend(edges)
    return graph


def unwritten():
    """What snnTorch writes of a network with a layer that its exporter does not know."""
    graph = chain(lif_node(), edges=[("lif", "linear")])
    graph.nodes["linear"] = None
    return graph


def unsayable():
    pytest.importorskip("nir")
    torch.manual_seed(0)
    relu = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    calibrated = MultiStep(convert(relu, **QUIET), STEPS).calibrate([BATCH.view(-1, 2)])
    silent = scale_thresholds(LIF())
    silent.scale.zero_()
    theirs = type("IFNode", (nn.Module,), {"__module__": "spikingjelly.activation_based.neuron"})
    return nn.ModuleDict({
        "silent": silent, "foreign": nn.Sequential(LIF(), theirs()), "mlp": convert(relu, LIF), "calibrated": calibrated,
        "normalised": nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
        "running": nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        "circular": nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"), "same": nn.Conv1d(1, 1, 2, padding="same"),
    })  # fmt: skip


# --- State dicts: the own one of m.multi with these entries changed, None for one that is left out ------------------

MEAN, DEVIATION = (f"model.1.calibrated_{name}" for name in ("mean", "deviation"))
ROW = torch.ones(1, STEPS)
TOGETHER = f"{MEAN} and {DEVIATION} must be there together: one of them is missing"
LOADING = [
    (RuntimeError, TOGETHER, lambda m: load(m.multi, {MEAN: None, DEVIATION: torch.ones(1, 5)})),
    (RuntimeError, TOGETHER, lambda m: load(m.multi, {MEAN: ROW, DEVIATION: None}, strict=False)),
    (RuntimeError, "must both be [calls, T], got shapes (1, 3) and (1, 4)",
     lambda m: load(m.multi, {MEAN: ROW, DEVIATION: torch.ones(1, 4)})),
    (RuntimeError, "got shapes (3,) and (3,)", lambda m: load(m.multi, {MEAN: ROW[0], DEVIATION: ROW[0]})),
    (RuntimeError, "got shapes (1, 0) and (1, 0)", lambda m: load(m.multi, {MEAN: ROW[:, :0], DEVIATION: ROW[:, :0]})),
    (RuntimeError, "must be floating point tensors", lambda m: load(m.multi, {MEAN: ROW.long(), DEVIATION: ROW})),
    (RuntimeError, "must be floating point tensors", lambda m: load(m.multi, {MEAN: [0.0, 0.0, 0.0], DEVIATION: ROW})),
    (RuntimeError, "must hold finite values", lambda m: load(m.multi, {MEAN: torch.full((1, 3), NAN), DEVIATION: ROW})),
    (RuntimeError, "the deviation at least 0", lambda m: load(m.multi, {MEAN: ROW, DEVIATION: -ROW})),
    (RuntimeError, "Missing key(s) in state_dict", lambda m: load(m.multi, {MEAN: None, DEVIATION: None})),
]  # fmt: skip


def load(multi, changes, strict=True):
    state = {key: value for key, value in (multi.state_dict() | changes).items() if value is not None}
    multi.load_state_dict(state, strict=strict)


# --- The test -------------------------------------------------------------------------------------------------------

GROUPS = [
    (FUNCTIONAL, lambda: torch.linspace(-1, 2, 24).view(2, 3, 4)),
    (MODULES, carried),
    (CONVERSION, converted),
    (INSIDE, converted),
    (LOADING, converted),
    (NIR, unsayable),
]


@functools.cache
def subject(make):
    """What the rows of a group share, as each leaves it as it was."""
    return make()


@pytest.mark.parametrize("make, error, phrase, call", [(make, *row) for rows, make in GROUPS for row in rows])
def test_a_bad_call_is_refused(make, error, phrase, call):
    try:
        with refused(error, phrase, subject(make)):
            call(subject(make))
    except BaseException:
        subject.cache_clear()  # it may be another now
        raise
