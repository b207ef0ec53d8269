//! The plane's TCP side: a listener that can go away, and connections that can be frozen and cut from outside.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::warn;

use super::Faults;

/// Before the next try, when the port is not to be had again or no connection can be accepted.
const RETRY: Duration = Duration::from_millis(100);

/// Longer than the request line of any upgrade.
const FIRST_LINE_MOST: usize = 8192;
/// Before the next look at a first line that has come in part.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Nothing is read or written.
    Frozen,
    Cut(Cut),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Fin,
    Rst,
}

/// Whose a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Label {
    /// A client's, or not known yet.
    Api,
    /// A websocket of this container instance's agent.
    Agent(String),
}

/// All connections there are.
#[derive(Default)]
pub(super) struct Lines(Mutex<Register>);

#[derive(Default)]
struct Register {
    last: u64,
    lines: BTreeMap<u64, (Label, watch::Sender<Way>)>,
}

impl Lines {
    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, way: Way, which: impl Fn(&Label) -> bool) -> usize {
        let register = self.register();
        let lines = register.lines.values().filter(|(label, _)| which(label));
        // A cut line stays cut.
        lines
            .filter(|(_, line)| {
                line.send_if_modified(|now| !matches!(now, Way::Cut(_)) && std::mem::replace(now, way) != way)
            })
            .count()
    }

    pub(super) fn freeze(&self) {
        self.set(Way::Frozen, |_| true);
    }

    pub(super) fn thaw(&self) {
        self.set(Way::Open, |_| true);
    }

    pub(super) fn cut_all(&self, cut: Cut) {
        self.set(Way::Cut(cut), |_| true);
    }

    /// Cuts agents' websockets: all, or those of the instance whose ARN ends so.
    pub(super) fn cut_agents(&self, cut: Cut, instance: Option<&str>) -> usize {
        self.set(Way::Cut(cut), |label| match label {
            Label::Api => false,
            Label::Agent(arn) => instance.is_none_or(|end| arn.ends_with(end)),
        })
    }
}

/// One connection.
pub(crate) struct Line {
    stream: TcpStream,
    way: watch::Receiver<Way>,
    /// Ends with the next change of the way.
    change: Pin<Box<dyn Future<Output = ()> + Send>>,
    id: u64,
    faults: Arc<Faults>,
}

impl Line {
    fn new(stream: TcpStream, faults: &Arc<Faults>) -> Self {
        // Small messages, which are waited for.
        drop(stream.set_nodelay(true));
        let silent = faults.away().is_some();
        let (sender, way) = watch::channel(if silent { Way::Frozen } else { Way::Open });
        let id = {
            let mut register = faults.lines.register();
            register.last += 1;
            let id = register.last;
            register.lines.insert(id, (Label::Api, sender));
            id
        };
        if silent && faults.away().is_none() {
            // It ended in between.
            faults.lines.thaw();
        }
        Self { stream, change: next_change(&way), way, id, faults: Arc::clone(faults) }
    }

    /// The first line of what the client sends, once it has come; it stays to be read.
    pub(crate) async fn first_line(&mut self) -> io::Result<String> {
        let mut buffer = [0; FIRST_LINE_MOST];
        loop {
            let seen = self.stream.peek(&mut buffer).await?;
            let text = buffer.get(..seen).unwrap_or_default();
            if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                return Ok(String::from_utf8_lossy(&text[..end]).into_owned());
            }
            if seen == 0 || seen == buffer.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // What is there already would be seen again at once.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Says whose it is, now that it is known.
    pub(crate) fn label(&self, label: Label) {
        if let Some(entry) = self.faults.lines.register().lines.get_mut(&self.id) {
            entry.0 = label;
        }
    }

    /// The way it is, and a wake-up when that changes.
    fn poll_way(&mut self, cx: &mut Context<'_>) -> Way {
        while self.change.as_mut().poll(cx).is_ready() {
            // What comes after this look is a change again.
            self.way.mark_unchanged();
            self.change = next_change(&self.way);
        }
        *self.way.borrow()
    }

    fn cut(&self, cut: Cut) -> io::Error {
        if cut == Cut::Rst {
            // With nothing lingering, the close that follows is a reset.
            drop(self.stream.set_zero_linger());
        }
        io::ErrorKind::ConnectionReset.into()
    }
}

/// A channel that is gone changes no more.
fn next_change(way: &watch::Receiver<Way>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut way = way.clone();
    Box::pin(async move {
        if way.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

impl Drop for Line {
    fn drop(&mut self) {
        self.faults.lines.register().lines.remove(&self.id);
    }
}

macro_rules! when_open {
    ($self:ident, $cx:ident, $poll:expr) => {
        match $self.poll_way($cx) {
            Way::Open => $poll,
            Way::Frozen => Poll::Pending,
            Way::Cut(cut) => Poll::Ready(Err($self.cut(cut))),
        }
    };
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        when_open!(self, cx, Pin::new(&mut self.stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        when_open!(self, cx, Pin::new(&mut self.stream).poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        when_open!(self, cx, Pin::new(&mut self.stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        when_open!(self, cx, Pin::new(&mut self.stream).poll_shutdown(cx))
    }
}

/// A listener that is not there while the plane refuses connections.
pub(crate) struct Gate {
    address: SocketAddr,
    listener: Option<TcpListener>,
    faults: Arc<Faults>,
}

impl Gate {
    pub(crate) fn new(listener: TcpListener, faults: Arc<Faults>) -> io::Result<Self> {
        Ok(Self { address: listener.local_addr()?, listener: Some(listener), faults })
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> Line {
        loop {
            let Some(listener) = &self.listener else {
                self.faults.back().await;
                match TcpListener::bind(self.address).await {
                    Ok(listener) => self.listener = Some(listener),
                    Err(error) => {
                        warn!(%error, address = %self.address, "cannot listen again after an absence; trying on");
                        tokio::time::sleep(RETRY).await;
                    }
                }
                continue;
            };
            tokio::select! {
                biased;
                () = self.faults.refusing() => self.listener = None,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => return Line::new(stream, &self.faults),
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(RETRY).await;
                    }
                },
            }
        }
    }
}

impl axum::serve::Listener for Gate {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let line = self.next().await;
        (line, self.address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
