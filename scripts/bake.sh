#!/usr/bin/env bash
# The AMI's recipe, really run: Packer provisions a container that is like a fresh EC2 instance of Debian, by the very steps
# that make an AMI. What comes out must hold nothing of the machine it was made on, and boot, with the user data of
# docs/ami.md, to a host that is registered with the embedded plane and runs a job.
#   scripts/bake.sh                   with the binary of a debug build
#   scripts/bake.sh --packages PATH   with packages that are there already
set -euo pipefail
cd "$(dirname "$0")/.."

# What scripts/bake/traces.sh leaves.
readonly TRACE_MARK=bake-trace-9c1f SOFT=4096 BAKE_SECONDS=600
readonly MUST_NOT_BE='^(etc/ssh/ssh_host_|var/lib/batch-node-agent/.|var/lib/cloud/instance|(var/)?tmp/.|root/\.ssh|etc/batch-node-agent/environment)'
work=$(mktemp -d)
name=batch-node-agent-bake-$$
readonly work name image=$name:baked

. scripts/common.sh
. scripts/bake/template.sh
. scripts/bake/cloud.sh
. scripts/bake/dispatch.sh
. scripts/bake/host.sh

clean_up() {
  docker_cli rm --force --volumes "$name-cloud" "$name-bake" "$name-host" "$name-plane" >/dev/null 2>&1 || true
  docker_cli image rm "$image" >/dev/null 2>&1 || true
  docker_cli volume rm "$name" >/dev/null 2>&1 || true
  as_root rm -rf "$work"
}
trap clean_up EXIT

main() {
  local packages=
  case "${1:-}" in
    '') ;;
    --packages) packages=$(realpath "$2") ;;
    *) die "usage: scripts/bake.sh [--packages PATH]" ;;
  esac
  scripts/setup.sh test
  scripts/setup.sh packer
  scripts/image.sh busybox
  timed "the steps on Amazon Linux" dispatch amzn 2023 amd64 'apt-get|dpkg|dpkg-query'
  timed "the steps on Ubuntu" dispatch ubuntu 24.04 arm64 'dnf|rpm'
  ensure_cloud
  [ -n "$packages" ] || packages=$(make_package)
  timed "baked" bake "$packages"
  timed "looked for traces" look_for_traces
  timed "booted" boot
  timed "ran a job" run_job
  timed "cleaned again" clean_again
  printf '\n7 passed, 0 failed\n'
}

timed() {
  local what=$1 start=$SECONDS
  shift
  "$@"
  say "$what ($((SECONDS - start)) s)"
}

make_package() {
  cargo build --quiet --bin batch-node-agent >&2
  scripts/package.sh --binary target/debug/batch-node-agent --fast --out "$work/packages" >&2
  printf '%s\n' "$work/packages"
}

# Images outlive the container that Docker commits only in a volume, and there Docker has the file system it would have on EC2.
bake() {
  copy_template "$work"
  mkdir -p "$work/archives" "$work/seen"
  docker_cli save --output "$work/archives/busybox.tar" busybox
  seed "$work/seed-bake" i-0bake "" # of no user data
  cat >"$work/packer/test.auto.pkrvars.hcl" <<EOF
packages      = "$1"
archives      = "$work/archives"
nofile        = "$SOFT:$(hard_limit)"
extra_scripts = ["$PWD/scripts/bake/traces.sh"]
docker_image  = "$CLOUD"
docker_tag    = "$image"
docker_run = [
  "--name", "$name-bake", "--volume", "$name:/var/lib/docker", "--volume", "$work/seen:/seen",
  "--volume", "$work/seed-bake:/var/lib/cloud/seed/nocloud:ro",
]
EOF
  (cd "$work/packer" && packer_run build -color=false -only=batch-node.docker.test . >"$work/bake.log" 2>&1) || {
    tail -n 60 "$work/bake.log" >&2
    die "the bake failed"
  }
}

# A container of this machine's Docker may be allowed less than a host.
hard_limit() {
  local limit
  limit=$(docker_cli run --rm --network none busybox sh -c 'ulimit -Hn')
  [ "$limit" != unlimited ] && [ "$limit" -lt 1048576 ] || limit=1048576
  printf '%s\n' "$limit"
}

packer_run() { if docker_answers; then timeout "$BAKE_SECONDS" packer "$@"; else as_root timeout "$BAKE_SECONDS" packer "$@"; fi; }

# Neither in a file nor in a file's name, neither in the image nor in what Docker holds.
look_for_traces() {
  local container found tar
  [ "$(wc -l <"$work/seen/this-machine")" -ge 6 ] || die "the step of one's own did not run"
  container=$(docker_cli create --name "$name-host" "$image")
  docker_cli export "$container" >"$work/image.tar"
  docker_cli rm "$container" >/dev/null
  docker_cli run --rm --network none --volume "$name:/volume:ro" "$CLOUD" tar -C /volume -c . >"$work/volume.tar"
  for tar in "$work/image.tar" "$work/volume.tar"; do
    found=$(holds_trace "$tar" || [ $? -eq 1 ])
    [ -z "$found" ] || die "what the machine was known by is still there: $(files_with_traces "$tar")"
  done
  # Services that run have folders of their own in /tmp, which systemd removes.
  found=$(tar -tf "$work/image.tar" | grep -v tmp/systemd-private- | grep -E "$MUST_NOT_BE" || [ $? -eq 1 ])
  [ -z "$found" ] || die "still in the image: $found"
  rm "$work"/*.tar
}

holds_trace() { LC_ALL=C grep --text --max-count=1 --only-matching --fixed-strings --file="$work/seen/this-machine" "$1"; }

# For the message: slow, and names that hold a trace are not told.
files_with_traces() {
  mkdir "$work/tree"
  as_root tar -C "$work/tree" --exclude='dev/*' -xf "$1"
  (cd "$work/tree" && as_root env LC_ALL=C grep -rlaF --file="$work/seen/this-machine" . | head -n 20) || echo "in a file's name"
}

main "$@"
