"""``python -m benchmarks nir``: how many spikes differ between fastlif and its peers that run the same NIR file.

It writes the table of benchmarks/results/nir.md. It needs nir, SpikingJelly, snnTorch and Norse.
"""

import argparse
import contextlib
import functools
import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import fastlif
from benchmarks.files import write_whole
from benchmarks.options import UsageError, file_or_folder
from benchmarks.report.markdown import table
from benchmarks.report.rows import FOLDER
from benchmarks.speed.peers import line, step_by_step

DT = 1e-4
LIF = functools.partial(fastlif.LIF, backend="reference")
T, N = 200, 1  # snnTorch and Norse flatten the batch too, where a file flattens a sample
DESCRIPTION = "spikes that differ between ours and other libraries that run the same NIR file"
RESULTS = FOLDER / "nir.md"
PACKAGES = "nir", "spikingjelly", "snntorch", "norse"
Run = Callable[[torch.Tensor], torch.Tensor]  # [T, N, *] to spikes


class Residual(nn.Module):
    """A layer beside which its input goes on."""

    def __init__(self, size: int):
        super().__init__()
        self.linear, self.shortcut, self.neuron = nn.Linear(size, size), nn.Linear(size, size), LIF(T, decay=0.8)

    def forward(self, x):
        return self.neuron(self.linear(x) + self.shortcut(x))


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks of ours with the shape of a sample, which differ in what a reader must get right."""
    images = [nn.Conv2d(2, 8, 3, padding=1), LIF(T, decay=0.8), nn.Conv2d(8, 16, 3, stride=2), LIF(T, threshold=0.2)]
    flattened = nn.Sequential(*images, nn.Flatten(), nn.Linear(16 * 9, 50), LIF(T, decay=0.9, threshold=0.3))
    normalised = nn.Sequential(images[0], nn.BatchNorm2d(8), images[1], images[2], nn.BatchNorm2d(16), images[3])
    normalised(torch.rand(T, 2, 8, 8) * 2)  # in training, so that it gets statistics
    pooled = (nn.Conv2d(2, 8, 3), LIF(T, decay=0.9, threshold=0.3), nn.AvgPool2d(2), nn.Conv2d(8, 8, 3),
              LIF(T, threshold=0.1))  # fmt: skip
    return {
        "three linear layers, decay 0.5, 0.9, 0.75": (nn.Sequential(
            nn.Linear(64, 100), LIF(T, threshold=0.3), nn.Linear(100, 100), LIF(T, decay=0.9), nn.Linear(100, 100),
            LIF(T, decay=0.75, threshold=0.2)), (64,)),
        "two convolutions, flattened, linear": (flattened, (2, 8, 8)),
        "two convolutions with batch normalisation": (normalised.eval(), (2, 8, 8)),
        "average pooling": (nn.Sequential(*pooled), (2, 10, 10)),
        "a sum of two branches": (nn.Sequential(nn.Linear(64, 100), LIF(T, threshold=0.2), Residual(100)), (64,)),
        "decay 1, which is nir.IF": (nn.Sequential(nn.Linear(64, 100), LIF(T, decay=1.0)), (64,)),
        "reset to -0.2": (nn.Sequential(nn.Linear(64, 100), LIF(T, decay=0.9, reset=-0.2)), (64,)),
    }  # fmt: skip


def spikingjelly(path: str) -> Run:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    network = import_from_nir(path, dt=DT, step_mode="m")
    return lambda x: network(x)[0]


def snntorch(path: str) -> Run:
    import nir
    from snntorch.import_nir import import_from_nir

    return step_by_step(import_from_nir(nir.read(path)))  # its dt is 1e-4


def norse(path: str) -> Run:
    import nir
    from norse.torch.utils.import_nir import from_nir

    return step_by_step(from_nir(nir.read(path), dt=DT))


def sinabs(path: str) -> Run:
    import nir
    import sinabs.activation
    import sinabs.layers
    from sinabs.nir import from_nir

    network = from_nir(nir.read(path), batch_size=N, num_timesteps=T)
    for module in network.modules():
        if isinstance(module, sinabs.layers.LIF):
            module.spike_fn, module.reset_fn = sinabs.activation.SingleSpike, sinabs.activation.MembraneReset()
    return lambda x: network(x.flatten(0, 1))[0]  # its batch comes first, and is 1 here


READERS = {"SpikingJelly": spikingjelly, "snnTorch": snntorch, "Norse": norse}


def from_spikingjelly(decay_input: bool):
    """A network of SpikingJelly's and the graph that it exports."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    network = nn.Sequential(
        layer.Conv2d(2, 8, 3), neuron.LIFNode(tau=4.0, decay_input=decay_input, v_threshold=0.3), layer.AvgPool2d(2),
        layer.Flatten(), layer.Linear(72, 100), neuron.IFNode(), layer.Linear(100, 100),
        neuron.LIFNode(tau=2.0, decay_input=decay_input, v_threshold=0.2),
    )  # fmt: skip
    functional.set_step_mode(network, "m")
    graph = export_to_nir(network, torch.zeros(T, N, 2, 8, 8), dt=DT)
    functional.reset_net(network)
    return network, graph, (2, 8, 8), DT


def from_snntorch(reset: str):
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    ones = torch.ones(100)  # its exporter needs parameters of the neurons' shape
    network = nn.Sequential(
        nn.Linear(64, 100), snn.Leaky(0.9 * ones, 0.3 * ones, init_hidden=True, reset_mechanism=reset),
        nn.Linear(100, 100), snn.Leaky(0.8 * ones, 0.2 * ones, init_hidden=True, reset_mechanism=reset),
    )  # fmt: skip
    graph = export_to_nir(network, torch.zeros(1, 64), ignore_dims=[0])
    for neuron in network[1::2]:
        neuron.reset_mem()
    return lambda x: torch.stack([network(step) for step in x]), graph, (64,), DT


def from_norse(dt: float):
    """``dt`` is what its exporter is given; it divides dt by 1/tau, so that 1 gives time constants in seconds."""
    from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState
    from norse.torch.utils.export_nir import to_nir

    parameters = LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(0.1))
    network = SequentialState(nn.Linear(64, 100), LIFBoxCell(parameters), nn.Linear(100, 100), LIFBoxCell(parameters))
    graph = to_nir(network, torch.zeros(1, 64), dt=dt)
    return step_by_step(network), graph, (64,), 1e-3


BY_SUBTRACTION = 'snnTorch: Leaky, reset_mechanism="subtract", its default'
WRITERS = {
    "SpikingJelly: LIFNode (decay_input=True), IFNode, pooling": lambda: from_spikingjelly(True),
    "SpikingJelly: LIFNode (decay_input=False), IFNode, pooling": lambda: from_spikingjelly(False),
    'snnTorch: Leaky, reset_mechanism="zero"': lambda: from_snntorch("zero"),
    BY_SUBTRACTION: lambda: from_snntorch("subtract"),
    "Norse: LIFBoxCell, to_nir(..., dt=1)": lambda: from_norse(1.0),
    "Norse: LIFBoxCell, to_nir(...) with its default dt=0.001": lambda: from_norse(1e-3),
}


def compare(ours: Run, theirs: Run, shape: tuple[int, ...]) -> str:
    """``differing of all (spikes of ours)`` for a random input of T steps."""
    x = torch.rand(T, N, *shape, generator=torch.Generator().manual_seed(1)) * 2
    with torch.no_grad():
        one = ours(x)
        other = theirs(x).view_as(one)
    return f"{int((one != other).sum()):,} of {one.numel():,} ({int(one.sum()):,} spikes)"


def attempt(work: Callable[[], str]) -> str:
    """What ``work`` returns, or what was wrong, in a line."""
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            return work()
    except ImportError:
        raise
    except Exception as error:  # whatever a peer refuses with
        return line(error).replace("|", "/")


def exported(network, shape, reader, **options) -> str:
    """The network's spikes against those of a peer that reads our file."""
    import nir

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.nir")
        nir.write(path, fastlif.to_nir(network, shape, **options))
        theirs = reader(path)
    return compare(lambda x: network(x.flatten(0, 1)).unflatten(0, (T, N)), theirs, shape)


def imported(name: str, **keywords) -> str:
    """A peer's spikes against ours, from the graph that it exports."""
    theirs, graph, shape, dt = WRITERS[name]()
    return compare(fastlif.from_nir(graph, dt=dt, backend="reference", **keywords), theirs, shape)


def tables() -> str:
    torch.manual_seed(0)
    lines = []
    for name, (network, shape) in networks().items():
        for scale in ("weights", "membrane"):
            made = functools.partial(exported, network, shape, dt=DT, scale=scale)
            lines.append([name, scale, *(attempt(functools.partial(made, reader)) for reader in READERS.values())])
    made = [table(["our network", "scale", *READERS], lines)]
    lines = [[name, attempt(functools.partial(imported, name))] for name in WRITERS]
    options = {"reset": None, "reset_delay": True}
    found = attempt(functools.partial(imported, BY_SUBTRACTION, **options))
    lines.append([f"{BY_SUBTRACTION}; read with reset=None, reset_delay=True", found])
    made.append(table(["their network", "read by `fastlif.from_nir`"], lines))
    if importlib.util.find_spec("sinabs") is not None:
        name, (network, shape) = next(iter(networks().items()))
        options = {"dt": 1.0, "scale": "membrane", "discretisation": "exponential"}
        spikes = attempt(functools.partial(exported, network, shape, sinabs, **options))
        made.append(table(["our network, exponential", "sinabs"], [[name, spikes]]))
    return "\n\n".join(made)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=file_or_folder, default=RESULTS, help="the file of the table, in Markdown")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table and writes it."""
    if arguments.out.is_dir():
        raise UsageError(f"--out {arguments.out} is a folder: give the name of a file in it")
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UsageError(f"{', '.join(missing)} cannot be found: pip install '.[nir,peers]'")
    logging.disable(logging.WARNING)
    try:
        text = tables()
    except ImportError as error:
        raise UsageError(f"{line(error)}: pip install '.[nir,peers]'") from error
    finally:
        logging.disable(logging.NOTSET)
    print(text)
    write_whole(arguments.out, f"{PAGE}\n{text}\n")
    return 0


PAGE = f"""# Spikes that differ between fastlif and its peers

Made by `python -m benchmarks nir`. Each network runs for {T} steps on the same random input; every spike is
compared. The peers' own readers and writers do the exchange.

- SpikingJelly reads r = 1 and r = tau/dt, and a reset to where the membrane leaks to alone.
- snnTorch's reader takes dt for 1e-4, ignores the reset, and refuses `nir.IF` unless r = 1.
- Norse's reader ignores r and the reset, has no `nir.AvgPool2d`, and runs branches in a wrong order.
- snnTorch and Norse flatten the batch too where a file flattens a sample, so that the batch is {N} here.
- Norse's writer divides dt by 1/tau: with dt=1 its time constants are in seconds.
- snnTorch writes its default, a reset by subtraction, as a reset to 0: read it with `reset=None, reset_delay=True`.
- sinabs (a row where it is installed) reads time constants in steps and ignores r: `to_nir(..., dt=1.0,
  scale="membrane", discretisation="exponential")`. Its neurons reset by subtraction and spike several times a step
  until they are set to `SingleSpike` and `MembraneReset`, as here.
"""
