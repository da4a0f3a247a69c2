//! Mistakes in several blocks of one file: a block that cannot be read is reported and left out, so
//! that the others are checked, too.

use std::path::Path;

use super::raw::RawDashboard;
use crate::toml_file::{self, FileError};

/// What could be read of a file.
pub(super) struct Readable {
    pub(super) file: RawDashboard,
    /// The text without the blocks that could not be read; places are the same.
    pub(super) text: String,
    pub(super) problems: Vec<FileError>,
    /// Names of filters and queries that could not be read.
    pub(super) unread: Vec<String>,
}

/// Reads a file, block by block where it has mistakes.
pub(super) fn read(path: &Path, text: &str) -> Result<Readable, Vec<FileError>> {
    let mut text = text.to_owned();
    let (mut problems, mut unread) = (Vec::new(), Vec::new());
    loop {
        let error = match toml_file::parse::<RawDashboard>(path, &text) {
            Ok(file) => return Ok(Readable { file, text, problems, unread }),
            Err(error) => error,
        };
        let block = error.line.and_then(|line| block_at(&text, line));
        problems.push(error);
        let Some((begin, end)) = block else { return Err(problems) };
        unread.extend(name_in(&text[begin..end]));
        let blank = text[begin..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
        let blank: String = blank.collect();
        text.replace_range(begin..end, &blank);
    }
}

/// Returns where the block of a filter, a query or a panel begins and ends that has this line.
fn block_at(text: &str, line: usize) -> Option<(usize, usize)> {
    const BLOCKS: [&str; 3] = ["[[panel]]", "[[filter]]", "[[query]]"];
    let mut begin = None;
    let mut at = 0;
    for (number, content) in (1..).zip(text.split_inclusive('\n')) {
        let trimmed = content.trim_start();
        // Tables of a panel belong to it.
        let is_header = trimmed.starts_with('[')
            && trimmed.trim_end().ends_with(']')
            && !trimmed.trim_start_matches('[').starts_with("panel.");
        if is_header {
            if number > line {
                return begin.map(|begin| (begin, at));
            }
            begin = BLOCKS.iter().any(|block| trimmed.starts_with(block)).then_some(at);
        }
        at += content.len();
    }
    begin.map(|begin| (begin, at))
}

fn name_in(block: &str) -> Option<String> {
    let line = block.lines().find_map(|line| line.trim_start().strip_prefix("name"))?;
    let value = line.trim_start().strip_prefix('=')?.trim();
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_block_with_a_mistake_is_reported_and_the_others_are_read() {
        let text = "title = 'A'\n[[filter]]\nname = 'x'\nkindd = 'search'\n\n[[panel]]\ntitel = 'B'\n\n[[panel]]\ntitle = 'C'\nkind = 'markdown'\ntext = 'ä'\n[[panel.guide]]\nat = 'x'\n[[panel]]\ntitle = 'D'\nkind = 'markdown'\ntext = 'd'\n";
        let read = read(Path::new("a.toml"), text).ok().unwrap();
        let lines: Vec<_> = read.problems.iter().filter_map(|problem| problem.line).collect();
        assert_eq!(lines, [4, 7, 14]);
        assert_eq!(read.file.panels.len(), 1);
        assert_eq!((read.unread, read.text.len()), (vec!["x".to_owned()], text.len()));
        assert!(super::read(Path::new("a.toml"), "title = = 2").is_err());
    }
}
