#!/usr/bin/env bash
# Docker Engine, with what a host of AWS Batch needs of it; files/daemon.json says what, docs/ami.md why. One's own settings
# go into that file: the one of the base image is replaced.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh

case "$family" in
  amazon) install_packages docker ;;
  debian)
    install_packages docker.io ca-certificates iptables
    # From Debian 13 on the client is a package of its own.
    command -v docker >/dev/null || install_packages docker-cli
    ;;
esac

# Amazon's package gives dockerd a limit on its command line, and dockerd refuses one that is in its file as well.
if [ -e /etc/sysconfig/docker ]; then sed -i -E 's/ ?--default-ulimit[= ]nofile=[0-9:]+//' /etc/sysconfig/docker; fi

[[ "${NOFILE:?}" =~ ^[0-9]+:[0-9]+$ ]] || die "nofile is $NOFILE, not soft:hard"
install -d -m 755 /etc/docker
sed "s/\"@SOFT@\"/${NOFILE%:*}/; s/\"@HARD@\"/${NOFILE#*:}/" "$bake/files/daemon.json" >/etc/docker/daemon.json
chmod 644 /etc/docker/daemon.json
systemctl enable -q docker.service containerd.service
systemctl restart docker.service
docker version --format 'Docker {{.Server.Version}}'
