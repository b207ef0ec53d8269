//! A job beside a host: what is missing, and by how much. Pure.

use super::super::Outcome;
use super::ask::{Ask, Kind, Volume};
use super::needs::{Need, needs};
use super::offer::Offer;

type Row = (&'static str, Outcome);

pub(super) fn compare(ask: &Ask, offer: &Offer) -> Vec<Row> {
    let kind = kind(ask.kind);
    if ask.kind != Kind::Container {
        return vec![("job.kind", kind)];
    }
    let mut rows = vec![
        ("job.kind", kind),
        ("job.platform", platform(ask)),
        ("job.architecture", architecture(ask, offer)),
        ("job.vcpus", vcpus(ask, offer)),
        ("job.memory", memory(ask, offer)),
        ("job.gpus", gpus(ask, offer)),
    ];
    rows.extend(attributes(ask, offer).into_iter().map(|outcome| ("job.attributes", outcome)));
    rows
}

fn kind(kind: Kind) -> Outcome {
    match kind {
        Kind::Container => Outcome::ok("a container job"),
        Kind::MultiNode => {
            Outcome::failure("a multi-node parallel job: Batch runs those in MANAGED compute environments only")
        }
        Kind::Eks => Outcome::failure("an EKS job: it goes to a cluster of Kubernetes"),
    }
}

fn platform(ask: &Ask) -> Outcome {
    match (ask.fargate, ask.system.as_deref()) {
        (Some(why), _) => Outcome::failure(format!("for Fargate only: it has {why}")),
        (None, Some(system)) if !system.eq_ignore_ascii_case("LINUX") => {
            Outcome::failure(format!("runtimePlatform wants {system}, and this is Linux"))
                .fix("set operatingSystemFamily to LINUX, or leave it out")
        }
        _ => Outcome::ok("EC2, Linux"),
    }
}

fn architecture(ask: &Ask, offer: &Offer) -> Outcome {
    let here = offer.architecture;
    match &ask.architecture {
        Some(wanted) if !wanted.eq_ignore_ascii_case(here) => {
            Outcome::failure(format!("it wants {wanted}, and this host is {here}"))
        }
        Some(_) => Outcome::ok(here),
        None => Outcome::ok(format!("it does not say; this host is {here}, and its image must be, too")),
    }
}

fn vcpus(ask: &Ask, offer: &Offer) -> Outcome {
    let (asked, offered) = (ask.cpu_shares(), offer.cpu_shares);
    let vcpus = |shares: i64| shares as f64 / 1024.0;
    match offered - asked {
        short if short < 0 => Outcome::failure(format!(
            "short by {} vCPU: it asks for {}, this host offers {}",
            vcpus(-short),
            vcpus(asked),
            vcpus(offered)
        )),
        _ => Outcome::ok(format!("{} of {}", vcpus(asked), vcpus(offered))),
    }
}

fn memory(ask: &Ask, offer: &Offer) -> Outcome {
    let (asked, offered) = (ask.memory_mib(), offer.memory_mib);
    match offered - asked {
        short if short < 0 => Outcome::failure(format!(
            "short by {} MiB: it asks for {asked} MiB, this host offers {offered} MiB",
            -short
        ))
        .fix(format!(
            "lower the job's memory to {offered} MiB or less, use a larger instance, or lower `reserved_memory`"
        )),
        _ => Outcome::ok(format!("{asked} of {offered} MiB")),
    }
}

fn gpus(ask: &Ask, offer: &Offer) -> Outcome {
    match (ask.gpus(), offer.gpus, &offer.gpu_trouble) {
        (0, _, _) => Outcome::ok("it asks for none"),
        (asked, offered, _) if asked <= offered => Outcome::ok(format!("{asked} of {offered}")),
        (asked, offered, Some(trouble)) => {
            Outcome::failure(format!("it asks for {asked}, this host offers {offered}: {trouble}"))
                .fix("mend agent.gpus of `batch-node-agent check`")
        }
        (asked, offered, None) => Outcome::failure(format!("it asks for {asked}, this host offers {offered}")),
    }
}

/// One for each that is missing; a single one if none is.
fn attributes(ask: &Ask, offer: &Offer) -> Vec<Outcome> {
    let needs = needs(ask);
    let count = needs.len();
    let missing: Vec<Outcome> =
        needs.into_iter().filter(|need| !offer.attributes.contains(&need.attribute)).map(missing).collect();
    match missing.is_empty() {
        true => vec![Outcome::ok(format!("this host registers what it needs ({count})"))],
        false => missing,
    }
}

fn missing(Need { attribute, because, fix }: Need) -> Outcome {
    Outcome::failure(format!("this host does not register {attribute} ({because})")).fix(fix)
}

/// What it mounts of this host. `exists` says whether a path is there.
pub(super) fn paths(ask: &Ask, exists: impl Fn(&str) -> bool) -> Outcome {
    let devices = ask.containers.iter().flat_map(|container| container.devices.iter());
    if let Some(absent) = devices.clone().find(|device| !exists(device)) {
        return Outcome::failure(format!("it would come here and not start: this host has no device {absent}"));
    }
    let directories = ask.volumes.iter().filter_map(|volume| match volume {
        Volume::Host(path) => Some(path),
        _ => None,
    });
    match directories.clone().find(|path| !exists(path)) {
        Some(absent) => {
            Outcome::warning(format!("{absent} is not there: it would find an empty directory that Docker makes"))
        }
        None if directories.clone().count() + devices.count() == 0 => Outcome::ok("it mounts nothing of the host"),
        None => Outcome::ok("all that it mounts is there"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::super::ask::Container;
    use super::*;

    fn offer() -> Offer {
        Offer {
            cpu_shares: 4096,
            memory_mib: 16_177,
            attributes: ["com.amazonaws.ecs.capability.logging-driver.awslogs".to_owned()].into(),
            architecture: "X86_64",
            ..Offer::default()
        }
    }

    fn ask(container: Container) -> Ask {
        Ask { containers: vec![Container { vcpus: 1.0, ..container }], ..Ask::default() }
    }

    /// The ids of what fails.
    fn failing(ask: &Ask) -> Vec<&'static str> {
        let rows = compare(ask, &offer());
        rows.into_iter().filter(|(_, outcome)| outcome.status == Status::Failure).map(|(id, _)| id).collect()
    }

    #[test]
    fn a_job_that_fits_is_placed() {
        assert_eq!(failing(&ask(Container { memory_mib: 16_177, vcpus: 4.0, ..Container::default() })), [""; 0]);
    }

    #[test]
    fn memory_is_short_by_a_number() {
        let big = ask(Container { memory_mib: 16_384, ..Container::default() });
        assert_eq!(failing(&big), ["job.memory"]);
        let outcome = memory(&big, &offer());
        assert_eq!(outcome.found, "short by 207 MiB: it asks for 16384 MiB, this host offers 16177 MiB");
        assert!(outcome.fix.is_some_and(|fix| fix.contains("16177 MiB or less")));
    }

    #[test]
    fn the_containers_of_a_task_count_together() {
        let one = Container { memory_mib: 9_000, vcpus: 2.25, ..Container::default() };
        let two = Ask { containers: vec![one.clone(), one], ..Ask::default() };
        assert_eq!(failing(&two), ["job.vcpus", "job.memory"]);
        assert!(vcpus(&two, &offer()).found.starts_with("short by 0.5 vCPU: it asks for 4.5"));
    }

    #[test]
    fn gpus_say_why_they_are_not_offered() {
        let job = ask(Container { gpus: 2, ..Container::default() });
        assert_eq!(failing(&job), ["job.gpus"]);
        let broken = Offer { gpu_trouble: Some("no NVML".into()), ..offer() };
        assert!(gpus(&job, &broken).found.contains("no NVML"));
        assert_eq!(gpus(&job, &Offer { gpus: 2, ..offer() }).status, Status::Ok);
    }

    #[test]
    fn each_missing_attribute_is_a_line() {
        let job = ask(Container { privileged: true, log_driver: Some("splunk".into()), ..Container::default() });
        assert_eq!(failing(&job), ["job.attributes", "job.attributes"]);
        let found: Vec<String> = attributes(&job, &offer()).into_iter().map(|outcome| outcome.found).collect();
        assert!(found[0].contains("logging-driver.splunk") && found[1].contains("privileged-container"), "{found:?}");
    }

    #[test]
    fn what_never_comes_to_such_a_host_is_said_first() {
        assert_eq!(failing(&Ask { kind: Kind::MultiNode, ..Ask::default() }), ["job.kind"]);
        assert_eq!(failing(&Ask { kind: Kind::Eks, ..Ask::default() }), ["job.kind"]);
        let fargate = Ask { fargate: Some("networkConfiguration"), ..ask(Container::default()) };
        assert_eq!(failing(&fargate), ["job.platform"]);
        let windows = Ask { system: Some("WINDOWS_SERVER_2022_CORE".into()), ..ask(Container::default()) };
        assert_eq!(failing(&windows), ["job.platform"]);
        let arm = Ask { architecture: Some("ARM64".into()), ..ask(Container::default()) };
        assert_eq!(failing(&arm), ["job.architecture"]);
    }

    #[test]
    fn paths_of_the_host_are_looked_for() {
        let job = |volume, device: Option<&str>| Ask {
            volumes: vec![volume],
            ..ask(Container { devices: device.map(str::to_owned).into_iter().collect(), ..Container::default() })
        };
        let there = |path: &str| path == "/scratch" || path == "/dev/fuse";
        let status = |ask: &Ask| paths(ask, there).status;
        assert_eq!(status(&job(Volume::Host("/scratch".into()), Some("/dev/fuse"))), Status::Ok);
        assert_eq!(status(&job(Volume::Host("/mnt/efs".into()), None)), Status::Warning);
        assert_eq!(status(&job(Volume::Empty, Some("/dev/nvme9"))), Status::Failure);
        assert_eq!(status(&job(Volume::Empty, None)), Status::Ok);
    }
}
