# Every target sets up what it needs. PYTHON is the interpreter that .venv is made with (3.10 to 3.12).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup quickstart test test-heavy lint check clean

setup: .venv/.ready

.venv/.ready: requirements-base.txt requirements-cpu.txt requirements-runtimes.txt requirements-slim.txt requirements-dev.txt constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt -r requirements-runtimes.txt -r requirements-dev.txt -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-slim.txt -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# The main job from end to end on the built-in data: training (seven minutes), AP, export, pictures.
QUICK := -c configs/synthetic_lite_hrnet.yml
VAL := dataset/synthetic/val
quickstart: setup
	$(BIN)/python dataset/make_synthetic.py --images 0 --val_images 200 --most_people 2 --variety 0.25
	$(BIN)/python -m paddle.distributed.launch --nproc_per_node 2 --log_dir output/synthetic_lite_hrnet/log \
		tools/train.py $(QUICK) --eval
	$(BIN)/python tools/eval.py $(QUICK)
	$(BIN)/python tools/export_model.py $(QUICK)
	$(BIN)/python deploy/infer.py --model_dir output_inference/synthetic_lite_hrnet \
		--image_dir $(VAL)/images --boxes $(VAL)/annotations.json --output_dir output/synthetic_lite_hrnet/deployed

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
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .import_linter_cache
