"""Whole networks that are compared: each built, checked if it is another library's, and ready to run a batch."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fastlif
from benchmarks.speed import measure, peers
from benchmarks.training import datasets, networks
from benchmarks.training.lab import Lab
from benchmarks.training.loop import autocast

TRAINING, INFERENCE = "training", "inference"
RELU, SINGLE, LIF, PEER = "ReLU", "single step", "LIF", "SpikingJelly"
AT_MEAN = "single step, gradient at the mean"  # whose backward draws no noise
FUSED = "single step, fused"  # with batch normalisation, where one directly follows the other
CONVERTED, CALIBRATED = "converted", "converted, calibrated"
EAGER, COMPILED, GRAPH = "eager", "compiled", "CUDA graph"
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DATASETS = {"small": "fashion-mnist", "vgg16": "cifar-10", "resnet18": "cifar-10"}  # whose shape the images have
WARM_UP = 3  # batches


@dataclass(frozen=True)
class Way:
    """How networks are run."""

    type: str
    layout: str
    mode: str
    networks: tuple[str, ...] = networks.NETWORKS  # that are run so

    def __str__(self) -> str:
        return f"{self.type}, {self.layout}, {self.mode}"


@dataclass(frozen=True)
class Task:
    """A network and what it is given."""

    dataset: str
    title: str
    images: Tensor
    labels: Tensor
    build: Callable[..., nn.Module]  # takes the activation


def make_task(lab: Lab, network: str, count: int) -> Task:
    """Of ``count`` images and the paper's width, unless the options say otherwise."""
    dataset, count = DATASETS[network], lab.options.batch_size or count
    data = datasets.synthetic(dataset, train=count, test=1)
    width = lab.options.width or 1.0
    build = functools.partial(networks.build, network, data.image_shape, data.classes, width=width)
    title = networks.title(network, data.classes, width)
    images, labels = datasets.to_float(data.train_images).to(lab.device), data.train_labels.to(lab.device)
    return Task(f"synthetic {dataset}", title, images, labels, build)


def build(lab: Lab, task: Task, neurons: str, T: int) -> nn.Module:
    """The network on the device; its first weights depend on the seed alone."""
    backend = lab.options.backend
    noisy = functools.partial(fastlif.NoisyLIF, backend=backend)
    activation = {
        RELU: nn.ReLU,
        AT_MEAN: functools.partial(noisy, surrogate=fastlif.Surrogate("rectangular", at="mean")),
        LIF: functools.partial(fastlif.LIF, backend=backend),
        PEER: functools.partial(peers.spikingjelly_node, lab.device),
    }.get(neurons, noisy)
    torch.manual_seed(lab.options.seed)
    model = task.build(activation=activation)
    if neurons == PEER:
        model = peers.SpikingJellyNetwork(model, T)
    elif neurons == FUSED:
        model = fastlif.fuse(model)
    elif neurons not in (RELU, SINGLE, AT_MEAN):
        model = fastlif.MultiStep(model, timesteps=T)
    return model.to(lab.device)


def no_peer(lab: Lab, task: Task) -> bool:
    """Whether SpikingJelly's network is left out, with the reason in a sentence."""
    _, reason = peers.checked(PEER, lab.device)
    try:
        reason = reason or _disagreement(lab, task)
    except Exception as error:  # whatever another library raises
        reason = peers.line(error)
    if reason:
        lab.say(f"{PEER} is left out of {task.title}: {reason}")
    return bool(reason)


def _disagreement(lab: Lab, task: Task) -> str | None:
    """How SpikingJelly's spikes differ from ours, all neurons together; None if only rounding differs.

    Rounding moves a spike here and there, and each moves others behind it: 1 % of them at the end of ResNet-18. A decay
    that is off by 5 % moves more than 10 % in every network.
    """
    ours, theirs = (_spikes(build(lab, task, neurons, T=10), task.images[:4]) for neurons in (LIF, PEER))
    different = sum(int((first != second).sum()) for first, second in zip(ours, theirs, strict=True))
    fired = sum(int(spikes.sum()) for spikes in ours)
    if fired and different <= 0.05 * fired:
        return None
    return f"{different:,} spikes differ from ours, which are {fired:,}"


@torch.no_grad()
def _spikes(model: nn.Module, images: Tensor) -> list[Tensor]:
    """What the neurons give, call by call, each as a vector."""
    spikes, names = [], ("LIF", "LIFNode")
    for module in model.modules():
        if type(module).__name__ in names:
            module.register_forward_hook(lambda module, inputs, output: spikes.append(output.flatten()))
    with torch.backends.cudnn.flags(enabled=False):  # which would round to TensorFloat-32
        model(images)
    return spikes


def prepare(lab: Lab, task: Task, way: Way, direction: str, neurons: str, T: int) -> tuple[Callable[[], None], int]:
    """What runs one batch, warmed up, and the bytes that it holds at most."""
    images = task.images.to(memory_format=FORMATS[way.layout])
    model = build(lab, task, neurons, T).to(memory_format=FORMATS[way.layout])
    if neurons == CALIBRATED:
        model.calibrate([images])
    model.train(direction == TRAINING)
    runner = torch.compile(model) if way.mode == COMPILED else model

    @torch.no_grad()
    def infer() -> None:
        with autocast(images.device, way.type):
            runner(images)

    call = training_step(model, runner, images, task.labels, way.type) if direction == TRAINING else infer
    if way.mode == GRAPH:
        return _captured(call, lab.device)
    for _ in range(WARM_UP):
        call()
    return call, measure.peak_memory(call, lab.device)


def training_step(model: nn.Module, runner, images: Tensor, labels: Tensor, dtype: str) -> Callable[[], None]:
    """A step of training; ``runner`` is the model, or the model compiled. Between steps there are no gradients."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True, capturable=images.is_cuda)

    def step() -> None:
        with autocast(images.device, dtype):
            loss = F.cross_entropy(runner(images).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _captured(call: Callable[[], None], device: torch.device) -> tuple[Callable[[], None], int]:
    """The call as a CUDA graph, which is replayed in its place, and the bytes that the graph holds at most."""
    stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            call()
    current.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()

    def capture() -> None:
        with torch.cuda.stream(current), torch.cuda.graph(graph):  # back to this stream even if the capture fails
            call()

    memory = measure.peak_memory(capture, device)
    return functools.partial(_replay, graph, call), memory


def _replay(graph, call) -> None:
    """Replays the graph of the call, which is kept: its tensors are the graph's."""
    graph.replay()
