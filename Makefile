# The two commands: `make demo` and `make test`. Both do all of their set-up themselves.
#
#   make install   environment in .venv         make lint     ruff and mypy
#   make demo      a whole search on made data   make verify   long tests: kills, clusters, jobs, servers
#   make test      the tests (minutes)           make clean    remove .venv and caches
#
# Your own environment (your torch build, conda, a container): `make demo VENV=/path/to/env` uses the one there
# and installs nothing into it where `sldml` can already be imported.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.sldml-installed

.PHONY: install demo test verify lint clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sldml, pytest, ruff' 2>/dev/null && [ "$(VENV)" != .venv ] || { \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check uv && \
	  $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[dev]'; }
	@touch $@

demo: $(STAMP)
	$(BIN)/python launch/tune.py --space demo

test: $(STAMP)
	$(BIN)/python -m pytest -m 'not verify'

verify: $(STAMP)
	$(BIN)/python -m pytest -m verify

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
