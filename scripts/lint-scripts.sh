#!/usr/bin/env bash
# Runs shellcheck over all shell scripts of the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh lint
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard -- ':!*.md' | xargs -r grep -lE '^#!/(usr/bin/env bash|bin/(ba)?sh)' --)
exec shellcheck --external-sources --source-path=SCRIPTDIR --source-path=. "${scripts[@]}"
