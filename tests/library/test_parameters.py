"""LIF with what other libraries' neurons have: gain, decay and threshold as tensors, rest, inclusive firing, a delayed
reset, surrogates of a user's own. Every backend against the equations in float64."""

import copy
import dataclasses
import math
import pickle

import pytest
import torch
from helpers import DEVICE, FAST_BACKENDS, REFERENCE, relative_error, weighted_gradients
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrize import register_parametrization
from torch.utils.checkpoint import checkpoint

import fastlif
from fastlif.compiled import launchers
from fastlif.functional import lif, noisy_spike

BACKENDS = ["reference", *FAST_BACKENDS]
STEP = (2, 6, 5, 7)  # [N, C, H, W]
EVEN = (2, 6, 8, 8)  # a thread has four neighbours, of which several share a channel


def shapes(samples, channels, height, width):
    """Of gain, decay and threshold, for steps ``[samples, channels, height, width]``."""
    return {
        "one": (),
        "channels": (channels, 1, 1),
        "neurons": (channels, height, width),
        "rows": (1, height, 1),
        "samples": (samples, 1, 1, 1),
        "mixed": [(), (channels, 1, 1), (1, width)],
    }


SHAPES = shapes(*STEP)
NEURONS = {
    "hard": {"reset": 0.2},
    "hard, rest": {"reset": -0.1, "rest": 0.3},
    "soft": {"reset": None},
    "soft, detached": {"reset": None, "detach_reset": True, "inclusive": True},
    "delayed": {"reset": None, "reset_delay": True},
    "delayed, detached": {"reset": None, "reset_delay": True, "detach_reset": True},
}


def literal(x, state, gain, decay, threshold, reset, rest=0.0, inclusive=False, reset_delay=False, detach_reset=False):
    """The docstring of functional.lif. A spike's derivative is that of a sigmoid of four times its argument."""

    def spike(h):
        smooth = torch.sigmoid(4 * (h - threshold))
        return (h >= threshold if inclusive else h > threshold).double() + smooth - smooth.detach()

    x, v = x.double(), rest + torch.zeros_like(x[0]).double() if state is None else state.double()
    gain, decay, threshold = (value.double() for value in (gain, decay, threshold))
    spikes, membranes = [], []
    for x_t in x:
        h = gain * x_t + rest + decay * (v - rest)
        if reset_delay:
            s = spike(v)
            h = h - (threshold - rest) * (s.detach() if detach_reset else s)
        s = spike(h)
        kept = s.detach() if detach_reset else s
        v = h if reset_delay else h - (threshold - rest) * kept if reset is None else h * (1 - kept) + reset * kept
        spikes.append(s)
        membranes.append(h.detach())
    return torch.stack(spikes), v, torch.stack(membranes)


def drawn(T, shape, layout="contiguous", step=STEP, seed=0):
    """x, the initial membrane, and gain, decay and threshold of that shape; the last is no run of memory."""
    shapes = shape if isinstance(shape, list) else [shape] * 3
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(shape, generator=generator).to(DEVICE)

    x = 3 * rand(T, *step) - 0.8
    if layout == "channels_last":
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    gain, decay, threshold = (rand(*shape) for shape in shapes)
    threshold = torch.stack([threshold, threshold - 5], dim=-1)[..., 0]
    return [x, 2 * rand(*step) - 0.5, 0.5 + gain, decay, 0.6 + 0.6 * threshold]


def check(backend, T, shape, layout="contiguous", step=STEP, **neuron):
    tensors = drawn(T, shape, layout, step, seed=2 if isinstance(shape, list) else 3 if step == EVEN else 0)
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    x, state, gain, decay, threshold = leaves
    spikes, v = lif(x, initial_state=state, gain=gain, decay=decay, threshold=threshold, surrogate="sigmoid",
                    return_state=True, backend=backend, **neuron)  # fmt: skip
    gradients = weighted_gradients([spikes, v], leaves)
    others = [tensor.clone().requires_grad_() for tensor in tensors]
    expected, last, membranes = literal(*others, **neuron)
    assert ((membranes - tensors[4]).abs() > 2e-6).all(), "no membrane is at the threshold, where rounding decides"
    assert torch.equal(spikes, expected.float()) and 0.1 < spikes.mean() < 0.9
    torch.testing.assert_close(v.double(), last, rtol=1e-5, atol=1e-5)
    for name, mine, theirs in zip(("x", "state", "gain", "decay", "threshold"), gradients,
                                  weighted_gradients([expected, last], others)):  # fmt: skip
        limit = 1e-5 if theirs.numel() > 1 else 5e-5  # in one sum over all neurons the terms cancel
        assert mine.shape == theirs.shape and relative_error(mine, theirs) < limit, name


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_neurons(backend, neuron):
    check(backend, 3, SHAPES["channels"], **NEURONS[neuron])


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("step", [STEP, EVEN], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_shapes(backend, step, shape, layout):
    check(backend, 3, shapes(*step)[shape], layout, step, **NEURONS["soft"])


@pytest.mark.parametrize("neuron", ["hard", "delayed"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_long_sequences(backend, neuron, monkeypatch):
    """Walked through in parts, of which the last is not full."""
    monkeypatch.setattr(launchers, "MAX_UNROLL", 3)
    check(backend, 5 if backend == "compiled" else 21, SHAPES["channels"], **NEURONS[neuron])


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_of_them(backend):
    """The others are numbers, and only the wanted gradients are made."""
    x, _, _, decay, _ = drawn(4, ())
    decay.requires_grad_()
    spikes = lif(x, decay=decay, threshold=0.8, gain=1.5, backend=backend, surrogate="sigmoid")
    expected, _, _ = literal(x, None, torch.tensor(1.5), decay, torch.tensor(0.8), 0.0)
    assert torch.equal(spikes, expected.float())
    (mine,), (theirs,) = (weighted_gradients([each], [decay]) for each in (spikes, expected))
    assert relative_error(mine, theirs) < 1e-5


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_inclusive(backend, inclusive):
    x = torch.full((1, 2, 3), 1.0, device=DEVICE)
    assert bool(lif(x, inclusive=inclusive, backend=backend).all()) == inclusive


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_are_as_their_tensors(backend):
    x = drawn(4, ())[0]
    numbers = {"decay": 0.75, "threshold": 0.5, "gain": 1.25}
    tensors = {name: torch.tensor(value, device=DEVICE) for name, value in numbers.items()}
    spikes, state = lif(x, return_state=True, backend=backend, **numbers)
    others, other = lif(x, return_state=True, backend=backend, **tensors)
    assert torch.equal(spikes, others) and torch.equal(state, other)


def test_the_same_gradients_from_run_to_run():
    leaves = [tensor.requires_grad_() for tensor in drawn(3, (6, 1, 1))]

    def run():
        x, state, gain, decay, threshold = leaves
        spikes = lif(x, initial_state=state, gain=gain, decay=decay, threshold=threshold)
        return weighted_gradients([spikes], leaves)

    assert all(torch.equal(first, second) for first, second in zip(run(), run()))


# --- Surrogates of a user's own -----------------------------------------------------------------------------------


def exponential(u, width):
    return torch.exp(-width * u.abs())


def flat(u, width):
    return 0 * u + width


try:
    import triton
    import triton.language as tl
except ImportError:
    in_triton = None
else:

    @triton.jit
    def in_triton(u, width):
        return tl.exp(-width * tl.abs(u))


@pytest.mark.parametrize("backend", BACKENDS)
def test_own_surrogate(backend):
    x = torch.linspace(-1, 3, 200, device=DEVICE).view(1, 4, 50).requires_grad_()
    surrogate = fastlif.Surrogate(exponential, 2.0, triton=in_triton)
    for spikes in (lif(x, surrogate=surrogate, backend=backend),
                   noisy_spike(x, surrogate=surrogate, backend=backend, noise=fastlif.Noise("none"))):  # fmt: skip
        (grad,) = torch.autograd.grad(spikes.sum(), x)
        torch.testing.assert_close(grad, torch.exp(-2 * (x - 1).abs()))


def test_own_surrogate_without_triton_s():
    pytest.importorskip("triton")
    x = torch.zeros(1, 2, device=DEVICE)
    for function in (lif, noisy_spike):
        with pytest.raises(RuntimeError, match="exponential.*Triton's kernels cannot call.*triton="):
            function(x, surrogate=exponential, backend="triton")


def test_own_surrogates_are_known_by_their_function():
    mine = fastlif.Surrogate(exponential)
    assert mine.width == 1.0 and fastlif.Surrogate.of(exponential) == mine
    assert mine.key == fastlif.Surrogate(exponential, 3.0).key != fastlif.Surrogate(exponential, triton=in_triton).key
    assert fastlif.Surrogate(flat).key != mine.key
    for again in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert again == mine and again.key == mine.key


class Bumps:
    def high(self, u, width):
        return 1 - u.abs()

    def wide(self, u, width):
        return 2 - u.abs()


@dataclasses.dataclass
class Scaled:
    factor: float = 1.0

    def __call__(self, u, width):
        return self.factor * u


def test_a_bound_method_is_one_surrogate_and_equal_objects_are_two():
    bumps = Bumps()
    assert fastlif.Surrogate(bumps.high).key == fastlif.Surrogate(bumps.high).key != fastlif.Surrogate(bumps.wide).key
    assert fastlif.Surrogate(Scaled()).key != fastlif.Surrogate(Scaled()).key


def test_another_process_takes_no_other_function_for_an_exported_one(monkeypatch):
    def key(function):  # of the first surrogate in a process
        for known in ("OWN", "SURROGATES"):
            monkeypatch.setattr(fastlif.types, known, {})
        return fastlif.Surrogate(function).key

    def times(factor):
        return lambda u, width: factor * u

    def within(factor):
        return lambda u, width: (lambda: factor * u)()

    for make in (times, within):
        assert key(make(2)) == key(make(2)) != key(make(3))
    assert key(lambda u, width, *, k=1: u) != key(lambda u, width, *, k=2: u)
    with pytest.raises(RuntimeError, match="is a surrogate of your own, which an exported program does not hold"):
        fastlif.reference.derivative_of("bump (0, 01234567)")


def test_a_surrogate_is_copied_and_saved_with_its_triton_function():
    """Outside of the interpreter a Triton function holds a lock, so that it cannot be copied or pickled itself."""
    triton = pytest.importorskip("triton")
    surrogate = fastlif.Surrogate(exponential, triton=in_triton)
    assert copy.deepcopy(surrogate) is copy.copy(surrogate) is surrogate
    data = pickle.dumps(surrogate)
    assert pickle.loads(data) == surrogate and b"in_triton" in data and len(data) < 300

    @triton.jit
    def local(u, width):
        return u

    for function in (local, triton.jit(exponential)):  # what is found by the latter's name is no Triton function
        with pytest.raises(pickle.PicklingError, match="cannot be found as test_parameters.*at the top of a module"):
            pickle.dumps(fastlif.Surrogate(exponential, triton=function))
    with pytest.raises(pickle.UnpicklingError, match="test_parameters.in_tritom, is not there"):
        pickle.loads(data.replace(b"in_triton", b"in_tritom"))


@pytest.mark.parametrize("backend", ["compiled", "reference"])
def test_an_own_surrogate_is_made_in_a_compiled_function(backend, fresh_compiler):
    x = torch.rand(1, 4, requires_grad=True)
    spikes = torch.compile(lambda x: lif(x, surrogate=lambda u, width: 1 - u.abs(), backend=backend), fullgraph=True,
                           backend="aot_eager")(x)  # fmt: skip
    (grad,) = torch.autograd.grad(spikes.sum(), x)
    torch.testing.assert_close(grad, 1 - (x - 1).abs())


@pytest.mark.skipif(DEVICE == "cuda", reason="on a GPU the kernels are the path")
def test_a_surrogate_with_a_tensor_of_its_own():
    slope, x = torch.tensor(3.0), torch.rand(1, 4, requires_grad=True)

    def function(u, width):
        return torch.exp(-slope * u.abs())

    lif(x, surrogate=function, backend="reference").sum().backward()
    with pytest.raises(RuntimeError, match="reads a tensor from outside.*numbers"):
        lif(x, surrogate=function, backend="compiled").sum().backward()


# --- Modules ------------------------------------------------------------------------------------------------------


def test_learned_parameters_are_the_module_s():
    neuron = fastlif.LIF(3, decay=nn.Parameter(torch.full((6, 1, 1), 0.5)), threshold=torch.full((6, 1, 1), 0.7))
    assert list(dict(neuron.named_parameters())) == ["decay"] and list(neuron.state_dict()) == ["decay", "threshold"]
    x, *_ = drawn(3, ())
    neuron.to(DEVICE)(x.flatten(0, 1)).sum().backward()
    assert neuron.decay.grad.abs().sum() > 0
    assert "decay=learned [6, 1, 1], threshold=tensor [6, 1, 1]" in repr(neuron)
    assert neuron.half().threshold.dtype == torch.float32


class Exponential(nn.Module):
    def forward(self, value):
        return value.exp()  # whose graph saves it


def parametrized(**keywords):
    neuron = fastlif.LIF(threshold=nn.Parameter(torch.tensor(0.5)), **keywords)
    register_parametrization(neuron, "threshold", Exponential())
    return neuron


@pytest.mark.parametrize("make", [fastlif.ParametricLIF, parametrized])
def test_a_new_neuron_that_computes_its_parameters_in_a_checkpoint(make):
    """Its options are made in the first call, and again once the mode changes: that must save nothing in the graph."""
    neuron, x = make(**REFERENCE), torch.rand(4, 3, requires_grad=True)
    for _ in range(2):
        checkpoint(neuron.train(), x, use_reentrant=False).sum().backward()


def test_a_parameter_may_be_set_later():
    x = torch.full((1, 4, 3), 2.0)
    neuron = fastlif.LIF(None, **REFERENCE)
    neuron.threshold = torch.tensor([1.0, 5.0, 1.0])
    assert neuron(x).sum(dim=(0, 1)).tolist() == [4, 0, 4] and list(neuron.state_dict()) == ["threshold"]
    neuron.threshold = 5.0
    assert not neuron(x).any() and not neuron.state_dict()
    neuron.threshold = nn.Parameter(torch.tensor(1.0))
    assert neuron(x).all() and list(dict(neuron.named_parameters())) == ["threshold"]
    neuron.threshold = 5.0
    assert not neuron(x).any() and not list(neuron.parameters())


@pytest.mark.parametrize("name", ["gain", "decay", "threshold"])
def test_what_is_learned_goes_on_being_learned(name):
    neuron = fastlif.LIF(None, **{name: nn.Parameter(torch.tensor(0.5))}, **REFERENCE)
    learned, x = getattr(neuron, name), torch.rand(4, 3, 2)
    with torch.no_grad(), pytest.raises(TypeError, match=rf"^{name} is learned.* in place.*neuron.{name}.clamp_\("):
        setattr(neuron, name, learned.clamp(0.6, 1))
    assert getattr(neuron, name) is learned
    with torch.no_grad():
        learned.clamp_(0.6, 1)
    assert list(neuron.parameters()) == [learned] and torch.equal(
        neuron(x), fastlif.LIF(None, **{name: 0.6}, **REFERENCE)(x)
    )
    register_parametrization(neuron, name, nn.Identity())
    nn.utils.parametrize.remove_parametrizations(neuron, name)
    neuron.load_state_dict({name: torch.tensor(0.7)}, assign=True)
    torch.func.functional_call(neuron, {name: torch.tensor(0.9)}, (x,))
    same = pickle.loads(pickle.dumps(copy.deepcopy(neuron.half()))).to_empty(device="cpu")
    assert all(list(dict(one.named_parameters())) == [name] for one in (neuron, same))
    delattr(neuron, name)
    setattr(neuron, name, torch.tensor(0.8))
    assert not list(neuron.parameters()) and list(neuron.state_dict()) == [name]


def test_pruning_is_refused_in_words():
    neuron = fastlif.LIF(threshold=nn.Parameter(torch.ones(4)))
    with pytest.raises(ValueError, match="cannot be kept.*parametrize.*pruning"):
        prune.l1_unstructured(neuron, "threshold", 1)


def test_rest_of_a_state_in_half_precision():
    state = torch.full((2, 3), 0.3, dtype=torch.float16, device=DEVICE)
    x = torch.zeros(1, 2, 3, device=DEVICE)
    _, v = lif(x, decay=1.0, rest=-65.0, initial_state=state, return_state=True, **REFERENCE)
    torch.testing.assert_close(v, state.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("value, used", [(-0.25, 0.0), (1.5, 1.0)])
def test_a_learned_decay_is_clamped(value, used):
    x, *_ = drawn(3, ())
    neuron = fastlif.LIF(None, decay=nn.Parameter(torch.tensor(0.5, device=DEVICE)), backend="reference")
    with torch.no_grad():
        neuron.decay.fill_(value)
    spikes = neuron(x)
    assert torch.equal(spikes, lif(x, decay=used, backend="reference"))
    spikes.sum().backward()
    assert neuron.decay.grad == 0


def test_integrate_and_fire():
    x, *_ = drawn(3, ())
    assert torch.equal(fastlif.IF(None)(x), lif(x, decay=1.0))


@pytest.mark.parametrize("channels", [None, 6])
@pytest.mark.parametrize("decay_input", [True, False])
def test_parametric_lif(channels, decay_input):
    x, *_ = drawn(4, ())
    neuron = fastlif.ParametricLIF(None, init_tau=4.0, channels=channels, decay_input=decay_input, threshold=0.4)
    spikes = neuron.to(DEVICE)(x)
    assert torch.equal(spikes, lif(x, tau=4.0, gain=0.25 if decay_input else 1.0, threshold=0.4))
    w = neuron.w.detach().clone().requires_grad_()
    rate = w.sigmoid() if channels is None else w.sigmoid().view(-1, 1, 1)
    others = lif(x, decay=1 - rate, gain=rate if decay_input else 1.0, threshold=0.4)
    (mine,), (theirs,) = weighted_gradients([spikes], [neuron.w]), weighted_gradients([others], [w])
    assert mine.shape == w.shape and mine.abs().sum() > 0
    torch.testing.assert_close(mine, theirs)
    with pytest.raises(AttributeError, match="set w instead"):
        neuron.decay = 0.5
    with pytest.raises(AttributeError, match="set w or decay_input instead"):
        neuron.gain = 2.0
    with torch.no_grad():
        neuron.w.fill_(3.0)
    neuron.reset_parameters()
    torch.testing.assert_close(neuron.tau, torch.full_like(neuron.w, 4.0))


class Sigmoid(nn.Module):
    def forward(self, w):
        return w.sigmoid()


@pytest.mark.parametrize("name", ["gain", "decay", "threshold"])
def test_a_parametrization_of_what_is_learned_counts(name):
    x, *_ = drawn(3, ())
    w = nn.Parameter(torch.tensor(-0.5, device=DEVICE))
    neuron = fastlif.LIF(None, **{name: nn.Parameter(w.detach().sigmoid())}, **REFERENCE)
    nn.utils.parametrize.register_parametrization(neuron, name, Sigmoid(), unsafe=True)
    with torch.no_grad():
        neuron.parametrizations[name].original.copy_(w)
    spikes, expected = neuron(x), lif(x, **{name: w.sigmoid()}, **REFERENCE)
    assert torch.equal(spikes, expected) and not torch.equal(spikes, lif(x, **REFERENCE))
    (mine,) = weighted_gradients([spikes], [neuron.parametrizations[name].original])
    (theirs,) = weighted_gradients([expected], [w])
    assert mine == theirs != 0


def test_a_parametrization_of_a_parametric_lif_counts():
    x, *_ = drawn(3, ())
    neuron, same = (fastlif.ParametricLIF(None, init_tau=4.0, **REFERENCE).to(DEVICE) for _ in range(2))
    nn.utils.parametrize.register_parametrization(neuron, "w", nn.Identity())
    spikes = neuron(x)
    assert torch.equal(spikes, same(x)) and spikes.requires_grad


@pytest.mark.parametrize("timesteps", [None, 4])
@pytest.mark.parametrize("decay", [0.0, 0.75, 1.0])
def test_leaky_integrator(decay, timesteps):
    x, *_ = drawn(8, ())
    neuron = fastlif.LI(timesteps, decay=decay, gain=0.5, stateful=True)
    v, expected = torch.zeros(STEP, device=DEVICE), []
    for x_t in x:
        v = 0.5 * x_t + decay * v
        expected.append(v)
    parts = [part if timesteps is None else part.flatten(0, 1) for part in x.split(4)]
    membranes = torch.cat([neuron(part) for part in parts])
    torch.testing.assert_close(membranes.view(x.shape), torch.stack(expected))


def test_leaky_integrator_goes_on_in_float64():
    neuron, x = fastlif.LI(2, decay=0.9, stateful=True), torch.rand(2, 3)
    neuron(x)
    assert neuron(x.double()).dtype == neuron.states[0].dtype == torch.float64


@pytest.mark.parametrize("detach_state", [True, False])
def test_leaky_integrator_keeps_its_membrane_when_its_output_is_changed(detach_state):
    neuron = fastlif.LI(2, decay=0.5, stateful=True, detach_state=detach_state)
    neuron(torch.ones(2, 3)).zero_()
    assert torch.equal(neuron.states[0], torch.full((1, 3), 1.5))
    assert neuron.states[0].untyped_storage().nbytes() == 3 * 4  # and none of its output


@pytest.mark.skipif(DEVICE != "cpu", reason="values are looked at on a CPU alone")
def test_leaky_integrator_whose_decay_has_become_nan():
    neuron = fastlif.LI(2, decay=nn.Parameter(torch.tensor(0.5)))
    neuron.decay.data.fill_(math.nan)
    with pytest.raises(ValueError, match="decay must hold numbers, and there is NaN in it"):
        neuron(torch.ones(2, 3))


def test_leaky_integrator_under_autocast_and_beside_infinity():
    x, *_ = drawn(6, ())
    neuron = fastlif.LI(None, decay=0.95).to(DEVICE)
    with torch.autocast(DEVICE, torch.bfloat16):
        assert torch.equal(neuron(x), fastlif.LI(None, decay=0.95)(x))
    x[4] = math.inf
    assert neuron(x)[:4].isfinite().all()


@pytest.mark.parametrize("kind", ["one", "channels", "neurons"])
def test_leaky_integrator_learns_its_decay_and_gain(kind):
    """For the layer, each channel or each neuron; a learned decay is clamped, without gradient outside of [0, 1]."""
    x, *_ = drawn(5, ())
    decay, gain = (torch.rand(SHAPES[kind], generator=torch.Generator().manual_seed(i)).to(DEVICE) for i in range(2))
    neuron = fastlif.LI(None, decay=nn.Parameter(decay.clone()), gain=nn.Parameter(gain.clone()))
    neuron.decay.data += 0.3  # some are more than 1 now, as an optimizer may leave them
    mine = weighted_gradients([neuron(x)], [neuron.decay, neuron.gain])
    v, expected, leaves = torch.zeros(STEP, device=DEVICE), [], [(decay + 0.3).requires_grad_(), gain.requires_grad_()]
    for x_t in x:
        v = leaves[1] * x_t + leaves[0].clamp(0, 1) * v
        expected.append(v)
    torch.testing.assert_close(mine, weighted_gradients([torch.stack(expected)], leaves))


def test_leaky_integrator_takes_one_value_of_any_shape_and_dtype():
    x = torch.rand(4, 3)
    expected = fastlif.LI(2, decay=0.75, gain=0.5)(x)
    one = torch.full((1, 1, 1, 1), 0.75, dtype=torch.float64)
    neuron = fastlif.LI(2, decay=one, gain=torch.full((1, 1, 1), 0.5), stateful=True)
    assert torch.equal(neuron(x), expected) and neuron.states[0].dtype == torch.float32


# --- Truncated backpropagation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [fastlif.LIF, fastlif.LI, fastlif.ParametricLIF], ids=lambda make: make.__name__)
def test_the_graph_is_kept_from_call_to_call(make):
    """A loop of single steps has the gradients of one call; detach cuts it, and by default every call does."""
    x = drawn(4, ())[0].requires_grad_()
    backend = {} if make is fastlif.LI else {"backend": "reference", "threshold": 0.6}
    whole = make(None, **backend)(x)
    (expected,) = weighted_gradients([whole], [x])
    looped = make(None, stateful=True, detach_state=False, **backend)
    spikes = torch.cat([looped(x_t[None]) for x_t in x])
    torch.testing.assert_close(spikes, whole)
    torch.testing.assert_close(weighted_gradients([spikes], [x])[0], expected)

    fastlif.reset(looped)
    parts = [looped(x[:2])]
    fastlif.detach(looped)
    parts.append(looped(x[2:]))
    (cut,) = torch.autograd.grad(parts[1].sum(), x)
    assert cut[:2].abs().sum() == 0 < cut[2:].abs().sum()
    by_default = make(None, stateful=True, **backend)
    by_default(x[:2])
    (other,) = torch.autograd.grad(by_default(x[2:]).sum(), x)
    assert torch.equal(other, cut)
