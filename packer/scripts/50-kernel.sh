#!/usr/bin/env bash
# Kernel settings that jobs run into: many files and processes, watches, and swap that a job may be given.
set -euo pipefail
install -D -m 644 /tmp/bake/files/sysctl.conf /etc/sysctl.d/90-batch-node.conf
install -D -m 644 /tmp/bake/files/journald.conf /etc/systemd/journald.conf.d/10-batch.conf
