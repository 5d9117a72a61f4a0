"""The whole path on real images: ``python -m benchmarks.demo``.

Trains Table 1's small network in a single noisy step, converts it without retraining to T = 1, 5 and 10 time steps,
and shows accuracy, time and spikes of each, beside what training the same network directly at T = 10 costs, and what
the conversion to T = 10 loses with residual noise that is not matched in spread.
"""

import argparse
import copy
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import fastlif
from benchmarks import machine, options
from benchmarks.files import write_whole
from benchmarks.options import file_or_folder, positive, whole
from benchmarks.report.rows import Spread, spread
from benchmarks.training import datasets, loop, networks
from fastlif.backends import BACKENDS
from fastlif.modules import neurons

TIMESTEPS = (1, 5, 10)
DIRECT_TIMESTEPS = 10
T_RANGE = 10  # the steps of the conversion whose residual noise is not matched in spread

# What a CPU can do in a minute or two, and in a few minutes. The digits are so easy that a linear output scores alike
# at every T; the spiking one, as in the paper's Fig. 2, shows what more steps add. An epoch of them is too short to
# time just once.
RECIPES = {
    "digits": {"epochs": 40, "batch_size": 50, "width": 1.0, "output": "spiking", "direct_epochs": 5},
    "mnist": {"epochs": 5, "batch_size": 100, "width": 0.5, "output": "linear", "direct_epochs": 1},
    "fashion-mnist": {"epochs": 5, "batch_size": 100, "width": 0.5, "output": "linear", "direct_epochs": 1},
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
    spikes_per_neuron: float  # mean number that a neuron emits per image, over all time steps


def main(argv: list[str] | None = None) -> None:
    """Run the demo. What the user can mend ends in a message on stderr and exit code 2."""
    parser = _parser()
    args = parser.parse_args(argv)
    for name, value in RECIPES[args.dataset].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    try:
        device = options.device(args.device)
        args.backend = options.backend(args.backend, device)
        data = datasets.load(args.dataset, data_root=args.data_root, download=args.download)
        options.make_folder(args.out)
    except (datasets.DatasetError, ImportError, OSError, RuntimeError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    try:
        run(args, data, device)
    except OSError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    except RuntimeError as error:
        if not options.too_little_memory(error):
            raise
        reason = str(error).split(". ")[0]
        parser.exit(2, f"{parser.prog}: error: the memory is too small ({reason}): give a smaller --width\n")


def run(args: argparse.Namespace, data: datasets.ImageDataset, device: torch.device) -> None:
    """Train, convert, measure, print the table and save the figure and the results."""
    train_set = [tensor[: args.limit].to(device) for tensor in (data.train_images, data.train_labels)]
    test_set = [tensor[: args.limit].to(device) for tensor in (data.test_images, data.test_labels)]
    images, batch_size = train_set[0], args.batch_size

    def network(activation: Callable[[], nn.Module]) -> nn.Module:
        torch.manual_seed(args.seed)  # the same first weights whatever the neurons
        return networks.small_network(
            data.image_shape,
            data.classes,
            activation=activation,
            batch_norm=args.batch_norm,
            width=args.width,
            output=args.output,
        ).to(device)

    single = network(lambda: fastlif.NoisyLIF(backend=args.backend))
    direct = fastlif.MultiStep(
        network(lambda: fastlif.LIF(timesteps=DIRECT_TIMESTEPS, backend=args.backend)), timesteps=DIRECT_TIMESTEPS
    )
    shape = networks.describe(data.classes, args.width)
    norm = "batch normalisation" if args.batch_norm else "no batch normalisation"
    print(f"{data.name}: {len(images):,} images to train on, {len(test_set[0]):,} to test with")
    print(f"network {shape}, {norm}, {args.output} output, {LOSSES[args.output]} loss")
    print(f"on {machine.describe(device)}, neurons on the {args.backend} backend")
    if args.backend != "reference":
        print("The first batches compile the neurons: a wait, most of all the first time on a machine.", flush=True)

    def train(model: nn.Module, epochs: int, title: str) -> list[loop.Epoch]:
        recipe = loop.Recipe(
            epochs, batch_size, args.learning_rate, loss=LOSSES[args.output], schedule="constant", seed=args.seed
        )
        # A copy trains on a few batches first, so that neither compilation nor the first allocations are timed.
        few = [tensor[: loop.WARM_UP_BATCHES * batch_size] for tensor in train_set]
        start = machine.now(device)
        loop.train(copy.deepcopy(model), *few, dataclasses.replace(recipe, epochs=1))
        print(f"{title}: warm-up with compilation {machine.now(device) - start:.1f} s", flush=True)
        return loop.train(model, *train_set, recipe, title=title)

    single_epochs = train(single, args.epochs, "single step")
    direct_epochs = train(direct, args.direct_epochs, f"directly at T = {DIRECT_TIMESTEPS}")

    converted = {f"T = {T}": fastlif.MultiStep(single, timesteps=T) for T in TIMESTEPS}
    converted[f"T = {T_RANGE}, range"] = fastlif.MultiStep(single, timesteps=T_RANGE, residual="range")
    rows = [
        measure(name, model, *test_set, batch_size=batch_size, seed=args.seed)
        for name, model in ({"single step": single} | converted).items()
    ]
    single_seconds, direct_seconds = (
        spread([epoch.seconds for epoch in epochs]).median for epochs in (single_epochs, direct_epochs)
    )
    print_table(rows, f"{loop.TIMED_BATCHES} batches of {min(batch_size, len(test_set[0]))} images")
    print(
        f"One epoch of training takes {single_seconds:.2f} s in a single step and {direct_seconds:.2f} s directly at "
        f"T = {DIRECT_TIMESTEPS}, {direct_seconds / single_seconds:.1f} times as long\n(median of {len(single_epochs)} "
        f"and {len(direct_epochs)}; compilation is not in it: a few batches ran before)."
    )

    figure, results = (args.out / f"{data.name}{suffix}" for suffix in (".png", ".json"))
    save_figure(rows, f"{data.name}, {shape}, {machine.describe(device)}", figure)
    record = {
        "dataset": data.name,
        "train_images": len(images),
        "test_images": len(test_set[0]),
        "network": shape,
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "device": machine.describe(device),
        "versions": machine.versions(),
        "rows": rows,
        "training": {
            "single step": single_epochs,
            f"directly at T = {DIRECT_TIMESTEPS}": direct_epochs,
            "direct_to_single_epoch_time": direct_seconds / single_seconds,
        },
    }
    write_whole(results, json.dumps(record, indent=2, default=vars) + "\n")
    print(f"\nMade {_shown(figure)} (the figure) and {_shown(results)} (every number, with the library versions).")


def measure(name: str, model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int, seed: int) -> Row:
    """Accuracy and spikes on all ``images`` ``[N, C, H, W]`` uint8, and the time of a batch of them."""
    with spike_counter(model) as spikes_per_neuron:
        accuracy = loop.evaluate(model, images, labels, batch_size=batch_size, seed=seed, title=f"testing {name}")
    seconds = loop.time_per_image(model, datasets.to_float(images[:batch_size]))
    return Row(name, getattr(model, "timesteps", 1), accuracy, seconds, spikes_per_neuron())


@contextmanager
def spike_counter(model: nn.Module) -> Iterator[Callable[[], float]]:
    """Counts the spikes of ``model``'s neurons, and gives what tells the mean number per neuron and image."""
    counts = []  # (spikes, outputs, timesteps) of every call of a neuron

    def count(neuron, _, output):
        counts.append((output.count_nonzero(), output.numel(), neuron.timesteps))

    def spikes_per_neuron() -> float:
        return sum(spikes for spikes, _, _ in counts).item() / sum(outputs / steps for _, outputs, steps in counts)

    hooks = [neuron.register_forward_hook(count) for neuron in neurons(model)]
    try:
        yield spikes_per_neuron
    finally:
        for hook in hooks:
            hook.remove()


def print_table(rows: list[Row], timed: str) -> None:
    """Print a line per network; ``timed`` says over what its time per image was taken."""
    print(f"\n{'network':<25}{'test accuracy':>15}{'time per image (p20-p80)':>32}{'spikes per neuron':>20}")
    for row in rows:
        time = row.seconds_per_image
        microseconds = f"{time.median * 1e6:,.1f} us ({time.p20 * 1e6:,.1f}-{time.p80 * 1e6:,.1f})"
        name = f"{row.network}, {'converted' if row.network.startswith('T') else 'as trained'}"
        print(f"{name:<25}{row.accuracy * 100:>13.2f} %{microseconds:>32}{row.spikes_per_neuron:>20.3f}")
    print(f"(time: median over {timed}; spikes: mean number per neuron and image, over all T steps;")
    print("range: the residual noise has training's width on its smaller range, instead of training's spread)\n")


def save_figure(rows: list[Row], title: str, path: Path) -> None:
    """Draw accuracy and time per image against T, the single step as a line, and save it."""
    import matplotlib

    matplotlib.use("Agg")  # needs no display
    from matplotlib import pyplot as plt

    single, *converted, unmatched = rows
    steps = [row.timesteps for row in converted]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(steps, [row.accuracy * 100 for row in converted], "o-", label="converted to T steps")
    left.plot(unmatched.timesteps, unmatched.accuracy * 100, "x", label='with residual="range"')
    left.axhline(single.accuracy * 100, color="black", linestyle="--", label="single step, as trained")
    left.set_ylabel("test accuracy (%)")
    times = [row.seconds_per_image for row in converted]
    spreads = [[(t.median - t.p20) * 1e6 for t in times], [(t.p80 - t.median) * 1e6 for t in times]]
    right.errorbar(steps, [t.median * 1e6 for t in times], spreads, fmt="o-", capsize=4, label="converted (p20-p80)")
    right.axhline(single.seconds_per_image.median * 1e6, color="black", linestyle="--", label="single step, as trained")
    right.set_ylabel("time per image (microseconds)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("time steps T")
        axes.set_xticks(steps)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    plt.close(figure)
    write_whole(path, picture.getvalue())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        usage="%(prog)s [options]",
        description="Train a single-step noisy spiking network, convert it to T time steps, and measure it.",
    )
    by_dataset = "; ".join(f"{name}: {recipe}" for name, recipe in RECIPES.items())
    parser.epilog = f"Defaults that depend on the data set: {by_dataset}."
    option = parser.add_argument
    option("--dataset", choices=tuple(RECIPES), default="digits")
    option(
        "--data-root", type=file_or_folder, help="folder to search first for the data set's files, and to download into"
    )
    option("--download", action="store_true", help="download the data set if it is not found")
    option("--epochs", type=whole(1), help="of training in a single step")
    option("--direct-epochs", type=whole(1), help=f"of training directly at T = {DIRECT_TIMESTEPS}, for its time")
    option("--batch-size", type=whole(2), help="images in a batch, in training and in testing")
    option("--limit", type=whole(2), help="use only the first LIMIT images to train and to test")
    option("--width", type=positive, help="factor on the network's channels and hidden units")
    option("--batch-norm", action=argparse.BooleanOptionalAction, default=True)
    option("--output", choices=networks.OUTPUTS, help="what gives the scores: the last layer's input, or its spikes")
    option("--learning-rate", type=positive, default=1e-3, help="Adam's")
    option("--seed", type=whole(0), default=0)
    option("--device", choices=options.DEVICES, default="auto")
    option("--backend", choices=BACKENDS, default="auto", help="where the neurons are computed")
    option("--out", type=file_or_folder, default=Path("out/demo"), help="folder for the figure and the results")
    return parser


def _shown(path: Path) -> Path:
    """``path`` relative to the working directory, if it lies below it."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
