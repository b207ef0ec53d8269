//! The ECS side: registration and state changes over the ECS API, work over the ACS websocket.

pub(crate) mod acs;
mod api;
mod capabilities;
mod failure;
mod register;
mod sign;
mod submit;
pub(crate) mod tcs;
#[cfg(test)]
mod testing;

pub(crate) use api::Ecs;
pub(crate) use capabilities::{DockerFacts, capabilities};
pub(crate) use failure::{classify, one_line};
pub(crate) use register::Registration;
