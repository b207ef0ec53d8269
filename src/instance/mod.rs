//! Leaving, and where the host belongs: the EC2 instance, its Auto Scaling group and its Batch compute environment.

pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod ec2;
pub(crate) mod poweroff;
pub(crate) mod queues;
