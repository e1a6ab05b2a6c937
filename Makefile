# SPDX-License-Identifier: MIT
# Everything a person runs. Needs Python 3.11 or newer and make; the rest it fetches itself.

SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-out

.PHONY: help setup demo console test check bench clean
help:  ## Show what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile

setup: $(VENV)/.installed  ## Prepare .venv with what the program needs

demo: setup  ## Scan a head on the virtual scanner and write its images to demo-out/
	@$(BIN)/isocenter demo --out "$(OUT)"

console: setup  ## Open the window
	@./scripts/qt-libraries
	@$(BIN)/isocenter

test: $(VENV)/.installed-dev  ## Run every check: format, lint, types, import contracts, tests
	@./scripts/peers
	@./scripts/check

check: $(VENV)/.installed-dev  ## The checks without looking for other programs first
	@./scripts/check

bench: $(VENV)/.installed-bench  ## Measure speed against peers, in one run
	@./scripts/peers
	@$(BIN)/python -m bench

clean:  ## Remove the environment and what was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@./scripts/make-venv "$(PYTHON)" "$(VENV)"

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing Isocenter into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	@echo "Installing Isocenter and its checks into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/bin/python pyproject.toml
	@echo "Installing Isocenter, its checks and the peers of its benchmarks into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@ $(VENV)/.installed-dev $(VENV)/.installed
