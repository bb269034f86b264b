# Two commands do everything on a fresh machine: `make conformance` and `make test`. Each sets up .venv first, when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= auto

PYTEST_ARGS ?=

COMPILED := build/compiled
COMPILED_STAMP := $(COMPILED)/.built

.PHONY: setup conformance compiled compiled-conformance mutants mutate test lint types imports bench bench-check bench-chart deep screenshots corpus docs clean help judge-torvyn

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(STAMP)  ## Create .venv and install both packages with the development tools

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once; versions from constraints.txt) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

conformance: setup  ## Judge the embedded reference runtime: fails unless it is conformant
	@mkdir -p reports
	@$(BIN)/torvyn-conformance run --subject reference --jobs 2 --report reports/reference.json --report reports/reference.html; \
	code=$$?; \
	echo "The same to read and to filter: reports/reference.html"; \
	exit $$code

mutants: setup  ## Hunt the faulty variants of the reference: fails when one survives, or when a check kills nothing
	@mkdir -p reports
	@$(BIN)/torvyn-conformance mutants --jobs 2 --report reports/mutants.json

MODULE ?= torvyn_ref/streams/watermark.py
FACETS ?= streams

mutate: setup  ## The scheduled deep run: a mutation tool changes a module of the reference, and what the suite does not notice is printed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'cosmic-ray>=8.4,<9'
	@.ci/mutate $(MODULE) $(FACETS)

test: setup lint  ## Lint, type-check, test
	@$(BIN)/python -m pytest -n $(JOBS) --quiet $(PYTEST_ARGS)

lint: setup types imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

types: setup
	@$(BIN)/mypy
	@$(BIN)/pyright --warnings

imports: setup
	@$(BIN)/lint-imports --no-logo > .import-linter.out 2>&1 || { cat .import-linter.out; rm -f .import-linter.out; exit 1; }
	@rm -f .import-linter.out

bench: setup  ## Measure: CPU time per element and per operation
	@$(BIN)/python -m benchmarks

bench-check: setup  ## Compare the exact counters per element with benchmarks/baseline.json
	@$(BIN)/python -m benchmarks.check

bench-chart: compiled  ## Measure the ratios of the compiled build again and redraw docs/images/speed.svg
	@mkdir -p docs/images
	@cd $(COMPILED) && $(CURDIR)/$(BIN)/python -m benchmarks.ratio --format json > $(CURDIR)/docs/images/speed.json.new
	@mv docs/images/speed.json.new docs/images/speed.json
	@$(BIN)/python -m benchmarks.chart docs/images/speed.json docs/images/speed.svg

screenshots: setup  ## Draw docs/images/: judges the reference, the zoo, a mutant and a component, and shows their reports in Chromium
	@mkdir -p reports/screenshots
	@$(BIN)/torvyn-conformance run --subject reference --jobs 2 --report reports/screenshots/reference.json > /dev/null; test $$? -ne 3
	@test -f reports/mutants.json || $(MAKE) mutants
	@$(BIN)/torvyn-conformance report reports/screenshots/reference.json --mutants reports/mutants.json --output reports/screenshots/reference.html
	@$(BIN)/torvyn-conformance run --subject mutant:no-hysteresis --jobs 2 --report reports/screenshots/mutant.html \
	  --traces reports/screenshots/traces > /dev/null; test $$? -eq 1
	@$(BIN)/torvyn-conformance component corpus/components/leak-borrow.wasm --report reports/screenshots/component.html > /dev/null; test $$? -eq 1
	@$(BIN)/python docs/screenshots.py reports/screenshots

deep: setup  ## The long profiles: every check with many more examples, every test
	@$(BIN)/torvyn-conformance run --subject reference --profile-run deep --jobs 2 --report reports/reference-deep.json
	@HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -n $(JOBS) --quiet

compiled: $(COMPILED_STAMP)  ## Build the reference in build/compiled with its hot modules turned into C: the same sources, faster (needs a C compiler)

$(COMPILED_STAMP): $(STAMP) pyproject.toml $(shell find torvyn_ref conformance -name '*.py')
	@command -v "$${CC:-cc}" >/dev/null || { echo "The compiled build needs a C compiler (on Debian: apt-get install gcc); nothing was built."; exit 1; }
	@echo "Compiling torvyn_ref into $(COMPILED) (about two minutes) ..."
	@rm -rf $(COMPILED) build/source && mkdir -p build/source
	@cp -r torvyn_ref conformance wit corpus pyproject.toml README.md LICENSE build/source/  # mypyc puts its output beside what it reads
	@HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --target $(COMPILED) build/source
	@ln -s ../../benchmarks ../../corpus ../../wit $(COMPILED)/
	@cd $(COMPILED) && $(CURDIR)/$(BIN)/python -m torvyn_ref --version | grep compiled
	@touch $@

compiled-conformance: compiled  ## Judge the compiled build as `make conformance` does the other one
	@mkdir -p reports
	@cd $(COMPILED) && $(CURDIR)/$(BIN)/python -m conformance run --subject reference --jobs 2 --report $(CURDIR)/reports/compiled.json

judge-torvyn: setup  ## Build the Rust adapter, judge Torvyn 0.1.1 with it, and write docs/findings (needs cargo)
	@adapters/torvyn-rust/judge

corpus: setup  ## Rebuild corpus/components from their templates
	@$(BIN)/python corpus/components/build.py

docs: setup  ## Regenerate the generated pages
	@$(BIN)/python -m conformance.rulebook ledger
	@$(BIN)/python -m conformance.report.schema
	@$(BIN)/python -m conformance.subjects.pages
	@$(BIN)/python -m conformance.report.rulepages

clean:  ## Remove what make built
	rm -rf $(VENV) reports .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
