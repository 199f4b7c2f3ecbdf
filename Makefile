# Every target sets up what it needs. PYTHON is the interpreter that .venv is made with (3.10 to 3.12).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup quickstart test test-heavy lint check clean

setup: .venv/.ready

.venv/.ready: requirements-base.txt requirements-cpu.txt requirements-runtimes.txt requirements-dev.txt constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt -r requirements-runtimes.txt -r requirements-dev.txt -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# The main job from end to end on the built-in data, in about eight minutes: data, training, AP, pictures.
QUICK := -c configs/synthetic_lite_hrnet.yml
quickstart: setup
	$(BIN)/python dataset/make_synthetic.py --output dataset/synthetic --images 600 --val_images 100 --seed 0
	$(BIN)/python tools/train.py $(QUICK) --eval
	$(BIN)/python tools/eval.py $(QUICK)
	$(BIN)/python tools/infer.py $(QUICK) --infer_dir dataset/synthetic/val/images --boxes dataset/synthetic/val/annotations.json

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
