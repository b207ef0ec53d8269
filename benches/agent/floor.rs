//! The floor: the same container, straight through the Docker API.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions, WaitContainerOptions};
use futures_util::{StreamExt, TryStreamExt, stream};

pub(crate) struct Floor {
    docker: Docker,
    next: AtomicU64,
}

/// Seconds since the create was sent.
pub(crate) struct Sample {
    pub(crate) started: f64,
    pub(crate) exited: f64,
}

impl Floor {
    pub(crate) fn connect() -> Result<Self> {
        Ok(Self { docker: Docker::connect_with_local_defaults()?, next: AtomicU64::new(0) })
    }

    /// Creates, starts and awaits one container; removes it outside the measured time.
    pub(crate) async fn one(&self) -> Result<Sample> {
        let (sample, name) = self.run().await?;
        self.remove(&name).await?;
        Ok(sample)
    }

    /// Seconds for `count` containers, at most `concurrency` of them in creation or start at a time.
    pub(crate) async fn many(&self, count: usize, concurrency: usize) -> Result<f64> {
        let begun = Instant::now();
        let names: Vec<String> = stream::iter(0..count)
            .map(|_| async { self.run().await.map(|(_, name)| name) })
            .buffer_unordered(concurrency)
            .try_collect()
            .await?;
        let took = begun.elapsed().as_secs_f64();
        for name in names {
            self.remove(&name).await?;
        }
        Ok(took)
    }

    async fn run(&self) -> Result<(Sample, String)> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("bna-floor-{}-{n}", std::process::id());
        let begun = Instant::now();
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        self.docker.create_container(Some(options), body()).await?;
        self.docker.start_container(&name, None).await?;
        let started = begun.elapsed().as_secs_f64();
        let mut wait = self.docker.wait_container(&name, None::<WaitContainerOptions>);
        let _ = wait.next().await.transpose()?;
        Ok((Sample { started, exited: begun.elapsed().as_secs_f64() }, name))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        Ok(self.docker.remove_container(name, Some(options)).await?)
    }
}

/// As the agent makes it of the bench's job definition.
fn body() -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some("busybox".to_owned()),
        cmd: Some(vec!["true".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some("host".to_owned()),
            cpu_shares: Some(1024),
            memory: Some(64 * 1024 * 1024),
            log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: None }),
            ..Default::default()
        }),
        ..Default::default()
    }
}
