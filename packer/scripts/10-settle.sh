#!/usr/bin/env bash
# When an instance first answers it is still starting: cloud-init writes the package sources, and a daily update may hold the
# package manager. An AMI is renewed by building it anew, so updates of single hosts end here, which would restart Docker
# under running jobs.
set -euo pipefail
# shellcheck source=packer/files/lib.sh
. /var/tmp/bake/files/lib.sh
readonly BOOT_SECONDS=300 UPDATE_SECONDS=900

await_boot() {
  local deadline=$((SECONDS + BOOT_SECONDS)) state
  until state=$(systemctl is-system-running 2>/dev/null) || [ "$state" = degraded ]; do
    [ $SECONDS -lt $deadline ] || die "the system is still ${state:-silent} after $BOOT_SECONDS s"
    sleep 0.2
  done
  if command -v cloud-init >/dev/null; then timeout "$BOOT_SECONDS" cloud-init status --wait >/dev/null || true; fi
}

# One that runs already is let end: half an update is worse than none.
end_updates() {
  local deadline=$((SECONDS + UPDATE_SECONDS))
  switch_off apt-daily.timer apt-daily-upgrade.timer
  while systemctl is-active -q apt-daily.service apt-daily-upgrade.service; do
    [ $SECONDS -lt $deadline ] || die "an update runs for more than $UPDATE_SECONDS s"
    sleep 1
  done
  switch_off apt-daily.service apt-daily-upgrade.service unattended-upgrades.service
}

await_boot
if [ "$family" = debian ]; then
  end_updates
  apt-get -o DPkg::Lock::Timeout=300 update -qq
fi
