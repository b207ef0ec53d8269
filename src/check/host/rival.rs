//! amazon-ecs-agent beside us: two agents would register one host twice, and each would stop the other's tasks.

use super::super::{Context, Outcome};

const PROCESSES: [&str; 2] = ["amazon-ecs-init", "amazon-ecs-agent"];
/// The container that ecs-init runs the agent in.
pub(in crate::check) const CONTAINER: &str = "ecs-agent";

/// `in_docker`: whether its container runs, where Docker tells.
pub(in crate::check) fn running(context: &Context, in_docker: Option<bool>) -> Outcome {
    if in_docker == Some(true) {
        return Outcome::failure(format!("amazon-ecs-agent runs in Docker, as container {CONTAINER}"));
    }
    let processes = std::fs::read_dir(context.path("/proc")).into_iter().flatten().flatten();
    let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let found = commands.filter_map(|command| program(&command)).find(|name| PROCESSES.contains(&name.as_str()));
    match (found, in_docker) {
        (Some(name), _) => Outcome::failure(format!("{name} runs on this host")),
        (None, Some(_)) => Outcome::ok("amazon-ecs-agent does not run here"),
        (None, None) => Outcome::ok("no process of amazon-ecs-agent; Docker could not be asked for its container"),
    }
}

/// The program's name in a process's command line.
fn program(command: &[u8]) -> Option<String> {
    let first = command.split(|byte| *byte == 0).next()?;
    let name = first.rsplit(|byte| *byte == b'/').next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn it_is_known_by_its_process_or_its_container() {
        let root = tempfile::tempdir().unwrap();
        let context = Context::below(root.path());
        assert_eq!(running(&context, Some(false)).status, Status::Ok);
        assert_eq!(running(&context, Some(true)).status, Status::Failure);
        std::fs::create_dir_all(root.path().join("proc/77")).unwrap();
        let cmdline = root.path().join("proc/77/cmdline");
        std::fs::write(&cmdline, "/bin/grep\0amazon-ecs-init\0").unwrap();
        assert_eq!(running(&context, None).status, Status::Ok);
        std::fs::write(&cmdline, "/usr/libexec/amazon-ecs-init\0start\0").unwrap();
        assert!(running(&context, None).found.contains("amazon-ecs-init"));
    }
}
