"""Where experiments run: each network is trained once for all that need it."""

import dataclasses
import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import fastlif
from benchmarks.report.rows import Spread
from benchmarks.training import datasets, evaluation, loop, networks
from benchmarks.training.data import Sets, Work
from benchmarks.training.loop import Epoch, Recipe
from benchmarks.training.presets import PRESETS, WORKLOADS, T
from benchmarks.training.recording import Recorder

CALIBRATION_IMAGES = 1000


@dataclass(frozen=True)
class Spec:
    """A network and its training: everything that its weights depend on."""

    work: Work
    recipe: Recipe
    neuron: str = "noisy"  # "noisy": a single step; "lif": over time; "relu", "quantised": no spikes
    timesteps: int = T  # of "lif"
    noise: fastlif.Noise = fastlif.Noise()
    surrogate: str | fastlif.Surrogate = "atan"
    batch_norm: bool = True
    width: float = 1.0
    output: str = "linear"
    channels_last: bool = False
    backend: str = "auto"
    curve: bool = False  # whether the accuracy over T steps is taken after each epoch
    train_images: int = 0  # the first ones
    test_images: int = 0  # that an accuracy is taken on


@dataclass(frozen=True)
class Trained:
    """A trained network, in evaluation mode, and what each epoch gave."""

    model: nn.Module
    epochs: list[Epoch]


@dataclass
class Lab(Recorder):
    """What an experiment is given: a recorder, the data sets, and the networks trained so far."""

    data: Sets = field(init=False)
    _trained: dict[Spec, Trained] = field(default_factory=dict)

    def __post_init__(self):
        self.data = Sets(self.options, self.device, self.say)

    def spec(self, work: Work, *, epochs: int | None = None, seed: int | None = None, **changes) -> Spec:
        """The network that all experiments on ``work`` share, with these changes.

        ``epochs``, ``seed``: in place of the options'.
        """
        preset, options = PRESETS[self.options.preset], self.options
        small = work.network == "small"
        name = work.dataset.removeprefix("synthetic ")
        recipe = dataclasses.replace(
            preset.recipe,
            epochs=epochs or options.epochs or self.form.epochs or WORKLOADS[name][work.network],
            batch_size=options.batch_size or (self.form.batch_size if small else self.form.large_batch_size),
            shift=preset.shifts.get(name, 0),
            erase=options.erase,
            dtype=options.dtype,
            seed=options.seed if seed is None else seed,
        )
        data = self.data[work.dataset]
        choices = {
            "surrogate": options.surrogate or preset.surrogate,
            "width": options.width or (self.form.width if small else 1.0),
            "output": preset.output,
            "channels_last": preset.channels_last,
            "backend": options.backend,
            "train_images": self.form.train_images,
        } | changes
        choices["train_images"] = len(data.train_images[: choices["train_images"]])
        return Spec(work, recipe, test_images=len(data.test_images), **choices)

    def build(self, spec: Spec) -> nn.Module:
        """The untrained network; its first weights depend on the seed alone, not on the neurons."""
        data = self.data[spec.work.dataset]
        activation = {
            "noisy": lambda: fastlif.NoisyLIF(noise=spec.noise, surrogate=spec.surrogate, backend=spec.backend),
            "lif": lambda: fastlif.LIF(timesteps=spec.timesteps, surrogate=spec.surrogate, backend=spec.backend),
            "relu": nn.ReLU,
            "quantised": networks.QuantisedReLU,
        }[spec.neuron]
        torch.manual_seed(spec.recipe.seed)
        model = networks.build(
            spec.work.network,
            data.shape,
            data.classes,
            activation=activation,
            batch_norm=spec.batch_norm,
            width=spec.width,
            output="linear" if spec.neuron in ("relu", "quantised") else spec.output,
        ).to(self.device)
        if spec.channels_last:
            model = model.to(memory_format=torch.channels_last)
        return fastlif.MultiStep(model, timesteps=spec.timesteps) if spec.neuron == "lif" else model

    def train(self, spec: Spec, title: str) -> Trained:
        """The network of ``spec``, trained; once in this run, and with ``resume`` once for all runs of one folder."""
        if spec not in self._trained:
            data, model = self.data[spec.work.dataset], self.build(spec)
            title = f"{spec.work.dataset} {spec.work.network}, {title}"
            self.warm_up(model, spec)
            key = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
            epochs = loop.train(
                model,
                data.train_images[: spec.train_images],
                data.train_labels[: spec.train_images],
                spec.recipe,
                after_epoch=(lambda model: self._after_epoch(model, spec)) if spec.curve else None,
                on_epoch=lambda number, epoch: self.log_epoch(title, number, epoch),
                path=self.work_folder / "checkpoints" / f"{spec.work.dataset}-{spec.work.network}-{key}.pt",
                spec=repr(spec),
                resume=self.options.resume,
                title=title,
                commit=self.commit,
            )
            self._trained[spec] = Trained(model.eval(), epochs)
        return self._trained[spec]

    def _commits(self, spec: Spec) -> str:
        """Of the trainings of ``spec`` from all seeds: those of epochs that were taken over, then this checkout's."""
        seeds = (dataclasses.replace(spec.recipe, seed=seed) for seed in self.training_seeds)
        trained = [self._trained.get(dataclasses.replace(spec, recipe=recipe)) for recipe in seeds]
        commits = [epoch.commit for one in trained if one for epoch in one.epochs if epoch.commit]
        return " and ".join(dict.fromkeys([*commits, self.commit]))

    def warm_up(self, model: nn.Module, spec: Spec) -> None:
        """As :func:`loop.warm_up`, on the spec's data."""
        data = self.data[spec.work.dataset]
        loop.warm_up(model, data.train_images, data.train_labels, spec.recipe)

    def _after_epoch(self, model: nn.Module, spec: Spec) -> dict[str, float]:
        multi = fastlif.MultiStep(model, timesteps=T) if spec.neuron == "noisy" else model
        data = self.data[spec.work.dataset]
        return {"accuracy": self.accuracy_on(multi, data.test_images, data.test_labels)}

    @property
    def training_seeds(self) -> range:
        """The seeds of the trainings that a claim on an accuracy rests on."""
        return range(self.options.seed, self.options.seed + (self.options.trainings or self.form.trainings))

    def calibrated(self, model: fastlif.MultiStep, spec: Spec) -> fastlif.MultiStep:
        """``model``, calibrated on the first training images: the same for the same seed."""
        images = self.data[spec.work.dataset].train_images[:CALIBRATION_IMAGES]
        with evaluation.seeded(self.device, spec.recipe.seed):
            model.calibrate(datasets.to_float(images).split(100))
        return model

    def accuracy_on(self, model: nn.Module, images: Tensor, labels: Tensor) -> float:
        """Accuracy in % on ``images`` ``[N, C, H, W]`` uint8, with one seed of the noise."""
        return 100 * evaluation.evaluate(model, images, labels, dtype=self.options.dtype, seed=self.options.seed)

    def seconds_per_image(self, models: list[nn.Module], work: Work) -> list[Spread]:
        """Seconds per image of a pass of a batch of test images through each of ``models``, in turns."""
        batch = datasets.to_float(self.data[work.dataset].test_images[: self.spec(work).recipe.batch_size])
        return evaluation.seconds_per_image(models, batch, dtype=self.options.dtype)

    def record(
        self,
        experiment: str,
        about: Spec | str,
        setting: dict[str, object],
        metric: str,
        unit: str,
        values: Spread | float,
        over: str = "",
        *,
        dataset: str = "none",
        test_images: int = 0,
    ) -> None:
        """Add a row: ``values`` of ``metric`` at this setting. The arguments are columns of :class:`Row`.

        ``about``: the spec of a network, which tells its data too, or words where nothing was trained.
        ``test_images``: how many were tested, if it were not all.
        """
        training, commit = "", self.commit
        if isinstance(about, Spec):
            work, recipe = about.work, about.recipe
            dataset, test_images = work.dataset, test_images or about.test_images
            training = f"{recipe.epochs} epochs of {about.train_images:,} images in batches of {recipe.batch_size}"
            commit = self._commits(about)
            about = networks.title(work.network, self.data[work.dataset].classes, about.width)
        self.add_row(
            setting, values, experiment=experiment, network=about, metric=metric, unit=unit, over=over,
            dataset=dataset, training=training, test_images=test_images, commit=commit,
        )  # fmt: skip
