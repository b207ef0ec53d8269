#!/usr/bin/env bash
# The poller and processor scenario, from a machine that has only Rust. Arguments go to the example: see --help.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

scripts/setup.sh demo
scripts/image.sh poller-processor examples/poller-processor/image
say "building, which takes minutes the first time"
cargo build --bin batch-node-agent --example poller-processor

demo=target/debug/examples/poller-processor
if docker_answers; then exec "$demo" "$@"; fi
# Docker lets root in only, so the demo runs as root.
exec sudo "$demo" "$@"
