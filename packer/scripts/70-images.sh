#!/usr/bin/env bash
# Images of the first jobs, so that these start without a pull. Writes their names for the check.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh
readonly PULL_TRIES=3

main() {
  local image archive
  : >"$bake/images"
  for image in ${IMAGES:-}; do
    pull "$image"
    printf '%s\n' "$image" >>"$bake/images"
  done
  for archive in "$bake"/archives/*.tar "$bake"/archives/*.tar.gz; do
    [ -e "$archive" ] || continue
    docker load --quiet --input "$archive" | sed -n 's/^Loaded image: //p' >>"$bake/images"
  done
}

# With a login of the instance profile where the registry is ECR. It is kept outside the image, and no token in any case.
pull() {
  local registry=${1%%/*} try
  if [[ "$registry" =~ \.dkr[.-]ecr[.-] ]]; then
    install_packages amazon-ecr-credential-helper
    DOCKER_CONFIG=$(mktemp -d)
    export DOCKER_CONFIG AWS_ECR_DISABLE_CACHE=true
    printf '{"credHelpers": {"%s": "ecr-login"}}\n' "$registry" >"$DOCKER_CONFIG/config.json"
  fi
  for ((try = 1; ; try++)); do
    ! docker pull --quiet "$1" || break
    [ $try -lt $PULL_TRIES ] || die "$1 could not be pulled"
  done
  if [ -n "${DOCKER_CONFIG:-}" ]; then
    rm -rf "$DOCKER_CONFIG"
    unset DOCKER_CONFIG
  fi
}

main
