# shellcheck shell=bash
# A container that is like a fresh EC2 instance of Debian: systemd, sshd and cloud-init, no Docker; sourced by scripts/bake.sh.

readonly CLOUD=batch-node-agent-bake:cloud RECIPE=batch-node-agent.recipe
readonly CLOUD_PACKAGES="systemd systemd-sysv dbus procps kmod iproute2 sudo openssh-server cloud-init unattended-upgrades rsyslog"
# cloud-init is to ask nobody but the seed that it is given.
readonly CLOUD_CONFIG='{ datasource_list: [ NoCloud ], locale: C.UTF-8, no_ssh_fingerprints: true, ssh: { emit_keys_to_console: false } }'

# Makes its image, unless it is there as it would be made.
ensure_cloud() {
  local root recipe old container=$name-cloud
  root=$(scripts/root.sh debian)
  recipe=$({ docker_cli image inspect --format '{{.Id}}' "$root"; cloud_setup; } | sha256sum | cut -c1-16)
  [ "$(docker_cli image inspect --format "{{index .Config.Labels \"$RECIPE\"}}" "$CLOUD" 2>/dev/null)" != "$recipe" ] || return 0
  old=$(docker_cli image inspect --format '{{.Id}}' "$CLOUD" 2>/dev/null || true)
  say "making $CLOUD from Debian's packages"
  cloud_setup | docker_cli run --interactive --name "$container" "$root" sh -eu >"$work/cloud.log" 2>&1 || {
    tail -n 20 "$work/cloud.log" >&2
    die "$CLOUD could not be made"
  }
  docker_cli commit -c 'CMD ["/usr/sbin/boot"]' -c "LABEL $RECIPE=$recipe" "$container" "$CLOUD" >/dev/null
  docker_cli rm "$container" >/dev/null
  [ -z "$old" ] || docker_cli image rm "$old" >/dev/null 2>&1 || true
}

# The last line keeps this very machine's metadata service out of reach.
cloud_setup() {
  cat <<EOF
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends $CLOUD_PACKAGES
rm -rf /var/lib/apt/lists/*
echo '$CLOUD_CONFIG' >/etc/cloud/cloud.cfg.d/99-seed.cfg
base64 -d >/usr/sbin/boot <<'BOOT'
$(scripts/root.sh first-process | sed '2i ip route add blackhole 169.254.169.254' | base64)
BOOT
chmod 755 /usr/sbin/boot
EOF
}

# seed FOLDER INSTANCE [USER DATA]: what cloud-init is told of the instance that it runs on.
seed() {
  mkdir -p "$1"
  printf 'instance-id: %s\nlocal-hostname: %s\npublic-keys: ["ssh-ed25519 %s %s"]\n' "$2" "$2" \
    AAAAC3NzaC1lZDI1NTE5AAAAIJrY8hVQ9oM0xkx1m2yq7H0pE4l4l0m6l1Jq2bM0s3yT "$TRACE_MARK" >"$1/meta-data"
  if [ -n "${3:-}" ]; then cp "$3" "$1/user-data"; else printf '#cloud-config\n{}\n' >"$1/user-data"; fi
}
