"""The benchmark suite: ``python -m benchmarks``."""

import os

# Before torch is imported: its profiler, which counts memory on a CPU, would print a log of its own.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
