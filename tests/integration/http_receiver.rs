//! A local web server that accepts every request.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
};

/// The requests received, in order: the first line and the body.
type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// Accepts requests until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: Requests,
    stop: mpsc::Sender<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Receiver {
    /// Responds with this status.
    pub(crate) fn answering(status: u16) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), status)
    }

    /// The same, at an address that another receiver has released.
    pub(crate) fn at(address: SocketAddr, status: u16) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Requests::default());
        let (stop, stopped) = mpsc::channel();
        let own = requests.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.try_recv().is_ok() {
                    return;
                }
                take(stream.unwrap(), status, &own);
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Returns the bodies received since the previous call.
    pub(crate) fn bodies(&self) -> Vec<serde_json::Value> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.into_iter().map(|(_, body)| serde_json::from_str(&body).unwrap()).collect()
    }

    /// Returns the number of requests received since the previous call.
    pub(crate) fn beats(&self) -> usize {
        std::mem::take(&mut *self.requests.lock().unwrap()).len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn take(mut stream: TcpStream, status: u16, requests: &Requests) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let Some(first) = lines.first().cloned() else { return };
    let length = lines.iter().find_map(|line| {
        line.to_lowercase().strip_prefix("content-length: ").map(|length| length.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or_default()];
    reader.read_exact(&mut body).unwrap();
    requests.lock().unwrap().push((first, String::from_utf8(body).unwrap()));
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Taken\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    );
}
