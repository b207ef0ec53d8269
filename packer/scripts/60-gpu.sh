#!/usr/bin/env bash
# NVIDIA's driver and container toolkit, and the runtime `nvidia` in Docker. The agent finds the GPUs by itself at boot.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh
[ "${GPU:-false}" = true ] || exit 0

case "$family" in
  amazon)
    install_packages "kernel-devel-$(uname -r)" "kernel-headers-$(uname -r)" "kernel-modules-extra-$(uname -r)" dkms nvidia-release
    install_packages nvidia-driver-cuda kmod-nvidia-open-dkms nvidia-fabricmanager nvidia-persistenced nvidia-container-toolkit
    ;;
  debian)
    install_packages curl gnupg dkms "linux-headers-$(uname -r)"
    repository=$(. /etc/os-release && echo "$ID${VERSION_ID//./}")
    machine=$(uname -m)
    # NVIDIA calls the servers with an ARM processor sbsa.
    [ "$machine" != aarch64 ] || machine=sbsa
    curl -fsSL --retry 3 -o "$bake/cuda-keyring.deb" \
      "https://developer.download.nvidia.com/compute/cuda/repos/$repository/$machine/cuda-keyring_1.1-1_all.deb"
    install_packages "$bake/cuda-keyring.deb"
    apt-get update -qq
    install_packages nvidia-open nvidia-container-toolkit
    # For NVSwitch; it must be exactly of the driver's version.
    version=$(dpkg-query -W -f '${Version}' nvidia-open)
    install_packages "nvidia-fabricmanager=$version" || install_packages "nvidia-fabricmanager-${version%%.*}=$version"
    ;;
esac
# A failed build of the module fails no package.
dkms status -k "$(uname -r)" | grep -q 'nvidia.*installed' || die "the driver was not built for $(uname -r)"
nvidia-ctk runtime configure --runtime=docker
systemctl enable -q nvidia-persistenced.service nvidia-fabricmanager.service
systemctl restart docker.service
