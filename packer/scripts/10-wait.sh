#!/usr/bin/env bash
# cloud-init still writes package sources and holds the package manager's lock when the instance first answers.
set -euo pipefail
if command -v cloud-init >/dev/null; then timeout 300 cloud-init status --wait || true; fi
