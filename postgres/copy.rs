//! `COPY ... TO STDOUT` as text, CSV and in PostgreSQL's binary format.

use bytes::{BufMut as _, BytesMut};
use materia::values::{Column, Field};

use crate::{encode, error::SqlError, statement::CopyFormat, types::ColumnType};

const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

pub(crate) struct CopyWriter {
    format: CopyFormat,
    scratch: String,
    line: String,
    /// What precedes the first row of the binary format, in the same message: drivers expect it so.
    pending: &'static [u8],
}

impl CopyWriter {
    pub(crate) fn new(format: CopyFormat) -> Self {
        let pending = if format == CopyFormat::Binary { BINARY_HEADER } else { &[] };
        Self { format, scratch: String::new(), line: String::new(), pending }
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.format == CopyFormat::Binary
    }

    /// Returns the line with the names of the columns.
    pub(crate) fn header(&mut self, fields: &[Field]) -> Option<Vec<u8>> {
        match &self.format {
            CopyFormat::Text { header: true, .. } | CopyFormat::Csv { header: true, .. } => {
                let names: Vec<_> = fields.iter().map(|field| Some(field.name.as_str())).collect();
                self.line.clear();
                for (at, name) in names.iter().enumerate() {
                    self.field(at, *name);
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
                encode::put_field(column, row, *kind, true, out, &mut self.scratch)?;
            }
            return Ok(());
        }
        self.line.clear();
        for (at, (column, kind)) in columns.iter().zip(kinds).enumerate() {
            let mut value = std::mem::take(&mut self.scratch);
            value.clear();
            let some = encode::write_text(column, row, *kind, &mut value);
            self.field(at, some.then_some(value.as_str()));
            self.scratch = value;
        }
        self.line.push('\n');
        out.put_slice(self.line.as_bytes());
        Ok(())
    }

    /// Appends a value to the line.
    fn field(&mut self, at: usize, value: Option<&str>) {
        let line = &mut self.line;
        match &self.format {
            CopyFormat::Text { delimiter, null, .. } => {
                if at > 0 {
                    line.push(*delimiter);
                }
                match value {
                    None => line.push_str(null),
                    Some(value) => escape_text(line, value, *delimiter),
                }
            }
            CopyFormat::Csv { delimiter, null, quote, escape, .. } => {
                if at > 0 {
                    line.push(*delimiter);
                }
                match value {
                    None => line.push_str(null),
                    Some(value) => {
                        let needs = value == null
                            || value == "\\."
                            || value.contains([*delimiter, *quote, '\n', '\r']);
                        if needs {
                            line.push(*quote);
                            for char in value.chars() {
                                if char == *quote || char == *escape {
                                    line.push(*escape);
                                }
                                line.push(char);
                            }
                            line.push(*quote);
                        } else {
                            line.push_str(value);
                        }
                    }
                }
            }
            CopyFormat::Binary => {}
        }
    }
}

fn escape_text(line: &mut String, value: &str, delimiter: char) {
    let plain = |char: char| {
        !matches!(char, '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{b}' | '\u{c}')
            && char != delimiter
    };
    if value.chars().all(plain) {
        return line.push_str(value);
    }
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
            writer.field(at, *value);
        }
        writer.line
    }

    #[test]
    fn values_that_look_like_the_format_are_escaped() {
        let text = CopyFormat::Text { delimiter: '\t', null: "\\N".to_owned(), header: false };
        assert_eq!(line(text, &[Some("a\tb\\"), None, Some("")]), "a\\tb\\\\\t\\N\t");
        let csv = CopyFormat::Csv {
            delimiter: ',',
            null: String::new(),
            header: false,
            quote: '"',
            escape: '"',
        };
        assert_eq!(
            line(csv, &[Some("a,\"b\""), None, Some(""), Some("c")]),
            "\"a,\"\"b\"\"\",,\"\",c"
        );
    }
}
