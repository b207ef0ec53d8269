//! The settings themselves.

use super::context::Settings;
use super::{Context, Outcome};

/// An image may leave the compute environment to user data.
pub(super) fn valid(context: &Context) -> Outcome {
    judge(&context.settings, context.bake)
}

fn judge(settings: &Settings, bake: bool) -> Outcome {
    match (&settings.mistakes, &settings.config) {
        (None, Some(config)) if config.remarks.is_empty() => Outcome::ok("no mistakes"),
        (None, Some(config)) => Outcome::warning(config.remarks.join("; ")),
        (Some(_), Some(_)) if bake => {
            Outcome::ok("no mistakes; the compute environment is left to user data (/etc/batch-node-agent/environment)")
        }
        (Some(_), Some(_)) => Outcome::failure("neither a compute environment nor a cluster is set").fix(
            "write BATCH_NODE_AGENT_COMPUTE_ENVIRONMENT=<name> to /etc/batch-node-agent/environment, or compute_environment = \"<name>\" to /etc/batch-node-agent/config.toml",
        ),
        (mistakes, None) => Outcome::failure(mistakes.clone().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_compute_environment_may_be_missing_from_an_image_only() {
        let whole = Context::below(std::path::Path::new("/nowhere")).settings;
        assert_eq!(judge(&whole, false).status, Status::Ok);
        let homeless = Settings { mistakes: Some("no home".into()), ..whole };
        assert_eq!(judge(&homeless, true).status, Status::Ok);
        assert_eq!(judge(&homeless, false).status, Status::Failure);
        let broken = Settings { config: None, mistakes: Some("region: must be a region".into()), home: None };
        assert!(judge(&broken, true).found.contains("must be a region"));
    }
}
