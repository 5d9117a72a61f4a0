"""Launches of a kind that was launched before: without the JIT, and never with a kernel compiled for another kind."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from fastlif.kernels import bits, launch, noisy_spike
from triton import knobs, runtime
from triton.runtime.jit import JITFunction

from benchmarks.speed import host
from emulator import driver
from fastlif import kernels
from fastlif.options import options

SEED = torch.zeros(1, dtype=torch.int64)
NOISE = {"noise": "gaussian", "noise_scalars": (0.5,) * 9}
CONVERTED = {"decay": 0.5, "inv_alpha": 0.25, "beta": 0.5, **NOISE}


@pytest.fixture
def nothing_runs(monkeypatch):
    """Launches that a driver is asked for, as (grid, arguments); it launches none."""
    launches = []
    monkeypatch.setattr(driver.Launcher, "__call__", lambda self, *a: launches.append((a[:3], a[6:9], a[9:])))
    return launches


@pytest.fixture
def asked(monkeypatch):
    """The kernels that the JIT is asked for."""
    names, run = [], JITFunction.run

    def counted(kernel, *arguments, **keywords):
        names.append(kernel.__name__)
        return run(kernel, *arguments, **keywords)

    monkeypatch.setattr(JITFunction, "run", counted)
    return names


def launch_everything(rows=4, threshold=1.0):
    """Every launcher once, on ``rows * 4096`` elements a step. The size of a group is in no kind."""
    o = options(threshold=threshold, **CONVERTED)
    x, spikes, grad = (torch.empty(3, rows, 4096) for _ in range(3))
    mean, deviation, state = torch.zeros(3, 1), torch.ones(3, 1), torch.empty(rows, 4096)
    kernels.noisy_spike_forward(x, spikes, SEED, None, o)
    kernels.noisy_spike_backward(spikes, x, grad, SEED, None, o)
    kernels.lif_forward(x, 3, spikes, state, None, mean, deviation, SEED, None, None, o)
    kernels.lif_backward(spikes, None, x, 3, None, grad, None, mean, deviation, SEED, None, None, (False,) * 3, o)
    kernels.noisy_lif_forward(x, spikes, None, state, mean, deviation, SEED, o)
    bits = torch.empty(3, rows * 512, dtype=torch.uint8)
    kernels.pack_bits(x.view(3, -1), bits)
    kernels.unpack_bits(bits, x.view(3, -1))


def test_the_jit_is_asked_once(nothing_runs, asked):
    launch_everything(threshold=1.25)
    assert len(asked) == len(set(asked)) == 7
    first = list(nothing_runs)
    launch_everything(rows=64, threshold=1.25)
    assert len(asked) == 7, "another batch size is no other kind"
    for threshold in (1.25, 1.5):
        del nothing_runs[:]
        launch_everything(threshold=threshold)
        assert len(asked) == 7, "another threshold is no other kind"
        for (grid, _, arguments), (again, _, others) in zip(first, nothing_runs, strict=True):
            assert grid == again
            for one, other in zip(arguments, others, strict=True):
                if isinstance(one, torch.Tensor):
                    assert one.shape == other.shape
                else:
                    assert other == (threshold if one == 1.25 else one)


def test_the_numbers_of_a_record_are_not_compiled_in():
    """A kernel is compiled for the types of numbers. Whatever else a record holds is part of the kind."""
    o = options(threshold=0.7, decay=0.3, inv_alpha=0.2, beta=0.4, surrogate_width=3.0, reset=0.1, **NOISE)
    same = options(threshold=1.0, decay=0.0, inv_alpha=1.0, beta=-0.0, surrogate_width=1e300, reset=math.inf,
                   noise="gaussian", noise_scalars=(1.0,) * 9)  # fmt: skip
    assert o.choices == same.choices and o is not same
    others = {"noise": "uniform", "noise_scalars": (0.5,) * 2, "over_time": "antithetic", "surrogate": "sigmoid",
              "surrogate_at": "mean", "reset": None, "detach_reset": True, "backend": "triton"}  # fmt: skip
    values = {field.name: getattr(o, field.name) for field in dataclasses.fields(o)}
    for name, value in others.items():
        assert options(**values | {name: value}).choices != o.choices, name
    binder = noisy_spike._noisy_spike_forward_kernel.device_caches[0][4]
    x = torch.empty(64)
    keys = set()
    for record in (o, same):
        keys.add(str(binder(x, x, None, None, None, None, None, SEED, 1, 1, 64, *record.noise_scalars, record.threshold,
                            NOISE="gaussian", CHANNELS_LAST=True, RUN=0, ROWS=8, COLS=256, VECTOR=4)[1]))  # fmt: skip
    assert len(keys) == 1


def test_a_layer_of_any_size_is_two_kinds(nothing_runs, asked):
    """One program for the whole layer, or several of them."""
    for numel in (2048, 4096, 1 << 14, 1 << 16, 3 << 16, 1 << 20, 1 << 25):
        x = torch.empty(1, dtype=torch.float16).expand(3, 1, numel)  # nothing is read
        state, statistics = torch.empty(1).expand(1, numel), torch.empty(3, 1)
        o = options(threshold=0.75, **CONVERTED)
        kernels.noisy_lif_forward(x, x, None, state, statistics, statistics, SEED, o)
    assert len(asked) == 2


def test_steps_share_a_key(nothing_runs, monkeypatch):
    computed = []
    varying = launch.varying
    monkeypatch.setattr(launch, "varying", lambda *a: computed.append(1) or varying(*a))
    x, state, statistics = torch.empty(10, 1, 1 << 14), torch.empty(1, 1 << 14), torch.empty(10, 1)
    kernels.noisy_lif_forward(x, x, None, state, statistics, statistics, SEED, options(threshold=1.0, **CONVERTED))
    assert len(computed) == 1 and [arguments[:2] for *_, arguments in nothing_runs] == [(t, t) for t in range(10)]


def test_what_a_launch_costs_the_host_is_measured_without_launching(monkeypatch):
    rows, before = [], vars(runtime.driver).copy()

    def record(experiment, about, setting, metric, unit, values, over):
        rows.append((setting, metric, values))

    monkeypatch.setattr(host, "SECONDS", 0.0)
    monkeypatch.setattr(host, "CALLS", 5)
    lab = SimpleNamespace(device=torch.device("cpu"), record=record, say=print)
    launched, call = [], driver.Launcher.__call__
    monkeypatch.setattr(driver.Launcher, "__call__", lambda *a: launched.append(1) or call(*a))
    host._beside_jit(lab)
    assert not launched and vars(runtime.driver) == before
    ratios = {setting["launch"]: values for setting, metric, values in rows if metric.startswith("time of the JIT")}
    assert [*ratios] == [*host.LAUNCHES] and all(1 < ratio.median < 100 for ratio in ratios.values()), ratios
    ten, one = ([values.median for setting, metric, values in rows if setting["launch"] == name and metric == "time"]
                for name in ("statistics of the layer, T = 10", "single step"))  # fmt: skip
    assert all(4 < some / single < 100 for some, single in zip(ten, one)), "ten launches by both"


def tensors():
    for dtype, offset in itertools.product((torch.float16, torch.bfloat16, torch.float32), (0, 1, 2, 4, 8)):
        yield torch.empty(64, dtype=dtype)[offset:]


SIZES = [0, 1, 2, 15, 16, 17, 32, 2**31 - 16, 2**31 - 1, 2**31, 2**31 + 1, 2**35, 2**35 + 1]


def test_equal_kinds_are_compiled_alike():
    """Triton's own key, for everything that a kind holds."""
    kernel = bits._pack_bits_kernel
    binder = kernel.device_caches[0][4]
    kinds = {}
    for spikes, packed, size in itertools.product(tensors(), (None, *list(tensors())[:2]), SIZES):
        kind = launch.varying((spikes, packed), (size,))
        kinds.setdefault(kind, set()).add(str(binder(spikes, packed, size, ROWS=1, COLS=1, VECTOR=1)[1]))
    assert all(len(compiled) == 1 for compiled in kinds.values())
    assert len(kinds) == len({next(iter(compiled)) for compiled in kinds.values()}), "no more kinds than kernels"


def test_equal_kinds_are_compiled_alike_for_amd(monkeypatch):
    from triton.backends.amd.compiler import HIPBackend

    monkeypatch.setattr(torch.version, "hip", "6.0")
    kinds = {}
    for size, offset in itertools.product((64, 2**30 - 1, 2**30, 2**30 + 16), (0, 1, 8)):
        storage = torch.UntypedStorage(2 * size, device="meta")
        tensor = torch.empty(0, dtype=torch.float16, device="meta").set_(storage, offset, (32,), (1,))
        kinds.setdefault(launch.varying((tensor,), ()), set()).add(
            HIPBackend.get_tensor_specialization(tensor, align=True)
        )
    assert len(kinds) > 1 and all(len(compiled) == 1 for compiled in kinds.values())


def test_hooks_are_called(nothing_runs):
    launch_everything()
    del nothing_runs[:]
    hook = lambda metadata: None  # noqa: E731
    knobs.runtime.launch_enter_hook.add(hook)
    try:
        launch_everything()
    finally:
        knobs.runtime.launch_enter_hook.remove(hook)
    for _, (metadata, enter, _), _ in nothing_runs:
        assert enter is knobs.runtime.launch_enter_hook and metadata.get()["name"].endswith("_kernel")


def test_arguments_out_of_order_are_told():
    bits_, spikes = torch.empty(2, dtype=torch.uint8), torch.empty(8, 2)
    with pytest.raises(TypeError, match="_pack_bits_kernel is launched with"):
        launch.launch(bits._pack_bits_kernel, (1, 1, 1), {"bits_ptr": bits_, "spikes_ptr": spikes}, {"numel": 2}, dict)
