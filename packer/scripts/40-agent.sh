#!/usr/bin/env bash
# The agent's package. Nothing is started here, so no identity comes to be. At boot the service starts nothing until somebody has
# said the compute environment: it is baked in, or user data says it.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh
readonly ENVIRONMENT=/etc/batch-node-agent/environment

case "$family" in
  amazon) packages=("$bake"/packages/batch-node-agent-*."$(uname -m)".rpm) ;;
  debian) packages=("$bake"/packages/batch-node-agent_*_"$(dpkg --print-architecture)".deb) ;;
esac
[ -e "${packages[0]}" ] || die "no package of the agent for this system: run scripts/package.sh first, and see the variable packages"
[ ${#packages[@]} -eq 1 ] || die "which one of ${packages[*]}?"
install_packages "${packages[0]}"
batch-node-agent --version

if [ -n "${COMPUTE_ENVIRONMENT:-}" ]; then
  # User data may add a proxy's password to it.
  install -m 600 /dev/null "$ENVIRONMENT"
  printf 'BATCH_NODE_AGENT_COMPUTE_ENVIRONMENT=%s\n' "$COMPUTE_ENVIRONMENT" >"$ENVIRONMENT"
fi
# Left by amazon-ecs-agent; the agent reads it, and would not start if it might not.
if [ -e /etc/ecs/ecs.config ]; then
  chgrp batch-node-agent /etc/ecs/ecs.config
  chmod g+r /etc/ecs/ecs.config
fi
systemctl enable -q batch-node-agent.service batch-node-agent-poweroff.path
