#!/usr/bin/env bash
# NVIDIA's driver and container toolkit, and the runtime `nvidia` in Docker. The agent finds the GPUs by itself at boot.
set -euo pipefail
[ "${GPU:-false}" = true ] || exit 0

if command -v dnf >/dev/null; then
  dnf install -y kernel-devel-"$(uname -r)" kernel-modules-extra gcc make dkms
  dnf config-manager --add-repo "https://developer.download.nvidia.com/compute/cuda/repos/amzn2023/$(uname -m)/cuda-amzn2023.repo"
  dnf module install -y nvidia-driver:open-dkms
  dnf install -y nvidia-container-toolkit
else
  export DEBIAN_FRONTEND=noninteractive
  . /etc/os-release
  apt-get install -y -qq curl gnupg "linux-headers-$(uname -r)"
  curl -fsSL "https://developer.download.nvidia.com/compute/cuda/repos/${ID}${VERSION_ID//./}/$(uname -m)/cuda-keyring_1.1-1_all.deb" -o /tmp/bake/cuda-keyring.deb
  dpkg -i /tmp/bake/cuda-keyring.deb
  apt-get update -qq
  apt-get install -y -qq nvidia-open nvidia-container-toolkit
fi
nvidia-ctk runtime configure --runtime=docker
systemctl enable nvidia-persistenced.service || true
