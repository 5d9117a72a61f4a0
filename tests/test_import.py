"""fastlif without the packages it can do without, and from the wrong folder."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = """
import sys
import torch  # which looks for these packages itself
for name in [name for name in sys.modules if name.split(".")[0] in {blocked!r}]:
    del sys.modules[name]
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
"""


def python(code, cwd=None):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, timeout=120)


@pytest.mark.parametrize("blocked", [("triton",), ("torchvision",), ("triton", "torchvision", "numpy", "sklearn")])
def test_import_without(blocked):
    result = python(
        BLOCK.format(blocked=blocked)
        + """
import fastlif
x = torch.randn(4, 2, 8)
print(fastlif.functional.noisy_lif(x, backend="reference").shape)
try:
    fastlif.functional.lif(x, backend="triton")
except RuntimeError as error:
    print(error)
"""
    )
    assert result.returncode == 0, result.stderr
    assert "torch.Size([4, 2, 8])" in result.stdout
    assert ("triton cannot be imported" in result.stdout) == ("triton" in blocked)


@pytest.mark.parametrize(("version", "works"), [("2.10.1", False), ("2.11.0", True), ("3.0.0+cpu", True)])
def test_a_torch_that_is_too_old_is_refused(version, works):
    result = python(f"""
import torch
torch.__version__ = type(torch.__version__)({version!r})
import fastlif
""")
    assert (result.returncode == 0) == works, result.stderr
    assert works or f"fastlif needs torch >= 2.11, found {version}: pip install -U torch" in result.stderr


def test_the_reference_imports_torch_alone():
    code = f"""
import importlib.util, sys
import torch
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("reference", {str(ROOT / "fastlif" / "reference.py")!r})
spec.loader.exec_module(importlib.util.module_from_spec(spec))
import sysconfig
standard = set(sys.stdlib_module_names)
print(sorted({{m.split(".")[0] for m in set(sys.modules) - before}} - standard - {{"torch", "reference"}}))
"""
    assert python(code).stdout.strip() == "[]"


def test_kernels_are_imported_under_their_own_name_only():
    result = python("import kernels", cwd=ROOT)
    assert result.returncode != 0 and "fastlif.kernels" in result.stderr
