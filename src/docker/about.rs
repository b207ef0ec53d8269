//! What the daemon tells of itself to someone who examines the host.

use bollard::query_parameters::ListContainersOptions;
use node_core::OpFailure;

use super::Docker;
use super::client::INFO_LIMIT;
use super::failure::{limited, names};

/// What of `docker info` matters to a Batch host. Empty where the daemon does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) storage_driver: String,
    pub(crate) cgroup_driver: String,
    /// `1` or `2`.
    pub(crate) cgroup_version: String,
    pub(crate) log_drivers: Vec<String>,
    pub(crate) live_restore: bool,
    pub(crate) limits_memory: bool,
    pub(crate) limits_swap: bool,
    pub(crate) root_dir: String,
    pub(crate) warnings: Vec<String>,
}

impl Docker {
    pub(crate) async fn about(&self) -> Result<About, OpFailure> {
        const NAME: &str = "CannotDescribeContainerError";
        let info =
            limited("info", INFO_LIMIT, async { self.api.info().await.map_err(|e| self.failed(NAME, &e)) }).await?;
        let text = |value: Option<String>| value.unwrap_or_default();
        Ok(About {
            storage_driver: text(info.driver),
            cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
            cgroup_version: info.cgroup_version.map(|version| version.to_string()).unwrap_or_default(),
            log_drivers: info.plugins.and_then(|plugins| plugins.log).unwrap_or_default(),
            live_restore: info.live_restore_enabled.unwrap_or_default(),
            limits_memory: info.memory_limit.unwrap_or_default(),
            limits_swap: info.swap_limit.unwrap_or_default(),
            root_dir: text(info.docker_root_dir),
            warnings: info.warnings.unwrap_or_default(),
        })
    }

    /// Whether the daemon holds an image of this name.
    pub(crate) async fn holds_image(&self, image: &str) -> Result<bool, OpFailure> {
        self.held(image).await.map(|held| held.is_some())
    }

    /// Whether a container of this very name runs.
    pub(crate) async fn runs_container(&self, name: &str) -> Result<bool, OpFailure> {
        let filters = [("name".to_owned(), vec![format!("^/{name}$")])];
        let running = ListContainersOptions { filters: Some(filters.into()), ..Default::default() };
        let found = limited("listed", INFO_LIMIT, async {
            self.api.list_containers(Some(running)).await.map_err(|e| self.failed(names::LIST, &e))
        });
        found.await.map(|found| !found.is_empty())
    }
}
