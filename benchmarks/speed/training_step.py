"""A training step of the paper's network: where its time and memory go, and what fusing and packing save.

Fused is ``fastlif.fuse``, batch normalisation in one pass with the neuron; packed is ``fastlif.packed_spikes``, the
spikes that autograd keeps at one bit each. Each way takes turns with the plain one, step by step. The images are
synthetic, so nothing is said of accuracy.
"""

import functools

import torch
import torch.nn.functional as F
from torch import nn

import fastlif
from benchmarks.report.panels import legend_beside
from benchmarks.report.rows import Row, select, spread, value
from benchmarks.report.verdicts import Finding, all_of, at_most
from benchmarks.speed import contenders
from benchmarks.speed import measure as measuring
from benchmarks.speed.contenders import LIF, SINGLE
from benchmarks.training.lab import Lab
from benchmarks.training.loop import autocast
from benchmarks.training.presets import T

TITLE = "A training step: where its time and memory go, and what fusing and packing save"
DESCRIPTION = "time and memory of a training step by operation; batch normalisation fused, spikes packed, on and off"
SUMMARY = ({"metric": ("peak memory", "time against plain"), "way": ("plain", "fused and packed")},)
PAPER = ()
STEPS = (1, T)
WAYS = {"plain": (False, False), "fused": (True, False), "packed": (False, True), "fused and packed": (True, True)}
SECONDS = {"quick": 6.0, "full": 2.0}  # of each comparison
PROFILED = 5  # steps
# What is in the name of an operation, as the profiler has it or as autograd does.
OPERATIONS = {
    "convolution": ("convolution",),
    "batch normalisation": ("native_batch_norm", "NativeBatchNorm", "CudnnBatchNorm", "cudnn_batch_norm",
                            "batch_norm_update_stats"),  # fmt: skip
    "neuron": ("noisy_spike", "lif", "BatchNormNeuron"),
    "pooling": ("avg_pool", "AvgPool"),
    "linear": ("addmm", "aten::mm", "Addmm"),
    "optimizer": ("adam", "Optimizer"),
}
OTHER = "other"


def measure(lab: Lab) -> None:
    task = contenders.make_task(lab, "small", lab.form.batch_size)
    record = functools.partial(lab.record, "training-step", task.title, dataset=task.dataset)
    for steps in STEPS:
        model = contenders.build(lab, task, SINGLE if steps == 1 else LIF, steps)
        models = {False: model, True: fastlif.fuse(model)}
        plain = _step(models[False], task, lab.options.dtype, packed=False)
        for way, (fused, packed) in WAYS.items():
            step = _step(models[fused], task, lab.options.dtype, packed)
            for _ in range(3):
                step()
            memory = measuring.peak_memory(step, lab.device)
            beside, times = measuring.by_turns([plain, step], lab.device, budget=SECONDS[lab.options.form])
            ratio = spread(time / other for time, other in zip(times, beside))
            setting = {"T": steps, "way": way}
            record(setting, "time of a step", "ms", spread(1000 * time for time in times), "turns")
            record(setting, "time against plain", "", ratio, "turns")
            record(setting, "peak memory", "MB", memory / 1e6)
            lab.say(f"T = {steps}, {way}: {memory / 1e6:.1f} MB, {ratio.median:.2f} of plain's time")
        for way, fused in (("plain", False), ("fused", True)):
            step = _step(models[fused], task, lab.options.dtype, packed=False)
            for operation, share in _shares(step, lab.device).items():
                record({"T": steps, "way": way, "operation": operation}, "share of the time", "%", 100 * share)
            with autocast(lab.device, lab.options.dtype):
                kept = _kept(F.cross_entropy(models[fused].train()(task.images).float(), task.labels))
            for operation, size in kept.items():
                record({"T": steps, "way": way, "operation": operation}, "kept for the backward", "MB", size / 1e6)


def _step(model: nn.Module, task: contenders.Task, dtype: str, packed: bool):
    """A step of training, within ``packed_spikes`` or not."""
    step = contenders.training_step(model.train(), model, task.images, task.labels, dtype)
    return fastlif.packed_spikes()(step) if packed else step


def _operation(name: str) -> str:
    name = name.lower()
    return next((one for one, parts in OPERATIONS.items() if any(part.lower() in name for part in parts)), OTHER)


def _shares(step, device: torch.device) -> dict[str, float]:
    """The share of each operation in the device's time of a few steps, forward and backward together."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(PROFILED):
            step()
    times = dict.fromkeys((*OPERATIONS, OTHER), 0.0)
    for event in profiler.key_averages():
        if event.device_type == torch.autograd.DeviceType.CPU:  # on a GPU, what the operation launched there
            own = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
            times[_operation(event.key)] += own
    total = sum(times.values())  # 0 if the profiler may not read the device's times
    return {operation: time / total for operation, time in times.items() if total}


def _kept(loss: torch.Tensor) -> dict[str, int]:
    """The bytes that autograd keeps between forward and backward, by the operation that they are kept for.

    What several operations keep counts once; parameters and what the model is given do not count.
    """
    found: dict[str, int] = dict.fromkeys((*OPERATIONS, OTHER), 0)
    nodes, seen, memories = [loss.grad_fn], {loss.grad_fn}, set()
    for node in nodes:
        for name in dir(node):
            if not name.startswith("_saved_") and name != "saved_tensors":
                continue
            saved = getattr(node, name)
            for tensor in saved if isinstance(saved, (tuple, list)) else (saved,):
                if not isinstance(tensor, torch.Tensor) or tensor.is_leaf:
                    continue
                memory = tensor.untyped_storage()
                if memory.data_ptr() not in memories:
                    memories.add(memory.data_ptr())
                    found[_operation(type(node).__name__)] += memory.nbytes()
        after = [following for following, _ in node.next_functions if following is not None and following not in seen]
        nodes += after
        seen.update(after)
    return found


def draw(rows: list[Row], figure) -> None:
    memories, times, shares, kept = figure.subplots(1, 4)
    for axes, metric, label in (
        (memories, "peak memory", "peak memory (MB)"),
        (times, "time against plain", "time of a step / plain's"),
    ):
        for number, steps in enumerate(STEPS):
            own = select(rows, metric=metric, T=steps)
            places = [list(WAYS).index(row.setting["way"]) + 0.4 * (number - 0.5) for row in own]
            axes.bar(places, [row.median for row in own], width=0.4, label=f"T = {steps}")
        axes.set_xticks(range(len(WAYS)), WAYS, rotation=20)
        axes.set(ylabel=label)
    legend_beside(times)
    for axes, metric, label in (
        (shares, "share of the time", "share of the time (%)"),
        (kept, "kept for the backward", "kept for the backward (MB)"),
    ):
        bars = [(steps, way) for steps in STEPS for way in ("plain", "fused")]
        bottom = [0.0] * len(bars)
        for operation in (*OPERATIONS, OTHER):
            heights = [value(rows, metric=metric, T=steps, way=way, operation=operation) or 0 for steps, way in bars]
            axes.bar([f"T = {steps}\n{way}" for steps, way in bars], heights, bottom=bottom, label=operation)
            bottom = [low + height for low, height in zip(bottom, heights)]
        axes.set(ylabel=label)
    legend_beside(kept)
    figure.set_size_inches(20, 4.5)


def findings(rows: list[Row]) -> list[Finding]:
    found, both = [], "fused and packed"
    for steps in STEPS:
        own = select(rows, T=steps, way=tuple(WAYS))
        memory = {row.setting["way"]: row.median for row in select(own, metric="peak memory")}
        time = {row.setting["way"]: row for row in select(own, metric="time against plain")}
        if not len(memory) == len(time) == len(WAYS):
            continue
        shown = "; ".join(
            f"{way} {memory[way]:.3g} MB in {time[way].median:.2f} of plain's time (p20-p80 {time[way].p20:.2f}-"
            f"{time[way].p80:.2f})"
            for way in WAYS
        )
        lighter = memory[both] / memory["plain"]
        claim = f"Ours: at T = {steps}, {both}, a training step takes less memory and at most 5% longer"
        short = f"{lighter:.2f} of the memory, {time[both].median:.2f} of the time"
        heading = f"{both}, a training step takes less memory and at most 5% longer"
        verdict = all_of([lighter < 1, at_most(1.05, time[both])])
        found.append(Finding(claim, verdict, shown, short, f"T = {steps}", heading))
    return found
