#!/usr/bin/env bash
# The demo on a small folder, whole and then interrupted by Ctrl-C, looking for containers and processes left behind.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly DEMO_SECONDS=180 CONTAINER_SECONDS=90
demo=$PWD/target/debug/examples/poller-processor
work=$(mktemp -d)
pid=

clean_up() {
  if [ -n "$pid" ]; then kill -TERM "$pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap clean_up EXIT

main() {
  scripts/setup.sh demo
  scripts/image.sh poller-processor examples/poller-processor/image
  cargo build --quiet --bin batch-node-agent --example poller-processor
  make_input "$work/input"
  whole
  interrupted
  printf '\n2 passed, 0 failed\n'
}

make_input() {
  mkdir -p "$1/a folder/target" "$1/.hidden"
  printf 'one line\n' >"$1/one"
  : >"$1/empty"
  seq 1 20000 >"$1/a folder/numbers"
  printf 'a "quoted" back\\slash\n' >"$1/a folder/q\"uo\\te"
  head -c 300000 /dev/urandom >"$1/binary"
  printf 'passed over\n' | tee "$1/.hidden/file" >"$1/a folder/target/file"
}

# Every file gets its result, every node goes by itself, nothing is left.
whole() {
  local found
  timeout "$DEMO_SECONDS" "$demo" --input "$work/input" --output "$work/output" --nodes 2 --max-jobs 3
  found=$(find "$work/output" -name '*.json' | wc -l)
  [ "$found" -eq 5 ] || die "$found results, not 5"
  nothing_left
}

# Interrupted while a container runs: exit code 130, nothing is left.
interrupted() {
  local code=0
  "$demo" --output "$work/interrupted" --nodes 2 &
  pid=$!
  await_container
  kill -INT "$pid"
  wait "$pid" || code=$?
  pid=
  [ "$code" -eq 130 ] || die "interrupted, the demo ended with $code, not 130"
  nothing_left
}

await_container() {
  local deadline=$((SECONDS + CONTAINER_SECONDS))
  until [ -n "$(docker ps --quiet --filter ancestor=poller-processor)" ]; do
    kill -0 "$pid" 2>/dev/null || die "the demo ended before a container ran"
    [ $SECONDS -lt $deadline ] || die "no container within $CONTAINER_SECONDS s"
    sleep 0.05
  done
}

nothing_left() {
  local containers processes
  containers=$(docker ps --all --quiet --filter ancestor=poller-processor)
  [ -z "$containers" ] || die "containers are left: $containers"
  processes=$(agents_of_demos)
  [ -z "$processes" ] || die "processes are left: $processes"
}

# Command lines of planes and nodes whose files are in a demo's folder.
agents_of_demos() {
  local file line
  for file in /proc/[0-9]*/cmdline; do
    line=$(tr '\0' ' ' 2>/dev/null <"$file") || continue
    case "$line" in *batch-node-agent*/poller-processor-*) printf '%s\n' "$line" ;; esac
  done 2>/dev/null
}

main "$@"
