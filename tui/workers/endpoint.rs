//! Polls the PostgreSQL endpoint on a separate thread, so that a slow response delays nothing else.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use materia::{endpoint::EndpointState, settings::PostgresSettings};

use crate::message::Message;

const INTERVAL: Duration = Duration::from_secs(2);

/// Polls the endpoint until it is dropped.
pub(super) struct EndpointPoller {
    #[allow(dead_code, reason = "dropping it ends the thread")]
    end: Sender<()>,
    latest: Arc<Mutex<Option<EndpointState>>>,
}

impl EndpointPoller {
    pub(super) fn start(settings: PostgresSettings, send: Sender<Message>) -> Self {
        let (end, ended) = mpsc::channel();
        let latest = Arc::<Mutex<Option<EndpointState>>>::default();
        let own = latest.clone();
        // The thread is not joined, because it may be waiting for a response.
        thread::spawn(move || {
            loop {
                let state = EndpointState::request(&settings);
                let before = {
                    let mut latest = own.lock().unwrap_or_else(PoisonError::into_inner);
                    std::mem::replace(&mut *latest, state.clone())
                };
                if before != state && send.send(Message::Endpoint(state)).is_err() {
                    return;
                }
                if ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self { end, latest }
    }

    pub(super) fn latest(&self) -> Option<EndpointState> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
