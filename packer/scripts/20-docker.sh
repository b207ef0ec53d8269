#!/usr/bin/env bash
# Docker Engine, with what a Batch host needs of it: containers that outlive a restart of dockerd, and logs that do not fill
# the disk.
set -euo pipefail

if ! command -v dockerd >/dev/null; then
  if command -v dnf >/dev/null; then
    dnf install -y docker
  else
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends docker.io ca-certificates iptables
  fi
fi
install -d -m 755 /etc/docker
[ -e /etc/docker/daemon.json ] || install -m 644 /tmp/bake/files/daemon.json /etc/docker/daemon.json
install -D -m 644 /tmp/bake/files/docker-limits.conf /etc/systemd/system/docker.service.d/10-batch.conf
systemctl enable docker.service
if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl restart docker.service; fi
