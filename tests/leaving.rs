//! Leaving: why a host drains, how it ends, and what its jobs and their retries see of it. The simulation's scenarios, over real
//! Docker and the embedded plane: a file for each kind of reason.

mod group;
mod idle;
mod interruption;
mod metadata;
mod race;
mod refused;
mod sick;
mod stage;
