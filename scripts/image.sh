#!/usr/bin/env bash
# Makes a small container image from the static busybox, with no registry: busybox and its applets, /etc/passwd, /tmp,
# and the files of a folder laid over its root. Nothing is done where the same content is there already, nor where
# an image of that name is not of our making.
#   scripts/image.sh NAME[:TAG] [FOLDER]
set -euo pipefail
. "$(dirname "$0")/common.sh"

readonly LABEL=batch-node-agent.content

main() {
  [ $# -ge 1 ] || die "usage: scripts/image.sh NAME[:TAG] [FOLDER]"
  local name=$1 overlay=${2:-} busybox root hash
  [ -z "$overlay" ] || [ -d "$overlay" ] || die "$overlay is no folder"
  busybox=$(static_busybox) || die "no static busybox: run scripts/setup.sh demo"
  umask 022
  root=$(mktemp -d)
  chmod 755 "$root"
  # shellcheck disable=SC2064  # the path as it is now
  trap "rm -rf '$root'" EXIT
  lay_out "$root" "$busybox" "$overlay"
  hash=$(pack "$root" | sha256sum | cut -c1-64)
  case "$(label_of "$name")" in
    "$hash") ;;
    foreign) say "leaving the image $name as it is: it was not made here" ;;
    *) import "$root" "$name" "$hash" ;;
  esac
}

lay_out() {
  local root=$1 busybox=$2 overlay=$3 applet
  mkdir -p "$root"/{bin,etc,tmp,root,proc,sys,dev,var}
  chmod 1777 "$root/tmp"
  install -m 755 "$busybox" "$root/bin/busybox"
  "$busybox" --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  [ -z "$overlay" ] || cp -R "$overlay/." "$root/"
}

# The same content always packs to the same bytes.
pack() { tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c .; }

# The content label of an image; nothing if there is no such image, "foreign" if it carries none.
label_of() {
  docker_cli image inspect --format "{{with index .Config.Labels \"$LABEL\"}}{{.}}{{else}}foreign{{end}}" "$1" 2>/dev/null || true
}

import() {
  local root=$1 name=$2 hash=$3 old
  old=$(docker_cli image inspect --format '{{.Id}}' "$name" 2>/dev/null || true)
  say "making image $name"
  pack "$root" | docker_cli import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]' -c "LABEL $LABEL=$hash" - "$name" >/dev/null
  [ -z "$old" ] || docker_cli image rm "$old" >/dev/null 2>&1 || true
}

main "$@"
