//! A server that each step is posted to.

use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use crate::net::{Network, Post, PostUrl, Proxies};

/// One try, from the connection to the answer.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// With the pauses between them about half a minute of a server that is down.
pub(super) const TRIES: u32 = 6;

/// What is posted never shows in a log, nor does more of the address than its host: the rest of it may be a secret.
pub(super) struct Webhook {
    url: PostUrl,
    proxies: Proxies,
    ca_bundle: Option<PathBuf>,
    limit: Duration,
    /// Made for the first step.
    post: Option<Post>,
}

impl Webhook {
    pub(super) fn new(url: PostUrl, proxies: Proxies, ca_bundle: Option<PathBuf>) -> Self {
        Self { url, proxies, ca_bundle, limit: TRY_LIMIT, post: None }
    }

    #[cfg(test)]
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub(super) async fn post(&mut self, step: &str) -> Result<(), Failure> {
        let url = self.url.clone();
        let failed = |why: String| format!("{url}: {why}");
        let post = match &self.post {
            Some(post) => post,
            None => {
                let network = Network::new(self.proxies.clone(), self.ca_bundle.as_deref());
                let post = network.and_then(|network| network.post_to(&self.url));
                self.post.insert(post.map_err(|error| Failure::Passing(failed(error.to_string())))?)
            }
        };
        let answer = tokio::time::timeout(self.limit, post.send(step)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.limit)));
        match answer.map_err(|why| Failure::Passing(failed(why)))? {
            200..=299 => Ok(()),
            status @ (408 | 425 | 429 | 500..) => Err(Failure::Passing(failed(format!("it answered {status}")))),
            status => Err(Failure::Lasting(failed(format!("it answered {status}")))),
        }
    }
}
