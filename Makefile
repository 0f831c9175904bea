# The front door. Each target is one or two lines; what takes more lives in a script.
.PHONY: up test check bench soak fuzz setup

up: ## Builds the release binaries and runs everything from this terminal.
	cargo build --release -p monitor -p api-gateway -p platform-services -p auth-monitor -p dlq-processor
	./target/release/monitor up --config compose/local.yml

test: setup ## Installs what the tests need, then runs all of them: two for each core, for most of the time they wait.
	cargo build --workspace --all-targets
	cargo nextest run --workspace --no-fail-fast --test-threads $$((2 * $$(nproc)))

setup: ## Debian packages the tests need, only if they are missing.
	./compose/e2e/setup

check: ## Format, lints, documentation.
	cargo fmt --all --check
	cargo fmt --manifest-path monitor/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

bench: ## Cost of probes beside blackbox_exporter, size and idle memory of the shipped binary, how soon alerts leave.
	./compose/bench/run

soak: setup ## The long loops at full counts.
	SOAK=1 cargo nextest run --profile soak --workspace --no-fail-fast

fuzz: ## Arbitrary bytes at what reads them, a minute for each target (FUZZ_SECS=60).
	./monitor/fuzz/run
