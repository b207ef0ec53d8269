# shellcheck shell=bash
# The steps on systems that cannot be run here, Amazon Linux 2023 and Ubuntu, with a GPU and all else that is optional: each
# program that they call is a stub which tells its arguments. That these programs do what they are asked is not shown.
# Sourced by scripts/bake.sh.

readonly STUBS="apt-get batch-node-agent chgrp cloud-init curl dkms dnf docker dpkg dpkg-query journalctl nvidia-ctk rpm systemctl uname"

# dispatch SYSTEM VERSION ARCHITECTURE FORBIDDEN: runs all steps, and compares what they call with expected/SYSTEM.
dispatch() {
  local system=$1 version=$2 architecture=$3 forbidden=$4 folder stub
  # shellcheck disable=SC2154  # of scripts/bake.sh
  folder=$work/dispatch-$system
  mkdir -p "$folder/stubs"
  for stub in $STUBS; do stub_of "$architecture" >"$folder/stubs/$stub"; done
  chmod 755 "$folder"/stubs/*
  printf 'ID=%s\nVERSION_ID="%s"\n' "$system" "$version" >"$folder/os-release"
  docker_cli run --rm --interactive --network none --volume "$PWD/packer:/packer:ro" --volume "$folder:/dispatch" \
    --env PATH=/dispatch/stubs:/usr/sbin:/usr/bin --env GPU=true --env EFS=true --env NOFILE=1024:2048 \
    --env "IMAGES=123456789012.dkr.ecr.us-east-1.amazonaws.com/job:1 busybox" --env COMPUTE_ENVIRONMENT=production \
    "$(scripts/root.sh debian)" bash -eu <<'EOF' >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" >&2; die "the steps fail on $system"; }
cp --remove-destination /dispatch/os-release /etc/os-release
mkdir -p /var/tmp/bake/packages /etc/sysconfig /etc/batch-node-agent /var/lib/amazon/ssm/i-1 /etc/ssh /etc/ecs
cp -r /packer/files /var/tmp/bake/
touch /var/tmp/bake/packages/batch-node-agent-1-1.x86_64.rpm /var/tmp/bake/packages/batch-node-agent_1_arm64.deb /etc/ssh/ssh_host_rsa_key \
  /etc/ecs/ecs.config
# What Amazon's package of Docker brings.
echo 'OPTIONS="--default-ulimit nofile=32768:65536"' >/etc/sysconfig/docker
for step in /packer/scripts/[1-9]*.sh; do
  echo "# ${step##*/}" >>/dispatch/calls
  bash "$step"
done
cp /etc/sysconfig/docker /dispatch/sysconfig
cp /etc/docker/daemon.json /dispatch/daemon.json
cp /etc/batch-node-agent/environment /dispatch/environment
stat -c %a /etc/batch-node-agent/environment >/dispatch/mode
chmod -R a+rX /dispatch
EOF
  diff "scripts/bake/expected/$system" "$folder/calls" >&2 || die "on $system the steps call other programs than scripts/bake/expected/$system tells"
  ! grep -E "^($forbidden) " "$folder/calls" >&2 || die "on $system another system's programs are called"
  [ "$(cat "$folder/sysconfig")" = 'OPTIONS=""' ] || die "dockerd would be told its limits twice: $(cat "$folder/sysconfig")"
  python3 -c 'import json, sys; limits = json.load(open(sys.argv[1]))["default-ulimits"]["nofile"]
sys.exit((limits["Soft"], limits["Hard"]) != (1024, 2048))' "$folder/daemon.json" || die "daemon.json has other limits"
  [ "$(cat "$folder/mode")" = 600 ] || die "others may read the environment file: $(cat "$folder/mode")"
  grep -qx BATCH_NODE_AGENT_COMPUTE_ENVIRONMENT=production "$folder/environment" || die "the compute environment is not baked in"
}

# Tells its name and arguments, and answers as the steps need it.
stub_of() {
  cat <<EOF
#!/bin/sh
name=\${0##*/}
case "\$name \$*" in
  "uname -m") echo $([ "$1" = arm64 ] && echo aarch64 || echo x86_64); exit ;;
  "uname -r") echo 6.1.0; exit ;;
  "dpkg --print-architecture") echo $1; exit ;;
  "systemctl is-system-running") echo running; exit ;;
  "systemctl is-active"*) exit 3 ;;
  "systemctl cat ecs.service") exit 1 ;;
  "systemctl cat"*) exit 0 ;;
  "rpm -q ecs-init" | "dpkg-query -W -f \\\${db:Status-Status} amazon-ecs-init") printf installed ;;
  "rpm -q"* | "dpkg-query -W -f \\\${db:Status-Status}"*) exit 1 ;;
  "dpkg-query -W -f \\\${Version} nvidia-open") printf 590.1-1; exit ;;
  "dkms status"*) echo "nvidia/590, 6.1.0, \$(uname -m): installed"; exit ;;
  "docker load"*) echo "Loaded image: loaded:1" ;;
esac
echo "\$name \$*" | sed 's|/tmp/tmp\.[A-Za-z0-9]*|/tmp/tmp|g' >>/dispatch/calls
EOF
}
