//! The path of one query from its caller through the queue and the engine.

use std::{
    collections::HashMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, Weak},
    thread,
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
    Budget, BufferQuota, Pin, Query, QueryLimits, Reader, ReaderError, Reservation, block_on,
    generation::{GenerationInfo, OpenGeneration},
    priority,
    scheduler::QueueKind,
    shared::ReaderInner,
    storage_health::stop_error,
    watchdog::{Lowering, StopReason, Ticket, lock},
};
use crate::values::{self, Field};

/// A query in the long queue that ends within this time is classified as short again.
const SHORT_QUERY_THRESHOLD: Duration = Duration::from_millis(50);

/// A complete result. Every batch has the columns of `schema`.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// The generation that was queried.
    pub generation: Arc<GenerationInfo>,
    /// Its columns, with names in lower case and DuckDB's types.
    pub fields: Vec<Field>,
    /// The same columns as an Arrow schema.
    pub schema: SchemaRef,
    /// In result order.
    pub batches: Vec<RecordBatch>,
    /// Total rows of all batches.
    pub rows: usize,
    /// Memory used by all batches.
    pub bytes: usize,
}

/// Identity of a query: two queries with equal keys share one execution and one cached result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CacheKey {
    query: Query,
    limits: QueryLimits,
}

type SharedResult = Result<Arc<QueryResult>, ReaderError>;

/// One execution that several callers may await. It is interrupted when the last of them is
/// dropped.
pub(super) struct InFlightQuery {
    ticket: Arc<Ticket>,
    outcome: watch::Receiver<Option<SharedResult>>,
}

impl InFlightQuery {
    async fn outcome(&self) -> SharedResult {
        let mut outcome = self.outcome.clone();
        let reply =
            outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        reply.unwrap_or_else(|| Err(OpenGeneration::retired_error()))
    }

    pub(super) fn stop(&self, why: StopReason) {
        self.ticket.stop(why);
    }
}

impl Drop for InFlightQuery {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.ticket.stop(StopReason::Abandoned);
        }
    }
}

/// The executions in progress in one generation.
pub(super) type InFlightQueries = Mutex<HashMap<CacheKey, Weak<InFlightQuery>>>;

/// A query on its way to a worker thread.
pub(super) struct QueryJob {
    generation: Arc<OpenGeneration>,
    key: CacheKey,
    ticket: Arc<Ticket>,
    reply: Reply,
    spent: Duration,
    /// Deadline of the query's budget.
    until: Option<Instant>,
}

enum Reply {
    Whole(watch::Sender<Option<SharedResult>>),
    Stream(StreamSender),
}

/// A batch on its way to the consumer of a stream.
struct BufferedBatch {
    batch: RecordBatch,
    /// Its bytes in the consumer's quota, and its place among the batches of the stream.
    room: Option<(Reservation, Arc<()>)>,
}

/// The sending half of a stream.
struct StreamSender {
    batches: mpsc::Sender<Result<BufferedBatch, ReaderError>>,
    quota: Option<Arc<BufferQuota>>,
    /// Counts the batches that the consumer has not processed yet.
    buffered: Arc<()>,
}

impl StreamSender {
    /// Sends a batch when there is room for it. Returns false if nobody wants it any more.
    fn send(&self, batch: RecordBatch) -> Result<bool, ReaderError> {
        let room = match &self.quota {
            None => None,
            Some(quota) => match self.reserve(quota, batch.get_array_memory_size())? {
                Some(reserved) => Some((reserved, self.buffered.clone())),
                None => return Ok(false),
            },
        };
        Ok(self.batches.blocking_send(Ok(BufferedBatch { batch, room })).is_ok())
    }

    /// Waits for room in the quota as long as this stream's own batches occupy some of it: its
    /// consumer is about to process them, whereas other streams may be suspended for ever.
    fn reserve(
        &self,
        quota: &Arc<BufferQuota>,
        bytes: usize,
    ) -> Result<Option<Reservation>, ReaderError> {
        let may_wait = || Arc::strong_count(&self.buffered) > 1 && !self.batches.is_closed();
        let reserved = quota.reserve_while(bytes, may_wait);
        let limit = quota.limit() as u64;
        match reserved {
            None if self.batches.is_closed() => Ok(None),
            None if bytes > quota.limit() => {
                Err(ReaderError::TooLarge { what: "bytes in a few rows", limit })
            }
            None => Err(ReaderError::BuffersFull { limit }),
            reserved => Ok(reserved),
        }
    }
}

impl QueryJob {
    /// Returns whether no caller waits for the result any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.reply {
            Reply::Whole(outcome) => outcome.is_closed() || outcome.borrow().is_some(),
            Reply::Stream(reply) => reply.batches.is_closed(),
        }
    }

    /// Replies to the callers that the reader has shut down.
    pub(super) fn abandon(self) {
        let gone = OpenGeneration::retired_error();
        match self.reply {
            Reply::Whole(outcome) => drop(outcome.send_replace(Some(Err(gone)))),
            // Dropping the sender ends the stream.
            Reply::Stream(_) => {}
        }
    }

    fn fail(self, error: ReaderError) {
        match self.reply {
            Reply::Whole(outcome) => drop(outcome.send_replace(Some(Err(error)))),
            // The receiver of a full channel notices the failure when the channel closes.
            Reply::Stream(reply) => drop(reply.batches.blocking_send(Err(error))),
        }
    }
}

impl Pin {
    /// Runs a query on this generation. A cached result is returned without an execution, and
    /// identical concurrent queries share one.
    ///
    /// Dropping the future interrupts the query, unless another caller waits for the same
    /// execution.
    ///
    /// # Errors
    /// Every [`ReaderError`].
    pub fn query(
        &self,
        query: Query,
        limits: QueryLimits,
    ) -> impl Future<Output = SharedResult> + Send + 'static {
        let pin = self.clone();
        async move {
            let (shared, generation) = (&pin.reader.shared, &pin.generation);
            let key = CacheKey { query, limits };
            let budget = pin.budget.as_deref();
            if let Some(answer) = find_cached(shared, generation, &key) {
                return budget.map_or(Ok(answer.clone()), |budget| budget.charge(Ok(answer)));
            }
            let _permit = Budget::acquire(budget).await?;
            let (asking, job) = coalesce(shared, generation, key, budget.map(Budget::until));
            if let Some(job) = job {
                enqueue(shared, job);
            }
            let outcome = asking.outcome().await;
            let outcome =
                budget.map_or_else(|| outcome.clone(), |budget| budget.charge(outcome.clone()));
            pin.note_transient(&outcome);
            outcome
        }
    }

    /// Works like [`Pin::query`], for threads that may block. While a short-query slot is free, the
    /// query runs on this thread, which saves a round trip to a worker. Must not be called from
    /// asynchronous code.
    ///
    /// # Errors
    /// Every [`ReaderError`].
    pub fn query_blocking(&self, query: Query, limits: QueryLimits) -> SharedResult {
        if self.budget.is_some() {
            return block_on(self.query(query, limits));
        }
        let key = CacheKey { query, limits };
        let shared = &self.reader.shared;
        if let Some(answer) = find_cached(shared, &self.generation, &key) {
            return Ok(answer);
        }
        let (asking, job) = coalesce(shared, &self.generation, key, None);
        if let Some(job) = job {
            let free = self.generation.connections[..shared.config.short]
                .iter()
                .position(|slot| slot.try_lock().is_ok());
            match free.filter(|_| !shared.is_long_running(&job)) {
                Some(slot) => run_job(shared, QueueKind::Short, slot, job),
                None => enqueue(shared, job),
            }
        }
        let outcome = block_on(asking.outcome());
        self.note_transient(&outcome);
        outcome
    }

    /// Runs a query and delivers its result batch by batch, as fast as the consumer reads it.
    ///
    /// # Errors
    /// Every [`ReaderError`]; later errors are items of the stream.
    pub fn stream(&self, query: Query, limits: QueryLimits) -> Result<Stream, ReaderError> {
        self.stream_within(query, limits, None)
    }

    /// Works like [`Pin::stream`]; batches that the consumer has not processed yet occupy `quota`,
    /// which several streams may share. The query waits while its own batches fill it.
    ///
    /// # Errors
    /// Those of [`Pin::stream`]. An item is [`ReaderError::TooLarge`] if one batch is larger than
    /// the quota, and [`ReaderError::BuffersFull`] if other reservations leave no room for it.
    pub fn stream_within(
        &self,
        query: Query,
        limits: QueryLimits,
        quota: Option<Arc<BufferQuota>>,
    ) -> Result<Stream, ReaderError> {
        const STREAM_BUFFER: usize = 2;
        let (batches, receiver) = mpsc::channel(STREAM_BUFFER);
        // A strong sender would keep the stream from ever ending.
        let expired = batches.downgrade();
        let until = Instant::now() + limits.queue_timeout;
        let own = limits;
        let health = self.reader.shared.storage_health.clone();
        let give_up = move |why| {
            if let Some(error) = stop_error(why, &own, health.as_deref()) {
                drop(expired.upgrade().map(|batches| batches.try_send(Err(error))));
            }
        };
        let ticket = Ticket::queued(until, &self.reader.shared.watchdog, Box::new(give_up));
        let key = CacheKey { query, limits };
        self.generation.watch_stream(&ticket);
        let job = QueryJob {
            generation: self.generation.clone(),
            key,
            ticket: ticket.clone(),
            reply: Reply::Stream(StreamSender { batches, quota, buffered: Arc::default() }),
            spent: Duration::ZERO,
            until: None,
        };
        match self.reader.shared.scheduler.push(QueueKind::Stream, job) {
            None => Ok(Stream {
                generation: self.info.clone(),
                batches: receiver,
                room: None,
                ticket,
                _reader: self.reader.clone(),
            }),
            Some(_) => Err(self.reader.shared.busy(limits.queue_timeout)),
        }
    }
}

/// A result that is delivered batch by batch. Dropping it interrupts the query.
pub struct Stream {
    /// The generation that was queried.
    pub generation: Arc<GenerationInfo>,
    batches: mpsc::Receiver<Result<BufferedBatch, ReaderError>>,
    /// That of the batch which was returned last. The bytes are released before the place, so that a
    /// waiting sender finds either.
    room: Option<(Reservation, Arc<()>)>,
    ticket: Arc<Ticket>,
    _reader: Reader,
}

impl Stream {
    /// Returns the next batch. The first one carries the schema and may be empty. Returns `None`
    /// after the last batch or after an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, ReaderError>> {
        self.room = None;
        let next = self.batches.recv().await;
        self.receive(next)
    }

    /// Works like [`Stream::next`], for threads that may block. Must not be called from
    /// asynchronous code.
    pub fn blocking_next(&mut self) -> Option<Result<RecordBatch, ReaderError>> {
        self.room = None;
        let next = self.batches.blocking_recv();
        self.receive(next)
    }

    fn receive(
        &mut self,
        next: Option<Result<BufferedBatch, ReaderError>>,
    ) -> Option<Result<RecordBatch, ReaderError>> {
        Some(next?.map(|BufferedBatch { batch, room }| {
            self.room = room;
            batch
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ticket.stop(StopReason::Abandoned);
    }
}

fn find_cached(
    shared: &ReaderInner,
    generation: &OpenGeneration,
    key: &CacheKey,
) -> Option<Arc<QueryResult>> {
    let answer = generation.cache.get(key);
    shared.cache_counters.count(answer.is_some());
    answer
}

/// Joins the execution in progress, or creates a job for a new one.
fn coalesce(
    shared: &Arc<ReaderInner>,
    generation: &Arc<OpenGeneration>,
    key: CacheKey,
    until: Option<Instant>,
) -> (Arc<InFlightQuery>, Option<QueryJob>) {
    let mut under_way = lock(&generation.in_flight);
    if let Some(asking) = under_way.get(&key).and_then(Weak::upgrade) {
        return (asking, None);
    }
    let (sender, outcome) = watch::channel(None);
    let (outcome_tx, limits, health) = (sender.clone(), key.limits, shared.storage_health.clone());
    let give_up = move |why| {
        let Some(error) = stop_error(why, &limits, health.as_deref()) else { return };
        outcome_tx.send_if_modified(|outcome| {
            let first = outcome.is_none();
            if first {
                *outcome = Some(Err(error));
            }
            first
        });
    };
    let queued_until =
        until.into_iter().fold(Instant::now() + key.limits.queue_timeout, Instant::min);
    let ticket = Ticket::queued(queued_until, &shared.watchdog, Box::new(give_up));
    let asking = Arc::new(InFlightQuery { ticket: ticket.clone(), outcome });
    under_way.retain(|_, asking| asking.strong_count() > 0);
    under_way.insert(key.clone(), Arc::downgrade(&asking));
    let job = QueryJob {
        generation: generation.clone(),
        key,
        ticket,
        reply: Reply::Whole(sender),
        spent: Duration::ZERO,
        until,
    };
    (asking, Some(job))
}

/// Adds a job to its queue.
fn enqueue(shared: &ReaderInner, job: QueryJob) {
    let queue_kind = if shared.is_long_running(&job) { QueueKind::Long } else { QueueKind::Short };
    let wait = job.key.limits.queue_timeout;
    if let Some(job) = shared.scheduler.push(queue_kind, job) {
        job.fail(shared.busy(wait));
    }
}

impl ReaderInner {
    /// Returns whether queries of this text are known to run long.
    fn is_long_running(&self, job: &QueryJob) -> bool {
        self.long_running.get(&job.key.query.sql).is_some()
    }
}

/// Name of the threads that run queries.
pub(super) const WORKER: &str = "reader-answer";

/// Runs the jobs of one queue until the reader shuts down.
pub(super) fn run_worker(shared: &Arc<ReaderInner>, queue_kind: QueueKind, slot: usize) {
    while let Some(job) = shared.scheduler.pop(queue_kind) {
        let ticket = job.ticket.clone();
        run_job(shared, queue_kind, slot, job);
        if !ticket.has_lowered() {
            continue;
        }
        // A thread that this one started would inherit its low priority.
        lock(&shared.vacancies).push((queue_kind, slot));
        shared.poll_signal.notify();
        return;
    }
}

/// Starts a thread in the place of each one that has ended because of its low priority.
pub(super) fn replace_workers(shared: &Arc<ReaderInner>) {
    let vacancies = std::mem::take(&mut *lock(&shared.vacancies));
    for (queue_kind, slot) in vacancies {
        let own = shared.clone();
        let started = thread::Builder::new()
            .name(WORKER.to_owned())
            .spawn(move || run_worker(&own, queue_kind, slot));
        match started {
            Ok(successor) => {
                let mut successors = lock(&shared.successors);
                successors.retain(|earlier| !earlier.is_finished());
                successors.push(successor);
            }
            // The next poll tries again.
            Err(_) => lock(&shared.vacancies).push((queue_kind, slot)),
        }
    }
}

fn run_job(shared: &Arc<ReaderInner>, queue_kind: QueueKind, slot: usize, mut job: QueryJob) {
    let generation = job.generation.clone();
    let connection = lock(&generation.connections[slot]);
    let Some(connection) = connection.as_ref() else {
        return job.fail(OpenGeneration::retired_error());
    };
    let begun = Instant::now();
    let limit = job.key.limits.timeout;
    let deadline =
        job.until.into_iter().fold(begun + limit.saturating_sub(job.spent), Instant::min);
    let preempt = (queue_kind == QueueKind::Short)
        .then(|| begun + shared.scheduler.time_slice(shared.config.short));
    if job.is_abandoned() {
        return;
    }
    let lower = shared.config.give_way_after.filter(|_| queue_kind == QueueKind::Stream).and_then(
        |after| Some(Lowering { at: begun + after, thread: priority::current_thread()? }),
    );
    if !job.ticket.begin(connection.interrupt_handle(), deadline, preempt, lower) {
        return job.fail(OpenGeneration::retired_error());
    }
    // Arrow's conversions may panic on unsupported data; the thread and the connection must survive
    // that.
    let result =
        catch_unwind(AssertUnwindSafe(|| execute(shared, &generation, (slot, connection), &job)))
            .unwrap_or_else(|_| {
                Err(ReaderError::Engine { message: "the result could not be converted".to_owned() })
            });
    let result = match &shared.storage_health {
        Some(health) => result.inspect(|_| health.record_success()).map_err(ReaderError::for_lake),
        None => result,
    };
    let why = job.ticket.end();
    match (result, why) {
        (Ok(Some(answer)), _) => {
            // A query that was slow once, for example on a busy machine, is not classified as long
            // forever.
            if queue_kind == QueueKind::Long && begun.elapsed() < SHORT_QUERY_THRESHOLD {
                shared.long_running.remove(&job.key.query.sql);
            }
            let answer = Arc::new(answer);
            generation.cache.insert(job.key.clone(), answer.clone());
            lock(&generation.in_flight).remove(&job.key);
            if let Reply::Whole(outcome) = job.reply {
                outcome.send_replace(Some(Ok(answer)));
            }
        }
        (Ok(None), _) | (Err(_), Some(StopReason::Abandoned | StopReason::QueueTimeout)) => {}
        // Unavailable storage explains a timeout, so it takes precedence over the stop reason.
        (Err(error @ ReaderError::StorageUnavailable { .. }), _) => {
            shared.storage_health.as_ref().inspect(|health| health.record_failure());
            job.fail(error);
        }
        (Err(_), Some(StopReason::Preempted)) => {
            shared.long_running.insert(job.key.query.sql.clone(), ());
            job.spent += begun.elapsed();
            if job.ticket.queue_again(Instant::now() + job.key.limits.queue_timeout)
                && let Some(job) = shared.scheduler.push(QueueKind::Long, job)
            {
                let wait = job.key.limits.queue_timeout;
                job.fail(shared.busy(wait));
            }
        }
        (Err(_), Some(StopReason::TimedOut)) => job.fail(ReaderError::TimedOut { limit }),
        (Err(_), Some(StopReason::Retired)) => job.fail(OpenGeneration::retired_error()),
        (Err(error), None) => job.fail(error),
    }
}

/// Runs the query; returns `None` when the rows were delivered as a stream.
fn execute(
    shared: &ReaderInner,
    generation: &Arc<OpenGeneration>,
    (slot, connection): (usize, &Connection),
    job: &QueryJob,
) -> Result<Option<QueryResult>, ReaderError> {
    let CacheKey { query, limits } = &job.key;
    generation.enter(slot, connection, query.namespace.as_deref())?;
    generation.check(&shared.validated, connection, query)?;
    let failed = |error: duckdb::Error| ReaderError::engine(&error);
    let mut statement = connection.prepare(&query.sql).map_err(failed)?;
    let mut bound = Vec::with_capacity(statement.parameter_count());
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).map_err(failed)?;
        let value = query.values.iter().find(|(known, _)| *known == name);
        let missing =
            || ReaderError::Refused { reason: format!("the query needs a value for ${name}") };
        bound.push(value.ok_or_else(missing)?.1.value());
    }
    let schema =
        statement.stream_arrow(duckdb::params_from_iter(bound)).map_err(failed)?.get_schema();
    let fields = values::fields(&schema, &statement);
    let (fields, schema) = match query.namespace {
        Some(_) => (fields, schema),
        None => (fields.into_iter().map(lower_case).collect(), lower_case_schema(&schema)),
    };
    let renamed = |batch: RecordBatch| {
        RecordBatch::try_new(schema.clone(), batch.columns().to_vec())
            .map_err(|error| ReaderError::Engine { message: error.to_string() })
    };
    let (mut rows, mut bytes, mut batches) = (0, 0, Vec::new());
    if let Reply::Stream(reply) = &job.reply
        && !reply.send(RecordBatch::new_empty(schema.clone()))?
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
            Reply::Stream(reply) if !reply.send(batch)? => return Ok(None),
            Reply::Stream(_) => {}
        }
    }
    let whole = matches!(job.reply, Reply::Whole(_));
    let generation = super::follower::read_lock(&generation.info).clone();
    Ok(whole.then(|| QueryResult {
        generation,
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
    let lower = |field: &Arc<datatypes::Field>| {
        field.as_ref().clone().with_name(field.name().to_lowercase())
    };
    Arc::new(Schema::new_with_metadata(
        schema.fields().iter().map(lower).collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}
