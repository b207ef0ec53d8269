//! The plane alone, for looking at it by hand: `cargo run -p local-batch --example plane -- 127.0.0.1:8700 0 [agent program]`.

use std::error::Error;

use local_batch::{NodeTemplate, Plane, PlaneConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:8700".to_owned());
    let max_nodes = args.next().unwrap_or_else(|| "0".to_owned());
    let plane = Plane::start(PlaneConfig {
        listen: listen.parse()?,
        region: "us-east-1".to_owned(),
        max_nodes: max_nodes.parse()?,
        node: NodeTemplate { program: args.next().unwrap_or_default().into(), ..NodeTemplate::default() },
        data_dir: std::env::temp_dir().join(format!("plane-{}", std::process::id())),
        docker_host: None,
        credentials_lifetime: None,
        frames: None,
    })
    .await?;
    println!("{}", plane.endpoint());
    let mut events = plane.events();
    let mut line = String::new();
    let quit = tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line));
    tokio::pin!(quit);
    loop {
        tokio::select! {
            Ok(event) = events.recv() => println!("{event}"),
            _ = &mut quit => break,
        }
    }
    plane.shutdown().await;
    Ok(())
}
