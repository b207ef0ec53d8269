//! A host in the warm pool of its Auto Scaling group is stopped, or kept for later: it must get no work.

use crate::host::imds::Imds;
use crate::host::notices::{self, Target};

/// The host is not to register yet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Waiting {
    #[error("it is in the warm pool of its Auto Scaling group ({0}), and registers once that says InService")]
    Warm(String),
    #[error("its Auto Scaling group has not said InService yet (`warm_pool_check`): {0}")]
    Unsaid(String),
}

/// Asks the metadata service. `said`: only the word `InService` will do; else whatever is not the warm pool.
pub(super) async fn check(imds: &Imds, said: bool) -> Result<(), Waiting> {
    match notices::target(imds).await {
        Ok(Some(Target::Warmed(state))) => Err(Waiting::Warm(state)),
        Ok(Some(Target::Other(state))) if state == "InService" => Ok(()),
        _ if !said => Ok(()),
        Ok(Some(Target::Other(state))) => Err(Waiting::Unsaid(state)),
        Ok(Some(Target::Terminated)) => Err(Waiting::Unsaid("Terminated".to_owned())),
        Ok(None) => Err(Waiting::Unsaid("the instance metadata service has no target-lifecycle-state".to_owned())),
        Err(failure) => Err(Waiting::Unsaid(failure.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::host::imds::testing;

    async fn asked(state: Option<&'static str>, said: bool) -> Result<(), Waiting> {
        let path = "/latest/meta-data/autoscaling/target-lifecycle-state";
        let router =
            state.map_or_else(Router::new, |state| Router::new().route(path, get(move || async move { state })));
        check(&testing::imds(router).await, said).await
    }

    #[tokio::test]
    async fn a_host_in_the_warm_pool_waits_whatever_is_configured() {
        for said in [true, false] {
            assert_eq!(asked(Some("Warmed:Running"), said).await, Err(Waiting::Warm("Warmed:Running".into())));
            assert_eq!(asked(Some("InService"), said).await, Ok(()));
        }
    }

    #[tokio::test]
    async fn silence_is_waited_out_only_where_that_is_asked_for() {
        assert_eq!(asked(None, false).await, Ok(()));
        assert!(matches!(asked(None, true).await, Err(Waiting::Unsaid(_))));
        assert!(matches!(asked(Some("Terminated"), true).await, Err(Waiting::Unsaid(_))));
    }
}
