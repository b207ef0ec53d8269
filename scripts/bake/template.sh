# shellcheck shell=bash
# A copy of the template that the Packer of this machine understands; sourced by scripts/lint-packer.sh and scripts/bake.sh.

export CHECKPOINT_DISABLE=1

# copy_template FOLDER: lays the template in FOLDER/packer. Debian's Packer (1.6.6) knows neither `required_plugins` nor some
# arguments of amazon-ebs; a newer one fetches its plugins.
copy_template() {
  local minor
  cp -r packer "$1/"
  mkdir -p "$1/target/package"
  minor=$(packer version | sed -n '1s/^Packer v1\.\([0-9]*\).*/\1/p')
  if [ "$minor" -lt 7 ]; then
    rm "$1/packer/plugins.pkr.hcl"
    sed -i '/packer 1.7 and newer: begin/,/packer 1.7 and newer: end/d' "$1/packer/sources.pkr.hcl"
  else
    (cd "$1/packer" && packer init .)
  fi
}
