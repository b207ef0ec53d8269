#!/usr/bin/env bash
# The last word: what an image can already know must be right, or the build ends here.
set -euo pipefail
batch-node-agent check --bake
