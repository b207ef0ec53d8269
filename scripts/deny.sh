#!/usr/bin/env bash
# Checks what the agent is built from against deny.toml: licences, banned crates, versions that are there twice, sources. The
# advisories too, where their database on GitHub can be reached; `--advisories` makes their absence a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

main() {
  scripts/setup.sh deny
  deny licenses bans sources
  if deny_fetch; then
    deny --disable-fetch advisories
  elif [ "${1:-}" = --advisories ]; then
    die "the database of advisories cannot be fetched from GitHub"
  else
    say "advisories NOT checked: their database on GitHub cannot be reached"
  fi
}

deny() { target/tools/bin/cargo-deny --locked --all-features check --hide-inclusion-graph "$@"; }

deny_fetch() { timeout 60 target/tools/bin/cargo-deny --locked fetch db >/dev/null 2>&1; }

main "$@"
