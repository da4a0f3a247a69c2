//! `/events`: notifies open pages of new generations.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::{app::AppState, client_ip::ClientIp, components, error::WebError};

/// Open pages of all clients together.
const MAX_LISTENERS: usize = 4_096;
/// Open pages of one client, which may be an office behind one address.
const MAX_LISTENERS_PER_CLIENT: usize = 32;
/// Proxies close connections that are idle for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The open pages, and the signal that ends them.
pub(crate) struct Events {
    slots: Arc<ListenerSlots>,
    stopping: watch::Sender<bool>,
}

/// The number of open pages of each client.
struct ListenerSlots(Mutex<HashMap<IpAddr, usize>>);

/// A slot among the open pages, released when dropped.
struct ListenerSlot {
    slots: Arc<ListenerSlots>,
    network: IpAddr,
}

impl ListenerSlots {
    fn acquire(self: &Arc<Self>, client: ClientIp) -> Result<ListenerSlot, WebError> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let network = client.network();
        if taken.values().sum::<usize>() >= MAX_LISTENERS {
            return Err(WebError::Busy { retry_after: Duration::from_mins(1) });
        }
        let own = taken.entry(network).or_default();
        if *own >= MAX_LISTENERS_PER_CLIENT {
            return Err(WebError::RateLimited { retry_after: Duration::from_mins(1) });
        }
        *own += 1;
        Ok(ListenerSlot { slots: self.clone(), network })
    }
}

impl Drop for ListenerSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            slots: Arc::new(ListenerSlots(Mutex::default())),
            stopping: watch::Sender::new(false),
        }
    }

    /// Ends every stream, so that the server can stop.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Returns the number of open pages.
    pub(crate) fn listeners(&self) -> usize {
        self.slots.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

/// The state of one stream.
struct Listener {
    generations: watch::Receiver<Option<Arc<materia::reader::GenerationInfo>>>,
    stopping: watch::Receiver<bool>,
    /// The digest of the dashboards, for the author who previews them.
    dashboards: Option<watch::Receiver<String>>,
    first: bool,
    /// The generation that was sent last.
    last_sent: String,
    _slot: ListenerSlot,
}

/// `/events`: the served generation, every later one, and confirmations by exports that changed
/// nothing.
pub(crate) async fn stream(
    State(app): State<AppState>,
    client: ClientIp,
) -> Result<Response, WebError> {
    let slot = app.events.slots.acquire(client)?;
    let listener = Listener {
        generations: app.reader.generations(),
        stopping: app.events.stopping.subscribe(),
        dashboards: app.is_preview.then(|| {
            let mut changes = app.dashboards.changes();
            // A page that was in the background may show an earlier state.
            changes.mark_changed();
            changes
        }),
        first: true,
        last_sent: String::new(),
        _slot: slot,
    };
    let events = unfold(listener, |mut listener| async move {
        listener.next().await.map(|event| (Ok::<_, Infallible>(event), listener))
    });
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Nginx would buffer the events.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
        .into_response())
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
                    digest = changed(&mut self.dashboards) => {
                        return Some(Event::default().event("dashboards").data(digest?));
                    }
                    _ = self.stopping.changed() => return None,
                }
            }
            let current = self.generations.borrow_and_update().clone();
            if let Some(info) = current {
                let name = components::generation_name(&info);
                if name == self.last_sent {
                    return Some(
                        Event::default()
                            .event("confirmed")
                            .data(info.as_of().unwrap_or(info.opened_at).to_string()),
                    );
                }
                self.last_sent.clone_from(&name);
                return Some(Event::default().event("generation").data(name));
            }
        }
    }
}

/// Returns the next digest of the dashboards, once they change.
async fn changed(dashboards: &mut Option<watch::Receiver<String>>) -> Option<String> {
    let Some(dashboards) = dashboards else { return std::future::pending().await };
    dashboards.changed().await.ok()?;
    Some(dashboards.borrow_and_update().clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_the_places_of_all_others() {
        let slots = Arc::new(ListenerSlots(Mutex::default()));
        let [greedy, neighbor, other] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|ip| ClientIp(ip.parse().unwrap()));
        let mut taken: Vec<_> =
            (0..MAX_LISTENERS_PER_CLIENT).map(|_| slots.acquire(greedy).ok().unwrap()).collect();
        for same in [greedy, neighbor] {
            assert!(matches!(slots.acquire(same), Err(WebError::RateLimited { .. })));
        }
        assert!(slots.acquire(other).is_ok());
        taken.pop();
        assert!(slots.acquire(neighbor).is_ok(), "a page that is closed gives its place back");
        drop(taken);
        assert!(slots.0.lock().unwrap().is_empty());
    }
}
