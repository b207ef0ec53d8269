#!/usr/bin/env bash
# Makes the .deb and the .rpm in target/package, and beside them the list of what is in the binary (CycloneDX).
#   scripts/package.sh                    a release build without the embedded plane, for this machine
#   scripts/package.sh --target aarch64-unknown-linux-gnu
#                                         for arm64, linked by Zig; installs that Rust target, and cargo-zigbuild from PyPI
#   scripts/package.sh --target x86_64-unknown-linux-gnu
#                                         the same for x86_64, where this machine's glibc is too new
#   scripts/package.sh --binary PATH      of a binary that is built already
# Further options, with --binary: --generator PATH (the same program for this machine, if it is not that one),
# --version VERSION, --out FOLDER, --only deb|rpm, and --fast, which packs little.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. packaging/build.sh
. packaging/layout.sh

binary='' generator='' target='' version='' out=target/package fast=no only=''

main() {
  options "$@"
  scripts/setup.sh package
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
  export SOURCE_DATE_EPOCH
  obtain_binary
  check_glibc "$binary"
  [ -n "$version" ] || version=$(workspace_version)
  umask 022
  mkdir -p "$out"
  out=$(realpath "$out")
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  stripped "$binary" "$work/binary"
  scripts/sbom.py --target "$target" --version "$version" --notices >"$work/notices"
  [ "$only" = rpm ] || make_deb
  [ "$only" = deb ] || make_rpm
  scripts/sbom.py --target "$target" --version "$version" >"$out/batch-node-agent-$version.$(rpm_arch).cdx.json"
  say "made $out/batch-node-agent-$version.$(rpm_arch).cdx.json"
}

options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --fast) fast=yes; shift; continue ;;
      --binary | --generator | --target | --version | --out | --only) [ $# -ge 2 ] || die "$1 needs a value" ;;
      *) die "there is no option $1: see the head of this script" ;;
    esac
    case "$1" in
      --binary) binary=$(realpath "$2") ;;
      --generator) generator=$(realpath "$2") ;;
      --target) target=$2 ;;
      --version) version=$2 ;;
      --out) out=$2 ;;
      --only) only=$2 ;;
    esac
    shift 2
  done
}

# The binary, and the program that writes its man pages: another one where the binary is for another machine.
obtain_binary() {
  local native
  native=$(uname -m)-unknown-linux-gnu
  if [ -n "$binary" ]; then
    target=${target:-$native}
  elif [ -z "$target" ]; then
    target=$native
    binary=$(build_release "$PWD" "$PWD/target/dist")
  else
    scripts/setup.sh cross "$target"
    binary=$(build_cross "$PWD" "$PWD/target/dist" "$target")
  fi
  if [ -z "$generator" ] && [ "$target" = "$native" ]; then
    generator=$binary
  elif [ -z "$generator" ]; then
    cargo build --quiet --no-default-features >&2
    generator=$PWD/target/debug/batch-node-agent
  fi
}

workspace_version() {
  sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml
}

# A release is stripped by the compiler, which knows its target.
stripped() {
  if [ "$target" = "$(uname -m)-unknown-linux-gnu" ]; then
    strip --strip-unneeded -o "$2" "$1"
  else
    cp "$1" "$2"
  fi
}

deb_arch() { case "$target" in aarch64*) echo arm64 ;; x86_64*) echo amd64 ;; *) die "no package for $target" ;; esac; }
rpm_arch() { echo "${target%%-*}"; }

make_deb() {
  local root=$work/deb control=$work/deb/DEBIAN package script size compression=(-Zxz -z6)
  package=$out/batch-node-agent_${version}_$(deb_arch).deb
  [ $fast = no ] || compression=(-Zgzip -z1)
  lay_out deb "$root" "$work/binary" "$generator" "$work/notices"
  size=$(du -sk --apparent-size "$root" | cut -f1)
  mkdir "$control"
  sed "s/@VERSION@/$version/; s/@ARCH@/$(deb_arch)/; s/@SIZE@/$size/; s/@GLIBC@/$GLIBC_MAX/" packaging/deb/control.in >"$control/control"
  echo /etc/batch-node-agent/config.toml >"$control/conffiles"
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$control/md5sums"
  for script in postinst prerm postrm; do
    sed "s/@UNITS@/$(enabled_units)/" "packaging/deb/$script" >"$control/$script"
    chmod 755 "$control/$script"
  done
  # Several threads would pack otherwise than one does.
  DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group "${compression[@]}" --build "$root" "$package" >/dev/null
  say "made $package"
}

make_rpm() {
  local root=$work/rpm spec=$work/batch-node-agent.spec payload=w19.zstdio package
  package=batch-node-agent-$version-1.$(rpm_arch).rpm
  [ $fast = no ] || payload=w1.gzdio
  lay_out rpm "$root" "$work/binary" "$generator" "$work/notices"
  sed -e "s|@VERSION@|$version|; s|@GLIBC@|$GLIBC_MAX|; s|@TREE@|$root|; s|@UNITS@|$(enabled_units)|" \
    -e '/@SYSUSERS@/ { r systemd/batch-node-agent.sysusers
      d }' packaging/rpm/batch-node-agent.spec.in >"$spec"
  # The date, the machine and the folder of the build are not to be seen in the package.
  rpmbuild --quiet -bb --target "$(rpm_arch)-linux" --define "_topdir $work/rpmbuild" --define "_rpmdir $work/rpms" \
    --define "_binary_payload $payload" --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define '_build_id_links none' --define '__os_install_post %{nil}' \
    --define 'optflags %{nil}' "$spec"
  cp "$work/rpms/$(rpm_arch)/$package" "$out/"
  say "made $out/$package"
}

main "$@"
