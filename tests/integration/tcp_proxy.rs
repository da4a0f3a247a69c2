//! A TCP proxy to a test's server that can be cut: a local port that forwards everything, unless it
//! hangs or refuses.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What the proxy does with data and connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Passes,
    Hangs,
    Refuses,
}

pub(crate) struct Wire {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    to: u16,
    state: Mutex<State>,
    changed: Condvar,
    /// Both ends of every connection.
    ends: Mutex<Vec<Weak<TcpStream>>>,
}

impl Wire {
    /// Starts a proxy to a local port.
    pub(crate) fn to(port: u16) -> Self {
        let shared = Shared {
            to: port,
            state: Mutex::new(State::Passes),
            changed: Condvar::new(),
            ends: Mutex::default(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut wire = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::new(shared),
            accepting: None,
        };
        wire.accept(listener);
        wire
    }

    /// Returns the port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Disconnects all clients and refuses new ones, like a server that was stopped.
    pub(crate) fn refuse(&mut self) {
        self.shared.set(State::Refuses);
        if let Some(accepting) = self.accepting.take() {
            // The proxy checks its state when a client connects.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
            accepting.join().unwrap();
        }
        for end in self.shared.ends.lock().unwrap().drain(..).filter_map(|end| end.upgrade()) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Accepts clients but forwards nothing, like a machine that has frozen.
    pub(crate) fn hang(&mut self) {
        self.set(State::Hangs);
    }

    /// Forwards everything again, including pending data.
    pub(crate) fn restore(&mut self) {
        self.set(State::Passes);
    }

    fn set(&mut self, state: State) {
        self.shared.set(state);
        if self.accepting.is_none() {
            let deadline = Instant::now() + Duration::from_mins(1);
            let listener = loop {
                match TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
                    Ok(listener) => break listener,
                    // Another test's connection may have received the port meanwhile.
                    Err(error) => assert!(Instant::now() < deadline, "port {}: {error}", self.port),
                }
                thread::sleep(Duration::from_millis(10));
            };
            self.accept(listener);
        }
    }

    fn accept(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if *shared.state.lock().unwrap() == State::Refuses {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.connect(client));
            }
        }));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    /// Waits while the proxy hangs; returns whether data is to be forwarded then.
    fn passes(&self) -> bool {
        let state = self
            .changed
            .wait_while(self.state.lock().unwrap(), |state| *state == State::Hangs)
            .unwrap();
        *state == State::Passes
    }

    fn connect(self: Arc<Self>, client: TcpStream) {
        let Some(client) = self.register(client) else { return };
        if !self.passes() {
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to)) else { return };
        let Some(server) = self.register(server) else { return };
        let (shared, back) = (Arc::clone(&self), (Arc::clone(&server), Arc::clone(&client)));
        thread::spawn(move || shared.pass(&back.0, &back.1));
        self.pass(&client, &server);
    }

    /// Registers one end of a connection, which is closed when clients are refused; returns `None`
    /// if they already are.
    fn register(&self, end: TcpStream) -> Option<Arc<TcpStream>> {
        let mut ends = self.ends.lock().unwrap();
        if *self.state.lock().unwrap() == State::Refuses {
            return None;
        }
        let _ = end.set_nodelay(true);
        let end = Arc::new(end);
        ends.retain(|end| end.strong_count() > 0);
        ends.push(Arc::downgrade(&end));
        Some(end)
    }

    /// Forwards data from one end until it is closed.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut chunk = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            if !self.passes() || to.write_all(&chunk[..length]).is_err() {
                break;
            }
        }
        if self.passes() {
            let _ = to.shutdown(Shutdown::Write);
        }
    }
}

/// Starts an echo server.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || std::io::copy(&mut &client, &mut &client));
        }
    });
    port
}

/// Timeout of data that is to arrive.
const ARRIVES: Duration = Duration::from_mins(1);
/// Time after which data that is not to arrive is not waited for.
const HANGS: Duration = Duration::from_millis(250);

fn answer(mut client: &TcpStream, timeout: Duration) -> std::io::Result<[u8; 4]> {
    client.set_read_timeout(Some(timeout)).unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).map(|()| answer)
}

fn ask(mut client: &TcpStream, question: [u8; 4], timeout: Duration) -> std::io::Result<[u8; 4]> {
    client.write_all(&question).and_then(|()| answer(client, timeout))
}

#[test]
fn a_wire_passes_on_hangs_refuses_and_is_restored_under_the_same_port() {
    let mut wire = Wire::to(echo());
    let connect = |wire: &Wire| TcpStream::connect((Ipv4Addr::LOCALHOST, wire.port()));
    let old = connect(&wire).unwrap();
    assert_eq!(ask(&old, *b"read", ARRIVES).unwrap(), *b"read");

    wire.hang();
    let new = connect(&wire).unwrap();
    for client in [&old, &new] {
        assert_eq!(
            ask(client, *b"wait", HANGS).unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
    }
    wire.restore();
    assert_eq!([&old, &new].map(|client| answer(client, ARRIVES).unwrap()), [*b"wait"; 2]);

    wire.hang();
    let hung = connect(&wire).unwrap();
    wire.refuse();
    assert_eq!(connect(&wire).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    for client in [&old, &new, &hung] {
        let error = ask(client, *b"gone", ARRIVES).unwrap_err().kind();
        assert!(error != std::io::ErrorKind::WouldBlock, "{error}");
    }
    wire.restore();
    assert_eq!(ask(&connect(&wire).unwrap(), *b"here", ARRIVES).unwrap(), *b"here");
}
