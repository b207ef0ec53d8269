#!/usr/bin/env bash
# Makes target/package/batch-node-agent_<version>_<arch>.deb and .rpm.
#   scripts/package.sh                     a release build without the embedded plane, for this machine
#   scripts/package.sh --binary PATH       of a binary that is built already
#   scripts/package.sh --target aarch64-unknown-linux-gnu
#                                          for arm64: needs that Rust target and cargo-zigbuild (pip install ziglang)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. packaging/layout.sh

# The oldest glibc among the systems that are served: Amazon Linux 2023. Debian 12 and Ubuntu 22.04 have newer ones.
readonly GLIBC_MAX=2.34
out=$PWD/target/package

main() {
  local binary= target= version
  while [ $# -gt 0 ]; do
    case "$1" in
      --binary) binary=$2; shift 2 ;;
      --target) target=$2; shift 2 ;;
      *) die "usage: scripts/package.sh [--binary PATH] [--target TRIPLE]" ;;
    esac
  done
  scripts/setup.sh package
  [ -n "$binary" ] || binary=$(build "$target")
  check_glibc "$binary"
  version=$("$binary" --version | cut -d' ' -f2)
  mkdir -p "$out"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  umask 022
  lay_out "$work/tree" "$binary"
  make_deb "$version" "$(deb_arch "$target")"
  make_rpm "$version" "$(rpm_arch "$target")"
}

build() {
  if [ -z "$1" ]; then
    cargo build --release --no-default-features --quiet >&2
    printf '%s\n' "$PWD/target/release/batch-node-agent"
  else
    cargo zigbuild --release --no-default-features --quiet --target "$1.$GLIBC_MAX" >&2
    printf '%s\n' "$PWD/target/$1/release/batch-node-agent"
  fi
}

# The newest glibc symbol that the binary asks for.
check_glibc() {
  local newest
  newest=$(objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1 | cut -d_ -f2)
  [ "$(printf '%s\n' "$newest" "$GLIBC_MAX" | sort -V | tail -n 1)" = "$GLIBC_MAX" ] ||
    die "$1 needs glibc $newest, newer than $GLIBC_MAX, which Amazon Linux 2023 has; build with cargo zigbuild --target $(uname -m)-unknown-linux-gnu.$GLIBC_MAX"
  say "needs glibc $newest or newer"
}

deb_arch() { case "${1:-$(uname -m)}" in aarch64*) echo arm64 ;; *) echo amd64 ;; esac; }
rpm_arch() { case "${1:-$(uname -m)}" in aarch64*) echo aarch64 ;; *) echo x86_64 ;; esac; }

make_deb() {
  local version=$1 arch=$2 root=$work/deb script size
  cp -a "$work/tree" "$root"
  size=$(du -sk "$root" | cut -f1)
  mkdir "$root/DEBIAN"
  sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" packaging/deb/control.in >"$root/DEBIAN/control"
  echo /etc/batch-node-agent/config.toml >"$root/DEBIAN/conffiles"
  for script in postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/$script"; done
  dpkg-deb --root-owner-group -Zxz --build "$root" "$out/batch-node-agent_${version}_$arch.deb" >/dev/null
  say "made $out/batch-node-agent_${version}_$arch.deb"
}

make_rpm() {
  local version=$1 arch=$2
  sed "s|@VERSION@|$version|; s|@ARCH@|$arch|; s|@TREE@|$work/tree|" packaging/rpm/batch-node-agent.spec.in >"$work/agent.spec"
  rpmbuild --quiet -bb --target "$arch" --define "_topdir $work/rpm" --define "_rpmdir $work/rpms" \
    --define '_build_id_links none' --define '__os_install_post %{nil}' "$work/agent.spec"
  cp "$work/rpms/$arch/batch-node-agent-$version-1.$arch.rpm" "$out/"
  say "made $out/batch-node-agent-$version-1.$arch.rpm"
}

main "$@"
