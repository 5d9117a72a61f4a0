"""Random neurons on random inputs for minutes, forward and backward, each against the reference; memory stays flat.

``python tests/by_hand/soak.py --minutes 10`` on a GPU. On a CPU ``--backend triton`` (the default) is Triton's
interpreter; there is ``--backend compiled`` too.
"""

import argparse
import gc
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

sys.path.append(str(Path(__file__).parents[1] / "shared"))
from helpers import ALL_SURROGATES, DEVICE, DTYPES, TIE, membranes_of, outputs_and_gradients, relative_error

from fastlif import Noise
from fastlif.functional import lif, noisy_lif, noisy_spike

GRADIENT_ERROR = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 2e-2}  # relative RMS
NOISES = (Noise(), Noise("uniform"), Noise(low=-0.5, width=3.0), Noise("none"))
LAYOUTS = {
    "contiguous": lambda x: x,
    "static": lambda x: x[:1].expand_as(x),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "sliced": lambda x: torch.cat([x, x], dim=3)[..., ::2],
}
LARGEST = 1_000_000 if DEVICE == "cuda" else 2_000  # elements of a step
FLAT = 64 << 20  # bytes that a CPU process may grow by: an allocator keeps some of what it is given back


@dataclass
class Kind:
    """What a kernel is compiled for; the rest differs from trial to trial."""

    function: object
    dtype: torch.dtype
    T: int
    layout: str
    with_state: bool
    keywords: dict = field(default_factory=dict)


def draw_kind(rng):
    function = rng.choice((noisy_spike, lif, noisy_lif, noisy_lif))
    keywords = {"surrogate": rng.choice(ALL_SURROGATES)}
    if function is not noisy_spike:
        keywords |= {"reset": rng.choice((0.0, -0.25, None)), "detach_reset": rng.random() < 0.3}
    if function is not lif:
        keywords["noise"] = rng.choice(NOISES)
    if function is noisy_lif:
        keywords["statistics"] = rng.choice(("layer", "sample", "calibrated"))
    dtype = rng.choice(DTYPES)
    T = 1 if function is noisy_spike else rng.choice((1, 2, 3, 4, 5, 8, 10, 16, 17, 33))
    return Kind(function, dtype, T, rng.choice(list(LAYOUTS)), rng.random() < 0.4, keywords)


def draw_trial(kind, rng):
    """An input, an initial state or None, and the function's keywords."""
    torch.manual_seed(rng.getrandbits(32))
    keywords = kind.keywords | {"threshold": rng.uniform(0.5, 1.5)}
    if kind.function is not noisy_spike:
        keywords["decay"] = rng.uniform(0.1, 0.95)
    if kind.function is not lif:
        keywords["seed"] = rng.randrange(-(2**63), 2**63)
    if kind.function is noisy_lif:
        keywords |= {"alpha": rng.choice((2.0, 3.0, 4.0, 16.0, float("inf"))), "beta": rng.uniform(0.2, 0.8)}
        if keywords["statistics"] == "calibrated":
            spread = torch.rand(2, kind.T, device=DEVICE)
            keywords["statistics"] = (0.3 * spread[0], 0.4 + spread[1])
    samples = rng.randint(2, 9)
    # Below 100 features, statistics over few membranes would magnify rounding.
    features = int(100 * (LARGEST / samples / 100) ** rng.random())
    rows = rng.randint(2, 9)
    x = LAYOUTS[kind.layout](torch.randn(kind.T, samples, rows, -(-features // rows), device=DEVICE) * 0.6 + 0.4)
    if kind.function is noisy_spike:
        return x[0].to(kind.dtype), None, keywords
    state = torch.randn(x.shape[1:], device=DEVICE) * 0.5 if kind.with_state else None
    return x.to(kind.dtype), state, keywords


def trial(kind, backend, rng):
    """Compares one trial; returns the gradients' largest error as a share of what is allowed, and ties met."""
    x, state, keywords = draw_trial(kind, rng)
    results = [outputs_and_gradients(kind.function, name, x, state, **keywords) for name in (backend, "reference")]
    ((spikes, *v), gradients), ((expected, *expected_v), expected_gradients) = results
    differ = (spikes != expected)[None] if kind.function is noisy_spike else spikes != expected
    if ties := int(differ.any(dim=0).sum()):
        distance = (membranes_of(kind.function, x, state, **keywords) - keywords["threshold"]).abs()
        # A neuron that parted ways at a tie goes another way, and takes along those it shares statistics with.
        shared = isinstance(keywords.get("statistics"), str)
        steps = differ.flatten(1).any(dim=1, keepdim=True) if shared else differ.flatten(1)
        first = differ.flatten(1) & (steps.int().cumsum(dim=0) == 1)
        assert float(distance.flatten(1)[first].max()) < 2 * TIE, "spikes differ away from the threshold"
        if shared:
            return 0.0, ties
    same = ~differ.any(dim=0)
    for mine, theirs in zip(v, expected_v):
        torch.testing.assert_close(mine[same], theirs[same], rtol=1e-4, atol=1e-5)
    errors = [0.0]
    for mine, theirs in zip(gradients, expected_gradients):
        mask = same.expand_as(mine)
        errors.append(relative_error(mine[mask], theirs[mask]) / GRADIENT_ERROR[mine.dtype])
    assert max(errors) < 1, f"gradients differ by {max(errors):.2g} times what is allowed"
    return max(errors), ties


def memory():
    """Bytes: allocated on the GPU, or of the whole process on a CPU."""
    gc.collect()
    if DEVICE == "cuda":
        return torch.cuda.memory_allocated()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="after every kind ran once (default 1)")
    parser.add_argument("--backend", default="triton", choices=("triton", "compiled"))
    parser.add_argument("--kinds", type=int, help="kinds of neuron; each is compiled (default 32; compiled: 4)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(2)

    rng = random.Random(args.seed)
    kinds = [draw_kind(rng) for _ in range(args.kinds or {"triton": 32, "compiled": 4}[args.backend])]
    trials = ties = 0
    worst, samples, started = 0.0, [], None
    while started is None or time.monotonic() < started + 60 * args.minutes:
        kind = rng.choice(kinds) if trials >= len(kinds) else kinds[trials]
        before = rng.getstate()
        try:
            error, met = trial(kind, args.backend, rng)
        except Exception:
            rng.setstate(before)
            print(f"trial {trials} failed: {kind}, {draw_trial(kind, rng)[2]}", file=sys.stderr)
            raise
        trials, ties, worst = trials + 1, ties + met, max(worst, error)
        if trials < len(kinds):
            continue
        if started is None:
            started = reported = time.monotonic()
            print(f"{len(kinds)} kinds of neuron ran on {DEVICE}, backend {args.backend}", flush=True)
        samples.append(memory())
        if time.monotonic() > reported + 15:
            reported = time.monotonic()
            print(f"{reported - started:5.0f} s  {trials:7,} trials  {samples[-1] / 2**20:,.1f} MB", flush=True)

    third = max(1, len(samples) // 3)
    growth = max(samples[-third:]) - max(samples[:third])
    allowed = 0 if DEVICE == "cuda" else FLAT
    print(
        f"{trials:,} trials, {ties:,} neurons at a tie, gradients within {worst:.0%} of what is allowed, "
        f"memory grew by {growth / 2**20:.1f} MB of {allowed / 2**20:.0f} allowed"
    )
    if growth > allowed:
        sys.exit("memory is not flat")


if __name__ == "__main__":
    main()
