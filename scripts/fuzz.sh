#!/usr/bin/env bash
# Fuzzes the decoding of ACS frames and payloads with libFuzzer, guided by coverage, on the stable compiler: the instrumentation is
# LLVM's own, asked for by its flags. What it learns stays in target/fuzz; an input that breaks something is left in
# fuzz/failures/frames, to become a seed in fuzz/seeds/frames once it is mended.
#   scripts/fuzz.sh              for a minute
#   scripts/fuzz.sh 600          for ten
#   scripts/fuzz.sh FILE         one input alone
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly TARGET_DIR=target/fuzz LEARNT=target/fuzz/corpus/frames FAILURES=fuzz/failures/frames

main() {
  local what=${1:-60} host
  scripts/setup.sh fuzz
  host=$(rustc -vV | sed -n 's/^host: //p')
  build "$host"
  local program=$TARGET_DIR/$host/fuzz/frames
  if [ -f "$what" ]; then
    exec "$program" "$what"
  fi
  case "$what" in '' | *[!0-9]*) die "usage: scripts/fuzz.sh [SECONDS | FILE]" ;; esac
  mkdir -p "$LEARNT" "$FAILURES"
  "$program" -max_total_time="$what" -timeout=5 -rss_limit_mb=1024 -max_len=8192 -dict=fuzz/frames.dict \
    -artifact_prefix="$FAILURES/" -print_final_stats=1 "$LEARNT" fuzz/seeds/frames 2>&1 |
    grep -v -E '(NEW|REDUCE|RELOAD|pulse) |# Uses:|ecommended dictionary'
}

# Naming the target keeps the instrumentation away from build scripts, which could not be linked with it.
build() {
  local flags='-Cpasses=sancov-module'
  local option
  for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$option"
  done
  env -u RUSTC_WORKSPACE_WRAPPER RUSTFLAGS="$flags --cfg fuzzing" \
    cargo build --quiet --manifest-path fuzz/Cargo.toml --profile fuzz --target "$1" --target-dir "$TARGET_DIR" --bin frames
}

main "$@"
