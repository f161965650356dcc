# Every target says what it is for: `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env

help: ## What can be made here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

env: ## The Python environment to work on Holdfast (.venv)
	@scripts/install env
