"""benchmarks/training/datasets.py: what the loaders return, where they look and what they refuse; augmentation."""

import builtins
import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import shutil
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from refusals import tree

from benchmarks.training import datasets
from benchmarks.training.augmentation import crop_and_flip

FILES = datasets._FILES["fashion-mnist"]
TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN, TEST, HEIGHT, WIDTH, CLASSES = 12, 6, 5, 7, 3


def idx(values: torch.Tensor) -> bytes:
    """A uint8 tensor in the format of the MNIST files."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + values.numpy().tobytes()


def synthetic(seed: int) -> tuple[dict[str, torch.Tensor], dict[str, bytes]]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"{split}-images-idx3-ubyte": torch.randint(256, (count, HEIGHT, WIDTH), generator=generator)
        for split, count in (("train", TRAIN), ("t10k", TEST))
    } | {
        f"{split}-labels-idx1-ubyte": torch.arange(count) % CLASSES
        for split, count in (("train", TRAIN), ("t10k", TEST))
    }
    tensors = {name: tensor.to(torch.uint8) for name, tensor in tensors.items()}
    return tensors, {name: idx(tensor) for name, tensor in tensors.items()}


TENSORS, CONTENTS = synthetic(seed=0)
_, FOREIGN = synthetic(seed=1)


def put(folder: Path, contents: dict[str, bytes] = CONTENTS, packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)
    return folder


def check(dataset: datasets.ImageDataset) -> None:
    assert dataset.name == "fashion-mnist"
    assert dataset.classes == CLASSES and dataset.image_shape == (1, HEIGHT, WIDTH)
    for images, labels, split in (
        (dataset.train_images, dataset.train_labels, "train"),
        (dataset.test_images, dataset.test_labels, "t10k"),
    ):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        assert torch.equal(images, TENSORS[f"{split}-images-idx3-ubyte"].unsqueeze(1))
        assert torch.equal(labels, TENSORS[f"{split}-labels-idx1-ubyte"].long())


def refuse(*args, **kwargs):
    raise AssertionError("must not be called")


@pytest.fixture
def torchvision_datasets():
    try:
        from torchvision import datasets as module
    except Exception as error:  # one built for another torch fails with a RuntimeError
        pytest.skip(f"torchvision does not import: {error}")
    return module


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty data root on a machine without any data, where the synthetic files are the published ones."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setitem(datasets._FILES, "fashion-mnist", dataclasses.replace(FILES, sums=sums))
    monkeypatch.setattr(datasets, "SYSTEM_ROOT", tmp_path / "system")
    monkeypatch.setenv("FASTLIF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FASTLIF_DATA_ROOT", raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def load(root: Path | None = None, **kwargs) -> datasets.ImageDataset:
    return datasets.load("fashion-mnist", data_root=root, **kwargs)


# digits, and what needs no data


def test_digits():
    dataset = datasets.load("digits")
    assert dataset.name == "digits" and dataset.classes == 10 and dataset.image_shape == (1, 8, 8)
    assert dataset.train_images.shape == (1437, 1, 8, 8) and dataset.test_images.shape == (360, 1, 8, 8)
    assert dataset.train_images.dtype == torch.uint8 and dataset.train_labels.dtype == torch.int64
    assert dataset.train_labels.shape == (1437,) and dataset.test_labels.shape == (360,)
    levels = [round(level * 255 / 16) for level in range(17)]  # scikit-learn's 0..16
    assert dataset.train_images.unique().tolist() == levels
    share = dataset.test_labels.bincount() / (dataset.test_labels.bincount() + dataset.train_labels.bincount())
    assert (share - 360 / 1797).abs().max() < 0.01  # stratified: each class is split in the same proportion


def test_digits_are_sklearns_each_once():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    dataset = datasets.load("digits")
    images = torch.cat([dataset.train_images, dataset.test_images]).flatten(1)
    restored = (images.double() * 16 / 255).round()
    found = torch.cat([restored, torch.cat([dataset.train_labels, dataset.test_labels])[:, None]], 1)
    expected = torch.cat([torch.from_numpy(pixels), torch.from_numpy(labels)[:, None]], 1)
    assert sorted(found.tolist()) == sorted(expected.tolist())


def test_digits_split_is_fixed():
    first = datasets.load("digits")
    torch.manual_seed(1)
    second = datasets.load("digits")
    for field in dataclasses.fields(first)[1:]:
        assert torch.equal(getattr(first, field.name), getattr(second, field.name))


def test_digits_without_sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="scikit-learn.*pip install scikit-learn"):
        datasets.load("digits")


@pytest.mark.parametrize("name", datasets.NAMES)
def test_synthetic(root, name):
    data = datasets.synthetic(name, train=25, test=7, seed=3)
    assert data.name == f"synthetic {name}"
    assert data.image_shape == datasets.SHAPES[name] and data.classes == datasets.CLASSES[name]
    assert data.train_images.shape == (25, *data.image_shape) and data.test_images.shape == (7, *data.image_shape)
    assert data.train_images.dtype == torch.uint8 and data.train_images.float().std() > 50
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert sorted(data.train_labels.bincount().tolist()) == [2] * 5 + [3] * 5
    assert data.test_labels.unique().numel() == 7
    same, other = (datasets.synthetic(name, train=25, test=7, seed=seed) for seed in (3, 4))
    for field in dataclasses.fields(data)[1:]:
        assert torch.equal(getattr(data, field.name), getattr(same, field.name))
        assert not torch.equal(getattr(data, field.name), getattr(other, field.name))


def test_synthetic_knows_its_classes_from_a_single_label():
    assert datasets.synthetic("digits", train=1, test=1).classes == datasets.CLASSES["digits"]


def test_synthetic_refuses():
    with pytest.raises(ValueError, match="'cifar'.*cifar-10"):
        datasets.synthetic("cifar")
    with pytest.raises(ValueError, match="at least 1, got 0 and 5"):
        datasets.synthetic("digits", train=0, test=5)


def test_to_float():
    images = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    values = datasets.to_float(images)
    assert values.dtype == torch.float32 and values.shape == images.shape
    assert values.min() == 0 and values.max() == 1 and values.flatten()[51] == torch.tensor(0.2)
    assert images.flatten()[255] == 255


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"'fashion'.*digits, fashion-mnist, mnist, cifar-10"):
        datasets.load("fashion")


# where the files are found


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("layout", ["FashionMNIST/raw", "fashion-mnist", "."])
def test_layouts(root, tmp_path, torchvision_datasets, layout, packed):
    put(root / layout, packed=packed)
    before = tree(root)
    check(load(root))
    assert tree(root) == before  # the data root itself is never written
    if layout == "FashionMNIST/raw" and not packed:
        assert not (tmp_path / "cache").exists()
    else:
        assert tree(tmp_path / "cache" / "FashionMNIST" / "raw") == CONTENTS


def test_system_root_as_debian_fills_it(root, torchvision_datasets):
    put(datasets.SYSTEM_ROOT / "fashion-mnist", packed=True)
    check(load())


def test_environment_variable(root, monkeypatch, torchvision_datasets):
    put(root / "fashion-mnist", packed=True)
    with pytest.raises(datasets.DatasetNotFound):
        load()
    monkeypatch.setenv("FASTLIF_DATA_ROOT", str(root))
    check(load())


def test_order_of_precedence(root, tmp_path, monkeypatch, torchvision_datasets):
    """Every place holds a foreign copy; the refusal names the first. Emptied, it names the next."""
    monkeypatch.setenv("FASTLIF_DATA_ROOT", str(tmp_path / "env"))
    places = [
        base / layout
        for base in (root, tmp_path / "env", tmp_path / "system", tmp_path / "cache")
        for layout in ("FashionMNIST/raw", "fashion-mnist", "")
    ]
    for place in places:
        put(place, FOREIGN)
    for place in places:
        with pytest.raises(datasets.DatasetError) as caught:
            load(root)
        assert str(caught.value).startswith(str(place / TRAIN_IMAGES) + " ")
        for name in FOREIGN:
            (place / name).unlink()
    with pytest.raises(datasets.DatasetNotFound):
        load(root)


def test_an_incomplete_folder_is_passed_over(root, torchvision_datasets):
    (put(root / "FashionMNIST" / "raw", FOREIGN) / TRAIN_IMAGES).unlink()
    put(root / "fashion-mnist", packed=True)
    check(load(root))


def test_plain_and_gz_files_mixed(root, torchvision_datasets):
    folder = put(root / "FashionMNIST" / "raw")
    (folder / TRAIN_IMAGES).unlink()
    put(folder, {TRAIN_IMAGES: CONTENTS[TRAIN_IMAGES]}, packed=True)
    check(load(root))


def test_unpacked_files_are_preferred(root, tmp_path, torchvision_datasets):
    """torchvision's download leaves both; the plain files are read where they lie."""
    put(put(root / "FashionMNIST" / "raw"), packed=True)
    check(load(root))
    assert not (tmp_path / "cache").exists()


def test_tensors_of_old_torchvision_are_not_read(root, torchvision_datasets):
    """torchvision prefers FashionMNIST/processed/*.pt to the raw files, whose sums were checked."""
    put(root / "FashionMNIST" / "raw")
    (root / "FashionMNIST" / "processed").mkdir()
    foreign = (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    for name in ("training.pt", "test.pt"):
        torch.save(foreign, root / "FashionMNIST" / "processed" / name)
    check(load(root))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_unwritable_root(root, torchvision_datasets, packed):
    folders = [put(root / "FashionMNIST" / "raw", packed=packed), root / "FashionMNIST", root]
    for folder in folders:
        folder.chmod(0o555)
    try:
        if os.access(root, os.W_OK):
            pytest.skip("this user (root?) may write to folders without write permission")
        check(load(root))
    finally:
        for folder in folders:
            folder.chmod(0o755)


# the cache folder


def test_default_cache_folder(root, tmp_path, monkeypatch, torchvision_datasets):
    put(root / "fashion-mnist", packed=True)
    monkeypatch.delenv("FASTLIF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    check(load(root))
    assert tree(tmp_path / "xdg" / "fastlif" / "FashionMNIST" / "raw") == CONTENTS
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    check(load(root))
    assert tree(tmp_path / "home" / ".cache" / "fastlif" / "FashionMNIST" / "raw") == CONTENTS


def test_damaged_cache_is_mended_from_the_source(root, tmp_path, torchvision_datasets):
    put(root / "fashion-mnist", packed=True)
    put(tmp_path / "cache" / "FashionMNIST" / "raw", {TRAIN_IMAGES: CONTENTS[TRAIN_IMAGES][:-1]})
    check(load(root))
    assert tree(tmp_path / "cache" / "FashionMNIST" / "raw") == CONTENTS


def test_an_interrupted_write_leaves_nothing(root, tmp_path, monkeypatch):
    put(root / "fashion-mnist", packed=True)

    def fail(source, target):
        assert Path(source).parent == Path(target).parent  # a rename is atomic only within a file system
        assert Path(source).read_bytes() == CONTENTS[Path(target).name]
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(datasets.DatasetError, match="cannot write .*disk full.*FASTLIF_CACHE"):
        load(root)
    assert tree(tmp_path / "cache") == {}


def test_unusable_cache_folder(root, tmp_path):
    put(root / "fashion-mnist", packed=True)
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(datasets.DatasetError, match="cannot write .*FASTLIF_CACHE"):
        load(root)


# what is refused


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_wrong_content(root, tmp_path, name, packed):
    """One flipped bit in any of the four files: the error names the file and both sums, nothing is stored for it."""
    content = CONTENTS[name][:-1] + bytes([CONTENTS[name][-1] ^ 1])
    folder = put(root / "FashionMNIST" / "raw", CONTENTS | {name: content}, packed)
    with pytest.raises(datasets.DatasetError) as caught:
        load(root)
    assert not isinstance(caught.value, datasets.DatasetNotFound)
    message = str(caught.value)
    assert message.startswith(str(folder / name) + (".gz " if packed else " "))
    assert f"should be {hashlib.sha256(CONTENTS[name]).hexdigest()}" in message
    assert f"found {hashlib.sha256(content).hexdigest()}" in message
    assert "replace it" in message and "delete it" in message
    assert name not in {Path(path).name for path in tree(tmp_path / "cache")}


@pytest.mark.parametrize(
    "damage", ["truncated", "no trailer", "bit flipped", "bad block", "empty", "not gzip", "twice"]
)
def test_damaged_gzip(root, damage):
    path = put(root / "fashion-mnist", packed=True) / f"{TRAIN_IMAGES}.gz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "truncated": whole[:middle],
            "no trailer": whole[:-8],
            "bit flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "bad block": whole[:10] + b"\xff" + whole[11:],
            "empty": b"",
            "not gzip": b"<html>404 Not Found</html>",
            "twice": whole + whole,
        }[damage]
    )
    with pytest.raises(datasets.DatasetError) as caught:
        load(root)
    assert str(caught.value).startswith(f"{path} is damaged or another file")
    assert hashlib.sha256(CONTENTS[TRAIN_IMAGES]).hexdigest() in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_foreign_files(root, packed):
    """Well-formed files of another data set, as MNIST's are, which have the same names."""
    put(root / "FashionMNIST" / "raw", FOREIGN, packed)
    with pytest.raises(datasets.DatasetError, match="damaged or another file"):
        load(root)


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
    for base in (tmp_path / "env", tmp_path / "system", tmp_path / "cache"):
        assert str(base) in lines
    assert f"{root} (lacks {', '.join(name for name in CONTENTS if name != TRAIN_IMAGES)})" in lines
    assert "apt-get install dataset-fashion-mnist" in lines
    assert "python -m benchmarks run accuracy --dataset fashion-mnist --download" in lines


# downloading


@pytest.mark.parametrize("given", [True, False], ids=["data_root", "cache"])
def test_download(root, tmp_path, monkeypatch, torchvision_datasets, given):
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", lambda self: put(Path(self.raw_folder)))
    check(load(root if given else None, download=True))
    assert tree((root if given else tmp_path / "cache") / "FashionMNIST" / "raw") == CONTENTS
    check(load(root if given else None))  # and is found from then on


def test_no_download_of_what_is_there(root, monkeypatch, torchvision_datasets):
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", refuse)
    put(root / "fashion-mnist", packed=True)
    check(load(root, download=True))


def test_no_download_unasked(root, monkeypatch, torchvision_datasets):
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", refuse)
    with pytest.raises(datasets.DatasetNotFound):
        load(root)


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
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "download", lambda self: put(Path(self.raw_folder), FOREIGN))
    # torchvision itself would read these without complaint.
    with pytest.raises(datasets.DatasetError, match="damaged or another file"):
        load(root, download=True)


# torchvision missing or broken


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'torchvision'"), RuntimeError("operator torchvision::nms does not exist")],
    ids=["missing", "mismatched"],
)
@pytest.mark.parametrize("download", [False, True], ids=["read", "download"])
def test_torchvision_that_does_not_import(root, monkeypatch, error, download):
    if not download:
        put(root / "FashionMNIST" / "raw")
    original = builtins.__import__

    def blocked(name, *args, **kwargs):
        if name.partition(".")[0] == "torchvision":
            raise error
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ImportError, match="install the torchvision that matches the installed torch") as caught:
        load(root, download=download)
    assert torch.__version__ in str(caught.value) and str(error) in str(caught.value)


# MNIST, whose files have the names of Fashion-MNIST's


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_mnist(root, monkeypatch, torchvision_datasets, packed):
    put(root / "MNIST" / "raw", packed=packed)
    with pytest.raises(datasets.DatasetError, match="damaged or another file"):
        datasets.load("mnist", data_root=root)
    sums = datasets._FILES["fashion-mnist"].sums  # those of the synthetic files
    monkeypatch.setitem(datasets._FILES, "mnist", dataclasses.replace(datasets._FILES["mnist"], sums=sums))
    dataset = datasets.load("mnist", data_root=root)
    check(dataclasses.replace(dataset, name="fashion-mnist"))
    assert dataset.name == "mnist"


# CIFAR-10, which comes in pickles


class Python2Pickler(pickle._Pickler):
    """Writes bytes, those of an array too, as Python 2's str, as in the published files."""

    dispatch = pickle._Pickler.dispatch | {
        bytes: lambda self, value: self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
    }


def python2_pickle(content: dict) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


CIFAR_COUNT = 4  # images in each file


@pytest.fixture
def cifar(root, monkeypatch, torchvision_datasets) -> tuple[Path, dict[str, dict]]:
    """A folder with a small CIFAR-10 in the place of the published one, and what is in its batches."""
    generator = np.random.default_rng(0)
    folder, files = root / "cifar-10-batches-py", datasets._FILES["cifar-10"]
    batches = {
        name: {
            b"batch_label": b"a batch",
            b"labels": generator.integers(10, size=CIFAR_COUNT).tolist(),
            b"data": generator.integers(256, size=(CIFAR_COUNT, 3072), dtype=np.uint8),
            b"filenames": [b"image.png"] * CIFAR_COUNT,
        }
        for name in files.sums
        if name != "batches.meta"
    }
    meta = {"batches.meta": {b"label_names": [b"airplane", b"automobile"], b"num_vis": 3072}}
    put(folder, {name: python2_pickle(content) for name, content in (batches | meta).items()})
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in files.sums}
    monkeypatch.setitem(datasets._FILES, "cifar-10", dataclasses.replace(files, sums=sums))
    reader = torchvision_datasets.CIFAR10
    for split in ("train_list", "test_list"):
        monkeypatch.setattr(reader, split, [[name, sums[name]] for name, _ in getattr(reader, split)])
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": sums["batches.meta"]})
    return folder, batches


def check_cifar(dataset: datasets.ImageDataset, batches: dict[str, dict]) -> None:
    assert dataset.name == "cifar-10" and dataset.image_shape == (3, 32, 32)
    train = [f"data_batch_{i}" for i in range(1, 6)]
    for images, labels, names in (
        (dataset.train_images, dataset.train_labels, train),
        (dataset.test_images, dataset.test_labels, ["test_batch"]),
    ):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        assert images.shape == (CIFAR_COUNT * len(names), 3, 32, 32) and images.is_contiguous()
        assert labels.tolist() == [label for name in names for label in batches[name][b"labels"]]
        # Published: 1024 red values, then green, then blue, each the rows of the image one after another.
        values = np.concatenate([batches[name][b"data"] for name in names])
        assert images.flatten(1).tolist() == values.tolist()
        assert images[1, 2, 3, 4] == values[1, 2 * 1024 + 3 * 32 + 4]


def test_cifar(cifar, root, tmp_path):
    before = tree(root)
    check_cifar(datasets.load("cifar-10", data_root=root), cifar[1])
    assert tree(root) == before and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("layout", ["cifar-10", "."])
def test_cifar_in_another_folder(cifar, tmp_path, layout):
    folder, batches = cifar
    other = tmp_path / "other"
    put(other / layout, tree(folder))
    check_cifar(datasets.load("cifar-10", data_root=other), batches)
    assert tree(tmp_path / "cache" / "cifar-10-batches-py") == tree(folder)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar-10"])
def test_foreign_cifar_is_never_unpickled(cifar, root, tmp_path, name, layout):
    folder, _ = cifar
    (folder / name).write_bytes(pickle.dumps(Touch(tmp_path / "unpickled")))
    folder.rename(root / layout)
    with pytest.raises(datasets.DatasetError) as caught:
        datasets.load("cifar-10", data_root=root)
    assert str(caught.value).startswith(f"{root / layout / name} is damaged or another file: the MD5 ")
    assert not (tmp_path / "unpickled").exists()
    pickle.loads((root / layout / name).read_bytes())
    assert (tmp_path / "unpickled").exists()  # it is what would have happened


def test_damaged_cifar(cifar, root):
    path = cifar[0] / "data_batch_5"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(datasets.DatasetError, match="data_batch_5 is damaged or another file"):
        datasets.load("cifar-10", data_root=root)


def test_cifar_not_found(root):
    with pytest.raises(datasets.DatasetNotFound) as caught:
        datasets.load("cifar-10", data_root=root)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert str(root / "cifar-10-batches-py") in lines and str(root / "cifar-10") in lines
    assert "python -m benchmarks run accuracy --dataset cifar-10 --download" in lines
    assert not any("apt-get" in line for line in lines)


def test_cifar_download(cifar, tmp_path, monkeypatch, torchvision_datasets):
    folder, batches = cifar
    contents, target = tree(folder), tmp_path / "other"
    monkeypatch.setattr(
        torchvision_datasets.CIFAR10, "download", lambda self: put(Path(self.root) / self.base_folder, contents)
    )
    check_cifar(datasets.load("cifar-10", data_root=target, download=True), batches)
    check_cifar(datasets.load("cifar-10", data_root=target), batches)


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


def test_crop_and_flip_without_padding_only_flips():
    images = torch.arange(50 * 12).view(50, 2, 2, 3)
    flipped = (crop_and_flip(images, padding=0) != images).flatten(1).any(1)
    assert torch.equal(crop_and_flip(images[:0], padding=0), images[:0])
    assert 0 < flipped.sum() < 50


def test_crop_and_flip_refuses():
    with pytest.raises(ValueError, match=r"\[N, C, H, W\], got \[3, 8, 8\]"):
        crop_and_flip(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        crop_and_flip(torch.zeros(1, 3, 8, 8), padding=-1)


# Fashion-MNIST for deep networks


def test_padded_images_are_those_of_fashion_mnist(root, torchvision_datasets):
    put(root, packed=False)
    plain, padded = load(root), datasets.load(datasets.PADDED, data_root=root)
    for small, large in ((plain.train_images, padded.train_images), (plain.test_images, padded.test_images)):
        assert large.shape == (*small.shape[:2], *(size + 4 for size in small.shape[2:]))
        assert torch.equal(large[:, :, 2:-2, 2:-2], small) and large.sum() == small.sum()
    assert torch.equal(padded.train_labels, plain.train_labels) and padded.name == "fashion-mnist-32"


# the published files


def test_published_names_are_torchvisions(torchvision_datasets):
    for name in ("fashion-mnist", "mnist"):
        files = datasets._FILES[name]
        resources = getattr(torchvision_datasets, files.reader).resources
        assert sorted(file.removesuffix(".gz") for file, _ in resources) == sorted(files.sums)
        assert all(len(bytes.fromhex(value)) == 32 for value in files.sums.values())


def test_published_sums_of_cifar_are_torchvisions(torchvision_datasets):
    reader, files = torchvision_datasets.CIFAR10, datasets._FILES["cifar-10"]
    sums = dict(reader.train_list + reader.test_list) | {reader.meta["filename"]: reader.meta["md5"]}
    assert files.sums == sums and files.layout == reader.base_folder


def test_every_data_set_has_its_shape():
    assert tuple(datasets.SHAPES) == tuple(datasets.CLASSES) == datasets.NAMES


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
