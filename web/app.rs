//! The state shared by all handlers.

use std::{ops::Deref, sync::Arc};

use jiff::Timestamp;
use materia::{dashboard::Dashboards, reader::Reader, settings::Settings};

use super::{
    accounts::Accounts, assets::Assets, conditions::Conditions, dashboards::DashboardStore,
    data::DownloadLimiter, events::Events, forwarded::Proxies, page_cache::PageCache, pages::legal,
    printer::Printer, rate_limit::RateLimit, request_metrics::RequestMetrics,
    site_reader::SiteReader, view_counter::ViewCounter,
};

/// The state shared by all handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Inner>);

/// The content of an [`AppState`].
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    /// Whether it is the preview of an author's dashboards, without accounts.
    pub(crate) is_preview: bool,
    /// Follows the served generation.
    pub(crate) reader: SiteReader,
    /// The dashboards rendered from it.
    pub(crate) dashboards: DashboardStore,
    /// Terms, privacy and other legal texts.
    pub(crate) legal: Vec<legal::LegalText>,
    pub(crate) clock: Clock,
    pub(crate) assets: Assets,
    pub(crate) page_cache: PageCache,
    /// Finds the client's address behind trusted proxies.
    pub(crate) proxies: Proxies,
    pub(crate) rate_limit: RateLimit,
    pub(crate) request_metrics: RequestMetrics,
    /// The open pages that wait for the next generation.
    pub(crate) events: Events,
    pub(crate) downloads: DownloadLimiter,
    /// Prints pages as PDF, if the settings name a browser.
    pub(crate) printer: Option<Printer>,
    pub(crate) accounts: Accounts,
    pub(crate) view_counter: ViewCounter,
    pub(crate) conditions: Conditions,
}

/// The parts from which an [`AppState`] is created, besides the accounts.
pub(crate) struct AppConfig {
    pub(crate) settings: Settings,
    pub(crate) reader: Reader,
    pub(crate) dashboards: Dashboards,
    pub(crate) legal: Vec<legal::LegalText>,
    pub(crate) clock: Clock,
    pub(crate) is_preview: bool,
}

impl AppState {
    pub(crate) fn new(parts: AppConfig, accounts: Accounts) -> Self {
        let AppConfig { settings, reader, dashboards, legal, clock, is_preview } = parts;
        let assets = Assets::new(&settings.brand);
        // Everything on which pages depend that is not in their cache key.
        let salt = format!(
            "{} {} {:?} {:?} {:?}",
            env!("CARGO_PKG_VERSION"),
            assets.style(),
            settings.brand,
            settings.tables,
            settings.web.chromium
        );
        let dashboards = DashboardStore::new(dashboards, &settings);
        let (page_cache, rate_limit) =
            (PageCache::new(&salt), RateLimit::new(settings.web.requests_per_minute()));
        let (proxies, request_metrics, events, downloads) =
            (Proxies::new(), RequestMetrics::new(), Events::new(), DownloadLimiter::default());
        Self(Arc::new(Inner {
            printer: Printer::new(&settings.web.chromium),
            settings,
            is_preview,
            reader: SiteReader::new(reader),
            dashboards,
            legal,
            clock,
            assets,
            page_cache,
            proxies,
            rate_limit,
            request_metrics,
            events,
            downloads,
            accounts,
            view_counter: ViewCounter::default(),
            conditions: Conditions::default(),
        }))
    }
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The system's clock, or a fixed one in tests.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    /// A fixed time, until it is set again.
    #[cfg(test)]
    Fixed(Arc<std::sync::Mutex<Timestamp>>),
}

impl Clock {
    /// Returns a clock that does not advance.
    #[cfg(test)]
    pub(crate) fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(std::sync::Mutex::new(at)))
    }

    /// Sets a fixed clock.
    #[cfg(test)]
    pub(crate) fn set(&self, at: Timestamp) {
        if let Self::Fixed(now) = self {
            *now.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
        }
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            #[cfg(test)]
            Self::Fixed(now) => *now.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        }
    }
}
