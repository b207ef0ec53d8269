//! A launched node's directory and the configuration of its agent.

use std::io;
use std::path::PathBuf;

use crate::config::PlaneConfig;
use crate::ids::Ec2Id;

/// A node's agent removes its stopped containers after so long.
const TASK_CLEANUP_WAIT: &str = "1m";

const SOCKET: &str = "agent.sock";

/// Where a node keeps things: `<data dir>/nodes/<instance id>/`.
pub(crate) struct NodeFiles {
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
}

fn dir(plane: &PlaneConfig, id: &Ec2Id) -> io::Result<PathBuf> {
    std::path::absolute(plane.data_dir.join("nodes").join(id.as_str()))
}

/// The admin socket of a node's agent; `None` where the present directory cannot be told.
pub(crate) fn socket(plane: &PlaneConfig, id: &Ec2Id) -> Option<PathBuf> {
    dir(plane, id).ok().map(|dir| dir.join(SOCKET))
}

/// Writes the directory and `config.toml`.
pub(crate) async fn prepare(plane: &PlaneConfig, id: &Ec2Id, environment: &str) -> io::Result<NodeFiles> {
    let dir = dir(plane, id)?;
    tokio::fs::create_dir_all(&dir).await?;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let node = &plane.node;
    let mut lines = vec![
        ("compute_environment", quoted(environment)),
        ("region", quoted(&plane.region)),
        ("data_dir", quoted(&text(dir.join("data")))),
        ("admin_socket", quoted(&text(dir.join(SOCKET)))),
        ("image_pull_behavior", quoted(node.image_pull_behavior.as_deref().unwrap_or("prefer-cached"))),
        ("task_cleanup_wait", quoted(TASK_CLEANUP_WAIT)),
        // Harmless on a laptop, and within reach of jobs on the host's network, as all of the plane's are.
        ("task_endpoint", quoted("loopback:0")),
        // Nodes share one machine: only a single one may have its GPUs.
        ("gpus", quoted(if node.gpus > 0 { "all" } else { "none" })),
    ];
    let optional = [
        ("idle_timeout", node.idle_timeout.as_deref().map(quoted)),
        ("docker_host", plane.docker_host.as_deref().map(quoted)),
        ("cpu", node.vcpus.map(|n| n.to_string())),
        ("memory", node.memory_mib.map(|n| n.to_string())),
        ("log_format", node.log_format.as_deref().map(quoted)),
    ];
    lines.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let toml: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let files = NodeFiles { config: dir.join("config.toml"), log: dir.join("agent.log") };
    tokio::fs::write(&files.config, toml).await?;
    Ok(files)
}

/// A TOML basic string. JSON's escapes are all TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeTemplate;

    #[tokio::test]
    async fn the_file_holds_what_the_template_says() {
        let dir = tempfile::tempdir().unwrap();
        let plane = PlaneConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            region: "us-east-1".into(),
            max_nodes: 1,
            node: NodeTemplate {
                vcpus: Some(2.0),
                memory_mib: Some(512),
                idle_timeout: Some("10s".into()),
                ..NodeTemplate::default()
            },
            data_dir: dir.path().into(),
            docker_host: None,
            credentials_lifetime: None,
            frames: None,
        };
        let files = prepare(&plane, &Ec2Id("i-1".into()), "my \"ce\"").await.unwrap();
        let text = std::fs::read_to_string(files.config).unwrap();
        assert!(text.contains("compute_environment = \"my \\\"ce\\\"\"\n"), "{text}");
        assert!(text.contains("cpu = 2\nmemory = 512\n") && text.contains("idle_timeout = \"10s\"\n"), "{text}");
        assert!(!text.contains("docker_host") && text.contains("gpus = \"none\"\n"), "{text}");
    }
}
