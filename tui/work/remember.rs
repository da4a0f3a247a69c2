//! Queries of earlier sessions: one line of JSON for each, in a file that only its owner can read.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use crate::tui::state::sql::REMEMBERED;

/// Everything remembered, oldest first; nothing where there is no such file.
pub(super) fn read(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let queries: Vec<String> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if queries.len() > REMEMBERED * 2 {
        let kept: String =
            queries[queries.len() - REMEMBERED..].iter().filter_map(|query| Some(serde_json::to_string(query).ok()? + "\n")).collect();
        let _ = materia::files::write_whole(path, kept.as_bytes());
    }
    queries[queries.len().saturating_sub(REMEMBERED)..].to_vec()
}

/// Adds one. That it cannot be remembered is no reason to disturb whoever asks.
pub(super) fn write(path: &Path, query: &str) {
    let Ok(line) = serde_json::to_string(query) else { return };
    let _ = path.parent().map(fs::create_dir_all);
    if let Ok(mut file) = fs::File::options().append(true).create(true).mode(0o600).open(path) {
        let _ = file.write_all((line + "\n").as_bytes());
    }
}
