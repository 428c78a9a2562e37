# The main commands are `make demo` and `make test`. Both install what they need on first use.
#
#   make install   the environment in .venv      make lint     ruff and mypy
#   make demo      a search on synthetic data    make verify   long tests: kills, clusters, jobs, servers, browser
#   make test      the tests                     make clean    remove .venv and caches
#
# To use another environment (your torch build, conda, a container): `make demo VENV=/path/to/env`. Nothing is installed
# into it; it must be able to import sldml (`pip install -e '.[dev]'` there).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --durations=10

ifeq ($(VENV),.venv)
INSTALLED := .venv/.installed
else
INSTALLED :=
endif

.PHONY: install demo test verify lint clean

install: $(INSTALLED)

# Bytecode is compiled here: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would compile all
# that it imports. Files for other versions of Python do not compile; nothing imports them.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip install --quiet --python .venv/bin/python -c constraints.txt -e '.[dev]'
	.venv/bin/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib sldml launch || true
	touch $@

demo: $(INSTALLED)
	$(BIN)/python launch/tune.py --space demo

test: $(INSTALLED)
	$(PYTEST) --dist worksteal -m 'not verify'

verify: $(INSTALLED)
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m verify

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
