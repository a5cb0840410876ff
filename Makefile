# The contract: the same commands here, on a newcomer's machine and in CI.
# `make VENV=/path/to/venv ...` uses another environment; EXTRAS=joblib,optuna adds optional parts.
VENV ?= .venv
PYTHON ?= python3
EXTRAS ?=
# test processes side by side; each takes about a core and 1.5 GB
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.jepa-lab-installed
DOCS_STAMP := $(VENV)/.jepa-lab-docs-installed

.PHONY: setup demo demo-toy test lint bench claims docs docs-data docs-commands clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev$(if $(EXTRAS),$(comma)$(EXTRAS))]"
	@touch $@
comma := ,

demo: setup
	$(BIN)/python -m jepa_lab +experiment=teacherless_b recipe=predictive dataset.epochs=120

# the published mode "all" of the linear BYOL toy: one run, the grid by hand and by curvature, the figures of both
demo-toy: setup
	$(BIN)/python -m jepa_lab +experiment=linear_byol
	$(BIN)/python -m jepa_lab +experiment=linear_byol_sweep figures=false
	$(BIN)/python -m jepa_lab +experiment=linear_byol_sweep lr_enc_mode=auto figures=false
	$(BIN)/python -m jepa_lab.heatmaps runs/linear_byol_sweep --where epochs=2000 --out runs/figures/linear_byol

test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python benchmarks/goals.py
	$(BIN)/python benchmarks/views.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/monitor.py
	$(BIN)/python benchmarks/own_images.py
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/processes.py
	$(BIN)/python benchmarks/ring.py
	$(BIN)/python benchmarks/sweeps.py
	$(BIN)/python benchmarks/thousand_jobs.py --jobs 100 --at 10 50 100
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/toy.py
	$(BIN)/python benchmarks/arc_tokens.py

# the conclusions of claims/*.yaml: runs what is missing (hours the first time), judges, fills the result pages
claims: setup
	$(BIN)/python -m jepa_lab.claims --out docs/results/claims.md --fill docs/results

# the site, from docs/ into site/; a broken link or a page outside the navigation is an error
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "written: site/index.html"

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	@touch $@

# the pages of docs/ that scripts write: from the stored statistics, and from the runs below RUNS
RUNS ?= runs
docs-data: setup
	$(BIN)/python studies_docs/collapse_picture.py
	$(BIN)/python studies_docs/house_picture.py
	$(BIN)/python studies_docs/verdict_figures.py --runs-dir $(RUNS)
	$(BIN)/python studies_docs/gallery.py --out docs/diagnosis.md
	$(BIN)/python studies_docs/error_rate.py report
	$(BIN)/python studies_docs/collapse_bench document
	$(BIN)/python studies_docs/teacherless.py --runs-dir $(RUNS)
	$(BIN)/python studies_docs/aux_losses.py --runs-dir $(RUNS)
	$(BIN)/python studies_docs/linear_byol.py --runs-dir $(RUNS)
	$(BIN)/python studies_docs/arc.py --runs-dir $(RUNS)

# every command of README and docs/, the slow ones too
docs-commands: setup
	JEPA_LAB_DOCS_COMMANDS=1 $(BIN)/python -m pytest tests/docs

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache
