# `make` alone lists the targets. Another Python: `make install PYTHON=python3.12`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-slow test-network fuzz mutation bench matrix gpu-check docker lint site lock wheel floors audit release names clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# onnxruntime and onnxruntime-gpu overwrite each other, so that an environment is one or the other.
ifndef EXTRA
EXTRA := $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
endif
INSTALLED := $(VENV)/.installed-$(EXTRA)

# Progress of downloads on a terminal, nothing in a log.
UV := $(BIN)/uv $(shell [ -t 2 ] || echo --quiet)
FOR := --python $(BIN)/python

# Tests start some fifty processes; each would compile PyTorch and the test files anew.
unexport PYTHONDONTWRITEBYTECODE

# Processes of the test suite; each takes one core and about 2 GB.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 8 ? n : 8)))
COVERED := pipeline/tmkd pipeline/distill exporters
LEAST_COVERAGE := 90

# Its own lines are for a build that fails; the theme would praise its successor.
BUILD_SITE = told=$$(NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict 2>&1) \
    || { grep -v '^INFO' <<< "$$told" >&2; exit 1; }; echo "site: build/site/index.html"

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## everything into .venv: the extra `gpu` where nvidia-smi answers, else `cpu` (or EXTRA=cpu)

quickstart: $(INSTALLED) ## install, then train, prove and pack a small student; needs no download of data and no GPU
	@$(BIN)/tmkd-pipeline run recipes/quickstart.yaml

test: $(INSTALLED) ## install, then the default test suite with its coverage gates
	@COVERED='$(COVERED)' $(BIN)/pytest --quiet --numprocesses $(WORKERS) --dist worksteal --cov --cov-report=
	@for part in $(COVERED); do \
	    if total=$$($(BIN)/coverage report --include="$$part/*" --format=total --fail-under=$(LEAST_COVERAGE)); then \
	        echo "coverage of $$part: $$total % (at least $(LEAST_COVERAGE) %)"; \
	    else \
	        $(BIN)/coverage report --include="$$part/*" || true; \
	        echo "coverage of $$part is below $(LEAST_COVERAGE) %" >&2; exit 1; \
	    fi; \
	done

test-slow: $(INSTALLED) ## the tests that take minutes
	@$(BIN)/pytest --quiet -m 'slow and not gpu and not network' || [ $$? -eq 5 ] # 5: there are none

test-network: $(INSTALLED) ## the tests that fetch packages from the registries of Python and npm
	@$(BIN)/pytest --quiet -m 'network and not gpu'

fuzz: $(INSTALLED) ## the property-based tests on newly drawn examples; `make test` takes the same ones each time
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest --quiet -m 'hypothesis and not slow and not gpu and not network'

mutation: $(INSTALLED) ## small faults put into PART (or into all parts), each of which some test must notice: docs/testing.md
	@$(BIN)/python -m tests.mutation $(PART)

bench: $(INSTALLED) ## what training, loading and parity cost, as ratios to peers and to the bare work
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.loading
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.small_images
	@$(BIN)/python -m benchmarks.parity

matrix: $(INSTALLED) ## every network of the matrix in every precision: the table of docs/exports.md, in about an hour
	@$(BIN)/python -m benchmarks.matrix

gpu-check: $(INSTALLED) ## on a machine with a GPU: build and run every engine and provider there is, and compare them
	@test -d runs/quickstart/distill || $(BIN)/tmkd-pipeline run recipes/quickstart.yaml
	@$(BIN)/python -m benchmarks.gpu_check

docker: ## lint and build the images, and try them: needs a Docker engine, or root with buildah and debootstrap
	@docker/check

lint: $(INSTALLED) ## style, formatting, types, what may import what, a test file for each source file, licences, and the site
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/python tests/mirror.py
	@$(BIN)/python -m release.licences
	@told=$$($(BIN)/lint-imports) || { echo "$$told" >&2; exit 1; }; tail -n 1 <<< "$$told"
	@$(BUILD_SITE)

site: $(INSTALLED) ## docs/ as a site, build/site/index.html, which opens from the disk; broken links are errors
	@$(BUILD_SITE)

wheel: $(INSTALLED) ## build wheel and sdist, install them where nothing else is, and run the quickstart there; PYTHONS=3.11,3.12
	@$(BIN)/python -m release.wheel $(if $(PYTHONS),--python $(PYTHONS))

floors: $(INSTALLED) ## install the lowest versions that pyproject.toml allows, and try them: docs/dependencies.md
	@$(BIN)/python -m release.floors

audit: $(INSTALLED) ## known vulnerabilities of what the lock installs; needs the internet, and says so where there is none
	@$(BIN)/python -m release.audit

release: $(INSTALLED) ## VERSION=1.2.3: lint, test, wheel, then commit and tag; publishes nothing. PYTHONS as for `wheel`
	@test -n "$(VERSION)" || { echo "make release VERSION=1.2.3" >&2; exit 2; }
	@$(BIN)/python -m release.prepare $(VERSION) --only-check
	@$(MAKE) --no-print-directory lint test
	@$(BIN)/python -m release.prepare $(VERSION) $(if $(PYTHONS),--python $(PYTHONS))

names: $(INSTALLED) ## write the lists of networks that a recipe is checked against, from the installed libraries
	@$(BIN)/python -c "from pipeline.recipe.schema.clip_names import main; main()"

lock: $(BIN)/uv ## bring requirements.lock up to date with pyproject.toml; UPGRADE=1 takes newer versions too
	@$(UV) pip compile pyproject.toml --output-file requirements.lock --quiet $(if $(UPGRADE),--upgrade) \
	    --universal --python-version 3.11 --extra cpu --extra dev --extra serve \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate
	@echo "requirements.lock: $$(wc -l < requirements.lock) packages"

clean: ## remove caches and build products; .venv, runs and data stay
	@rm -rf build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find pipeline exporters tests -type d -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)" >&2; \
	    echo "Install one and name it: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# The lock holds cpu, dev and serve; on a GPU machine it bounds what both have in common.
$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/uv
	@echo "installing the extra $(EXTRA) into $(VENV); PyTorch is large, so that the first time takes minutes"
	@rm -f $(VENV)/.installed-*
ifeq ($(EXTRA),gpu)
	@$(UV) pip uninstall $(FOR) onnxruntime onnxruntime-gpu
	@$(UV) pip install $(FOR) --constraint requirements.lock --editable '.[gpu,dev]'
else
	@$(UV) pip sync $(FOR) requirements.lock
	@$(UV) pip install $(FOR) --no-deps --editable .
endif
	@touch $@
	@echo "installed: $$($(BIN)/tmkd-pipeline --version)"
