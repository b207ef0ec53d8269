//! The machine: its kernel, its disks, its users.

pub(super) mod disk;
pub(super) mod kernel;
pub(super) mod rival;
pub(super) mod users;
