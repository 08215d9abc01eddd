# Everything is installed into .venv, by hash, from requirements/*.txt. Each step leaves a stamp there, so a second call starts at once.

DEFAULT_MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf
# What `run` serves; ARGS are further options of mistral-api.
MODEL ?= $(or $(LLAMA_ARG_MODEL),$(DEFAULT_MODEL))
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp-
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --require-hashes --requirement
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install dev run test check format docs ui uicheck bench soak lock model image wheel chart helm k8s clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP)project ## Leave the command at .venv/bin/mistral-api (the first time compiles llama.cpp: some 8 minutes)

run: install $(filter $(DEFAULT_MODEL),$(MODEL)) ## Serve http://localhost:8000 (MODEL=file.gguf, ARGS="--parallel 4 …")
	@exec $(BIN)/mistral-api --model "$(MODEL)" $(ARGS)

test: dev helm $(DEFAULT_MODEL) models/tiny-mistral.gguf ## Run all tests (ARGS="tests/unit -k name")
	@$(BIN)/python -m pytest $(ARGS)

check: dev ## Format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.chart_docs --check

format: dev ## Rewrite the code in the common format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: install ## Rewrite the pages in docs/ that are made from the code
	$(BIN)/python -m service.settings.showing > docs/options.md
	$(BIN)/python -m service.telemetry.metrics_page > docs/metrics.md

ui: ui/node_modules ## Build the web page of ui/ into service/static/ui (needs Node 20.19 or newer with npm)
	npm run --prefix ui build

# Elsewhere nobody needs Node: what `make ui` writes is committed.
uicheck: ui/node_modules ## Build the web page elsewhere and compare it with what is committed
	UI_OUT="$(CURDIR)/build/ui" npm run --silent --prefix ui build >/dev/null
	node ui/scripts/verify.mjs service/static/ui build/ui

ui/node_modules: ui/package.json ui/package-lock.json
	npm ci --prefix ui --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

bench: dev $(DEFAULT_MODEL) models/random-1b.Q4_K.gguf ## Compare with llama-server, in turn (ARGS="--help" says how)
	@$(BIN)/python -m bench $(ARGS)

soak: dev models/tiny-mistral.gguf ## 10,000 requests to the service: its memory must stay flat (some minutes)
	@$(BIN)/python -m bench --soak 10000 --model models/tiny-mistral.gguf $(ARGS)

model: $(STAMP)python ## Fetch the default model into models/ (98 MB), or mend it
	@$(BIN)/python scripts/fetch_models.py default

dev: install $(STAMP)dev

$(STAMP)python:
	@scripts/make_venv.sh $(VENV)
	@touch $@

$(STAMP)runtime: requirements/runtime.txt requirements/setup.txt | $(STAMP)python
	@echo "make: installing what the service needs"
	@$(INSTALL) requirements/runtime.txt --requirement requirements/setup.txt
	@touch $@

$(STAMP)dev: requirements/dev.txt | $(STAMP)runtime
	@echo "make: installing what tests and checks need"
	@$(INSTALL) requirements/dev.txt
	@touch $@

# The wheel is kept outside the repository too (see the script), so a fresh clone gets it from there.
$(STAMP)llama: requirements/llama.txt requirements/build.txt scripts/build_llama.py $(wildcard scripts/llama/*) | $(STAMP)runtime
	@rm -rf build/llama
	@$(BIN)/python scripts/build_llama.py build/llama
	@$(PIP) install --quiet --no-index --no-deps --force-reinstall build/llama/*.whl
	@touch $@

$(STAMP)project: pyproject.toml | $(STAMP)runtime $(STAMP)llama
	@$(PIP) install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(DEFAULT_MODEL): | $(STAMP)python
	@$(BIN)/python scripts/fetch_models.py default

models/tokenizer.model.v1: | $(STAMP)python
	@$(BIN)/python scripts/fetch_models.py tokenizer

models/tiny-mistral.gguf: scripts/make_gguf.py models/tokenizer.model.v1 | $(STAMP)dev
	@$(BIN)/python scripts/make_gguf.py tiny-mistral

models/random-1b.Q4_K.gguf: scripts/make_gguf.py models/tokenizer.model.v1 | $(STAMP)dev
	@$(BIN)/python scripts/make_gguf.py 1b

LOCK := build/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --custom-compile-command "make lock" $(ARGS)

lock: ## Resolve requirements/*.in into *.txt; pins that still fit stay (ARGS=--upgrade for the newest)
	@test -x build/lock/bin/uv || { scripts/make_venv.sh build/lock && build/lock/bin/python -m pip install --quiet --require-hashes --requirement requirements/lock.txt; }
	@for name in build runtime setup lock; do $(LOCK) requirements/$$name.in --output-file requirements/$$name.txt; done
	@$(LOCK) requirements/dev.in --constraint requirements/runtime.txt --output-file requirements/dev.txt
	@for name in llama models helm; do $(LOCK) --no-deps requirements/$$name.in --output-file requirements/$$name.txt; done

IMAGE ?= mistral-api
TARGET ?= runtime
# A compiled wheel, as `make wheel` leaves it; without one the build compiles llama.cpp.
WHEEL ?=

image: ## Build the container image (IMAGE=name:tag TARGET=dev|cuda WHEEL=build/llama/….whl)
	@scripts/build_image.sh "$(IMAGE)" "$(TARGET)" "$(WHEEL)"

wheel: $(STAMP)python ## Leave the compiled llama-cpp-python in build/llama/
	@rm -rf build/llama
	@$(BIN)/python scripts/build_llama.py build/llama

chart: dev ## Rewrite what follows from the chart's values.yaml (schema, table)
	@$(BIN)/python -m scripts.chart_docs

helm: $(STAMP)python ## Leave Helm 3 and 4 in build/helm/ (x86-64 Linux), which render the chart in the tests
	@$(BIN)/python -m scripts.fetch_helm

k8s: dev helm ## Rewrite k8s/ from the chart
	@PATH="$(CURDIR)/build/helm/4:$$PATH" $(BIN)/python scripts/render_k8s.py

clean: ## Remove what was installed and built here (models and the compiled wheel's cache stay)
	rm -rf $(VENV) build ui/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
