#!/usr/bin/env bash
# Two agents would register the host twice. amazon-ecs-agent goes, and is masked should something bring it back. What stands
# in /etc/ecs/ecs.config stays: batch-node-agent reads it.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh

for package in ecs-init amazon-ecs-init; do
  if installed "$package"; then
    systemctl stop ecs.service || true
    remove_packages "$package"
  fi
done
systemctl daemon-reload
switch_off ecs.service
docker container rm --force ecs-agent >/dev/null 2>&1 || true
for image in $(docker image ls --quiet amazon/amazon-ecs-agent); do docker image rm --force "$image" >/dev/null; done
rm -rf /var/cache/ecs
