//! How many instances the waiting jobs need: what raises the desired capacity of an Auto Scaling group.

use super::State;
use super::cluster::InstanceStatus;
use super::container::Shape;
use crate::clock::Millis;
use crate::events::JobStatus;
use crate::ids::JobId;

/// Batch's words for a job that is larger than any instance.
const MISFIT: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher \
                      than that can be met by the CE(s) attached to the job queue.";

/// Room that is on its way: an instance that has not registered yet, or whose agent will be back.
struct Room {
    environment: String,
    free: Shape,
}

impl State {
    /// Launches instances for the jobs that neither fit now nor will fit what is coming, up to the fleet's size.
    pub(crate) fn scale(&mut self, now: Millis) {
        self.tell_misfits();
        let max = usize::try_from(self.fleet.max_nodes).unwrap_or(usize::MAX);
        let mut live = self.nodes.values().filter(|node| node.state.is_live() && !node.is_ending()).count();
        if self.closing || live >= max {
            return;
        }
        let offers = self.fleet.offers;
        let mut rooms = self.rooms_to_come();
        for queue in self.queues_by_priority() {
            let environments = self.environments_of(&queue);
            let Some(first) = environments.first().cloned() else { continue };
            let needs: Vec<(Shape, usize)> = self
                .runnable
                .get(&queue)
                .map(|shapes| shapes.iter().map(|(s, line)| (*s, line.len())).collect())
                .unwrap_or_default();
            for (shape, mut left) in needs {
                for room in rooms.iter_mut().filter(|room| environments.contains(&room.environment)) {
                    left -= room.take(shape, left);
                }
                while left > 0 && live < max && shape.fits(offers) && self.launch_for_jobs(&first, now) {
                    live += 1;
                    let mut room = Room { environment: first.clone(), free: offers };
                    left -= room.take(shape, left);
                    rooms.push(room);
                }
            }
        }
    }

    /// Says of jobs why they will wait for ever, as Batch does, when no node is large enough for them.
    fn tell_misfits(&mut self) {
        if self.fleet.max_nodes == 0 {
            return;
        }
        let capacities = self.instances.values().filter(|i| i.status == InstanceStatus::Active).map(|i| i.capacity());
        let largest: Vec<Shape> = capacities.chain([self.fleet.offers]).collect();
        let misfits =
            self.runnable.values().flatten().filter(|(shape, _)| !largest.iter().any(|room| shape.fits(*room)));
        let untold: Vec<JobId> = misfits
            .flat_map(|(_, line)| line)
            .map(|(_, id)| id)
            .filter(|id| self.jobs.get(id).is_some_and(|job| job.status_reason.is_none()))
            .cloned()
            .collect();
        for id in untold {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.status_reason = Some(MISFIT.to_owned());
            }
            self.set_status(&id, JobStatus::Runnable);
        }
    }

    fn rooms_to_come(&self) -> Vec<Room> {
        let coming = self.nodes.values().filter(|node| node.state.is_live() && !node.is_down && !node.is_ending());
        coming
            .filter_map(|node| {
                let environment = node.compute_environment.clone()?;
                let free = if node.has_registered {
                    let host = self
                        .instances
                        .values()
                        .find(|i| i.ec2_id.as_ref() == Some(&node.id) && i.status == InstanceStatus::Active)?;
                    host.session.is_none().then(|| host.free())?
                } else {
                    self.fleet.offers
                };
                Some(Room { environment, free })
            })
            .collect()
    }
}

impl Room {
    /// Seats as many of `count` as fit, and says how many that was.
    fn take(&mut self, shape: Shape, count: usize) -> usize {
        let times = |room: u32, need: u32| room.checked_div(need).unwrap_or(u32::MAX);
        let fit = times(self.free.cpu, shape.cpu)
            .min(times(self.free.memory, shape.memory))
            .min(times(self.free.gpus, shape.gpus));
        let seated = u32::try_from(count).unwrap_or(u32::MAX).min(fit);
        let part = |need: u32| need.saturating_mul(seated);
        self.free = self.free.minus(Shape { cpu: part(shape.cpu), memory: part(shape.memory), gpus: part(shape.gpus) });
        usize::try_from(seated).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::testing::World;

    #[test]
    fn as_many_nodes_as_the_jobs_need_and_no_more() {
        let mut w = World::with_fleet(5, 2048, 1024);
        w.submit(serde_json::json!({}));
        assert_eq!(w.state.nodes.len(), 1);
        w.submit(serde_json::json!({}));
        assert_eq!(w.state.nodes.len(), 1, "two jobs of one vCPU fit the node that is coming");
        w.submit(serde_json::json!({}));
        assert_eq!(w.state.nodes.len(), 2);
    }

    #[test]
    fn never_more_than_the_fleet_allows_and_none_for_what_cannot_fit() {
        let mut w = World::with_fleet(2, 1024, 1024);
        for _ in 0..5 {
            w.submit(serde_json::json!({}));
        }
        assert_eq!(w.state.nodes.len(), 2);
        let mut w = World::with_fleet(2, 1024, 1024);
        let id = w.submit(serde_json::json!({"containerOverrides": {"vcpus": 2}}));
        assert!(w.state.nodes.is_empty());
        assert!(w.state.job(&id).unwrap().status_reason.as_ref().unwrap().starts_with("MISCONFIGURATION"));
    }

    #[test]
    fn a_terminated_node_makes_place_for_another() {
        let mut w = World::with_fleet(1, 1024, 1024);
        w.submit(serde_json::json!({}));
        let node = w.state.nodes.keys().next().unwrap().clone();
        w.state.terminate_node(&node, "test", 2).unwrap();
        w.state.node_gone(&node, 3);
        w.state.settle(3);
        assert_eq!(w.state.nodes.len(), 2);
    }
}
