# Every target makes .venv first. Only make and Python >= 3.11 are needed before.

PYTHON ?= python3
BIN    := .venv/bin
STAMP  := .venv/.installed
OUTPUT := output

# With one thread, the same seed gives the same numbers to the last bit, and two runs at
# once do not compete for the cores.
run test unit execute nightly bench: export OMP_NUM_THREADS := 1

PYTEST := $(BIN)/pytest -n 2 -p no:cacheprovider
NBVAL  := --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg --ignore-glob='*/_build/*'

.DEFAULT_GOAL := help
.PHONY: run test unit lint execute book bench nightly gpu lock clean help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

run: $(STAMP) ## execute chapter 3 on real data; ends with a trained student
	mkdir -p $(OUTPUT)
	$(BIN)/papermill book/03_mad.ipynb $(OUTPUT)/03_mad.ipynb --log-output --progress-bar
	@echo; echo "The executed chapter: $(OUTPUT)/03_mad.ipynb"
	@echo "The students, each with its record (.json) beside it:"; ls -1 $(OUTPUT)/*.safetensors

# Cheap failures first; one core renders the book beside the unit tests. A chapter stays
# with one worker (loadfile); the longest ones are not left to the end, as they would be
# if files with many tests came first.
test: lint ## every check: style, unit tests, the rendered book, every chapter
	$(MAKE) -j 2 unit book
	$(PYTEST) --dist worksteal tests/test_rendered*.py -rs
	$(PYTEST) --dist loadfile --no-loadscope-reorder tests book -m slow $(NBVAL)

unit: $(STAMP)
	$(PYTEST) --dist loadfile tests -m 'not slow and not browser'

lint: $(STAMP) ## check the style only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

execute: $(STAMP) ## run every chapter and store its outputs
	$(BIN)/python tools/execute.py

# Without --all, a second build hides the warnings of pages that it does not rebuild.
book: $(STAMP) ## render the book; a warning is an error
	$(BIN)/jupyter-book build . -W -n --keep-going --all
	@echo "The book: _build/html/index.html"

bench: $(STAMP) ## measure speed against the public way of computing; keeps a record
	$(BIN)/python -m benchmarks.bench

nightly: $(STAMP) ## make the runs of the book that have no record; resumes, prints what is left
	$(BIN)/snakemake --cores 2 --configfile workflow/experiments.yml

gpu: $(STAMP) ## make what needs a GPU, in the order of its worth; resumes
	$(BIN)/python tools/gpu.py

lock: $(STAMP) ## pin every version again (needs uv)
	$(BIN)/python tools/lock.py

clean: ## remove what the other targets made, .venv too
	rm -rf .venv _build $(OUTPUT) .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "'$(PYTHON)' is not Python 3.11 or newer: try 'make PYTHON=python3.12 $(MAKECMDGOALS)'."; \
		exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --require-hashes -r requirements.lock
	$(BIN)/pip install --no-deps --no-build-isolation -e .
	@touch $@
