//! What crosses a process: the built binary against real Docker and the embedded plane, one file per capability. Every test
//! has a plane and data of its own, so that all may run at once.

#[cfg(test)]
mod common;

#[cfg(test)]
mod aws_autoscaling;
#[cfg(test)]
mod aws_cli;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod boto3;
#[cfg(test)]
mod check;
#[cfg(test)]
mod config;
#[cfg(test)]
mod container_policies;
#[cfg(test)]
mod docker_daemon;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod ecr;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod imds_block;
#[cfg(test)]
mod job;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod moving_over;
#[cfg(test)]
mod node_life;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod plane_restart;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod sigv4;
#[cfg(test)]
mod status;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod telemetry;
