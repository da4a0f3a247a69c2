//! Converts GEOMETRY from well-known binary, as DuckDB stores it, to well-known text, as DuckDB
//! prints it.

use super::{number, text};

const NAMES: [&str; 8] = [
    "",
    "POINT",
    "LINESTRING",
    "POLYGON",
    "MULTIPOINT",
    "MULTILINESTRING",
    "MULTIPOLYGON",
    "GEOMETRYCOLLECTION",
];

/// Maximum nesting of collections: the parser is recursive.
const DEPTH: u32 = 64;

/// Appends the text, or hexadecimal digits if the value cannot be parsed.
pub(super) fn write_wkt(out: &mut String, bytes: &[u8]) {
    let start = out.len();
    let mut reader = WkbReader { bytes, little: true };
    if reader.geometry(out, true, DEPTH).is_none() {
        out.truncate(start);
        text::write_hex(out, bytes);
    }
}

struct WkbReader<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl WkbReader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*head)
    }

    fn count(&mut self) -> Option<u32> {
        let bytes = self.take()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn double(&mut self) -> Option<f64> {
        let bytes = self.take()?;
        Some(if self.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    }

    /// Appends one geometry; the members of a MULTI geometry have no name.
    fn geometry(&mut self, out: &mut String, named: bool, depth: u32) -> Option<()> {
        let [order] = self.take()?;
        self.little = order == 1;
        let code = self.count()?;
        // ISO adds 1000 for Z and 2000 for M; the older extended form sets the two highest bits.
        let (base, dimension) = (code & 0xFFFF, (code & 0xFFFF) / 1_000);
        let z = dimension == 1 || dimension == 3 || code & 0x8000_0000 != 0;
        let m = dimension == 2 || dimension == 3 || code & 0x4000_0000 != 0;
        let width = 2 + usize::from(z) + usize::from(m);
        let kind = base % 1_000;
        let name = NAMES.get(usize::try_from(kind).ok()?).filter(|name| !name.is_empty())?;
        if named {
            out.push_str(name);
            out.push_str(match (z, m) {
                (false, false) => " ",
                (true, false) => " Z ",
                (false, true) => " M ",
                (true, true) => " ZM ",
            });
        }
        match kind {
            1 => self.point(out, width, named),
            2 => self.list(out, |reader, out| reader.vertex(out, width)),
            3 => self
                .list(out, |reader, out| reader.list(out, |reader, out| reader.vertex(out, width))),
            _ => {
                let depth = depth.checked_sub(1)?;
                self.list(out, |reader, out| reader.geometry(out, kind == 7, depth))
            }
        }
    }

    /// An empty point has NaN for every coordinate.
    fn point(&mut self, out: &mut String, width: usize, framed: bool) -> Option<()> {
        let mut coordinates = [0.0; 4];
        for coordinate in &mut coordinates[..width] {
            *coordinate = self.double()?;
        }
        if coordinates[..width].iter().all(|coordinate| coordinate.is_nan()) {
            out.push_str("EMPTY");
            return Some(());
        }
        out.push_str(if framed { "(" } else { "" });
        write_vertex(out, &coordinates[..width]);
        out.push_str(if framed { ")" } else { "" });
        Some(())
    }

    fn vertex(&mut self, out: &mut String, width: usize) -> Option<()> {
        let mut coordinates = [0.0; 4];
        for coordinate in &mut coordinates[..width] {
            *coordinate = self.double()?;
        }
        write_vertex(out, &coordinates[..width]);
        Some(())
    }

    fn list(
        &mut self,
        out: &mut String,
        mut item: impl FnMut(&mut Self, &mut String) -> Option<()>,
    ) -> Option<()> {
        let count = self.count()?;
        if count == 0 {
            out.push_str("EMPTY");
            return Some(());
        }
        for index in 0..count {
            out.push_str(if index == 0 { "(" } else { ", " });
            item(self, out)?;
        }
        out.push(')');
        Some(())
    }
}

fn write_vertex(out: &mut String, coordinates: &[f64]) {
    for (index, coordinate) in coordinates.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { " " });
        number::write_double(out, *coordinate, false);
    }
}
