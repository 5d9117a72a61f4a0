# Everything runs in a virtual environment of its own, .venv, which any target makes first.

PYTHON ?= python3
DATASET ?= digits
ARGS ?=
OUT ?= benchmarks/results

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/installed

.PHONY: help demo figures test clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## train, convert and measure: make demo [DATASET=fashion-mnist] [ARGS=--help]
	$(RUN) -m benchmarks.demo --dataset $(DATASET) $(ARGS)

figures: $(STAMP)  ## measure the paper's figures and tables again: make figures [OUT=folder]
	$(RUN) -m benchmarks run all --quick --synthetic --out $(OUT) $(ARGS)
	$(RUN) -m benchmarks report --out $(OUT)

test: $(STAMP)  ## run the tests: make test [ARGS="-k kernels"]
	$(RUN) -m pytest $(ARGS)
	@echo "Tested $(CURDIR) with $(RUN); durations and failures are above."

clean:  ## remove the environment and everything that was made
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache

$(STAMP): pyproject.toml setup.py
	@command -v g++ >/dev/null || command -v clang++ >/dev/null || \
		echo "No C++ compiler found: install one (apt-get install g++) for the fast path on a CPU."
	@echo "Installing into $(VENV): several GB with PyTorch, some minutes."
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --upgrade pip
	$(RUN) -m pip install --editable '.[test]'
	@touch $@
