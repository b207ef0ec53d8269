#!/usr/bin/env bash
# Lives through simulated worlds (crates/node-sim). Built with the core's deliberate faults, which only its own tests choose, in a
# profile and target folder of its own.
#   scripts/sim.sh                    5,000 fresh seeds, the seeds that ever failed, and the deliberate faults
#   scripts/sim.sh --seeds 100000     that many fresh seeds
#   scripts/sim.sh --replay SEED      one seed's story
set -euo pipefail
cd "$(dirname "$0")/.."

build=(--quiet --profile sim -p node-sim --features faults)
if [ $# -eq 0 ]; then
  cargo test "${build[@]}"
  set -- --seeds 5000
fi
exec cargo run "${build[@]}" -- --jobs "$(nproc)" "$@"
