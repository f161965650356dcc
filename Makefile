# Every target says what it is for: `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env run test check fast lab-tests story rewrite swarm swarm-rate requirements format bench lock clean clean-lab

# A login without /sbin in its path has no `ip`; ~/.local would hide the locked packages.
export PATH := $(PATH):/usr/sbin:/sbin
export PYTHONNOUSERSITE := 1
# Where it is set, each worker of the tests would rewrite and compile all of them each time. Root does
# not write (AS_ROOT), since this clone is its owner's.
unexport PYTHONDONTWRITEBYTECODE

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
AS_ROOT := $(SUDO) env PATH="$(PATH)" PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
PYTEST := .venv/bin/pytest
# Once, by its owner: tests start hundreds of programs as root, who writes no bytecode here.
COMPILE := .venv/bin/python -m compileall -q src
# The lab tests of one file share a worker and a lab (see tests/conftest.py); the others fill the rest.
# One worker more than there are cores: drills wait for most of their time.
MORE_THAN_CORES := --numprocesses=$(shell echo $$(( $$(nproc) + 1 )))
IN_PARALLEL := $(MORE_THAN_CORES) --dist=loadgroup
# The fast ones wait for a third of their time, too. What they write, some 130 MB, is for no disk to
# keep, and stays in memory where there is room.
FAST := --numprocesses=$(shell echo $$(( $$(nproc) + 3 ))) --dist=worksteal \
	-m "not lab and not slow and not bench"
define check_fast
room=$$(df --output=avail /dev/shm 2>/dev/null | tail -1); \
if [ "$${room:-0}" -gt 1048576 ]; then \
	place=$$(mktemp -d /dev/shm/hf.XXXX); trap 'rm -rf "$$place"' EXIT; \
fi; \
$(PYTEST) $(FAST) $${place:+--basetemp=$$place}
endef

help: ## What can be made here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: ## Install what is missing, watch the VMs of this host, and say what to try next
	@scripts/install run
	@$(AS_ROOT) .venv/bin/holdfast up

test: ## Install what the tests need, and run all of them (needs root or sudo)
	@scripts/install test
	@$(COMPILE)
	@$(AS_ROOT) $(PYTEST) $(IN_PARALLEL) -m "not bench"; result=$$?; $(give_back); exit $$result

check: env ## Format, lint, types, architecture and the fast tests: before every commit
	@$(check_fast)

fast: env ## The fast tests alone
	@$(check_fast) --ignore=tests/architecture

lab-tests: ## The tests that break hosts in the lab (needs root or sudo)
	@scripts/install test
	@$(COMPILE)
	@$(AS_ROOT) $(PYTEST) -m lab; result=$$?; $(give_back); exit $$result

story: env ## One story, told at length: make story NAME=vm_is_killed
	@test -n "$(NAME)" || { echo "Which one? make story NAME=..., of:"; ls tests/stories; exit 2; }
	@$(PYTEST) tests/stories -vv -k "$(NAME)"

rewrite: env ## Accept what the system now says into the stories; review the diff
	@$(PYTEST) $(IN_PARALLEL) -m "not lab and not bench" --rewrite
	@git --no-pager diff --stat -- tests

swarm: env ## Random worlds on the simulated host and site: make swarm SEED=7, or SEEDS=5000
	@SEED=$(SEED) SEEDS=$(SEEDS) $(PYTEST) --numprocesses=auto --timeout=900 tests/simulation -q

swarm-rate: env ## How many random sites are played in an hour on two cores (make swarm-rate SEEDS=400)
	@.venv/bin/python -m tests.simulation.rate $(or $(SEEDS),200) $(or $(SEED),0)

requirements: env ## Write docs/REQUIREMENTS.md and COMPLAINTS.md from what stories cover
	@.venv/bin/python -m tests.stories.requirements
	@.venv/bin/python -m tests.stories.complaints

format: env ## Lay the code out, and mend what the linter can mend
	@.venv/bin/ruff format --quiet . && .venv/bin/ruff check --quiet --fix .

bench: ## Measure DESIGN's figures on the lab, and write the table (needs root or sudo)
	@scripts/install test
	@$(COMPILE)
	@$(AS_ROOT) $(PYTEST) -m bench -s bench; result=$$?; $(give_back); exit $$result
	@$(MAKE) --no-print-directory requirements

env: ## The Python environment to work on Holdfast (.venv)
	@scripts/install env

lock: env ## Write the locks anew from pyproject.toml (make lock ARGS=--upgrade for newer releases)
	@scripts/lock $(ARGS)

clean-lab: ## Remove every lab that this clone made, and name those of others
	@test ! -x .venv/bin/holdfast || $(AS_ROOT) .venv/bin/holdfast lab down --own

clean: ## Take everything of ours away, and name the distribution packages that stay
	@$(MAKE) --no-print-directory clean-lab || echo "clean: the lab could not be asked (above); going on"
	@scripts/clean

# What root's tests wrote into this clone belongs to its owner.
give_back = $(if $(SUDO),find .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache -user root \
	-exec sudo chown -h "$$(id -u):$$(id -g)" {} + 2>/dev/null,true)
