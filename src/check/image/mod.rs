//! What an image must hold, and must not, before any host boots from it.

pub(super) mod identity;
pub(super) mod images;
pub(super) mod units;
