//! A query whose rows are being sent.

use bytes::{BufMut as _, BytesMut};
use duckdb::arrow::record_batch::RecordBatch;
use materia::{
    reader::Stream,
    values::{self, Field},
};
use pgwire::messages::data::{FieldDescription, RowDescription};
use std::sync::Arc;

use crate::{
    activity::ActiveStatement,
    audience::Audience,
    copy::CopyWriter,
    encode,
    error::SqlError,
    rewrite::Rewritten,
    session::{Failure, Session, cancelled},
    types::ColumnType,
    wire::Wire,
};

/// A query that has begun. Dropping it stops it.
pub(crate) struct Running {
    stream: Stream,
    audience: Arc<Audience>,
    sent: Rewritten,
    /// Its places among the running statements, until it has ended.
    active: Option<ActiveStatement>,
    pub(crate) fields: Vec<Field>,
    pub(crate) kinds: Vec<ColumnType>,
    batch: Option<RecordBatch>,
    /// The next row of the batch.
    row: usize,
    pub(crate) finished: bool,
}

/// Where rows go.
pub(crate) enum Sink<'a> {
    /// Messages with a row each, in the client's formats.
    Rows(&'a [i16]),
    Copy(&'a mut CopyWriter),
    /// Rows are skipped.
    Nowhere,
}

impl Running {
    /// Waits for the columns of a query.
    pub(crate) async fn begin(
        session: &mut Session,
        stream: Stream,
        (audience, active): (Arc<Audience>, ActiveStatement),
        sent: Rewritten,
    ) -> Result<Self, Failure> {
        let mut running = Self {
            stream,
            audience,
            active: Some(active),
            sent,
            fields: Vec::new(),
            kinds: Vec::new(),
            batch: None,
            row: 0,
            finished: false,
        };
        // The first batch carries the columns and no rows.
        if !running.advance(session).await? {
            return Err(SqlError::new("XX000", "the query ended before it began").into());
        }
        let schema = running.batch.take().map(|batch| batch.schema());
        running.fields = schema.map(|schema| values::fields_of(&schema)).unwrap_or_default();
        running.kinds = encode::column_types(running.fields.iter().map(|field| &field.data_type));
        Ok(running)
    }

    /// Waits for the next batch; returns false after the last one.
    async fn advance(&mut self, session: &mut Session) -> Result<bool, Failure> {
        let control = session.control.clone();
        let next = tokio::select! {
            biased;
            () = control.cancelled() => {
                session.count_cancelled();
                return Err(cancelled().into());
            }
            next = self.stream.next() => next,
            gone = session.wire.closed() => return Err(gone.into()),
        };
        match next {
            Some(Ok(batch)) => {
                (self.batch, self.row) = (Some(batch), 0);
                Ok(true)
            }
            Some(Err(error)) => {
                self.finish();
                Err(SqlError::of_reader(&error, &self.sent, &self.audience.seen.tables).into())
            }
            None => {
                self.finish();
                Ok(false)
            }
        }
    }

    fn finish(&mut self) {
        self.finished = true;
        self.active = None;
    }

    /// Sends up to `most` rows. Returns how many were sent.
    pub(crate) async fn send(
        &mut self,
        session: &mut Session,
        most: Option<u64>,
        mut sink: Sink<'_>,
    ) -> Result<u64, Failure> {
        let mut sent = 0;
        let mut scratch = String::new();
        while most.is_none_or(|most| sent < most) {
            let Some(batch) = self.batch.clone().filter(|batch| self.row < batch.num_rows()) else {
                if self.finished || !self.advance(session).await? {
                    break;
                }
                continue;
            };
            let columns = values::columns(&self.fields, &batch);
            let rest = (batch.num_rows() - self.row) as u64;
            let count = most.map_or(rest, |most| rest.min(most - sent));
            for row in self.row..self.row + usize::try_from(count).unwrap_or(usize::MAX) {
                match &mut sink {
                    Sink::Rows(formats) => session.put_row(b'D', |out| {
                        put_row(&columns, row, &self.kinds, formats, out, &mut scratch)
                    })?,
                    Sink::Copy(writer) => {
                        session.put_row(b'd', |out| writer.row(&columns, row, &self.kinds, out))?;
                    }
                    Sink::Nowhere => {}
                }
                session.wire.flush_if_full().await?;
            }
            sent += count;
            self.row += usize::try_from(count).unwrap_or(usize::MAX);
        }
        Ok(sent)
    }

    /// Returns whether no rows are left; waits for the next batch to know.
    pub(crate) async fn is_exhausted(&mut self, session: &mut Session) -> Result<bool, Failure> {
        loop {
            if self.batch.as_ref().is_some_and(|batch| self.row < batch.num_rows()) {
                return Ok(false);
            }
            if self.finished || !self.advance(session).await? {
                return Ok(true);
            }
        }
    }

    pub(crate) fn description(&self, formats: &[i16]) -> RowDescription {
        describe(&self.fields, &self.kinds, formats)
    }
}

/// Returns the format of a column: none is text, one is for all.
pub(crate) fn format_of(formats: &[i16], column: usize) -> i16 {
    match formats {
        [] => 0,
        [one] => *one,
        several => several.get(column).copied().unwrap_or(0),
    }
}

pub(crate) fn describe(fields: &[Field], kinds: &[ColumnType], formats: &[i16]) -> RowDescription {
    let described = fields.iter().zip(kinds).enumerate().map(|(at, (field, kind))| {
        FieldDescription::new(
            // A text of the protocol ends at a null character; values can become names.
            field.name.replace('\0', ""),
            0,
            0,
            kind.oid(),
            kind.size(),
            if kind.is_array { -1 } else { kind.modifier },
            format_of(formats, at),
        )
    });
    RowDescription::new(described.collect())
}

fn put_row(
    columns: &[values::Column<'_>],
    row: usize,
    kinds: &[ColumnType],
    formats: &[i16],
    out: &mut BytesMut,
    scratch: &mut String,
) -> Result<(), SqlError> {
    out.put_i16(i16::try_from(columns.len()).unwrap_or(i16::MAX));
    for (at, (column, kind)) in columns.iter().zip(kinds).enumerate() {
        let binary = format_of(formats, at) == 1;
        encode::put_field(column, row, *kind, binary, out, scratch)?;
    }
    Ok(())
}

/// Sends one row of texts, as the answer to `SHOW`.
pub(crate) fn put_text_row(wire: &mut Wire, values: &[&str]) -> Result<(), SqlError> {
    wire.put_with(b'D', |out| {
        out.put_i16(i16::try_from(values.len()).unwrap_or(i16::MAX));
        for value in values {
            out.put_i32(i32::try_from(value.len()).unwrap_or(0));
            out.put_slice(value.as_bytes());
        }
        Ok(())
    })
}
