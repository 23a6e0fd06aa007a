# Slotway: what to type. Needs Rust, make and a C compiler; .ci/prepare installs the rest, aloud.

.PHONY: help up test soak check bench bench-peers
.DEFAULT_GOAL := help

help:
	@echo "make up      a Redis Cluster on this machine with the gateway in front of it;"
	@echo "             FLAGS=\"--listen 127.0.0.1:7011 --admin 127.0.0.1:7021\" takes other ports"
	@echo "make test    all tests, against real Redis servers"
	@echo "make soak    faults by chance under load, for MINUTES=10; SEED=n repeats a choice;"
	@echo "             CROWD=leavers, slow_readers, half_requests, wide_requests or all beside it"
	@echo "make check   format, lints, and the crates that are used: licences, sources, advisories"
	@echo "make bench   what each step of a request costs by itself"
	@echo "make bench-peers   the same work through this gateway and other proxies; 20 minutes, or"
	@echo "                   three minutes with ARGS=--quick"
	@echo "make swarm-up, swarm-test, swarm-down    the stack on this machine's Docker engine"

# `make up FLAGS="--listen 127.0.0.1:7777 --dir data"` hands flags on, as -v, which logs what happens;
# Ctrl-C stops everything.
# The build folder may be elsewhere (CARGO_TARGET_DIR).
up:
	@.ci/ports $(FLAGS)
	@.ci/prepare server
	cargo build --release --workspace
	@exec "$${CARGO_TARGET_DIR:-target}/release/slotway" local $(FLAGS)

test:
	@.ci/prepare tests
	cargo test --workspace

MINUTES ?= 10
SEED ?= $(shell date +%s)
CROWD ?= none
soak:
	@.ci/prepare server
	SLOTWAY_SOAK_MINUTES=$(MINUTES) SLOTWAY_SOAK_SEED=$(SEED) SLOTWAY_SOAK_CROWD=$(CROWD) \
		cargo test --release --test faults faults_by_chance -- --nocapture

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@.ci/prepare check
	@.ci/deny

# `make bench ARGS=route` runs only what has that in its name.
bench:
	cargo bench --bench data_path -- $(ARGS)

# `make bench-peers ROUNDS=3 ARGS="--cases get16_p1,set64k_p1"` hands flags on.
bench-peers:
	@.ci/prepare bench
	cargo build --release --workspace
	@exec "$${CARGO_TARGET_DIR:-target}/release/slotway-bench" compare \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(ARGS)

# The stack as swarm/deploy makes it, in a Swarm that is made where there is none. Images that
# cannot be pulled get local stand-ins.
.PHONY: swarm-up swarm-test swarm-down
swarm-up:
	@swarm/up

swarm-down:
	@swarm/up --down

# The image is built for real, from the stand-ins and quickly; SLOTWAY_IMAGE tests another one.
# CASES="killed cut" runs only these; python3 tests/swarm/run.py --list names them.
swarm-test:
	@.ci/prepare swarm
	docker/stand-ins
	@[ -n "$(SLOTWAY_IMAGE)" ] || QUICK=1 IMAGE=slotway-test docker/build -q
	python3 tests/swarm/run.py $(CASES)
