# Everything a newcomer needs; each target installs or names what it misses.

CARGO_FLAGS = --locked --features demo

.PHONY: help demo demo-keycloak test check release bench screenshots clean

help:
	@echo "make demo            stepgate, a sample legacy app and a sandbox identity provider"
	@echo "make demo-keycloak   the same with a real Keycloak"
	@echo "make test            all tests, those on the real parts included"
	@echo "make check           format and lints"
	@echo "make release         the binary that is shipped: target/shipped/stepgate"
	@echo "make bench           speed beside a stock Pingora proxy, and of the decision"
	@echo "make screenshots     the README's pictures, from the real pages"

demo:
	@scripts/setup build
	cargo build $(CARGO_FLAGS) --bins
	@scripts/demo sandbox

demo-keycloak:
	@scripts/setup build keycloak
	@scripts/keycloak fetch
	cargo build $(CARGO_FLAGS) --bins
	@scripts/demo keycloak

test: check
	@scripts/test

check:
	@scripts/setup build
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

release:
	@scripts/setup build release
	@scripts/release

bench:
	@scripts/setup build release bench
	cargo bench --locked --bench decide
	cargo bench --locked --bench store
	scripts/bench-proxy

screenshots:
	@scripts/setup build keycloak browser
	@scripts/keycloak fetch
	cargo test $(CARGO_FLAGS) --test it browser::pictures -- --ignored --nocapture

clean:
	cargo clean
	rm -rf .cache node_modules
