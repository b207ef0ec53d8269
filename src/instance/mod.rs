//! Leaving, and where the host belongs: the EC2 instance and its Batch compute environment.

pub(crate) mod batch;
pub(crate) mod ec2;
