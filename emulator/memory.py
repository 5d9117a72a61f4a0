"""The memory that a kernel may access, and its shadow: who wrote and read each part of it, and when."""

import ctypes

import numpy as np
import torch

# What new global memory begins with, see emulator/driver.py: signalling NaNs, which no arithmetic makes. A byte has no
# value to spare: of bytes it is not known who wrote them.
POISON = {torch.float32: 0x7FA5A5A5, torch.float16: 0x7DA5, torch.bfloat16: 0x7FA5, torch.int64: 0x5AA5A5A5A5A5A5A5}
PAGE = 12  # a page of shadow state has 2**PAGE granules
SECTOR = 32  # bytes: what memory gives at least


class Shadow:
    """Who last wrote and read each granule of memory, and after which barrier. Pages appear as they are touched."""

    def __init__(self, granules, threads):
        self.log_threads = threads.bit_length() - 1
        self.table = np.full((granules >> PAGE) + 1, -1)
        self.used = 0
        # Of each granule the last writer and reader, the barriers that each had passed, and whether several threads
        # of the reader's CTA have read since, and several CTAs ever.
        self.fields = [np.empty(0, dtype) for dtype in ("i8", "i4", "i8", "i4", "i1", "i1")]

    def slot(self, granule):
        """Where the fields have a granule."""
        pages = granule >> PAGE
        missing = np.unique(pages[self.table[pages] < 0])
        if len(missing):
            self.table[missing] = np.arange(self.used, self.used + len(missing))
            self.used += len(missing)
            have = len(self.fields[0])
            if self.used << PAGE > have:
                more = max(self.used << PAGE, 2 * have) - have
                self.fields = [np.append(old, np.full(more, -1, old.dtype)) for old in self.fields]
        return self.table[pages] << PAGE | granule & (1 << PAGE) - 1

    def written(self, granule):
        """Which of the granules anybody has written."""
        slot = self.slot(granule)
        return self.fields[0][slot] >= 0

    def access(self, granule, thread, epoch, write):
        """Marks the accesses.

        Returns which of them conflict with an earlier write, with an earlier read, and with another one of these
        accesses; and the other thread of each.
        """
        slot = self.slot(granule)
        writer, written, reader, read, many_threads, many_ctas = self.fields
        cta = thread >> self.log_threads
        other = writer[slot]
        foreign = (other >> self.log_threads) != cta
        by_write = (other >= 0) & (other != thread) & (foreign | (written[slot] == epoch))
        last = reader[slot]
        foreign = (last >= 0) & ((last >> self.log_threads) != cta)
        now = (last >= 0) & ~foreign & (read[slot] == epoch)
        several = now & ((last != thread) | (many_threads[slot] > 0))
        if write:
            by_read = foreign | ((last >= 0) & (many_ctas[slot] > 0)) | several
            writer[slot], written[slot] = thread, epoch
            lost = writer[slot] != thread
            return by_write, by_read, lost, np.where(lost, writer[slot], np.where(by_read, last, other))
        many_ctas[slot] = np.maximum(many_ctas[slot], foreign)
        reader[slot], read[slot], many_threads[slot] = thread, epoch, several
        lost = reader[slot] != thread
        many_threads[slot[lost]] = 1
        many_ctas[slot[lost & ((reader[slot] >> self.log_threads) != cta)]] = 1
        none = np.zeros_like(by_write)
        return by_write, none, none, other

    def touched(self):
        """Which granules of the pages in use were written, and which were read."""
        used = self.used << PAGE
        return self.fields[0][:used] >= 0, self.fields[2][:used] >= 0


class Region:
    """Memory that the kernel may access: a tensor, or several that overlap."""

    def __init__(self, begin, end, itemsize, poison, label, threads):
        self.begin, self.end, self.granule, self.poison, self.label = begin, end, itemsize, poison, label
        self.base = begin // SECTOR * SECTOR
        buffer = (ctypes.c_uint8 * (((end + 15) & ~15) - self.base)).from_address(self.base)
        self.bytes = np.frombuffer(buffer, np.uint8)
        self.shadow = Shadow((end - self.base) // itemsize + 1, threads)
        self.views = {}

    def rows(self, width, count):
        """The memory as rows of ``count`` numbers of ``width`` bytes."""
        if (width, count) not in self.views:
            whole = len(self.bytes) // (width * count) * (width * count)
            self.views[width, count] = self.bytes[:whole].view(f"u{width}").reshape(-1, count)
        return self.views[width, count]


def regions_of(tensors, threads):
    """Of (name, tensor) pairs: where they lie from their first element to their last, overlapping ones as one."""
    spans = []
    for name, tensor in tensors:
        if tensor.numel():
            last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
            begin, size = tensor.data_ptr(), tensor.element_size()
            spans.append([begin, begin + (last + 1) * size, size, POISON.get(tensor.dtype), name])
    merged = []
    for span in sorted(spans, key=lambda span: span[0]):
        if merged and span[0] < merged[-1][1]:
            last = merged[-1]
            last[1], last[2], last[4] = max(last[1], span[1]), min(last[2], span[2]), f"{last[4]}, {span[4]}"
        else:
            merged.append(span)
    return [Region(*span, threads) for span in merged]
