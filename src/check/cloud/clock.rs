//! This host's clock against AWS's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::{DateTime, Format};

use super::super::{Context, Outcome};

/// AWS refuses signatures that are this much older or newer than its own clock (Signature Version 4).
const REFUSED: Duration = Duration::from_secs(5 * 60);
/// A host whose clock is kept is within a second; the header has whole ones, and the answer took its time.
const KEPT: Duration = Duration::from_secs(10);

/// The `Date` of the last answer, beside this host's time when it came.
#[derive(Debug, Clone, Default)]
struct Dates(Arc<Mutex<Option<(SystemTime, SystemTime)>>>);

impl Intercept for Dates {
    fn name(&self) -> &'static str {
        "the Date of the answer"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(parsed);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|date| (date, SystemTime::now()));
        Ok(())
    }
}

fn parsed(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(DateTime::from_str(text, Format::HttpDate).ok()?).ok()
}

/// Any call to ECS will do, refused or not.
pub(in crate::check) async fn skew(context: &Context) -> Result<Outcome, Outcome> {
    let clients = context.aws().await?;
    let dates = Dates::default();
    let answer = clients.ecs.discover_poll_endpoint().customize().interceptor(dates.clone()).send().await;
    let seen = *dates.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match (seen, answer) {
        (Some((theirs, ours)), _) => judge(theirs, ours),
        (None, Ok(_)) => Outcome::skipped("ECS's answer has no Date"),
        (None, Err(_)) => Outcome::skipped("ECS does not answer: see ecs.poll-endpoint"),
    })
}

fn judge(theirs: SystemTime, ours: SystemTime) -> Outcome {
    let (apart, side) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let seconds = apart.as_secs();
    match apart {
        apart if apart >= REFUSED => Outcome::failure(format!(
            "this host's clock is {seconds} s {side} AWS's, which refuses what is signed {} s off, the websockets above all",
            REFUSED.as_secs()
        )),
        apart if apart >= KEPT => Outcome::warning(format!("this host's clock is {seconds} s {side} AWS's")),
        _ => Outcome::ok(format!("this host's clock agrees with AWS's within {} s", KEPT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn five_minutes_are_too_many_in_either_direction() {
        let now = parsed("Sun, 22 Nov 2026 22:00:00 GMT").unwrap();
        let of = |theirs: SystemTime| judge(theirs, now);
        let apart = Duration::from_secs;
        assert_eq!(of(now + apart(2)).status, Status::Ok);
        assert_eq!(of(now - apart(60)).found, "this host's clock is 60 s ahead of AWS's");
        assert_eq!((of(now + apart(299)).status, of(now + apart(300)).status), (Status::Warning, Status::Failure));
        assert!(of(now + apart(420)).found.contains("420 s behind"));
        assert_eq!(of(now - apart(300)).status, Status::Failure);
        assert_eq!(parsed("yesterday"), None);
    }
}
