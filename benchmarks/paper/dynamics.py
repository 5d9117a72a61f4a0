"""Fig. 7 (a), (b): the membrane of one converted neuron over time, without input and with it."""

import torch

import fastlif
from benchmarks.report.rows import Row, select
from benchmarks.report.verdicts import Finding, Published
from benchmarks.training.lab import Lab

TITLE = "Fig. 7 (a), (b): the membrane of a neuron over time"
DESCRIPTION = "one neuron's membrane and spikes over time, without input and with it (Fig. 7)"
SUMMARY = ()  # the figure alone
PAPER = (Published("without / with input", "oscillates between reset and threshold, no spikes / fires"),)
LAYER = 1024  # neurons, over which the membrane is normalised; the first one is watched
STEPS = 100
INPUTS = (0.0, 0.4)  # in units of the threshold, the same for every neuron and step


def measure(lab: Lab) -> None:
    for strength in INPUTS:
        for step, (membrane, spike) in enumerate(watch(strength, lab), start=1):
            setting = {"input": f"{strength:g}", "step": step}
            about = f"one neuron of {LAYER:,}"
            lab.record("dynamics", about, setting, "membrane before the spike", "V_th", membrane)
            lab.record("dynamics", about, setting, "spike", "", spike)


def watch(strength: float, lab: Lab) -> list[tuple[float, float]]:
    """(membrane before the spike, spike) of the first neuron at each step."""
    x, state = torch.full((1, 1, LAYER), strength, device=lab.device), None
    generator = torch.Generator().manual_seed(lab.options.seed)
    seen = []
    for _ in range(STEPS):
        seed = int(torch.randint(2**62, (), generator=generator))
        options = {"initial_state": state, "seed": seed, "return_state": True, "backend": lab.options.backend}
        # The same step with a threshold that is never reached leaves the membrane as it was before the spike.
        _, before = fastlif.functional.noisy_lif(x, threshold=float("inf"), **options)
        spikes, state = fastlif.functional.noisy_lif(x, **options)
        seen.append((before[0, 0].item(), spikes[0, 0, 0].item()))
    return seen


def draw(rows: list[Row], figure) -> None:
    panels = figure.subplots(len(INPUTS), 1, sharex=True)
    for axes, strength in zip(panels, INPUTS):
        own = select(rows, input=f"{strength:g}")
        membrane = [row.median for row in select(own, metric="membrane before the spike")]
        spikes = [int(row.setting["step"]) for row in select(own, metric="spike") if row.median]
        axes.plot(range(1, STEPS + 1), membrane, linewidth=1)
        axes.plot(spikes, [1.9] * len(spikes), "|", color="black", markersize=10)
        axes.axhline(1, color="black", linestyle=":", label="threshold")
        axes.set_ylim(-0.1, 2.05)
        axes.set_ylabel(f"membrane / V_th\ninput {strength:g}")
    panels[0].legend(loc="upper right")
    panels[-1].set_xlabel("time step (strokes above: spikes)")
    figure.set_size_inches(8, 5)


def findings(rows: list[Row]) -> list[Finding]:
    silent, driven = (select(rows, input=f"{strength:g}", metric="spike") for strength in INPUTS)
    membrane = [row.median for row in select(rows, input="0", metric="membrane before the spike")]
    spikes = [int(sum(row.median for row in own)) for own in (silent, driven)]
    return [
        Finding(
            "Without input the membrane oscillates between reset and threshold, and no spike is fired",
            spikes[0] == 0 and min(membrane) >= 0 and max(membrane) <= 1 and max(membrane) > min(membrane),
            f"{spikes[0]} spikes in {STEPS} steps, membrane from {min(membrane):.3f} to {max(membrane):.3f} V_th",
            short=f"{spikes[0]} spikes",
        ),
        Finding(
            "With input it fires",
            spikes[1] > 0,
            f"{spikes[1]} spikes in {STEPS} steps at an input of {INPUTS[1]:g} V_th",
            short=f"{spikes[1]} spikes",
        ),
    ]
