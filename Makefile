# Needs GNU Make, and Node.js with npm: of whatever version, because Node.js 24 itself is one of the packages.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

MACHINE_PATH := $(PATH)
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
# Certificates that the machine trusts are trusted: some networks have an authority of their own.
export NODE_USE_SYSTEM_CA := 1

# npm writes this file at the end of each installation.
INSTALLED := node_modules/.package-lock.json

BENCH ?= latency cached-get recovery images

.PHONY: help setup demo dev lint test test-unit test-integration generate verify load bench image cluster cluster-down deploy undeploy e2e demo-autoscale bench-cluster pack clean

help: ## Show what can be made
	@printf 'Longshore: jobs over REST, by kubectl or by a schedule, none of them lost.\n\n'
	@colour=''; plain=''; if [ -t 1 ]; then colour=$$'\e[36m'; plain=$$'\e[0m'; fi; \
	sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | \
	while IFS=$$'\t' read -r target text; do printf '  make %s%-17s%s %s\n' "$$colour" "$$target" "$$plain" "$$text"; done

setup: $(INSTALLED) ## Obtain packages, PostgreSQL and Redis
	@node hack/services/ensure.ts

$(INSTALLED): package-lock.json
	@echo "Installing packages"
	@# By the Node.js of the machine, since ours is replaced meanwhile; it may be older: no warnings about that.
	@PATH="$(MACHINE_PATH)" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

demo: setup ## Convert photographs, load a contract, watch it all (DEMO_ONCE=1: and end)
	@node hack/demo.ts

dev: setup ## Run API, controller and worker until Ctrl-C
	@node hack/demo.ts --no-jobs

lint: $(INSTALLED) ## Check formatting, style, types and who imports whom
	biome ci --error-on-warnings
	tsc --noEmit
	node hack/check-imports.ts

test: setup ## Run every test (unit, then integration) and print the totals
	@node hack/test.ts unit integration

test-unit: $(INSTALLED) ## Run the tests that need nothing but Node.js
	@node hack/test.ts unit

test-integration: setup ## Run the tests on real PostgreSQL, Redis, kube-apiserver and Chromium
	@node hack/test.ts integration

generate: $(INSTALLED) ## Write CRDs, OpenAPI, and the configuration reference from their sources
	@node hack/generate.ts

verify: $(INSTALLED) ## Fail when a generated file, an ADR number or a link in the docs is wrong
	@node hack/verify.ts

load: setup ## Put it under load with k6 (see loadtest/README.md)
	@node loadtest/run.ts

bench: setup ## Measure single parts (BENCH="latency images" for some of them; bench/ledger.ts fills a ledger for hours)
	@for name in $(BENCH); do node "bench/$$name.ts"; done

image: $(INSTALLED) ## Build the image (IMAGE=longshore:dev) with docker, buildah or podman
	@node hack/image.ts

cluster: ## Start a Kubernetes with KEDA on this machine: kind with Docker, else a bare one (Debian, root)
	@hack/cluster/cluster up

cluster-down: ## Stop that cluster
	@hack/cluster/cluster down

deploy: $(INSTALLED) ## Install or upgrade Longshore in it (or in CONTEXT=... with IMAGE=...)
	@node hack/cluster/deploy.ts

undeploy: $(INSTALLED) ## Take it away again; what its databases have is kept
	@node hack/cluster/deploy.ts --remove

e2e: $(INSTALLED) ## Run the end-to-end tests in it (or in CONTEXT=... with IMAGE=...)
	@node hack/test.ts e2e

demo-autoscale: $(INSTALLED) ## Watch pools scale under k6, and draw it (DEMO_SECONDS=180; DEMO_KEEP=1: leave it running)
	@node hack/demo-autoscale/run.ts

bench-cluster: $(INSTALLED) ## Measure it in the cluster, some figures or all (BENCH_CLUSTER="throughput memory")
	@node bench/cluster/run.ts $(BENCH_CLUSTER)

pack: $(INSTALLED) ## Build the npm package
	@npm pack --foreground-scripts

clean: ## Remove what was built, and the data of the demo
	rm -rf dist coverage longshore-*.tgz
	@if [ -d .longshore ]; then node hack/services/forget.ts .longshore; fi
