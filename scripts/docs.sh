#!/usr/bin/env bash
# Writes docs/configuration.md, README.md's rows of its table, and the tables of docs/check.md, from the agent's own lists.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --bin batch-node-agent
mkdir -p docs
target/debug/batch-node-agent config --docs >docs/configuration.md
awk '
  # The first table is the one of keys. README has the rows that one needs first; new ones are added to it by hand.
  NR == FNR { if (/^\|/ && !over) { row[$2] = $0; begun = 1 } else if (begun) over = 1; next }
  /<!-- config:end -->/ { inside = 0 }
  { print inside && ($2 in row) ? row[$2] : $0 }
  /<!-- config:begin -->/ { inside = 1 }
' docs/configuration.md README.md >README.md.new
mv README.md.new README.md
target/debug/batch-node-agent check --docs docs/check.md >docs/check.md.new
mv docs/check.md.new docs/check.md
