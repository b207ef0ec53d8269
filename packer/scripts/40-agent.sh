#!/usr/bin/env bash
# The agent's package. Nothing is started here, so no identity comes to be. The service starts at boot only where the compute
# environment is known; else user data says it, and `systemctl enable --now batch-node-agent`.
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

# The package may have enabled it, and then it would start before user data has said for whom.
systemctl disable -q batch-node-agent.service
if [ -n "${COMPUTE_ENVIRONMENT:-}" ]; then
  # User data may add a proxy's password to it.
  install -m 600 /dev/null "$ENVIRONMENT"
  printf 'BATCH_NODE_AGENT_COMPUTE_ENVIRONMENT=%s\n' "$COMPUTE_ENVIRONMENT" >"$ENVIRONMENT"
  systemctl enable -q batch-node-agent.service
fi
systemctl enable -q batch-node-agent-poweroff.path
