"""fastlif built, installed outside the checkout, and used there in poorer and poorer environments."""

import ast
import importlib.metadata
import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import fastlif

ROOT = Path(__file__).parents[2]
CODE = {str(path.relative_to(ROOT)) for path in (ROOT / "fastlif").rglob("*.py")} | {"fastlif/py.typed"}
CODE |= {f"fastlif/kernels/{path.name}" for path in (ROOT / "kernels").glob("*.py")}


def python(*arguments, cwd, works=True, **variables):
    """What a Python process prints, or its errors if it is not to work; a variable that is None is taken away."""
    environment = {name: str(value) for name, value in (os.environ | variables).items() if value is not None}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    assert (result.returncode == 0) == works, result.stdout + result.stderr
    return result.stdout if works else result.stderr


# --- Building and installing, all without a network -------------------------------------------------------------------


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The sdist, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("packages")
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "out", "results")
    tree = shutil.copytree(ROOT, folder / "tree", ignore=left_out)
    python("-c", f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})", cwd=tree)
    (sdist,) = folder.glob("*.tar.gz")
    python("-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", sdist, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(packages, tmp_path_factory):
    """The folder that the wheel is installed into."""
    folder = tmp_path_factory.mktemp("installed")
    python("-m", "pip", "install", "--no-deps", "--no-index", "--target", folder, packages[1], cwd=folder)
    return folder


@pytest.mark.full
def test_the_packages_hold_what_they_should_and_no_more(packages):
    """The wheel proves that the sdist has what a build needs."""
    with tarfile.open(packages[0]) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert "README.md" in files and not [name for name in files if name.startswith(("tests", "benchmarks"))]
    assert packages[1].name.endswith("py3-none-any.whl")
    with zipfile.ZipFile(packages[1]) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == CODE


@pytest.mark.full
def test_metadata(installed):
    (folder,) = installed.glob("*.dist-info")
    distribution = importlib.metadata.Distribution.at(folder)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    metadata = distribution.metadata
    assert metadata["Version"] == fastlif.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    required = [line.replace('"', "'") for line in distribution.requires if "extra ==" not in line]
    assert required == project["dependencies"]
    assert f"torch>={fastlif.requirements.OLDEST_TORCH}" in required, "what the import asks for and what pip is told"
    assert metadata["License-Expression"] == "MIT" and (folder / "licenses" / "LICENSE").is_file()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Description"].strip() == (ROOT / "README.md").read_text().strip()


# --- Using it there ---------------------------------------------------------------------------------------------------

USE = """
from pathlib import Path
import torch
import fastlif
assert Path(fastlif.__file__).parent == Path.cwd() / "fastlif"

def train(backend):
    x = torch.rand(4, 2, 8, requires_grad=True)
    fastlif.functional.noisy_lif(x, backend=backend).sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()

train("reference")
try:
    train({backend!r})
except RuntimeError as error:
    print(error)
else:
    print("it runs")
"""
# torch looks for these packages itself, so they are taken away after it was imported.
BLOCK = """
import sys
import torch
for name in [name for name in sys.modules if name.split(".")[0] in {blocked!r}]:
    del sys.modules[name]
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
"""
INTERPRETER = {"TRITON_INTERPRET": "1"}
CPU = {"TRITON_INTERPRET": None, "CUDA_VISIBLE_DEVICES": ""}
ENVIRONMENTS = {  # packages that are blocked, variables, the backend asked for, and what its error says
    "complete": ((), INTERPRETER, "triton", "it runs"),
    "with torch alone": (
        ("triton", "torchvision", "numpy", "sklearn", "matplotlib", "tqdm", "setuptools"), CPU, "triton",
        "triton cannot be imported (triton is blocked); install it with",
    ),
    "without a C++ compiler": ((), CPU | {"PATH": "", "CXX": None}, "auto", "install g++, or set"),
    "without a GPU": ((), CPU, "triton", "the input is on the CPU, where Triton runs only in its interpreter"),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_first_steps(installed, environment):
    """A forward and a backward on the reference anywhere; what cannot run says why, and what to install."""
    blocked, variables, backend, message = ENVIRONMENTS[environment]
    code = BLOCK.format(blocked=blocked) + USE.format(backend=backend)
    assert message in python("-c", code, cwd=installed, PYTHONPATH=installed, **variables)


@pytest.mark.full
@pytest.mark.parametrize(("version", "works"), [("2.10.1", False), ("2.11.0", True), ("3.0.0+cpu", True)])
def test_a_torch_that_is_too_old_is_refused(version, works, installed):
    code = f"import torch; torch.__version__ = type(torch.__version__)({version!r}); import fastlif"
    output = python("-c", code, cwd=installed, works=works)
    assert works or f"fastlif needs torch >= 2.11, found {version}: pip install -U torch" in output


@pytest.mark.full
@pytest.mark.parametrize("beside", ["nothing", "a wheel"])
def test_from_the_root_of_a_checkout(beside, installed, tmp_path):
    """Its folder fastlif, without the kernels in it, comes before what pip installed: the kernels beside it count."""
    for folder in ("fastlif", "kernels"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    site = [installed] if beside == "a wheel" else []
    path = os.pathsep.join(map(str, (*site, *(folder for folder in sys.path if folder.endswith("site-packages")))))
    # -S: no editable install maps fastlif.kernels to another checkout.
    code = USE.format(backend="triton") + "\nimport fastlif.kernels\nprint(fastlif.kernels.__file__)"
    output = python("-S", "-c", code, cwd=tmp_path, PYTHONPATH=path, **INTERPRETER)
    assert output.split("\n")[:2] == ["it runs", str(tmp_path / "kernels" / "__init__.py")]


BROKEN = 'raise RuntimeError("operator torchvision::nms does not exist")'  # built for another torch than this one
WITHOUT_TORCHVISION = """
from torch import nn
import torch
import fastlif
from benchmarks.training import datasets, lab, networks, presets
assert len(datasets.load("digits").train_images) == 1437
assert networks.build("small", (1, 8, 8), 10, activation=fastlif.NoisyLIF)
for name in ("vgg16", "resnet18"):
    try:
        networks.build(name, (3, 32, 32), 10, activation=fastlif.NoisyLIF)
    except ImportError as error:
        print(error)
bench = lab.Lab(presets.Options(datasets=("cifar-10", "digits"), synthetic=True), torch.device("cpu"))
assert [work.dataset for work in bench.data.workloads() + bench.data.timed_only()] == ["digits"]
"""


@pytest.mark.full
def test_a_torchvision_for_another_torch(tmp_path):
    """Nothing but what is made by torchvision is lost, and that says what to install."""
    (tmp_path / "torchvision.py").write_text(BROKEN)
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    output = python("-c", WITHOUT_TORCHVISION, cwd=ROOT, PYTHONPATH=path)
    sentence = "through torchvision, which does not import here (RuntimeError: operator torchvision::nms"
    assert output.count(sentence) == output.count("install the torchvision that matches the installed torch") == 5
    for name in ("cifar-10 is left out: cifar-10 is read", "vgg16 is left out: it is", "resnet18 is left out: it is"):
        assert name in output


# --- Imports ----------------------------------------------------------------------------------------------------------


def test_the_reference_imports_torch_alone():
    """And the noise and the options, which it is made of."""
    allowed = {"torch", *sys.stdlib_module_names}
    for file, ours in (("reference.py", {"fastlif.noise"}), ("noise.py", {"fastlif.options"}), ("options.py", set())):
        tree = ast.walk(ast.parse((ROOT / "fastlif" / file).read_text()))
        names = [[node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                 for node in tree if isinstance(node, (ast.Import, ast.ImportFrom))]  # fmt: skip
        found = set(itertools.chain(*names))
        assert found - allowed == ours


def test_what_few_users_need_is_imported_where_it_is_needed():
    code = """
import sys, torch
before = set(sys.modules)
import benchmarks.training.datasets, fastlif, fastlif.plot
rare = {"fastlif.exchange.nir_graph", "h5py", "matplotlib", "nir", "sklearn", "torchvision", "tqdm"}
print(sorted(rare & set(sys.modules) - before))
"""
    assert python("-c", code, cwd=ROOT).strip() == "[]"


def test_kernels_are_imported_under_their_own_name_only():
    assert "fastlif.kernels" in python("-c", "import kernels", cwd=ROOT, works=False)
