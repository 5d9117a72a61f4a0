"""benchmarks/training/datasets.py: what the loaders return, where they look and what they refuse; augmentation."""

import dataclasses
import functools
import gzip
import hashlib
import pickle
import shutil
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from counts import COUNTS
from refusals import refused, tree

from benchmarks.training import datasets
from benchmarks.training.augmentation import crop_and_flip

LAYOUTS = ("FashionMNIST/raw", "fashion-mnist", ".")
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
_, FOREIGN = small(seed=1)
PACKED = gzip.compress(CONTENTS[TRAIN_IMAGES], mtime=0)
OTHERS = {name: content for name, content in CONTENTS.items() if name != TRAIN_IMAGES}


def put(folder: Path, contents: dict[str, bytes] = CONTENTS, packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)
    return folder


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
    """An empty data root on a machine without any data, where the small files are the published ones."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    files = dataclasses.replace(datasets._FILES["fashion-mnist"], sums=sums)
    monkeypatch.setitem(datasets._FILES, "fashion-mnist", files)
    (tmp_path / "data").mkdir()
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
    ("unknown data set 'fashion'; known are digits, fashion-mnist, mnist, cifar-10", lambda: load(name="fashion")),
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

KINDS = {
    "plain": put,
    "gz": functools.partial(put, packed=True),
    "mixed": lambda folder: put(put(folder, OTHERS), {TRAIN_IMAGES: CONTENTS[TRAIN_IMAGES]}, packed=True),
    "both": lambda folder: put(put(folder), packed=True),  # torchvision's download leaves both
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(root, tmp_path, torchvision_datasets, layout, kind):
    """What torchvision can read is read where it lies, all else from the cache. The data root is never written."""
    KINDS[kind](root / layout)
    before = tree(root)
    check(load(root))
    assert tree(root) == before
    if layout == "FashionMNIST/raw" and kind in ("plain", "both"):
        assert not (tmp_path / "cache").exists()
    else:
        assert tree(tmp_path / "cache" / "FashionMNIST" / "raw") == CONTENTS


def test_order_of_precedence(root, tmp_path, monkeypatch):
    """Every place holds a foreign copy; the refusal names the first. Without one of its files, it names the next."""
    monkeypatch.setenv("FASTLIF_DATA_ROOT", str(tmp_path / "env"))
    bases = root, tmp_path / "env", tmp_path / "system", tmp_path / "cache"
    places = [put(base / layout, FOREIGN) for base in bases for layout in LAYOUTS]
    for place in places:
        with refused(datasets.DatasetError, f"{place / TRAIN_IMAGES} is damaged or another file"):
            load(root)
        (place / TRAIN_IMAGES).unlink()
    with refused(datasets.DatasetNotFound, "no complete copy"):
        load(root)


def test_tensors_of_old_torchvision_are_not_read(root, torchvision_datasets):
    """torchvision prefers FashionMNIST/processed/*.pt to the raw files, whose sums were checked."""
    put(root / "FashionMNIST" / "raw")
    (root / "FashionMNIST" / "processed").mkdir()
    foreign = (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    for name in ("training.pt", "test.pt"):
        torch.save(foreign, root / "FashionMNIST" / "processed" / name)
    check(load(root))


def test_default_cache_folder(root, tmp_path, monkeypatch, torchvision_datasets):
    put(root, packed=True)
    monkeypatch.delenv("FASTLIF_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    check(load(root))
    assert tree(tmp_path / "xdg" / "fastlif" / "FashionMNIST" / "raw") == CONTENTS
    monkeypatch.delenv("XDG_CACHE_HOME")
    check(load(root))
    assert tree(tmp_path / "home" / ".cache" / "fastlif" / "FashionMNIST" / "raw") == CONTENTS


def test_damaged_cache_is_mended_from_the_source(root, tmp_path, torchvision_datasets):
    put(root, packed=True)
    cache = put(tmp_path / "cache" / "FashionMNIST" / "raw", {TRAIN_IMAGES: CONTENTS[TRAIN_IMAGES][:-1]})
    check(load(root))
    assert tree(cache) == CONTENTS


def test_unusable_cache_folder(root, tmp_path):
    put(root, packed=True)
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(datasets.DatasetError, match="cannot write .*FASTLIF_CACHE"):
        load(root)


# what is refused


def refuse(folder: Path, phrase: str) -> None:
    """With that phrase, and nothing is stored."""
    with refused(datasets.DatasetError, phrase, folder.parent):
        load(folder)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_wrong_content(root, name, packed):
    """One flipped bit in any of the four files: the error names the file and both sums."""
    content = CONTENTS[name][:-1] + bytes([CONTENTS[name][-1] ^ 1])
    path = put(root, CONTENTS | {name: content}, packed) / (name + ".gz" * packed)
    expected, found = (hashlib.sha256(one).hexdigest() for one in (CONTENTS[name], content))
    refuse(root, f"{path} is damaged or another file: the SHA256 of its unpacked content should be {expected}, found "
                 f"{found}; replace it by a good copy, or delete it")  # fmt: skip


@pytest.mark.parametrize("phrase, damage", [
    ("no complete copy of fashion-mnist was found", lambda folder: folder.write_text("not a folder")),
    (f"(lacks {TRAIN_IMAGES})", lambda folder: put(folder, OTHERS)),
    (f"(lacks {TRAIN_IMAGES})", lambda folder: (put(folder, OTHERS) / TRAIN_IMAGES).mkdir()),
    (f"(lacks {TRAIN_IMAGES})", lambda folder: (put(folder, OTHERS) / TRAIN_IMAGES).symlink_to("nowhere")),
    (f"{TRAIN_IMAGES} is damaged or another file",
     lambda folder: put(folder, CONTENTS | {TRAIN_IMAGES: CONTENTS[TRAIN_IMAGES] + b"\n"})),
    (f"{TRAIN_IMAGES} is damaged or another file",
     lambda folder: put(folder, CONTENTS | {TRAIN_IMAGES: gzip.compress(CONTENTS[TRAIN_IMAGES])})),
    (f"{TRAIN_IMAGES}.gz is damaged or another file", lambda folder: put(folder, FOREIGN, packed=True)),
    (f"{TRAIN_IMAGES}.gz is damaged or another file",
     lambda folder: put(folder, {f"{name}.gz": content for name, content in CONTENTS.items()})),
    (f"{TRAIN_IMAGES}.gz is damaged or another file",
     lambda folder: put(put(folder, OTHERS, packed=True), {f"{TRAIN_IMAGES}.gz": PACKED[:10] + b"\xff" + PACKED[11:]})),
], ids=["a file for a folder", "a file less", "a folder for a file", "a link to nothing", "a byte more",
        "packed without .gz", "foreign", ".gz that is not packed", "a bad block"])  # fmt: skip
def test_files_that_are_not_the_data_set(root, phrase, damage):
    damage(root / "fashion-mnist")
    refuse(root, phrase)


def damages(content, count=50):
    """The content cut short at as many lengths, then with a bit flipped at as many places, the last byte too."""
    places = [round(i * (len(content) - 1) / (count - 1)) for i in range(count)]
    yield from (content[:i] for i in places)
    yield from (content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :] for i in places)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_a_data_file_cut_short_or_altered_anywhere(root, torchvision_datasets, packed):
    """50 lengths and 50 bytes: refused by name, unless what is unpacked is what was published all the same."""
    path = put(root, packed=packed) / (TRAIN_IMAGES + ".gz" * packed)
    for content in damages(path.read_bytes()):
        path.write_bytes(content)
        try:
            check(load(root))
            assert packed and gzip.decompress(content) == CONTENTS[TRAIN_IMAGES]
        except datasets.DatasetError as error:
            assert str(error).startswith(f"{path} is damaged or another file")
            assert hashlib.sha256(CONTENTS[TRAIN_IMAGES]).hexdigest() in str(error)
            assert error.__cause__ is None and error.__context__ is None
        COUNTS["faults injected"] += 1


def test_nothing_found(root, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTLIF_DATA_ROOT", str(tmp_path / "env"))
    put(root, {TRAIN_IMAGES: CONTENTS[TRAIN_IMAGES]})
    with pytest.raises(FileNotFoundError) as caught:
        load(root)
    assert isinstance(caught.value, datasets.DatasetNotFound)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    lines = [line.strip() for line in str(caught.value).splitlines()]
    for base in (root, tmp_path / "env", tmp_path / "system", tmp_path / "cache"):
        assert str(base / "FashionMNIST" / "raw") in lines and str(base / "fashion-mnist") in lines
        assert str(base) in lines or base == root
    assert f"{root} (lacks {', '.join(OTHERS)})" in lines
    assert "apt-get install dataset-fashion-mnist" in lines
    assert "python -m benchmarks run accuracy --dataset fashion-mnist --download" in lines
    with pytest.raises(datasets.DatasetNotFound, match="run accuracy --dataset cifar-10 --download") as caught:
        load(root, "cifar-10")
    assert "apt-get" not in str(caught.value)


# downloading


@pytest.mark.parametrize("given", [True, False], ids=["data_root", "cache"])
def test_download(root, tmp_path, monkeypatch, torchvision_datasets, given):
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", lambda self: put(Path(self.raw_folder)))
    check(load(root if given else None, download=True))
    assert tree((root if given else tmp_path / "cache") / "FashionMNIST" / "raw") == CONTENTS
    check(load(root if given else None))  # and is found from then on


def test_no_download_unasked_or_of_what_is_there(root, monkeypatch, torchvision_datasets):
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", lambda self: pytest.fail("it was called"))
    with pytest.raises(datasets.DatasetNotFound):
        load(root)
    put(root, packed=True)
    check(load(root, download=True))


@pytest.mark.parametrize(
    "error", [URLError("no network"), RuntimeError("Error downloading\nTried it, got:\nno network\n")], ids=repr
)
def test_download_without_network(root, monkeypatch, torchvision_datasets, error):
    def fail(self):
        raise error

    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", fail)
    with pytest.raises(datasets.DatasetError, match="could not download FashionMNIST into .*no network") as caught:
        load(root, download=True)
    assert str(root) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_downloaded_files_are_checked(root, monkeypatch, torchvision_datasets):
    """torchvision itself would read these without complaint."""
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", lambda self: put(Path(self.raw_folder), FOREIGN))
    with pytest.raises(datasets.DatasetError, match="damaged or another file"):
        load(root, download=True)


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'torchvision'"), RuntimeError("operator torchvision::nms does not exist")],
    ids=["missing", "mismatched"],
)
@pytest.mark.parametrize("download", [False, True], ids=["read", "download"])
def test_torchvision_that_does_not_import(root, break_torchvision, error, download):
    if not download:
        put(root / "FashionMNIST" / "raw")
    break_torchvision(error)
    message = f"which does not import here ({type(error).__name__}: {error}); install the torchvision that matches the "
    with refused(ImportError, f"{message}installed torch {torch.__version__}"):
        load(root, download=download)


# MNIST, whose files have the names of Fashion-MNIST's


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_mnist(root, monkeypatch, torchvision_datasets, packed):
    put(root / "MNIST" / "raw", packed=packed)
    with pytest.raises(datasets.DatasetError, match="damaged or another file"):
        load(root, "mnist")
    sums = datasets._FILES["fashion-mnist"].sums  # those of the small files
    monkeypatch.setitem(datasets._FILES, "mnist", dataclasses.replace(datasets._FILES["mnist"], sums=sums))
    check(load(root, "mnist"), "mnist")


# CIFAR-10, which comes in pickles


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


CIFAR_COUNT = 4  # images in each file


@pytest.fixture
def cifar(root, monkeypatch, torchvision_datasets) -> tuple[dict[str, bytes], dict[str, dict]]:
    """The files of a small CIFAR-10 in the place of the published one, and what is in its batches."""
    generator, files = np.random.default_rng(0), datasets._FILES["cifar-10"]
    batches = {
        name: {
            "labels": generator.integers(10, size=CIFAR_COUNT).tolist(),
            "data": generator.integers(256, size=(CIFAR_COUNT, 3072), dtype=np.uint8),
        }
        for name in files.sums
        if name != "batches.meta"
    }
    meta = {"batches.meta": {"label_names": ["airplane", "automobile"]}}
    contents = {name: pickle.dumps(content) for name, content in (batches | meta).items()}
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(datasets._FILES, "cifar-10", dataclasses.replace(files, sums=sums))
    reader = torchvision_datasets.CIFAR10
    for split in ("train_list", "test_list"):
        monkeypatch.setattr(reader, split, [[name, sums[name]] for name, _ in getattr(reader, split)])
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": sums["batches.meta"]})
    return contents, batches


@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar-10", "."])
def test_cifar(cifar, root, tmp_path, layout):
    contents, batches = cifar
    put(root / layout, contents)
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
    assert tree(root / layout) == contents
    cache = tree(tmp_path / "cache" / "cifar-10-batches-py")
    assert cache == ({} if layout == "cifar-10-batches-py" else contents)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar-10"])
def test_foreign_cifar_is_never_unpickled(cifar, root, tmp_path, name, layout):
    foreign = pickle.dumps(Touch(tmp_path / "unpickled"))
    put(root / layout, cifar[0] | {name: foreign})
    with refused(datasets.DatasetError, f"{root / layout / name} is damaged or another file: the MD5 ", tmp_path):
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


# Fashion-MNIST for deep networks


def test_padded_images_are_those_of_fashion_mnist(root, torchvision_datasets):
    put(root)
    plain, padded = load(root), load(root, datasets.PADDED)
    for small, large in ((plain.train_images, padded.train_images), (plain.test_images, padded.test_images)):
        assert large.shape == (*small.shape[:2], *(size + 4 for size in small.shape[2:]))
        assert torch.equal(large[:, :, 2:-2, 2:-2], small) and large.sum() == small.sum()
    assert torch.equal(padded.train_labels, plain.train_labels) and padded.name == "fashion-mnist-32"


# the published files


def test_published_names_and_sums_are_torchvisions(torchvision_datasets):
    for name in ("fashion-mnist", "mnist"):
        files = datasets._FILES[name]
        resources = getattr(torchvision_datasets, files.reader).resources
        assert sorted(file.removesuffix(".gz") for file, _ in resources) == sorted(files.sums)
    reader, files = torchvision_datasets.CIFAR10, datasets._FILES["cifar-10"]
    sums = dict(reader.train_list + reader.test_list) | {reader.meta["filename"]: reader.meta["md5"]}
    assert files.sums == sums and files.layout == reader.base_folder


def test_published_files(tmp_path, monkeypatch, torchvision_datasets):
    monkeypatch.setenv("FASTLIF_CACHE", str(tmp_path / "cache"))
    try:
        dataset = load()
    except datasets.DatasetNotFound:
        pytest.skip("Fashion-MNIST is not on this machine: apt-get install dataset-fashion-mnist")
    finally:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert dataset.train_images.shape == (60_000, 1, 28, 28) and dataset.test_images.shape == (10_000, 1, 28, 28)
    assert dataset.classes == 10 and dataset.image_shape == (1, 28, 28)
    assert dataset.train_labels.bincount().tolist() == [6_000] * 10
    assert dataset.test_labels.bincount().tolist() == [1_000] * 10
    # The mean of the training images that everyone's normalisation uses.
    assert datasets.to_float(dataset.train_images).mean().item() == pytest.approx(0.2860, abs=1e-4)
