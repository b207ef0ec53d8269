# shellcheck shell=bash
# The baked image as a host of the embedded plane, in a network of their own; sourced by scripts/bake.sh.

readonly ENDPOINT=http://127.0.0.1:8700 BOOT_SECONDS=180 JOB_SECONDS=120 EXIT_CODE=7

# The plane, an instance for the host to be, and the host, which knows of both by its user data only.
boot() {
  local instance imds
  docker_cli run --detach --name "$name-plane" --network none --volume "$PWD/target/debug/batch-node-agent:/plane:ro" \
    "$(scripts/root.sh debian)" /plane local --listen "${ENDPOINT#http://}" --data-dir /data --max-nodes 0 >/dev/null
  await "the plane" 30 docker_logs_have "on this machine"
  read -r instance imds < <(aws_plane ec2 run-instances --image-id ami-1 --count 1 --output text \
    --query 'Instances[0].[InstanceId, Tags[?Key==`imds-endpoint`] | [0].Value]')
  user_data "$imds" >"$work/user-data"
  seed "$work/seed-host" "$instance" "$work/user-data"
  docker_cli run --detach --name "$name-host" --stop-signal SIGRTMIN+3 --network "container:$name-plane" \
    --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --cgroupns private --tmpfs /run:exec --tmpfs /run/lock --volume "$name:/var/lib/docker" \
    --volume "$work/seed-host:/var/lib/cloud/seed/nocloud:ro" "$image" >/dev/null
  await "the host to boot" "$BOOT_SECONDS" booted
  on_host cloud-init status --wait >/dev/null || die_of_host "the user data failed"
  [ "$(on_host systemctl is-system-running)" = running ] || die_of_host "not everything started on the host"
}

# The example of docs/ami.md, for this plane.
user_data() {
  sed -n '/^```sh user-data$/,/^```$/{/^```/!p}' docs/ami.md |
    sed "s/=my-environment$/=local/; /^EOF$/i AWS_ENDPOINT_URL=$ENDPOINT\nAWS_EC2_METADATA_SERVICE_ENDPOINT=$1"
}

# An identity of its own, one agent, and a job whose exit code tells that Docker gives it the limits of the image.
run_job() {
  local id code status
  id=$(aws_plane batch submit-job --job-name baked --job-queue local --job-definition hello --query jobId --output text \
    --container-overrides "command=[sh,-c,'[ \$(ulimit -Sn) = $SOFT ] && exit $EXIT_CODE']")
  await "job $id to end" "$JOB_SECONDS" job_ended "$id"
  code=$(aws_plane batch describe-jobs --jobs "$id" --query 'jobs[0].container.exitCode' --output text)
  [ "$code" = "$EXIT_CODE" ] || die_of_host "the job ended with $code, not $EXIT_CODE"
  status=$(on_host systemctl show --property User,NRestarts,ActiveState batch-node-agent.service | sort | paste -sd ' ')
  [ "$status" = "ActiveState=active NRestarts=0 User=batch-node-agent" ] || die_of_host "the agent's unit: $status"
  [ "$(on_host systemctl is-enabled ecs.service)" = masked ] || die "amazon-ecs-agent is not masked"
  on_host sh -c '[ -e /var/log/journal/$(cat /etc/machine-id)/system.journal ]' || die_of_host "the journal is not kept"
  [ "$(on_host docker info --format '{{.LiveRestoreEnabled}} {{.LoggingDriver}}')" = "true json-file" ] || die "Docker's settings"
  on_host cat /etc/ssh/ssh_host_ed25519_key.pub >/dev/null || die_of_host "the host has no SSH key"
}

# The clean-up on a host that has lived, where the agent runs; and where there is nothing left to clean.
clean_again() {
  local round
  for round in 1 2; do
    on_host mkdir -p /var/tmp/bake
    docker_cli cp packer/files "$name-host:/var/tmp/bake/"
    docker_cli cp packer/scripts/80-clean.sh "$name-host:/root/80-clean.sh"
    on_host bash /root/80-clean.sh >"$work/clean.log" 2>&1 || { cat "$work/clean.log" >&2; die "clean-up $round"; }
  done
}

# await WHAT SECONDS COMMAND...: until it succeeds.
await() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || die_of_host "waited in vain for $what"
    sleep 0.2
  done
}

docker_logs_have() { docker_cli logs "$name-plane" 2>&1 | grep -q "$1"; }
booted() { [[ "$(on_host systemctl is-system-running 2>/dev/null)" =~ ^(running|degraded)$ ]]; }
job_ended() {
  [[ "$(aws_plane batch describe-jobs --jobs "$1" --query 'jobs[0].status' --output text)" =~ ^(SUCCEEDED|FAILED)$ ]]
}
on_host() { docker_cli exec "$name-host" "$@"; }

# The AWS CLI, in the network of the plane.
aws_plane() {
  as_root nsenter --net="/proc/$(docker_cli inspect --format '{{.State.Pid}}' "$name-plane")/ns/net" \
    env AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1 \
    "$(realpath "$TEST_VENV")/bin/aws" --endpoint-url "$ENDPOINT" "$@"
}

die_of_host() {
  {
    docker_cli logs --tail 20 "$name-plane"
    on_host systemctl --failed --no-legend
    on_host tail -n 20 /var/log/cloud-init-output.log
    on_host journalctl --no-pager --lines 60 --unit 'batch-node-agent*' --unit docker.service
  } >&2 || true
  die "$@"
}
