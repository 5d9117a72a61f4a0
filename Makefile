# Everything runs in a virtual environment of its own, .venv, which any target makes first. With RUN=python3 on the
# command line that Python is used as it is, and nothing is installed: fastlif and its extra "test" must be there.

PYTHON ?= python3
DATASET ?= digits
ARGS ?=
OUT ?= benchmarks/results

VENV := .venv
RUN := $(VENV)/bin/python
# The test files are shared out to two processes; PARALLEL= keeps them in one, without pytest-xdist.
PARALLEL ?= -n 2 --dist loadfile
STAMP := $(if $(filter command%,$(origin RUN)),,$(VENV)/installed)

# The other ends of what is supported: the oldest versions; and a PyTorch for CPUs, with a torchvision that was built
# for another PyTorch and does not import. If pip finds no such PyTorch, PIP_EXTRA_INDEX_URL says where one is.
OLDEST := torch==2.11.0 triton==3.6.0 torchvision==0.26.0 'numpy<2.4'
CPU := torch==2.13.0+cpu torchvision===0.28.0
# The libraries that ours is compared with.
PEERS := spikingjelly==2.0.0 snntorch==1.0.0 norse==1.1.0

.PHONY: help demo figures test test-long test-oldest test-cpu test-peers gpu gpu-check clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## train, convert and measure: make demo [DATASET=fashion-mnist] [ARGS=--help]
	$(RUN) -m benchmarks.demo --dataset $(DATASET) $(ARGS)

figures: $(STAMP)  ## measure the paper's figures and tables again: make figures [OUT=folder]
	$(RUN) -m benchmarks run all --quick --synthetic --out $(OUT) $(ARGS)
	$(RUN) -m benchmarks report --out $(OUT)

test: $(STAMP)  ## run the tests: make test [ARGS="-k kernels"]
	$(RUN) -m pytest $(PARALLEL) $(ARGS)
	@echo "Tested $(CURDIR) with $(RUN); durations and failures are above."

test-long: $(STAMP)  ## within an hour: many more examples, a soak, and the tests in the three environments below
	FASTLIF_TEST_PROFILE=long $(RUN) -m pytest $(PARALLEL) $(ARGS)
	$(RUN) tests/soak.py --minutes 2
	$(MAKE) test-oldest test-cpu test-peers

test-oldest: $(VENV)-oldest/installed  ## run the tests with the oldest supported torch and triton
	$(VENV)-oldest/bin/python -m pytest $(PARALLEL) $(ARGS)

test-cpu: $(VENV)-cpu/installed  ## run the tests with a PyTorch for CPUs and a torchvision that does not import
	$(VENV)-cpu/bin/python -m pytest $(PARALLEL) $(ARGS)

test-peers: $(VENV)-peers/installed  ## run the tests that compare with SpikingJelly, snnTorch and Norse
	$(VENV)-peers/bin/python -m pytest -m peers $(ARGS)

gpu: $(STAMP)  ## on a GPU, nine minutes: tests, kernels, networks, Fig. 3: make gpu [OUT=folder] [RUN=python3]
	$(RUN) -m benchmarks gpu --out $(OUT) $(ARGS)

gpu-check: $(STAMP)  ## on a GPU: tests, compute-sanitizer, a soak: make gpu-check [ARGS=--help] [RUN=python3]
	$(RUN) tests/gpu_check.py $(ARGS)

clean:  ## remove the environments and everything that was made
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-cpu $(VENV)-peers out build dist *.egg-info .pytest_cache .hypothesis

$(VENV)/installed: REQUIREMENTS :=
$(VENV)-oldest/installed: REQUIREMENTS := $(OLDEST)
$(VENV)-cpu/installed: REQUIREMENTS := $(CPU)
$(VENV)-peers/installed: REQUIREMENTS := $(PEERS)

$(VENV)/installed $(VENV)-oldest/installed $(VENV)-cpu/installed $(VENV)-peers/installed: pyproject.toml setup.py
	@command -v g++ >/dev/null || command -v clang++ >/dev/null || \
		echo "No C++ compiler found: install one (apt-get install g++) for the fast path on a CPU."
	@echo "Installing into $(@D): several GB with PyTorch, some minutes."
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --upgrade pip
	$(if $(filter %-cpu,$(@D)),$(@D)/bin/python -m pip install --no-deps $(firstword $(CPU)))
	$(@D)/bin/python -m pip install $(REQUIREMENTS) --editable '.[test]'
	@touch $@
