//! The configuration: every mistake is told at once, and the environment wins over the file.

use std::process::Output;

use crate::common::binary;

fn run(command: &str, file: &str, environment: &[(&str, &str)]) -> (Output, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let mut command_line = binary();
    command_line.arg(command).arg("--config").arg(&path).envs(environment.iter().copied());
    (command_line.output().unwrap(), path.display().to_string())
}

#[test]
fn every_mistake_is_told_at_once() {
    let file = "compute_envronment = \"ce\"\nidle_timeout = \"soon\"\nimage_pull_behavior = \"sometimes\"\n\
        docker_host = \"tcp://1.2.3.4:2375\"\ndata_dir = \"relative\"\n";
    let environment = [("BATCH_NODE_AGENT_IDLE_TIMEOT", "5s"), ("BATCH_NODE_AGENT_MEMORY", "much")];
    for command in ["run", "config"] {
        let (output, path) = run(command, file, &environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{said}");
        for expected in [
            "8 mistakes".to_owned(),
            format!("{path}:1: there is no key `compute_envronment`; did you mean `compute_environment`?"),
            format!("{path}:2: `idle_timeout` is `\"soon\"`, which is not"),
            format!("{path}:3: `image_pull_behavior` is `\"sometimes\"`, which is not one of default, always, once"),
            format!("{path}:4: `docker_host` is `\"tcp://1.2.3.4:2375\"`, which is not"),
            format!("{path}:5: `data_dir` is `\"relative\"`, which is not an absolute path"),
            "did you mean `BATCH_NODE_AGENT_IDLE_TIMEOUT`?".to_owned(),
            "BATCH_NODE_AGENT_MEMORY: `memory` is `much`, which is not a whole number".to_owned(),
            "neither `compute_environment` nor `cluster` is set".to_owned(),
        ] {
            assert!(said.contains(&expected), "no {expected:?} in {said}");
        }
        assert_eq!(said.lines().count(), 9, "a line for each, and one before them: {said}");
    }
}

#[test]
fn a_file_that_is_no_toml_and_one_that_is_missing_are_told() {
    let (output, path) = run("run", "cluster = \n[", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains(&format!("{path}:1:")), "{said}");
    let missing = binary().args(["run", "--config", "/nowhere/config.toml"]).output().unwrap();
    let said = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(5), "{said}");
    assert!(said.contains("/nowhere/config.toml: cannot be read"), "{said}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "cluster = \"c\"\nidle_timeout = \"5m\"\nlog_level = \"warn\"\n";
    let environment = [("BATCH_NODE_AGENT_IDLE_TIMEOUT", "90s"), ("AWS_REGION", "eu-central-1")];
    let (output, path) = run("config", file, &environment);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let row = |key: &str| -> Vec<String> {
        let row = shown.lines().find(|line| line.split_whitespace().next() == Some(key));
        row.unwrap_or_else(|| panic!("no {key} in {shown}")).split_whitespace().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(row("idle_timeout"), ["90s", "BATCH_NODE_AGENT_IDLE_TIMEOUT"]);
    assert_eq!(row("log_level"), ["\"warn\"".to_owned(), format!("{path}:3")]);
    assert_eq!(row("region"), ["eu-central-1", "AWS_REGION"]);
    assert_eq!(row("data_dir"), ["/var/lib/batch-node-agent", "default"]);
}

#[test]
fn what_is_not_honoured_is_a_warning_beside_the_table() {
    let environment = [("ECS_ENABLE_TASK_ENI", "true"), ("ECS_NO_SUCH_THING", "1")];
    let (output, _) = run("config", "cluster = \"c\"\n", &environment);
    let (shown, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(shown.starts_with("KEY") && !shown.contains("warning"), "{shown}");
    for variable in ["ECS_ENABLE_TASK_ENI", "ECS_NO_SUCH_THING"] {
        let line =
            said.lines().find(|line| line.contains(variable)).unwrap_or_else(|| panic!("no {variable} in {said}"));
        assert!(line.starts_with("batch-node-agent: warning: "), "{line}");
    }
    let (quiet, _) = run("config", "cluster = \"c\"\n", &[]);
    assert_eq!(String::from_utf8(quiet.stderr).unwrap(), "");
}

/// The systemd unit asks before it starts the agent.
#[test]
fn a_host_that_was_told_nothing_is_told_from_one_that_was_told_wrongly() {
    for (file, code) in
        [("idle_timeout = \"5m\"", 1), ("cluster = \"c\"", 0), ("idle_timeout = \"soon\"", 0), ("x = [", 0)]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let output = binary().args(["config", "--is-set", "--config"]).arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{file}");
        assert!(output.stdout.is_empty(), "{file}");
    }
}
