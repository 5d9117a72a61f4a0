"""The paper's figures and tables and our own experiments, one file each: benchmarks/experiments.py lists them."""
