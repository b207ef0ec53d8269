#!/usr/bin/env bash
# The agent's package. Its service is enabled only where the compute environment is known; else user data writes it and says
# `systemctl enable --now batch-node-agent`.
set -euo pipefail

if command -v dnf >/dev/null; then
  dnf install -y /tmp/bake/packages/batch-node-agent-*."$(uname -m)".rpm
else
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "/tmp/bake/packages/"batch-node-agent_*_"$(dpkg --print-architecture)".deb
fi
systemctl enable batch-node-agent-poweroff.path
if [ -n "${COMPUTE_ENVIRONMENT:-}" ]; then
  printf 'BATCH_NODE_AGENT_COMPUTE_ENVIRONMENT=%s\n' "$COMPUTE_ENVIRONMENT" >/etc/batch-node-agent/environment
  systemctl enable batch-node-agent.service
fi
