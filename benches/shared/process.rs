//! The process under measurement.

use std::path::Path;

use anyhow::{Result, bail};

/// The one child of this process that runs the agent. `data_dir` is where to look when there is none.
pub(crate) fn agent_pid(data_dir: &Path) -> Result<u32> {
    let me = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if stat.contains("(batch-node-agen") && parent == Some(me.as_str()) {
            return Ok(pid);
        }
    }
    bail!("the agent's process is not there; see {}", data_dir.display())
}
