# Two commands do everything: `make demo` and `make test`. Each makes its own environment in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
DEMO := build/demo
IMAGE_PYTHON := 3.13
LOCKED := $(addprefix lambdas/,classify detect report batch lake) tests/containers/stand_in
LOCK := $(BIN)/uv pip compile --quiet --universal $(UPGRADE) --custom-compile-command "make lock"

ENV ?= dev
CDK := npx --yes aws-cdk@2.1148.1

.PHONY: help demo web local trial-local trial-archive rate-archive bench check test demo-models synth bootstrap deploy destroy lock images images-trial format clean

help:             ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/:/'

demo: .venv/inference  ## draw demo images, analyse them, say where to look
	$(BIN)/python -m training.demo_images --out $(DEMO)/images
	$(BIN)/cxr analyze $(DEMO)/images --out $(DEMO)/results

web: .venv/web $(DEMO)/images/README.txt  ## the page: upload, look, review; until Ctrl-C
	$(BIN)/cxr web $(if $(wildcard $(DEMO)/results),--results $(DEMO)/results --images $(DEMO)/images)

local: .venv/local $(DEMO)/images/README.txt  ## the whole cloud on this machine, until Ctrl-C
	$(BIN)/cxr local

trial-local: .venv/local $(DEMO)/images/README.txt  ## 500 images through it, with duplicates, delays and killed workers
	$(BIN)/python -m infra.local_trial --images 500 --seed 1 --from $(DEMO)/images

trial-archive: .venv/local $(DEMO)/images/README.txt  ## an archive job of 2,000 images with throttling, killed processes, interruptions
	$(BIN)/python -m infra.archive_trial --images 2000 --seed 1 --from $(DEMO)/images

rate-archive: .venv/local $(DEMO)/images/README.txt  ## the batch function against the three stages, in turns
	$(BIN)/python -m infra.batch_rate --rounds 6 --images 25 --from $(DEMO)/images

bench: .venv/bench  ## speed of the networks and of the whole path, against torch and others: a quarter of an hour
	$(BIN)/python -m export.bench

check: .venv/dev  ## lint, types, fast tests: about two minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n auto -m "not slow"

test: .venv/all   ## everything this machine can run
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n auto

demo-models: .venv/all  ## make models/demo from nothing: about an hour and a half on two cores
	training/recipes/phantoms_cpu.sh build/training-run
	$(BIN)/python -m export build/training-run/classifier-380/efficientnet_b4_best.pth \
	  build/training-run/detector-256/final_model.pth --out models/demo --trained-on phantoms \
	  --data build/training-run/prepared --name cxr-demo --version 1.1.0 --description \
	  "2,000 phantoms (python -m training.phantoms --seed 2026), no patient; training/recipes/phantoms_cpu.sh"
	$(BIN)/python -m training.evaluate --data build/training-run/prepared --models models/demo \
	  --out build/evaluation --write-operating-point

synth: .venv/infra  ## write the CloudFormation template of ENV=dev, or another of cdk.json, to cdk.out
	rm -rf cdk.out/$(ENV)
	$(BIN)/python -m infra.app $(ENV)
	$(BIN)/python -m infra.cost_at_rest cdk.out/$(ENV)/*.template.json

bootstrap: .venv/infra  ## prepare an AWS account and region for CDK, once
	$(CDK) bootstrap --app "$(BIN)/python -m infra.app"

deploy: synth     ## build the images, deploy what synth wrote; asks before it widens permissions
	$(CDK) deploy --app cdk.out/$(ENV) --all

destroy: .venv/infra  ## delete the deployed stack of ENV; prod keeps buckets, key and logs
	$(BIN)/python -m infra.destroy $(ENV)

lock: .venv/dev   ## pin again what environment and images install; UPGRADE=--upgrade for the newest
	$(LOCK) pyproject.toml --all-extras --python-version 3.11 --no-annotate -o constraints.txt
	for folder in $(LOCKED); do \
	  $(LOCK) $$folder/requirements.in -c constraints.txt --generate-hashes --no-annotate \
	    --python-version $(IMAGE_PYTHON) -o $$folder/requirements.txt || exit; \
	  for machine in x86_64 aarch64; do $(BIN)/uv pip install --quiet --dry-run --require-hashes \
	    --only-binary :all: --python-platform $$machine-manylinux_2_34 --target build/none \
	    --python-version $(IMAGE_PYTHON) -r $$folder/requirements.txt || exit; done; done

images: .venv/dev ## build the functions' images with docker or podman; BASE=… for another base image
	$(BIN)/python -m infra.build_images $(if $(BASE),--base $(BASE))

images-trial: .venv/dev  ## run the images as Lambda would, on a stand-in base: sizes, times, memory
	$(BIN)/python -m tests.containers.trial

format: .venv/dev ## rewrite the sources in house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:            ## remove the environment and all that was built
	rm -rf .venv build cdk.out

$(DEMO)/images/README.txt: | .venv/inference
	$(BIN)/python -m training.demo_images --out $(DEMO)/images

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}; name another with PYTHON=…")'
	$(PYTHON) -m venv .venv

.venv/inference: $(BIN)/python pyproject.toml
	$(PIP) -e .
	@touch $@

.venv/dev: $(BIN)/python pyproject.toml
	$(PIP) -e '.[dev]'
	@touch $@ .venv/inference .venv/local .venv/web

.venv/local: $(BIN)/python pyproject.toml
	$(PIP) -e '.[local]'
	@touch $@ .venv/inference

.venv/web: $(BIN)/python pyproject.toml
	$(PIP) -e '.[web]'
	@touch $@ .venv/inference

.venv/infra: $(BIN)/python pyproject.toml
	$(PIP) -e '.[infra]'
	@touch $@

.venv/bench: $(BIN)/python pyproject.toml
	$(PIP) -e '.[bench]'
	@touch $@ .venv/inference

# Validators of FHIR outputs and state machines, where npm is; elsewhere their tests are skipped.
.venv/all: $(BIN)/python pyproject.toml
	$(PIP) -e '.[dev,training,export,infra]'
	! command -v npm >/dev/null || npm install --silent --prefix .venv/node fhir@4.12.0 asl-validator@4.0.0 \
	  || echo 'npm could not install its two validators: the tests that need them skip'
	@touch $@ .venv/dev .venv/inference .venv/infra .venv/local .venv/web
