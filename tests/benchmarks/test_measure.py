"""What the benchmarks say of times, accuracies and other libraries, with a clock that these tests turn by hand."""

import collections
import dataclasses
import functools
import itertools
import math
import time
import types

import pytest
import torch
from torch import nn

import fastlif
from benchmarks import machine
from benchmarks.paper import ablation, accuracy, alpha, any_t, inference, methods, noise_type, surrogate, training_speed
from benchmarks.report import verdicts
from benchmarks.report.rows import Spread, select, spread
from benchmarks.speed import contenders, end_to_end, kernels, measure, peers, static, training_step
from benchmarks.speed.contenders import AT_MEAN, CALIBRATED, CONVERTED, FUSED, LIF, PEER, RELU, SINGLE, Way
from benchmarks.training import evaluation, loop, networks, trials
from benchmarks.training.data import Data, Work
from benchmarks.training.lab import Lab, Trained
from benchmarks.training.presets import Options
from fastlif.compiled import graphs
from fastlif.functional import lif
from fastlif.models import neurons
from fastlif.types import SURROGATE_WIDTHS

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def clock(monkeypatch):
    """Time stands still, but for the seconds that this is called with."""
    passed = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: passed[0])

    def turn(seconds):
        passed[0] += seconds

    return turn


@pytest.fixture
def a_lab():
    """With one image of 0 to train on, and seven of 255 to test on; the labels count from 0."""
    own = Lab(Options(datasets=("digits",), backend="reference", epochs=1, width=0.0625, seed=1), CPU)
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.full((7, 1, 8, 8), 255, dtype=torch.uint8)
    own.data._loaded["digits"] = Data(images[0], torch.arange(1), images[1], torch.arange(7), (1, 8, 8), 10)
    return own


@pytest.fixture
def compare(monkeypatch, a_lab):
    """Measures LIF neurons in ``a_lab``, where a copy moves 500 bytes a second."""
    monkeypatch.setattr(kernels, "BUDGET", {"quick": 0})

    def compared(functions, dtype="float32"):
        kernels._compare(a_lab, Spread(500.0, 400.0, 600.0), "lif", functions, 2, 1000, dtype)

    return compared


# Clocks and memory


def test_a_call_is_timed_by_itself_and_not_at_first(clock):
    durations = iter([100, 1, 50, *range(1, 7)])
    assert measure.in_turns([lambda: clock(next(durations))], CPU, budget=6) == [Spread(3.5, 2.0, 5.0, 6)]


@pytest.mark.parametrize("calls", [1, 2])
def test_a_short_call_warms_up_and_is_timed_more_often(calls, clock):
    """And each of several as often as one."""
    called = []

    def call():
        called.append(None)
        clock(100 if len(called) == 1 else 1 / 16)

    assert measure.in_turns(calls * [call], CPU, budget=0.5) == calls * [Spread(1 / 16, 1 / 16, 1 / 16, 8)]
    assert len(called) == calls * (3 + 1 + 8)  # two sixteenths of a second are enough to warm up


@pytest.mark.parametrize(("budget", "turns"), [(1, 5), (60, 8), (1e9, 20)])
def test_of_two_calls_in_turns_each_gets_the_time_of_its_own_calls(clock, budget, turns):
    called = []
    calls = [lambda seconds=seconds: called.append(seconds) or clock(seconds) for seconds in (1, 3)]
    assert measure.by_turns(calls, CPU, budget=budget, calls=2) == [turns * [1.0], turns * [3.0]]
    each = [tuple(called[i : i + 4]) for i in range(0, len(called), 4)]
    assert len(each) == turns and set(each) == {(1, 1, 3, 3), (3, 3, 1, 1)}


def test_several_calls_take_turns_and_each_is_timed_by_itself(clock):
    durations = {"a": iter([100, 1, 90, 2, 3, 4, 5, 6]), "b": iter([100, 9, 900, 20, 30, 40, 50, 60])}
    called = []

    def call(name):
        called.append(name)
        clock(next(durations[name]))

    calls = [functools.partial(call, name) for name in durations]
    assert measure.in_turns(calls, CPU, budget=25) == [Spread(4.0, 2.8, 5.2, 5), Spread(40.0, 28.0, 52.0, 5)]
    turns = ["".join(called[i : i + 2]) for i in range(4, len(called), 2)]
    assert "".join(called[:4]) == "aabb" and len(turns) == 6 and set(turns) == {"ab", "ba"}


def test_the_bandwidth_of_a_copy_counts_reads_and_writes(monkeypatch):
    monkeypatch.setattr(measure, "COPIED_BYTES", {"cpu": 1000})
    monkeypatch.setattr(measure, "in_turns", lambda calls, device: [Spread(0.5, 0.25, 1.0, 7)])
    assert measure.copy_bandwidth(CPU) == Spread(4000, 2000, 8000, 7)


def test_the_clock_waits_for_a_gpu(clock, monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: clock(5))
    assert machine.now(CPU) == 0 and machine.now(CUDA) == 5


def test_the_times_of_a_gpu_are_in_seconds(clock, monkeypatch):
    class Event:
        def __init__(self, enable_timing):
            pass

        def record(self):
            self.at = time.perf_counter()

        def elapsed_time(self, end):
            return 1000 * (end.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(L2_cache_size=1))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    calls = [functools.partial(clock, seconds) for seconds in (0.25, 0.5)]
    assert measure._cuda_times(calls, CPU, [[0, 1], [1, 0]]) == 2 * [[0.25, 0.5]]


def test_the_peak_memory_of_a_gpu_is_what_the_call_adds(monkeypatch):
    peak = {"bytes": 900}
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peak.update(bytes=100))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peak["bytes"])
    assert measure.peak_memory(lambda: peak.update(bytes=max(peak["bytes"], 350)), CUDA) == 250


# Other libraries


def wrong_gradients(x, factor=1.001):
    spikes = lif(x, backend="reference")
    return spikes.detach() + factor * (spikes - spikes.detach())


def one_spike_more(x):
    spikes, other = lif(x, backend="reference"), torch.zeros_like(x)
    other[0, 0] = 1 - 2 * spikes[0, 0].detach()
    return spikes + other


@pytest.mark.parametrize(("neuron", "dtype", "message"), [
    (wrong_gradients, torch.float32, "0 of 20000 spikes differ, and the gradient by 0.1%"),
    (functools.partial(wrong_gradients, factor=1.5), torch.bfloat16, "0 of 20000 spikes differ, and the gradient by 5"),
    (one_spike_more, torch.float32, "1 of 20000 spikes differ, and the gradient by 0.0%"),
    (lambda x: lif(x, decay=0.3, backend="reference"), torch.float16, "spikes differ"),
])  # fmt: skip
def test_what_another_library_computes_otherwise_is_found(neuron, dtype, message):
    assert message in peers.disagreement(neuron, CPU, dtype)


def in_16_bits(x):
    """A membrane that is rounded to the input's type at every step."""
    steps, v = [], torch.zeros_like(x[0])
    for step in x:
        spikes, v = lif(step[None], initial_state=v.float(), return_state=True, backend="reference")
        steps.append(spikes[0])
        v = v.to(x.dtype)
    return torch.stack(steps)


def test_ours_must_keep_its_membrane_in_32_bits_and_others_need_not():
    for neuron in (in_16_bits, one_spike_more):
        assert peers.disagreement(neuron, CPU, torch.bfloat16) is None
    assert "spikes differ" in peers.disagreement(in_16_bits, CPU, torch.bfloat16, exact=True)
    for dtype in (torch.float16, torch.bfloat16):
        assert peers.disagreement(peers.eager(CPU), CPU, dtype, exact=True) is None


def test_a_single_step_of_a_cell_is_one_call_without_a_loop(monkeypatch):
    monkeypatch.delattr(torch, "stack")
    function = peers.step_by_step(lambda x, v: (x + v, v), torch.zeros_like)
    x = torch.rand(1, 3)
    assert torch.equal(function(x), x)


def test_plain_noise_is_ours():
    """Its gradient that of a first step; its spikes as frequent as ours."""
    assert peers.disagreement(peers.PlainSpike.apply, CPU, torch.float32, T=1) is None
    torch.manual_seed(0)
    for x, kind in itertools.product((0.4, 0.5, 0.6), ("gaussian", "uniform")):
        x = torch.full((100_000,), x)
        ours = fastlif.functional.noisy_spike(x, noise=fastlif.Noise(kind), seed=1, backend="reference")
        assert kernels.plain_noisy_spike(x, kind).mean().item() == pytest.approx(ours.mean().item(), abs=0.01)


def test_only_those_that_compute_what_ours_does_are_compared(monkeypatch, capsys, a_lab):
    found = {"right": peers.eager(CPU), "gradients": wrong_gradients, "spikes": one_spike_more, "broken": None}
    monkeypatch.setattr(peers, "PEERS", {name: lambda device, own=own: own for name, own in found.items()})
    monkeypatch.setattr(peers, "version", lambda name: "1")
    assert list(kernels.checked_peers(a_lab)) == ["right"]
    assert "broken is not compared: TypeError: 'NoneType'" in capsys.readouterr().out


def test_what_is_wrong_in_16_bits_alone_is_left_out_there(compare, capsys, a_lab):
    def in_32_bits(x):
        return lif(x, backend="reference") if x.dtype == torch.float32 else wrong_gradients(x, factor=2)

    functions = {"fastlif": peers.eager(CPU), "other": in_32_bits, "snnTorch": lif, "Norse": lif}
    for dtype in ("float32", "bfloat16"):
        compare(functions, dtype)
    measured = select(a_lab.rows, metric="time", **{"pass": "forward"})
    measured = [(row.setting["library"], row.setting["type"]) for row in measured]
    assert measured == [(library, "float32") for library in functions] + [("fastlif", "bfloat16")]
    left_out = "other's lif, bfloat16, T = 2, 1,000 neuron-steps, is left out: RuntimeError: it does not"
    assert left_out in capsys.readouterr().out


@pytest.mark.parametrize(("neuron", "network", "message"), [
    (peers.eager(CPU), None, None), (wrong_gradients, None, "the gradient by"), (peers.eager(CPU), "7 spikes", "7 spi"),
])  # fmt: skip
def test_spikingjelly_is_checked_as_a_neuron_and_as_a_network(neuron, network, message, monkeypatch, capsys, a_lab):
    monkeypatch.setattr(peers, "version", lambda name: "1")
    monkeypatch.setitem(peers.PEERS, PEER, lambda device: neuron)
    monkeypatch.setattr(contenders, "_disagreement", lambda lab, task: network)
    assert contenders.no_peer(a_lab, task()) == bool(message)
    assert (message or "") in capsys.readouterr().out


@pytest.mark.parametrize(("different", "expected"), [(5, None), (6, "6 spikes differ from ours, which are 100")])
def test_a_network_may_differ_by_five_spikes_in_a_hundred(different, expected, monkeypatch, a_lab):
    ours = [torch.zeros(150), torch.ones(100)]
    theirs = [ours[0].clone(), ours[1].clone()]
    theirs[0][: different - 1], theirs[1][0] = 1, 0
    monkeypatch.setattr(contenders, "build", lambda lab, task, neurons, T: neurons)
    monkeypatch.setattr(contenders, "_spikes", lambda model, images: {LIF: ours, PEER: theirs}[model])
    assert contenders._disagreement(a_lab, task()) == expected


def test_a_row_s_commit_is_that_at_the_start_of_its_run(monkeypatch, a_lab):
    monkeypatch.setattr(machine, "commit", lambda: "another")
    a_lab.record("alpha", "a network", {}, "accuracy", "%", 90.0)
    assert a_lab.rows[0].commit == a_lab.commit != "another"


# The neurons by themselves


def timed(clock, forward, backward):
    """A neuron whose passes take so many seconds."""

    class Timed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            clock(forward)
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            clock(backward)
            return grad

    return Timed.apply


def test_each_pass_of_each_library_gets_its_own_time(clock, compare, monkeypatch, a_lab):
    monkeypatch.setattr(measure, "peak_memory", lambda call, device: 5_000_000)
    functions = {"fastlif": timed(clock, 1, 2), "other": timed(clock, 16, 32)}
    compare(functions)
    times = {(row.setting["library"], row.setting["pass"]): (row.median, row.unit)
             for row in select(a_lab.rows, metric="time")}  # fmt: skip
    wanted = {"fastlif": (1, 2, 3), "other": (16, 32, 48)}
    assert times == {(library, one): (1000 * seconds, "ms")
                     for library, own in wanted.items() for one, seconds in zip(kernels.PASSES, own)}  # fmt: skip
    about = {"library": "other", "pass": "forward"}
    (speed,) = select(a_lab.rows, metric="bandwidth", **about)
    (fraction,) = select(a_lab.rows, metric="fraction of the copy bandwidth", **about)
    assert speed.median == pytest.approx(1000 * 8 / 16 / 1e9) and speed.unit == "GB/s"
    assert fraction.median == pytest.approx(1000 * 8 / 16 / 500)
    memory = {row.setting["library"]: (row.median, row.unit) for row in select(a_lab.rows, metric="peak memory")}
    assert memory == dict.fromkeys(functions, (5.0, "MB"))


def test_what_fails_is_left_out_and_the_rest_is_measured(compare, capsys, a_lab):
    """At once, or in its forward alone: then nobody's forward has others beside it."""

    def alone(x):
        if not torch.is_grad_enabled():
            raise RuntimeError("no memory\nfor it")
        return x.clone()

    def never(x):
        raise RuntimeError("no memory at all")

    compare({"fastlif": never})
    compare({"fastlif": torch.clone, "other": alone})
    measured = [(row.setting["library"], row.setting["pass"]) for row in select(a_lab.rows, metric="time")]
    assert measured == [(library, one) for one in kernels.PASSES[1:] for library in ("fastlif", "other")]
    assert capsys.readouterr().out.splitlines() == [
        "fastlif's lif, float32, T = 2, 1,000 neuron-steps, is left out: RuntimeError: no memory at all",
        "forward of lif, float32, 1,000 neuron-steps, is left out (fastlif, other): RuntimeError: no memory",
    ]


def test_nobody_gets_huge_pages_where_libraries_are_compared(monkeypatch, capsys, a_lab):
    """And what the time is not enough for is said."""
    asked = []
    monkeypatch.setattr(graphs, "in_huge_pages", asked.append)
    monkeypatch.setattr(measure, "copy_bandwidth", lambda device: graphs.in_huge_pages("here") or Spread(1, 1, 1))
    monkeypatch.setattr(kernels, "checked_peers", lambda lab: {})
    monkeypatch.setattr(kernels, "TIME_LIMIT", {"quick": 0})
    kernels.measure(a_lab)
    graphs.in_huge_pages("afterwards")
    assert asked == ["afterwards"]
    assert [row.metric for row in a_lab.rows] == ["copy bandwidth"]
    assert "what follows 100,000 neuron-steps, T = 10, float32 is left out" in capsys.readouterr().out


def test_what_is_compiled_has_no_backward_alone(compare, a_lab):
    compare({peers.COMPILED: torch.clone})
    assert [row.setting["pass"] for row in select(a_lab.rows, metric="time")] == ["forward", "forward and backward"]


def test_a_spread_of_times_is_turned_round_for_the_bandwidth(compare, monkeypatch, a_lab):
    monkeypatch.setattr(measure, "in_turns", lambda calls, device, budget: [Spread(2.0, 1.0, 4.0, 9)])
    compare({"fastlif": torch.clone})
    row = select(a_lab.rows, metric="bandwidth")[0]
    assert [1e6 * value for value in (row.p20, row.median, row.p80)] == pytest.approx([2, 4, 8]) and row.samples == 9


# A training step


def test_a_way_is_compared_with_the_plain_one(clock, monkeypatch, a_lab):
    def step(model, task, dtype, packed):
        fused = any(isinstance(module, fastlif.fusion.FusedSequential) for module in model.modules())
        return functools.partial(clock, 1 + 2 * fused + 4 * packed)

    monkeypatch.setattr(training_step, "_step", step)
    monkeypatch.setattr(training_step, "_shares", lambda step, device: {"neuron": step.args[0] / 8})
    monkeypatch.setattr(training_step, "_kept", lambda loss: {})
    monkeypatch.setattr(measure, "peak_memory", lambda call, device: 1e6 * call.args[0])
    a_lab.options = dataclasses.replace(a_lab.options, batch_size=2)
    training_step.measure(a_lab)
    wanted = {"plain": 1, "fused": 3, "packed": 5, "fused and packed": 7}
    for metric, factor in (("time of a step", 1000), ("time against plain", 1), ("peak memory", 1)):
        for T in training_step.STEPS:
            found = {row.setting["way"]: row.median for row in select(a_lab.rows, metric=metric, T=T)}
            assert found == {way: factor * number for way, number in wanted.items()}
    shares = {row.setting["way"]: row.median for row in select(a_lab.rows, metric="share of the time")}
    assert shares == {"plain": 12.5, "fused": 37.5}


# Whole networks


def task(count=8):
    def build(activation):
        return networks.build("small", (1, 8, 8), 10, activation=activation, width=0.0625)

    return contenders.Task("synthetic", "net", torch.rand(count, 1, 8, 8), torch.zeros(count).long(), build)


def test_each_network_s_time_is_its_own_and_what_fails_is_said_in_a_line(clock, monkeypatch, capsys, a_lab):
    seconds = {RELU: 1, SINGLE: 2, LIF: 5}

    def prepare(lab, task, way, direction, neurons, T):
        if neurons == CONVERTED:
            raise RuntimeError("out of this and that\nand a long trace")
        return functools.partial(clock, seconds[neurons]), 7_000_000 * T

    monkeypatch.setattr(end_to_end, "BATCHES_A_TURN", {"cpu": 2})
    monkeypatch.setattr(end_to_end, "prepare", prepare)
    way = Way("float32", "contiguous", "eager")
    end_to_end._compare(a_lab, task(), way, "training", [(SINGLE, 1), (CONVERTED, 5), (LIF, 10)], end=1e9)

    def found(metric):
        return {row.setting["neurons"]: row.median for row in select(a_lab.rows, metric=metric)}

    assert found("throughput") == {RELU: 8, SINGLE: 4, LIF: 1.6}
    assert found("time against ReLU") == {SINGLE: 2, LIF: 5}
    assert found("peak memory") == {RELU: 7, SINGLE: 7, LIF: 70}
    said = capsys.readouterr()
    assert "converted, T = 5, is left out: RuntimeError: out of this and that\n" in said.out
    assert "long trace" not in said.out + said.err


def test_all_that_is_compared_takes_turns_in_an_order_that_changes(clock, monkeypatch, a_lab):
    """So that a slow stretch of the machine meets all of a turn, and nobody has always the same one before it."""
    called = []

    def prepare(lab, task, way, direction, neurons, T):
        return lambda: called.append(neurons) or clock(1), 0

    monkeypatch.setattr(end_to_end, "prepare", prepare)
    way, names = Way("float32", "contiguous", "eager"), (RELU, SINGLE, LIF, PEER)
    end_to_end._compare(a_lab, task(), way, "training", [(name, 1) for name in names[1:]], end=1e9)
    each = [called[i : i + len(names)] for i in range(0, len(called), len(names))]
    assert all(sorted(turn) == sorted(names) for turn in each) and len({turn[0] for turn in each}) > 1
    assert {row.samples for row in a_lab.rows if row.unit != "MB"} == {15}  # 4 s a turn, in 60 s


def test_nothing_is_recorded_without_relu_to_compare_with(monkeypatch, capsys, a_lab):
    def prepare(lab, task, way, direction, neurons, T):
        if neurons == RELU:
            raise RuntimeError("no memory")
        return lambda: None, 0

    monkeypatch.setattr(end_to_end, "prepare", prepare)
    way, others = Way("float32", "contiguous", "eager"), [(SINGLE, 1), (LIF, 10)]
    end_to_end._compare(a_lab, task(), way, "training", others, end=1e9)
    assert not a_lab.rows and "eager: it is left out: there is nothing to compare" in capsys.readouterr().out


@pytest.mark.parametrize("direction", ["training", "inference"])
def test_a_network_is_timed_in_the_mode_it_is_used_in(direction, monkeypatch, a_lab):
    class Spy(nn.Linear):
        def forward(self, images):
            seen.append((self.training, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
            return super().forward(images.flatten(1))

    seen, spy = [], Spy(64, 10)
    before = spy.weight.detach().clone()
    monkeypatch.setattr(contenders, "build", lambda *arguments: spy)
    monkeypatch.setattr(measure, "peak_memory", lambda call, device: 0)
    call, _ = contenders.prepare(a_lab, task(), Way("bfloat16", "contiguous", "eager"), direction, SINGLE, 1)
    call()
    trains = direction == "training"
    assert seen == [(trains, trains, True)] * (contenders.WARM_UP + 1)
    assert torch.equal(before, spy.weight) != trains and spy.weight.grad is None


def test_networks_are_what_they_are_called(a_lab):
    def kinds(name, T):
        model = contenders.build(a_lab, task(), name, T)
        names = {type(module).__name__ for module in model.modules()} & {"ReLU", "LIF", "NoisyLIF", "FusedSequential"}
        return names, getattr(model, "timesteps", None)

    assert kinds(RELU, 1) == ({"ReLU"}, None)
    assert kinds(SINGLE, 1) == ({"NoisyLIF"}, None)
    assert kinds(AT_MEAN, 1) == ({"NoisyLIF"}, None)
    assert {neuron.surrogate.at for neuron in neurons(contenders.build(a_lab, task(), AT_MEAN, 1))} == {"mean"}
    assert kinds(FUSED, 1) == ({"NoisyLIF", "FusedSequential"}, None)
    assert kinds(LIF, 10) == ({"LIF"}, 10)
    assert kinds(CONVERTED, 5) == kinds(CALIBRATED, 5) == ({"NoisyLIF"}, 5)


# Accuracy, and the time of training


@pytest.mark.parametrize(("neuron", "timesteps"), [("noisy", 10), ("lif", 10), ("relu", None)])
def test_a_network_learns_from_the_training_images_and_is_tested_on_others(neuron, timesteps, monkeypatch, a_lab):
    """And what is trained in a single step is tested over ten."""
    trained, tested = [], []

    def train(model, images, labels, recipe, *, after_epoch=lambda model: None, **_):
        trained.append((images.unique().item(), recipe.epochs))
        return [after_epoch(model)]

    def evaluate(model, images, labels, dtype, seed):
        tested.append((getattr(model, "timesteps", None), images.unique().item(), seed))
        return 0.5

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    spec = a_lab.spec(Work("digits", "small"), neuron=neuron, curve=True)
    assert a_lab.train(spec, "").epochs == [{"accuracy": 50.0}]
    assert trained == [(0, 1), (0, 1)] and tested == [(timesteps, 255, 1)]  # first for a warm-up


def test_images_are_erased_where_that_is_asked_for(a_lab):
    images, labels = torch.ones(50, 1, 8, 8, dtype=torch.uint8), torch.zeros(50).long()
    a_lab.options = dataclasses.replace(a_lab.options, erase=True)
    recipe = a_lab.spec(Work("digits", "small")).recipe
    assert recipe.erase and "--erase" in a_lab.options.shown(torch.device("cpu"))
    for erased in (recipe.erase, False):
        ((x, _),) = loop.batches(images, labels, 50, None, recipe.shift, erased)
        assert (x == 0).any().item() == erased


def test_the_surrogate_that_is_asked_for_is_trained_with(a_lab):
    a_lab.options = dataclasses.replace(a_lab.options, preset="modern", surrogate="sigmoid")
    model = a_lab.build(a_lab.spec(Work("digits", "small")))
    assert {neuron.surrogate for neuron in neurons(model)} == {fastlif.Surrogate("sigmoid")}


def test_the_accuracy_of_a_row_is_that_of_its_own_network(monkeypatch, a_lab):
    """Of four images the network of seed s gets s right in a single step, and over t steps as many as t over alpha.
    The ReLU network gets all of them."""
    specs = [a_lab.spec(Work("digits", "small"), neuron=neuron) for neuron in ("noisy", "relu")]
    built = {spec.neuron: Trained(a_lab.build(spec), []) for spec in specs}

    def first(count):
        return torch.arange(4) < count

    def per_step(model, images, labels, dtype, seed):
        return torch.stack([first(t / neurons(model)[0].alpha) for t in range(1, model.timesteps + 1)])

    def right(model, images, labels, dtype, seed):
        return first(seed if neurons(model) else 4)

    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: built[spec.neuron])
    monkeypatch.setattr(trials, "correct", right)
    monkeypatch.setattr(trials, "correct_per_step", per_step)
    monkeypatch.setattr(accuracy, "OURS", ("digits", "paper"))
    accuracy.measure(a_lab)
    alpha.measure(a_lab)
    found = {row.setting["T"]: row.median for row in select(a_lab.rows, experiment="accuracy", metric="accuracy")}
    assert found == {"single step": 50, "1": 25, "2": 25, "4": 25, "5": 50, "8": 50, "10": 75, "ReLU": 100}
    (single,) = select(a_lab.rows, experiment="accuracy", metric="accuracy", T="single step")
    assert (single.p20, single.p80, single.samples, single.over) == (35, 65, 3, "trainings")
    for a, (one, ten) in {"2": (25, 100), "4": (25, 75), "8": (25, 50), "inf": (0, 0)}.items():
        rows = select(a_lab.rows, experiment="alpha", metric="accuracy", alpha=a)
        assert [row.setting["T"] for row in rows] == [str(t) for t in range(1, 11)]
        assert (rows[0].median, rows[-1].median) == (one, ten)
    own = select(a_lab.rows, experiment="accuracy")
    gain = verdicts.lead(own, accuracy.GAINS["single step"])  # 50, 25 and 0 points
    assert (gain.mean, gain.trainings) == (25, 3) and verdicts.lead(own, accuracy.GAINS[1]).mean == 50
    assert verdicts.lead(own, accuracy.OVER_RELU).mean == -25
    assert verdicts.lead(own, accuracy.OVER_SDSNN).mean == pytest.approx(25 - 93.72, abs=1e-3)
    goals = [verdicts.lead(own, accuracy.OVER_GOAL[one]).mean for one in accuracy.GOALS]
    assert goals == pytest.approx([25 - 94.07, 25 - 94.5, 75 - 94.8], abs=1e-3)
    own = select(a_lab.rows, experiment="alpha")
    assert verdicts.lead(own, alpha.GAIN).mean == 75 and verdicts.lead(own, alpha.MORE[8.0]).mean == 25 - 75
    assert verdicts.lead(own, alpha.APART[4.0, 8.0]).mean == 75 - 50


def _trained(lab, spec):
    """Not trained at all, in two epochs of a second for each step over time."""
    model = lab.build(spec)
    return Trained(model, [loop.Epoch(1.0, float(getattr(model, "timesteps", 1)))] * 2)


def timesteps(lab, models, work):
    """Instead of seconds per image; of early exit the confidence."""
    return [spread([getattr(model, "timesteps", 0) or model.confidence]) for model in models]


@pytest.fixture
def worth(monkeypatch):
    """Instead of tests of networks: what each setting is worth, in every training: another number for each."""
    numbers = itertools.count()
    worth = collections.defaultdict(lambda: next(numbers) ** 2 / 1e4)

    def note(own, spec, model, **setting):
        own._note(spec, setting, torch.full((4,), worth[tuple(setting.values())]))

    def note_steps(own, spec, model, steps, **setting):
        for T in steps:
            note(own, spec, model, **setting, T=T)

    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: _trained(lab, spec))
    monkeypatch.setattr(Lab, "calibrated", lambda lab, model, spec: model)
    monkeypatch.setattr(Lab, "warm_up", lambda *_: None)
    monkeypatch.setattr(Lab, "seconds_per_image", timesteps)
    monkeypatch.setattr(loop, "train", lambda *_: [loop.Epoch(1.0, 2.0)])
    monkeypatch.setattr(trials.Trials, "test", note)
    monkeypatch.setattr(trials.Trials, "test_steps", note_steps)
    monkeypatch.setattr(trials.Trials, "test_early_exit", lambda *one, **setting: note(*one, **setting) or 3.0)
    return worth


def assert_leads(a_lab, worth, wanted):
    """``wanted``: of each lead the setting that is ahead by it, and the other one."""
    found = {row.setting["lead"]: row.median for row in select(a_lab.rows, metric="lead")}
    assert found == {name: pytest.approx(100 * (worth[first] - worth[second]), abs=1e-3)
                     for name, (first, second) in wanted.items()}  # fmt: skip


def test_leads_of_the_noise_are_those_of_their_names(worth, a_lab):
    noise_type.measure(a_lab)
    wanted = {name: (("gaussian", T), ("uniform", T)) for T, name in noise_type.AHEAD.items()}
    gains = {kind: worth[kind, 10] - worth[kind, noise_type.SINGLE] for kind in ("gaussian", "none")}
    worth |= gains
    assert_leads(a_lab, worth, wanted | {noise_type.NOISE_GAINS: ("gaussian", "none")})


def test_leads_of_any_t_are_those_of_their_names(worth, a_lab):
    a_lab.options = dataclasses.replace(a_lab.options, preset="modern")
    any_t.measure(a_lab)
    wanted = {name: ((any_t.ANTITHETIC, T), (any_t.CALIBRATED, T)) for T, name in any_t.MIRRORED.items()}
    wanted |= {name: (("early exit", one), (any_t.CALIBRATED, 10)) for one, name in any_t.EXITS.items()}
    assert_leads(a_lab, worth, wanted | {any_t.FROZEN: ((any_t.CALIBRATED, 10), (any_t.LAYER, 10))})
    taken = select(a_lab.rows, metric="steps of an image")
    assert [(row.setting["confidence"], row.median) for row in taken] == [(f"{c:g}", 3) for c in any_t.CONFIDENCES]
    latencies = [(row.setting["variant"], row.median) for row in select(a_lab.rows, metric="latency")]
    assert latencies == [(variant, T) for variant in (any_t.LAYER, any_t.CALIBRATED, any_t.ANTITHETIC)
                         for T in any_t.STEPS] + [("early exit", one) for one in any_t.CONFIDENCES]  # fmt: skip
    figure = pytest.importorskip("matplotlib.figure").Figure()
    any_t.draw(a_lab.rows, figure)
    steps, times = ([list(line.get_xdata()) for line in axes.lines] for axes in figure.axes)
    assert steps == 3 * [list(any_t.STEPS)] + [4 * [3]]
    assert times == 3 * [list(any_t.STEPS)] + [list(any_t.CONFIDENCES)]


def test_a_spiking_output_has_no_early_exit(worth, a_lab, capsys):
    any_t.measure(a_lab)
    assert not select(a_lab.rows, variant="early exit") and "early exit is left out" in capsys.readouterr().out


def test_leads_of_the_ablation_are_those_of_their_names(worth, a_lab):
    ablation.measure(a_lab)

    def over(part, first, second, T=10):
        return (part, first, T), (part, second, T)

    wanted = {name: over("residual noise", "matched", "range", T) for T, name in ablation.MATCHED.items()}
    wanted |= {name: over("statistics", *pair) for pair, name in ablation.PAIRS.items()}
    wanted |= {name: over("noise width", variant, "4") for variant, name in ablation.WIDTHS.items()}
    wanted |= {ablation.NORM: over("batch normalisation", "on", "off")}
    wanted |= {ablation.TUNED: over("fine-tuning", "over T steps", "in a single step")}
    assert_leads(a_lab, worth, wanted)
    times = select(a_lab.rows, metric="time of the epoch")
    assert [(row.median, row.samples) for row in times] == 3 * [(2.0, 3)]


def test_leads_of_the_surrogates_are_those_of_their_names(worth, a_lab, monkeypatch):
    trained = collections.Counter()
    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: trained.update([spec.surrogate]) or _trained(lab, spec))
    surrogate.measure(a_lab)
    drawn, mean = surrogate.SURROGATE_PLACES
    assert trained == {fastlif.Surrogate(name, at=at): 3 for name in SURROGATE_WIDTHS for at in (drawn, mean)}
    wanted = {name: ((*other, 10), ("atan", drawn, 10)) for other, name in surrogate.OTHERS.items()}
    wanted |= {name: ((one, mean, 10), (one, drawn, 10)) for one, name in surrogate.PLACES.items()}
    assert_leads(a_lab, worth, wanted)


def test_leads_of_the_methods_are_those_of_their_names(worth, a_lab):
    methods.measure(a_lab)
    wanted = {name: ((methods.OURS, T), (other, T)) for (other, T), name in methods.LEADS.items()}
    assert_leads(a_lab, worth, wanted)
    times = {row.setting["method"]: row.median for row in select(a_lab.rows, metric="time of an epoch")}
    assert times == {method: 4 if method == methods.DIRECT else 1 for method in methods.WAYS}
    latencies = [(row.setting["method"], row.median) for row in select(a_lab.rows, metric="latency")]
    assert latencies == [(method, T) for method in methods.WAYS for T in methods.STEPS]


def test_a_lead_s_error_has_the_images_part_and_the_trainings():
    """By the formula of McNemar's test for each training: b images for one, c for the other, of n."""
    values = torch.zeros(2, 100)
    values[0, :6], values[0, 6:8] = 1, -1
    values[1, :10] = 1
    mean, error = verdicts.mean_and_error(values)
    images = [math.sqrt(8 - 16 / 100) / 100, math.sqrt(10 - 100 / 100) / 100]
    assert mean == pytest.approx(0.07)
    trainings = 12.71 / 1.96 * 0.03  # 0.04 and 0.10 have a deviation of 0.0424, over the root of 2; Student's t for two
    assert error == pytest.approx(math.hypot(sum(images) / 2, trainings), rel=1e-4)
    assert verdicts.mean_and_error(torch.zeros(3, 100)) == verdicts.mean_and_error(torch.zeros(1, 100)) == (0, 0.015)
    assert verdicts.mean_and_error(torch.ones(3, 2)) == (1, 0.75), "two images tell nothing"
    assert verdicts.mean_and_error(values[:1]) == (pytest.approx(0.04), pytest.approx(images[0]))


@pytest.mark.parametrize(("asked", "expected"), [(None, [8, 4]), (7, [7, 3]), (1, [1, 1])])
def test_direct_training_gets_half_of_the_epochs(asked, expected, monkeypatch, a_lab):
    a_lab.options = dataclasses.replace(a_lab.options, epochs=asked)
    monkeypatch.setattr(Lab, "train", lambda self, spec, title: spec.recipe.epochs)
    ways = {way: training_speed.WAYS[way] for way in (training_speed.SINGLE, training_speed.DIRECT)}
    found = training_speed.curves(a_lab, Work("digits", "small"), ways)
    assert [epochs for _, epochs in found.values()] == expected


def test_a_training_s_throughput_is_its_images_over_the_epochs_time(monkeypatch, a_lab):
    epochs = [loop.Epoch(1.0, seconds, {"accuracy": 50.0 + seconds}) for seconds in (2.0, 4.0, 8.0)]
    curve = a_lab.spec(Work("digits", "small")), Trained(nn.Identity(), epochs)
    monkeypatch.setattr(training_speed, "curves", lambda lab, work, ways: {"way": curve})
    training_speed.measure(a_lab)
    found = {metric: [row.median for row in select(a_lab.rows, metric=metric)]
             for metric in ("time so far", "accuracy", "time of an epoch", "training throughput")}  # fmt: skip
    assert found == {"time so far": [2, 6, 14], "accuracy": [52, 54, 58], "time of an epoch": [4],
                     "training throughput": [0.25]}  # fmt: skip


class Constant(nn.Module):
    """Scores that favour class 1, at a cost in seconds."""

    def __init__(self, cost=lambda: None):
        super().__init__()
        self.cost, self.scores = cost, nn.Parameter(torch.tensor([0.0, 1.0]))

    def forward(self, images):
        self.cost()
        return self.scores.expand(len(images), 2) if not self.training else self.scores.expand(len(images), 2).flip(1)


def test_accuracy_is_the_fraction_of_all_images_in_evaluation_mode():
    images, labels = torch.zeros(7, 1, 2, 2, dtype=torch.uint8), torch.tensor([1, 0, 1, 1, 0, 1, 1])
    assert evaluation.evaluate(Constant().train(), images, labels, batch_size=3) == 5 / 7


def test_networks_take_turns_and_their_times_are_of_an_image(clock, a_lab):
    calls, models = [], {"a": nn.Identity(), "b": nn.Identity()}
    for seconds, (name, model) in enumerate(models.items(), start=1):
        model.forward = lambda images, own=(name, seconds), model=model: (
            calls.append(own[0] + "t" * model.training) or clock(7 * own[1])
        )
    times = a_lab.seconds_per_image([*models.values()], Work("digits", "small"))
    assert [(time.median, time.p80) for time in times] == [(1, 1), (2, 2)], "of seven images each"
    turns = {"".join(calls[i : i + 2]) for i in range(6, len(calls), 2)}
    assert turns == {"ab", "ba"} and all(model.training for model in models.values())


def test_the_latency_to_a_goal_is_that_of_all_its_steps(monkeypatch, a_lab):
    """Of 17 steps, ten of which are timed, too; those of all methods are taken in turns."""

    def right(model, images, labels, *, steps=None, **_):
        first = 17 if steps else 4  # of the rate-coded network, of ours
        return (torch.arange(1, (steps or model.timesteps) + 1)[:, None] >= first).expand(-1, len(images))

    together = []
    monkeypatch.setattr(Lab, "train", lambda lab, spec, title: _trained(lab, spec))
    monkeypatch.setattr(Lab, "accuracy_on", lambda *_: 100.0)
    monkeypatch.setattr(Lab, "seconds_per_image", lambda *own: together.extend(own[1]) or timesteps(*own))
    monkeypatch.setattr(inference, "correct_per_step", right)
    inference.measure(a_lab)
    found = {(row.setting["method"], row.setting["goal"]): row.median
             for row in select(a_lab.rows, metric="latency to the goal")}  # fmt: skip
    assert [model.timesteps for model in together] == [4, 10, 10] and found == {
        (method, goal): pytest.approx(4 if method == inference.OURS else 17)
        for method in inference.METHODS for goal in (inference.SAME, inference.OWN)
    }  # fmt: skip


def test_an_epoch_s_time_is_that_of_its_training_and_its_loss_the_mean(clock, monkeypatch):
    losses = iter([1.0, 2.0, 6.0, 7.0])
    monkeypatch.setitem(loop.LOSSES, "mse", lambda scores, labels: 0 * scores.sum() + next(losses))

    def after(model):
        clock(100)
        return {"accuracy": 1.0}

    images, labels = torch.zeros(10, 1, 2, 2, dtype=torch.uint8), torch.zeros(10).long()
    recipe = loop.Recipe(epochs=2, batch_size=5, loss="mse")
    epochs = loop.train(Constant(lambda: clock(1)), images, labels, recipe, after_epoch=after)
    assert epochs == [loop.Epoch(loss, 2.0, {"accuracy": 1.0}) for loss in (1.5, 6.5)]


# Counting instructions

SASS = """
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/                   LDG.E.128 R8, desc[UR4][R2.64+0x10] ;
        /*0030*/                   LDG.E.64 R14, desc[UR4][R2.64+0x20] ;
.L_x_0:
        /*0040*/                   FADD R12, R4, R5 ;
        /*0050*/                   LDG.E.U16 R16, desc[UR4][R2.64+0x30] ;
        /*0060*/                   LDG.E.128 R20, desc[UR4][R2.64+0x40] ;
        /*0070*/              @!P0 STG.E.128 desc[UR4][R18.64], R12 ;
        /*0080*/               @P1 BRA `(.L_x_0) ;
        /*0090*/                   EXIT ;
.L_x_1:
        /*00a0*/                   BRA `(.L_x_1) ;
"""


def test_instructions_are_counted_as_they_stand_in_the_code():
    instructions, loops = static._parse(SASS)
    assert len(instructions) == 10 and loops == [range(4, 9)]
    assert static._widths(instructions, "LDG") == {128: 3, 64: 1, 16: 1}
    assert static._widths(instructions, "STG") == {128: 1}
    assert static._per_element(instructions, [], {"CHUNK": 2}, 4, 2) == 10 / 8
    assert static._per_element(instructions, loops, {}, 4, 2) == 5 / 8  # eight halves are stored in an iteration
    assert static._per_element(instructions, loops, {"state_ptr": 0}, 4, 4) == 5 / 2  # and as many membranes


def test_bytes_in_flight_are_those_before_one_is_needed():
    instructions, _ = static._parse(SASS)
    assert static._most_bytes_asked_for(instructions, 16) == 32
    assert static._most_bytes_asked_for(instructions, 8) == 40


@pytest.mark.parametrize(("registers", "num_warps", "warps"), [(32, 4, 64), (33, 4, 48), (255, 4, 8), (16, 1, 32)])
def test_warps_that_fit_on_a_multiprocessor(registers, num_warps, warps):
    assert static._resident_warps(registers, num_warps) == warps


@pytest.mark.parametrize(("size", "accesses", "told"), [(0, 0, "0"), (8, 0, "8 B, 0"), (0, 1, "0 B, 1")])
def test_what_spills_is_told(size, accesses, told):
    assert static.local_memory(size, accesses) == told
