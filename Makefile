# Everything a person does with covote in a checkout. `make help` lists it.
#
# Needs git, Node 20.19 or newer, npm and make. What else is missing is installed by `make setup`: packages
# into node_modules/, nats-server if there is none.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Read by .npmrc-less tools too: no colour codes and progress bars in logs.
NPM := npm --no-fund --no-audit --loglevel=error
BIN := node_modules/.bin
# Short pauses rather than few: small young generations, and one helper thread for collecting them, so that the
# collector does not take all cores of a small machine from the event loops.
COVOTE := node --max-semi-space-size=4 --v8-pool-size=1 bin/covote.js
ARGS ?=
SEED ?=

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z%-]*:.*## / { sub("%", "NAME", $$1); printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: packages build nats-server ## Install what is missing and compile what changed

.PHONY: run
run: setup ## Start the cluster here and train the demo policy (SEED=2, ARGS="--steps 400")
	@$(COVOTE) train $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: test
test: setup ## Run all tests (ARGS=dist/test/unit/host.test.js for one file)
	@$(BIN)/vitest run $(ARGS)

.PHONY: test-observability
test-observability: setup ## Dashboards and rules against a real Prometheus, which is unpacked here if there is none
	@node scripts/prometheus.js; case $$? in \
	  0) $(BIN)/vitest run --config vitest.observability.config.js $(ARGS) ;; \
	  3) test -n "$$CI" ;; \
	  *) false ;; \
	esac

.PHONY: test-helm
test-helm: setup ## Run the Helm chart's tests with the real helm and kubeconform (needs Go; the first time builds them)
	@node scripts/helm-tools.js && $(BIN)/vitest run --config vitest.helm.config.js $(ARGS) || { code=$$?; [ $$code -eq 3 ] || exit $$code; }

.PHONY: test-k8s
test-k8s: setup control-plane ## Run the tests on a real Kubernetes control plane (needs Go; the first time builds it)
	@$(BIN)/vitest run --config vitest.k8s.config.js $(ARGS)

.PHONY: test-python
test-python: setup ## Run the tests against a real inference server (needs Python 3.10; the first time installs 5 GB into .venv)
	@node scripts/python-env.js && $(BIN)/vitest run --config vitest.python.config.js $(ARGS)

.PHONY: verify
verify: packages build ## Types, lint, contract, generated files and layers: what must hold before a commit
	@bash scripts/verify.sh

.PHONY: bench
bench: setup ## Run all benchmarks; the last line is one JSON object
	@$(COVOTE) bench $(ARGS)

.PHONY: bench-%
bench-%: setup ## Run one benchmark: bench-votes, bench-engines, bench-llama, bench-scaling
	@$(COVOTE) bench $* $(ARGS)

.PHONY: spct
spct: setup ## Train a reward model on the demo world, evaluate it, write docs/results (40 minutes at most)
	@$(COVOTE) spct study --seeds 1 $(ARGS)

.PHONY: spct-full
spct-full: setup ## The same with three seeds, ablations, baselines and policies (an hour and a half on two cores; goes on where stopped)
	@$(COVOTE) spct study --seeds 1,2,3 --ablations --baselines --split --policies $(ARGS)

.PHONY: observability
observability: packages build ## Write docs/metrics.md, the dashboards and the alerts from the code, and the chart's copies
	@node dist/deploy/metrics/main.js > docs/metrics.md
	@node dist/deploy/grafana/main.js deploy/grafana/dashboards
	@node dist/deploy/prometheus/main.js deploy/prometheus/rules
	@node scripts/chart.js

.PHONY: chart
chart: packages build ## Write what the Helm chart holds of the code: schema, README, NATS permissions, dashboards, alerts
	@node scripts/chart.js

.PHONY: fmt
fmt: packages ## Format sources and contract
	@$(BIN)/biome check --write --log-level=error .
	@$(BIN)/buf format --write

.PHONY: clean
clean: ## Remove what was compiled and installed here (runs/ stays)
	@rm -rf dist node_modules

# --- parts of setup ---------------------------------------------------------------------------------------

.PHONY: node-version
node-version:
	@command -v node >/dev/null && command -v npm >/dev/null || \
	  { echo "covote needs Node 20.19 or newer with npm; none was found in PATH (https://nodejs.org)" >&2; exit 2; }
	@node scripts/check-node.cjs

# Packages are installed again only when the lockfile is newer than the last installation.
.PHONY: packages
packages: node-version node_modules/.covote-installed

node_modules/.covote-installed: package-lock.json package.json .npmrc
	@echo "installing packages (npm ci)" >&2
	@$(NPM) ci >&2
	@touch $@

.PHONY: build
build: packages
	@node scripts/build.js

.PHONY: nats-server
nats-server: build
	@node scripts/nats-server.js

.PHONY: control-plane
control-plane:
	@node scripts/control-plane.js && node scripts/helm-tools.js
