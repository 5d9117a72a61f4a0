"""The LIF neurons of other libraries, set to our recurrence: decay 0.5, threshold 1, hard reset to 0, atan of width 2.

Each neuron is a function of input ``[T, N]`` that gives spikes ``[T, N]``, made anew by its entry in ``PEERS``, which
imports the library. SpikingJelly fires where the membrane reaches the threshold, the others where it exceeds it: they
differ at ties alone. Norse has its own surrogate, and a membrane and a threshold of half the size. Beside them, whole
networks on SpikingJelly's layers.
"""

import functools
import math
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fastlif import Surrogate
from fastlif.functional import lif
from fastlif.machine import installed_version

Neuron = Callable[[Tensor], Tensor]


def step_by_step(cell: Callable, start: Callable = lambda step: None) -> Neuron:
    """A cell of snnTorch or Norse in a loop over time, from the state that ``start`` gives for a time step. A single
    step is a call of the cell and no loop, as its user writes it."""

    def run(x):
        if len(x) == 1:
            step = x.squeeze(0)
            return cell(step, start(step))[0].unsqueeze(0)
        state, spikes = start(x[0]), []
        for step in x:
            spike, state = cell(step, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def spikingjelly_node(device: torch.device) -> nn.Module:
    os.environ.setdefault("SJ_LIF_CUDA_IMPLEMENTATION", "triton")  # read at the import
    from spikingjelly.activation_based import functional, neuron, surrogate

    if device.type == "cuda":
        found = functional.neuron_implementation("lif", device)["implementation"]
        if "triton" not in found:
            raise RuntimeError(f"it would run its {found} implementation, not its Triton kernels")
    return neuron.LIFNode(2.0, decay_input=False, surrogate_function=surrogate.ATan(alpha=2.0), step_mode="m")


def spikingjelly(device: torch.device) -> Neuron:
    from spikingjelly.activation_based import functional

    node = spikingjelly_node(device)

    def run(x):
        functional.reset_net(node)
        return node(x)

    return run


class SpikingJellyNetwork(nn.Module):
    """A network on SpikingJelly's layers over T steps: the same images at every step, the mean over T out.

    ``model`` is one of ``benchmarks.networks`` with :func:`spikingjelly_node` for its activations; it is changed. For
    T = 1 it runs in SpikingJelly's single-step mode. Each neuron is reset before each of its calls: the two activations
    of a block of ResNet-18 are one module.
    """

    def __init__(self, model: nn.Module, timesteps: int):
        from spikingjelly.activation_based import base, functional, layer

        super().__init__()
        if not isinstance(model, nn.Sequential):  # torchvision's, which flatten by a function that knows of no time
            *body, last = model.children()
            model = nn.Sequential(*body, nn.Flatten(), last)
        for module in model.modules():
            if isinstance(module, base.MemoryModule):
                module.register_forward_pre_hook(lambda node, inputs: node.reset())
            elif hasattr(layer, type(module).__name__):  # its layers are PyTorch's with a step mode
                module.__class__ = getattr(layer, type(module).__name__)
                module.step_mode = "m"
        functional.set_step_mode(model, "m" if timesteps > 1 else "s")
        self.model, self.timesteps = model, timesteps

    def forward(self, images: Tensor) -> Tensor:
        if self.timesteps == 1:
            return self.model(images)
        return self.model(images.expand(self.timesteps, *images.shape)).mean(dim=0)


def snntorch(device: torch.device) -> Neuron:
    import snntorch
    from snntorch import surrogate

    options = {"reset_mechanism": "zero", "reset_delay": False, "spike_grad": surrogate.atan(alpha=2.0)}
    leaky = snntorch.Leaky(beta=0.5, **options).to(device)
    return step_by_step(leaky, torch.zeros_like)


def norse(device: torch.device) -> Neuron:
    from norse.torch.functional import lif_box

    # Its membrane moves by (x - v) / 2, and is half of ours.
    numbers = {"tau_mem_inv": 0.5, "v_leak": 0.0, "v_th": 0.5, "v_reset": 0.0}
    parameters = lif_box.LIFBoxParameters(
        method="super", **{name: torch.tensor(number, device=device) for name, number in numbers.items()}
    )

    def cell(step, state):
        return lif_box.lif_box_feed_forward_step(step, state, parameters, dt=1.0)

    return step_by_step(cell, lambda step: lif_box.LIFBoxFeedForwardState(torch.zeros_like(step)))


def norse_derivative(u: Tensor, width: Tensor) -> Tensor:
    """Norse's surrogate is 1 / (1 + |w|)^2, where w is its membrane less its threshold: u / 2. So 0.5 is dw/du."""
    return 0.5 / (1 + width * u.abs()) ** 2


def eager(device: torch.device) -> Neuron:
    return lambda x: lif(x, backend="reference")


def compiled_eager(device: torch.device) -> Neuron:
    """A compiled function for each T and dtype: after a few recompilations of one PyTorch goes back to eager."""

    @functools.cache
    def compiled(*kind):
        def graph(x):
            return lif(x, backend="reference")

        graph.__code__ = graph.__code__.replace(co_name=f"lif_{kind}")
        return torch.compile(graph, fullgraph=True)

    return lambda x: compiled(len(x), x.dtype, torch.is_grad_enabled() and x.requires_grad)(x)


class PlainSpike(torch.autograd.Function):
    """The spike of a membrane, with the atan surrogate, as a user of eager PyTorch would write it."""

    @staticmethod
    def forward(ctx, h):
        ctx.save_for_backward(h)
        return (h > 1).to(h.dtype)

    @staticmethod
    def backward(ctx, grad):
        (h,) = ctx.saved_tensors
        return grad / (1 + (math.pi * (h - 1)) ** 2)


EAGER, COMPILED = "eager PyTorch", "torch.compile of it"
SURROGATES = {"Norse": (norse_derivative, 0.5)}  # of those that have no atan
PEERS = {"SpikingJelly": spikingjelly, "snnTorch": snntorch, "Norse": norse, EAGER: eager, COMPILED: compiled_eager}


def version(name: str) -> str | None:
    """Of a library in ``PEERS``; None if it is not installed."""
    return installed_version("torch" if name in (EAGER, COMPILED) else name.lower())


def checked(name: str, device: torch.device) -> tuple[Neuron | None, str | None]:
    """The neuron of a library in ``PEERS``, and the reason why it cannot be compared; None if it can."""
    if not version(name):
        return None, f"it is not installed (pip install {name.lower()})"
    try:
        neuron = PEERS[name](device)
        surrogate = Surrogate(*SURROGATES.get(name, ("atan",)))
        return neuron, disagreement(neuron, device, torch.float32, surrogate=surrogate)
    except Exception as error:  # whatever another library raises
        return None, line(error)


def line(error: Exception) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0][:200]


def disagreement(
    neuron: Neuron,
    device: torch.device,
    dtype: torch.dtype,
    T: int = 10,
    surrogate: str | Surrogate = "atan",
    expected: Neuron | None = None,
    exact: bool = False,
) -> str | None:
    """How spikes or gradients differ from the reference's on random input; None if only rounding differs.

    ``expected`` is the reference's neuron, by default LIF with that surrogate. With ``exact`` a neuron must keep the
    membrane of a 16-bit input in 32 bits, as the reference does. Eager libraries keep it in 16, so that it passes the
    threshold at other steps.
    """
    expected = expected or (lambda x: lif(x, surrogate=surrogate, backend="reference"))
    generator = torch.Generator().manual_seed(0)
    x = (1.5 * torch.rand(T, 2000, generator=generator)).to(device, dtype)
    grad = torch.randn(T, 2000, generator=generator).to(device, dtype)
    results = []
    for function in (neuron, expected):
        leaf = x.clone().requires_grad_()
        spikes = function(leaf)
        results.append((spikes.detach(), *torch.autograd.grad(spikes, leaf, grad)))
    (spikes, found), (right, wanted) = ([tensor.double() for tensor in pair] for pair in results)
    same = spikes == right
    different = int((~same).sum())
    error = float(((found - wanted) * same).norm() / wanted.norm())
    if dtype == torch.float32:
        ties, rounding = 0, 1e-4
    elif exact:
        ties, rounding = 0, torch.finfo(dtype).eps
    else:
        ties, rounding = x.numel() // 20, 0.3
    if different <= ties and error <= rounding:
        return None
    return f"{different} of {spikes.numel()} spikes differ, and the gradient by {error:.1%}"
