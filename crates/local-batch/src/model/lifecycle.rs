//! A job's way through its states: dependencies, arrays, the end, cancelling and terminating.

use std::time::Instant;

use super::State;
use super::job::{Job, JobKind};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::events::{JobStatus, PlaneEvent};
use crate::ids::JobId;

/// Batch's words for a job whose dependency failed.
pub(crate) const DEPENDENCY_FAILED: &str = "Dependent Job failed";
/// And for an array with a failed child.
const CHILD_FAILED: &str = "Array Child Job failed";

impl State {
    /// Moves a job to a status, keeps its array's count, and tells.
    pub(crate) fn set_status(&mut self, id: &JobId, status: JobStatus) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let before = std::mem::replace(&mut job.status, status);
        let parent = match &job.kind {
            JobKind::Child { parent, .. } => Some(parent.clone()),
            _ => None,
        };
        let event = PlaneEvent::JobState {
            job_id: id.to_string(),
            job_name: job.spec.name.clone(),
            status,
            reason: job.status_reason.clone(),
            exit_code: job.run.as_ref().and_then(|run| run.exit_code),
            at: Instant::now(),
        };
        self.emit(event);
        if let Some(JobKind::Parent { summary, .. }) =
            parent.and_then(|p| self.jobs.get_mut(&p)).map(|job| &mut job.kind)
        {
            summary[before as usize] = summary[before as usize].saturating_sub(1);
            summary[status as usize] += 1;
        }
    }

    /// Puts a job into the line of those that wait for room.
    pub(crate) fn make_runnable(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let spec = job.spec.clone();
        let place = (job.seq, id.clone());
        self.runnable.entry(spec.queue.clone()).or_default().entry(spec.shape).or_default().insert(place);
        self.set_status(id, JobStatus::Runnable);
    }

    /// Takes a job out of that line again.
    pub(crate) fn leave_line(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        if let Some(shapes) = self.runnable.get_mut(&job.spec.queue)
            && let Some(line) = shapes.get_mut(&job.spec.shape)
        {
            line.remove(&(job.seq, id.clone()));
            if line.is_empty() {
                shapes.remove(&job.spec.shape);
            }
        }
    }

    /// Ends a job, and with it those whose fate hangs on it: dependents of a failure, an array with its last child.
    pub(crate) fn finish(&mut self, id: &JobId, succeeded: bool, reason: Option<String>, now: Millis) {
        let mut ends = vec![(id.clone(), succeeded, reason)];
        while let Some((id, succeeded, reason)) = ends.pop() {
            if self.jobs.get(&id).is_none_or(|job| job.status.is_final()) {
                continue;
            }
            self.leave_line(&id);
            if let Some(job) = self.jobs.get_mut(&id) {
                job.stopped_at = Some(now);
                job.status_reason = reason;
                job.waiting_on.clear();
            }
            self.set_status(&id, if succeeded { JobStatus::Succeeded } else { JobStatus::Failed });
            for dependent in self.dependents.remove(&id).unwrap_or_default() {
                if succeeded {
                    self.dependency_met(&dependent, &id);
                } else {
                    ends.push((dependent, false, Some(DEPENDENCY_FAILED.into())));
                }
            }
            ends.extend(self.array_end(&id));
        }
    }

    fn dependency_met(&mut self, id: &JobId, on: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.waiting_on.remove(on)
            && job.waiting_on.is_empty()
            && job.status == JobStatus::Pending
            && !job.is_parent()
        {
            self.make_runnable(id);
        }
    }

    /// The end of the array whose last child `id` was.
    fn array_end(&self, id: &JobId) -> Option<(JobId, bool, Option<String>)> {
        let JobKind::Child { parent, .. } = &self.jobs.get(id)?.kind else { return None };
        let parent = self.jobs.get(parent)?;
        let JobKind::Parent { size, summary } = parent.kind else { return None };
        let failed = summary[JobStatus::Failed as usize];
        if failed + summary[JobStatus::Succeeded as usize] < size {
            return None;
        }
        let reason = (failed > 0).then(|| parent.stop_reason.clone().unwrap_or_else(|| CHILD_FAILED.to_owned()));
        Some((parent.id.clone(), failed == 0, reason))
    }

    fn with_children(&self, id: &JobId) -> Result<Vec<JobId>, ApiError> {
        Ok(match self.job(id)?.kind {
            JobKind::Parent { size, .. } => (0..size).map(|i| id.child(i)).collect(),
            _ => vec![id.clone()],
        })
    }

    /// CancelJob: fails what still waits; what has started goes on, and the call succeeds all the same.
    pub(crate) fn cancel(&mut self, id: &JobId, reason: &str, now: Millis) -> Result<(), ApiError> {
        let children = self.with_children(id)?;
        self.mark_array(id, reason, |job| job.is_cancelled = true);
        for child in children {
            if let Some(job) = self.jobs.get_mut(&child).filter(|job| job.is_waiting()) {
                job.is_cancelled = true;
                self.finish(&child, false, Some(reason.to_owned()), now);
            }
        }
        Ok(())
    }

    /// TerminateJob: cancels what waits and stops what runs.
    pub(crate) fn terminate(&mut self, id: &JobId, reason: &str, now: Millis) -> Result<(), ApiError> {
        let children = self.with_children(id)?;
        self.mark_array(id, reason, |job| job.is_terminated = true);
        for child in children {
            let Some(job) = self.jobs.get_mut(&child).filter(|job| !job.status.is_final()) else { continue };
            job.is_terminated = true;
            if job.is_waiting() {
                self.finish(&child, false, Some(reason.to_owned()), now);
            } else {
                self.stop_job(&child, reason, now);
            }
        }
        Ok(())
    }

    fn mark_array(&mut self, id: &JobId, reason: &str, mark: impl FnOnce(&mut Job)) {
        if let Some(job) = self.jobs.get_mut(id).filter(|job| job.is_parent() && !job.status.is_final()) {
            job.stop_reason = Some(reason.to_owned());
            mark(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::events::JobStatus;
    use crate::model::testing::{World, status};

    #[test]
    fn a_failed_dependency_fails_the_whole_chain() {
        let mut w = World::new();
        let a = w.submit(serde_json::json!({}));
        let b = w.submit(serde_json::json!({"dependsOn": [{"jobId": a.as_str()}]}));
        let c = w.submit(serde_json::json!({"dependsOn": [{"jobId": b.as_str()}]}));
        assert_eq!(status(&w.state, &b), JobStatus::Pending);
        w.state.cancel(&a, "not wanted", 5).unwrap();
        for (id, reason) in [(&a, "not wanted"), (&b, "Dependent Job failed"), (&c, "Dependent Job failed")] {
            let job = w.state.job(id).unwrap();
            assert_eq!((job.status, job.status_reason.as_deref()), (JobStatus::Failed, Some(reason)));
        }
    }

    #[test]
    fn a_sequential_array_goes_one_by_one_and_a_failure_ends_it() {
        let mut w = World::new();
        let id = w.submit(serde_json::json!({"arrayProperties": {"size": 3}, "dependsOn": [{"type": "SEQUENTIAL"}]}));
        let child = |i| id.child(i);
        assert_eq!(status(&w.state, &child(0)), JobStatus::Runnable);
        assert_eq!(status(&w.state, &child(1)), JobStatus::Pending);
        w.state.finish(&child(0), true, None, 2);
        assert_eq!(status(&w.state, &child(1)), JobStatus::Runnable);
        w.state.finish(&child(1), false, Some("x".into()), 3);
        assert_eq!(status(&w.state, &child(2)), JobStatus::Failed);
        let parent = w.state.job(&id).unwrap();
        assert_eq!(parent.status_reason.as_deref(), Some("Array Child Job failed"));
        assert_eq!(parent.status, JobStatus::Failed);
    }

    #[test]
    fn n_to_n_pairs_children() {
        let mut w = World::new();
        let a = w.submit(serde_json::json!({"arrayProperties": {"size": 2}}));
        let b = w.submit(serde_json::json!({"arrayProperties": {"size": 2},
            "dependsOn": [{"jobId": a.as_str(), "type": "N_TO_N"}]}));
        w.state.finish(&a.child(1), true, None, 2);
        assert_eq!(status(&w.state, &b.child(0)), JobStatus::Pending);
        assert_eq!(status(&w.state, &b.child(1)), JobStatus::Runnable);
    }

    #[test]
    fn an_array_succeeds_with_its_last_child_and_frees_its_dependents() {
        let mut w = World::new();
        let a = w.submit(serde_json::json!({"arrayProperties": {"size": 2}}));
        let b = w.submit(serde_json::json!({"dependsOn": [{"jobId": a.as_str()}]}));
        w.state.finish(&a.child(0), true, None, 2);
        assert_eq!(status(&w.state, &a), JobStatus::Pending);
        w.state.finish(&a.child(1), true, None, 3);
        assert_eq!(status(&w.state, &a), JobStatus::Succeeded);
        assert_eq!(status(&w.state, &b), JobStatus::Runnable);
    }

    #[test]
    fn a_long_sequential_chain_fails_without_deep_recursion() {
        let mut w = World::new();
        let id =
            w.submit(serde_json::json!({"arrayProperties": {"size": 10000}, "dependsOn": [{"type": "SEQUENTIAL"}]}));
        w.state.terminate(&id, "enough", 2).unwrap();
        let parent = w.state.job(&id).unwrap();
        assert_eq!((parent.status, parent.status_reason.as_deref()), (JobStatus::Failed, Some("enough")));
    }
}
