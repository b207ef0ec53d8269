#!/usr/bin/env bash
# The template is well-formed and valid, for each system and variant; what Debian's Packer does not know must at least demand
# IMDSv2.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/bake/template.sh

main() {
  local copy gpu
  scripts/setup.sh packer
  packer fmt -check -diff packer
  # The one for instances of the AMI, the other for the machine that it is built on.
  grep -q 'imds_support *= "v2.0"' packer/sources.pkr.hcl || die "the AMI must be registered with imds_support = \"v2.0\""
  grep -q 'http_tokens *= "required"' packer/sources.pkr.hcl || die "amazon-ebs must have http_tokens = \"required\""
  copy=$(mktemp -d)
  # shellcheck disable=SC2064  # the path as it is now
  trap "rm -rf '$copy'" EXIT
  copy_template "$copy"
  export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none
  for gpu in false true; do
    (cd "$copy/packer" && packer validate -var "gpu=$gpu" -var 'extra_scripts=["scripts/10-settle.sh"]' .)
  done
}

main "$@"
