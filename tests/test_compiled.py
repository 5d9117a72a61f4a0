"""The CPU path: the compiled reference against the plain one, and that it is not compiled over and over."""

import pytest
import torch
from helpers import assert_spikes_agree, literal_membranes, relative_error, weighted_gradients
from torch._inductor.utils import run_and_get_cpp_code

from fastlif import Noise, compiled
from fastlif.functional import lif, noisy_lif, noisy_spike

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the kernels are the path")


def both(function, x, **keywords):
    results = []
    for backend in ("compiled", "reference"):
        leaf = x.detach().requires_grad_()
        spikes = function(leaf, backend=backend, **keywords)
        results.append((spikes.detach(), *weighted_gradients([spikes], [leaf])))
    (spikes, grad), (expected, expected_grad) = results
    literal = {"noise": Noise(), "seed": keywords.get("seed")} if function is not lif else {}
    if function is noisy_lif:
        literal |= {"alpha": 4.0, "statistics": keywords.get("statistics", "layer")}
    if function is noisy_spike:
        x, spikes, expected = x[None], spikes[None], expected[None]
    assert_spikes_agree(spikes, expected, literal_membranes(x, **literal))
    assert relative_error(grad, expected_grad) < (5e-6 if x.dtype == torch.float32 else 8e-3)


def sample(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.4


def test_noisy_spike():
    both(noisy_spike, sample(3, 5, 1001), seed=5)
    both(noisy_spike, sample(3, 4, 9, 31).to(memory_format=torch.channels_last), seed=6)


def test_lif():
    both(lif, sample(19, 3, 201))
    both(lif, sample(19, 3, 201).bfloat16())


@pytest.mark.parametrize("statistics", ["layer", "sample"])
def test_noisy_lif(statistics):
    both(noisy_lif, sample(3, 3, 1001), seed=5, statistics=statistics)


def test_one_compilation_serves_all_sizes_and_values():
    import torch._dynamo.utils as utils

    for size in (3000, 50_000):  # for one thread, and for all
        noisy_spike(sample(3, size), seed=1, backend="compiled")
    lif(sample(3, 4, 50), backend="compiled")
    before = utils.counters["stats"]["unique_graphs"]
    assert before > 0
    with torch.inference_mode():
        lif(sample(3, 5, 70), backend="compiled")
    with torch.autocast("cpu", torch.bfloat16):
        lif(sample(3, 6, 80).requires_grad_(), threshold=0.7, decay=0.1, backend="compiled")
    for size, threshold in ((3001, 1.0), (4096, 0.5), (77_777, 2.0)):
        noisy_spike(sample(2, size), seed=1, threshold=threshold, noise=Noise(high=1 + size / 9e4), backend="compiled")
    assert utils.counters["stats"]["unique_graphs"] == before


def test_huge_pages_are_asked_for_within_the_output(monkeypatch, fresh_compiler):
    asked = []
    monkeypatch.setattr(compiled, "_madvise", lambda: lambda *arguments: asked.append(arguments))
    spikes = lif(torch.rand(3, 3_000_000), backend="compiled")
    ((first, size, advice),) = asked
    page, end = compiled.HUGE_PAGE, spikes.data_ptr() + spikes.nbytes
    assert first % page == 0 and size % page == 0 and advice == compiled.MADV_HUGEPAGE
    assert spikes.data_ptr() <= first < spikes.data_ptr() + page and end - page < first + size <= end
    lif(torch.rand(3, 1000), backend="compiled")
    assert len(asked) == 1  # too small


def test_parts_draw_what_the_whole_draws(monkeypatch):
    """A large single step is computed in parts, which have the counters of the whole."""
    x = torch.rand(3 * 4096 + 700, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))

    def run():
        leaf = x.clone().requires_grad_()
        spikes = noisy_spike(leaf, seed=2**40 + 3, backend="compiled")
        return spikes.detach(), *torch.autograd.grad(spikes, leaf, grad)

    whole = run()
    monkeypatch.setattr(compiled, "PART", 4096)
    for part, expected in zip(run(), whole):
        assert torch.equal(part, expected)
    counters = [words for words, _ in compiled._parts(x)]
    assert counters[0] is None and [words.tolist() for words in counters[1:]] == [[512, 0], [1024, 0], [1536, 0]]


def test_the_counter_of_a_part_has_64_bits(monkeypatch):
    monkeypatch.setattr(compiled, "PART", 2**34)
    flat = torch.empty(1).expand(2**36)
    words = [words.tolist() for words, _ in compiled._parts(flat) if words is not None]
    assert words == [[-(2**31), 0], [0, 1], [-(2**31), 1]]


@pytest.mark.parametrize("first", ["small", "large"])
def test_small_work_has_one_thread_and_large_work_has_all(first, monkeypatch):
    """Whichever size came first, and however many threads there were then."""
    x = {"small": torch.rand(1, 4, 3), "large": torch.rand(1, 4, compiled.SERIAL)}
    code, spikes = {}, {}
    compiled._compile.cache_clear()
    with torch._inductor.config.patch(force_disable_caches=True):
        for size in sorted(x, key=lambda size: size != first):
            spikes[size], code[size] = run_and_get_cpp_code(lif, x[size], backend="compiled")
    assert "omp parallel" not in code["small"]
    assert "#pragma omp parallel\n" in code["large"]  # not of a fixed number of threads
    monkeypatch.setattr(compiled, "SERIAL", x["large"].numel())
    assert torch.equal(lif(x["large"], backend="compiled"), spikes["large"])
