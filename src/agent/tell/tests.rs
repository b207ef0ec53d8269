use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use node_core::{Happening, JobLabel, JobNow, Phase, TaskArn, TaskStatus, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::net::{PostUrl, Proxies};

const SOON: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(4));
const LONG: Duration = Duration::from_secs(30);

/// A server that gives these answers, one after the other, and then 204; what it was sent.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<u16>>>,
    got: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

async fn server(answers: &[u16]) -> (Server, String) {
    let server = Server { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Server::default() };
    let answer = |State(server): State<Server>, headers: HeaderMap, body: String| async move {
        server.got.lock().unwrap().push((headers, serde_json::from_str(&body).unwrap()));
        StatusCode::from_u16(server.answers.lock().unwrap().pop_front().unwrap_or(204)).unwrap()
    };
    let router = Router::new().route("/hook/{secret}", post(answer)).with_state(server.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, address)
}

fn listeners(url: &str, limit: Duration) -> Listeners {
    let webhook = webhook::Webhook::new(PostUrl::parse(url).unwrap(), Proxies::default(), None).within(limit);
    Listeners(Arc::new([Listener::start("event_webhook", Way::Webhook(Box::new(webhook)), SOON)]))
}

fn news() -> Announcement {
    let job = JobLabel { job_id: "j-1".into(), queue: "main".into(), attempt: "2".into() };
    let task = TaskArn::new("arn:task");
    Announcement {
        what: Happening::Drain,
        text: "spot interruption (terminate)".into(),
        phase: Phase::Active,
        cause: Some(node_core::Cause::Spot),
        reason: None,
        deadline: Some(Timestamp(120_000)),
        task: None,
        jobs: vec![JobNow { task, job: Some(job), status: TaskStatus::Running, withheld: false }],
    }
}

fn tell(listeners: &Listeners) {
    let origin = Origin { instance: Some("i-1".into()), ..Origin::default() };
    listeners.tell(&news(), &origin, 7);
}

fn counts(listeners: &Listeners) -> (u64, u64, u64) {
    let Deliveries { delivered, failed, dropped } = listeners.deliveries()["event_webhook"];
    (delivered, failed, dropped)
}

#[tokio::test]
async fn a_server_that_fails_twice_is_told_in_the_third_try_with_the_same_body() {
    let (server, address) = server(&[503, 429]).await;
    let listeners = listeners(&format!("http://us%40er:pa%3Ass@{address}/hook/t0ken?k=v"), LONG);
    tell(&listeners);
    listeners.settled(LONG).await;
    assert_eq!(counts(&listeners), (1, 0, 0));
    let got = server.got.lock().unwrap();
    assert_eq!(got.len(), 3);
    let (headers, body) = &got[0];
    assert!(got.iter().all(|(_, other)| other == body), "one id for all tries");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["authorization"], "Basic dXNAZXI6cGE6c3M=");
    assert_eq!(
        (&body["phase"], &body["cause"], &body["deadline"]),
        (&"ACTIVE".into(), &"spot".into(), &120_000.into())
    );
    assert_eq!((&body["instance"], &body["at_ms"]), (&"i-1".into(), &7.into()));
    let job = &body["jobs"][0]["job"];
    assert_eq!((&job["job_id"], &job["queue"], &job["attempt"]), (&"j-1".into(), &"main".into(), &"2".into()));
}

#[tokio::test]
async fn a_plain_no_is_not_asked_about_again() {
    let (server, address) = server(&[401]).await;
    let listeners = listeners(&format!("http://{address}/hook/t0ken"), LONG);
    tell(&listeners);
    listeners.settled(LONG).await;
    assert_eq!((counts(&listeners), server.got.lock().unwrap().len()), ((0, 1, 0), 1));
}

#[tokio::test]
async fn a_server_that_is_down_is_given_up_and_its_address_is_no_ones_to_read() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://user:hunter2@{free}/hook/t0ken?sig=s3cret");
    let mut webhook = webhook::Webhook::new(PostUrl::parse(&url).unwrap(), Proxies::default(), None);
    let Err(Failure::Passing(why)) = webhook.post("{}").await else { panic!("nobody is there") };
    assert!(why.contains(&format!("http://{free}:")), "{why}");
    for secret in ["user", "hunter2", "t0ken", "s3cret"] {
        assert!(!why.contains(secret), "{why}");
    }
    let listeners = listeners(&url, LONG);
    tell(&listeners);
    listeners.settled(LONG).await;
    assert_eq!(counts(&listeners), (0, 1, 0));
}

/// Accepts what comes, and never answers.
async fn deaf() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up_and_the_newest_steps_are_kept() {
    let (_listening, url) = deaf().await;
    let listeners = listeners(&url, LONG);
    for _ in 0..WAITING_MAX + 3 {
        tell(&listeners);
    }
    listeners.settled(Duration::from_millis(1)).await;
    assert_eq!(counts(&listeners), (0, 0, 3));
}

#[tokio::test]
async fn each_try_has_its_own_limit() {
    let (_listening, url) = deaf().await;
    let listeners = listeners(&url, Duration::from_millis(1));
    tell(&listeners);
    listeners.settled(LONG).await;
    assert_eq!(counts(&listeners), (0, 1, 0));
}
