"""What a neuron knows of the forward that it is called in: which call this is, T, and what is computed again."""

import concurrent.futures
import copy
import pickle
import threading

import pytest
import torch
from helpers import QUIET, REFERENCE, Checkpointed, literal_membranes
from torch import nn
from torch.utils.checkpoint import checkpoint

import fastlif
from fastlif import LIF, MultiStep, NoisyLIF, functional

NEURONS = {"lif": (LIF, REFERENCE), "noisy": (NoisyLIF, QUIET | {"statistics": "sample"})}


class Block(nn.Module):
    """As torchvision's: one ReLU for two layers, of different widths in a resnet50's."""

    def __init__(self, width, **again):
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(6, width), nn.Linear(width, 6), nn.ReLU()
        self.again = again

    def forward(self, x):
        if self.again and torch.is_grad_enabled():
            return checkpoint(self._forward, x, **self.again)
        return self._forward(x)

    def _forward(self, x):
        return self.relu(self.second(self.relu(self.first(x))) + x)


def blocks(neuron, width=6, **keywords):
    torch.manual_seed(0)
    model = nn.Sequential(Block(width), Block(width))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return fastlif.convert(model, neuron, **keywords)


# --- Stateful neurons that are shared -----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [6, 9])
@pytest.mark.parametrize("name", NEURONS)
def test_a_shared_stateful_neuron_carries_a_membrane_for_each_call(name, width):
    neuron, keywords = NEURONS[name]
    x = torch.rand(6, 4, 6)
    expected = blocks(neuron, width, timesteps=6, **keywords)(x.flatten(0, 1)).unflatten(0, (6, 4))
    assert 0 < expected.mean() < 1
    model = blocks(neuron, width, timesteps=2, stateful=True, **keywords)
    models = [model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), nn.Sequential(model)]
    for model in models:
        fastlif.reset(model)
        actual = torch.cat([model(part.flatten(0, 1)).unflatten(0, (2, 4)) for part in x.split(2)])
        assert torch.equal(actual, expected)


def test_in_a_multistep_model_too():
    x = torch.rand(4, 6)
    multi = MultiStep(blocks(LIF, 9, stateful=True, **REFERENCE), 2, repeat_input=True)
    whole = MultiStep(blocks(LIF, 9, **REFERENCE), 6, repeat_input=True)
    parts = torch.stack([multi(x) for _ in range(3)])
    torch.testing.assert_close(parts.mean(0), whole(x))
    assert [len(neuron.states) for neuron in fastlif.models.neurons(multi)] == [2, 2]


def test_a_part_of_a_converted_stateful_model_is_not_called_alone():
    model = blocks(LIF, stateful=True, **REFERENCE)
    for call in (model[0], model.forward, nn.Sequential(*model.children())):
        with pytest.raises(RuntimeError, match=r"outside of that model.*fastlif.convert\(part\)"):
            call(torch.rand(4, 6))
    part, x = fastlif.convert(nn.Sequential(*model.children())[:1]), torch.rand(4, 6)
    assert part(x).shape == (4, 6)
    assert len(part[0].relu.states) == 2 and not model[0].relu.states


def test_an_interrupted_pass_is_over():
    """The user's Ctrl-C leaves a forward without its hooks."""
    model, other = (blocks(LIF, stateful=True, **REFERENCE) for _ in range(2))
    interrupt = model[0].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model(torch.rand(4, 6))
    interrupt.remove()
    alone, x = LIF(stateful=True, **REFERENCE), torch.full((4, 1), 0.6)
    assert [float(alone(x).mean()) for _ in range(4)] == [0, 0, 1, 0]
    for left in (other, model):
        left(torch.rand(4, 6))
        left(torch.rand(4, 6))
        assert len(left[0].relu.states) == 2


def test_a_failed_pass_is_over():
    model = blocks(LIF, stateful=True, **REFERENCE)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.rand(4, 5))
    assert fastlif.passes.thread.current is None
    model(torch.rand(4, 6))
    assert len(model[0].relu.states) == 2


@pytest.mark.parametrize("call", [
    lambda multi: multi(torch.rand(4, 5)),
    lambda multi: multi(torch.rand(3, 4, 5), sequence=True),
    lambda multi: multi.until_confident(torch.rand(4, 5)),
], ids=["images", "a sequence", "until confident"])  # fmt: skip
def test_a_failed_pass_of_a_multistep_model_is_over(call):
    multi = MultiStep(blocks(LIF, **REFERENCE), 2, repeat_input=True).eval()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        call(multi)
    assert fastlif.passes.thread.current is None and not multi.running
    assert multi(torch.rand(4, 6)).shape == (4, 6)


# --- Activation checkpointing -------------------------------------------------------------------------------------


def parts(neuron=LIF, **keywords):
    torch.manual_seed(0)
    return [module for _ in range(3) for module in (nn.Linear(6, 6), neuron(**keywords))]


def gradients(model, loss, *more, **keywords):
    return torch.autograd.grad(loss, [*model.parameters(), *more], **keywords)


OTHER_PASSES = {
    "evaluation": lambda model: model.eval()(torch.rand(3, 6)),
    "another batch": lambda model: model(torch.rand(5, 6)),
    "a batch that reads as folded": lambda model: model(torch.rand(12, 6)),
    "another T": lambda model: (setattr(model, "timesteps", 3), model(torch.rand(4, 6))),
    # The error is let go: while it lives, torch 2.11 keeps the hooks of the checkpoint that failed.
    "a pass that failed": lambda model: pytest.raises(RuntimeError, model, torch.rand(4, 5)) and None,
    "its backward": lambda model: model(torch.rand(5, 6)).sum().backward(),
}


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("between", OTHER_PASSES)
@pytest.mark.parametrize("name", NEURONS)
def test_what_is_computed_again_belongs_to_its_own_pass(name, between, reentrant):
    neuron, keywords = NEURONS[name]
    plain = parts(neuron, **keywords)
    whole = MultiStep(nn.Sequential(*plain), 2)
    split = [Checkpointed(*plain[i : i + 2], use_reentrant=reentrant) for i in (0, 2)]
    split = MultiStep(nn.Sequential(*split, *plain[4:]), 2)
    x = torch.rand(4, 6, requires_grad=True)
    expected = gradients(whole, whole(x).square().sum(), x)
    y = split(x)
    later = OTHER_PASSES[between](split)  # kept, and its graph with it
    split.zero_grad()
    x.grad = None
    y.square().sum().backward()
    assert all(map(torch.equal, [*(parameter.grad for parameter in split.parameters()), x.grad], expected))
    del later


@pytest.mark.parametrize("reentrant", [True, False])
def test_several_passes_in_one_backward(reentrant):
    """Each of a T of its own; the last one of a sequence."""
    plain = parts(**REFERENCE)
    whole = MultiStep(nn.Sequential(*plain), 2)
    split = MultiStep(nn.Sequential(Checkpointed(*plain[:4], use_reentrant=reentrant), *plain[4:]), 2)
    results = []
    for model in (whole, split):
        losses = []
        for T, batch in ((2, 4), (3, 8), (4, 2)):
            model.timesteps = T
            x = torch.rand(batch, 6, generator=torch.Generator().manual_seed(T), requires_grad=True)
            losses.append(model(x).square().sum())
        x = torch.rand(5, 3, 6, generator=torch.Generator().manual_seed(5), requires_grad=True)
        losses.append(model(x, sequence=True).square().sum())
        model.zero_grad()
        sum(losses).backward()
        results.append([parameter.grad for parameter in model.parameters()])
    for actual, expected in zip(*results):
        torch.testing.assert_close(actual, expected)


def calibrated_blocks(*, reentrant=None, each=True):
    """One neuron for four layers, calibrated, in one checkpoint or in two."""
    neuron = NoisyLIF(**QUIET)
    layers = [module for _ in range(4) for module in (nn.Linear(6, 6), neuron)]
    if reentrant is not None:
        keywords = {"use_reentrant": reentrant}
        middle = [Checkpointed(*layers[:4], **keywords), Checkpointed(*layers[4:], **keywords)]
        layers = middle if each else [Checkpointed(*layers, **keywords)]
    multi = MultiStep(nn.Sequential(*layers), 3)
    with torch.no_grad():
        for index, parameter in enumerate(multi.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)))
    return multi.calibrate([torch.rand(16, 6, generator=torch.Generator().manual_seed(0))])


def test_a_shared_calibrated_neuron_that_is_computed_again_uses_the_row_of_its_call():
    """In every backward, also after one that failed halfway."""
    x = torch.rand(4, 6, requires_grad=True)
    whole, once = calibrated_blocks(), calibrated_blocks(reentrant=False, each=False)
    expected = gradients(whole, whole(x).square().sum(), x)
    y = once(x)
    once(x)
    hook = once.model[0].part[4].register_forward_pre_hook(lambda *_: pytest.fail("halfway"))
    with pytest.raises(pytest.fail.Exception, match="halfway"):
        y.square().sum().backward(retain_graph=True)
    hook.remove()
    for _ in range(2):
        assert all(map(torch.equal, gradients(once, y.square().sum(), x, retain_graph=True), expected))


@pytest.mark.parametrize("reentrant, each", [(False, True), (True, True), (True, False)])
def test_a_call_that_cannot_be_told_is_an_error(reentrant, each):
    several = calibrated_blocks(reentrant=reentrant, each=each)
    with pytest.raises(RuntimeError, match="it cannot be told which of its calls this is: put all of them into"):
        several(torch.rand(4, 6, requires_grad=True)).square().sum().backward()


def test_what_cannot_be_told_is_an_error():
    inner = Checkpointed(*parts(**REFERENCE), use_reentrant=True)
    multi = MultiStep(nn.Sequential(Checkpointed(inner, use_reentrant=True)), 2)
    y = multi(torch.rand(4, 6, requires_grad=True))
    with pytest.raises(RuntimeError, match="cannot be told which pass it belongs to. Use checkpoint.*reentrant=False"):
        y.sum().backward()


@pytest.mark.parametrize("nested", [True, False])
def test_checkpoints_in_checkpoints(nested):
    plain = parts(**REFERENCE)
    inner = Checkpointed(*plain[:4], use_reentrant=False)
    split = MultiStep(nn.Sequential(Checkpointed(inner, *plain[4:], use_reentrant=False)), 2)
    whole, x = MultiStep(nn.Sequential(*plain), 2), torch.rand(4, 6, requires_grad=True)
    expected = gradients(whole, whole(x).square().sum(), x)
    y = checkpoint(split, x, use_reentrant=False) if nested else split(x)
    split(torch.rand(6, 6))
    assert all(map(torch.equal, gradients(split, y.square().sum(), x), expected))


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("T, sequence", [(2, False), (2, True), (4, True)])
def test_checkpoints_of_parts_that_are_compiled_by_themselves(T, sequence, reentrant, fresh_compiler):
    """T is that of the sequence, which need not be the model's."""
    plain, x = parts(**REFERENCE), torch.rand(*(T,) * sequence, 4, 6, requires_grad=True)
    for parameter in nn.Sequential(*plain).parameters():
        parameter.data.mul_(4)  # so that there are spikes
    whole = MultiStep(nn.Sequential(*plain), 2)
    split = MultiStep(nn.Sequential(*plain[:2], Checkpointed(*plain[2:], use_reentrant=reentrant)), 2)
    split.model[2].part.compile(backend="eager")
    for multi in (whole, split):
        multi(x, sequence=sequence).square().sum().backward()
    for parameter, expected in zip(split.parameters(), whole.parameters(), strict=True):
        assert torch.equal(parameter.grad, expected.grad) and expected.grad.any()


def test_a_compiled_stateful_neuron_is_not_computed_again(fresh_compiler):
    layers = nn.Linear(6, 6), LIF(stateful=True, **REFERENCE), nn.Linear(6, 6)
    multi = MultiStep(nn.Sequential(*parts(**REFERENCE), Checkpointed(*layers, use_reentrant=True)), 2)
    multi.model[-1].part.compile(backend="eager")
    y = multi(torch.rand(2, 4, 6, requires_grad=True), sequence=True)
    with pytest.raises(RuntimeError, match="a stateful neuron cannot be computed again"):
        y.sum().backward()


def test_the_layers_of_a_multistep_are_one_graph_by_themselves(fresh_compiler):
    multi, x = MultiStep(nn.Sequential(*parts(**REFERENCE)), 2), torch.rand(4, 6)
    assert torch.equal(torch.compile(multi.model, backend="eager", fullgraph=True)(x), multi.model(x))


def test_a_compiled_call_that_cannot_be_told_is_an_error(fresh_compiler):
    once = calibrated_blocks(reentrant=False, each=False)
    once.model[0].part.compile(backend="eager")
    with pytest.raises(RuntimeError, match="it cannot be told which of its calls this is.* not compiled by itself"):
        once(torch.rand(4, 6, requires_grad=True)).square().sum().backward()


def test_a_pass_goes_with_its_graph():
    import gc
    import weakref

    split = MultiStep(nn.Sequential(*(Checkpointed(*parts(**REFERENCE), use_reentrant=r) for r in (True, False))), 2)
    passes = []
    split.model[0].register_forward_hook(lambda *_: passes.append(weakref.ref(fastlif.passes.thread.current)))
    y = split(torch.rand(4, 6, requires_grad=True))
    assert passes[0]() is not None
    y.sum().backward()
    del y
    gc.collect()
    assert passes[0]() is None


# --- Threads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda multi: pickle.loads(pickle.dumps(multi))], ids=["copy", "pickle"]
)
def test_a_copy_has_none_of_the_passes_that_run(copied):
    multi = MultiStep(nn.Sequential(nn.Linear(6, 6), LIF(**REFERENCE), LIF(**REFERENCE)), 2)
    multi.running.append(fastlif.passes.Pass())  # as another thread does
    other = copied(multi)
    assert multi.running and not other.running
    assert other.running is other.model[1].running is other.model[2].running


@pytest.mark.parametrize("compiled", [False, True])
def test_a_part_in_another_thread_is_refused(compiled, fresh_compiler):
    class Elsewhere(nn.Sequential):
        def forward(self, x):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                return pool.submit(super().forward, x).result()

    multi = MultiStep(nn.Sequential(nn.Linear(6, 6), Elsewhere(LIF(**REFERENCE))), 2)
    if compiled:
        multi.model[1][0].compile(backend="eager")
    with pytest.raises(RuntimeError, match="in another thread than the model"):
        multi(torch.rand(4, 6))
    assert not multi.running


def test_passes_in_several_threads_do_not_wait_for_each_other():
    """Of one model and another, over images and sequences: each is in the middle of its pass when the others are."""

    class Meeting(nn.Module):
        def forward(self, x):
            barrier.wait()
            return x

        def __deepcopy__(self, memo):
            return self

    torch.manual_seed(0)
    single = nn.Sequential(nn.Linear(6, 6), LIF(**REFERENCE), Meeting(), nn.Linear(6, 6), LIF(**REFERENCE))
    one, other, x = MultiStep(single, 2).eval(), MultiStep(single, 3), torch.rand(6, 4, 6)
    calls = [
        lambda: one(x[0]),
        lambda: one(x[1, :2]),
        lambda: other(x[2, :3]),
        lambda: one(x[:3], sequence=True),
        lambda: one(x, sequence=True),
        lambda: one.until_confident(x[3], 0.9999, max_timesteps=1)[0],
    ]
    barrier = threading.Barrier(1)
    wanted = [call() for call in calls]
    barrier = threading.Barrier(len(calls), timeout=20)
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        assert all(map(torch.equal, pool.map(lambda call: call(), calls), wanted))


# --- Calibration, by value ----------------------------------------------------------------------------------------


def statistics_of_calls(weights, x, T):
    """Of a neuron that is called after each of some layers, ``[calls, T]``, from the equations."""
    means, deviations, x = [], [], x.double().expand(T, *x.shape)
    for weight in weights:
        h = literal_membranes(x @ weight.double().T, alpha=4.0)
        x = (h > 1).double()
        leaked = 0.5 * torch.cat([torch.zeros_like(h[:1]), (h * (1 - x))[:-1]])
        means.append(leaked.mean((1, 2)))
        deviations.append((leaked - means[-1][:, None, None]).abs().amax((1, 2)))
    return torch.stack(means), torch.stack(deviations)


def test_calibration_is_the_mean_over_batches_of_each_step_and_call():
    T, generator = 4, torch.Generator().manual_seed(5)
    neuron = NoisyLIF(**QUIET)
    linears = [nn.Linear(12, 12, bias=False) for _ in range(3)]
    with torch.no_grad():
        for linear in linears:
            linear.weight.copy_(torch.randn(12, 12, generator=generator) / 2)
    multi = MultiStep(nn.Sequential(*(module for linear in linears for module in (linear, neuron))), T)
    batches = [torch.rand(9, 12, generator=generator), 3 * torch.rand(5, 12, generator=generator)]
    multi.calibrate(batches)
    each = [statistics_of_calls([linear.weight for linear in linears], batch, T) for batch in batches]
    for values in zip(*each):  # the batches, the calls and all steps but the first differ
        assert (values[0] - values[1]).abs()[:, 1:].min() > 1e-4
        assert (values[0].diff(dim=0)).abs()[:, 1:].min() > 1e-4 and (values[0].diff(dim=1)).abs().min() > 1e-4
    for actual, values in zip((multi.model[1].calibrated_mean, multi.model[1].calibrated_deviation), zip(*each)):
        torch.testing.assert_close(actual, torch.stack(values).mean(0).float(), rtol=1e-4, atol=1e-5)


def test_each_call_of_a_calibrated_neuron_uses_its_own_row_and_first_steps():
    multi = calibrated_blocks()
    layers, x = multi.model, torch.rand(400, 6)
    neuron = layers[1]
    rows = torch.stack([neuron.calibrated_mean, neuron.calibrated_deviation])
    assert rows.shape == (2, 4, 3) and (rows[0, :, 1:] - rows[0, :, :-1]).abs().min() > 1e-4
    for T in (3, 2):
        multi.timesteps = T
        seen: list[torch.Tensor] = []
        hook = neuron.register_forward_hook(lambda module, arguments, output, seen=seen: seen.append(output))
        multi(x)
        hook.remove()
        spikes = x.expand(T, *x.shape)
        for call, actual in enumerate(seen):
            statistics = tuple(rows[:, call, :T])
            spikes = functional.noisy_lif(layers[2 * call](spikes), statistics=statistics, **QUIET)
            assert torch.equal(actual, spikes.flatten(0, 1)), call
        others = [functional.noisy_lif(layers[0](x.expand(T, 400, 6)), statistics=tuple(rows[:, call, :T]), **QUIET)
                  for call in range(1, 4)]  # fmt: skip
        assert not any(torch.equal(seen[0], other.flatten(0, 1)) for other in others)


def test_a_shared_relu_made_stateful_after_the_conversion():
    """No call is run before the model is converted again; then each call has a membrane of its own."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(0.8 * self.relu(x))

    late = fastlif.convert(Twice(), fastlif.LIF, backend="reference")
    late.relu.stateful = True
    x = torch.rand(5, 7) + 0.2
    with pytest.raises(RuntimeError, match="made stateful after the conversion"):
        late(x)
    assert not late.relu.states
    again = fastlif.convert(late)
    early = fastlif.convert(Twice(), fastlif.LIF, stateful=True, backend="reference")
    for _ in range(3):
        assert torch.equal(again(x), early(x))
    assert len(again.relu.states) == 2
    late.relu.stateful = False
    late(x)
