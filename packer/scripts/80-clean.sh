#!/usr/bin/env bash
# An image has no identity and keeps no secret: what names this machine, lets anyone in, or tells what was done here goes.
# Ends the build if any of it is left. Docker runs on, for the check, and is not to be restarted.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh
shopt -s nullglob dotglob

main() {
  local paths=()
  stop batch-node-agent.service rsyslog.service syslog.socket amazon-ssm-agent.service snap.amazon-ssm-agent.amazon-ssm-agent.service
  if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
  list paths
  forget "${paths[@]}"
  empty /etc/machine-id /etc/hostname
  clean_packages
  clean_logs
  clean_temporary
  list paths
  [ ${#paths[@]} -eq 0 ] || die "still here: ${paths[*]}"
  [ ! -s /etc/machine-id ] || die "still here: /etc/machine-id"
  sync
}

# Those that exist, lest they write again what is removed.
stop() {
  local unit
  for unit in "$@"; do
    if systemctl cat "$unit" >/dev/null 2>&1; then systemctl stop -q "$unit"; fi
  done
}

# list NAME: fills the array of this name with what must go, as far as it is there.
list() {
  local -n found=$1
  local home candidates path
  candidates=(
    # The machine: its keys, its seed, its leases, what SSM and cloud-init know it by.
    /etc/ssh/ssh_host_*
    /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
    /var/lib/dbus/machine-id
    /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data
    /var/lib/amazon/ssm/*
    /var/lib/dhcp/* /var/lib/dhclient/* /var/lib/NetworkManager/*.lease
    /etc/netplan/50-cloud-init.yaml /etc/udev/rules.d/70-persistent-net.rules
    # Docker's and the agents' names for it, and what ran here.
    /etc/docker/key.json /var/lib/docker/engine-id /var/lib/docker/containers/* /var/lib/docker/network/files/*
    /var/lib/batch-node-agent/*
    /var/lib/ecs/data /var/log/ecs/*
    /var/crash/*
  )
  for home in /root /home/*; do
    candidates+=("$home"/.{ssh,aws,docker,ecr,cache,bash_history,python_history,lesshst,viminfo,wget-hsts})
  done
  found=()
  for path in "${candidates[@]}"; do
    if [ -e "$path" ] || [ -L "$path" ]; then found+=("$path"); fi
  done
}

# Overwrites before it removes: a snapshot holds the blocks of removed files as well.
forget() {
  [ $# -gt 0 ] || return 0
  find "$@" -type f -exec shred --force --zero --iterations=1 --remove=unlink {} +
  rm -rf "$@"
}

# Kept as a file without content: one that is missing would make the next boot a first boot to systemd, which then resets
# what is enabled.
empty() {
  local file
  for file in "$@"; do : >"$file"; done
}

clean_packages() {
  case "$family" in
    amazon) dnf clean all -q ;;
    debian)
      apt-get clean
      rm -rf /var/lib/apt/lists/*
      ;;
  esac
}

# The journal goes on in memory, until the machine is stopped.
clean_logs() {
  journalctl --relinquish-var
  rm -rf /var/log/journal/*
  find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' \) -delete
  find /var/log -type f -exec truncate --size=0 {} +
}

# But not what the check needs; and what services keep there, systemd itself removes.
clean_temporary() {
  find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' ! -path "$bake" -exec rm -rf {} +
}

main
