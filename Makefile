# run, test, check, bench: each prepares what it needs on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
# as many processes for tests as there are processors; beyond eight their own PostgreSQL servers cost more than they bring
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -ge 2 ] || n=2; [ $$n -le 8 ] || n=8; echo $$n)

# Where byte code is not kept, each of the many processes of a test run compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check explore bench clean

# The stamp holds the newest pyproject.toml that was installed; tests install the locked versions.
.venv/.stamp-run: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/.stamp-test: pyproject.toml requirements-test.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-test.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch .venv/.stamp-run $@

run: .venv/.stamp-run
	$(BIN)/penstock sandbox

test: .venv/.stamp-test
	tests/install-daemons
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests/sim tests/contract tests/unit
	tests/in-namespace $(BIN)/pytest tests/integration

check: .venv/.stamp-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests/sim tests/contract tests/unit

# New examples for the properties, many and with a new seed: for a quiet hour, not for a gate.
explore: .venv/.stamp-test
	$(BIN)/pytest -n $(JOBS) --dist worksteal --hypothesis-profile=explore --timeout=3600 tests/contract tests/unit

bench: .venv/.stamp-test
	@for program in benchmarks/*.py; do $(BIN)/python $$program || exit 1; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
