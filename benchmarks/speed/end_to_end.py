"""Whole networks: images a second and peak memory, beside the same network with ReLU and on SpikingJelly's layers.

The images are synthetic, so nothing is said of accuracy. Whatever is measured takes turns with the network's ReLU twin,
batch by batch, so that their ratio holds on a machine that does other things besides. A training step is a forward pass
under autocast, cross-entropy, a backward pass and a step of Adam. Over T steps the same images come at every step.
float32 is as PyTorch has it: on a GPU convolutions may round to TensorFloat-32.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fastlif
from benchmarks import options
from benchmarks.report.rows import Row, by_work, select, spread, value
from benchmarks.report.verdicts import Finding
from benchmarks.speed import measure as measuring
from benchmarks.speed import peers
from benchmarks.training import datasets, networks
from benchmarks.training.lab import Lab
from benchmarks.training.loop import autocast

TITLE = "Whole networks: training and inference beside ReLU and SpikingJelly's layers"
DESCRIPTION = "images a second and peak memory of the paper's network, VGG-16 and ResNet-18, beside ReLU's"
PAPER = ()
TRAINING, INFERENCE = "training", "inference"
RELU, SINGLE, LIF, PEER = "ReLU", "single step", "LIF", "SpikingJelly"
FUSED = "single step, fused"  # with batch normalisation, where one directly follows the other
CONVERTED, CALIBRATED = "converted", "converted, calibrated"
EAGER, COMPILED, GRAPH = "eager", "compiled", "CUDA graph"
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DATASETS = {"small": "fashion-mnist", "vgg16": "cifar-10", "resnet18": "cifar-10"}  # whose shape the images have
# What is compared with ReLU: neurons, time steps.
CONTENDERS = {
    TRAINING: ((SINGLE, 1), (FUSED, 1), (LIF, 10), (PEER, 1), (PEER, 10)),
    INFERENCE: ((SINGLE, 1), *((neurons, T) for neurons in (CONVERTED, CALIBRATED, PEER) for T in (1, 5, 10))),
}
WORTH_COMPILING = ((SINGLE, 1), (CONVERTED, 10))  # as it takes far longer than the measurement


@dataclass(frozen=True)
class Way:
    """How networks are run."""

    type: str
    layout: str
    mode: str
    networks: tuple[str, ...] = networks.NETWORKS  # that are run so

    def __str__(self) -> str:
        return f"{self.type}, {self.layout}, {self.mode}"


# Per form: the ways, the most telling ones first, as the time may not be enough for all of them; the images of a batch;
# the seconds for everything and those for each comparison.
WAYS = {
    "quick": (
        Way("float32", "channels_last", EAGER),
        Way("float32", "contiguous", EAGER, ("small",)),
        Way("float32", "channels_last", COMPILED, ("small",)),
    ),
    "full": (
        Way("bfloat16", "channels_last", EAGER),
        Way("bfloat16", "channels_last", GRAPH),
        Way("float32", "channels_last", EAGER),
        Way("float32", "channels_last", GRAPH),
        Way("float32", "contiguous", EAGER),
        Way("bfloat16", "channels_last", COMPILED),
        Way("float32", "channels_last", COMPILED),
    ),
}
BATCH = {"quick": {"small": 50, "vgg16": 4, "resnet18": 4}, "full": {"small": 128, "vgg16": 128, "resnet18": 128}}
BUDGET = {"quick": 210, "full": 110}
EACH = {"quick": 2.0, "full": 0.5}
BATCHES_A_TURN = {"cpu": 1, "cuda": 2}
WARM_UP = 3  # batches


@dataclass(frozen=True)
class Task:
    """A network and what it is given."""

    network: str
    dataset: str
    title: str
    images: Tensor
    labels: Tensor
    build: Callable[..., nn.Module]  # takes the activation


def measure(lab: Lab) -> None:
    options.no_dtype(lab.options.dtype)
    end = lab.seconds + BUDGET[lab.options.form]
    tasks = {name: _task(lab, name) for name in networks.NETWORKS if lab.can_build(name)}
    left_out = {name: _no_peer(lab, task) for name, task in tasks.items()}
    for way in WAYS[lab.options.form]:
        if way.mode == GRAPH and lab.device.type != "cuda":
            lab.say(f"{way} is left out: it takes a GPU")
            continue
        for direction in CONTENDERS:
            for name in way.networks:
                if name in tasks:
                    contenders = _contenders(direction, way, with_peer=not left_out[name])
                    _compare(lab, tasks[name], way, direction, contenders, end)


def _contenders(direction: str, way: Way, *, with_peer: bool) -> list[tuple[str, int]]:
    """Those that are run in this way; SpikingJelly's network as its users run it."""
    found = [one for one in CONTENDERS[direction] if one[0] != PEER or (with_peer and way.mode == EAGER)]
    return [one for one in found if way.mode != COMPILED or one in WORTH_COMPILING]


def _task(lab: Lab, network: str) -> Task:
    dataset, given = DATASETS[network], lab.options
    count = given.batch_size or BATCH[given.form][network]
    data = datasets.synthetic(dataset, train=count, test=1)
    width = (given.width or lab.form.width) if network == "small" else 1.0
    build = functools.partial(networks.build, network, data.image_shape, data.classes, width=width)
    title = networks.title(network, data.classes, width)
    images, labels = datasets.to_float(data.train_images).to(lab.device), data.train_labels.to(lab.device)
    return Task(network, f"synthetic {dataset}", title, images, labels, build)


def _build(lab: Lab, task: Task, neurons: str, T: int) -> nn.Module:
    """The network on the device; its first weights depend on the seed alone."""
    backend = lab.options.backend
    noisy = functools.partial(fastlif.NoisyLIF, backend=backend)
    activation = {
        RELU: nn.ReLU,
        LIF: functools.partial(fastlif.LIF, backend=backend),
        PEER: functools.partial(peers.spikingjelly_node, lab.device),
    }.get(neurons, noisy)
    torch.manual_seed(lab.options.seed)
    model = task.build(activation=activation)
    if neurons == PEER:
        model = peers.SpikingJellyNetwork(model, T)
    elif neurons == FUSED:
        model = fastlif.fuse(model)
    elif neurons not in (RELU, SINGLE):
        model = fastlif.MultiStep(model, timesteps=T)
    return model.to(lab.device)


# SpikingJelly's network, checked


def _no_peer(lab: Lab, task: Task) -> bool:
    """Whether SpikingJelly is left out, with the reason in a sentence."""
    if not peers.version(PEER):
        reason = f"it is not installed (pip install {PEER.lower()})"
    else:
        try:
            reason = peers.disagreement(peers.PEERS[PEER](lab.device), lab.device, torch.float32)
            reason = reason or _disagreement(lab, task)
        except Exception as error:  # whatever another library raises
            reason = _line(error)
    if reason:
        lab.say(f"{PEER} is left out of {task.title}: {reason}")
    return bool(reason)


def _disagreement(lab: Lab, task: Task, T: int = 10) -> str | None:
    """How SpikingJelly's spikes differ from ours, all neurons together; None if they do but by rounding.

    Rounding moves a spike here and there, and each moves others behind it: 1 % of them at the end of ResNet-18. A decay
    that were off by 5 % would move more than 10 % in every network.
    """
    ours, theirs = (_spikes(_build(lab, task, neurons, T), task.images[:4]) for neurons in (LIF, PEER))
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


# What is timed


def _compare(lab: Lab, task: Task, way: Way, direction: str, contenders, end: float) -> None:
    """Measures the contenders one after the other, each in turns with ReLU, and records what is found."""
    about, found = f"{task.title}, {direction}, {way}", []

    def left_out(what: str, reason: str) -> None:
        lab.say(f"{about}: {what} left out: {reason}")

    if lab.seconds > end:
        return left_out("it is", f"the {BUDGET[lab.options.form]} s for the experiment are over")
    if way.mode == COMPILED:
        torch.compiler.reset()  # networks of one class share a limit of compilations
    try:
        relu, relu_memory = _prepare(lab, task, way, direction, RELU, 1)
    except Exception as error:  # whatever a compiler or a device raises: what is left can still be measured
        return left_out("it is", _line(error))
    relu_times = []
    for neurons, T in contenders:
        if lab.seconds > end:
            left_out(f"{neurons}, T = {T}, and what follows are", "the time for the experiment is over")
            break
        try:
            call, memory = _prepare(lab, task, way, direction, neurons, T)
            turn = {"budget": EACH[lab.options.form], "calls": BATCHES_A_TURN[lab.device.type]}
            beside, times = measuring.by_turns(relu, call, lab.device, **turn)
        except Exception as error:
            left_out(f"{neurons}, T = {T}, is", _line(error))
            continue
        relu_times += beside
        ratio = spread(time / other for time, other in zip(times, beside))
        _record(lab, task, way, direction, (neurons, T), times, memory)
        _record_one(lab, task, way, direction, (neurons, T), "time against ReLU", "", ratio)
        found.append(f"{neurons}, T = {T} {ratio.median:.2f}")
    if relu_times:
        _record(lab, task, way, direction, (RELU, 1), relu_times, relu_memory)
        lab.say(f"{about}: time against ReLU: {'; '.join(found)}")


def _prepare(lab: Lab, task: Task, way: Way, direction: str, neurons: str, T: int) -> tuple[Callable[[], None], int]:
    """What runs one batch, warmed up, and the bytes that it holds at most."""
    images = task.images.to(memory_format=FORMATS[way.layout])
    model = _build(lab, task, neurons, T).to(memory_format=FORMATS[way.layout])
    if neurons == CALIBRATED:
        model.calibrate([images])
    model.train(direction == TRAINING)
    runner = torch.compile(model) if way.mode == COMPILED else model
    if direction == TRAINING:
        call = _training_step(model, runner, images, task.labels, way.type)
    else:
        call = _inference(runner, images, way.type)
    if way.mode == GRAPH:
        return _captured(call, lab.device)
    for _ in range(WARM_UP):
        call()
    return call, measuring.peak_memory(call, lab.device)


def _training_step(model: nn.Module, runner, images: Tensor, labels: Tensor, dtype: str) -> Callable[[], None]:
    """A step of training; ``runner`` is the model, or the model compiled. Between steps there are no gradients."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True, capturable=images.is_cuda)

    def step() -> None:
        with autocast(images.device, dtype):
            loss = F.cross_entropy(runner(images).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _inference(runner, images: Tensor, dtype: str) -> Callable[[], None]:
    @torch.no_grad()
    def infer() -> None:
        with autocast(images.device, dtype):
            runner(images)

    return infer


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

    memory = measuring.peak_memory(capture, device)
    return functools.partial(_replay, graph, call), memory


def _replay(graph, call) -> None:
    """Replays the graph of the call, which is kept: its tensors are the graph's."""
    graph.replay()


def _line(error: Exception) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0][:200]


def _record(lab: Lab, task: Task, way: Way, direction: str, contender, times: list[float], memory: int) -> None:
    speed = spread(len(task.images) / time for time in times)
    _record_one(lab, task, way, direction, contender, "throughput", "images/s", speed)
    _record_one(lab, task, way, direction, contender, "peak memory", "MB", memory / 1e6)


def _record_one(lab: Lab, task: Task, way: Way, direction: str, contender, metric: str, unit: str, values) -> None:
    neurons, T = contender
    setting = {"neurons": neurons, "pass": direction, "T": T, "type": way.type, "layout": way.layout}
    setting |= {"mode": way.mode, "batch": len(task.images)}
    lab.record("end-to-end", task.title, setting, metric, unit, values, "turns", dataset=task.dataset)


# What the rows show


def _by_way(rows: list[Row], direction: str) -> dict[str, list[Row]]:
    """The rows of each way in which ReLU was measured, the fastest first."""
    groups: dict[str, list[Row]] = {}
    for row in select(rows, **{"pass": direction}):
        way = Way(*(row.setting[name] for name in ("type", "layout", "mode")))
        groups.setdefault(str(way), []).append(row)
    speeds = {way: value(own, metric="throughput", neurons=RELU) for way, own in groups.items()}
    return {way: groups[way] for way in sorted(groups, key=lambda way: -(speeds[way] or 0)) if speeds[way]}


def draw(rows: list[Row], figure) -> None:
    works = by_work(rows)
    panels = figure.subplots(len(works), 3, squeeze=False)
    for (speeds, memories, steps), (name, own) in zip(panels, works.items()):
        training, inference = (_by_way(own, direction) for direction in CONTENDERS)
        _bars(speeds, training, "throughput")
        speeds.set(title=f"{name}\ntraining", ylabel="images/s")
        _bars(memories, training, "peak memory")
        memories.set(title="training", ylabel="peak memory (MB)")
        memories.legend(fontsize=7)
        way = next((way for way, measured in inference.items() if select(measured, neurons=CONVERTED, T=1)), None)
        if way:
            _against_T(steps, select(inference[way], metric="time against ReLU"))
            steps.set(title=f"inference, {way}", xlabel="T", ylabel="time against ReLU")
    figure.set_size_inches(16, 4 * len(works))


def _bars(axes, ways: dict[str, list[Row]], metric: str) -> None:
    """A metric of all contenders, side by side for each way."""
    contenders = ((RELU, 1), *CONTENDERS[TRAINING])
    width = 1 / (len(contenders) + 1)
    for number, (neurons, T) in enumerate(contenders):
        found = {place: value(own, metric=metric, neurons=neurons, T=T) for place, own in enumerate(ways.values())}
        found = {place + (number - 2) * width: median for place, median in found.items() if median}
        axes.bar(list(found), list(found.values()), width=width, label=f"{neurons}, T = {T}")
    axes.set_xticks(range(len(ways)), [way.replace(", ", "\n") for way in ways], fontsize=7)


def _against_T(axes, rows: list[Row]) -> None:
    for neurons in (CONVERTED, CALIBRATED, PEER, SINGLE):
        own = select(rows, neurons=neurons)
        if own:
            axes.plot([int(row.setting["T"]) for row in own], [row.median for row in own], "o-", label=neurons)
    axes.axhline(1, color="black", linestyle=":", label=RELU)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)


def findings(rows: list[Row]) -> list[Finding]:
    judges = (_as_fast_as_relu, _ten_steps, _beside_spikingjelly)
    found = [judge(name, own) for name, own in by_work(rows).items() for judge in judges]
    return [finding for finding in found if finding]


def _as_fast_as_relu(name: str, rows: list[Row]) -> Finding | None:
    """Judged in the way in which ReLU trains fastest."""
    ratios = {}
    for way, own in _by_way(rows, TRAINING).items():
        for row in select(own, metric="time against ReLU", neurons=SINGLE):
            ratios[way] = row
    if not ratios:
        return None
    way, best = next(iter(ratios.items()))
    fused = value(_by_way(rows, TRAINING)[way], metric="time against ReLU", neurons=FUSED)
    others = ", ".join(f"{row.median:.2f} in {other}" for other, row in ratios.items() if other != way)
    return Finding(
        "Ours: a single-step spiking network trains within 5% of its ReLU twin's time",
        best.median <= 1.05,
        f"{name}: {best.median:.2f} of ReLU's time (p20-p80 {best.p20:.2f}-{best.p80:.2f}) in {way}, where ReLU is "
        "fastest"
        + (f"; fused with batch normalisation, {fused:.2f}" if fused else "")
        + (f"; {others}" if others else ""),
    )


def _ten_steps(name: str, rows: list[Row]) -> Finding | None:
    """Judged in the way in which ReLU is fastest, of those that both were measured in."""
    for way, own in _by_way(rows, INFERENCE).items():
        times = [value(own, metric="time against ReLU", neurons=CONVERTED, T=T) for T in (1, 10)]
        if not all(times):
            continue
        one, ten = times
        single = value(own, metric="time against ReLU", neurons=SINGLE)
        calibrated = value(own, metric="time against ReLU", neurons=CALIBRATED, T=10)
        shown = f"{name}: {ten / one:.1f} times in {way}"
        shown += f"; {ten / single:.1f} times the unconverted single step" if single else ""
        shown += f"; calibrated, {calibrated / ten:.2f} of the time at T = 10" if calibrated else ""
        return Finding("Ours: inference at T = 10 costs less than 10 times T = 1", ten < 10 * one, shown)
    return None


def _beside_spikingjelly(name: str, rows: list[Row]) -> Finding | None:
    """Judged in the way in which ReLU trains fastest, of those that SpikingJelly was measured in."""
    for way, own in _by_way(rows, TRAINING).items():
        both = [select(own, neurons=neurons, T=10) for neurons in (LIF, PEER)]
        if not all(both):
            continue
        (our_time, their_time), (our_speed, their_speed), (our_memory, their_memory) = (
            [value(one, metric=metric) for one in both] for metric in ("time against ReLU", "throughput", "peak memory")
        )
        return Finding(
            "Ours: training over T = 10 steps is faster than on SpikingJelly's layers",
            our_time < their_time,
            f"{name}: {our_time:.2f} times as long as ReLU against {their_time:.2f} ({their_time / our_time:.2f} times "
            f"as fast) in {way}; {our_speed:.3g} images/s against {their_speed:.3g}; peak memory {our_memory:.3g} MB "
            f"against {their_memory:.3g}; what lies before the first neuron is run once for ours, at every step for "
            "theirs",
        )
    return None
