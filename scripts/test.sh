#!/usr/bin/env bash
# All tests: documentation examples, unit tests, and tests/ against real Docker and the embedded plane with the real AWS
# CLI and boto3, 5,000 fresh worlds of the simulation; then the demo, whole and interrupted; then the AMI's recipe. Installs what it needs. Arguments go to the test runner.
#   scripts/test.sh                 everything
#   scripts/test.sh -p node-core    one package, with no setup and no demo
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

main() {
  if [ $# -gt 0 ]; then
    run_tests "$@"
    return
  fi
  scripts/setup.sh test
  docker_answers || die "Docker answers root only: run this with sudo -E, or join the group docker"
  scripts/image.sh busybox
  scripts/root.sh host >/dev/null
  cargo test --workspace --doc --quiet
  scripts/sim.sh
  run_tests --workspace
  scripts/test-demo.sh
  scripts/bake.sh
}

# With the virtual environment first in PATH, `aws` and `python3` are the pinned ones.
run_tests() {
  local venv
  venv=$(realpath -m "$TEST_VENV")
  export TEST_VENV=$venv PATH="$venv/bin:$PATH"
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run "$@"
  else
    cargo test "$@"
  fi
}

main "$@"
