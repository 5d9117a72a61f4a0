"""The benchmark suite: ``python -m benchmarks``."""

import os

# Before torch is imported: its profiler, which counts memory on a CPU, would print a log of its own.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
# Before anything is allocated: all libraries get large tensors in huge pages, as ours ask for them by themselves.
os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
