"""The data sets on the device, and what there is to work on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.training import datasets
from benchmarks.training.presets import FORMS, WORKLOADS, Options


@dataclass(frozen=True)
class Work:
    """What an experiment is done on."""

    dataset: str
    network: str


@dataclass
class Data:
    """A data set on the device."""

    train_images: Tensor  # [N, C, H, W] uint8
    train_labels: Tensor  # [N]
    test_images: Tensor  # [M, C, H, W] uint8
    test_labels: Tensor  # [M]
    shape: tuple[int, int, int]
    classes: int


class Sets:
    """The data sets on the device by their names, each loaded once. What is left out is said once, through ``say``."""

    def __init__(self, options: Options, device: torch.device, say: Callable[[str], None]):
        self._options, self._device, self._say, self._form = options, device, say, FORMS[options.form]
        self._loaded: dict[str, Data] = {}
        self._missing: set[str] = set()  # data sets and networks that were left out

    def __getitem__(self, name: str) -> Data:
        """A data set, cut to the form's size, on the device."""
        if name not in self._loaded:
            if name.startswith("synthetic "):
                name_of_shape = name.removeprefix("synthetic ")
                small = "small" in WORKLOADS[name_of_shape]
                of_form = self._form.batch_size if small else self._form.large_batch_size
                count = (self._options.batch_size or of_form) * self._form.throughput_batches
                found = datasets.synthetic(name_of_shape, train=count, test=count)
            else:
                found = datasets.load(name, data_root=self._options.data_root, download=self._options.download)
            train, test = self._options.limit, self._options.limit or self._form.test_images
            tensors = found.train_images[:train], found.train_labels[:train]
            tensors += found.test_images[:test], found.test_labels[:test]
            on_device = (tensor.to(self._device) for tensor in tensors)
            self._loaded[name] = Data(*on_device, found.image_shape, found.classes)
        return self._loaded[name]

    def workloads(self, *, large: bool = True) -> list[Work]:
        """What is trained for its accuracy: the data sets found here, with Table 1's networks or its small one."""
        wanted = [Work(dataset, network) for dataset in self._options.datasets for network in WORKLOADS[dataset]]
        large = large and (self._form.large or self._options.width is not None)
        wanted = [work for work in wanted if (large or work.network == "small") and self._has(work.dataset)]
        return [work for work in wanted if self.can_build(work.network)]

    def timed_only(self) -> list[Work]:
        """Workloads that are timed, not trained: large networks in the quick form, and all without their data.

        Table 1's small network is timed if no data set for it is here.
        """
        found = self.workloads()
        names = [(name, name if self._has(name) else f"synthetic {name}") for name in self._options.datasets]
        works = [Work(dataset, network) for name, dataset in names for network in WORKLOADS[name]]
        small = any(work.network == "small" for work in found)
        works = [work for work in works if work not in found and not (small and work.network == "small")]
        works = [work for work in works if self._options.synthetic or not work.dataset.startswith("synthetic")]
        return [work for work in works if self.can_build(work.network)]

    def _has(self, dataset: str) -> bool:
        try:
            self[dataset]
        except datasets.DatasetNotFound as error:
            hint = "" if self._options.synthetic else "; --synthetic measures throughput on data of its shape"
            return self._leave_out(dataset, f"{error}{hint}")
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
            self._say(f"{name} is left out: {reason}")
        return False
