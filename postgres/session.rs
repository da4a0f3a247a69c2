//! One connection after its start: statements, portals, transactions.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use materia::{
    endpoint::Connection,
    reader::{Query, QueryLimits, Reservation},
};
use pgwire::messages::{
    PgWireBackendMessage as Message, PgWireFrontendMessage,
    copy::{CopyDone, CopyOutResponse},
    data::{NoData, ParameterDescription},
    extendedquery::{
        Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
        PortalSuspended, TARGET_TYPE_BYTE_STATEMENT,
    },
    response::{
        CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery,
        TransactionStatus,
    },
    startup::ParameterStatus,
};

use crate::{
    activity::{self, ActiveStatement},
    audience::Audience,
    copy::CopyWriter,
    error::{
        FAILED_TRANSACTION, NOT_SUPPORTED, PROTOCOL_VIOLATION, QUERY_CANCELED, SqlError,
        TOO_MANY_CONNECTIONS, UNDEFINED_CURSOR, UNDEFINED_STATEMENT,
    },
    lexer,
    params::{self, Bound},
    rewrite::{self, Rewriter, Rewritten},
    running::{Running, Sink, describe, put_text_row},
    server::{Client, Control, Server},
    session_settings::SessionSettings,
    statement::{Copy, Statement},
    types::{self, ColumnType},
    wire::{Wire, WireError},
};

/// The longest statement, in bytes.
const MAX_STATEMENT: usize = 256 << 10;
/// Prepared statements of one connection.
const MAX_PREPARED: usize = 2_000;
/// How long a statement waits until what has just been published is open, which takes milliseconds
/// unless the disk is slow.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for the SQL expression that casts a parameter, which is kept with its value.
const CAST_BYTES: usize = 64;
/// Portals and cursors of one connection; each that has begun occupies a stream of the reader.
const MAX_PORTALS: usize = 8;

/// Why a message could not be answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client gets the error, and the connection stays open.
    Sql(Box<SqlError>),
    Wire(WireError),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Sql(Box::new(error))
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

struct Prepared {
    sql: String,
    statement: Statement,
    parameters: Vec<u32>,
    _memory: Reservation,
}

/// A statement with values, and its rows.
struct Portal {
    prepared: Arc<Prepared>,
    bound: Vec<Bound>,
    formats: Vec<i16>,
    running: Option<Running>,
    /// Whether rows were sent already, so that the next `Execute` continues.
    suspended: bool,
    _memory: Reservation,
}

pub(crate) struct Session {
    pub(crate) wire: Wire,
    pub(crate) control: Arc<Control>,
    server: Arc<Server>,
    client: Client,
    settings: SessionSettings,
    status: TransactionStatus,
    /// What the transaction, or the messages up to the next `Sync`, read.
    audience: Option<Arc<Audience>>,
    prepared: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    /// Cursors of `DECLARE`.
    cursors: HashMap<String, Running>,
    /// Whether messages are ignored up to the next `Sync`.
    skipping: bool,
}

impl Session {
    pub(crate) fn new(
        wire: Wire,
        server: Arc<Server>,
        control: Arc<Control>,
        client: Client,
        settings: SessionSettings,
    ) -> Self {
        Self {
            wire,
            control,
            server,
            client,
            settings,
            status: TransactionStatus::Idle,
            audience: None,
            prepared: HashMap::new(),
            portals: HashMap::new(),
            cursors: HashMap::new(),
            skipping: false,
        }
    }

    pub(crate) fn account(&self) -> &str {
        &self.client.identity.account
    }

    pub(crate) fn key(&self) -> &str {
        &self.client.identity.key
    }

    pub(crate) fn count_cancelled(&self) {
        self.server.metrics.cancelled.inc();
    }

    /// Serves the connection until it ends.
    ///
    /// # Errors
    /// Why it ended, unless the client said so.
    pub(crate) async fn run(&mut self) -> Result<(), WireError> {
        loop {
            let message = self.wire.next().await?;
            if matches!(message, PgWireFrontendMessage::Terminate(_)) {
                return Ok(());
            }
            let is_sync = matches!(message, PgWireFrontendMessage::Sync(_));
            if self.skipping && !is_sync {
                continue;
            }
            let is_simple = matches!(message, PgWireFrontendMessage::Query(_));
            let outcome = self.answer(message).await;
            match outcome {
                // Without it, messages before a `Sync` would be answered into memory.
                Ok(()) => self.wire.flush_if_full().await?,
                Err(Failure::Wire(error)) => return Err(error),
                Err(Failure::Sql(error)) => {
                    self.report(&error)?;
                    if error.fatal {
                        self.wire.flush().await?;
                        return Ok(());
                    }
                    if is_simple { self.ready().await? } else { self.skipping = true }
                }
            }
            if self.skipping {
                self.wire.flush().await?;
            }
        }
    }

    /// Tells the client of an error, which fails the transaction.
    pub(crate) fn report(&mut self, error: &SqlError) -> Result<(), WireError> {
        self.server.metrics.errors.inc();
        if self.status == TransactionStatus::Transaction {
            self.status = TransactionStatus::Error;
        }
        self.wire.put(&Message::ErrorResponse(ErrorResponse::new(error.fields())))
    }

    async fn ready(&mut self) -> Result<(), WireError> {
        if self.status == TransactionStatus::Idle {
            self.end_transaction();
        }
        self.wire.put(&Message::ReadyForQuery(ReadyForQuery::new(self.status)))?;
        self.wire.flush().await
    }

    fn end_transaction(&mut self) {
        self.audience = None;
        self.portals.clear();
        self.cursors.clear();
    }

    async fn answer(&mut self, message: PgWireFrontendMessage) -> Result<(), Failure> {
        match message {
            PgWireFrontendMessage::Query(query) => {
                self.control.forget_cancellation();
                self.simple(&query.query).await?;
                Ok(self.ready().await?)
            }
            PgWireFrontendMessage::Parse(parse) => self.parse(parse).await,
            PgWireFrontendMessage::Bind(bind) => self.bind(bind),
            PgWireFrontendMessage::Describe(describe) => self.describe(describe).await,
            PgWireFrontendMessage::Execute(execute) => self.execute(execute).await,
            PgWireFrontendMessage::Close(close) => self.close(close),
            PgWireFrontendMessage::Flush(_) => Ok(self.wire.flush().await?),
            PgWireFrontendMessage::Sync(_) => {
                self.skipping = false;
                self.control.forget_cancellation();
                Ok(self.ready().await?)
            }
            // A COPY that failed leaves these behind.
            PgWireFrontendMessage::CopyData(_)
            | PgWireFrontendMessage::CopyDone(_)
            | PgWireFrontendMessage::CopyFail(_) => Ok(()),
            _ => Err(SqlError::fatal(PROTOCOL_VIOLATION, "unexpected message").into()),
        }
    }

    /// Answers a simple query, which may have several statements.
    async fn simple(&mut self, text: &str) -> Result<(), Failure> {
        let places = lexer::statements(text);
        if places.is_empty() {
            return Ok(self.wire.put(&Message::EmptyQueryResponse(EmptyQueryResponse::new()))?);
        }
        for place in places {
            let offset = text[..place.start].chars().count();
            let outcome = self.simple_statement(&text[place]).await;
            if let Err(Failure::Sql(mut error)) = outcome {
                error.position = error.position.map(|position| position + offset);
                return Err(Failure::Sql(error));
            }
            outcome?;
        }
        Ok(())
    }

    async fn simple_statement(&mut self, sql: &str) -> Result<(), Failure> {
        let statement = Statement::parse(sql)?;
        self.require_healthy(&statement)?;
        match statement {
            Statement::Query(sql) => {
                let mut running = self.start(&sql, &[]).await?;
                self.wire.put(&Message::RowDescription(running.description(&[])))?;
                let rows = running.send(self, None, Sink::Rows(&[])).await?;
                self.complete_rows(Statement::tag(&sql), rows)
            }
            Statement::Execute { name, arguments } => {
                let (prepared, bound) = self.bind_texts(&name, &arguments)?;
                let mut running = self.start(&prepared.sql, &bound).await?;
                self.wire.put(&Message::RowDescription(running.description(&[])))?;
                let rows = running.send(self, None, Sink::Rows(&[])).await?;
                self.complete_rows(Statement::tag(&prepared.sql), rows)
            }
            Statement::Show(_) | Statement::Signal { .. } => {
                self.wire
                    .put(&Message::RowDescription(describe_texts(&own_columns(&statement))))?;
                self.answer_itself(&statement).await
            }
            Statement::Fetch { name, rows, moves } => {
                let mut cursor = self.take_cursor(&name)?;
                if !moves {
                    self.wire.put(&Message::RowDescription(cursor.description(&[])))?;
                }
                let sink = if moves { Sink::Nowhere } else { Sink::Rows(&[]) };
                let sent = cursor.send(self, rows, sink).await?;
                self.cursors.insert(name, cursor);
                self.complete_rows(if moves { "MOVE" } else { "FETCH" }, sent)
            }
            other => self.perform(other).await,
        }
    }

    /// Runs a statement that has no rows.
    async fn perform(&mut self, statement: Statement) -> Result<(), Failure> {
        match statement {
            Statement::Empty => {
                Ok(self.wire.put(&Message::EmptyQueryResponse(EmptyQueryResponse::new()))?)
            }
            Statement::Copy(copy) => self.copy(copy).await,
            Statement::Set { name, value } => {
                if let Some((name, value)) = self.settings.set(&name, value)? {
                    self.tell_parameter(name, &value)?;
                }
                self.complete("SET")
            }
            Statement::Reset(name) => {
                match name {
                    Some(name) => drop(self.settings.set(&name.to_lowercase(), None)?),
                    None => self.settings.reset_all(),
                }
                self.complete("RESET")
            }
            Statement::Begin => {
                if self.status == TransactionStatus::Idle {
                    self.audience = None;
                    self.audience().await?;
                    self.status = TransactionStatus::Transaction;
                } else {
                    self.warn("25001", "there is already a transaction in progress")?;
                }
                self.complete("BEGIN")
            }
            Statement::Commit | Statement::Rollback => {
                let failed = self.status == TransactionStatus::Error;
                if self.status == TransactionStatus::Idle {
                    self.warn("25P01", "there is no transaction in progress")?;
                }
                self.status = TransactionStatus::Idle;
                self.end_transaction();
                let commits = statement == Statement::Commit && !failed;
                self.complete(if commits { "COMMIT" } else { "ROLLBACK" })
            }
            Statement::Nothing(tag) => {
                if tag == "ROLLBACK" && self.status == TransactionStatus::Error {
                    self.status = TransactionStatus::Transaction;
                }
                self.complete(tag)
            }
            Statement::Deallocate(name) => {
                match name {
                    Some(name) if self.prepared.remove(&name).is_none() => {
                        return Err(undefined_statement(&name).into());
                    }
                    Some(_) => {}
                    None => self.prepared.clear(),
                }
                self.complete("DEALLOCATE")
            }
            Statement::Discard(all) => {
                self.prepared.clear();
                self.portals.clear();
                if all {
                    self.settings.reset_all();
                }
                self.complete(if all { "DISCARD ALL" } else { "DISCARD" })
            }
            Statement::Declare { name, query } => self.declare(name, &query).await,
            Statement::Close(name) => {
                match name {
                    Some(name) => drop(self.take_cursor(&name)?),
                    None => self.cursors.clear(),
                }
                self.complete("CLOSE CURSOR")
            }
            Statement::Prepare { name, types, query } => {
                let declared: Vec<u32> = types
                    .iter()
                    .map(|name| types::ALL.iter().find(|kind| kind.name == name))
                    .map(|kind| kind.map_or(0, |kind| kind.oid))
                    .collect();
                self.prepare(name, query, &declared).await?;
                self.complete("PREPARE")
            }
            // Those with rows are answered where their format is known.
            Statement::Query(_)
            | Statement::Show(_)
            | Statement::Signal { .. }
            | Statement::Fetch { .. }
            | Statement::Execute { .. } => {
                Err(SqlError::new(NOT_SUPPORTED, "this statement cannot be used here").into())
            }
        }
    }

    async fn declare(&mut self, name: String, query: &str) -> Result<(), Failure> {
        if self.status == TransactionStatus::Idle {
            return Err(SqlError::new(
                "25P01",
                "DECLARE CURSOR can only be used in transaction blocks",
            )
            .into());
        }
        if self.cursors.contains_key(&name) {
            return Err(SqlError::new("42P03", format!("cursor \"{name}\" already exists")).into());
        }
        self.check_portals()?;
        let running = self.start(query, &[]).await?;
        self.cursors.insert(name, running);
        self.complete("DECLARE CURSOR")
    }

    fn check_portals(&self) -> Result<(), SqlError> {
        if self.portals.len() + self.cursors.len() >= MAX_PORTALS {
            return Err(SqlError::new(
                "53400",
                format!("a connection has at most {MAX_PORTALS} open cursors and portals"),
            )
            .hint("Close those that are not needed any more."));
        }
        Ok(())
    }

    fn take_cursor(&mut self, name: &str) -> Result<Running, SqlError> {
        self.cursors.remove(name).ok_or_else(|| {
            SqlError::new(UNDEFINED_CURSOR, format!("cursor \"{name}\" does not exist"))
        })
    }

    async fn copy(&mut self, copy: Copy) -> Result<(), Failure> {
        let mut running = self.start(&copy.query, &[]).await?;
        let mut writer = CopyWriter::new(copy.format);
        let format = i16::from(writer.is_binary());
        let columns = i16::try_from(running.kinds.len()).unwrap_or(i16::MAX);
        self.wire.put(&Message::CopyOutResponse(CopyOutResponse::new(
            i8::try_from(format).unwrap_or(0),
            columns,
            vec![format; running.kinds.len()],
        )))?;
        if let Some(header) = writer.header(&running.fields) {
            self.put_copy(&header)?;
        }
        let rows = running.send(self, None, Sink::Copy(&mut writer)).await?;
        if let Some(trailer) = writer.trailer() {
            self.put_copy(&trailer)?;
        }
        self.wire.put(&Message::CopyDone(CopyDone::new()))?;
        self.complete_rows("COPY", rows)
    }

    fn put_copy(&mut self, bytes: &[u8]) -> Result<(), SqlError> {
        self.wire.put_with(b'd', |out| {
            out.extend_from_slice(bytes);
            Ok(())
        })
    }

    // The extended protocol.

    async fn parse(&mut self, message: Parse) -> Result<(), Failure> {
        self.control.forget_cancellation();
        let name = message.name.unwrap_or_default();
        self.prepare(name, message.query, &message.type_oids).await?;
        Ok(self.wire.put(&Message::ParseComplete(ParseComplete::new()))?)
    }

    async fn prepare(
        &mut self,
        name: String,
        sql: String,
        declared: &[u32],
    ) -> Result<(), Failure> {
        check_length(&sql)?;
        if lexer::statements(&sql).len() > 1 {
            return Err(SqlError::new(
                "42601",
                "cannot insert multiple commands into a prepared statement",
            )
            .into());
        }
        let sql = sql.trim_end_matches([';', ' ', '\n', '\t', '\r']);
        let sql = rewrite::replacement(sql).unwrap_or(sql).to_owned();
        let statement = Statement::parse(&sql)?;
        // The text is kept twice: as it was sent, and in the parsed statement.
        let memory =
            self.client.memory.keep("the prepared statement", name.len() + 2 * sql.len())?;
        if self.prepared.len() >= MAX_PREPARED && !self.prepared.contains_key(&name) {
            return Err(SqlError::new(
                "53400",
                format!("a connection has at most {MAX_PREPARED} prepared statements"),
            )
            .hint("Use DEALLOCATE, or connect anew.")
            .into());
        }
        let needs_types = matches!(statement, Statement::Query(_))
            && lexer::tokens(&sql).iter().any(|token| token.parameter(&sql).is_some());
        let parameters = if needs_types {
            let audience = self.audience().await?;
            let column = |name: &str| audience.seen.columns.get(&name.to_lowercase()).copied();
            params::infer(&sql, declared, &column)
        } else {
            Vec::new()
        };
        self.prepared
            .insert(name, Arc::new(Prepared { sql, statement, parameters, _memory: memory }));
        Ok(())
    }

    fn bind(&mut self, message: Bind) -> Result<(), Failure> {
        let name = message.statement_name.unwrap_or_default();
        let prepared =
            self.prepared.get(&name).cloned().ok_or_else(|| undefined_statement(&name))?;
        if message.parameters.len() != prepared.parameters.len() {
            return Err(SqlError::new(
                PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{name}\" requires {}",
                    message.parameters.len(),
                    prepared.parameters.len()
                ),
            )
            .into());
        }
        let portal = message.portal_name.unwrap_or_default();
        let lengths = message.parameters.iter().map(|value| value.as_ref().map_or(0, Bytes::len));
        let bytes: usize = lengths.map(|length| length + CAST_BYTES).sum();
        let memory = self.client.memory.keep("the portal", portal.len() + bytes)?;
        let bound = message.parameters.iter().enumerate().map(|(at, value)| {
            let binary = crate::running::format_of(&message.parameter_format_codes, at) == 1;
            let oid = prepared.parameters.get(at).copied().unwrap_or(types::TEXT.oid);
            params::bind(at + 1, oid, binary, value.as_deref())
        });
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        if !self.portals.contains_key(&portal) {
            self.check_portals()?;
        }
        let formats = message.result_column_format_codes;
        let bound =
            Portal { prepared, bound, formats, running: None, suspended: false, _memory: memory };
        self.portals.insert(portal, bound);
        Ok(self.wire.put(&Message::BindComplete(BindComplete::new()))?)
    }

    async fn describe(&mut self, message: Describe) -> Result<(), Failure> {
        let name = message.name.unwrap_or_default();
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            let prepared =
                self.prepared.get(&name).cloned().ok_or_else(|| undefined_statement(&name))?;
            self.wire.put(&Message::ParameterDescription(ParameterDescription::new(
                prepared.parameters.clone(),
            )))?;
            let description = match &prepared.statement {
                Statement::Query(_) => Some(self.describe_query(&prepared).await?),
                other => self.describe_other(other, &[]),
            };
            return self.put_description(description);
        }
        // Cursors are portals, too.
        if let Some(cursor) = self.cursors.get(&name) {
            let description = cursor.description(&[]);
            return self.put_description(Some(description));
        }
        let mut portal = self.take_portal(&name)?;
        let outcome = match &portal.prepared.statement {
            // The rows follow, so the query begins now; it is not planned twice.
            Statement::Query(_) => match self.begin(&mut portal).await {
                Ok(()) => {
                    Ok(portal.running.as_ref().map(|running| running.description(&portal.formats)))
                }
                Err(error) => Err(error),
            },
            other => Ok(self.describe_other(other, &portal.formats)),
        };
        self.portals.insert(name, portal);
        self.put_description(outcome?)
    }

    fn describe_other(
        &self,
        statement: &Statement,
        formats: &[i16],
    ) -> Option<pgwire::messages::data::RowDescription> {
        match statement {
            Statement::Show(_) | Statement::Signal { .. } => {
                Some(describe_texts(&own_columns(statement)))
            }
            Statement::Fetch { name, moves: false, .. } => {
                self.cursors.get(name).map(|cursor| cursor.description(formats))
            }
            _ => None,
        }
    }

    fn put_description(
        &mut self,
        description: Option<pgwire::messages::data::RowDescription>,
    ) -> Result<(), Failure> {
        match description {
            Some(description) => self.wire.put(&Message::RowDescription(description))?,
            None => self.wire.put(&Message::NoData(NoData::new()))?,
        }
        Ok(())
    }

    /// Finds the columns of a query without running it.
    async fn describe_query(
        &mut self,
        prepared: &Prepared,
    ) -> Result<pgwire::messages::data::RowDescription, Failure> {
        let nulls: Vec<Bound> = prepared
            .parameters
            .iter()
            .map(|oid| Bound {
                value: materia::reader::Param::Null,
                expression: params::null_expression(*oid),
            })
            .collect();
        let tokens = lexer::tokens(&prepared.sql);
        let is_explained = Statement::tag(&prepared.sql) != "SELECT";
        let limits = ["limit", "offset", "fetch", "for"];
        let is_limited =
            tokens.iter().any(|token| limits.iter().any(|word| token.is(&prepared.sql, word)));
        let sql = if is_explained {
            prepared.sql.clone()
        } else if is_limited {
            format!("SELECT * FROM ({}\n) AS described LIMIT 0", prepared.sql)
        } else {
            format!("{}\nLIMIT 0", prepared.sql)
        };
        let running = self.start_as(&prepared.sql, &sql, &nulls).await?;
        Ok(describe(&running.fields, &running.kinds, &[]))
    }

    async fn begin(&mut self, portal: &mut Portal) -> Result<(), Failure> {
        if portal.running.is_none() && !portal.suspended {
            self.require_healthy(&portal.prepared.statement)?;
            let prepared = portal.prepared.clone();
            portal.running = Some(self.start(&prepared.sql, &portal.bound).await?);
        }
        Ok(())
    }

    async fn execute(&mut self, message: Execute) -> Result<(), Failure> {
        let name = message.name.unwrap_or_default();
        let most = u64::try_from(message.max_rows).ok().filter(|most| *most > 0);
        let mut portal = self.take_portal(&name)?;
        let outcome = self.execute_portal(&mut portal, most).await;
        // A statement that ended the transaction closed its portals, too.
        if self.status != TransactionStatus::Idle || portal.running.is_some() || portal.suspended {
            self.portals.insert(name, portal);
        }
        outcome
    }

    async fn execute_portal(
        &mut self,
        portal: &mut Portal,
        most: Option<u64>,
    ) -> Result<(), Failure> {
        let prepared = portal.prepared.clone();
        self.require_healthy(&prepared.statement)?;
        match &prepared.statement {
            Statement::Query(sql) => {
                self.begin(portal).await?;
                let Some(mut running) = portal.running.take() else {
                    return self.complete_rows(Statement::tag(sql), 0);
                };
                let rows = running.send(self, most, Sink::Rows(&portal.formats)).await?;
                portal.suspended = true;
                if most.is_some_and(|most| rows == most) && !running.is_exhausted(self).await? {
                    portal.running = Some(running);
                    return Ok(self.wire.put(&Message::PortalSuspended(PortalSuspended::new()))?);
                }
                self.complete_rows(Statement::tag(sql), rows)
            }
            statement @ (Statement::Show(_) | Statement::Signal { .. }) => {
                self.answer_itself(statement).await
            }
            Statement::Fetch { name, rows, moves } => {
                let mut cursor = self.take_cursor(name)?;
                let sink = if *moves { Sink::Nowhere } else { Sink::Rows(&portal.formats) };
                let sent = cursor.send(self, *rows, sink).await?;
                self.cursors.insert(name.clone(), cursor);
                self.complete_rows(if *moves { "MOVE" } else { "FETCH" }, sent)
            }
            other => self.perform(other.clone()).await,
        }
    }

    fn take_portal(&mut self, name: &str) -> Result<Portal, SqlError> {
        self.portals.remove(name).ok_or_else(|| {
            SqlError::new(UNDEFINED_CURSOR, format!("portal \"{name}\" does not exist"))
        })
    }

    fn close(&mut self, message: Close) -> Result<(), Failure> {
        let name = message.name.unwrap_or_default();
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            self.prepared.remove(&name);
        } else {
            self.portals.remove(&name);
            self.cursors.remove(&name);
        }
        Ok(self.wire.put(&Message::CloseComplete(CloseComplete::new()))?)
    }

    // Common to both protocols.

    /// Returns what the current transaction reads; outside of one, what is current.
    async fn audience(&mut self) -> Result<Arc<Audience>, Failure> {
        if let Some(audience) = &self.audience {
            return Ok(audience.clone());
        }
        let failed = |error: &materia::reader::ReaderError| {
            SqlError::of_reader(error, &Rewritten::default(), &[])
        };
        let pin = match tokio::time::timeout(FOLLOW_TIMEOUT, self.client.reader.pin_latest()).await
        {
            Ok(pin) => pin,
            Err(_) => self.client.reader.pin(),
        };
        let pin = pin.map_err(|error| failed(&error))?;
        let audience = self.server.audiences.of(pin, &self.client.identity).await;
        let audience = Arc::new(audience.map_err(|error| failed(&error))?);
        self.audience = Some(audience.clone());
        Ok(audience)
    }

    /// Starts a query and waits for its columns.
    async fn start(&mut self, text: &str, bound: &[Bound]) -> Result<Running, Failure> {
        self.start_as(text, text, bound).await
    }

    /// Waits until the account has a place for another statement.
    async fn activate(&mut self, statement: &str) -> Result<ActiveStatement, Failure> {
        let limits = self.server.limits_of(&self.client.identity);
        let too_many = || {
            SqlError::new(
                TOO_MANY_CONNECTIONS,
                format!(
                    "too many statements at once: {} of an account run at the same time",
                    limits.statements
                ),
            )
            .hint("Close cursors that are not needed any more, and wait for other statements.")
        };
        // Nobody else would give a place back.
        if self.control.activity.running() >= limits.statements {
            return Err(too_many().into());
        }
        let control = self.control.clone();
        let places = self.client.places.clone();
        let timeout = self.settings.statement_timeout(limits.timeout);
        let place = tokio::select! {
            biased;
            place = tokio::time::timeout(timeout, places.acquire_owned()) => match place {
                Ok(Ok(place)) => place,
                Ok(Err(_)) | Err(_) => return Err(too_many().into()),
            },
            () = control.cancelled() => {
                self.count_cancelled();
                return Err(cancelled().into());
            }
            gone = self.wire.closed() => return Err(gone.into()),
        };
        let hash = activity::hash(statement);
        let line = self.server.crashes.begin(&hash, &self.client.identity.account)?;
        Ok(ActiveStatement::begin(control, &hash, statement, (line, place)))
    }

    /// Starts a query that was made from `statement`.
    async fn start_as(
        &mut self,
        statement: &str,
        text: &str,
        bound: &[Bound],
    ) -> Result<Running, Failure> {
        self.server.metrics.statements.inc();
        check_length(text)?;
        let active = self.activate(statement).await?;
        let audience = self.audience().await?;
        let expressions: Vec<String> = bound.iter().map(|bound| bound.expression.clone()).collect();
        let pid = self.control.pid;
        let sent = Rewriter {
            schema: &audience.seen.schema,
            database: &self.server.database,
            parameters: &expressions,
            settings: Some(self.settings.values()),
            pid,
        }
        .rewrite(text);
        let mut query = Query::new(&sent.sql).within(audience.seen.namespace.clone());
        for (at, bound) in bound.iter().enumerate() {
            query = query.bind(&(at + 1).to_string(), bound.value.clone());
        }
        let plan = self.server.limits_of(&self.client.identity);
        let limits = QueryLimits {
            timeout: self.settings.statement_timeout(plan.timeout),
            queue_timeout: plan.queue_timeout,
            rows: plan.rows,
            bytes: usize::MAX,
        };
        let stream = audience
            .pin
            .stream_within(query, limits, Some(self.client.memory.quota()))
            .map_err(|error| SqlError::of_reader(&error, &sent, &audience.seen.tables))?;
        Running::begin(self, stream, (audience, active), sent).await
    }

    /// Binds the arguments of `EXECUTE` as text.
    fn bind_texts(
        &self,
        name: &str,
        arguments: &[String],
    ) -> Result<(Arc<Prepared>, Vec<Bound>), SqlError> {
        let prepared = self.prepared.get(name).cloned().ok_or_else(|| undefined_statement(name))?;
        if arguments.len() != prepared.parameters.len() {
            return Err(SqlError::new(
                "42601",
                format!("wrong number of parameters for prepared statement \"{name}\""),
            ));
        }
        let bound =
            arguments.iter().zip(&prepared.parameters).enumerate().map(|(at, (argument, oid))| {
                let is_null = argument.eq_ignore_ascii_case("null");
                let value = (!is_null).then_some(argument.as_bytes());
                params::bind(at + 1, *oid, false, value)
            });
        let bound = bound.collect::<Result<_, _>>()?;
        Ok((prepared, bound))
    }

    /// Sends the rows of a statement that no engine answers.
    async fn answer_itself(&mut self, statement: &Statement) -> Result<(), Failure> {
        let (rows, tag) = match statement {
            Statement::Show(name) if name == CONNECTIONS => {
                (self.server.list(&self.client.identity), "SHOW")
            }
            Statement::Show(name) => (vec![vec![self.show(name).await?]], "SHOW"),
            Statement::Signal { pid, terminates } => {
                let done = self.server.signal(&self.client.identity, *pid, *terminates);
                (vec![vec![if done { "t" } else { "f" }.to_owned()]], "SELECT 1")
            }
            _ => return Err(SqlError::new(NOT_SUPPORTED, "this statement has no rows").into()),
        };
        for row in rows {
            let row: Vec<&str> = row.iter().map(String::as_str).collect();
            put_text_row(&mut self.wire, &row)?;
        }
        self.complete(tag)
    }

    async fn show(&mut self, name: &str) -> Result<String, Failure> {
        match name {
            "materia.generation" => Ok(self.audience().await?.generation()),
            "materia.plan" => Ok(if self.client.identity.operator {
                "operator".to_owned()
            } else {
                self.client.identity.plan.to_string()
            }),
            "ssl" => Ok(if self.wire.is_encrypted { "on" } else { "off" }.to_owned()),
            _ => Ok(self.settings.get(name)?),
        }
    }

    /// Refuses statements in a failed transaction, but those that end it.
    fn require_healthy(&self, statement: &Statement) -> Result<(), SqlError> {
        let ends = matches!(
            statement,
            Statement::Commit | Statement::Rollback | Statement::Nothing("ROLLBACK")
        );
        if self.status == TransactionStatus::Error && !ends {
            return Err(SqlError::new(
                FAILED_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    fn complete(&mut self, tag: &str) -> Result<(), Failure> {
        Ok(self.wire.put(&Message::CommandComplete(CommandComplete::new(tag.to_owned())))?)
    }

    fn complete_rows(&mut self, tag: &str, rows: u64) -> Result<(), Failure> {
        self.server.metrics.rows.inc_by(rows);
        if tag == "EXPLAIN" { self.complete(tag) } else { self.complete(&format!("{tag} {rows}")) }
    }

    fn tell_parameter(&mut self, name: &str, value: &str) -> Result<(), WireError> {
        self.wire
            .put(&Message::ParameterStatus(ParameterStatus::new(name.to_owned(), value.to_owned())))
    }

    fn warn(&mut self, code: &str, message: &str) -> Result<(), WireError> {
        let fields = [(b'S', "WARNING"), (b'V', "WARNING"), (b'C', code), (b'M', message)];
        let fields = fields.map(|(kind, text)| (kind, text.to_owned())).to_vec();
        self.wire.put(&Message::NoticeResponse(NoticeResponse::new(fields)))
    }

    /// Appends a message with a row, which `write` fills.
    pub(crate) fn put_row(
        &mut self,
        kind: u8,
        write: impl FnOnce(&mut BytesMut) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let memory = &self.client.memory;
        self.wire.put_with(kind, |out| {
            let start = out.len();
            write(out)?;
            memory.check_row(out.len() - start)
        })
    }

    /// Ends the connection with an error, if the client takes it.
    pub(crate) async fn terminate(&mut self, error: &SqlError) {
        const PATIENCE: Duration = Duration::from_millis(500);
        if self.report(error).is_ok() {
            let _ = tokio::time::timeout(PATIENCE, self.wire.flush()).await;
        }
    }
}

/// Refuses statements that the guard would refuse, before they are rewritten.
fn check_length(sql: &str) -> Result<(), SqlError> {
    if sql.len() > MAX_STATEMENT {
        return Err(SqlError::new(
            "54001",
            format!("the statement is longer than {} kB", MAX_STATEMENT >> 10),
        ));
    }
    Ok(())
}

/// The error of a statement that was cancelled.
pub(crate) fn cancelled() -> SqlError {
    SqlError::new(QUERY_CANCELED, "canceling statement due to user request")
}

fn undefined_statement(name: &str) -> SqlError {
    SqlError::new(UNDEFINED_STATEMENT, format!("prepared statement \"{name}\" does not exist"))
}

/// The setting whose value is a row for each connection.
const CONNECTIONS: &str = "materia.connections";

/// Returns the columns of a statement that no engine answers.
fn own_columns(statement: &Statement) -> Vec<&str> {
    match statement {
        Statement::Show(name) if name == CONNECTIONS => Connection::COLUMNS.to_vec(),
        Statement::Show(name) => vec![name],
        Statement::Signal { terminates: true, .. } => vec!["pg_terminate_backend"],
        _ => vec!["pg_cancel_backend"],
    }
}

/// Describes columns of text.
fn describe_texts(names: &[&str]) -> pgwire::messages::data::RowDescription {
    let fields: Vec<_> = names
        .iter()
        .map(|name| materia::values::Field {
            name: (*name).to_owned(),
            data_type: materia::values::DuckType::Varchar,
        })
        .collect();
    describe(&fields, &vec![ColumnType::of_name("VARCHAR"); fields.len()], &[])
}
