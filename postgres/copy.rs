//! `COPY ... TO STDOUT` as text, CSV and in PostgreSQL's binary format.

use bytes::{BufMut as _, BytesMut};
use materia::values::{Column, Field};

use crate::{encode, error::SqlError, statement::CopyFormat, types::ColumnType};

const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

pub(crate) struct CopyWriter {
    format: CopyFormat,
    line: String,
    /// The bytes for which a value is escaped or quoted; all are ASCII.
    special: [bool; 256],
    /// What precedes the first row of the binary format, in the same message: drivers expect it so.
    pending: &'static [u8],
}

impl CopyWriter {
    pub(crate) fn new(format: CopyFormat) -> Self {
        let (bytes, delimiters): (&[u8], &[u8]) = match &format {
            CopyFormat::Text { delimiter, .. } => (b"\\\n\r\t\x08\x0b\x0c", &[*delimiter]),
            CopyFormat::Csv { delimiter, quote, .. } => (b"\n\r", &[*delimiter, *quote]),
            CopyFormat::Binary => (&[], &[]),
        };
        let mut special = [false; 256];
        for byte in bytes.iter().chain(delimiters) {
            special[usize::from(*byte)] = true;
        }
        let pending = if format == CopyFormat::Binary { BINARY_HEADER } else { &[] };
        Self { format, line: String::new(), special, pending }
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.format == CopyFormat::Binary
    }

    /// Returns the line with the names of the columns.
    pub(crate) fn header(&mut self, fields: &[Field]) -> Option<Vec<u8>> {
        match &self.format {
            CopyFormat::Text { header: true, .. } | CopyFormat::Csv { header: true, .. } => {
                self.line.clear();
                for (at, field) in fields.iter().enumerate() {
                    self.field(at, |line| {
                        line.push_str(&field.name);
                        true
                    });
                }
                self.line.push('\n');
                Some(self.line.clone().into_bytes())
            }
            _ => None,
        }
    }

    /// Returns what follows the rows.
    pub(crate) fn trailer(&mut self) -> Option<Vec<u8>> {
        let pending = std::mem::take(&mut self.pending);
        self.is_binary().then(|| [pending, &[0xff, 0xff]].concat())
    }

    pub(crate) fn row(
        &mut self,
        columns: &[Column<'_>],
        row: usize,
        kinds: &[ColumnType],
        out: &mut BytesMut,
    ) -> Result<(), SqlError> {
        if self.is_binary() {
            out.put_slice(std::mem::take(&mut self.pending));
            out.put_i16(i16::try_from(columns.len()).unwrap_or(i16::MAX));
            for (column, kind) in columns.iter().zip(kinds) {
                encode::put_field(column, row, *kind, true, out, &mut self.line)?;
            }
            return Ok(());
        }
        self.line.clear();
        for (at, (column, kind)) in columns.iter().zip(kinds).enumerate() {
            self.field(at, |line| encode::write_text(column, row, *kind, line));
        }
        self.line.push('\n');
        out.put_slice(self.line.as_bytes());
        Ok(())
    }

    /// Appends a value to the line. `write` appends its text, or returns false for NULL.
    fn field(&mut self, at: usize, write: impl FnOnce(&mut String) -> bool) {
        let line = &mut self.line;
        let (CopyFormat::Text { delimiter, null, .. } | CopyFormat::Csv { delimiter, null, .. }) =
            &self.format
        else {
            return;
        };
        if at > 0 {
            line.push(char::from(*delimiter));
        }
        let start = line.len();
        if !write(line) {
            return line.push_str(null);
        }
        let value = &line[start..];
        let is_special = value.bytes().any(|byte| self.special[usize::from(byte)]);
        match &self.format {
            CopyFormat::Csv { quote, escape, .. }
                if is_special || value == null || value == "\\." =>
            {
                let value = line.split_off(start);
                put_quoted(line, &value, char::from(*quote), char::from(*escape));
            }
            CopyFormat::Text { delimiter, .. } if is_special => {
                let value = line.split_off(start);
                put_escaped(line, &value, char::from(*delimiter));
            }
            _ => {}
        }
    }
}

fn put_quoted(line: &mut String, value: &str, quote: char, escape: char) {
    line.push(quote);
    for char in value.chars() {
        if char == quote || char == escape {
            line.push(escape);
        }
        line.push(char);
    }
    line.push(quote);
}

fn put_escaped(line: &mut String, value: &str, delimiter: char) {
    for char in value.chars() {
        let escaped = match char {
            '\\' => '\\',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{8}' => 'b',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            char if char == delimiter => char,
            char => {
                line.push(char);
                continue;
            }
        };
        line.push('\\');
        line.push(escaped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: CopyFormat, values: &[Option<&str>]) -> String {
        let mut writer = CopyWriter::new(format);
        for (at, value) in values.iter().enumerate() {
            writer.field(at, |line| {
                line.push_str(value.unwrap_or_default());
                value.is_some()
            });
        }
        writer.line
    }

    #[test]
    fn values_that_look_like_the_format_are_escaped() {
        let text = CopyFormat::Text { delimiter: b'\t', null: "\\N".to_owned(), header: false };
        assert_eq!(line(text, &[Some("a\tb\\"), None, Some("")]), "a\\tb\\\\\t\\N\t");
        let csv = CopyFormat::Csv {
            delimiter: b',',
            null: String::new(),
            header: false,
            quote: b'"',
            escape: b'"',
        };
        assert_eq!(
            line(csv, &[Some("a,\"b\""), None, Some(""), Some("c")]),
            "\"a,\"\"b\"\"\",,\"\",c"
        );
    }
}
