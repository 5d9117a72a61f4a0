"""What torch.compile makes of a caller on a GPU: it launches the kernels itself, and the results are the same.

There is no GPU here. So torch.compile takes the CPU for one, whose launches the emulator runs.
"""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from fastlif.kernels import launch, visible
from torch import nn
from torch._higher_order_ops import triton_kernel_wrap
from torch._inductor.graph import GraphLowering
from torch._inductor.utils import run_and_get_code
from torch._subclasses.fake_tensor import FakeTensorMode

import fastlif
from emulator import driver
from fastlif import LIF, MultiStep, Noise, NoisyLIF, ParametricLIF, Surrogate
from fastlif.compiled import arithmetic, graphs
from fastlif.functional import lif, noisy_lif, noisy_spike
from fastlif.operators import common
from fastlif.options import options

pytestmark = pytest.mark.skipif(not visible(), reason="torch before 2.15 keeps the operators")


@pytest.fixture
def gpu():
    from emulator import inductor  # of torch 2.15

    with inductor.on_a_gpu():
        yield


@pytest.mark.parametrize("large, index", [(False, "i32"), (True, "i64")])
def test_large_work_of_the_compiled_backend_is_indexed_in_64_bits(gpu, large, index, monkeypatch):
    codes = []
    monkeypatch.setattr(GraphLowering, "save_output_code", codes.append)
    spikes, bits = torch.empty(8, 64), torch.zeros(1, 64, dtype=torch.uint8)
    with torch._inductor.config.patch(cpu_backend="triton"):
        graphs._compile(arithmetic.unpack_bits, (), False, large, 1, 1, [*spikes], {"x": bits})
    assert f"'xnumel': '{index}'" in "".join(codes)


@pytest.fixture
def written(monkeypatch):
    """(kernel, argument) of all that the compiler takes a launch to write. It copies what it must not lose."""
    pairs, analyse = set(), triton_kernel_wrap.identify_accessed_tensors

    def noted(kernel, *arguments):
        found = analyse(kernel, *arguments)
        pairs.update((kernel.fn.__name__, tensor.name) for tensor in found.read_writes.writes)
        return found

    monkeypatch.setattr(triton_kernel_wrap, "identify_accessed_tensors", noted)
    return pairs


WRITTEN = {
    "_noisy_spike_forward_kernel": ("spikes",),
    "_noisy_spike_backward_kernel": ("grad_x",),
    "_lif_forward_kernel": ("spikes", "final_state"),
    "_lif_backward_kernel": ("grad_x", "grad_initial_state", "grad_gain", "grad_decay", "grad_threshold", "checkpoint"),
}


def images(*shape, dtype=torch.float32, memory_format=torch.contiguous_format):
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(1)).mul(1.5)
    return x.to(dtype, memory_format=memory_format)


MEAN, DEVIATION, DECAY = torch.full((4,), 0.2), torch.full((4,), 0.5), torch.tensor([0.3, 0.6, 0.9]).view(3, 1, 1)
STATE = images(2, 3, 8, 8)
X, LONG = images(4, 2, 3, 8, 8), images(20, 2, 3, 50)
CONVERTED = {"seed": 4, "statistics": (MEAN, DEVIATION)}
MIRRORED = {"over_time": "antithetic", "surrogate": Surrogate("sigmoid", at="mean")}
CASES = {
    "single step": (lambda x: noisy_spike(2 * x, seed=3, backend="triton") + x, images(4, 301)),
    "single step, at the mean": (
        lambda x: noisy_spike(x, seed=3, noise=Noise("uniform"), surrogate=Surrogate(at="mean"), backend="triton"),
        images(4, 3, 8, 8, dtype=torch.bfloat16, memory_format=torch.channels_last),
    ),
    "LIF": (lambda x: lif(x, initial_state=STATE, return_state=True, backend="triton"), X),
    "LIF, a decay of each channel": (lambda x: lif(x, decay=DECAY, reset=None, gain=0.5, backend="triton"), X),
    "LIF, over many steps": (lambda x: lif(x, reset=None, reset_delay=True, inclusive=True, backend="triton"), LONG),
    "given statistics": (lambda x: noisy_lif(x, return_state=True, backend="triton", **CONVERTED), X),
    "given statistics, mirrored": (lambda x: noisy_lif(x, **MIRRORED, backend="triton", **CONVERTED), X),
    "the same input at every step": (lambda x: lif((2 * x).expand(4, 2, 90), backend="triton"), images(2, 90)),
}  # fmt: skip


def results(function, x):
    """The outputs and the gradient of x."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    outputs = function(x)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    weights = [torch.rand(output.shape, generator=torch.Generator().manual_seed(2)) for output in outputs]
    return *outputs, *torch.autograd.grad(outputs, x, [w.to(o.dtype) for w, o in zip(weights, outputs)])


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_same_results_without_the_operator(name, gpu, written):
    function, x = CASES[name]
    expected = results(function, x)
    before = len(driver.statistics)
    found, codes = run_and_get_code(results, torch.compile(function), x)
    same(found, expected)
    assert len(driver.statistics) > before and written
    assert written <= {(kernel, f"{name}_ptr") for kernel, names in WRITTEN.items() for name in names}
    assert len(codes) == 2 and all("_kernel" in code and "ops.fastlif" not in code for code in codes)
    assert all("'backend_options': {'enable_fp_fusion': False}" in code for code in codes), "ties would differ"


def test_another_batch_size(gpu):
    model = NoisyLIF(noise=Noise("none"), backend="triton")
    for batch in (3, 6, 40):
        x = images(batch, 1000)
        same(results(torch.compile(model, dynamic=True), x), results(model, x))


def test_models(gpu):
    """A fused batch normalisation in training, a converted model that goes through MultiStep, and a learned decay."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), NoisyLIF(backend="triton"), nn.Flatten(),
                          nn.Linear(144, 5), NoisyLIF(backend="triton"))  # fmt: skip
    x = images(6, 3, 8, 8)
    learned = ParametricLIF(timesteps=2, backend="triton")
    for one in (fastlif.fuse(model), MultiStep(model, timesteps=4), learned):
        compiled = torch.compile(one, options={"fallback_random": True})
        expected, found = [], []
        for function, into in ((one, expected), (compiled, found)):
            torch.manual_seed(0)
            into.extend(results(function, x))
        same(found[:1], expected[:1])
        torch.testing.assert_close(found[1], expected[1])  # the convolutions' order of sums is the compiler's


def slope(u, width):
    return width / (1 + width * u.abs())


@triton.jit
def slope_in_triton(u, width):
    return width / (1 + width * tl.abs(u))


OWN = Surrogate(slope, triton=slope_in_triton)


@pytest.mark.parametrize("function, dynamic, directions", [
    (lambda x: lif(x, surrogate=OWN, backend="triton"), False, [True, True]),
    (lambda x: lif(x, backend="triton"), True, [True, True]),
    (lambda x: noisy_lif(x, seed=4, initial_state=STATE, return_state=True, backend="triton"), False, [True, False]),
], ids=["a surrogate of one's own", "any number of steps", "statistics of its own"])  # fmt: skip
def test_what_keeps_the_operator(function, dynamic, directions, gpu):
    """Given the statistics, the backward is a single launch."""
    found, codes = run_and_get_code(results, torch.compile(function, dynamic=dynamic), X)
    same(found, results(function, X))
    assert ["ops.fastlif" in code for code in codes] == directions


def test_an_exported_program_keeps_the_operator():
    """It may move to a CPU."""
    program = torch.export.export(LIF(timesteps=4, backend="triton"), (X.flatten(0, 1),)).run_decompositions()
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert targets[0] == torch.ops.fastlif.lif.default


def test_a_launch_on_another_gpu_keeps_the_operator(monkeypatch):
    """PyTorch itself runs a graph's launches on the current one."""
    with FakeTensorMode():
        x = torch.empty(4, 2, 90, device="cuda:1")
    shown = functools.partial(common._launches_visible, x, options(threshold=1.0, decay=0.5).text)
    assert not shown(), "there is no GPU here"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert shown()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert not shown()


KEY = """
import torch
from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCacheDetails
from emulator import driver, inductor
from fastlif import LIF

sources = AOTAutogradCacheDetails.get_triton_source_codes_from_gm


def shown(self, graph):
    print(found := sources(self, graph))
    return found


AOTAutogradCacheDetails.get_triton_source_codes_from_gm = shown
with driver.launching_nothing(), driver.on_cpu_tensors(), inductor.on_a_gpu():
    torch._functorch.config.enable_autograd_cache = torch._inductor.config.fx_graph_cache = True
    torch.compile(LIF(timesteps=2, backend="triton"))(torch.rand(4, 8))
"""


def test_what_is_kept_on_disk_ends_with_the_python_that_made_it(tmp_path):
    """From the first compilation of a process on."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    shown = subprocess.run([sys.executable, "-c", KEY], env=environment, capture_output=True, text=True, check=True)
    assert launch.DIGEST.value in shown.stdout
    assert launch.DIGEST.value == launch.digest(Path(fastlif.__file__).parent, Path(launch.__file__).parent)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "one.py").write_text("x = 1")
    before = launch.digest(tmp_path)
    (tmp_path / "inside" / ".#one.py").symlink_to("nowhere")  # as an editor does
    assert launch.digest(tmp_path) == before
    (tmp_path / "inside" / "one.py").write_text("x = 2")
    assert launch.digest(tmp_path) != before
