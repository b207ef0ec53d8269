# shellcheck shell=bash
# What the scripts share; sourced, never run.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# A client alone proves nothing: only an engine that answers counts. For us, or for root where we are not let in.
docker_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
docker_answers_root() { docker_answers || as_root timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Docker's client, as root where only root is let in.
docker_cli() {
  if docker_answers; then docker "$@"; else as_root docker "$@"; fi
}

# Prints the path of a busybox that runs without any library; fails if there is none.
static_busybox() {
  local path
  path=$(command -v busybox) || return 1
  ! ldd "$path" >/dev/null 2>&1 || return 1
  printf '%s\n' "$path"
}

# The virtual environment with the pinned AWS CLI and boto3 that the tests use.
TEST_VENV=${TEST_VENV:-target/test-venv}

# The same for what links for other machines.
# shellcheck disable=SC2034  # used by those who source this
CROSS_VENV=${CROSS_VENV:-target/cross-venv}
