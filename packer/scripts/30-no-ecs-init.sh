#!/usr/bin/env bash
# Two agents on one host would register it twice. amazon-ecs-agent is removed, and masked should something bring it back;
# its state in /var/lib/ecs is left alone.
set -euo pipefail

if command -v dnf >/dev/null && rpm -q ecs-init >/dev/null 2>&1; then dnf remove -y ecs-init; fi
if command -v dpkg >/dev/null && dpkg -s amazon-ecs-init >/dev/null 2>&1; then apt-get remove -y -qq amazon-ecs-init; fi
systemctl mask ecs.service
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then docker image rm amazon/amazon-ecs-agent 2>/dev/null || true; fi
