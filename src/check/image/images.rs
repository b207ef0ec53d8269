//! Container images that are to be in the image already.

use super::super::context::{Daemon, text};
use super::super::{Context, Outcome};

pub(in crate::check) async fn pulled(context: &Context) -> Outcome {
    if context.images.is_empty() {
        return Outcome::skipped("none is asked for: --image NAME");
    }
    let Daemon { docker, .. } = match context.daemon().await {
        Ok(daemon) => daemon,
        Err(_) => {
            return Outcome::failure("Docker does not answer: its images cannot be listed")
                .fix("start Docker while the image is built");
        }
    };
    let mut missing = Vec::new();
    for image in &context.images {
        match docker.holds_image(image).await {
            Ok(true) => {}
            Ok(false) => missing.push(image.as_str()),
            Err(failure) => return Outcome::failure(format!("{image}: {}", text(&failure))),
        }
    }
    match missing.is_empty() {
        true => Outcome::ok(context.images.join(", ")),
        false => Outcome::failure(format!("not pulled: {}", missing.join(", "))),
    }
}
