# What people type. `make` alone lists it; every target makes the environment first if it has to.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

PYTHON ?= python3
# Tests of one file stay together, so that what a file sets up is set up once. ARGS="-k words" chooses among them.
WORKERS ?= 2

# Every command below is the environment's.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"

# Jobs import torch many times over: let them keep what they compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo everything test lint bench real-features lock clean-results FORCE

help: ## this list
	@echo 'make TARGET, where TARGET is'
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' Makefile | expand -t 18
	@echo 'The environment is .venv; PYTHON=/path/to/python3.11 chooses what it is made with.'

demo: .venv/.installed ## environment, then the comparison table on the aviary; prints it and where everything is
	@$(RUN) python -m fieldguide.run.demo

everything: .venv/.installed ## all tables, figures, translators and the report on the aviary, 30 minutes at most on 2 cores
	@$(RUN) python -m fieldguide.run.demo --target everything

test: .venv/.installed ## environment, then every test that this machine can run
	@$(RUN) python -m pytest --numprocesses=$(WORKERS) --dist=loadfile $(ARGS)

CHECKS := 'ruff check .' 'ruff format --check .' 'snakefmt --check Snakefile workflow' 'snakemake --lint' lint-imports mypy
lint: .venv/.installed ## ruff, snakefmt, snakemake --lint, types; all of them, whichever fails
	@status=0; for check in $(CHECKS); do echo "== $$check"; $(RUN) $$check || status=1; done; exit $$status

bench: .venv/.installed ## the benchmarks, one after another
	@for file in benchmarks/[!_]*.py; do \
	    [ -e "$$file" ] || { echo 'No benchmarks yet.'; break; }; \
	    printf '\n== %s\n' "$$file"; $(RUN) python "$$file" || exit; \
	done

# FEATURES: a file of features of your own; RESULTS and SOURCES: a results folder and its text sources.
real-features: .venv/.installed ## does text ever hurt on real CLIP features? Cells worst first (FEATURES=file, or RESULTS=folder SOURCES=names)
	@$(RUN) python benchmarks/text_bound.py $(if $(FEATURES),--features "$(FEATURES)") \
	    $(if $(RESULTS),$(if $(FEATURES),,--real) --results "$(RESULTS)") $(if $(SOURCES),--sources $(SOURCES)) $(ARGS)

# Versions in use are kept unless the .in file asks for others; UPGRADE=1 takes the newest that fit.
COMPILE = .venv/bin/uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
lock: .venv/.installed ## write requirements/*.lock anew from requirements/fieldguide.in (UPGRADE=1: newest versions)
	@$(COMPILE) requirements/fieldguide.in --output-file requirements/fieldguide.lock
	@echo uv | $(COMPILE) - --output-file requirements/uv.lock
	@echo 'Written. Now bring envs/fieldguide.yaml into line: tests/unit/test_environments.py says what differs.'

clean-results: ## delete everything generated under results/ (never data/, nor a ledger of LLM replies)
	@find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

# An environment that was moved, or whose Python is gone, is made again: then the stamp is out of date whatever its age.
USABLE := $(shell [ "$$(cat .venv/.installed 2>/dev/null)" = "$(CURDIR)" ] && .venv/bin/python -c 'print("yes")' 2>/dev/null)
.venv/.installed: requirements/fieldguide.lock requirements/uv.lock pyproject.toml $(if $(USABLE),,FORCE)
	@PYTHON='$(PYTHON)' sh requirements/install.sh
