//! What an operator orders over the admin socket (`POST /order`), and what comes of it.

use node_core::{Order, Plan};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Asked {
    Order(Order),
    /// What the order would do, and no more. What must be known for that of EC2 and the Auto Scaling group is asked first.
    Plan(Order),
    /// The same, of what is known already.
    PlanNow(Order),
    /// The host is going down; the agent's own setting says how long it may wait.
    Shutdown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// What has been done, in a sentence.
    #[serde(default)]
    pub(crate) done: String,
    pub(crate) phase: String,
    /// Why it is in this phase, and what it waits for.
    pub(crate) why: String,
    #[serde(default)]
    pub(crate) plan: Option<Plan>,
}
