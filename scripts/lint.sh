#!/usr/bin/env bash
# clippy over the whole workspace, warnings denied. It runs as the compiler of a plain build, so that it shares every
# built dependency with the tests: `cargo clippy` would check aws-sdk-ec2 a second time, which alone takes minutes.
#   scripts/lint.sh                 everything
#   scripts/lint.sh -p node-core    one package
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_WORKSPACE_WRAPPER
RUSTC_WORKSPACE_WRAPPER=$(rustup which clippy-driver 2>/dev/null || command -v clippy-driver)
export CLIPPY_ARGS="-Dwarnings"
if [ $# -eq 0 ]; then
  # The deliberate faults: only the two small crates are built again.
  cargo build --all-targets -p node-sim --features faults
  set -- --workspace
fi
exec cargo build --all-targets "$@"
