# Every target sets up what it needs. PYTHON is the interpreter that .venv is made with (3.10 to 3.13).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup quickstart quickstart-lite docs test test-heavy lint check clean

setup: .venv/.ready

.venv/.ready: $(wildcard requirements*.txt) pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[all,dev,docs]" -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps paddleslim -c constraints.txt
	touch $@

# The main job from end to end on drawn people: training, AP, export, pictures, in five minutes on two CPU cores.
quickstart: setup
	$(BIN)/python tools/quickstart.py -c configs/synthetic_pose_resnet.yml --images 3600

# The same by a small Lite-HRNet.
quickstart-lite: setup
	$(BIN)/python tools/quickstart.py -c configs/synthetic_lite_hrnet.yml

# The documentation as a site, in site/; a dead link or a warning is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: setup
	$(BIN)/python -m pytest -n 2 -m "not heavy"

test-heavy: setup
	$(BIN)/python -m pytest -n 2 -m heavy

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

check: lint test

clean:
	rm -rf .venv build site *.egg-info .pytest_cache .ruff_cache .import_linter_cache .mypy_cache
