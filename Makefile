# Works with GNU Make 3.81 and later. The pins live in environment.yml and nowhere else.
PYTHON ?= python3
BIN := .venv/bin
PINS := sed -n 's/^      - \([^ ]*==[^ ]*\).*/\1/p' environment.yml

# Two busy processes whose OpenMP threads spin while they wait slow each other tenfold.
export OMP_WAIT_POLICY := PASSIVE
# The notebooks' program stands beside Snakemake.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.NOTPARALLEL:
.PHONY: all study setup test label-studio lint benchmark-release check lock pins clean help

all: study results/report.zip ## set up .venv, run the whole study, write its report (the default)

study: .venv/.ready
	@$(BIN)/snakemake --cores all

# Snakemake's own report: figures, tables, captions and where each came from, in one HTML page.
results/report.zip: paper/main.pdf $(wildcard workflow/report/*.rst) | study
	@$(BIN)/snakemake --report $@ > results/logs/report.log 2>&1 || { cat results/logs/report.log; exit 1; }

setup: .venv/.ready ## only set up .venv

test: .venv/.tests ## run the quick tests, the tiny end-to-end study among them
	@HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "not slow" --ignore=tests/study

label-studio: .venv/.ready .venv-label-studio/.ready ## have people label the tasks of a finished run
	@$(BIN)/python workflow/scripts/label_studio.py

benchmark-release: .venv/.ready ## write what may be published of the web-text items
	@$(BIN)/snakemake --cores all benchmark_release

check: .venv/.tests ## check what the default study made
	@$(BIN)/python -m pytest tests/study

lint: .venv/.tests ## check style and the workflow
	@$(BIN)/ruff check . tests/conda/bin/conda
	@$(BIN)/ruff format --check . tests/conda/bin/conda
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/snakemake --lint

lock: .venv/.tests ## write down what the direct dependencies brought along
	@$(BIN)/python tests/lock.py

pins: ## print what environment.yml pins, in pip's format
	@$(PINS)

clean: ## remove results and the workflow's own records; .venv stays
	@git clean -fdXq results && rm -rf .snakemake

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1: \2/p' Makefile

.venv/.ready: environment.yml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "Setting up .venv from environment.yml (minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(PINS) > .venv/requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r .venv/requirements.txt
	@touch $@

# Label Studio brings its own version of nearly everything: an environment of its own.
.venv-label-studio/.ready: workflow/envs/label_studio.txt
	@echo "Setting up .venv-label-studio from workflow/envs/label_studio.txt (1 GB, once)"
	@$(PYTHON) -m venv .venv-label-studio
	@.venv-label-studio/bin/python -m pip install -q --disable-pip-version-check -r workflow/envs/label_studio.txt
	@touch $@

.venv/.tests: .venv/.ready tests/requirements.txt
	@echo "Adding the tests' dependencies to .venv"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@
