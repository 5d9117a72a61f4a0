"""The CPU backend: the reference's arithmetic, compiled once for each kind of call, behind the kernels' own calls."""
