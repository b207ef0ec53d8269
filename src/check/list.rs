//! Every check, in the order of the report.

use futures_util::FutureExt;

use super::cloud::{batch, clock, ecs, either, iam, instance};
use super::host::{disk, kernel, rival, users};
use super::image::{identity, images, units};
use super::{Check, Context, Outcome, Scope, agent, blocking, configuration, docker};
use crate::docker::About;

/// A look that may end early, because what it needs is not there.
macro_rules! asked {
    ($look:path) => {
        |context| async move { either($look(&context).await) }.boxed()
    };
}

pub(super) const ALL: &[Check] = &[
    Check {
        id: "config.valid",
        means: "The configuration, with what `batch-node-agent.service` reads from /etc/batch-node-agent/environment. An image may leave the compute environment to user data",
        fix: "mend what is named; `batch-node-agent config` shows where each value was set",
        scope: Scope::Both,
        run: |c| blocking(move || configuration::valid(&c)),
    },
    Check {
        id: "docker.installed",
        means: "Whether dockerd is there at all",
        fix: "install Docker Engine 20.10 or newer: docker on Amazon Linux, docker.io on Debian and Ubuntu",
        scope: Scope::Image,
        run: |c| blocking(move || docker::installed(&c)),
    },
    Check {
        id: "docker.enabled",
        means: "docker.service or docker.socket is enabled, so that Docker is there after a boot",
        fix: "systemctl enable docker.service",
        scope: Scope::Image,
        run: |c| blocking(move || units::docker(&c)),
    },
    Check {
        id: "docker.reachable",
        means: "Docker answers at `docker_host`, and speaks Engine API 1.41 or newer. Nothing runs on this host without",
        fix: "systemctl start docker; and see that `docker_host` names its socket",
        scope: Scope::Both,
        run: |c| async move { docker::reachable(&c).await }.boxed(),
    },
    Check {
        id: "docker.permission",
        means: "The unit's user `batch-node-agent` may use Docker's socket: it belongs to the group `docker`, as whose member the unit runs",
        fix: "set \"group\": \"docker\" in /etc/docker/daemon.json, or SocketGroup=docker in docker.socket, and restart it",
        scope: Scope::Both,
        run: |c| blocking(move || docker::permission(&c)),
    },
    Check {
        id: "docker.storage",
        means: "The storage driver is one of overlay2, overlayfs, btrfs and zfs: others are slow or no longer maintained",
        fix: "set \"storage-driver\": \"overlay2\" in /etc/docker/daemon.json and restart Docker; its images are pulled anew",
        scope: Scope::Both,
        run: |c| async move { told(&c, docker::storage).await }.boxed(),
    },
    Check {
        id: "docker.cgroups",
        means: "Docker and this machine use the same version of control groups, with the controllers that telemetry reads; on version 2, Docker's cgroup driver is systemd",
        fix: "boot with the controllers cpu and memory on",
        scope: Scope::Both,
        run: |c| {
            async move { told(&c, |about| docker::cgroups(about, kernel::is_unified(&c), kernel::controllers(&c))).await }.boxed()
        },
    },
    Check {
        id: "docker.limits",
        means: "Docker can limit the memory and the swap of containers",
        fix: "turn on what is named",
        scope: Scope::Both,
        run: |c| async move { told(&c, docker::limits).await }.boxed(),
    },
    Check {
        id: "docker.log-drivers",
        means: "The log drivers that jobs are offered. Batch gives `awslogs` to every job that does not choose another one: without it such jobs stay RUNNABLE",
        fix: "use a Docker Engine that has awslogs built in, as those of Docker, Amazon, Debian and Ubuntu have",
        scope: Scope::Both,
        run: |c| {
            async move {
                let offered = c.settings.config.as_ref().and_then(|config| config.logging_drivers.clone());
                told(&c, |about| docker::log_drivers(about, offered.as_deref())).await
            }
            .boxed()
        },
    },
    Check {
        id: "docker.live-restore",
        means: "live-restore: containers go on running while Docker is restarted, for an upgrade for one",
        fix: "set \"live-restore\": true in /etc/docker/daemon.json and `systemctl reload docker`",
        scope: Scope::Both,
        run: |c| async move { told(&c, docker::live_restore).await }.boxed(),
    },
    Check {
        id: "docker.warnings",
        means: "What Docker itself warns of in `docker info`",
        fix: "as Docker says",
        scope: Scope::Both,
        run: |c| async move { told(&c, docker::warnings).await }.boxed(),
    },
    Check {
        id: "host.kernel",
        means: "The kernel is Linux 4.14 or newer",
        fix: "use an image with a newer kernel",
        scope: Scope::Both,
        run: |c| blocking(move || kernel::release(&c)),
    },
    Check {
        id: "host.disk-data",
        means: "Space and inodes of the disk of `data_dir`. At `disk_full` the host counts as sick and leaves",
        fix: "make room, or use a larger volume",
        scope: Scope::Both,
        run: |c| {
            blocking(move || match c.config() {
                Ok(config) => disk::room(&config.data_dir, config.disk_full),
                Err(skipped) => skipped,
            })
        },
    },
    Check {
        id: "host.disk-docker",
        means: "Likewise of the disk of Docker's data, where images and what containers write are",
        fix: "make room (`docker system df`, `docker system prune`), or use a larger volume",
        scope: Scope::Both,
        run: |c| {
            async move {
                let full = c.settings.config.as_ref().map_or(100, |config| config.disk_full);
                match c.daemon().await {
                    Ok(daemon) => {
                        let root = daemon.about.root_dir.clone();
                        blocking(move || disk::room(root.as_ref(), full)).await
                    }
                    Err(skipped) => skipped,
                }
            }
            .boxed()
        },
    },
    Check {
        id: "host.swap",
        means: "Swap, which jobs with `maxSwap` use",
        fix: "nothing is to be mended",
        scope: Scope::Host,
        run: |c| blocking(move || kernel::swap(&c)),
    },
    Check {
        id: "host.open-files",
        means: "How many files dockerd may have open: 65536 or more",
        fix: "set LimitNOFILE=1048576 in a drop-in of docker.service, and restart it",
        scope: Scope::Both,
        run: |c| blocking(move || kernel::open_files(&c)),
    },
    Check {
        id: "host.ecs-agent",
        means: "amazon-ecs-agent does not run beside this agent: both would register the host, and each would stop the other's tasks",
        fix: "systemctl disable --now ecs.service && systemctl mask ecs.service",
        scope: Scope::Host,
        run: |c| {
            async move {
                let in_docker = match c.docker().await {
                    Ok(daemon) => daemon.docker.runs_container(rival::CONTAINER).await.ok(),
                    Err(_) => None,
                };
                blocking(move || rival::running(&c, in_docker)).await
            }
            .boxed()
        },
    },
    Check {
        id: "aws.region",
        means: "The AWS region: `region`, AWS_REGION, or what the instance metadata service says",
        fix: "set `region`",
        scope: Scope::Host,
        run: asked!(instance::region),
    },
    Check {
        id: "aws.credentials",
        means: "There are credentials: those of the instance's role",
        fix: "give the instance an instance profile with the role of docs/leaving.md",
        scope: Scope::Host,
        run: asked!(instance::credentials),
    },
    Check {
        id: "aws.clock",
        means: "This host's clock against the `Date` of an answer of ECS: AWS refuses what is signed 5 minutes off",
        fix: "run chronyd with Amazon's time service (server 169.254.169.123), then `chronyc makestep`",
        scope: Scope::Host,
        run: asked!(clock::skew),
    },
    Check {
        id: "imds.reachable",
        means: "The instance metadata service answers in its version 2",
        fix: "aws ec2 modify-instance-metadata-options --instance-id <id> --http-endpoint enabled",
        scope: Scope::Host,
        run: asked!(instance::reachable),
    },
    Check {
        id: "imds.identity",
        means: "The instance's signed identity document, which ECS takes with a registration",
        fix: "see that no proxy or firewall stands before http://169.254.169.254",
        scope: Scope::Host,
        run: asked!(instance::identity),
    },
    Check {
        id: "imds.options",
        means: "IMDSv1 is off, and the hop limit is 2 or more, where the role may ask EC2 for it. Jobs on a bridge network need 2; those on the host's network, as Batch's own are, need 1",
        fix: "aws ec2 modify-instance-metadata-options --instance-id <id> --http-put-response-hop-limit 2, if jobs on a bridge network need it",
        scope: Scope::Host,
        run: asked!(instance::options),
    },
    Check {
        id: "batch.compute-environment",
        means: "The compute environment exists, and is UNMANAGED, VALID and ENABLED",
        fix: "aws batch describe-compute-environments",
        scope: Scope::Host,
        run: asked!(batch::environment),
    },
    Check {
        id: "batch.queues",
        means: "At least one job queue that is ENABLED and VALID feeds the compute environment",
        fix: "aws batch describe-job-queues",
        scope: Scope::Host,
        run: asked!(batch::queues),
    },
    Check {
        id: "ecs.cluster",
        means: "The compute environment's ECS cluster is ACTIVE",
        fix: "create the compute environment again; do not delete its cluster by hand",
        scope: Scope::Host,
        run: asked!(ecs::cluster),
    },
    Check {
        id: "ecs.poll-endpoint",
        means: "DiscoverPollEndpoint: ECS answers, and says where ACS (jobs) and TCS (telemetry) are",
        fix: "see that this host reaches ECS: route, security group, VPC endpoint com.amazonaws.<region>.ecs, https_proxy",
        scope: Scope::Host,
        run: asked!(ecs::poll_endpoint),
    },
    Check {
        id: "ecs.acs",
        means: "A connection to ACS, with TLS and through the proxy that is set; no websocket is opened",
        fix: "see that this host reaches it: route, security group, VPC endpoint com.amazonaws.<region>.ecs-agent, https_proxy, ca_bundle",
        scope: Scope::Host,
        run: asked!(ecs::acs),
    },
    Check {
        id: "ecs.tcs",
        means: "Likewise to TCS",
        fix: "see that this host reaches it: route, security group, VPC endpoint com.amazonaws.<region>.ecs-telemetry, https_proxy, ca_bundle",
        scope: Scope::Host,
        run: asked!(ecs::tcs),
    },
    Check {
        id: "iam.TerminateInstances",
        means: "The host ends itself by it. Tried by a dry run",
        fix: "allow ec2:TerminateInstances to the instance's role, for itself alone: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::terminate),
    },
    Check {
        id: "iam.DescribeTags",
        means: "Only where `propagate_tags_from` is `ec2_instance`",
        fix: "allow ec2:DescribeTags to the instance's role: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::describe_tags),
    },
    Check {
        id: "iam.DescribeAutoScalingInstances",
        means: "Whether the host is in a group, which decides how it leaves",
        fix: "allow autoscaling:DescribeAutoScalingInstances to the instance's role: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::group_of_instance),
    },
    Check {
        id: "iam.DescribeAutoScalingGroups",
        means: "The group's size, which decides whether the host may leave",
        fix: "allow autoscaling:DescribeAutoScalingGroups to the instance's role: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::groups),
    },
    Check {
        id: "iam.DescribeLifecycleHooks",
        means: "The hooks that keep a scale-in waiting while jobs run",
        fix: "allow autoscaling:DescribeLifecycleHooks to the instance's role: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::hooks),
    },
    Check {
        id: "iam.ListJobs",
        means: "Work that waits for an idle host (`look_for_work`)",
        fix: "allow batch:ListJobs to the instance's role: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::list_jobs),
    },
    Check {
        id: "iam.DescribeJobs",
        means: "Likewise",
        fix: "allow batch:DescribeJobs to the instance's role: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::describe_jobs),
    },
    Check {
        id: "iam.DescribeContainerInstances",
        means: "ECS confirms by it that the host has no task left",
        fix: "allow ecs:DescribeContainerInstances to the instance's role: see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::container_instances),
    },
    Check {
        id: "iam.not-tried",
        means: "The other actions that the agent needs, by name: a trial would have an effect",
        fix: "nothing is to be mended",
        scope: Scope::Host,
        run: asked!(iam::not_tried),
    },
    Check {
        id: "agent.running",
        means: "What the agent of this host says of itself, if one runs",
        fix: "see `batch-node-agent status` and `journalctl -u batch-node-agent`",
        scope: Scope::Host,
        run: asked!(agent::running),
    },
    Check {
        id: "agent.state",
        means: "`data_dir` belongs to the agent's user and to nobody else, and the record in it can be read",
        fix: "move data_dir away to start clean: what ran is then lost to ECS",
        scope: Scope::Host,
        run: asked!(agent::state),
    },
    Check {
        id: "agent.task-endpoint",
        means: "How containers reach their role's credentials (`task_endpoint`), as configured: the address is not touched",
        fix: "set task_endpoint = \"link-local\"",
        scope: Scope::Both,
        run: |c| blocking(move || agent::task_endpoint(&c)),
    },
    Check {
        id: "agent.gpus",
        means: "NVIDIA's GPUs as the PCI bus, the driver (NVML) and Docker's runtime show them: GPUs that one of them does not show are not offered",
        fix: "install the NVIDIA driver and the NVIDIA Container Toolkit, or set gpus = \"none\"",
        scope: Scope::Host,
        run: asked!(agent::gpus),
    },
    Check {
        id: "agent.offer",
        means: "What the agent would register: vCPUs, memory, GPUs and attributes",
        fix: "see cpu, memory and reserved_memory of the configuration",
        scope: Scope::Host,
        run: asked!(agent::offer),
    },
    Check {
        id: "agent.leaving",
        means: "Whether an idle host would get away: its Auto Scaling group is above its MinSize, and it may terminate itself",
        fix: "lower the group's MinSize, set at_min_size = \"replace\", or allow what is named; see docs/leaving.md",
        scope: Scope::Host,
        run: asked!(iam::leaves),
    },
    Check {
        id: "image.user",
        means: "The user `batch-node-agent`, as whom the unit runs",
        fix: "install the agent's package, or run `systemd-sysusers batch-node-agent.conf`",
        scope: Scope::Image,
        run: |c| blocking(move || users::agent(&c)),
    },
    Check {
        id: "image.directories",
        means: "/etc/batch-node-agent, where user data writes settings",
        fix: "install the agent's package, or run `systemd-tmpfiles --create batch-node-agent.conf`",
        scope: Scope::Image,
        run: |c| blocking(move || identity::directories(&c)),
    },
    Check {
        id: "image.units",
        means: "The agent's units are installed, `batch-node-agent-poweroff.path` is enabled, and the service as well where a compute environment is set",
        fix: "install the agent's package",
        scope: Scope::Image,
        run: |c| blocking(move || units::agent(&c)),
    },
    Check {
        id: "image.ecs-agent",
        means: "amazon-ecs-agent's unit is not enabled",
        fix: "systemctl disable ecs.service && systemctl mask ecs.service",
        scope: Scope::Image,
        run: |c| blocking(move || units::rival(&c)),
    },
    Check {
        id: "image.machine-id",
        means: "/etc/machine-id is empty, missing or `uninitialized`: each host makes its own at its first boot",
        fix: "truncate -s 0 /etc/machine-id",
        scope: Scope::Image,
        run: |c| blocking(move || identity::machine_id(&c)),
    },
    Check {
        id: "image.ssh-keys",
        means: "No SSH host keys: each host makes its own",
        fix: "rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub",
        scope: Scope::Image,
        run: |c| blocking(move || identity::ssh_keys(&c)),
    },
    Check {
        id: "image.state",
        means: "`data_dir` is empty: a record of another host's registration and jobs must not be in an image",
        fix: "stop the agent and empty its data_dir",
        scope: Scope::Image,
        run: |c| blocking(move || identity::state(&c)),
    },
    Check {
        id: "image.pulled",
        means: "The container images that `--image` names are in Docker",
        fix: "docker pull what is named",
        scope: Scope::Image,
        run: |c| async move { images::pulled(&c).await }.boxed(),
    },
];

/// Judges what Docker says of itself.
async fn told(context: &Context, judge: impl FnOnce(&About) -> Outcome) -> Outcome {
    match context.daemon().await {
        Ok(daemon) => judge(&daemon.about),
        Err(skipped) => skipped,
    }
}
