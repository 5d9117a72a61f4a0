"""The measurements of speed: what a call costs, other libraries' neurons, and what is concluded."""

import argparse
import dataclasses

import pytest
import torch
from test_results import ROW

from benchmarks.__main__ import main
from benchmarks.report import rows as results
from benchmarks.speed import contenders, end_to_end, gpu, host, kernels, measure, peers, training_step
from benchmarks.speed.contenders import AT_MEAN, CALIBRATED, CONVERTED, FUSED, GRAPH, LIF, PEER, RELU, SINGLE, Way
from benchmarks.training import networks
from benchmarks.training.lab import Lab
from benchmarks.training.presets import Options
from fastlif import Surrogate
from fastlif.models import neurons

CPU = torch.device("cpu")


def test_peak_memory_counts_what_is_held_at_once():
    x = torch.randn(250_000)

    def call():
        y = x + 1
        z = y * 2
        del y
        return z + 1

    assert 2_000_000 <= measure.peak_memory(call, CPU) < 2_100_000


INSTALLED = peers.EAGER, peers.COMPILED
MARKS = {name: () if name in INSTALLED else pytest.mark.peers(name.lower()) for name in peers.PEERS}


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, marks in MARKS.items()])
def test_a_peer_computes_what_ours_does(name, fresh_compiler):
    surrogate = Surrogate(*peers.SURROGATES.get(name, ("atan",)))
    T = 3 if name == peers.COMPILED else 10  # it unrolls time
    assert peers.disagreement(peers.PEERS[name](CPU), CPU, torch.float32, T, surrogate) is None


QUICK = "--quick --device cpu --out".split()


def read(folder):
    (path,) = folder.glob("*.csv")
    return results.read(path)


# The quickest way, and one that this device has not, or has not always.
WAYS = Way("float32", "channels_last", "eager"), Way("float32", "contiguous", GRAPH)
SMALLEST = {
    measure: {"COPIED_BYTES": {"cpu": 1 << 16}, "TURNS": (3, 3), "WARM_UP_SECONDS": {"cpu": 1e-3}},
    kernels: {"SIZES": (400, 800, 1600), "STEPS_SIZE": 800, "STEPS": (10, 4), "BUDGET": 1e-3},
    host: {"SECONDS": 0.0, "CALLS": 2, "SMALL": {(1, 1, 64): 2}},
    training_step: {"SECONDS": {"quick": 0}, "STEPS": (1, 2), "PROFILED": 1},
    end_to_end: {"EACH": {"quick": 0}, "BATCH": {"quick": {"small": 4}}, "WAYS": {"quick": WAYS}},
    networks: {"NETWORKS": ("small",)},
}


@pytest.fixture(scope="module", autouse=True)
def smallest():
    """Every measurement of speed on as little as it takes."""
    with pytest.MonkeyPatch.context() as patch:
        for module, values in SMALLEST.items():
            for name, value in values.items():
                patch.setattr(module, name, {"quick": value} if module is kernels else value)
        yield


@pytest.fixture
def alone(monkeypatch):
    """A machine where no other library is installed."""
    monkeypatch.setattr(peers, "version", lambda name: None)


@pytest.fixture(scope="module")
def made(smallest, tmp_path_factory):
    """What the experiment of the kernels leaves in a folder."""
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        wrong = {"wrong": lambda device: lambda x: 0 * x, "missing": None, peers.EAGER: peers.eager}
        patch.setattr(peers, "PEERS", wrong)
        patch.setattr(peers, "version", lambda name: None if name == "missing" else "1")
        assert main(["run", "kernels", "--backend", "reference", *QUICK, str(folder)]) == 0
    return folder


@pytest.mark.full
def test_the_kernels_experiment(made):
    rows = read(made)
    assert {row.setting.get("library") for row in rows} == {None, "fastlif", peers.EAGER}
    assert {row.setting.get("neuron") for row in rows} == {None, "lif", *kernels.NEURONS}
    assert {row.metric for row in rows} >= {"time", "bandwidth", "peak memory", "copy bandwidth"}
    assert all(row.median > 0 and row.p20 <= row.median <= row.p80 for row in rows)
    about = {"neuron": "lif", "library": "fastlif", "size": 800, "type": "float32", "T": 10, "pass": "backward"}
    time, speed = (results.value(rows, metric=metric, **about) for metric in ("time", "bandwidth"))
    assert speed == pytest.approx(800 * 12 / (time * 1e6), rel=1e-3)
    assert main(["report", "--out", str(made)]) == 0
    assert len(list(made.glob("*/*.png"))) == 1


@pytest.mark.full
def test_the_host_experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "checked_peers", lambda lab: {peers.EAGER: peers.eager(lab.device)})
    assert main(["run", "host", *QUICK, str(tmp_path)]) == 0
    rows = read(tmp_path)
    assert {row.setting.get("neuron") for row in rows} == {None, "NoisyLIF", "LIF", "NoisyLIF, calibrated", "ReLU"}
    claims = {finding.claim: finding for finding in host.findings(rows)}
    assert len(claims) == 5
    assert claims["Ours: a forward makes at most 25 calls of Python, the launch left out"].reproduced
    slower = [dataclasses.replace(row, p20=5.0, p80=6.0) if row.unit == "" else row for row in rows]
    assert [finding.reproduced for finding in host.findings(slower)] == [False, False, False, True, True]
    assert main(["report", "--out", str(tmp_path)]) == 0


def row(experiment, metric, median, spread=0.0, **setting):
    """On a CPU; the setting's ``direction`` is its pass. ``spread`` is in the unit of the median."""
    setting = {name.replace("direction", "pass"): str(value) for name, value in setting.items()}
    values = {"median": median, "p20": median - spread, "p80": median + spread, "device": "a CPU, 2 threads"}
    return dataclasses.replace(ROW, experiment=experiment, setting=setting, metric=metric, **values)


def time(library, median, size=1000, spread=0.0):
    """A row of the LIF's forward over ten steps."""
    about = {"neuron": "lif", "library": library, "direction": "forward", "T": 10, "size": size, "type": "float32"}
    return row("kernels", "time", median, spread, **about)


def test_the_largest_size_is_shown_first():
    rows = [time("fastlif", 1.0, 100), time("fastlif", 2.0), time("SpikingJelly", 50.0, 100)]
    (met,) = kernels.findings([*rows, time("SpikingJelly", 21.0, "1000")])
    (missed,) = kernels.findings([*rows, time("SpikingJelly", 19.0, "1000")])
    (unsure,) = kernels.findings([*rows, time("SpikingJelly", 21.0, "1000", spread=2.0)])
    assert met.reproduced is True and missed.reproduced is False and unsure.reproduced is None
    assert "9.5 times; 50 times at 100" in missed.evidence


def test_a_library_is_beaten_at_every_size_or_not_at_all():
    ours = [time("fastlif", 1.0, size) for size in (100, 1000)]
    for theirs, expected in (((11, 12), True), ((2, 11), False), ((11, 2), False)):
        rows = [time("SpikingJelly", median, size) for size, median in zip((100, 1000), theirs)]
        (finding,) = kernels.findings(ours + rows)
        assert finding.reproduced is expected and finding.claim.endswith("at every size")
    assert finding.short == "2.0 to 11.0 times"


def test_ours_against_t_is_drawn_of_what_was_measured_alone():
    """Where other libraries take turns with ours, they leave it other caches."""
    about = {"neuron": "lif", "size": kernels.STEPS_SIZE["quick"], "type": "float32"}
    rows = [
        row("kernels", "time", 1.0, **about, library=library, T=T, direction=direction)
        for library, T in (("fastlif", 10), ("Norse", 10), ("fastlif", 4))
        for direction in kernels.PASSES[:2]
    ]
    figure = pytest.importorskip("matplotlib.figure").Figure()
    kernels.draw(rows, figure)
    assert [list(line.get_xdata()) for line in figure.axes[1].lines] == [[4], [4]]


def test_a_forward_for_training_is_held_to_the_same_limit():
    passes = ("forward", 3.0), ("forward, with gradient", 5.0)
    rows = [row("host", "time against ReLU", times, neuron="LIF", direction=one) for one, times in passes]
    found = {finding.claim: finding.reproduced for finding in host.findings(rows)}
    words = "Ours: the host's time of a forward{} is at most 4 times ReLU's"
    assert found == {words.format(""): True, words.format(" with gradient"): False}


def test_the_compiler_is_compared_with_too():
    (slower,) = kernels.findings([time("fastlif", 2.0), time(peers.COMPILED, 1.0)])
    assert slower.reproduced is False and "as fast as torch.compile of it" in slower.claim


@pytest.mark.full
def test_what_is_wrong_is_not_timed(alone, monkeypatch, tmp_path, capsys):
    right = kernels.ours
    monkeypatch.setattr(kernels, "_wrong", kernels._wrong.__wrapped__)
    monkeypatch.setattr(kernels, "NEURONS", ("noisy_spike, uniform",))
    monkeypatch.setattr(kernels, "ours", lambda name, T, device, backend, seed=None: right(
        name, T, device, "reference", 1 if backend == "reference" else 2))  # fmt: skip
    assert main(["run", "kernels", "--backend", "compiled", *QUICK, str(tmp_path)]) == 2
    assert "noisy_spike, uniform in float32 is not what the reference computes" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["kernels", "end-to-end"])
def test_types_are_not_chosen(name, tmp_path, capsys):
    assert main(["run", name, "--dtype", "bfloat16", *QUICK, str(tmp_path)]) == 2
    assert "--dtype bfloat16 cannot be had here" in capsys.readouterr().err


def test_bytes_that_must_be_moved():
    assert kernels.moved_bytes("lif", "forward", 10, 2, 10) == 40
    assert kernels.moved_bytes("lif", "backward", 10, 4, 10) == 120
    assert kernels.moved_bytes("noisy_lif, layer", "forward", 40, 4, 4) == 600


# A training step


@pytest.mark.full
def test_the_training_step_experiment(tmp_path):
    assert main(["run", "training-step", "--width", "0.125", "--batch-size", "8", *QUICK, str(tmp_path)]) == 0
    rows = read(tmp_path)
    assert {row.metric for row in rows} == {"time of a step", "time against plain", "peak memory", "share of the time",
                                            "kept for the backward"}  # fmt: skip
    assert all(row.median > 0 for row in rows if "operation" not in row.setting)
    for T in (1, 2):
        shares = results.select(rows, metric="share of the time", T=T, way="plain")
        assert sum(row.median for row in shares) == pytest.approx(100, abs=0.01)  # each rounded to six digits
        assert results.value(shares, operation="neuron") > 0
    kept = results.select(rows, metric="kept for the backward", T=1)
    plain, fused = (
        {row.setting["operation"]: row.median for row in results.select(kept, way=way)} for way in ("plain", "fused")
    )
    outputs = 4 * 8 * (8 * 28 * 28 + 16 * 14 * 14 + 16 * 7 * 7 + 64) / 1e6  # of the normalised layers
    assert plain["batch normalisation"] == pytest.approx(outputs, rel=0.02)
    assert plain["neuron"] == pytest.approx(outputs, rel=0.02)
    assert fused["neuron"] == pytest.approx(outputs, rel=0.02) and fused["batch normalisation"] == 0
    assert main(["report", "--out", str(tmp_path)]) == 0


def test_findings_of_a_training_step():
    def judged(memory, ratio):
        rows = [row("training-step", "time against plain", ratio, T=1, way=way) for way in training_step.WAYS]
        rows += [row("training-step", "peak memory", memory if way == "fused and packed" else 10.0, T=1, way=way)
                 for way in training_step.WAYS]  # fmt: skip
        return training_step.findings(rows)[0].reproduced

    assert judged(5, 1.0) is True and judged(11, 1.0) is False and judged(5, 1.2) is False


# Everything on a GPU


def test_gpu_without_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["gpu"]) == 2
    error = capsys.readouterr().err
    assert "needs a machine with a GPU" in error and error.count("\n") == 1


@pytest.mark.full
def test_gpu_runs_every_step_and_ends_with_a_table(made, monkeypatch, capsys):
    steps = [
        gpu.Step("fine", ("platform",), 60),
        gpu.Step("wrong", ("no_such_module",), 60),
        gpu.Step("slow", ("timeit", "-n1", "-r1", "import time; time.sleep(60)"), 1),
    ]
    monkeypatch.setattr(gpu, "steps", lambda arguments: steps)
    monkeypatch.setattr(gpu.machine, "describe", lambda device: read(made)[0].device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert main(["gpu", "--out", str(made)]) == 1
    table = capsys.readouterr().out.split("\n\n")[-1]
    assert "fine            passed" in table and "wrong           FAILED with status 1" in table
    assert "No module named no_such_module" in table and "slow            stopped after 1 s" in table
    assert "copy bandwidth: " in table and "noisy_spike, gaussian, forward, is at least" in table
    assert (made / "work" / "slow.log").exists() and (made / "report.md").exists()


def test_gpu_takes_less_than_nine_minutes(tmp_path):
    arguments = argparse.Namespace(out=tmp_path, data_root=None)
    assert sum(step.seconds + gpu.STOPPING for step in gpu.steps(arguments)) < 9 * 60
    for step in gpu.steps(arguments):
        assert all((gpu.ROOT / word).exists() for word in step.words if word.endswith(".py"))


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (MemoryError, None)])
def test_a_measurement_of_speed_that_ends_early_keeps_its_rows(error, status, monkeypatch, tmp_path, capsys):
    """But those of an earlier run stay: it may have been a whole one."""
    values = iter((1.0, 2.0))

    def interrupted(lab):
        lab.record("kernels", "a copy", {}, "copy bandwidth", "GB/s", next(values))
        raise error

    monkeypatch.setattr(kernels, "measure", interrupted)
    command = ["run", "kernels", *QUICK, str(tmp_path)]
    for said in ("", "1 new rows are dropped"):
        if status is None:
            with pytest.raises(error):
                main(command)
        else:
            assert main(command) == status
        assert [row.median for row in read(tmp_path)] == [1.0] and said in capsys.readouterr().out


# Whole networks


@pytest.mark.full
def test_the_end_to_end_experiment(alone, tmp_path, capsys):
    command = ["run", "end-to-end", "--backend", "reference", "--width", "0.0625", *QUICK, str(tmp_path)]
    assert main(command) == 0
    rows = read(tmp_path)
    said = capsys.readouterr().out
    assert "SpikingJelly is left out of 4C3-AP2-8C3-AP2-8C3-AP2-32FC-10FC: it is not installed" in said
    assert "float32, contiguous, CUDA graph is left out: it takes a GPU" in said
    assert {row.dataset for row in rows} == {"synthetic fashion-mnist"}
    found = {(row.setting["pass"], row.setting["neurons"], row.setting["T"]) for row in rows}
    converted = {("inference", neurons, T) for neurons in (CONVERTED, CALIBRATED) for T in ("1", "5", "10")}
    alone = {(name, neurons, "1") for name in ("training", "inference") for neurons in (RELU, SINGLE)}
    assert found == converted | alone | {("training", AT_MEAN, "1"), ("training", FUSED, "1"), ("training", LIF, "10")}
    assert {row.metric for row in rows} == {"throughput", "peak memory", "time against ReLU"}
    assert all(0 < row.p20 <= row.median <= row.p80 for row in rows)
    assert all(row.setting["neurons"] != RELU for row in results.select(rows, metric="time against ReLU"))
    assert main(["report", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*/*.png"))) == 1
    assert "synthetic data of its shape: throughput only" in (tmp_path / "report.md").read_text()


def test_there_is_an_end_to_the_experiment(alone, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(end_to_end, "BUDGET", {"quick": -1})
    assert main(["run", "end-to-end", *QUICK, str(tmp_path)]) == 2
    assert "training, float32, channels_last, eager: it is left out: the -1 s" in capsys.readouterr().out


@pytest.mark.peers("spikingjelly")
@pytest.mark.parametrize("network", ["small", "resnet18"])
def test_a_network_of_spikingjelly_s_layers_computes_what_ours_does(network, torchvision, monkeypatch):
    lab = Lab(Options(backend="reference", width=0.0625), CPU)
    task = contenders.make_task(lab, network, count=4)
    assert contenders._disagreement(lab, task) is None
    spikes = contenders._spikes

    def of_another_decay(model, images):
        for neuron in neurons(model):
            neuron.decay = 0.48
        return spikes(model, images)

    monkeypatch.setattr(contenders, "_spikes", of_another_decay)
    assert "spikes differ" in contenders._disagreement(lab, task)


@pytest.mark.peers("spikingjelly")
def test_a_network_of_spikingjelly_s_layers_forgets():
    lab = Lab(Options(width=0.0625), CPU)
    task = contenders.make_task(lab, "small", count=4)
    for T in (1, 4):
        model = contenders.build(lab, task, PEER, T)
        first, second = model(task.images), model(task.images)
        assert first.shape == (4, 10) and torch.equal(first, second)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("direction", "neurons", "T"), [("training", SINGLE, 1), ("training", LIF, 10),
                                                         ("inference", CONVERTED, 10)])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_network_as_a_cuda_graph(direction, neurons, T, dtype, monkeypatch):
    lab = Lab(Options(width=0.0625), torch.device("cuda"))
    task, built, build = contenders.make_task(lab, "small", count=4), [], contenders.build
    monkeypatch.setattr(contenders, "build", lambda *arguments: built.append(build(*arguments)) or built[-1])
    way = Way(dtype, "channels_last", GRAPH)
    replay, memory = contenders.prepare(lab, task, way, direction, neurons, T)
    (model,) = built
    before = [parameter.clone() for parameter in model.parameters()]
    replay()
    assert memory > 0 and all(parameter.isfinite().all() for parameter in model.parameters())
    changed = [not torch.equal(old, new) for old, new in zip(before, model.parameters())]
    assert any(changed) == (direction == "training")


def whole_network(metric, median, neurons, T, direction="training", mode="eager", spread=0.0):
    about = {"neurons": neurons, "direction": direction, "T": T, "type": "float32", "layout": "contiguous"}
    return row("end-to-end", metric, median, spread, **about, mode=mode)


RATIO, SPEED, MEMORY = "time against ReLU", "throughput", "peak memory"


@pytest.mark.parametrize(("ratio", "expected"), [(1.04, True), (1.06, False)])
def test_training_is_judged_where_relu_is_fastest(ratio, expected):
    rows = [whole_network(SPEED, speed, RELU, 1, mode=mode) for mode, speed in (("eager", 10), ("compiled", 20))]
    rows += [whole_network(RATIO, 2 - (mode == "compiled") * (2 - ratio), SINGLE, 1, mode=mode)
             for mode in ("eager", "compiled")]  # fmt: skip
    (finding,) = end_to_end.findings(rows)
    assert finding.reproduced is expected
    assert f"{ratio:.2f} of ReLU's time" in finding.evidence
    assert "2.00 in float32, contiguous, eager" in finding.evidence


def test_bars_stand_around_the_name_of_their_way():
    contenders = [(RELU, 1), *end_to_end.CONTENDERS["training"]]
    ways = {way: [whole_network(SPEED, 1, *one) for one in contenders] for way in ("first", "second")}
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    end_to_end._bars(axes, ways, SPEED)
    middles = sorted(bar.get_x() + bar.get_width() / 2 for bar in axes.patches)
    assert sum(middles[: len(contenders)]) == pytest.approx(0, abs=1e-9)
    assert middles[len(contenders) // 2 :: len(contenders)] == pytest.approx(list(axes.get_xticks()))


@pytest.mark.parametrize(("ten", "expected"), [(19.0, True), (21.0, False)])
def test_ten_steps_are_judged_against_one(ten, expected):
    rows = [whole_network(SPEED, 10, RELU, 1, "inference")]
    rows += [whole_network(RATIO, ratio, CONVERTED, T, "inference") for T, ratio in ((1, 2.0), (10, ten))]
    (finding,) = end_to_end.findings(rows)
    assert finding.reproduced is expected and f"{ten / 2:.1f} times in float32" in finding.evidence


@pytest.mark.parametrize(("theirs", "expected"), [(9.0, True), (3.0, False), (4.5, None)])
@pytest.mark.parametrize(("direction", "neurons", "T"), end_to_end.BESIDE_SPIKINGJELLY)
def test_every_comparison_with_spikingjelly_is_judged(direction, neurons, T, theirs, expected):
    rows = [whole_network(SPEED, 10, RELU, 1, direction)]
    for name, ratio in ((neurons, 4.5), (PEER, theirs)):
        rows += [whole_network(metric, ratio, name, T, direction, spread=0.05 * ratio)
                 for metric in (RATIO, SPEED, MEMORY)]  # fmt: skip
    (finding,) = [found for found in end_to_end.findings(rows) if "SpikingJelly" in found.claim]
    assert finding.reproduced is expected and f"against {theirs:.2f}" in finding.evidence
