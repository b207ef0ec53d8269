//! The machine: who it is, what it has to offer, what it is busy with, and the signals it sends.

pub(crate) mod cgroup;
pub(crate) mod gpu;
pub(crate) mod imds;
pub(crate) mod linklocal;
pub(crate) mod os;
pub(crate) mod resources;
pub(crate) mod sampler;
pub(crate) mod signals;
pub(crate) mod usage;
