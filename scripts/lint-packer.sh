#!/usr/bin/env bash
# The templates are well-formed and valid. Debian's Packer (1.6.6) knows neither `required_plugins` nor some arguments of
# amazon-ebs: it is given a copy without them, and what it does not see must at least demand IMDSv2.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
export CHECKPOINT_DISABLE=1

main() {
  local copy old
  scripts/setup.sh packer
  packer fmt -check -diff packer
  [ "$(grep -c 'http_tokens *= "required"' packer/sources.pkr.hcl)" = "$(grep -c '^source "amazon-ebs"' packer/sources.pkr.hcl)" ] ||
    die "each amazon-ebs source must have http_tokens = \"required\""
  copy=$(mktemp -d)
  # shellcheck disable=SC2064  # the path as it is now
  trap "rm -rf '$copy'" EXIT
  cp -r packer "$copy/"
  mkdir -p "$copy/target/package"
  old=$(packer version | sed -n '1s/^Packer v1\.\([0-9]*\).*/\1/p')
  if [ "$old" -lt 7 ]; then strip "$copy/packer"; else (cd "$copy/packer" && packer init .); fi
  (cd "$copy/packer" && AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none packer validate .)
}

strip() {
  rm "$1/plugins.pkr.hcl"
  sed -i '/packer 1.7 and newer: begin/,/packer 1.7 and newer: end/d' "$1/sources.pkr.hcl"
}

main "$@"
