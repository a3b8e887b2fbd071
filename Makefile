# One install rule for everyone: the demo, the tests and CI all go through it.
PYTHON ?= python3
# A CPU build where the registry has one; set TORCH=torch for the newest with CUDA.
TORCH ?= torch==2.13.0
VENV := .venv
# Else a script beside the clone would import the clone's folder, an empty package.
EDITABLE := --config-settings editable_mode=compat
RUN := $(VENV)/bin

.PHONY: demo test test-all quality test-torchvision check bench fuzz docs dist test-dist clean

demo: $(VENV)/installed
	$(RUN)/lfkit apply digits --lfs lf_library.digits --seeds-per-class 20 --out demo-run
	$(RUN)/lfkit apply digits --lfs lf_library.digits --refine --stages self-training,metric --out rules-run
	$(RUN)/lfkit train demo-run --with adp --steps 4000
	$(RUN)/lfkit generate demo-run -n 1000 --out demo-run/generated

test: $(VENV)/installed-dev
	$(RUN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow and not gpu and not quality"

test-all: $(VENV)/installed-dev
	$(RUN)/python -m pytest -m "not quality"

# The pages' headline figures, from the commands that they show.
quality: $(VENV)/installed-dev
	$(RUN)/python -m pytest -m quality tests/quality

# What needs torchvision, which no CPU build of torch has beside it: the newest of both,
# in an environment of their own.
test-torchvision:
	test -x $(VENV)-torchvision/bin/python || $(PYTHON) -m venv $(VENV)-torchvision
	$(VENV)-torchvision/bin/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) -e ".[dev,torchvision,inception]"
	$(VENV)-torchvision/bin/python -m pytest tests/test_extractors.py tests/test_image_metrics.py tests/test_embeddings.py

check: $(VENV)/installed-dev
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports --no-logo

bench: $(VENV)/installed-dev
	$(RUN)/python -m benchmarks.apply
	$(RUN)/python -m benchmarks.features
	$(RUN)/python -m benchmarks.label_models --n 2000
	$(RUN)/python -m benchmarks.metrics
	$(RUN)/python -m benchmarks.generation

# Damaged files of every kind: no traceback, no hang, each named.
fuzz: $(VENV)/installed-dev
	$(RUN)/python -m benchmarks.fuzz --files 10000 --minutes 120

# The documentation as a site, in site/: warnings, such as of dead links, are errors.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --strict

# A wheel; build/ would bring back files that are no longer there.
dist: $(VENV)/installed
	rm -rf build dist
	$(RUN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

# The wheel alone, in an environment of its own, away from the clone.
test-dist: dist
	rm -rf $(VENV)-dist && $(PYTHON) -m venv $(VENV)-dist
	$(VENV)-dist/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(VENV)-dist/bin/python -m pip install --quiet --disable-pip-version-check dist/lfkit-*.whl
	cd $(VENV)-dist && bin/lfkit apply digits --lfs lf_library.digits --seeds-per-class 20 --out demo-run
	cd $(VENV)-dist && bin/lfkit train demo-run --with adp --steps 300
	cd $(VENV)-dist && bin/lfkit generate demo-run -n 100 --out demo-run/generated
	cd $(VENV)-dist && bin/lfkit report demo-run

clean:
	rm -rf $(VENV) $(VENV)-* demo-run build dist site

$(VENV)/installed: pyproject.toml
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(RUN)/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) -e ".[dev]"
	touch $@
