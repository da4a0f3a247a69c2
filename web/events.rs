//! `/events`: tells open pages that another generation is served.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{app::App, error::WebError, parts};

/// More open pages than this wait for the next turn.
const MOST_LISTENERS: usize = 4_096;
/// Proxies end connections on which nothing is said for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Who listens, and when to stop.
pub(crate) struct Events {
    places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_LISTENERS)), stopping: watch::Sender::new(false) }
    }

    /// Ends every stream, so that the server can stop.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// How many pages listen.
    pub(crate) fn listeners(&self) -> usize {
        MOST_LISTENERS - self.places.available_permits()
    }
}

/// What one listener needs.
struct Listener {
    generations: watch::Receiver<Option<Arc<materia::reader::GenerationInfo>>>,
    stopping: watch::Receiver<bool>,
    first: bool,
    /// The generation that was told last.
    told: String,
    _place: OwnedSemaphorePermit,
}

/// `/events`: the generation that is served, every later one, and when an export confirmed it.
pub(crate) async fn stream(State(app): State<App>) -> Result<Response, WebError> {
    let busy = |_| WebError::Busy { retry_after: Duration::from_mins(1) };
    let place = app.events.places.clone().try_acquire_owned().map_err(busy)?;
    let listener = Listener {
        generations: app.reader.generations(),
        stopping: app.events.stopping.subscribe(),
        first: true,
        told: String::new(),
        _place: place,
    };
    let events = unfold(listener, |mut listener| async move { listener.next().await.map(|event| (Ok::<_, Infallible>(event), listener)) });
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Nginx would hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if *self.stopping.borrow() {
                return None;
            }
            if !std::mem::take(&mut self.first) {
                tokio::select! {
                    changed = self.generations.changed() => changed.ok()?,
                    _ = self.stopping.changed() => return None,
                }
            }
            let current = self.generations.borrow_and_update().clone();
            if let Some(info) = current {
                let name = parts::generation_name(&info);
                if name == self.told {
                    return Some(Event::default().event("confirmed").data(info.as_of().unwrap_or(info.opened_at).to_string()));
                }
                self.told.clone_from(&name);
                return Some(Event::default().event("generation").data(name));
            }
        }
    }
}
