#!/usr/bin/env bash
# The EFS mount helper, for hosts that mount a file system under a path which job definitions name.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh
[ "${EFS:-false}" = true ] || exit 0

case "$family" in
  amazon) install_packages amazon-efs-utils ;;
  # Debian and Ubuntu have no package of it. NFS 4.1 is what it mounts; what is lost is TLS and access points.
  debian) install_packages nfs-common ;;
esac
