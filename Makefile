# Banyan's commands. `make` alone lists them.
#
# Settings come from the environment, as everywhere: BANYAN_PORT=9000 make up

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PYTHON

bin := .venv/bin
# Two files at a time: most tests wait for some process. Each has servers of its own.
side_by_side := -n 2 --dist loadfile
# Everything that is checked: the package, its tests and its tools.
python_folders := src tests $(wildcard benchmarks scripts)

.PHONY: help
help:
	@printf '\n  Banyan: people, to-dos and notifications, from one process to many\n'
	@awk 'BEGIN { FS = ":.*## " } \
		/^## / { printf "\n  %s\n", substr($$0, 4) } \
		/^[a-z][a-z-]*:.*## / { printf "    make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\n  BANYAN_PORT, BANYAN_HOST, BANYAN_DATA_DIR and all other settings come from the environment;\n'
	@printf '  `make settings` lists them. PYTHON says which interpreter to use.\n\n'

## Run

.PHONY: up
up: ## Prepare, migrate and start everything in one process
	@scripts/environment.sh base
	@exec $(bin)/banyan up

.PHONY: fleet
fleet: ## Prepare, and start a whole fleet: services, PostgreSQL, Valkey, Kafka, RabbitMQ, Envoy
	@scripts/environment.sh fleet
	@exec $(bin)/banyan fleet up

.PHONY: setup
setup: ## Only prepare the environment (.venv)
	@scripts/environment.sh base

.PHONY: settings
settings: setup ## Each setting, with its present value
	@exec $(bin)/banyan config

## Test

.PHONY: test
test: test-env ## All checks and the whole suite: browser, PostgreSQL and the fleet included
	@$(MAKE) checks
	@BANYAN_CHROMIUM="$$(scripts/chromium.sh)" && export BANYAN_CHROMIUM && \
		BANYAN_POSTGRES="$$(scripts/postgres.sh)" && export BANYAN_POSTGRES && $(bin)/python -m pytest $(side_by_side) $(PYTEST_ARGS)
	@$(MAKE) test-postgresql PYTEST_ARGS="$(side_by_side) $(PYTEST_ARGS) -m 'not slow'"
	@$(MAKE) test-fleet PYTEST_ARGS="$(PYTEST_ARGS) -m 'not slow'"

.PHONY: test-quick
test-quick: test-env ## The suite without browser, fault and slow tests
	@$(bin)/python -m pytest -m "not browser and not faults and not slow" $(PYTEST_ARGS)

.PHONY: test-postgresql
test-postgresql: test-env ## The API suite against servers on PostgreSQL (`make test` leaves out its slow tests)
	@BANYAN_POSTGRES="$$(scripts/postgres.sh)" && export BANYAN_POSTGRES && \
		BANYAN_TEST_AGAINST=postgresql $(bin)/python -m pytest tests/api $(PYTEST_ARGS)

.PHONY: test-fleet
test-fleet: test-env ## The API and browser suites against a whole fleet, through its gateway (without slow tests in `make test`)
	@BANYAN_POSTGRES="$$(scripts/postgres.sh)" && export BANYAN_POSTGRES && \
		BANYAN_CHROMIUM="$$(scripts/chromium.sh)" && export BANYAN_CHROMIUM && \
		BANYAN_TEST_AGAINST=fleet $(bin)/python -m pytest tests/api tests/browser $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: test-env ## Only the fault tests: processes killed under load
	@$(bin)/python -m pytest -m faults $(PYTEST_ARGS)

.PHONY: test-env
test-env:
	@scripts/environment.sh test

## Check

.PHONY: checks
checks: lint types imports schemas ## Lint, types, import rules and event schemas

.PHONY: lint
lint: test-env ## Ruff: rules and formatting
	@$(bin)/ruff check $(python_folders)
	@$(bin)/ruff format --check $(python_folders)

.PHONY: types
types: test-env ## The type checker
	@$(bin)/basedpyright

.PHONY: imports
imports: test-env ## Who may import whom
	@$(bin)/lint-imports --no-logo

.PHONY: schemas
schemas: test-env ## Event schemas: written down, and no trouble for who reads the released ones
	@$(bin)/python scripts/schemas.py --check

.PHONY: format
format: test-env ## Format, and repair what Ruff can repair safely
	@$(bin)/ruff check --fix $(python_folders)
	@$(bin)/ruff format $(python_folders)

## Maintain

.PHONY: bench
bench: ## Banyan beside Express, FastAPI, PocketBase and others, in turns (BENCH_ARGS=--help)
	@scripts/environment.sh bench
	@BANYAN_POSTGRES="$$(scripts/postgres.sh)" && export BANYAN_POSTGRES && \
		exec $(bin)/python -m benchmarks.speed.run $(BENCH_ARGS)

.PHONY: bench-load
bench-load: test-env ## ab and Locust against a server of their own
	@exec $(bin)/python benchmarks/load/run.py $(BENCH_ARGS)

.PHONY: lock
lock: ## Resolve pyproject.toml into requirements/ (LOCK_ARGS=--upgrade for newer versions)
	@scripts/lock.sh $(LOCK_ARGS)

.PHONY: clean
clean: ## Remove caches and build products; the environment and the data stay
	@rm -rf .pytest_cache .ruff_cache .import_linter_cache .hypothesis .cache build dist
	@find src tests scripts $(wildcard benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-all
clean-all: clean ## Remove the environment too; the data stays
	@rm -rf .venv
