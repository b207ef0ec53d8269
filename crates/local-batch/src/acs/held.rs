//! Frames that a fault holds back: each goes its way when its time has come, and others pass it in the meantime.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::warn;

use crate::faults::Mishap;
use crate::hub::Hub;

/// Frames that may be held back at once in a session; further ones are lost.
const HELD_MOST: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    FromAgent,
    ToAgent,
}

/// A frame that was held back. With its session's end it is lost, as on a broken connection.
pub(super) struct Late {
    pub(super) direction: Direction,
    pub(super) text: String,
}

/// Where the frames of one session meet faults.
pub(super) struct Holder {
    hub: Arc<Hub>,
    late: mpsc::Sender<Late>,
}

impl Holder {
    /// And where the frames come out that it held back.
    pub(super) fn new(hub: &Arc<Hub>) -> (Self, mpsc::Receiver<Late>) {
        let (late, receiver) = mpsc::channel(HELD_MOST);
        (Self { hub: Arc::clone(hub), late }, receiver)
    }

    /// Whether a frame may pass at once.
    pub(super) fn passes(&self, direction: Direction, kind: &str, text: &str) -> bool {
        let Some(mishap) = self.hub.faults.on_frame(kind) else { return true };
        let Ok(place) = self.late.clone().try_reserve_owned() else {
            warn!(kind, "too many frames are held back on order: this one is lost");
            return false;
        };
        let (late, closing) = (self.late.clone(), self.hub.closing.clone());
        let frame = Late { direction, text: text.to_owned() };
        let held = match mishap {
            Mishap::Hang(id) => Ok(self.hub.faults.unhang(id)),
            Mishap::Delay(delay) => Err(delay),
            Mishap::Error(_) => return true,
        };
        self.hub.tracker.spawn(async move {
            let wait = async {
                match held {
                    Ok(unhang) => unhang.await,
                    Err(delay) => tokio::time::sleep(delay).await,
                }
            };
            tokio::select! {
                () = wait => drop(place.send(frame)),
                () = late.closed() => {}
                () = closing.cancelled() => {}
            }
        });
        false
    }
}
