#!/usr/bin/env bash
# The last word: what an image can already know must be right, or the build ends here. The steps' own files go first.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh

arguments=()
while read -r image; do arguments+=(--image "$image"); done <"$bake/images"
rm -rf "$bake"
batch-node-agent check --bake "${arguments[@]}"
