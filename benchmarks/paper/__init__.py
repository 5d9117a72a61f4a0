"""The paper's figures and tables and our own ablation, one file each: benchmarks/experiments.py says what is in one."""
