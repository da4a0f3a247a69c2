//! What every handler has at hand.

use std::{ops::Deref, sync::Arc};

use jiff::Timestamp;
use materia::{reader::Reader, settings::Settings};

use super::{accounts::Accounts, assets::Assets};

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

/// The parts of an [`App`].
pub(crate) struct Inner {
    /// Everything materia was told.
    pub(crate) settings: Settings,
    /// The served data.
    pub(crate) reader: Reader,
    /// The time.
    pub(crate) clock: Clock,
    /// Style sheet and script.
    pub(crate) assets: Assets,
    /// Accounts, sessions and what operators may see of them.
    pub(crate) accounts: Accounts,
}

impl App {
    pub(crate) fn new(settings: Settings, reader: Reader, clock: Clock, accounts: Accounts) -> Self {
        let assets = Assets::new(&settings.brand);
        Self(Arc::new(Inner { settings, reader, clock, assets, accounts }))
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
