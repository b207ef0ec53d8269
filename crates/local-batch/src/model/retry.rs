//! Whether an attempt's end is the job's end.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// `retryStrategy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RetryStrategy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<i64>,
    pub(crate) evaluate_on_exit: Vec<EvaluateOnExit>,
}

/// Every condition given must hold for the action to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EvaluateOnExit {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_exit_code: Option<String>,
    pub(crate) action: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) exit_code: Option<i32>,
    /// The container's reason.
    pub(crate) reason: Option<String>,
    /// The task's stopped reason.
    pub(crate) status_reason: String,
}

/// What becomes of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Succeeded,
    Failed,
    Retry,
}

const MAX_ATTEMPTS: i64 = 10;
const MAX_RULES: usize = 5;

impl RetryStrategy {
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        if let Some(n) = self.attempts
            && !(1..=MAX_ATTEMPTS).contains(&n)
        {
            return Err(ApiError::client(format!("retryStrategy.attempts must be 1 to {MAX_ATTEMPTS}, and is {n}")));
        }
        if self.evaluate_on_exit.len() > MAX_RULES {
            return Err(ApiError::client(format!("retryStrategy.evaluateOnExit takes at most {MAX_RULES} rules")));
        }
        for rule in &self.evaluate_on_exit {
            if !["RETRY", "EXIT"].iter().any(|action| rule.action.eq_ignore_ascii_case(action)) {
                return Err(ApiError::client(format!(
                    "evaluateOnExit action {:?} is neither RETRY nor EXIT",
                    rule.action
                )));
            }
            if rule.on_status_reason.is_none() && rule.on_reason.is_none() && rule.on_exit_code.is_none() {
                return Err(ApiError::client("an evaluateOnExit rule needs onStatusReason, onReason or onExitCode"));
            }
        }
        Ok(())
    }

    /// Judges an attempt that ended by itself, after `tried` attempts in all. With rules and none that matches, Batch retries.
    pub(crate) fn judge(&self, ending: &Ending, tried: usize) -> Verdict {
        if ending.exit_code == Some(0) {
            return Verdict::Succeeded;
        }
        let allowed = usize::try_from(self.attempts.unwrap_or(1)).unwrap_or(1);
        if tried >= allowed {
            return Verdict::Failed;
        }
        match self.evaluate_on_exit.iter().find(|rule| rule.matches(ending)) {
            Some(rule) if rule.action.eq_ignore_ascii_case("EXIT") => Verdict::Failed,
            _ => Verdict::Retry,
        }
    }
}

impl EvaluateOnExit {
    fn matches(&self, ending: &Ending) -> bool {
        let code = ending.exit_code.map(|c| c.to_string()).unwrap_or_default();
        let holds = |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|p| glob(p, text));
        holds(&self.on_exit_code, &code)
            && holds(&self.on_reason, ending.reason.as_deref().unwrap_or_default())
            && holds(&self.on_status_reason, &ending.status_reason)
    }
}

/// Batch's globs know one wildcard: a `*` at the end.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => text == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(json: serde_json::Value) -> RetryStrategy {
        serde_json::from_value(json).unwrap()
    }

    fn exit(code: i32) -> Ending {
        Ending { exit_code: Some(code), reason: None, status_reason: "Essential container in task exited".into() }
    }

    #[test]
    fn attempts_are_counted() {
        let s = strategy(serde_json::json!({"attempts": 2}));
        assert_eq!(s.judge(&exit(0), 1), Verdict::Succeeded);
        assert_eq!(s.judge(&exit(1), 1), Verdict::Retry);
        assert_eq!(s.judge(&exit(1), 2), Verdict::Failed);
        assert_eq!(RetryStrategy::default().judge(&exit(1), 1), Verdict::Failed);
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_none_retries() {
        let s = strategy(serde_json::json!({"attempts": 5, "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "RETRY"},
            {"onExitCode": "4*", "action": "exit"},
            {"onReason": "CannotPull*", "onStatusReason": "Task failed*", "action": "EXIT"}]}));
        assert!(s.validate().is_ok());
        let host = Ending { status_reason: "Host EC2 (instance i-1) terminated.".into(), ..Ending::default() };
        assert_eq!(s.judge(&host, 1), Verdict::Retry);
        assert_eq!(s.judge(&exit(42), 1), Verdict::Failed);
        assert_eq!(s.judge(&exit(1), 1), Verdict::Retry);
        let pull = Ending {
            exit_code: None,
            reason: Some("CannotPullContainerError: no".into()),
            status_reason: "Task failed to start".into(),
        };
        assert_eq!(s.judge(&pull, 1), Verdict::Failed);
    }

    #[test]
    fn bad_strategies_are_refused() {
        for bad in [
            serde_json::json!({"attempts": 0}),
            serde_json::json!({"attempts": 11}),
            serde_json::json!({"evaluateOnExit": [{"onExitCode": "1", "action": "MAYBE"}]}),
            serde_json::json!({"evaluateOnExit": [{"action": "RETRY"}]}),
        ] {
            assert!(strategy(bad).validate().is_err());
        }
    }
}
