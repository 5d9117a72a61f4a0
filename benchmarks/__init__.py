"""The benchmark suite: ``python -m benchmarks``."""

import os

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is imported: its profiler, which counts memory, would talk
