# shellcheck shell=bash
# How the binary of a package is built, and what it may ask of a system: sourced by scripts/package.sh and
# scripts/reproducible.sh.

# The oldest glibc among the systems that are served: Amazon Linux 2023's. Debian 12 and Ubuntu 22.04 have newer ones.
readonly GLIBC_MAX=${GLIBC_MAX:-2.34}

# build_release SOURCE FOLDER: prints the binary's path. Without the embedded plane, which no host of a fleet needs. The
# same source gives the same bytes wherever it lies: each path of this machine is written as a short name.
build_release() {
  release_cargo "$1" "$2" build
  printf '%s\n' "$2/release/batch-node-agent"
}

# build_cross SOURCE FOLDER TRIPLE: the same for another machine, linked by Zig against the glibc of $GLIBC_MAX.
build_cross() {
  PATH=$(realpath -m "$CROSS_VENV")/bin:$PATH release_cargo "$1" "$2" zigbuild --target "$3.$GLIBC_MAX"
  printf '%s\n' "$2/$3/release/batch-node-agent"
}

# release_cargo SOURCE FOLDER ARG...
release_cargo() {
  local source=$1 folder=$2 cargo_home flags c_flags
  shift 2
  cargo_home=${CARGO_HOME:-$HOME/.cargo}
  flags=$(remap --remap-path-prefix "$cargo_home=/cargo" "$source=/src" "$folder=/target")
  c_flags=$(remap -ffile-prefix-map "$cargo_home=/cargo" "$folder=/target" | tr '\037' ' ')
  (
    cd "$source" || exit 1
    env -u RUSTFLAGS -u RUSTC_WORKSPACE_WRAPPER CARGO_ENCODED_RUSTFLAGS="$flags" CFLAGS="$c_flags" CARGO_INCREMENTAL=0 \
      cargo "$@" --locked --release --no-default-features --bin batch-node-agent --target-dir "$folder" --quiet >&2
  )
}

# remap OPTION FROM=TO...: OPTION=FROM=TO for each, parted as Cargo wants flags that may hold spaces.
remap() {
  local option=$1 pair flags=
  shift
  for pair in "$@"; do flags+="${flags:+$'\037'}$option=$pair"; done
  printf '%s' "$flags"
}

# check_glibc BINARY: says the newest glibc that it cannot do without. What is weak it can.
check_glibc() {
  local newest
  newest=$(readelf --version-info --wide "$1" | grep -v 'Flags: WEAK' | grep -o 'Name: GLIBC_[0-9.]*' | sort -uV | tail -n 1)
  newest=${newest#*_}
  [ "$(printf '%s\n' "$newest" "$GLIBC_MAX" | sort -V | tail -n 1)" = "$GLIBC_MAX" ] ||
    die "$1 needs glibc $newest, and the oldest system that is served has $GLIBC_MAX. Link it against that one: scripts/package.sh --target $(uname -m)-unknown-linux-gnu"
  say "needs glibc $newest or newer"
}
