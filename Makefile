# `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo watch test test-service test-trainer test-long lint deny fuzz dashboards openapi metrics-page setup trainer bench bench-models bench-training gpu-check gpu-pack

# Everything but the trainer; the trainer needs libtorch and is built by its own targets.
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
TRAINER_ENV = LIBTORCH="$$(scripts/libtorch.sh)" LD_LIBRARY_PATH="$$(scripts/libtorch.sh)/lib" \
	ORT_DYLIB_PATH="$$(scripts/onnxruntime.sh)" OMP_NUM_THREADS=1
TRAINER_CARGO = --release --package cxr-trainer

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## Install the system packages that are missing (Debian; needs root or sudo)
	@scripts/setup.sh

demo: setup ## Run the service on sample radiographs: IMAGE=path for your own, ONCE=1 to stop after the answers
	@scripts/demo.sh

watch: setup ## Monitoring on this machine, to look at, until Ctrl-C: SHIFT=border|contrast|gamma|letters|jpeg|adults, WATCH="--rate 20 --port 9900"
	$(CARGO) build --release --bins
	ORT_DYLIB_PATH="$$(scripts/onnxruntime.sh)" $(TARGET)/release/cxr-loadtest watch \
		--uplot "$$(scripts/npm-install.sh watch)" --shift "$(or $(SHIFT),none)" $(WATCH)

test: setup test-service test-trainer ## Everything: domain, service, system and trainer tests

test-service: ## Domain, runtime, service and system tests (no libtorch)
	$(CARGO) build --release --bins
	ORT_DYLIB_PATH="$$(scripts/onnxruntime.sh)" CXR_REFERENCE_PYTHON="$$(scripts/venv.sh reference)" \
		CXR_SCHEMATHESIS="$$(scripts/venv.sh schemathesis)" CXR_GRAFANA_PYTHON="$$(scripts/venv.sh grafana)" $(CARGO) test --release --no-fail-fast

test-trainer: ## Trainer tests on phantoms (downloads libtorch, 544 MB, once)
	$(CARGO) build --release --bins
	$(TRAINER_ENV) CXR_MLFLOW_PYTHON="$$(scripts/venv.sh mlflow || true)" \
		CXR_REFERENCE_PYTHON="$$(scripts/venv.sh reference)" $(CARGO) test --no-fail-fast $(TRAINER_CARGO)

test-long: setup ## Tests that take hours: long faults and load, the trainer on other processors and with other seeds, 10 minutes of fuzzing per target
	$(CARGO) build --release --bins
	ORT_DYLIB_PATH="$$(scripts/onnxruntime.sh)" CXR_LONG_TESTS=1 $(CARGO) test --release --no-fail-fast \
		--test engine --test faults --test ops --test audit
	$(TRAINER_ENV) CXR_REFERENCE_PYTHON="$$(scripts/venv.sh reference)" scripts/test-processors.sh
	FUZZ_SECONDS="$(or $(SECONDS),600)" scripts/fuzz.sh

trainer: ## Build target/release/cxr-trainer
	$(TRAINER_ENV) $(CARGO) build $(TRAINER_CARGO)

bench-training: trainer ## Benchmark the trainer against PyTorch (downloads PyTorch, 610 MB, once)
	scripts/bench-training.sh

gpu-check: trainer ## Acceptance check of a GPU host: DEVICE=cuda LIBS=lib DATA=kermany224, or DEVICE=cpu to test the check itself
	$(CARGO) build --release --bins
	BIN="$(TARGET)/release" DATA="$(or $(DATA),../shared/data/kermany224)" \
		LIBS="$(or $(LIBS),$$(dirname "$$(scripts/onnxruntime.sh)"):$$(scripts/libtorch.sh)/lib)" \
		DEVICE="$(or $(DEVICE),cuda)" scripts/gpu-check.sh

gpu-pack: trainer ## Pack everything that gpu-check needs on a host without network: DEST=folder
	$(CARGO) build --release --bins
	scripts/gpu-pack.sh "$(DEST)"

bench: setup ## Benchmark the service against the FastAPI peer and the limit of the host: MODELS="name=folder[:variant] ...", BENCH="--rounds 7 ..."
	$(CARGO) build --release --bins
	ORT_DYLIB_PATH="$$(scripts/onnxruntime.sh)" $(TARGET)/release/cxr-loadtest bench --oha "$$(OPT_LEVEL=2 scripts/cargo-tool.sh oha 1.16.0)" $(addprefix --model ,$(MODELS)) $(BENCH)

bench-models: trainer ## Build DenseNet-121, ResNet-50 and EfficientNet-B0 in target/bench/models for make bench
	for architecture in densenet121 resnet50 efficientnet-b0; do \
		$(TRAINER_ENV) $(TARGET)/release/cxr-trainer benchmark bundle --architecture $$architecture \
			--out target/bench/models/$$architecture; \
	done

lint: deny ## Check formatting, clippy (warnings are errors) and `make deny`
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(TRAINER_ENV) $(CARGO) clippy --workspace --release --all-targets -- -D warnings

# An exception that only one of the two workspaces needs is unused in the other.
DENY = check --hide-inclusion-graph -A unused-wrapper -A license-exception-not-encountered
deny: ## Check licences, crates and their sources against deny.toml (installs cargo-deny once)
	tool="$$(scripts/cargo-tool.sh cargo-deny 0.20.2)"; \
	"$$tool" --locked --config deny.toml $(DENY) licenses bans sources; \
	"$$tool" --locked --config deny.toml --manifest-path fuzz/Cargo.toml $(DENY) -A license-not-encountered licenses bans sources

fuzz: ## Fuzz the parsers of untrusted input: SECONDS=60 per target, TARGETS="decode jpeg_structure tiff_structure multipart token jwks"
	FUZZ_SECONDS="$(or $(SECONDS),60)" scripts/fuzz.sh $(TARGETS)

dashboards: ## Write deploy/grafana/dashboards from deploy/grafana/generate.py
	"$$(scripts/venv.sh grafana)" -B deploy/grafana/generate.py

openapi: ## Write openapi/openapi.json from the routes
	$(CARGO) build --release --bins
	$(TARGET)/release/cxr-service openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

metrics-page: ## Write the tables of docs/METRICS.md from the declared metrics
	$(CARGO) build --release --bins
	$(TARGET)/release/cxr-service metrics > docs/METRICS.md.tables
	sed -i -e '/^<!-- begin/,/^<!-- end/{//!d}' -e '/^<!-- begin/r docs/METRICS.md.tables' docs/METRICS.md
	rm docs/METRICS.md.tables
