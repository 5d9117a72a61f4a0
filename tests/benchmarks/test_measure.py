"""What the benchmarks say of times and of other libraries, with a clock that these tests turn by hand."""

import dataclasses
import functools
import itertools
import time
import types

import pytest
import torch
from torch import nn

import fastlif
from benchmarks import machine
from benchmarks.report.rows import Spread, select
from benchmarks.speed import contenders, end_to_end, kernels, measure, peers, training_step
from benchmarks.speed.contenders import AT_MEAN, CALIBRATED, CONVERTED, FUSED, LIF, PEER, RELU, SINGLE, Way
from benchmarks.training import networks
from fastlif.compiled import graphs
from fastlif.functional import lif
from fastlif.models import neurons

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


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


@pytest.mark.parametrize(("width", "expected"), [(None, "64C3-"), (0.25, "16C3-")])
def test_networks_that_are_timed_have_the_paper_s_width(width, expected, a_lab):
    a_lab.options = dataclasses.replace(a_lab.options, width=width)
    assert a_lab.form.width == 0.25 and contenders.make_task(a_lab, "small", 1).title.startswith(expected)


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
