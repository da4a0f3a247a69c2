//! A wire to a server of the test's own, that can be cut: a port of this machine from which everything is passed on, unless it hangs or refuses.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What the wire does with what it is given.
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
    /// A wire to a port of this machine.
    pub(crate) fn to(port: u16) -> Self {
        let shared = Shared { to: port, state: Mutex::new(State::Passes), changed: Condvar::new(), ends: Mutex::default() };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut wire = Self { port: listener.local_addr().unwrap().port(), shared: Arc::new(shared), accepting: None };
        wire.accept(listener);
        wire
    }

    /// The port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whoever is connected is thrown out, and nobody is let in: what a server does that has been stopped.
    pub(crate) fn refuse(&mut self) {
        self.shared.set(State::Refuses);
        if let Some(accepting) = self.accepting.take() {
            // It looks at the state when somebody comes.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
            accepting.join().unwrap();
        }
        for end in self.shared.ends.lock().unwrap().drain(..).filter_map(|end| end.upgrade()) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Whoever comes is let in, and nothing is passed on any more: what a machine does that stands still.
    pub(crate) fn hang(&mut self) {
        self.set(State::Hangs);
    }

    /// Everything is passed on again, also what has been waiting.
    pub(crate) fn restore(&mut self) {
        self.set(State::Passes);
    }

    fn set(&mut self, state: State) {
        self.shared.set(state);
        if self.accepting.is_none() {
            let deadline = Instant::now() + Duration::from_secs(10);
            let listener = loop {
                match TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
                    Ok(listener) => break listener,
                    // Another test's connection may have been given the number meanwhile.
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

    /// Waits while the wire hangs; whether things are to be passed on then.
    fn passes(&self) -> bool {
        let state = self.changed.wait_while(self.state.lock().unwrap(), |state| *state == State::Hangs).unwrap();
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

    /// Remembers an end of a connection, to be cut when nobody is let in any more; nothing where that is so already.
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

    /// Passes on what comes from one end until that has nothing more to say.
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

/// A server that says everything back.
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

/// What comes back within a quarter of a second.
fn answer(mut client: &TcpStream) -> std::io::Result<[u8; 4]> {
    client.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).map(|()| answer)
}

fn ask(mut client: &TcpStream, question: [u8; 4]) -> std::io::Result<[u8; 4]> {
    client.write_all(&question).and_then(|()| answer(client))
}

#[test]
fn a_wire_passes_on_hangs_refuses_and_is_restored_under_the_same_port() {
    let mut wire = Wire::to(echo());
    let connect = |wire: &Wire| TcpStream::connect((Ipv4Addr::LOCALHOST, wire.port()));
    let old = connect(&wire).unwrap();
    assert_eq!(ask(&old, *b"read").unwrap(), *b"read");

    wire.hang();
    let new = connect(&wire).unwrap();
    for client in [&old, &new] {
        assert_eq!(ask(client, *b"wait").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    wire.restore();
    assert_eq!([answer(&old).unwrap(), answer(&new).unwrap()], [*b"wait"; 2]);

    wire.hang();
    let hung = connect(&wire).unwrap();
    wire.refuse();
    assert_eq!(connect(&wire).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    for client in [&old, &new, &hung] {
        let error = ask(client, *b"gone").unwrap_err().kind();
        assert!(error != std::io::ErrorKind::WouldBlock, "{error}");
    }
    wire.restore();
    assert_eq!(ask(&connect(&wire).unwrap(), *b"here").unwrap(), *b"here");
}
