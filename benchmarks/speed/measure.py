"""What a call costs, its time and its peak memory, and the device's copy bandwidth to compare it with."""

import math
import random
import time
from collections.abc import Callable

import torch

from benchmarks.machine import now
from benchmarks.report.rows import Spread, spread

WARM_UP_SECONDS = {"cpu": 0.1, "cuda": 0.02}
CALLS = (5, 100)  # that are timed: at least, at most
TURNS = (5, 20)  # of calls that are compared turn by turn: at least, at most
COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}  # several times any cache


def in_turns(calls: list[Callable[[], object]], device: torch.device, *, budget: float = 1.0) -> list[Spread]:
    """Seconds that each of the ``calls`` takes, in turns: in each turn every call once, in an order of its own.

    So no call has always the same one before it, which leaves the memory and the caches as it does. Each call is timed
    by itself. There are from 5 turns up to 100, for about ``budget`` seconds times the number of calls. Each call runs
    at least three times beforehand: what it compiles or allocates at first is not timed. On a GPU the time is the
    device's own, between two events, and its L2 cache is overwritten before each call. If the GPU outruns the
    launching, this is launch time.
    """
    all_once = sum([_warm_up(call, device) for call in calls])
    turns = min(CALLS[1], max(CALLS[0], math.ceil(budget * len(calls) / all_once)))
    orders = random.Random(0)
    turns = [orders.sample(range(len(calls)), len(calls)) for _ in range(1 + turns)]
    measured = (_cuda_times if device.type == "cuda" else _times)(calls, device, turns)
    return [spread(times) for times in zip(*measured[1:])]  # in the first turn the memory is still shared out


def _warm_up(call, device) -> float:
    """About how many seconds a call takes, once it is warm."""
    start = time.perf_counter()
    for calls in range(1, CALLS[1]):
        call()
        elapsed = now(device) - start
        if calls >= 2 and elapsed > WARM_UP_SECONDS[device.type]:
            break
        if calls == 1:
            start = time.perf_counter()  # the first call compiles: what follows tells the time of a call
    return elapsed / max(1, calls - 1)


def _times(calls, device, turns) -> list[list[float]]:
    """Of each turn, an order of the calls, the seconds of each call."""
    times = [[0.0] * len(calls) for _ in turns]
    for own, order in zip(times, turns):
        for index in order:
            start = now(device)
            calls[index]()
            own[index] = now(device) - start
    return times


def _cuda_times(calls, device, turns) -> list[list[float]]:
    cache = torch.empty(4 * torch.cuda.get_device_properties(device).L2_cache_size, dtype=torch.uint8, device=device)
    events = [[[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in calls] for _ in turns]
    for own, order in zip(events, turns):
        for index in order:
            for _ in range(2):  # so long that the host has launched the call before the GPU comes to it
                cache.zero_()
            start, end = own[index]
            start.record()
            calls[index]()
            end.record()
    torch.cuda.synchronize(device)
    return [[start.elapsed_time(end) / 1000 for start, end in own] for own in events]


def by_turns(
    functions: list[Callable[[], object]], device: torch.device, *, budget: float, calls: int = 1
) -> list[list[float]]:
    """Seconds of each of the ``functions``, turn by turn, for ratios in each: what the machine does besides slows all.

    As in :func:`in_turns`, each turn has an order of its own. Unlike there the clock is the host's, on a GPU too.

    There are from 5 turns up to 20, for about ``budget`` seconds in all; in a turn each is called ``calls`` times,
    without waiting for the device in between. Nothing is warmed up.
    """
    times, start, orders = [[] for _ in functions], now(device), random.Random(0)
    while len(times[0]) < TURNS[0] or (len(times[0]) < TURNS[1] and now(device) - start < budget):
        for index in orders.sample(range(len(functions)), len(functions)):
            began = now(device)
            for _ in range(calls):
                functions[index]()
            times[index].append((now(device) - began) / calls)
    return times


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes of tensors that ``call`` holds at once, at most, beyond those that were there before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    activity = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity], profile_memory=True) as profiler:
        call()
    held = most = 0
    for event in profiler.profiler.kineto_results.events():  # in the order of time
        if event.name() == "[memory]" and event.device_type() == torch.autograd.DeviceType.CPU:
            held += event.nbytes()
            most = max(most, held)
    return most


def copy_bandwidth(device: torch.device) -> Spread:
    """Bytes a second of a large copy on the device, those read and those written."""
    source = torch.empty(COPIED_BYTES[device.type], dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    (times,) = in_turns([lambda: target.copy_(source)], device)
    moved = 2 * source.numel()
    return Spread(moved / times.median, moved / times.p80, moved / times.p20, times.samples)
