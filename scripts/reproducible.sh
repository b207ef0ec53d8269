#!/usr/bin/env bash
# Builds the release and its packages twice, in two folders and with two homes of Cargo, and compares them to the last byte.
# Takes two whole release builds and 4 GB of disk, in target/reproducible.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. packaging/build.sh

readonly WORK=$PWD/target/reproducible CARGO=${CARGO_HOME:-$HOME/.cargo}

main() {
  local file differ=no
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
  export SOURCE_DATE_EPOCH
  # What was downloaded is shared, under another path.
  mkdir -p "$WORK/cargo"
  ln -sfn "$CARGO/registry" "$WORK/cargo/registry"
  make "$WORK/a" "$CARGO"
  make "$WORK/another/place" "$WORK/cargo"
  for file in "$WORK"/a.out/*; do
    sha256sum "$file"
    cmp "$file" "$WORK/another/place.out/${file##*/}" || differ=yes
  done
  [ $differ = no ] || die "the same source gave different bytes"
  say "the same source gave the same bytes"
}

# make ROOT CARGO_HOME: the source as it is committed, the build, and in ROOT.out what comes of it.
make() {
  local root=$1 out=$1.out
  say "building in $root"
  mkdir -p "$root"
  find "$root" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
  rm -rf "$out"
  mkdir "$out"
  git archive HEAD | tar -x --touch -C "$root"
  CARGO_HOME=$2 build_release "$root" "$root/target" >/dev/null
  cp "$root/target/release/batch-node-agent" "$out/"
  if grep -aqF -e "$root" -e "$2" -e "$HOME/." "$out/batch-node-agent"; then die "the binary names folders of this machine"; fi
  (cd "$root" && scripts/package.sh --binary "$out/batch-node-agent" --out "$out")
}

main
