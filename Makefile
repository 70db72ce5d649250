# Every target sets up what it needs: a virtual environment with the locked dependencies.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml)) gateway
IMAGE := build/protos.binpb
TESTS ?=
EVAL ?=
STORES ?= embedded

.DEFAULT_GOAL := help
.PHONY: help demo run test check fmt lock eval confidence fuzz load fault contracts baseline clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.synced ## carry the examples, or FILES=…, from upload to the reports, and stop
	@$(BIN)/python -m examples.demo $(FILES)

run: $(VENV)/.synced ## run the platform until Ctrl-C; its data stays in .data
	@$(BIN)/python -m libs.run

test: $(VENV)/.synced ## run every test, or TESTS=path; with a Docker engine also STORES=containers
	@$(BIN)/pytest --stores=$(STORES) $(TESTS)

check: $(VENV)/.synced contracts ## lint, types, import rules, contracts, house rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports
	@$(BIN)/pytest tests/house

fmt: $(VENV)/.synced ## format and mend what ruff can mend
	@$(BIN)/ruff check --fix -q . || true
	@$(BIN)/ruff format -q .

eval: $(VENV)/.synced ## score the reading engine on made documents, and on EVAL="DIR …"; writes docs/READING.md
	@$(BIN)/python -m examples.generator.evaluate $(EVAL)

confidence: $(VENV)/.synced ## measure how sure readings are and what corrections teach, also on EVAL="DIR …"; writes docs/CONFIDENCE.md
	@$(BIN)/python -m examples.generator.confidence $(EVAL)

fuzz: $(VENV)/.synced ## read 2,000 truncated and mutated files in the sandbox
	@FUZZ_FILES=2000 $(BIN)/pytest -q services/agent/tests/test_fuzz.py

load: $(VENV)/.synced ## measure requests/s, latency and CPU per request; writes docs/LOAD.md
	@$(BIN)/python -m tests.load

fault: $(VENV)/.synced ## kill processes under load and count what was lost or doubled; writes docs/FAULTS.md
	@$(BIN)/python -m tests.fault

contracts: $(IMAGE) ## lint the contracts and refuse breaking changes
	@$(BIN)/buf lint $(IMAGE) --config protos/buf.yaml
	@$(BIN)/buf breaking $(IMAGE) --against protos/baseline.binpb --config protos/buf.yaml

baseline: $(IMAGE) ## take the contracts as they stand for what must not break
	@$(BIN)/buf build $(IMAGE) --exclude-source-info -o protos/baseline.binpb

lock: $(VENV)/.synced ## resolve the dependencies anew
	@$(BIN)/uv lock -q --upgrade
	@$(BIN)/uv export -q --all-packages --all-groups --no-emit-workspace --no-header --format requirements-txt -o requirements.lock

clean: ## remove the environment and what was built; data in .data stays
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(IMAGE): $(VENV)/.synced $(shell find protos/auditron -name '*.proto')
	@mkdir -p build
	@cd protos && ../$(BIN)/python -m grpc_tools.protoc -I. -I$$(../$(BIN)/python -c 'import google.api, pathlib; print(pathlib.Path(google.api.__path__[0]).parents[1])') \
		--include_imports --include_source_info -o ../$(IMAGE) $$(find auditron -name '*.proto' | sort)

# pip serves where uv cannot (uv reads other settings for certificates than pip does).
$(VENV)/.synced: requirements.lock $(shell find protos -name '*.proto') protos/pyproject.toml protos/hatch_build.py $(wildcard libs/*/pyproject.toml services/*/pyproject.toml) gateway/pyproject.toml
	@echo "· setting up $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock 2>build.log \
		|| $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@rm -f build.log
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --no-index --force-reinstall \
		./protos $(addprefix -e ./,$(PACKAGES))
	@touch $@
