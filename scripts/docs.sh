#!/usr/bin/env bash
# Writes docs/configuration.md, its table into README.md, and the tables of docs/check.md, from the agent's own lists.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --bin batch-node-agent
mkdir -p docs
target/debug/batch-node-agent config --docs >docs/configuration.md
awk '
  # The first table is the one of keys.
  NR == FNR { if (/^\|/ && !over) table = table $0 "\n"; else if (table != "") over = 1; next }
  /<!-- config:end -->/ { inside = 0 }
  !inside { print }
  /<!-- config:begin -->/ { inside = 1; printf "%s", table }
' docs/configuration.md README.md >README.md.new
mv README.md.new README.md
target/debug/batch-node-agent check --docs docs/check.md >docs/check.md.new
mv docs/check.md.new docs/check.md
