"""The whole path on real images: ``python -m benchmarks demo``.

Trains Table 1's small network in three ways from the same first weights: in a single noisy step, directly over T = 10
steps, and with ReLU. Converts the first one, without retraining, to other T. Shows accuracy, time and spikes of each.
"""

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import fastlif
from benchmarks import machine, options
from benchmarks.files import write_whole
from benchmarks.options import positive, whole
from benchmarks.report.panels import png
from benchmarks.report.rows import Spread, spread
from benchmarks.training import datasets, evaluation, loop, networks
from fastlif.models import neurons

DESCRIPTION = "train in a single noisy step, convert to T steps; beside it, T = 10 directly and ReLU"
TIMESTEPS = (1, 2, 5, 10)
DIRECT_TIMESTEPS = 10
SINGLE, DIRECT, RELU = "single step", f"direct, T = {DIRECT_TIMESTEPS}", "ReLU"

# What a CPU can do in a minute or two, and in some more. The digits are so easy that a linear output scores alike at
# every T; the spiking one, as in the paper's Fig. 2, shows what more steps add.
RECIPES = {
    "digits": {"epochs": 40, "batch_size": 50, "width": 1.0, "output": "spiking"},
    "mnist": {"epochs": 5, "batch_size": 100, "width": 0.5, "output": "linear"},
    "fashion-mnist": {"epochs": 5, "batch_size": 100, "width": 0.5, "output": "linear"},
}
# Scores that are spikes lie in [0, 1]: cross-entropy cannot tell them apart well, so they get the paper's loss.
LOSSES = {"linear": "cross-entropy", "spiking": "mse"}


@dataclass(frozen=True)
class Row:
    """What was measured of one network."""

    network: str
    timesteps: int
    accuracy: float  # fraction of the test images
    seconds_per_image: Spread
    spikes_per_neuron: float | None  # mean number that a neuron emits per image, over all time steps; ReLU: None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    by_dataset = "; ".join(f"{name}: {recipe}" for name, recipe in RECIPES.items())
    parser.epilog = f"Defaults that depend on the data set: {by_dataset}."
    option = parser.add_argument
    option("--dataset", choices=tuple(RECIPES), default="digits")
    option("--epochs", type=whole(1), help="of each training")
    option("--batch-norm", action=argparse.BooleanOptionalAction, default=True)
    option("--output", choices=networks.OUTPUTS, help="what gives the scores: the last layer's input, or its spikes")
    option("--learning-rate", type=positive, default=2e-3, help="Adam's, at its highest")
    options.add_shared(parser, Path("out/demo"))


def run(arguments: argparse.Namespace) -> int:
    """Runs the demo."""
    for name, value in RECIPES[arguments.dataset].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    png(lambda figure: None)  # without matplotlib nothing is trained
    device = options.device(arguments.device)
    arguments.backend = options.backend(arguments.backend, device)
    data = datasets.load(arguments.dataset, data_root=arguments.data_root, download=arguments.download)
    options.make_folder(arguments.out)
    with options.memory_permitting():
        _compare(arguments, data, device)
    return 0


def _compare(args: argparse.Namespace, data: datasets.ImageDataset, device: torch.device) -> None:
    """Train, convert, measure, print the table and save the figure and the results."""
    train_set = [tensor[: args.limit].to(device) for tensor in (data.train_images, data.train_labels)]
    test_set = [tensor[: args.limit].to(device) for tensor in (data.test_images, data.test_labels)]
    images, batch_size = train_set[0], args.batch_size
    commit = machine.commit()  # once all is trained the checkout may be another

    def network(activation: Callable[[], nn.Module], output: str = args.output) -> nn.Module:
        torch.manual_seed(args.seed)  # the same first weights whatever the neurons
        choices = {"activation": activation, "batch_norm": args.batch_norm, "width": args.width, "output": output}
        return networks.build("small", data.image_shape, data.classes, **choices).to(device)

    lif = network(functools.partial(fastlif.LIF, timesteps=DIRECT_TIMESTEPS, backend=args.backend))
    models = {
        SINGLE: network(functools.partial(fastlif.NoisyLIF, backend=args.backend)),
        DIRECT: fastlif.MultiStep(lif, timesteps=DIRECT_TIMESTEPS),
        RELU: network(nn.ReLU, output="linear"),
    }
    shape = networks.title("small", data.classes, args.width)
    norm = "batch normalisation" if args.batch_norm else "no batch normalisation"
    print(f"{data.name}: {len(images):,} images to train on, {len(test_set[0]):,} to test with")
    print(f"network {shape}, {norm}, {args.output} output, {LOSSES[args.output]} loss; ReLU's output is linear")
    print(f"on {machine.describe(device)}, neurons on the {args.backend} backend")
    if args.backend != "reference":
        print("The first batches compile the neurons: a wait, most of all the first time on a machine.", flush=True)

    def train(name: str) -> list[loop.Epoch]:
        loss = LOSSES["linear" if name == RELU else args.output]
        recipe = loop.Recipe(
            args.epochs, batch_size, args.learning_rate, loss=loss, schedule="one-cycle", seed=args.seed
        )
        start = machine.now(device)
        loop.warm_up(models[name], *train_set, recipe)
        print(f"{name}: warm-up with compilation {machine.now(device) - start:.1f} s", flush=True)
        return loop.train(
            models[name],
            *train_set,
            recipe,
            after_epoch=lambda model: {"accuracy": evaluation.evaluate(model, *test_set, batch_size=batch_size)},
            title=name,
            commit=commit,
        )

    histories = {name: train(name) for name in models}
    converted = {f"converted, T = {T}": fastlif.MultiStep(models[SINGLE], timesteps=T) for T in TIMESTEPS}
    tested = {SINGLE: models[SINGLE]} | converted | {DIRECT: models[DIRECT], RELU: models[RELU]}
    times = evaluation.seconds_per_image([*tested.values()], datasets.to_float(test_set[0][:batch_size]))
    rows = [
        measure(name, model, time, *test_set, batch_size=batch_size, seed=args.seed)
        for (name, model), time in zip(tested.items(), times)
    ]
    print_table(rows, f"{times[0].samples} batches of {min(batch_size, len(test_set[0]))} images, in turns")
    epochs = {name: spread([epoch.seconds for epoch in history]) for name, history in histories.items()}
    for name, seconds in epochs.items():
        print(
            f"An epoch of training, {name}: {seconds.median:.2f} s ({seconds.p20:.2f}-{seconds.p80:.2f}), "
            f"{seconds.median / epochs[SINGLE].median:.2f} times the single step's"
        )
    print("(medians, p20-p80; compilation is not in it: a few batches ran before)")

    figure, results = (args.out / f"{data.name}{suffix}" for suffix in (".png", ".json"))
    title = f"{data.name}, {shape}, {machine.describe(device)}"
    settings = {name: value for name, value in vars(args).items() if name != "command"}
    record = {
        "dataset": data.name,
        "train_images": len(images),
        "test_images": len(test_set[0]),
        "network": shape,
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()},
        "device": machine.describe(device),
        "versions": machine.versions(),
        "commit": commit,
        "rows": rows,
        "training": histories,
    }
    write_whole(results, json.dumps(record, indent=2, default=vars) + "\n")
    write_whole(figure, png(functools.partial(draw, rows, histories, title), dpi=150))
    print(f"\nMade {figure} (the figure) and {results} (every number, with the library versions).")


def measure(name: str, model: nn.Module, time: Spread, images: Tensor, labels: Tensor, **options) -> Row:
    """Accuracy and spikes on all ``images`` ``[N, C, H, W]`` uint8, beside the ``time`` of one.

    ``options``: those of ``evaluation.evaluate``.
    """
    timesteps = getattr(model, "timesteps", 1)
    with fastlif.record(model, spikes=False) if neurons(model) else nullcontext() as log:
        accuracy = evaluation.evaluate(model, images, labels, title=f"testing {name}", **options)
    return Row(name, timesteps, accuracy, time, log and spikes_per_neuron(log, timesteps))


def spikes_per_neuron(log, timesteps: int) -> float:
    """The mean number of spikes per neuron and image, over all steps, of what ``fastlif.record`` recorded."""
    rows = log.table().rows
    return timesteps * sum(row.rate * row.units for row in rows) / sum(row.units for row in rows)


def print_table(rows: list[Row], timed: str) -> None:
    """Print a line per network; ``timed`` says over what its time per image was taken."""
    print(f"\n{'network':<20}{'test accuracy':>15}{'time per image (p20-p80)':>32}{'spikes per neuron':>20}")
    for row in rows:
        time = row.seconds_per_image
        microseconds = f"{time.median * 1e6:,.1f} us ({time.p20 * 1e6:,.1f}-{time.p80 * 1e6:,.1f})"
        spikes = "" if row.spikes_per_neuron is None else f"{row.spikes_per_neuron:.3f}"
        print(f"{row.network:<20}{row.accuracy * 100:>13.2f} %{microseconds:>32}{spikes:>20}")
    print(f"(time: median over {timed}; spikes: mean number per neuron and image, over all T steps)\n")


def draw(rows: list[Row], histories: dict[str, list[loop.Epoch]], title: str, figure) -> None:
    """Draw the accuracy against T, and the way to it against the time of training."""
    colours = {SINGLE: "tab:blue", DIRECT: "tab:orange", RELU: "tab:gray"}
    accuracy = {row.network: 100 * row.accuracy for row in rows}
    converted = {row.timesteps: 100 * row.accuracy for row in rows if row.network.startswith("converted")}
    figure.set_size_inches(10, 3.8)
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*converted.items()), "o-", color=colours[SINGLE], label="trained in a single step, converted to T")
    left.axhline(accuracy[SINGLE], color=colours[SINGLE], linestyle="--", label="the single step, as trained")
    left.plot(DIRECT_TIMESTEPS, accuracy[DIRECT], "s", color=colours[DIRECT], label=DIRECT)
    left.axhline(accuracy[RELU], color=colours[RELU], linestyle=":", label="ReLU")
    left.set(xlabel="time steps T", ylabel="test accuracy (%)", xticks=list(converted))
    for name, epochs in histories.items():
        seconds = list(itertools.accumulate(epoch.seconds for epoch in epochs))
        right.plot(seconds, [100 * epoch.metrics["accuracy"] for epoch in epochs], color=colours[name], label=name)
    last = max(converted)
    trained = sum(epoch.seconds for epoch in histories[SINGLE])
    right.plot(trained, converted[last], "o", color=colours[SINGLE], label=f"converted, T = {last}")
    best = max(accuracy.values())
    right.set(xlabel="seconds of training", ylabel="test accuracy (%)", ylim=(best - 12, min(100, best + 1)))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize=9)
    figure.suptitle(title, fontsize=10)


if __name__ == "__main__":
    sys.exit("the demo is a command now: python -m benchmarks demo")
