#!/usr/bin/env bash
# Installs what is missing on Debian or Ubuntu, and starts Docker where nothing answers. What is there is left as it is.
#   scripts/setup.sh demo     a C compiler, Docker, a static busybox for the images
#   scripts/setup.sh test     the same, an image registry with htpasswd, mmdebstrap, and the AWS CLI and boto3 from PyPI in
#                             target/test-venv
#   scripts/setup.sh lint     a C compiler and shellcheck
#   scripts/setup.sh fuzz     a C++ compiler, for libFuzzer
#   scripts/setup.sh packer   Packer
#   scripts/setup.sh package  what makes a .deb and a .rpm
#   scripts/setup.sh cross TRIPLE
#                             Rust for that target, and cargo-zigbuild from PyPI in target/cross-venv
#   scripts/setup.sh deny     cargo-deny, from crates.io in target/tools
#   scripts/setup.sh root     what makes the clean Debian systems of scripts/root.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly AWSCLI=awscli==1.46.3 BOTO3=boto3==1.44.5
readonly DENY=cargo-deny@0.20.2
readonly ZIGBUILD=cargo-zigbuild==0.24.0 ZIG=ziglang==0.17.1
readonly APT_SECONDS=900 DOCKERD_SECONDS=60 DOCKERD_LOG=/var/log/dockerd.log

main() {
  case "${1:-}" in
    demo) ensure_compiler; ensure_busybox; ensure_docker ;;
    test) ensure_compiler; ensure_busybox; ensure_docker; ensure_registry; ensure_venv "$TEST_VENV" "$AWSCLI" "$BOTO3"
      ensure_mmdebstrap; ensure_packaging ;;
    lint) ensure_compiler; ensure_shellcheck ;;
    fuzz) ensure_cxx ;;
    packer) ensure_packer ;;
    package) ensure_packaging ;;
    cross) ensure_target "${2:-}"; ensure_venv "$CROSS_VENV" "$ZIGBUILD" "$ZIG" ;;
    deny) ensure_deny ;;
    root) ensure_docker; ensure_mmdebstrap ;;
    *) die "usage: scripts/setup.sh demo|test|lint|fuzz|packer|package|cross|deny|root" ;;
  esac
}

ensure_compiler() {
  command -v cargo >/dev/null || die "Rust is missing: install it first (rustup, or a distribution's cargo of at least 1.95)"
  command -v cc >/dev/null || apt_install "a C compiler, for linking" gcc libc6-dev
}

ensure_cxx() {
  ensure_compiler
  command -v c++ >/dev/null || apt_install "a C++ compiler, for libFuzzer" g++
}

ensure_busybox() {
  static_busybox >/dev/null || apt_install "busybox, what the container images are made of" busybox-static
}

ensure_registry() {
  command -v docker-registry >/dev/null || apt_install "a registry to pull images from, for the tests" docker-registry
  command -v htpasswd >/dev/null || apt_install "htpasswd, for that registry's logins" apache2-utils
  command -v openssl >/dev/null || apt_install "openssl, for certificates of the tests" openssl
}

ensure_shellcheck() {
  command -v shellcheck >/dev/null || apt_install "shellcheck" shellcheck
}

ensure_packer() {
  command -v packer >/dev/null || apt_install "Packer, for the AMI's templates" packer
}

ensure_packaging() {
  command -v readelf >/dev/null || apt_install "binutils, to look at the binary" binutils
  command -v rpmbuild >/dev/null || apt_install "rpmbuild, for the .rpm" rpm
  command -v python3 >/dev/null || apt_install "Python, for the list of what is in the binary" python3
  command -v dpkg-deb >/dev/null || die "dpkg-deb is missing: packages are made on Debian or Ubuntu"
}

ensure_mmdebstrap() {
  command -v mmdebstrap >/dev/null || apt_install "mmdebstrap, to make clean Debian systems to test on" \
    mmdebstrap debian-archive-keyring
}

ensure_target() {
  [ -n "$1" ] || die "usage: scripts/setup.sh cross TRIPLE"
  ! rustup target list --installed | grep -qxF "$1" || return 0
  say "installing Rust's library for $1"
  rustup target add "$1" >&2
}

# As a debug build, which takes half the time.
ensure_deny() {
  [ "$(target/tools/bin/cargo-deny --version 2>/dev/null)" != "${DENY/@/ }" ] || return 0
  say "building $DENY, once"
  CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --no-default-features --root target/tools \
    --target-dir target/tools/build "$DENY"
  rm -rf target/tools/build
}

ensure_docker() {
  docker_answers && return
  if ! command -v dockerd >/dev/null && ! docker_answers_root; then
    apt_install "Docker Engine" docker.io
  fi
  # From Debian 13 on the client is a package of its own.
  command -v docker >/dev/null || apt_install "Docker's client" docker-cli
  docker_answers_root || start_docker
}

start_docker() {
  [ -z "${DOCKER_HOST:-}" ] || die "DOCKER_HOST is $DOCKER_HOST, and nothing answers there"
  if [ -d /run/systemd/system ]; then
    say "starting Docker through systemd"
    as_root systemctl start docker
  else
    mount_cgroups
    forget_dead_dockerd
    say "starting dockerd, which stays (log: $DOCKERD_LOG)"
    as_root sh -c "setsid nohup dockerd >>$DOCKERD_LOG 2>&1 </dev/null &"
  fi
  await_docker
}

await_docker() {
  local deadline=$((SECONDS + DOCKERD_SECONDS))
  until docker_answers_root; do
    if [ $SECONDS -ge $deadline ]; then
      as_root tail -n 15 "$DOCKERD_LOG" >&2 || true
      die "Docker did not answer within $DOCKERD_SECONDS s"
    fi
    sleep 0.5
  done
}

# systemd mounts the control groups at boot; where it does not run, somebody has to. Debian 13 dropped the package.
mount_cgroups() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ] || [ -d /sys/fs/cgroup/memory ]; then return; fi
  say "mounting the control groups, as no systemd did"
  apt update -qq >/dev/null 2>&1 || true
  if apt-cache policy cgroupfs-mount | grep -q 'Candidate: [0-9]'; then
    command -v cgroupfs-mount >/dev/null || apt_install "to mount the control groups" cgroupfs-mount
    as_root cgroupfs-mount
  else
    as_root mount -t cgroup2 cgroup2 /sys/fs/cgroup
  fi
}

# dockerd will not start over a pid file whose number some other process has by now.
forget_dead_dockerd() {
  local pid
  pid=$(cat /var/run/docker.pid 2>/dev/null) || return 0
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || as_root rm -f /var/run/docker.pid
}

# ensure_venv FOLDER REQUIREMENT...
ensure_venv() {
  local venv=$1 want
  shift
  want=$*
  [ "$(cat "$venv/.holds" 2>/dev/null)" != "$want" ] || return 0
  python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install "Python's venv" python3 python3-venv
  say "installing $want from PyPI into $venv"
  rm -rf "$venv"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv"
  timeout "$APT_SECONDS" "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
  printf '%s\n' "$want" >"$venv/.holds"
}

# apt_install WHY PACKAGE...
apt_install() {
  local why=$1 log
  shift
  command -v apt-get >/dev/null || die "missing: $why. This script knows apt-get only; install by hand what your system calls: $*"
  say "installing $* ($why)"
  log=$(mktemp)
  if ! { apt update -qq && apt install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get could not install $*"
  fi
  rm -f "$log"
}

# apt update|install ...: an update is made once a run.
apt_updated=no
apt() {
  if [ "$1" = update ]; then
    [ $apt_updated = no ] || return 0
    apt_updated=yes
  fi
  as_root timeout "$APT_SECONDS" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -o DPkg::Lock::Timeout=120 "$@"
}

main "$@"
