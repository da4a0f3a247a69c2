//! What every handler has at hand.

use std::{ops::Deref, sync::Arc};

use jiff::Timestamp;
use materia::{dashboard::Dashboards, reader::Reader, settings::Settings};

use super::{
    accounts::Accounts, assets::Assets, boards::Boards, cache::Pages, client::RateLimit, data::Downloads, events::Events, pages::legal,
    traffic::Traffic,
};

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

/// The parts of an [`App`].
pub(crate) struct Inner {
    /// Everything materia was told.
    pub(crate) settings: Settings,
    /// The served data.
    pub(crate) reader: Reader,
    /// What is drawn from it.
    pub(crate) boards: Boards,
    /// Terms, privacy and the like.
    pub(crate) legal: Vec<legal::Text>,
    /// The time.
    pub(crate) clock: Clock,
    /// Style sheet and script.
    pub(crate) assets: Assets,
    /// Pages that have been drawn.
    pub(crate) pages: Pages,
    /// What each client may ask.
    pub(crate) rate_limit: RateLimit,
    /// What has been asked.
    pub(crate) traffic: Traffic,
    /// Who waits for the next generation.
    pub(crate) events: Events,
    /// Downloads under way.
    pub(crate) downloads: Downloads,
    /// Accounts, sessions and what operators may see of them.
    pub(crate) accounts: Accounts,
}

/// What an [`App`] is made of, beside its accounts.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) reader: Reader,
    pub(crate) dashboards: Dashboards,
    pub(crate) legal: Vec<legal::Text>,
    pub(crate) clock: Clock,
}

impl App {
    pub(crate) fn new(parts: Parts, accounts: Accounts) -> Self {
        let Parts { settings, reader, dashboards, legal, clock } = parts;
        let assets = Assets::new(&settings.brand);
        // Whatever a page is made of, beside what its key says.
        let salt = format!("{} {} {:?}", env!("CARGO_PKG_VERSION"), assets.style(), settings.brand);
        let boards = Boards::new(dashboards, settings.dashboards.clone(), settings.web.debug);
        let (pages, rate_limit) = (Pages::new(&salt), RateLimit::new(settings.web.requests_per_minute()));
        let (traffic, events, downloads) = (Traffic::new(), Events::new(), Downloads::default());
        Self(Arc::new(Inner { settings, reader, boards, legal, clock, assets, pages, rate_limit, traffic, events, downloads, accounts }))
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What time it is: the machine's, or one that a test chose.
#[derive(Debug, Clone, Default)]
pub(crate) enum Clock {
    /// The machine's.
    #[default]
    System,
    /// A chosen one, which stands until it is moved.
    #[cfg(test)]
    Fixed(Arc<std::sync::Mutex<Timestamp>>),
}

impl Clock {
    /// One that stands.
    #[cfg(test)]
    pub(crate) fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(std::sync::Mutex::new(at)))
    }

    /// Moves a fixed clock.
    #[cfg(test)]
    pub(crate) fn set(&self, at: Timestamp) {
        if let Self::Fixed(now) = self {
            *now.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
        }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            #[cfg(test)]
            Self::Fixed(now) => *now.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        }
    }
}
