//! SIGHUP: the configuration is read again, and what can change without a restart does.

use std::sync::Arc;

use super::{Agent, images, policy, tell};
use crate::config::{self, Changes, Config};
use crate::docker::registry::Registries;
use crate::logging;

impl Agent {
    pub(super) fn reload(&mut self) {
        self.systemd.reloading();
        match self.settings.read_again(config::environment()) {
            Ok((mut config, changes)) => {
                self.overrides.clone().apply(&mut config);
                self.take_over(config, &changes);
                self.unread = None;
                tell_changes(&changes);
            }
            Err(error) => {
                let error = error.in_one_line();
                tracing::error!("the old configuration stays in force: {error}");
                self.unread = Some(error);
            }
        }
        self.systemd.reloaded();
    }

    fn take_over(&mut self, config: Config, changes: &Changes) {
        let has = |key: &str| changes.taken.contains(&key);
        self.node.reconfigure(policy(&config), images::policy(&config));
        self.docker = self.docker.clone().with_limits(config.image_limits, config.container_limits);
        if has("registry_auth_type") || has("registry_auth_data") {
            self.registries = Arc::new(Registries::new(config.registries.clone(), self.credentials.clone()));
        }
        if has("event_command") || has("event_webhook") {
            self.listeners = tell::Listeners::start(&config);
        }
        logging::set_level(&config.log_level);
        config.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
        self.config = Arc::new(config);
        self.newest.send_replace(Arc::clone(&self.config));
    }

    /// A line for `systemctl status`.
    pub(super) fn in_short(&self) -> String {
        let node = self.node.status(self.clock.now());
        let jobs = node.tasks.iter().filter(|task| task.stopped_at.is_none()).count();
        let mut text = format!("{}: {}; {jobs} {}", node.phase, node.why, if jobs == 1 { "job" } else { "jobs" });
        if !node.docker_up {
            text.push_str("; Docker cannot be reached");
        }
        if let Some(error) = &self.unread {
            text.push_str("; not reloaded: ");
            text.push_str(error);
        }
        text
    }
}

fn tell_changes(Changes { taken, left }: &Changes) {
    let list = |keys: &[&str]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
    tracing::info!("the configuration was read again; changed: {}", list(taken));
    if !left.is_empty() {
        tracing::warn!("a restart is needed to change {}", left.join(", "));
    }
}
