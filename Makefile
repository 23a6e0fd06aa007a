# Slotway: what to type. Needs Rust, make and a C compiler; .ci/prepare installs the rest, aloud.

.PHONY: help up test check
.DEFAULT_GOAL := help

help:
	@echo "make up      a Redis Cluster on this machine with the gateway in front of it"
	@echo "make test    all tests, against real Redis servers"
	@echo "make check   format and lints"
	@echo "make swarm-up, swarm-test, swarm-down    the stack on this machine's Docker engine"

# `make up FLAGS="--listen 127.0.0.1:7777 --dir data"` hands flags on; Ctrl-C stops everything.
# The build folder may be elsewhere (CARGO_TARGET_DIR).
up:
	@.ci/prepare server
	cargo build --release --workspace
	@exec "$${CARGO_TARGET_DIR:-target}/release/slotway" local $(FLAGS)

test:
	@.ci/prepare tests
	cargo test --workspace

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

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
