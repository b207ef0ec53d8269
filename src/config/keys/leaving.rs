//! When and how the host leaves.

use super::Default::{Is, Unset};
use super::Key;
use crate::config::draft::set;
use crate::config::value::Value;
use crate::net::PostUrl;

const REACTION: &str = "one of ignore, drain, drain-with-deadline";

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "look_for_work",
        default: Is("true"),
        expects: "true or false",
        help: "Whether an idle host stays while RUNNABLE or STARTING jobs that would fit it wait in the queues of its compute \
            environment, for at most half an hour",
        apply: |d, v| set(&mut d.config.leaving.look_for_work, v.boolean()),
    },
    Key {
        name: "max_jobs",
        default: Unset("no limit"),
        expects: "a whole number from 1 to 1000000",
        help: "After this many jobs the host drains and leaves",
        apply: |d, v| {
            let count = v.count(1_000_000).and_then(|n| u32::try_from(n).ok());
            set(&mut d.config.leaving.max_jobs, count.map(Some))
        },
    },
    Key {
        name: "max_age",
        default: Is("never"),
        expects: "`never` or a duration such as 12h or 7d",
        help: "At this age, counted from its boot, the host drains and leaves",
        apply: |d, v| set(&mut d.config.leaving.max_age, v.duration_or_never()),
    },
    Key {
        name: "spot",
        default: Is("drain"),
        expects: REACTION,
        help: "On a spot interruption. `drain`: no new work; `drain-with-deadline`: and SIGKILL what still runs at the end",
        apply: |d, v| set(&mut d.config.leaving.spot, v.reaction()),
    },
    Key {
        name: "rebalance",
        default: Is("ignore"),
        expects: REACTION,
        help: "On EC2's rebalance recommendation",
        apply: |d, v| set(&mut d.config.leaving.rebalance, v.reaction()),
    },
    Key {
        name: "maintenance",
        default: Is("drain"),
        expects: REACTION,
        help: "On a scheduled event of EC2, such as a retirement or a reboot",
        apply: |d, v| set(&mut d.config.leaving.maintenance, v.reaction()),
    },
    Key {
        name: "maintenance_lead",
        default: Is("60m"),
        expects: "a duration such as 30m or 2h",
        help: "How long before a scheduled event the drain begins",
        apply: |d, v| set(&mut d.config.leaving.maintenance_lead, v.duration()),
    },
    Key {
        name: "scale_in",
        default: Is("drain"),
        expects: REACTION,
        help: "When the Auto Scaling group ends this host. A termination life-cycle hook is kept waiting while jobs run",
        apply: |d, v| set(&mut d.config.leaving.scale_in, v.reaction()),
    },
    Key {
        name: "lifecycle_hook",
        default: Unset("the group's only termination hook, or the first of several, with a warning"),
        expects: "a life-cycle hook's name: 1 to 255 letters, digits or `- _ /`",
        help: "The termination life-cycle hook that waits for this host's jobs; needed where the Auto Scaling group has several",
        apply: |d, v| set(&mut d.config.lifecycle_hook, hook_name(v).map(Some)),
    },
    Key {
        name: "shutdown",
        default: Is("drain"),
        expects: REACTION,
        help: "When the host is shut down or stopped",
        apply: |d, v| set(&mut d.config.leaving.shutdown, v.reaction()),
    },
    Key {
        name: "shutdown_wait",
        default: Is("2m"),
        expects: "a duration such as 90s",
        help: "How long `drain --host-shutdown` holds a shutdown up for jobs to end; less than the unit's TimeoutStopSec",
        apply: |d, v| set(&mut d.config.shutdown_wait, v.duration()),
    },
    Key {
        name: "at_min_size",
        default: Is("stay"),
        expects: "one of stay, replace",
        help: "What a host does that wishes to leave while its Auto Scaling group is at its MinSize; `replace` leaves, and the \
            group starts another",
        apply: |d, v| set(&mut d.config.leaving.at_min_size, v.at_min_size()),
    },
    Key {
        name: "termination_refused",
        default: Is("poweroff"),
        expects: "one of poweroff, rejoin, keep-asking",
        help: "What a host does whose termination is refused in every way: power off, go back to work, or ask for ever",
        apply: |d, v| set(&mut d.config.leaving.refused, v.refused()),
    },
    Key {
        name: "protect_while_busy",
        default: Is("false"),
        expects: "true or false",
        help: "`true` protects the host from its group's scale-in while it has jobs",
        apply: |d, v| set(&mut d.config.leaving.protect_while_busy, v.boolean()),
    },
    Key {
        name: "warn_signal",
        default: Is("SIGTERM"),
        expects: "one of SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT",
        help: "The signal for jobs that ask to be warned and name none; see docs/leaving.md",
        apply: |d, v| set(&mut d.config.leaving.warn_signal, v.text().and_then(|t| t.parse().ok())),
    },
    Key {
        name: "warn_lead",
        default: Is("2m"),
        expects: "a duration such as 90s; 0s is at once",
        help: "How long before the host's end jobs are warned that ask for it and do not say when",
        apply: |d, v| {
            set(&mut d.config.leaving.warn_lead, v.duration().map(|lead| Some(lead).filter(|l| !l.is_zero())))
        },
    },
    Key {
        name: "retries",
        default: Is("withhold"),
        expects: "one of withhold, report",
        help: "`withhold` does not report the failure of a job that the host's end has killed, so that ECS writes `Host EC2 ... \
            terminated` and retry rules match; `report` reports it like any other",
        apply: |d, v| set(&mut d.config.leaving.retries, v.retries()),
    },
    Key {
        name: "docker_down_after",
        default: Is("5m"),
        expects: "`never` or a duration",
        help: "Docker not reachable for this long makes the host sick: it drains and leaves",
        apply: |d, v| set(&mut d.config.leaving.docker_down_after, v.duration_or_never()),
    },
    Key {
        name: "docker_dead_after",
        default: Is("60m"),
        expects: "`never` or a duration",
        help: "Docker not reachable for this long: the jobs under it are given up for lost with the host",
        apply: |d, v| set(&mut d.config.leaving.docker_dead_after, v.duration_or_never()),
    },
    Key {
        name: "acs_gone_after",
        default: Is("30m"),
        expects: "`never` or a duration",
        help: "No session with ECS for this long makes the host sick",
        apply: |d, v| set(&mut d.config.leaving.acs_gone_after, v.duration_or_never()),
    },
    Key {
        name: "disk_full",
        default: Is("98%"),
        expects: "a percentage such as 95%; 100% is never",
        help: "So much of the disk or the inodes in use, where Docker's data or the agent's are, makes the host sick",
        apply: |d, v| set(&mut d.config.disk_full, v.percent(100)),
    },
    Key {
        name: "watch_gpus",
        default: Is("true"),
        expects: "true or false",
        help: "Whether a GPU that is lost, has ECC errors that cannot be corrected or a fatal XID error makes the host sick",
        apply: |d, v| set(&mut d.config.watch_gpus, v.boolean()),
    },
    Key {
        name: "warm_pool_check",
        default: Is("false"),
        expects: "true or false",
        help: "`true` registers only once the Auto Scaling group says `InService`, and waits while it says nothing. A host that \
            the group says is in its warm pool waits in any case",
        apply: |d, v| set(&mut d.config.warm_pool_check, v.boolean()),
    },
    Key {
        name: "notice_interval",
        default: Is("5s"),
        expects: "a duration such as 5s",
        help: "How often the instance metadata service is asked for interruptions",
        apply: |d, v| set(&mut d.config.notice_interval, v.duration().filter(|d| !d.is_zero())),
    },
    Key {
        name: "event_command",
        default: Unset("none"),
        expects: "an absolute path",
        help: "A program that is run for each step of leaving, with the step as JSON on its standard input; see docs/leaving.md",
        apply: |d, v| set(&mut d.config.event_command, v.absolute_path().map(Some)),
    },
    Key {
        name: "event_webhook",
        default: Unset("none"),
        expects: "the address of a server, https://host/path",
        help: "Where each step of leaving is posted as JSON; see docs/leaving.md. It may hold a token or a password, so it is \
            shown nowhere",
        apply: |d, v| set(&mut d.config.event_webhook, v.text().and_then(PostUrl::parse).map(Some)),
    },
];

/// As Auto Scaling has them.
fn hook_name(value: &Value) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    let text = value.text().filter(|text| (1..=255).contains(&text.len()))?;
    text.chars().all(plain).then(|| text.to_owned())
}
