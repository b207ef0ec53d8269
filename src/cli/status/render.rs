//! The report as people read it.

use std::fmt::Write;

use comfy_table::CellAlignment;
use node_core::LeavingStatus;

use crate::cli::table;
use crate::serve::report::{Container, Gpu, Instance, StatusReport, Task};

/// Who the node is and how it fares, its tasks, and what is still unreported. `now_ms` is the time it was asked at, since
/// the Unix epoch.
pub(super) fn render(report: &StatusReport, now_ms: u64) -> String {
    let mut text = head(report, now_ms);
    text.push('\n');
    if report.tasks.is_empty() {
        text.push_str("No tasks.\n");
    } else {
        text.push_str(&tasks(&report.tasks));
    }
    text.push('\n');
    text.push_str(&unreported(report));
    text
}

fn head(report: &StatusReport, now_ms: u64) -> String {
    let StatusReport { agent, instance, state, host, .. } = report;
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known yet".into());
    let phase = format!("{}, for {}", state.phase, age(now_ms.saturating_sub(state.since_ms)));
    let up = age(now_ms.saturating_sub(agent.started_at_ms));
    let mut rows = vec![
        ("agent", format!("{}, process {}, up {up}", agent.version, agent.pid)),
        ("instance", known(&instance.id)),
        ("region", known(&instance.region)),
        ("cluster", known(&instance.cluster)),
        ("container instance", known(&instance.container_instance)),
        ("state", phase),
        ("alive because", state.why.clone().unwrap_or_else(|| "it does not say".to_owned())),
        ("ACS", if state.acs_connected { "connected" } else { "not connected" }.to_owned()),
        ("docker", state.docker.clone()),
        (
            "host",
            format!(
                "CPU {:.0} %, memory {} of {} MiB, load {:.2}, disk {:.0} %",
                host.cpu_percent, host.memory_used_mib, host.memory_total_mib, host.load_1m, host.disk_used_percent
            ),
        ),
    ];
    rows.extend(state.imds_for_jobs.as_ref().map(|imds| ("IMDS", imds.clone())));
    if state.other_agents_containers > 0 {
        let text =
            format!("{} containers run here, and what they use is offered to jobs too", state.other_agents_containers);
        rows.push(("another ECS agent", text));
    }
    if let Some(gpus) = gpus(instance) {
        rows.push(("GPUs", gpus));
    }
    rows.extend(leaving(&report.leaving, now_ms));
    if let Some(environment) = &instance.compute_environment {
        rows.insert(3, ("environment", environment.clone()));
    }
    rows.into_iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<19} {value}");
        text
    })
}

/// Nothing where nothing is to be told.
fn leaving(leaving: &LeavingStatus, now_ms: u64) -> Vec<(&'static str, String)> {
    let mut rows: Vec<_> = leaving.reasons.iter().map(|reason| ("leaving", reason.to_string())).collect();
    rows.extend(leaving.deadline.as_ref().map(|deadline| {
        let left = age(deadline.at.0.saturating_sub(now_ms));
        let kills = if deadline.kills { "; what still runs then is killed" } else { "" };
        ("deadline", format!("in {left}: {}{kills}", deadline.text))
    }));
    rows.extend(leaving.rung.map(|rung| ("ending the host", rung.to_string())));
    rows.extend(leaving.hold.as_ref().map(|why| ("held", if why.is_empty() { "yes" } else { why }.to_owned())));
    rows.extend(leaving.stays.as_ref().map(|why| ("stays", why.clone())));
    rows.extend((leaving.withheld > 0).then(|| ("withheld", format!("{} failure(s)", leaving.withheld))));
    rows
}

/// `None` on a host without.
fn gpus(instance: &Instance) -> Option<String> {
    let gpu = |gpu: &Gpu| {
        let memory = gpu.memory_mib.map_or_else(String::new, |mib| format!(", {mib} MiB"));
        format!("{} ({}{memory})", gpu.uuid, gpu.name)
    };
    let mut parts: Vec<String> = instance.gpus.iter().map(gpu).collect();
    if let Some(driver) = instance.gpu_driver.as_ref().filter(|_| !parts.is_empty()) {
        parts.push(format!("driver {driver}"));
    }
    parts.extend(instance.gpu_trouble.iter().map(|trouble| format!("not offered: {trouble}")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn tasks(tasks: &[Task]) -> String {
    let mut table = table(["TASK", "JOB", "QUEUE", "ATTEMPT", "STATE", "AGE", "CPU %", "MIB"]);
    for task in tasks {
        let of_job = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let [cpu, memory] = usage(&task.containers);
        table.add_row([
            short(task.id()).to_owned(),
            of_job(&task.job_id),
            of_job(&task.queue),
            of_job(&task.attempt),
            task_state(task),
            age(task.age_ms),
            cpu,
            memory,
        ]);
        if task.containers.len() > 1 {
            for container in &task.containers {
                let [cpu, memory] = usage(std::slice::from_ref(container));
                let name = format!("  {}", container.name);
                let [job, queue, attempt, age] = <[String; 4]>::default();
                let state = container_state(container);
                table.add_row([name, job, queue, attempt, state, age, cpu, memory]);
            }
        }
    }
    for numbers in 5..=7 {
        if let Some(column) = table.column_mut(numbers) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n", table.trim_fmt())
}

/// What is so, and what is wanted where that is something else.
fn task_state(task: &Task) -> String {
    match &task.containers[..] {
        _ if task.desired != task.known => format!("{}, to be {}", task.known, task.desired),
        [only] => format!("{}{}{}", task.known, outcome(only), condition(only)),
        _ => task.known.clone(),
    }
}

fn container_state(container: &Container) -> String {
    format!("{}{}{}{}", container.stage, outcome(container), condition(container), pull(container))
}

/// `, HEALTHY, restarted 2 times`: what its health check says while it runs, and what its restart policy has done.
fn condition(container: &Container) -> String {
    let health = container.health.as_ref().filter(|_| container.exit_code.is_none());
    let health = health.map_or_else(String::new, |health| format!(", {health}"));
    match container.restarts {
        None | Some(0) => health,
        Some(1) => format!("{health}, restarted once"),
        Some(times) => format!("{health}, restarted {times} times"),
    }
}

fn outcome(container: &Container) -> String {
    let code = container.exit_code.map(|code| format!(" ({code})"));
    let reason = container.reason.as_ref().map(|reason| format!(": {reason}"));
    code.unwrap_or_default() + &reason.unwrap_or_default()
}

/// CPU in percent of one CPU, and memory in MiB, of all these containers.
fn usage(containers: &[Container]) -> [String; 2] {
    let sum = |of: fn(&Container) -> Option<f64>| {
        let known: Vec<f64> = containers.iter().filter_map(of).collect();
        let is_known = !known.is_empty();
        if is_known { format!("{:.1}", known.iter().sum::<f64>()) } else { "-".to_owned() }
    };
    [sum(|c| c.cpu_percent), sum(|c| c.memory_mib)]
}

fn unreported(report: &StatusReport) -> String {
    if report.unreported.is_empty() {
        return "Everything is reported to ECS.\n".to_owned();
    }
    let mut text = "Not reported to ECS yet:\n".to_owned();
    for change in &report.unreported {
        let _ = writeln!(text, "  {} {}", short(change.id()), change.status);
    }
    text
}

/// Enough of an id to tell it from the others of a node.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The two largest units of a length: `3m12s`, `2d4h`, `0s`.
fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let largest = units.iter().position(|(_, length)| seconds >= *length).unwrap_or(3);
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, length) in units.into_iter().skip(largest).take(2) {
        let _ = write!(text, "{}{unit}", rest / length);
        rest %= length;
    }
    text
}

/// ` pulling 2/5 layers, 120/400 MiB`: the sum grows while the registry has yet to tell the sizes of layers.
fn pull(container: &Container) -> String {
    let Some(pull) = &container.pull else { return String::new() };
    let mib = |bytes: u64| bytes >> 20;
    let (done, all) = (mib(pull.bytes_done), mib(pull.bytes));
    format!(" pulling {}/{} layers, {done}/{all} MiB", pull.layers_done, pull.layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::report::sample;

    #[test]
    fn an_age_has_two_units() {
        for (ms, expected) in [
            (0, "0s"),
            (59_999, "59s"),
            (60_000, "1m0s"),
            (192_400, "3m12s"),
            (3_600_000, "1h0m"),
            (187_200_000, "2d4h"),
        ] {
            assert_eq!(age(ms), expected);
        }
    }

    #[test]
    fn the_whole_report() {
        let text = render(&sample::report(), 4_192_000);
        let expected = "\
agent               0.1.0, process 4242, up 53m12s
instance            i-0abc
region              us-east-1
environment         ce
cluster             ce_Batch
container instance  not known yet
state               Draining, for 3m12s
alive because       idle for 10m
ACS                 connected
docker              up
host                CPU 51 %, memory 1536 of 7680 MiB, load 0.42, disk 40 %

TASK          JOB                                   QUEUE  ATTEMPT  STATE                                      AGE  CPU %   MIB
0f1e2d3c4b5a  7c9e6679-7425-40de-944b-e07fc1f90ae7  main   1        RUNNING                                  3m12s   99.4  12.3
a0b1c2d3e4f5  7c9e6679-7425-40de-944b-e07fc1f90ae7  main   2        RUNNING, to be STOPPED                      0s   99.4  12.3
  default                                                           Running, UNHEALTHY, restarted 2 times            99.4  12.3
  sidecar                                                           Stopped (137): OutOfMemoryError: killed             -     -

Not reported to ECS yet:
  ffff0000ffff STOPPED
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_single_container_shows_its_condition_with_its_task() {
        let mut task = sample::report().tasks.remove(0);
        task.containers[0].health = Some("HEALTHY".into());
        task.containers[0].restarts = Some(1);
        assert_eq!(task_state(&task), "RUNNING, HEALTHY, restarted once");
        (task.desired, task.known, task.containers[0].exit_code) = ("STOPPED".into(), "STOPPED".into(), Some(3));
        assert_eq!(task_state(&task), "STOPPED (3), restarted once");
    }

    #[test]
    fn a_node_that_leaves_says_why_and_when() {
        use node_core::{Cause, Deadline, DrainReason, SpotAction, Timestamp};
        let mut report = sample::report();
        let at = Timestamp(120_000);
        let reason = DrainReason::Spot { action: SpotAction::Stop, at };
        report.leaving.deadline = Some(Deadline { at, cause: Cause::Spot, text: reason.to_string(), kills: true });
        report.leaving.reasons = vec![reason];
        report.leaving.hold = Some("a debugger".into());
        let text = render(&report, 60_000);
        for line in [
            "leaving             spot interruption (stop)\n",
            "deadline            in 1m0s: spot interruption (stop); what still runs then is killed\n",
            "held                a debugger\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn what_jobs_reach_and_who_else_is_here_is_told_where_there_is_something_to_tell() {
        let mut report = sample::report();
        report.state.imds_for_jobs = Some("blocked for jobs".into());
        report.state.other_agents_containers = 2;
        let text = render(&report, 4_192_000);
        assert!(text.contains("IMDS                blocked for jobs\n"), "{text}");
        assert!(text.contains("another ECS agent   2 containers run here"), "{text}");
        assert!(!render(&sample::report(), 4_192_000).contains("IMDS"));
    }

    #[test]
    fn a_node_without_work_says_so() {
        let mut report = sample::report();
        report.tasks.clear();
        report.unreported.clear();
        let text = render(&report, 0);
        assert!(text.ends_with("\n\nNo tasks.\n\nEverything is reported to ECS.\n"), "{text}");
    }
}
