//! The generation that the site shows: the served one, as soon as the pages that are requested most
//! have been rendered from it.
//!
//! A swap makes every page new at once, and its first viewers would wait for the queries of all of
//! them. Therefore the site stays at the former generation for a moment, renders these pages, and
//! then changes over as a whole: nobody sees an older generation after a newer one, and open pages
//! are notified only then.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Request};
use futures_util::{StreamExt as _, stream};
use materia::reader::{GenerationInfo, Pin, Reader, ReaderError, ReaderState, ReaderStats};
use tokio::{sync::watch, task_local, time::timeout};
use tower::ServiceExt as _;

use super::{app::AppState, router};

/// How long rendering may delay a new generation.
pub(crate) const MOST: Duration = Duration::from_secs(1);
/// This long after the limit, requests read the new generation even if the site has not changed
/// over.
const GRACE: Duration = Duration::from_secs(2);
/// Pages that are rendered at the same time. More would slow down those that are requested.
const AT_ONCE: usize = 2;

task_local! {
    /// The generation from which the current task renders pages ahead of the first request.
    static AHEAD: Pin;
}

/// Pins the generation that the site shows.
pub(crate) struct SiteReader {
    reader: Reader,
    shown: Mutex<Shown>,
    changes: watch::Sender<Option<Arc<GenerationInfo>>>,
    /// How long a new generation may wait, once [`start`] takes care of the shown one.
    limit: OnceLock<Duration>,
}

#[derive(Default)]
struct Shown {
    /// `None` until the first one is shown: then it is the served one.
    pin: Option<Pin>,
    /// Since when another one is served.
    since: Option<Instant>,
}

impl SiteReader {
    /// Creates a reader that shows what is served at any moment, until [`start`].
    pub(crate) fn new(reader: Reader) -> Self {
        let changes = watch::Sender::new(None);
        Self { reader, shown: Mutex::default(), changes, limit: OnceLock::new() }
    }

    /// Pins the generation that the site shows.
    ///
    /// # Errors
    /// Those of [`Reader::pin`].
    pub(crate) fn pin(&self) -> Result<Pin, ReaderError> {
        if let Ok(ahead) = AHEAD.try_with(Pin::again) {
            return Ok(ahead);
        }
        // Also where the former one is shown: it has the served path looked at.
        let served = self.reader.pin()?;
        Ok(self.former(served.generation()).unwrap_or(served))
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the shown generation if it is another one than the served one.
    fn former(&self, served: &GenerationInfo) -> Option<Pin> {
        let mut shown = self.lock();
        let Shown { pin: Some(pin), since } = &mut *shown else { return None };
        if pin.generation().sequence == served.sequence {
            return None;
        }
        let since = since.get_or_insert_with(Instant::now);
        (!self.is_late(*since)).then(|| pin.again())
    }

    /// Returns whether a generation that has waited since then is not waited for any more.
    fn is_late(&self, since: Instant) -> bool {
        since.elapsed() >= self.limit.get().copied().unwrap_or_default() + GRACE
    }

    /// Returns the shown generation and the reader's current problem.
    pub(crate) fn state(&self) -> ReaderState {
        let mut state = self.reader.state();
        let former = match AHEAD.try_with(Pin::again) {
            Ok(ahead) => Some(ahead),
            Err(_) => state.generation.as_ref().and_then(|served| self.former(served)),
        };
        if let Some(former) = former {
            state.generation = Some(former.generation().clone());
        }
        state
    }

    /// Returns whether the current task renders ahead of the first request.
    pub(crate) fn is_ahead() -> bool {
        AHEAD.try_with(|_| ()).is_ok()
    }

    /// Subscribes to changes of the shown generation and to its confirmations by exports.
    pub(crate) fn generations(&self) -> watch::Receiver<Option<Arc<GenerationInfo>>> {
        if self.limit.get().is_some() {
            self.changes.subscribe()
        } else {
            self.reader.generations()
        }
    }

    pub(crate) fn stats(&self) -> ReaderStats {
        self.reader.stats()
    }

    /// Shows a generation from now on, or the served one if requests read that one already.
    fn show(&self, pin: Pin) {
        let mut shown = self.lock();
        let is_late = shown.since.is_some_and(|since| self.is_late(since));
        let newest = is_late.then(|| self.reader.pin().ok()).flatten();
        let pin = newest.unwrap_or(pin);
        let info = pin.generation().clone();
        *shown = Shown { pin: Some(pin), since: None };
        // Still locked: when somebody sees the generation, it has been announced.
        self.changes.send_replace(Some(info));
    }

    fn is_shown(&self, generation: &GenerationInfo) -> bool {
        let shown = self.lock();
        shown.pin.as_ref().is_some_and(|pin| pin.generation().sequence == generation.sequence)
    }
}

/// Shows each generation once what is requested most has been rendered from it, or after `limit`,
/// until the site stops.
pub(crate) fn start(app: &AppState, limit: Duration, stopping: watch::Receiver<bool>) {
    // It is started once.
    let _ = app.reader.limit.set(limit);
    tokio::spawn(run(app.clone(), limit, router::own_site(app), stopping));
}

async fn run(app: AppState, limit: Duration, pages: Router, mut stopping: watch::Receiver<bool>) {
    let mut served = app.reader.reader.generations();
    loop {
        served.mark_unchanged();
        if let Ok(pin) = app.reader.reader.pin() {
            if !app.reader.is_shown(pin.generation()) {
                // What is not rendered by then is rendered when it is requested.
                let _ = timeout(limit, render(&app, &pages, &pin)).await;
            }
            app.reader.show(pin);
        }
        tokio::select! {
            changed = served.changed() => if changed.is_err() { return },
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

async fn render(app: &AppState, pages: &Router, pin: &Pin) {
    let requests = app.page_cache.popular().into_iter().map(|page| page.request());
    stream::iter(requests)
        .for_each_concurrent(AT_ONCE, |request: Request<Body>| async {
            // Rendering a page puts it into the cache.
            let _ = AHEAD.scope(pin.again(), pages.clone().oneshot(request)).await;
        })
        .await;
}
