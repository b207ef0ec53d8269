#!/usr/bin/env bash
# Settings of the kernel and of the journal, in force from the next boot on.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh

install -D -m 644 "$bake/files/sysctl.conf" /etc/sysctl.d/90-batch-node.conf
# Settings of connection tracking exist only once its module is there, and Docker would load it too late.
install -D -m 644 "$bake/files/modules.conf" /etc/modules-load.d/90-batch-node.conf
install -D -m 644 "$bake/files/journald.conf" /etc/systemd/journald.conf.d/90-batch-node.conf
