"""Where experiments run: the data on the device, networks trained once for all that need them, the rows they record."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

import fastlif
from benchmarks import machine
from benchmarks.report import rows as results
from benchmarks.report.rows import Row, Spread, spread
from benchmarks.training import datasets, distributed, loop, networks
from benchmarks.training.loop import Epoch, Recipe

T = 10  # the steps that the paper converts to, and trains the baseline with


@dataclass(frozen=True)
class Preset:
    """A way to train: what an experiment leaves as it is."""

    description: str
    recipe: Recipe
    output: str


PRESETS = {
    "paper": Preset(
        "MSE against one-hot, Adam at 1e-4, cosine annealing with warm restarts of period 100, spiking output",
        Recipe(learning_rate=1e-4, loss="mse", schedule="warm-restarts"),
        output="spiking",
    ),
    "modern": Preset(
        "cross-entropy, AdamW at 2e-3 in one cycle, linear output",
        Recipe(learning_rate=2e-3, loss="cross-entropy", schedule="one-cycle", weight_decay=1e-2),
        output="linear",
    ),
}


@dataclass(frozen=True)
class Form:
    """How much is done: ``quick`` takes minutes on two CPU cores, ``full`` minutes on one data-centre GPU."""

    width: float  # of the small network
    epochs: int | None  # of the networks that everything else uses; None: Table 1's
    ablation_epochs: int  # of each variant that is compared with the others
    test_images: int | None  # None: all
    batch_size: int
    noise_seeds: int  # evaluations of one network
    curve_images: int | None  # of an epoch where training is timed
    curve_epochs: int  # of the single-step way; the direct ones get half as many
    goals: dict[tuple[str, str], float]  # (dataset, network) -> the accuracy in % to reach
    rate_steps: tuple[int, ...]  # T of the rate-coded network
    rate_images: int | None
    large: bool  # whether VGG-16 and ResNet-18 are trained for their accuracy, or only timed
    large_batch_size: int
    throughput_batches: int  # of an epoch that is timed for its throughput


FORMS = {
    "quick": Form(
        width=0.25,
        epochs=3,
        ablation_epochs=2,
        test_images=2000,
        batch_size=50,
        noise_seeds=3,
        curve_images=10_000,
        curve_epochs=8,
        goals={("mnist", "small"): 95.0, ("fashion-mnist", "small"): 80.0, ("digits", "small"): 80.0},
        rate_steps=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        rate_images=500,
        large=False,
        large_batch_size=4,
        throughput_batches=1,
    ),
    "full": Form(
        width=1.0,
        epochs=None,
        ablation_epochs=20,
        test_images=None,
        batch_size=100,
        noise_seeds=5,
        curve_images=None,
        curve_epochs=40,
        goals={
            ("mnist", "small"): 99.0,
            ("fashion-mnist", "small"): 92.0,
            ("cifar-10", "vgg16"): 88.0,
            ("cifar-10", "resnet18"): 90.0,
            ("digits", "small"): 95.0,
        },
        rate_steps=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 2500),
        rate_images=None,
        large=True,
        large_batch_size=100,
        throughput_batches=20,
    ),
}

# Table 1: what is trained on what, and for how many epochs. The digits are ours: they need no file.
WORKLOADS = {
    "mnist": {"small": 100},
    "fashion-mnist": {"small": 200},
    "cifar-10": {"vgg16": 1000, "resnet18": 800},
    "digits": {"small": 100},
}


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    form: str = "quick"
    preset: str = "paper"
    datasets: tuple[str, ...] = ("mnist", "fashion-mnist", "cifar-10")
    synthetic: bool = False
    dtype: str = "float32"
    backend: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    limit: int | None = None  # of training and test images
    width: float | None = None
    seed: int = 0
    data_root: Path | None = None
    download: bool = False
    out: Path = results.FOLDER
    resume: bool = False
    tensorboard: bool = False

    def shown(self, device: torch.device) -> str:
        """What of it a result depends on and is not the default, as on the command line."""
        usual = "triton" if device.type == "cuda" else "compiled"
        backend = None if self.backend in ("auto", usual) else self.backend
        numbers = {name: getattr(self, name) for name in ("epochs", "batch_size", "limit", "width")}
        values = {
            "preset": self.preset if self.preset != "paper" else None,
            "dtype": self.dtype if self.dtype != "float32" else None,
            "backend": backend,
            **numbers,
            "seed": self.seed or None,
        }
        words = ["--quick"] if self.form == "quick" else []
        words += [f"--{name.replace('_', '-')} {value}" for name, value in values.items() if value is not None]
        words += [f"on {distributed.world_size()} processes"] if distributed.world_size() > 1 else []
        return " ".join(words)


@dataclass(frozen=True)
class Work:
    """What an experiment is done on."""

    dataset: str
    network: str


@dataclass(frozen=True)
class Spec:
    """A network and its training: everything that its weights depend on."""

    work: Work
    recipe: Recipe
    neuron: str = "noisy"  # "noisy": a single step; "lif": T steps; "relu": no spikes
    noise: fastlif.Noise = fastlif.Noise()
    surrogate: str = "atan"
    batch_norm: bool = True
    width: float = 1.0
    output: str = "linear"
    backend: str = "auto"
    train_images: int | None = None  # the first ones; None: all
    test_images: int = 0  # that each epoch's accuracy is taken on


@dataclass(frozen=True)
class Trained:
    """A trained network, in evaluation mode, and what each epoch gave."""

    model: nn.Module
    epochs: list[Epoch]


@dataclass
class Data:
    """A data set on the device."""

    train_images: Tensor  # [N, C, H, W] uint8
    train_labels: Tensor  # [N]
    test_images: Tensor  # [M, C, H, W] uint8
    test_labels: Tensor  # [M]
    shape: tuple[int, int, int]
    classes: int

    def few_tests(self, count: int | None) -> tuple[Tensor, Tensor]:
        """The first test images and their labels."""
        return self.test_images[:count], self.test_labels[:count]


@dataclass
class Lab:
    """Options, device and everything made so far. Under ``torchrun`` each process has one; the first writes."""

    options: Options
    device: torch.device
    rows: list[Row] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    _data: dict[str, Data] = field(default_factory=dict)
    _trained: dict[Spec, Trained] = field(default_factory=dict)
    _missing: set[str] = field(default_factory=set)  # data sets and networks that were left out

    @property
    def form(self) -> Form:
        return FORMS[self.options.form]

    @property
    def seconds(self) -> float:
        """Since the lab was opened."""
        return time.perf_counter() - self.started

    @property
    def work_folder(self) -> Path:
        """Where checkpoints and the metrics of each epoch go."""
        return self.options.out / "work"

    def say(self, text: str) -> None:
        """Print a line, once for all processes."""
        if distributed.rank() == 0:
            print(text, flush=True)

    # What there is to work on

    def workloads(self, *, large: bool = True) -> list[Work]:
        """What is trained for its accuracy: the data sets found here, with Table 1's networks or its small one."""
        wanted = [Work(dataset, network) for dataset in self.options.datasets for network in WORKLOADS[dataset]]
        large = large and self.form.large
        wanted = [work for work in wanted if (large or work.network == "small") and self._has(work.dataset)]
        return [work for work in wanted if self.can_build(work.network)]

    def timed_only(self) -> list[Work]:
        """What only the throughput is measured of: large networks in the quick form, or without their data."""
        found = self.workloads()
        names = [(name, name if self._has(name) else f"synthetic {name}") for name in self.options.datasets]
        works = [Work(dataset, network) for name, dataset in names for network in WORKLOADS[name]]
        works = [work for work in works if work not in found and work.network != "small"]
        works = [work for work in works if self.options.synthetic or not work.dataset.startswith("synthetic")]
        return [work for work in works if self.can_build(work.network)]

    def _has(self, dataset: str) -> bool:
        try:
            self.data(dataset)
        except datasets.DatasetNotFound as error:
            large = not self.options.synthetic and "small" not in WORKLOADS[dataset]
            hint = "; --synthetic measures throughput on data of its shape" if large else ""
            return self._leave_out(dataset, f"{str(error).split('; ')[0]} (--download fetches it{hint})")
        except ImportError as error:
            return self._leave_out(dataset, error)
        return True

    def can_build(self, network: str) -> bool:
        """Whether torchvision is there, if the network needs it; if not, says so once."""
        try:
            return network == "small" or bool(datasets.import_torchvision("it is built"))
        except ImportError as error:
            return self._leave_out(network, error)

    def _leave_out(self, name: str, reason: str | Exception) -> bool:
        """False; says so once."""
        if name not in self._missing:
            self._missing.add(name)
            self.say(f"{name} is left out: {reason}")
        return False

    def data(self, name: str) -> Data:
        """A data set, cut to the form's size, on the device."""
        if name not in self._data:
            if name.startswith("synthetic "):
                count = (self.options.batch_size or self.form.large_batch_size) * self.form.throughput_batches
                found = datasets.synthetic(name.removeprefix("synthetic "), train=count, test=count)
            else:
                with distributed.first_alone():
                    found = datasets.load(name, data_root=self.options.data_root, download=self.options.download)
            train, test = self.options.limit, self.options.limit or self.form.test_images
            self._data[name] = Data(
                found.train_images[:train].to(self.device),
                found.train_labels[:train].to(self.device),
                found.test_images[:test].to(self.device),
                found.test_labels[:test].to(self.device),
                found.image_shape,
                found.classes,
            )
        return self._data[name]

    # Networks

    def spec(self, work: Work, *, epochs: int | None = None, **changes) -> Spec:
        """The network that all experiments on ``work`` share, with these changes; ``epochs`` if none were asked for."""
        preset, options = PRESETS[self.options.preset], self.options
        small = work.network == "small"
        name = work.dataset.removeprefix("synthetic ")
        recipe = dataclasses.replace(
            preset.recipe,
            epochs=options.epochs or epochs or self.form.epochs or WORKLOADS[name][work.network],
            batch_size=options.batch_size or (self.form.batch_size if small else self.form.large_batch_size),
            augment=name == "cifar-10",
            dtype=options.dtype,
            seed=options.seed,
        )
        data, width = self.data(work.dataset), (options.width or self.form.width) if small else 1.0
        standard = Spec(work, recipe, width=width, output=preset.output, backend=options.backend)
        spec = dataclasses.replace(standard, **changes)
        images = len(data.train_images[: spec.train_images])
        return dataclasses.replace(spec, train_images=images, test_images=len(data.test_images))

    def build(self, spec: Spec) -> nn.Module:
        """The untrained network; its first weights depend on the seed alone, not on the neurons."""
        data = self.data(spec.work.dataset)
        activation = {
            "noisy": lambda: fastlif.NoisyLIF(noise=spec.noise, surrogate=spec.surrogate, backend=spec.backend),
            "lif": lambda: fastlif.LIF(timesteps=T, surrogate=spec.surrogate, backend=spec.backend),
            "relu": nn.ReLU,
        }[spec.neuron]
        torch.manual_seed(spec.recipe.seed)
        model = networks.build(
            spec.work.network,
            data.shape,
            data.classes,
            activation=activation,
            batch_norm=spec.batch_norm,
            width=spec.width,
            output="linear" if spec.neuron == "relu" else spec.output,
        ).to(self.device)
        return fastlif.MultiStep(model, timesteps=T) if spec.neuron == "lif" else model

    def train(self, spec: Spec, title: str) -> Trained:
        """The network of ``spec``, trained; once in this run, and with ``resume`` once for all runs of one folder."""
        if spec not in self._trained:
            data, model = self.data(spec.work.dataset), self.build(spec)
            title = f"{spec.work.dataset} {spec.work.network}, {title}"
            self.warm_up(model, spec)
            key = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
            epochs = loop.train(
                model,
                data.train_images[: spec.train_images],
                data.train_labels[: spec.train_images],
                spec.recipe,
                after_epoch=lambda model: self._after_epoch(model, spec),
                on_epoch=lambda number, epoch: self._log(title, number, epoch),
                path=self.work_folder / "checkpoints" / f"{spec.work.dataset}-{spec.work.network}-{key}.pt",
                spec=repr(spec),
                resume=self.options.resume,
                title=title,
            )
            self._trained[spec] = Trained(model.eval(), epochs)
        return self._trained[spec]

    def warm_up(self, model: nn.Module, spec: Spec) -> None:
        """Train a copy on a few batches, so that neither compilation nor the first allocations are timed."""
        data, recipe = self.data(spec.work.dataset), dataclasses.replace(spec.recipe, epochs=1)
        count = loop.WARM_UP_BATCHES * recipe.batch_size
        loop.train(copy.deepcopy(model), data.train_images[:count], data.train_labels[:count], recipe)

    def _after_epoch(self, model: nn.Module, spec: Spec) -> dict[str, float]:
        multi = fastlif.MultiStep(model, timesteps=T) if spec.neuron == "noisy" else model
        data = self.data(spec.work.dataset)
        return {"accuracy": self.accuracy_on(multi, data.test_images, data.test_labels)}

    def _log(self, title: str, number: int, epoch: Epoch) -> None:
        """Append the epoch to ``metrics.jsonl`` and, if asked to, to TensorBoard's files."""
        if distributed.rank() != 0:
            return
        line = {"training": title, "epoch": number, "loss": epoch.loss, "seconds": epoch.seconds} | epoch.metrics
        with open(self.work_folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if self.options.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            with SummaryWriter(self.work_folder / "tensorboard" / title.replace(" ", "-")) as writer:
                for name, value in line.items():
                    if isinstance(value, float):
                        writer.add_scalar(name, value, number)

    # Measurements

    @property
    def noise_seeds(self) -> range:
        """The seeds that a noisy network is evaluated with."""
        return range(self.options.seed, self.options.seed + self.form.noise_seeds)

    def accuracy(self, model: nn.Module, work: Work) -> Spread:
        """Accuracy in % on all test images, over several seeds of the noise."""
        data = self.data(work.dataset)
        return spread(self.accuracy_on(model, data.test_images, data.test_labels, seed) for seed in self.noise_seeds)

    def accuracy_on(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int | None = None) -> float:
        """Accuracy in % on ``images`` ``[N, C, H, W]`` uint8, with one seed of the noise."""
        seed, dtype = self.options.seed if seed is None else seed, self.options.dtype
        return 100 * loop.evaluate(model, images, labels, dtype=dtype, seed=seed)

    def seconds_per_image(self, model: nn.Module, work: Work) -> Spread:
        """Seconds per image of a forward pass over a batch of test images, over several passes."""
        batch = datasets.to_float(self.data(work.dataset).test_images[: self.spec(work).recipe.batch_size])
        return loop.time_per_image(model, batch, dtype=self.options.dtype)

    # Results

    def record(
        self,
        experiment: str,
        spec: Spec | str,
        setting: dict[str, object],
        metric: str,
        unit: str,
        values: Spread | float,
        over: str = "",
        test_images: int | None = None,
        dataset: str = "none",
    ) -> None:
        """Add a row. ``spec`` is the network it is about, or words for it where nothing was trained.

        ``test_images``: how many were tested, if it were not all. ``dataset``: beside words, what the network ran on.
        """
        if isinstance(values, (int, float)):
            values = Spread(float(values), float(values), float(values))
        network, trained = spec, ""
        if isinstance(spec, Spec):
            recipe = spec.recipe
            trained = f"{recipe.epochs} epochs of {spec.train_images:,} images in batches of {recipe.batch_size}"
            test_images = test_images or spec.test_images
            dataset = spec.work.dataset
            network = networks.title(spec.work.network, self.data(dataset).classes, spec.width)
        self.rows.append(
            Row(
                experiment=experiment,
                form=self.options.form,
                preset=self.options.preset,
                dataset=dataset,
                network=network,
                options=self.options.shown(self.device),
                training=trained,
                test_images=test_images or 0,
                setting={name: str(value) for name, value in setting.items()},
                metric=metric,
                unit=unit,
                median=values.median,
                p20=values.p20,
                p80=values.p80,
                samples=values.samples,
                over=over,
                seed=self.options.seed,
                dtype=self.options.dtype,
                device=machine.describe(self.device),
                versions=" ".join(f"{name} {version}" for name, version in machine.versions().items()),
                commit=machine.commit(),
            )
        )
