"""Runs a translated PTX kernel over CPU memory, all threads of many blocks (CTAs) in lock-step, and checks it.

Control flow: every thread has a place in the code, and the basic block that is earliest in the text runs next, for the
threads that are there. Barriers hold a CTA's threads until all of them have come.

Checked at every access: that it lies within a tensor of the launch and is aligned (memcheck); that no other thread's
access conflicts with it, within a CTA since its last barrier, between CTAs ever (racecheck); that what it reads was
written (initcheck). Lock-step order hides races from the results, so only the shadow state tells.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from emulator.arithmetic import NUMPY, WIDTH, Unsupported, join
from emulator.memory import SECTOR, Shadow, regions_of
from emulator.translate import SHARED_BASE, Kernel

LANES = 1 << 13  # threads that run together, about


@dataclass
class Report:
    """What a checker found at one instruction."""

    kind: str  # "out of bounds", "misaligned", "race", "race between CTAs", "same value", "uninitialised", "divergent"
    kernel: str
    where: str
    instruction: str
    count: int
    example: str

    @property
    def benign(self) -> bool:
        """Several threads wrote one and the same value."""
        return self.kind == "same value"

    def __str__(self):
        return f"{self.kind}: {self.kernel} at {self.where}: {self.instruction}: {self.count} x, e.g. {self.example}"


@dataclass
class Statistics:
    """What a launch executed and moved."""

    kernel: str
    written: Counter = field(default_factory=Counter)  # elements of each tensor, by its parameter's name
    thread_instructions: int = 0
    warp_instructions: int = 0
    sectors: Counter = field(default_factory=Counter)  # "ld" and "st": that all warps' requests ask for
    useful: Counter = field(default_factory=Counter)  # bytes among them that a thread wanted, once for each request
    touched: Counter = field(default_factory=Counter)  # different sectors of the whole launch
    widths: Counter = field(default_factory=Counter)  # ("ld" or "st", bytes of a thread's access): warp requests
    shared_requests: int = 0
    shared_wavefronts: int = 0  # as many as requests without bank conflicts, for accesses of 4 bytes or less


class Machine:
    """One launch. What it finds is in ``reports``, what it counts in ``statistics``."""

    def __init__(self, kernel: Kernel, grid, arguments, tensors, shared_bytes):
        self.kernel, self.grid, self.arguments = kernel, grid, arguments
        self.threads = kernel.threads
        self.regions = regions_of(tensors, self.threads)
        self.begins = np.array([region.begin for region in self.regions], "i8")
        self.ends = np.array([region.end for region in self.regions], "i8")
        self.shared_bytes = shared_bytes
        self.found = {}
        self.statistics = Statistics(kernel.name)

    @property
    def reports(self):
        return list(self.found.values())

    def report(self, kind, site, count, example):
        """``example`` describes one of ``count`` faults of the instruction ``site``."""
        key = kind, site.text, site.where
        if key not in self.found:
            self.found[key] = Report(kind, self.kernel.name, site.where, site.text, 0, example)
        self.found[key].count += int(count)

    def run(self, ctas=None):
        """``ctas``: the numbers of those to run, in this order; None: all of the grid."""
        ctas = np.arange(int(np.prod(self.grid))) if ctas is None else np.asarray(ctas)
        chunk = max(1, LANES // self.threads)
        with np.errstate(all="ignore"):
            for start in range(0, len(ctas), chunk):
                self.run_together(ctas[start : start + chunk])
        for region in self.regions:
            written, read = region.shadow.touched()
            self.statistics.written[region.label] = int(written.sum())
            for what, granules in (("st", written), ("ld", read)):
                self.statistics.touched[what] += int(granules.reshape(-1, SECTOR // region.granule).any(axis=1).sum())
        return self

    def run_together(self, ctas):
        count, threads = len(ctas), self.threads
        self.lanes = lanes = count * threads
        self.cta = np.repeat(ctas, threads)
        self.thread = self.cta * threads + np.tile(np.arange(threads), count)
        self.epoch = np.zeros(lanes, "i4")
        self.tid_x, zero = np.tile(np.arange(threads, dtype="u4"), count), np.zeros(1, "u4")
        self.tid_y = self.tid_z = zero
        self.ntid_x, self.ntid_y, self.ntid_z = np.array([threads], "u4"), zero + 1, zero + 1
        self.nctaid_x, self.nctaid_y, self.nctaid_z = (np.array([size], "u4") for size in self.grid)
        self.ctaid_x = (self.cta % self.grid[0]).astype("u4")
        self.ctaid_y = (self.cta // self.grid[0] % self.grid[1]).astype("u4")
        self.ctaid_z = (self.cta // (self.grid[0] * self.grid[1])).astype("u4")
        self.shared_size = (self.shared_bytes + 15) & ~15
        self.shared = np.zeros(count * self.shared_size, "u1")
        self.shared_shadow = Shadow(len(self.shared), threads)
        self.walk()

    def walk(self):
        """Runs the chosen threads to their end."""
        blocks = self.kernel.blocks
        registers = [np.zeros(1, dtype) for dtype in self.kernel.registers]
        self.place, self.waiting = np.zeros(self.lanes, "i4"), np.zeros(self.lanes, bool)
        common = 0  # the block where all threads are, or None
        while common != len(blocks):
            current, active = common, None
            if common is None:
                ready = ~self.waiting & (self.place < len(blocks))
                if not ready.any():
                    if not self.waiting.any():
                        return
                    self.release()
                    continue
                current = int(self.place[ready].min())
                active = ready & (self.place == current)
                if active.all():
                    active = None
            condition = blocks[current].run(registers, active, self)
            self.count(blocks[current], active)
            common = self.move(blocks[current].end, current, active, condition)

    def move(self, end, current, active, condition):
        """The active threads leave their block through its ``end``. Returns where all threads are now, or None."""
        kind = end.opcode if end else None
        target = current + 1
        if kind in ("bar.sync", "bar.warp.sync"):
            if active is None:
                self.epoch += 1
            else:
                self.check_whole_warps(active, end, "a barrier")
                self.waiting |= active
        elif kind in ("bra", "bra.uni"):
            target = end.operands[0]
        elif kind in ("ret", "exit"):
            target = len(self.kernel.blocks)
        goes = target if condition is None else np.where(condition, target, current + 1)
        self.place[:] = goes if active is None else np.where(active, goes, self.place)
        if active is None and condition is None:
            return target
        return int(self.place[0]) if not self.waiting.any() and (self.place == self.place[0]).all() else None

    def release(self):
        """Nobody runs: where all threads of a CTA have come to a barrier or have ended, they go on."""
        places = np.where(self.waiting, self.place, -1).reshape(-1, self.threads)
        first = places.max(axis=1, keepdims=True)
        apart = ((places != first) & (places >= 0)).any(axis=1)
        if apart.any():
            end = self.kernel.blocks[int(first.max()) - 1].end
            self.report("divergent", end, apart.sum(), "threads of a CTA wait at different barriers")
        self.epoch += 1
        self.waiting[:] = False

    def check_whole_warps(self, active, site, what):
        """Of a warp all threads must take part, or none."""
        if active is not None:
            warps = self.everywhere(active).reshape(-1, 32)
            partial = warps.any(axis=1) & ~warps.all(axis=1)
            if partial.any():
                self.report("divergent", site, partial.sum(), f"{what} that a part of a warp takes part in")

    def count(self, block, active):
        issued = len(block.instructions) + (block.end is not None)
        threads = self.lanes if active is None else int(active.sum())
        warps = self.lanes // 32 if active is None else int(active.reshape(-1, 32).any(axis=1).sum())
        self.statistics.thread_instructions += issued * threads
        self.statistics.warp_instructions += issued * warps

    # What the blocks' functions call

    def parameter(self, number, offset, dtype):
        if offset:
            raise Unsupported("an offset in a parameter")
        value, kind = self.arguments[number], self.kernel.parameters[number]
        if NUMPY[kind][0] == "f":
            raw = np.array([value], NUMPY[kind])
        else:
            raw = np.array([int(value) & (1 << WIDTH[kind]) - 1], f"u{WIDTH[kind] // 8}")
        return raw.view(dtype)

    def everywhere(self, value):
        return np.broadcast_to(value, (self.lanes,))

    def shuffle(self, how, value, lane, clamp, mask, site):
        self.check_whole_warps(mask, site, "a shuffle")
        own = np.tile(np.arange(32), self.lanes // 32)
        by = self.everywhere(lane).astype("i8") & 31
        segment = clamp >> 8 & 31
        low, high = own & segment, (own & segment) | (clamp & 31 & ~segment)
        source = {"bfly": own ^ by, "idx": low | (by & ~segment), "up": own - by, "down": own + by}[how]
        inside = source >= (own & segment | clamp & 31) if how == "up" else source <= high
        return self.everywhere(value)[np.arange(self.lanes) - own + np.where(inside, source, own)]

    def reduce(self, function, value, members, mask, site):
        if (self.everywhere(members)[slice(None) if mask is None else self.everywhere(mask)] != 0xFFFFFFFF).any():
            raise Unsupported("a reduction of some threads of a warp")
        self.check_whole_warps(mask, site, "a reduction")
        return np.repeat(function.reduce(self.everywhere(value).reshape(-1, 32), axis=1, dtype=value.dtype), 32)

    def load(self, space, address, width, mask, site, count):
        result = np.zeros((self.lanes, count), f"u{width}")
        self.access(space, address, result, mask, site, False)
        return [result[:, i] for i in range(count)]

    def store(self, space, address, mask, site, values):
        self.access(space, address, np.stack(list(map(self.everywhere, values)), axis=1), mask, site, True)

    def matrix_places(self, address, transposed, mask, site, matrix):
        """Where a thread's two halves of a matrix lie, as (address, bytes), together or each by itself: lane 8 i + r
        names row r, 16 bytes, of matrix i; lane 4 r + c has the columns 2 c and 2 c + 1 of row r."""
        self.check_whole_warps(mask, site, "a matrix")
        own = np.tile(np.arange(32), self.lanes // 32)
        first = np.arange(self.lanes) - own + 8 * matrix
        rows = self.everywhere(address)
        if (rows[first] % 16).any():
            self.report("misaligned", site, 1, "a row of a matrix")
        if transposed:
            return [(rows[first + own % 4 * 2 + half] + own // 4 * 2, 2) for half in (0, 1)]
        return [(rows[first + own // 4] + own % 4 * 4, 4)]

    def load_matrices(self, address, transposed, mask, site, count):
        results = []
        for matrix in range(count):
            places = self.matrix_places(address, transposed, mask, site, matrix)
            parts = [self.load("shared", place, width, mask, site, 1)[0] for place, width in places]
            results.append(join(*parts))
        return results

    def store_matrices(self, address, transposed, mask, site, values):
        for matrix, value in enumerate(values):
            for half, (place, width) in enumerate(self.matrix_places(address, transposed, mask, site, matrix)):
                part = (value >> np.uint32(16 * half)).astype(f"u{width}")
                self.store("shared", place, mask, site, [part])

    # Memory

    def access(self, space, address, data, mask, site, write):
        """Of every active thread: its row of ``data`` to memory, or from there."""
        lane = np.arange(self.lanes) if mask is None else np.flatnonzero(self.everywhere(mask))
        if len(lane):
            access = self.access_global if space == "global" else self.access_shared
            access(self.everywhere(address)[lane], lane, data, site, write)

    def access_global(self, address, lane, data, site, write):
        size = data.itemsize * data.shape[1]
        index = np.searchsorted(self.begins, address, "right") - 1
        misaligned, outside = address % size != 0, (index < 0) | (address + size > self.ends[index])
        for kind, which in (("misaligned", misaligned), ("out of bounds", outside)):
            if which.any():
                self.report(kind, site, which.sum(), f"{size} bytes at {self.describe(address, lane, which)}")
        self.measure(address, lane, size, write)
        index[misaligned | outside] = -1
        for number in np.unique(index[index >= 0]):
            part = index == number
            self.access_region(self.regions[number], address[part], lane[part], data, site, write)

    def access_region(self, region, address, lane, data, site, write):
        size = data.itemsize * data.shape[1]
        if size % region.granule:
            raise Unsupported(f"{size} bytes of a tensor of {region.granule} bytes each")
        offset = address - region.base
        same = self.transfer(region.rows(data.itemsize, data.shape[1]), offset // size, lane, data, write)
        if not write and region.poison is not None:
            bad = (data[lane].view(f"u{region.granule}") == region.poison).any(axis=1)
            if bad.any():
                self.report("uninitialised", site, bad.sum(), self.describe(address, lane, bad))
        self.race(region.shadow, offset // region.granule, size // region.granule, lane, same, site, write,
                  lambda which: self.describe(address, lane, which))  # fmt: skip

    def access_shared(self, address, lane, data, site, write):
        size = data.itemsize * data.shape[1]
        place = address - SHARED_BASE
        misaligned, outside = place % size != 0, (place < 0) | (place + size > self.shared_bytes)
        for kind, which in (("misaligned", misaligned), ("out of bounds", outside)):
            if which.any():
                self.report(kind, site, which.sum(), f"shared byte {place[which][0]}")
        inside = ~(misaligned | outside)
        place, lane = place[inside], lane[inside]
        self.conflicts(place, lane, size)
        offset = place + lane // self.threads * self.shared_size
        rows = self.shared.view(f"u{data.itemsize}").reshape(-1, data.shape[1])
        same = self.transfer(rows, offset // size, lane, data, write)
        if not write:
            bad = ~self.shared_shadow.written(offset[:, None] + np.arange(size)).all(axis=1)
            if bad.any():
                self.report("uninitialised", site, bad.sum(), f"shared byte {place[bad][0]}")
        self.race(self.shared_shadow, offset, size, lane, same, site, write,
                  lambda which: f"shared byte {place[which][0]}")  # fmt: skip

    def transfer(self, rows, row, lane, data, write):
        """Loads or stores. Of a store: which of the values were there before, and which are there afterwards."""
        if not write:
            data[lane] = rows[row]
            return None
        values = data[lane]
        before = (rows[row] == values).all(axis=1)
        rows[row] = values
        return before, (rows[row] == values).all(axis=1)

    def race(self, shadow, first, granules, lane, same, site, write, describe):
        granule = (first[:, None] + np.arange(granules)).ravel()
        thread, epoch = np.repeat(self.thread[lane], granules), np.repeat(self.epoch[lane], granules)
        by_write, by_read, lost, other = shadow.access(granule, thread, epoch, write)
        conflict = by_write | by_read | lost
        if not conflict.any():
            return
        benign = np.zeros_like(conflict)
        if write:  # harmless if all threads write one value, which an earlier write, if there was one, left there too
            before, after = (np.repeat(value, granules) for value in same)
            benign = conflict & ~by_read & (before | ~by_write) & (after | ~lost)
        between = other // self.threads != thread // self.threads
        for kind, which in (
            ("same value", benign),
            ("race", conflict & ~benign & ~between),
            ("race between CTAs", conflict & ~benign & between),
        ):
            if which.any():
                accesses = which.reshape(-1, granules).any(axis=1)
                cta, number = divmod(int(other[which][0]), self.threads)
                example = f"{describe(accesses)}, with thread {number} of CTA {cta}"
                self.report(kind, site, accesses.sum(), example)

    def measure(self, address, lane, size, write):
        """Sectors and bytes of each warp's request."""
        what = "st" if write else "ld"
        order = np.lexsort((address, lane // 32))
        warp, address = lane[order] // 32, address[order]

        def starts(value):
            return np.append(True, value[1:] != value[:-1])

        self.statistics.sectors[what] += int((starts(warp) | starts(address // SECTOR)).sum())
        self.statistics.useful[what] += int((starts(warp) | starts(address)).sum()) * size
        self.statistics.widths[what, size] += int(starts(warp).sum())

    def conflicts(self, place, lane, size):
        """Wavefronts of shared memory: a bank gives one word of 4 bytes at a time; wide accesses go in parts."""
        group = lane // (32 * 4 // max(4, size))  # the threads that are served at once
        words = np.unique(group << 32 | place >> 2)
        banks, count = np.unique((words >> 32) * 32 + (words & 31), return_counts=True)
        groups, start = np.unique(banks // 32, return_index=True)
        self.statistics.shared_requests += len(groups)
        if len(groups):
            self.statistics.shared_wavefronts += int(np.maximum.reduceat(count, start).sum())

    def describe(self, address, lane, which):
        """The first of the addresses, by the tensor that lies nearest, and its thread."""
        place = int(address[which][0])
        cta, thread = divmod(int(self.thread[lane[which][0]]), self.threads)
        region = min(self.regions, key=lambda region: max(region.begin - place, place - region.end + 1, 0))
        where = f"byte {place - region.begin} of the {region.end - region.begin} of {region.label}"
        return f"{where}, by thread {thread} of CTA {cta}"
