#!/usr/bin/env bash
# Clean Debian systems to test on, as local container images. What is there already is not made again.
#   scripts/root.sh debian            a minimal Debian: apt and certificates, nothing else
#   scripts/root.sh host              the same with systemd, Docker and rpm, to be booted
#   scripts/root.sh boot NAME [ARG..] boots a host in a container of that name, with further arguments of `docker run`, and
#                                     returns when systemd has started everything; its Docker runs containers. It has no
#                                     network unless an argument gives it one
# Prints the image's or the container's name. `docker rm --force --volumes NAME` ends a host and leaves nothing of it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly IMAGE=${ROOT_IMAGE:-batch-node-agent-root} LABEL=batch-node-agent.recipe
readonly DEBIAN=ca-certificates
readonly HOST=$DEBIAN,systemd,systemd-sysv,dbus,procps,kmod,iproute2,iptables,docker.io,rpm
readonly MAKE_SECONDS=900 BOOT_SECONDS=120

# What is built on this machine must run in it: the same Debian, elsewhere the newest.
suite() {
  # shellcheck source=/dev/null
  (. /etc/os-release && [ "$ID" = debian ] && printf '%s\n' "${VERSION_CODENAME:?}") || echo trixie
}

# From Debian 13 on Docker's client is a package of its own.
host_packages() { case "$(suite)" in bookworm) echo "$HOST" ;; *) echo "$HOST,docker-cli" ;; esac; }

main() {
  local kind=${1:-}
  case "$kind" in
    first-process) first_process ;;
    debian) ensure debian "$DEBIAN" ;;
    host) ensure host "$(host_packages)" ;;
    boot)
      [ $# -ge 2 ] || die "usage: scripts/root.sh boot NAME [ARG...]"
      shift
      ensure host "$(host_packages)" >/dev/null
      boot "$@"
      ;;
    *) die "usage: scripts/root.sh debian|host|boot NAME [ARG...]" ;;
  esac
}

# Prints the image's name. One at a time on this machine, whichever clone it is called from.
ensure() {
  local kind=$1 packages=$2 name=$IMAGE:$1 recipe
  recipe=$({ echo "$(suite) $packages"; declare -f make first_process; } | sha256sum | cut -c1-16)
  exec 8>"/tmp/$IMAGE-$(id -u).lock"
  flock 8
  if [ "$(recipe_of "$name")" != "$recipe" ]; then
    make "$kind" "$packages" "$recipe"
  fi
  exec 8>&-
  printf '%s\n' "$name"
}

recipe_of() {
  docker_cli image inspect --format "{{with index .Config.Labels \"$LABEL\"}}{{.}}{{end}}" "$1" 2>/dev/null || true
}

make() {
  local kind=$1 packages=$2 recipe=$3 old work command=/bin/bash hooks=()
  scripts/setup.sh root
  old=$(docker_cli image inspect --format '{{.Id}}' "$IMAGE:$kind" 2>/dev/null || true)
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # the path as it is now
  trap "as_root rm -rf '$work'" EXIT
  if [ "$kind" = host ]; then
    command=/usr/sbin/boot
    first_process >"$work/boot"
    # shellcheck disable=SC2016  # the root, which mmdebstrap names
    hooks=(--customize-hook="upload $work/boot $command" --customize-hook='chmod 755 "$1"'"$command")
  fi
  say "making $IMAGE:$kind from Debian's packages"
  as_root timeout "$MAKE_SECONDS" mmdebstrap --quiet --variant=minbase --include="$packages" \
    "${hooks[@]}" "$(suite)" "$work/root.tar"
  as_root cat "$work/root.tar" | docker_cli import -c "LABEL $LABEL=$recipe" -c 'ENV container=docker' \
    -c "CMD [\"$command\"]" - "$IMAGE:$kind" >/dev/null
  [ -z "$old" ] || docker_cli image rm "$old" >/dev/null 2>&1 || true
}

# Docker mounts control groups read-only; in a namespace of its own the host may write them, for they are its own alone.
first_process() {
  cat <<'EOF'
#!/bin/sh
for place in $(grep -E ' cgroup2? ' /proc/mounts | cut -d ' ' -f 2); do mount -o remount,bind,rw "$place"; done
exec /lib/systemd/systemd
EOF
}

boot() {
  local name=$1 deadline=$((SECONDS + BOOT_SECONDS)) state
  shift
  case " $* " in *" --network"*) ;; *) set -- --network none "$@" ;; esac
  # `--privileged` would be more than it needs, and more than some machines can give. /run is empty at each boot, as on a
  # real host.
  docker_cli run --detach --name "$name" --hostname "$name" --stop-signal SIGRTMIN+3 \
    --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --cgroupns private --tmpfs /run:exec --tmpfs /run/lock --tmpfs /tmp:exec "$@" "$IMAGE:host" >/dev/null
  until state=$(docker_cli exec "$name" systemctl is-system-running 2>/dev/null) || [ "$state" = degraded ]; do
    if [ $SECONDS -ge $deadline ]; then
      docker_cli logs --tail 20 "$name" >&2 || true
      die "$name did not boot within $BOOT_SECONDS s: ${state:-no answer}"
    fi
    sleep 0.1
  done
  if [ "$state" = degraded ]; then
    docker_cli exec "$name" systemctl --failed --no-legend >&2
    die "not all of $name started"
  fi
  printf '%s\n' "$name"
}

main "$@"
