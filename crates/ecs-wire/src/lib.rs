//! The wire of an ECS container agent: ACS and TCS message types and their framing, as serde types and nothing else.
//!
//! Shapes follow `acs-api-2.json` of amazon-ecs-agent: field names are lowerCamelCase, absent optional fields are left
//! out, unknown fields are tolerated. A frame is one text message `{"type": "<Name>", "message": {...}}`.
#![forbid(unsafe_code)]

pub mod acs;
mod case;
pub mod frame;
pub mod task;
pub mod tcs;

pub use acs::{FromAgent, ToAgent};
pub use frame::FrameError;
