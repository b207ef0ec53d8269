//! Whether amazon-ecs-agent runs here. Two agents on a host would each offer all of it, and fight over the task endpoint.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::serve::endpoint::TaskEndpoint;

/// amazon-ecs-agent's introspection, and its credentials and task metadata.
const PORTS: [u16; 2] = [51678, 51679];
/// It answers at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_MAX: u64 = 16 * 1024;

/// Its answer to `GET /v1/metadata`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    version: String,
    #[serde(default)]
    cluster: Option<String>,
}

/// What is in the way of this agent, and what to do; `None` if nothing is. On a port of one's own choice agents may share a
/// host: that is how one rehearses.
pub(crate) async fn in_the_way(endpoint: TaskEndpoint) -> Option<String> {
    find(endpoint, PORTS).await
}

async fn find(endpoint: TaskEndpoint, ports: [u16; 2]) -> Option<String> {
    if matches!(endpoint, TaskEndpoint::Loopback(_)) {
        return None;
    }
    if let Some(Metadata { version, cluster }) = ask(ports[0]).await {
        let cluster =
            cluster.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(", cluster {name}"));
        return Some(format!(
            "another ECS agent runs on this host ({version}{cluster}), and a host has room for one: drain its container \
             instance, then `systemctl disable --now ecs` and `systemctl mask ecs`; see docs/migrating-from-ecs-agent.md"
        ));
    }
    // Without a task endpoint the ports do not matter.
    let wanted = ports.into_iter().filter(|_| endpoint != TaskEndpoint::Off);
    for port in wanted {
        if is_taken(port).await {
            return Some(format!(
                "127.0.0.1:{port}, the task endpoint's port, is in use, perhaps by amazon-ecs-agent: stop what has it \
                 (`ss -ltnp 'sport = :{port}'` names it), or set task_endpoint"
            ));
        }
    }
    None
}

async fn is_taken(port: u16) -> bool {
    let bound = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// The introspection's answer, where it is one.
async fn ask(port: u16) -> Option<Metadata> {
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(b"GET /v1/metadata HTTP/1.0\r\nHost: localhost\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer).await.ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body.trim()).ok()
    };
    timeout(ANSWER_WITHIN, exchange).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ports, the first of which answers so once.
    fn ports(answer: &'static str) -> ([u16; 2], tokio::task::JoinHandle<TcpListener>) {
        let [first, second] = [0, 0].map(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        let taken = [&first, &second].map(|listener| listener.local_addr().unwrap().port());
        drop(second);
        first.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(first).unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 256];
            let read = stream.read(&mut question).await.unwrap();
            assert!(question[..read].starts_with(b"GET /v1/metadata "));
            stream.write_all(answer.as_bytes()).await.unwrap();
            listener
        });
        (taken, serving)
    }

    #[tokio::test]
    async fn an_agent_that_answers_is_named_with_the_way_out() {
        let answer = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Cluster\":\"old\",\"ContainerInstanceArn\":\
                      null,\"Version\":\"Amazon ECS Agent - v1.99.0 (*1234)\"}";
        let (ports, _serving) = ports(answer);
        let why = find(TaskEndpoint::Off, ports).await.unwrap();
        assert!(why.contains("Amazon ECS Agent - v1.99.0") && why.contains("cluster old"), "{why}");
        assert!(why.contains("systemctl mask ecs"), "{why}");
        assert_eq!(find(TaskEndpoint::Loopback(0), ports).await, None);
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_told_only_where_it_is_needed() {
        let (ports, serving) = ports("HTTP/1.0 404 Not Found\r\n\r\nwhat?");
        let why = find(TaskEndpoint::LinkLocal, ports).await.unwrap();
        assert!(why.contains(&format!("127.0.0.1:{}", ports[0])) && why.contains("is in use"), "{why}");
        drop(serving.await.unwrap());
        assert_eq!(find(TaskEndpoint::LinkLocal, ports).await, None);
    }
}
