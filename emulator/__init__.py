"""The compiled kernels on a CPU: an emulator of the PTX that Triton makes, with checkers that are always on.

Triton's interpreter shows what a kernel computes. What each *thread* of the compiled kernel does is shown here: Triton
compiles every launch to PTX for sm_90, as it would for the GPU, and the PTX runs in numpy, all threads in lock-step.
By hand, in a checkout::

    python -m pytest -p emulator.pytest_plugin tests/kernels/test_kernels.py tests/kernels/emulated

Read in this order: ``translate.py`` (PTX to numpy) and ``arithmetic.py`` (what an instruction computes), ``machine.py``
(threads, checkers, counts) and ``memory.py``, ``driver.py`` (what Triton launches on), ``inductor.py`` (what
``torch.compile`` compiles for), ``pytest_plugin.py``. A finding is one of

- out of bounds: outside the tensors of the launch, from first to last element; misaligned;
- race: two threads of a block, the same bytes, no barrier in between, and one of them writes. Race between CTAs: of two
  blocks, at any time of the launch. Same value, which fails no test: all of them write one and the same;
- uninitialised: a load of what nobody wrote, in shared memory or in a tensor that is new;
- divergent: a barrier or a shuffle that only a part of a warp, or of a block, comes to.

What it cannot show: machine code (ptxas does not run: for registers and spills see ``python -m benchmarks static``),
time, caches, and the hardware's own approximations of exp2, square root and division. A barrier whose
absence harms nobody, since each thread reads only what it wrote itself, is not missed.
"""
