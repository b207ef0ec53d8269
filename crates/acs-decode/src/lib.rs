//! From a text frame of ACS to what the agent does about it: an event for the node, an answer, or a line in the log.
//!
//! Pure, and light to build: no I/O and no AWS SDK. What ECS can send is decoded here and nowhere else, so this is what the
//! property tests and the fuzz target (`fuzz/`) work on.
#![forbid(unsafe_code)]

mod credentials;
mod payload;
mod reaction;

pub use credentials::{Delivered, Material, Owner};
pub use reaction::{INACTIVE, Reaction, react};
