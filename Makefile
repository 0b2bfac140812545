# The commands that matter: make demo, make test, make check. Each installs what it needs into .venv by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for v in python3.11 python3.12 python3.13 python3; do \
  $$v -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$v; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ALL_REQUIREMENTS := requirements/main.txt requirements/build.txt requirements/demo.txt requirements/dev.txt \
  requirements/judges.txt
RUN_REQUIREMENTS := requirements/main.txt requirements/build.txt requirements/demo.txt
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command 'make lock'

# Tests and demo start hundreds of processes; none of them is to compile again what the one before has compiled.
unexport PYTHONDONTWRITEBYTECODE
# In the order of the folders: by default xdist keeps files with few tests, which are the long ones, to the very end.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## show this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1	\2/' | expand -t 20

$(READY).run: $(RUN_REQUIREMENTS) requirements/uv.txt pyproject.toml
	@echo 'installing into $(VENV) ...'
	@scripts/install $(VENV) '$(PYTHON)' $(RUN_REQUIREMENTS)
	@touch $@

$(READY): $(ALL_REQUIREMENTS) requirements/uv.txt pyproject.toml
	@echo 'installing into $(VENV) (with the tools for development) ...'
	@scripts/install $(VENV) '$(PYTHON)' $(ALL_REQUIREMENTS)
	@touch $(READY).run $@

.PHONY: demo
demo: $(READY).run ## play the main job on a real server; ONCE=1 exits after the story, DATABASE=postgresql, JSON=1
	@$(BIN)/paraph demo $(if $(ONCE),--once) $(if $(JSON),--json) $(if $(DATA),--data $(DATA)) \
	  $(if $(DATABASE),--database '$(DATABASE)')

.PHONY: test
test: $(READY) ## every test, on this Python
	@$(BIN)/pytest -q $(PARALLEL) $(ARGS)

.PHONY: test-fast
test-fast: $(READY) ## the tests that start no server
	@$(BIN)/pytest -q $(PARALLEL) -m 'not slow' $(ARGS)

.PHONY: check
check: $(READY) ## the whole gate: format, lint, types, layers, docs, tests, other Pythons
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-other-pythons

.PHONY: test-other-pythons
test-other-pythons: $(READY) ## log, documents, SDK and storage on the newest Python here, log and documents on those between
	@part='tests/tlog tests/protocol tests/audit tests/sdk tests/server/storage tests/server/accounts'; newest=yes; \
	for version in 3.13 3.12; do \
	  python=; for candidate in python$$version $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python3; do \
	    $$candidate -c '' 2>/dev/null && { python=$$candidate; break; }; done; \
	  [ -n "$$python" ] || { echo "SKIPPED: the fast part on Python $$version (there is none here)"; continue; }; \
	  $(MAKE) --no-print-directory other-python VERSION=$$version OTHER=$$python PART="$$part" NEWEST=$$newest || exit 1; \
	  part='tests/tlog tests/protocol tests/audit'; newest=; \
	done

.PHONY: other-python
other-python:
	@echo "the fast part of $(PART) on Python $(VERSION)"
	@test -e .venv-$(VERSION)/.ready -a .venv-$(VERSION)/.ready -nt requirements/dev.txt \
	    -a .venv-$(VERSION)/.ready -nt requirements/judges.txt \
	  || { scripts/install .venv-$(VERSION) $(OTHER) $(ALL_REQUIREMENTS) && touch .venv-$(VERSION)/.ready; }
	@.venv-$(VERSION)/bin/pytest -q $(PARALLEL) -m 'not slow' --hypothesis-profile=brief -p no:cacheprovider $(PART)
	@$(if $(NEWEST),.venv-$(VERSION)/bin/pytest -q tests/tlog/test_demo_log.py -p no:cacheprovider)

.PHONY: bench
bench: $(READY) ## what a message costs, beside a bare server in the same run
	@$(BIN)/python -m bench $(ARGS)

.PHONY: soak
soak: $(READY) ## kill -9 under load, 50 times on each database
	@PARAPH_KILLS=50 $(BIN)/pytest -q tests/server/test_durability.py --timeout 1800 $(ARGS)

.PHONY: rehearse
rehearse: $(READY) ## the tests of rooms with every write done twice; the gate does a quarter of these
	@PARAPH_REHEARSE=1 $(BIN)/pytest -q $(PARALLEL) -k rehearsed $(ARGS)

.PHONY: fuzz
fuzz: $(READY) ## made-up requests at every endpoint of the people's API, 500 at each
	@PARAPH_FUZZ=$${PARAPH_FUZZ:-500} $(BIN)/pytest -q tests/server/test_fuzz.py --timeout 7200 $(ARGS)

.PHONY: faults
faults: $(READY) ## let 200 of all durable steps of the log fail, on each database, each in its way
	@PARAPH_FAULTS=$${PARAPH_FAULTS:-200} $(BIN)/pytest -q tests/server/ledger/test_faults.py --timeout 1800 $(ARGS)

.PHONY: mutants
mutants: $(READY) ## remove each check of the verifiers in turn: a test must fail (half an hour)
	@$(BIN)/python scripts/mutants.py $(ARGS)

.PHONY: fmt
fmt: $(READY) ## format the code and apply the safe fixes
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.PHONY: lock
lock: $(READY) ## compile requirements/*.in into hashed, pinned requirements/*.txt
	@for name in main build demo dev judges node uv; do \
	  $(LOCK) $(if $(UPGRADE),--upgrade) requirements/$$name.in -o requirements/$$name.txt || exit 1; done

.PHONY: clean
clean: ## remove what the other commands made
	@rm -rf .venv .venv-3.12 .venv-3.13 dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
