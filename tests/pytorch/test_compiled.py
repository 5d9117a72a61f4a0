"""The CPU path: the compiled reference against the plain one, and that it is not compiled over and over."""

import itertools

import pytest
import sympy
import torch
from helpers import DTYPES, check_against_reference, sample
from profiles import PROFILE
from torch._inductor.utils import run_and_get_cpp_code
from torch.fx.experimental import symbolic_shapes

from benchmarks.speed.measure import peak_memory
from fastlif import LIF, Noise, NoisyLIF, Surrogate, batch_norm_neuron, reference
from fastlif.compiled import graphs, launchers
from fastlif.functional import lif, noisy_lif, noisy_spike

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the kernels are the path")

GIVEN = torch.tensor([0.0, 0.15, 0.1]), torch.tensor([0.0, 0.6, 0.8])


def check(function, x, *initial_state, **keywords):
    keywords |= {} if function is lif else {"seed": 5}
    check_against_reference(function, "compiled", x, *initial_state, **keywords)


SPIKE = {
    "float32": {"noise": Noise(width=3.0), "surrogate": Surrogate("triangular", 0.7)},
    "float16": {"noise": Noise("uniform", low=-0.5), "surrogate": Surrogate("gaussian", 0.7)},
    "bfloat16": {"noise": Noise("none"), "surrogate": Surrogate("rectangular", 0.7)},
}


@pytest.mark.parametrize("dtype", SPIKE)
def test_noisy_spike(dtype):
    check(noisy_spike, sample((3, 700), getattr(torch, dtype)), threshold=0.8, **SPIKE[dtype])


def test_noisy_spike_channels_last():
    check(noisy_spike, sample((3, 4, 9, 31)).to(memory_format=torch.channels_last))


def test_lif():
    check(lif, sample((19, 3, 201)))
    check(lif, sample((5, 3, 201), torch.bfloat16))


# Every surrogate with every reset, and every pair of dtype, reset and detach_reset; with FASTLIF_TEST_PROFILE=long all.
EVERY = list(itertools.product((0.0, -0.25, None), (False, True), reference.SURROGATES, DTYPES))
SOME = [
    (reset, (i + j) % 2 == 1, surrogate, DTYPES[(i // 2 + j) % 3])
    for i, surrogate in enumerate(reference.SURROGATES)
    for j, reset in enumerate((-0.25, None))
]


@pytest.mark.parametrize("reset, detach_reset, surrogate, dtype", EVERY if PROFILE == "long" else SOME, ids=str)
def test_lif_gradients(reset, detach_reset, surrogate, dtype):
    keywords = {"reset": reset, "detach_reset": detach_reset, "surrogate": Surrogate(surrogate, 1.7)}
    for state in (None, sample((3, 700), seed=2) * 0.5):
        check(lif, sample((3, 3, 700), dtype), state, decay=0.7, threshold=0.8, **keywords)


def test_lif_of_several_chunks():
    check(lif, sample((2 * launchers.MAX_UNROLL + 1, 2, 40)), sample((2, 40), seed=2), decay=0.9)


OTHERS = {"surrogate": "sigmoid", "decay": 0.7, "threshold": 0.8}
NOISY_LIF = {  # of three steps: two that share an antithetic draw and one of its own
    "layer": {"statistics": "layer"},
    "sample": {"statistics": "sample"},
    "sample, soft reset": OTHERS | {"statistics": "sample", "reset": None, "dtype": torch.bfloat16},
    "Gaussian, soft reset": OTHERS | {"noise": Noise(width=3.0), "reset": None},
    "uniform, reset": OTHERS | {"noise": Noise("uniform", low=-0.5), "reset": -0.25, "dtype": torch.bfloat16},
    "no noise": OTHERS | {"noise": Noise("none"), "reset": None, "detach_reset": True, "dtype": torch.float16},
    "antithetic, at the mean": {"noise": Noise("uniform", low=-0.5), "over_time": "antithetic",
                                "surrogate": Surrogate("sigmoid", at="mean")},
}  # fmt: skip


@pytest.mark.parametrize("case", NOISY_LIF)
def test_noisy_lif(case):
    keywords = {"statistics": GIVEN, "dtype": torch.float32} | NOISY_LIF[case]
    x = sample((3, 3, 700), keywords.pop("dtype"))
    check(noisy_lif, x, None if case in ("layer", "sample") else sample((3, 700), seed=2) * 0.5, **keywords)


def test_noise_of_several_chunks(monkeypatch):
    """Each chunk draws the noise of its own steps, forward and backward."""
    monkeypatch.setattr(launchers, "MAX_UNROLL", 2)
    check(noisy_lif, sample((3, 3, 700)), sample((3, 700), seed=2) * 0.5, statistics=GIVEN)


def test_a_tie_is_no_spike():
    assert not lif(torch.ones(3, 2, 700), decay=0.0, backend="compiled").any()


def test_one_compilation_serves_all_sizes_and_values():
    for size in (3000, 50_000):  # for one thread, and for all
        noisy_spike(sample((3, size)), seed=1, backend="compiled")
    lif(sample((3, 4, 50)), backend="compiled")
    lif(sample((3, 4, 50)), return_state=True, backend="compiled")  # a second graph, which takes and gives membranes
    noisy_lif(sample((3, 4, 50)), seed=1, backend="compiled")
    before = set(graphs._graphs)
    with torch.inference_mode():
        lif(sample((4, 5, 70))[::2][:1].expand(3, 5, 70), backend="compiled")
        lif(sample((3, 1)), backend="compiled")
    with torch.autocast("cpu", torch.bfloat16):
        lif(sample((3, 6, 80)), initial_state=sample((6, 80)), threshold=0.7, decay=0.1, backend="compiled")
    for size, threshold in ((1, 1.0), (2, 1.0), (3001, 1.0), (4096, 0.5), (77_777, 2.0)):
        noise = Noise(high=1 + size / 9e4)
        noisy_spike(sample((2, size)), seed=1, threshold=threshold, noise=noise, backend="compiled")
        noisy_lif(sample((3, 1, size))[:, :, :1000], seed=1, threshold=threshold, noise=noise, backend="compiled")
    assert set(graphs._graphs) == before


def test_huge_pages_are_asked_for_within_the_output(monkeypatch, fresh_compiler):
    asked = []
    monkeypatch.setattr(graphs, "_madvise", lambda: lambda *arguments: asked.append(arguments))
    spikes = lif(torch.rand(3, 3_000_000), backend="compiled")
    ((first, size, advice),) = asked
    page, end = graphs.HUGE_PAGE, spikes.data_ptr() + spikes.nbytes
    assert first % page == 0 and size % page == 0 and advice == graphs.MADV_HUGEPAGE
    assert spikes.data_ptr() <= first < spikes.data_ptr() + page and end - page < first + size <= end
    lif(torch.rand(3, 1000), backend="compiled")
    assert len(asked) == 1  # too small


def test_parts_draw_what_the_whole_draws(monkeypatch):
    """Large work with noise is computed in parts, which have the counters of the whole."""
    x = torch.rand(3 * 4096 + 700, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))

    def run():
        leaf = x.clone().requires_grad_()
        spikes = noisy_spike(leaf, seed=2**40 + 3, backend="compiled")
        steps = noisy_lif(x.expand(3, -1), seed=5, over_time="antithetic", backend="compiled")
        return spikes.detach(), steps, *torch.autograd.grad(spikes, leaf, grad)

    whole = run()
    monkeypatch.setattr(launchers, "PART", 4096)
    monkeypatch.setattr(launchers, "PART_OF_A_THREAD", 1)
    assert len(launchers._cut(x[None])) == 4
    for part, expected in zip(run(), whole, strict=True):
        assert torch.equal(part, expected)
    assert [start for start, *_ in launchers._parts((len(x),), x)] == [0, 4096, 8192, 12288]


def test_noise_takes_little_memory_beside_a_large_layer():
    """What a part takes is reused, and may be found in the cache."""
    x = torch.rand(5_000_000)
    noisy_spike(x, backend="compiled")
    assert peak_memory(lambda: noisy_spike(x, backend="compiled"), x.device) < 1.4 * x.nbytes


def test_the_counter_of_a_part_has_64_bits():
    words = [launchers._counter(start, "cpu").tolist() for start in (0, 2**34, 2**35, 3 * 2**34)]
    assert words == [[0, 0], [-(2**31), 0], [0, 1], [-(2**31), 1]]


@pytest.mark.parametrize("first", ["small", "large"])
def test_small_work_has_one_thread_and_large_work_has_all(first, monkeypatch):
    """Whichever size came first, and however many threads there were then."""
    x = {"small": torch.rand(1, 4, 3), "large": torch.rand(1, 4, graphs.SERIAL)}
    code, spikes = {}, {}
    monkeypatch.setattr(graphs, "_graphs", {})
    with torch._inductor.config.patch(force_disable_caches=True):
        for size in sorted(x, key=lambda size: size != first):
            spikes[size], code[size] = run_and_get_cpp_code(lif, x[size], backend="compiled")
    assert "omp parallel" not in code["small"]
    assert "#pragma omp parallel\n" in code["large"]  # not of a fixed number of threads
    monkeypatch.setattr(graphs, "SERIAL", x["large"].numel())
    assert torch.equal(lif(x["large"], backend="compiled"), spikes["large"])


def test_a_damaged_file_of_the_compiler_is_named(monkeypatch):
    """As when a process was killed while it wrote: PyTorch would raise an ImportError at every call from then on."""

    def damaged(*arguments, **keywords):
        raise ImportError("/cache/ab.so: file too short")

    monkeypatch.setattr(graphs, "_graphs", {})
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx_inner", damaged)
    with pytest.raises(RuntimeError, match=r"cannot be loaded \(/cache/ab.so: file too short\).*: delete the file"):
        lif(torch.randn(2, 3, 4), backend="compiled")


@pytest.mark.full
@pytest.mark.parametrize("neuron", [noisy_spike, lif, noisy_lif])
def test_spikes_of_16_bits_are_made_of_floats(neuron, monkeypatch):
    """PyTorch makes them from booleans one by one: three to ten times as slow."""
    x = torch.rand(2, 4, 64, dtype=torch.bfloat16)
    monkeypatch.setattr(graphs, "_graphs", {})
    with torch._inductor.config.patch(force_disable_caches=True):
        _, code = run_and_get_cpp_code(neuron, x, backend="compiled")
    assert "BFloat16" in code and ".to<at::BFloat16" not in code


LONG_SUM = 4096  # from where the compiler may add up a row in parts; a row of any length is right either way


def allowed(guard, names):
    """See graphs._compile: what holds for all sizes, what excludes a special case, and how long a sum is."""
    if isinstance(guard, (sympy.Ne, sympy.Gt, sympy.Ge, sympy.Lt, sympy.Le)):
        bound = next((side for side in guard.args if side.is_number), None)
        if isinstance(guard, sympy.Ne) or (isinstance(guard, sympy.Ge) and bound == 2) or bound == LONG_SUM:
            return True
    some = (0, 1, 2, 255, 2047, 2048, 2049, 65_536, 70_001, 2**31 - 1, 2**31, 2**35 + 7)
    return all(guard.subs(dict(zip(names, sizes))) == True  # noqa: E712, sympy's own truth
               for sizes in itertools.product(some, repeat=len(names)))  # fmt: skip


@pytest.mark.long
def test_a_graph_supposes_nothing_of_its_sizes_that_matters(monkeypatch, fresh_compiler):
    made, kinds, compile_graph = [], set(), graphs._compile

    class Recorded(symbolic_shapes.ShapeEnv):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            made.append(self)

    def recorded(function, static, serial, *others):
        kinds.add(function.__name__)
        return compile_graph(function, static, serial, *others)

    monkeypatch.setattr(symbolic_shapes, "ShapeEnv", Recorded)
    monkeypatch.setattr(graphs, "_compile", recorded)
    monkeypatch.setattr(graphs, "_graphs", {})
    x, images = sample((3, 2, 40)).requires_grad_(), sample((6, 4, 3)).requires_grad_()
    with torch._inductor.config.patch(force_disable_caches=True):
        noisy_spike(x, seed=1, backend="compiled").sum().backward()
        lif(x, reset=None, backend="compiled").sum().backward()
        for given in ("layer", "sample", GIVEN):
            noisy_lif(x, seed=1, statistics=given, backend="compiled").sum().backward()
        for neuron in (NoisyLIF(), LIF(3)):
            batch_norm_neuron(torch.nn.BatchNorm1d(4), neuron, images).sum().backward()
        noisy_lif(sample((1, 1, graphs.SERIAL + 1)), seed=1, backend="compiled")
        bits = torch.empty(1, 40, dtype=torch.uint8)
        launchers.pack_bits(sample((1, 320)), bits)
        launchers.unpack_bits(bits, sample((1, 320)))
    compiled_functions = {"draw", "spike", "spike_backward", "scan", "scan_with_statistics", "reverse_scan",
                          "pack_bits", "unpack_bits"}  # fmt: skip
    assert kinds == compiled_functions
    found = [(str(guard.expr), allowed(guard.expr, sorted(guard.expr.free_symbols, key=str)))
             for shapes in made for guard in shapes.guards]  # fmt: skip
    assert found and not [guard for guard, fine in found if not fine]


def test_a_guard_that_matters_is_found():
    size, other = sympy.symbols("size other", integer=True, positive=True)
    for guard in (sympy.Eq(size, other), sympy.Eq(size % 16, 0), size <= 2**31 - 1, size * other < 2**40, size > 64):
        assert not allowed(guard, sorted(guard.free_symbols, key=str))
    for guard in (sympy.Ne(size, other), size >= 2, size > LONG_SUM, size <= LONG_SUM, 2 * size >= size):
        assert guard == True or allowed(guard, [size, other])  # noqa: E712


@pytest.mark.parametrize("numel, large", [(2**31 - 1, False), (2**31, True)])
def test_more_than_32_bits_of_elements_are_a_kind_of_their_own_on_a_gpu(numel, large, monkeypatch):
    kinds = []
    monkeypatch.setattr(graphs, "_graphs", {})
    monkeypatch.setattr(graphs, "_compile", lambda *arguments: kinds.append(arguments[3]) or (lambda given: None))
    for device in ("meta", "cpu"):  # the first stands for a GPU
        graphs.run(len, (), (numel,), [torch.empty(0, device=device)])
    assert kinds == [large, False]
