#!/usr/bin/env bash
# Images of the first jobs, pulled into the AMI.
set -euo pipefail
for image in ${IMAGES:-}; do docker pull "$image"; done
