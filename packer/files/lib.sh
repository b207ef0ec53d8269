# shellcheck shell=bash
# What the steps share; sourced, never run. The template lays this folder, the packages and the archives under $bake.

# shellcheck disable=SC2034  # for the steps
readonly bake=/var/tmp/bake
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() { say "$*" >&2; exit 1; }

# Where packages come from and what they are called: amazon or debian, which is Ubuntu too.
family=$(
  . /etc/os-release
  case "$ID-${VERSION_ID:-}" in
    amzn-2023*) echo amazon ;;
    debian-* | ubuntu-*) echo debian ;;
  esac
)
[ -n "$family" ] || die "this is none of Amazon Linux 2023, Debian and Ubuntu"

install_packages() {
  case "$family" in
    amazon) dnf install -y -q "$@" ;;
    debian) apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null ;;
  esac
}

# Whether the package manager knows a package of this name that is installed.
installed() {
  case "$family" in
    amazon) rpm -q "$1" >/dev/null 2>&1 ;;
    debian) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
  esac
}

remove_packages() {
  case "$family" in
    amazon) dnf remove -y -q "$@" ;;
    debian) apt-get -o DPkg::Lock::Timeout=300 remove -y -qq "$@" >/dev/null ;;
  esac
}

# Stops and masks those units that exist.
switch_off() {
  local unit
  for unit in "$@"; do
    if systemctl cat "$unit" >/dev/null 2>&1; then systemctl disable --now -q "$unit"; fi
    systemctl mask -q "$unit"
  done
}
