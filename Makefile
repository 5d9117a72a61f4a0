# Everything runs in a virtual environment of its own, .venv, which any target makes first. With RUN=python3 on the
# command line that Python is used as it is, and nothing is installed: fastlif and its extra "dev" must be there, and
# for make docs the extra "docs".

PYTHON ?= python3
DATASET ?= digits
ARGS ?=
OUT ?= benchmarks/results

VENV := .venv
RUN := $(VENV)/bin/python
# The tests are shared out to two processes; PARALLEL= keeps them in one, without pytest-xdist.
PARALLEL ?= -n 2 --dist worksteal
STAMP := $(if $(filter command%,$(origin RUN)),,$(VENV)/installed)

# What is tested beside the versions that pip chooses for `make test`: each of these has an environment of its own. A
# torch brings the triton that it was built with. "cpu" has a PyTorch for CPUs and a torchvision that was built for
# another one and does not import. If pip finds no such PyTorch, PIP_EXTRA_INDEX_URL says where one is.
VERSIONS := oldest middle cpu recent newest
oldest := torch==2.11.0 triton==3.6.0 torchvision==0.26.0 'numpy<2.4'
middle := torch==2.12.1 triton==3.7.1 torchvision==0.27.1
cpu := torch==2.13.0+cpu torchvision===0.28.0
recent := torch==2.14.1 triton==3.8.0 torchvision==0.29.1
newest := torch==2.15.0 triton==3.9.0 torchvision==0.29.2
# The libraries that ours is compared with and timm, the extra "peers", are tested on the torch that pip chooses.
comma := ,

# The library itself: without the benchmarks, the packaging, and what torch.compile takes long for.
LIBRARY := $(patsubst %,tests/library/test_%.py,reference functional modules passes time_axis conversion packing) \
	tests/pytorch/test_operators.py tests/kernels/test_kernels.py

.PHONY: help demo figures lint docs test test-full test-fast test-long test-versions $(VERSIONS:%=test-%) test-peers test-mutants gpu gpu-check clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## train, convert and measure: make demo [DATASET=fashion-mnist] [ARGS=--help]
	$(RUN) -m benchmarks demo --dataset $(DATASET) $(ARGS)

figures: $(STAMP)  ## measure the paper's figures and tables again: make figures [OUT=folder]
	$(RUN) -m benchmarks run all --quick --synthetic --out $(OUT) $(ARGS)
	$(RUN) -m benchmarks report --out $(OUT)

lint: $(STAMP)  ## check the code's style and its types, about a minute
	$(RUN) -m ruff check .
	$(RUN) -m mypy

docs: $(if $(STAMP),$(VENV)/docs)  ## build the documentation into site/: a broken link or a missing docstring fails
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

test: $(STAMP)  ## run most tests, a few cases of each, about 5 minutes at 2.5 GHz: make test [ARGS="-k kernels"]
	$(RUN) -m pytest $(PARALLEL) --durations=15 $(ARGS)
	@echo "Tested $(CURDIR) with $(RUN); durations and failures are above."

test-full: $(STAMP)  ## run all tests but the longest, as CI does, 25 minutes at 2.5 GHz
	FASTLIF_TEST_PROFILE=full $(MAKE) test

test-fast: $(STAMP)  ## run the tests of the library alone, 75 seconds on a fast machine, for those who work on it
	$(RUN) -m pytest $(PARALLEL) $(LIBRARY) $(ARGS)

test-long: $(STAMP)  ## many more examples, a soak, the ends of what is supported, and the peers
	FASTLIF_TEST_PROFILE=long $(RUN) -m pytest $(PARALLEL) --durations=15 $(ARGS)
	$(RUN) tests/by_hand/soak.py --minutes 2
	FASTLIF_TEST_PROFILE=quick $(MAKE) test-oldest test-cpu
	$(MAKE) test-peers

test-versions test-peers: export FASTLIF_TEST_PROFILE ?= full
test-versions: $(VERSIONS:%=test-%)  ## run all tests with every version of torch and triton that is supported

$(VERSIONS:%=test-%): test-%: $(VENV)-%/installed  # with one of them: make test-oldest, test-cpu, test-newest, ...
	$(VENV)-$*/bin/python -m pytest $(PARALLEL) $(ARGS)

test-peers: $(VENV)-peers/installed  ## run the tests that compare with SpikingJelly, snnTorch and Norse
	$(VENV)-peers/bin/python -m pytest -m peers $(ARGS)

test-mutants: $(STAMP)  ## seed small faults, each of which its test must catch: make test-mutants [ARGS="-k kernels"]
	$(RUN) tests/mutants.py $(ARGS)

gpu: $(STAMP)  ## on a GPU, nine minutes: tests, kernels, networks, Fig. 3: make gpu [OUT=folder] [RUN=python3]
	$(RUN) -m benchmarks gpu --out $(OUT) $(ARGS)

gpu-check: $(STAMP)  ## on a GPU: tests, compute-sanitizer, a soak: make gpu-check [ARGS=--help] [RUN=python3]
	$(RUN) tests/by_hand/gpu_check.py $(ARGS)

clean:  ## remove the environments and everything that was made
	rm -rf $(VENV) $(VENV)-* out site build dist *.egg-info .pytest_cache .mypy_cache .hypothesis

$(VENV)/docs: $(VENV)/installed
	$(RUN) -m pip install --editable '.[docs]'
	@touch $@

ENVIRONMENTS := $(VENV) $(addprefix $(VENV)-,$(VERSIONS) peers)
$(ENVIRONMENTS:%=%/installed): pyproject.toml setup.py
	@command -v g++ >/dev/null || command -v clang++ >/dev/null || \
		echo "No C++ compiler found: install one (apt-get install g++) for the fast path on a CPU."
	@echo "Installing into $(@D): several GB with PyTorch, some minutes."
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --upgrade pip
	$(if $(filter %-cpu,$(@D)),$(@D)/bin/python -m pip install --no-deps $(firstword $(cpu)))
	$(@D)/bin/python -m pip install $($(patsubst $(VENV)-%,%,$(@D))) --editable '.[dev$(if $(filter %-peers,$(@D)),$(comma)peers)]'
	@touch $@
