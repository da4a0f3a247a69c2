//! One question from its asker to the engine and back.

use std::{
    collections::HashMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use duckdb::{
    Connection,
    arrow::{
        datatypes::{self, Schema, SchemaRef},
        record_batch::RecordBatch,
    },
};
use tokio::sync::{mpsc, watch};

use super::{
    Limits, Pin, Query, Reader, ReaderError,
    away::given_up,
    generation::{Generation, GenerationInfo},
    lanes::LaneKind,
    shared::Shared,
    wait,
    watchdog::{Ticket, Why, lock},
};
use crate::values::{self, Field};

/// A question of the long lane that ends this soon belongs into the short one.
const QUICK: Duration = Duration::from_millis(50);

/// A whole answer. Every batch has the columns of `schema`.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The generation it belongs to.
    pub generation: Arc<GenerationInfo>,
    /// Its columns: names in lower case, types as DuckDB has them.
    pub fields: Vec<Field>,
    /// The same as Arrow has them.
    pub schema: SchemaRef,
    /// Its rows, in order.
    pub batches: Vec<RecordBatch>,
    /// How many rows there are.
    pub rows: usize,
    /// How much memory they take.
    pub bytes: usize,
}

/// What makes two questions the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    query: Query,
    limits: Limits,
}

type Outcome = Result<Arc<Answer>, ReaderError>;

/// One execution that several askers may be waiting for. When the last one goes away, it is interrupted.
pub(super) struct Asking {
    ticket: Arc<Ticket>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Asking {
    async fn outcome(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        let reply = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        reply.unwrap_or_else(|| Err(Generation::gone()))
    }

    pub(super) fn stop(&self, why: Why) {
        self.ticket.stop(why);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.ticket.stop(Why::Abandoned);
        }
    }
}

/// Executions under way in one generation.
pub(super) type UnderWay = Mutex<HashMap<Key, Weak<Asking>>>;

/// A question on its way to a thread that answers it.
pub(super) struct Job {
    generation: Arc<Generation>,
    key: Key,
    ticket: Arc<Ticket>,
    reply: Reply,
    spent: Duration,
}

enum Reply {
    Whole(watch::Sender<Option<Outcome>>),
    Stream(mpsc::Sender<Result<RecordBatch, ReaderError>>),
}

impl Job {
    /// Whether nobody waits for it any more.
    pub(super) fn given_up(&self) -> bool {
        match &self.reply {
            Reply::Whole(outcome) => outcome.is_closed() || outcome.borrow().is_some(),
            Reply::Stream(batches) => batches.is_closed(),
        }
    }

    /// Tells its askers that there is no reader any more.
    pub(super) fn abandon(self) {
        let gone = Generation::gone();
        match self.reply {
            Reply::Whole(outcome) => drop(outcome.send_replace(Some(Err(gone)))),
            // Dropping the sender ends the stream.
            Reply::Stream(_) => {}
        }
    }

    fn fail(self, error: ReaderError) {
        match self.reply {
            Reply::Whole(outcome) => drop(outcome.send_replace(Some(Err(error)))),
            // A full channel has a reader that is about to learn from its end that something was wrong.
            Reply::Stream(batches) => drop(batches.blocking_send(Err(error))),
        }
    }
}

impl Pin {
    /// Asks a question of this generation. The same question asked before, or by somebody else right now, is answered once.
    ///
    /// Dropping the future interrupts the question, unless somebody else waits for it too.
    ///
    /// # Errors
    /// Every [`ReaderError`].
    pub fn ask(&self, query: Query, limits: Limits) -> impl Future<Output = Outcome> + Send + 'static {
        let pin = self.clone();
        async move {
            let (shared, generation) = (&pin.reader.shared, &pin.generation);
            let key = Key { query, limits };
            if let Some(answer) = remembered(shared, generation, &key) {
                return Ok(answer);
            }
            let (asking, job) = join(shared, generation, key);
            if let Some(job) = job {
                queue(shared, job);
            }
            let outcome = asking.outcome().await;
            pin.note(&outcome);
            outcome
        }
    }

    /// As [`Pin::ask`], for threads that may wait. While a place for short questions is free, the question is answered on this thread,
    /// which saves the way to another one and back. Must not be called from asynchronous code.
    ///
    /// # Errors
    /// Every [`ReaderError`].
    pub fn ask_blocking(&self, query: Query, limits: Limits) -> Outcome {
        let key = Key { query, limits };
        let shared = &self.reader.shared;
        if let Some(answer) = remembered(shared, &self.generation, &key) {
            return Ok(answer);
        }
        let (asking, job) = join(shared, &self.generation, key);
        if let Some(job) = job {
            let free = self.generation.slots[..shared.limits.short].iter().position(|slot| slot.try_lock().is_ok());
            match free.filter(|_| !shared.slow(&job)) {
                Some(slot) => serve(shared, LaneKind::Short, slot, job),
                None => queue(shared, job),
            }
        }
        let outcome = wait(asking.outcome());
        self.note(&outcome);
        outcome
    }

    /// Asks a question whose answer is delivered batch by batch, as fast as it is taken.
    ///
    /// # Errors
    /// Every [`ReaderError`]; later ones come out of the stream.
    pub fn stream(&self, query: Query, limits: Limits) -> Result<Stream, ReaderError> {
        const AHEAD: usize = 2;
        let (batches, receiver) = mpsc::channel(AHEAD);
        // A sender of its own would keep the stream from ever ending.
        let expired = batches.downgrade();
        let until = Instant::now() + limits.wait;
        let own = limits;
        let away = self.reader.shared.away.clone();
        let give_up = move |why| {
            if let Some(error) = given_up(why, &own, away.as_deref()) {
                drop(expired.upgrade().map(|batches| batches.try_send(Err(error))));
            }
        };
        let ticket = Ticket::queued(until, &self.reader.shared.watchdog, Box::new(give_up));
        let key = Key { query, limits };
        self.generation.watch_stream(&ticket);
        let job =
            Job { generation: self.generation.clone(), key, ticket: ticket.clone(), reply: Reply::Stream(batches), spent: Duration::ZERO };
        match self.reader.shared.lanes.push(LaneKind::Stream, job) {
            None => Ok(Stream { generation: self.info.clone(), batches: receiver, ticket, _reader: self.reader.clone() }),
            Some(_) => Err(self.reader.shared.busy(limits.wait)),
        }
    }
}

/// An answer that is delivered batch by batch. Dropping it interrupts the question.
pub struct Stream {
    /// The generation it belongs to.
    pub generation: Arc<GenerationInfo>,
    batches: mpsc::Receiver<Result<RecordBatch, ReaderError>>,
    ticket: Arc<Ticket>,
    _reader: Reader,
}

impl Stream {
    /// The next batch; the first one may be empty and tells the columns. `None` after the last one or after an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, ReaderError>> {
        self.batches.recv().await
    }

    /// As [`Stream::next`], for threads that may wait. Must not be called from asynchronous code.
    pub fn blocking_next(&mut self) -> Option<Result<RecordBatch, ReaderError>> {
        self.batches.blocking_recv()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ticket.stop(Why::Abandoned);
    }
}

fn remembered(shared: &Shared, generation: &Generation, key: &Key) -> Option<Arc<Answer>> {
    let answer = generation.cache.get(key);
    shared.counts.count(answer.is_some());
    answer
}

/// Joins the execution that is under way, or makes a job of a new one.
fn join(shared: &Arc<Shared>, generation: &Arc<Generation>, key: Key) -> (Arc<Asking>, Option<Job>) {
    let mut under_way = lock(&generation.under_way);
    if let Some(asking) = under_way.get(&key).and_then(Weak::upgrade) {
        return (asking, None);
    }
    let (sender, outcome) = watch::channel(None);
    let (told, limits, away) = (sender.clone(), key.limits, shared.away.clone());
    let give_up = move |why| {
        let Some(error) = given_up(why, &limits, away.as_deref()) else { return };
        told.send_if_modified(|outcome| {
            let first = outcome.is_none();
            if first {
                *outcome = Some(Err(error));
            }
            first
        });
    };
    let ticket = Ticket::queued(Instant::now() + key.limits.wait, &shared.watchdog, Box::new(give_up));
    let asking = Arc::new(Asking { ticket: ticket.clone(), outcome });
    under_way.retain(|_, asking| asking.strong_count() > 0);
    under_way.insert(key.clone(), Arc::downgrade(&asking));
    let job = Job { generation: generation.clone(), key, ticket, reply: Reply::Whole(sender), spent: Duration::ZERO };
    (asking, Some(job))
}

/// Gives a job to the threads of its lane.
fn queue(shared: &Shared, job: Job) {
    let lane = if shared.slow(&job) { LaneKind::Long } else { LaneKind::Short };
    let wait = job.key.limits.wait;
    if let Some(job) = shared.lanes.push(lane, job) {
        job.fail(shared.busy(wait));
    }
}

impl Shared {
    /// Whether a question of this text is known to take long.
    fn slow(&self, job: &Job) -> bool {
        self.slow.get(&job.key.query.sql).is_some()
    }
}

/// Answers jobs of one lane until the reader is gone.
pub(super) fn work(shared: &Arc<Shared>, lane: LaneKind, slot: usize) {
    while let Some(job) = shared.lanes.pop(lane) {
        serve(shared, lane, slot, job);
    }
}

fn serve(shared: &Arc<Shared>, lane: LaneKind, slot: usize, mut job: Job) {
    let generation = job.generation.clone();
    let connection = lock(&generation.slots[slot]);
    let Some(connection) = connection.as_ref() else {
        return job.fail(Generation::gone());
    };
    let begun = Instant::now();
    let limit = job.key.limits.time;
    let deadline = begun + limit.saturating_sub(job.spent);
    let preempt = (lane == LaneKind::Short).then(|| begun + shared.lanes.patience(shared.limits.short));
    if job.given_up() {
        return;
    }
    if !job.ticket.begin(connection.interrupt_handle(), deadline, preempt) {
        return job.fail(Generation::gone());
    }
    // Arrow's conversions may panic on data they do not know; the thread and the connection must survive that.
    let result = catch_unwind(AssertUnwindSafe(|| execute(shared, &generation, connection, &job)))
        .unwrap_or_else(|_| Err(ReaderError::Engine { message: "the answer could not be converted".to_owned() }));
    let result = match &shared.away {
        Some(away) => result.inspect(|_| away.is_back()).map_err(ReaderError::of_a_lake),
        None => result,
    };
    let why = job.ticket.end();
    match (result, why) {
        (Ok(Some(answer)), _) => {
            // What took long once, perhaps because the machine was busy, need not take long for ever.
            if lane == LaneKind::Long && begun.elapsed() < QUICK {
                shared.slow.remove(&job.key.query.sql);
            }
            let answer = Arc::new(answer);
            generation.cache.insert(job.key.clone(), answer.clone());
            lock(&generation.under_way).remove(&job.key);
            if let Reply::Whole(outcome) = job.reply {
                outcome.send_replace(Some(Ok(answer)));
            }
        }
        (Ok(None), _) | (Err(_), Some(Why::Abandoned | Why::Expired)) => {}
        // Whatever else was to be said: that is why it took so long.
        (Err(error @ ReaderError::Away { .. }), _) => {
            shared.away.as_ref().inspect(|away| away.note());
            job.fail(error);
        }
        (Err(_), Some(Why::Preempted)) => {
            shared.slow.insert(job.key.query.sql.clone(), ());
            job.spent += begun.elapsed();
            if job.ticket.queue_again(Instant::now() + job.key.limits.wait)
                && let Some(job) = shared.lanes.push(LaneKind::Long, job)
            {
                let wait = job.key.limits.wait;
                job.fail(shared.busy(wait));
            }
        }
        (Err(_), Some(Why::TimedOut)) => job.fail(ReaderError::TimedOut { limit }),
        (Err(_), Some(Why::Retired)) => job.fail(Generation::gone()),
        (Err(error), None) => job.fail(error),
    }
}

/// Runs the query; `None` when its rows have been delivered as a stream.
fn execute(shared: &Shared, generation: &Arc<Generation>, connection: &Connection, job: &Job) -> Result<Option<Answer>, ReaderError> {
    let Key { query, limits } = &job.key;
    generation.check(&shared.checked, connection, &query.sql)?;
    let failed = |error: duckdb::Error| ReaderError::engine(&error);
    let mut statement = connection.prepare(&query.sql).map_err(failed)?;
    let mut bound = Vec::with_capacity(statement.parameter_count());
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).map_err(failed)?;
        let value = query.values.iter().find(|(known, _)| *known == name);
        let missing = || ReaderError::Refused { reason: format!("the question needs a value for ${name}") };
        bound.push(value.ok_or_else(missing)?.1.value());
    }
    let schema = statement.stream_arrow(duckdb::params_from_iter(bound)).map_err(failed)?.get_schema();
    let fields = values::fields(&schema, &statement).into_iter().map(lower_case).collect();
    let schema = lower_case_schema(&schema);
    let renamed = |batch: RecordBatch| {
        RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(|error| ReaderError::Engine { message: error.to_string() })
    };
    let (mut rows, mut bytes, mut batches) = (0, 0, Vec::new());
    if let Reply::Stream(reply) = &job.reply
        && reply.blocking_send(Ok(RecordBatch::new_empty(schema.clone()))).is_err()
    {
        return Ok(None);
    }
    while let Some(batch) = statement.step().map_err(failed)? {
        let batch = renamed(RecordBatch::from(&batch))?;
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        if rows > limits.rows {
            return Err(ReaderError::TooLarge { what: "rows", limit: limits.rows as u64 });
        }
        if bytes > limits.bytes {
            return Err(ReaderError::TooLarge { what: "bytes", limit: limits.bytes as u64 });
        }
        match &job.reply {
            Reply::Whole(_) => batches.push(batch),
            Reply::Stream(reply) if reply.blocking_send(Ok(batch)).is_err() => return Ok(None),
            Reply::Stream(_) => {}
        }
    }
    let whole = matches!(job.reply, Reply::Whole(_));
    Ok(whole.then(|| Answer {
        generation: super::follow::read(&generation.info).clone(),
        fields,
        schema: schema.clone(),
        batches,
        rows,
        bytes,
    }))
}

fn lower_case(field: Field) -> Field {
    Field { name: field.name.to_lowercase(), ..field }
}

fn lower_case_schema(schema: &Schema) -> SchemaRef {
    let lower = |field: &Arc<datatypes::Field>| field.as_ref().clone().with_name(field.name().to_lowercase());
    Arc::new(Schema::new_with_metadata(schema.fields().iter().map(lower).collect::<Vec<_>>(), schema.metadata().clone()))
}
