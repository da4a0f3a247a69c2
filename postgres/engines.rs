//! One engine for each plan.
//!
//! Memory and the places in which statements run belong to a plan: what one plan's customers ask
//! for takes neither from another's. Within a plan, an account has a part of the places, and the
//! threads of statements that run for long have a tenth of the weight of others: however many of
//! them an account runs, they leave the processors to what has just begun. Engines are opened when
//! the first connection needs them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use materia::{
    plan::Plan,
    reader::{self, Reader, ReaderConfig, ReaderError},
    settings::PostgresSettings,
    store::Store,
};
use tokio::sync::{OnceCell, Semaphore};

use crate::Identity;

/// Time after which a statement gives way to those that have begun later.
const GIVE_WAY_AFTER: Duration = Duration::from_millis(500);

pub(crate) struct Engines {
    target: Store,
    schema: String,
    settings: PostgresSettings,
    /// Those of the plans, and that of operators.
    readers: [OnceCell<Reader>; Plan::ALL.len() + 1],
    /// Places of the accounts that are connected.
    places: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Engines {
    pub(crate) fn new(target: Store, schema: String, settings: PostgresSettings) -> Self {
        Self { target, schema, settings, readers: Default::default(), places: Mutex::default() }
    }

    /// Returns the reader of a client's plan.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) async fn reader_of(&self, who: &Identity) -> Result<Reader, ReaderError> {
        let place = match who.plan {
            _ if who.operator => Plan::ALL.len(),
            plan => Plan::ALL.iter().position(|other| *other == plan).unwrap_or(0),
        };
        let open = || async {
            let (target, schema) = (self.target.clone(), self.schema.clone());
            let (settings, plan, operator) = (self.settings.clone(), who.plan, who.operator);
            let opened = tokio::task::spawn_blocking(move || {
                let config = config(&settings, plan, operator)?;
                Reader::open(&target, &schema, config)
                    .map_err(|error| ReaderError::Engine { message: error.to_string() })
            });
            opened.await.map_err(|error| ReaderError::Engine { message: error.to_string() })?
        };
        self.readers[place].get_or_try_init(open).await.cloned()
    }

    /// Returns the places in which an account's statements run.
    pub(crate) fn places_of(&self, who: &Identity) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places.get(&who.account).and_then(Weak::upgrade) {
            return known;
        }
        places.retain(|_, places| places.strong_count() > 0);
        let most = self.settings.limits_of(who.plan, who.operator).statements;
        let own = Arc::new(Semaphore::new(most));
        places.insert(who.account.clone(), Arc::downgrade(&own));
        own
    }
}

fn config(
    settings: &PostgresSettings,
    plan: Plan,
    operator: bool,
) -> Result<ReaderConfig, ReaderError> {
    let total = match settings.memory {
        Some(total) => total,
        None => reader::default_memory()?,
    };
    // The largest plan's statements use all processors, the others' half of them.
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let is_largest = operator || plan == Plan::Pro;
    Ok(ReaderConfig {
        memory: Some(settings.memory_of(plan, operator, total)),
        threads: Some(if is_largest { processors } else { processors.div_ceil(2) }),
        streams: settings.concurrent,
        give_way_after: Some(GIVE_WAY_AFTER),
        short: 1,
        long: 1,
        ..ReaderConfig::default()
    })
}
