# Every target sets up what it needs. PYTHON is the interpreter that .venv is made with (3.10 to 3.12).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup quickstart test test-heavy lint check clean

setup: .venv/.ready

.venv/.ready: requirements-base.txt requirements-cpu.txt requirements-dev.txt constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt -r requirements-dev.txt -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

test: setup
	$(BIN)/python -m pytest -m "not heavy"

test-heavy: setup
	$(BIN)/python -m pytest -m heavy

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

check: lint test

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .import_linter_cache
