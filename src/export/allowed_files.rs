//! The files that views may read: exactly those that match `export.files`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{ExportError, Sources};
use crate::{files, glob};

/// The files that match the settings now, with symbolic links resolved.
pub(super) struct AllowedFiles {
    folder: PathBuf,
    allowed: BTreeSet<PathBuf>,
}

impl AllowedFiles {
    /// Lists the files of the settings' globs. Links that lead out of the folder of their glob are
    /// excluded.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub(super) fn find(sources: &Sources) -> Result<Self, ExportError> {
        let place =
            if sources.folder.as_os_str().is_empty() { Path::new(".") } else { &sources.folder };
        let folder =
            fs::canonicalize(place).map_err(|source| ExportError::io("find", place, source))?;
        let mut allowed = BTreeSet::new();
        for pattern in &sources.files {
            let pattern = folder.join(pattern);
            let Ok(base) = fs::canonicalize(glob::base(&pattern)) else { continue };
            let found = glob::files(&pattern)
                .map_err(|source| ExportError::io("list the files of", &pattern, source))?;
            allowed.extend(
                found
                    .into_iter()
                    .filter_map(|path| fs::canonicalize(path).ok())
                    .filter(|path| path.starts_with(&base)),
            );
        }
        Ok(Self { folder, allowed })
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.allowed.iter().map(PathBuf::as_path)
    }

    /// Returns the full names of the files that a path in a view names. Relative paths start from
    /// the folder of `materia.toml`.
    ///
    /// # Errors
    /// Returns what the view may not read and how to fix it.
    pub(super) fn resolve(&self, written: &str) -> Result<Vec<String>, (String, String)> {
        if written.contains("://") || written.starts_with("file:") {
            let advice = "Nothing is read over the network; load it into a table in the pipeline";
            return Err((format!("reads {written}"), advice.to_owned()));
        }
        let pattern = self.folder.join(written);
        // A file name may contain glob characters.
        let found =
            if pattern.is_file() { Ok(vec![pattern.clone()]) } else { glob::files(&pattern) };
        let found = found.map_err(|error| {
            (
                format!("reads {written}, which cannot be listed: {error}"),
                String::from("Look at that folder"),
            )
        })?;
        // A view must not reveal whether a file that it may not read exists.
        let is_allowed =
            |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| self.allowed.contains(&path));
        if let Some(other) = found.iter().find(|path| !is_allowed(path)) {
            let what = format!("reads {written}, which export.files does not allow");
            let setting = setting(written);
            let leads_out = fs::symlink_metadata(other).is_ok_and(|metadata| metadata.is_symlink())
                && !self.allowed.is_empty();
            let why = if leads_out {
                format!(
                    "{} is a link out of its folder, which is never followed. ",
                    other.display()
                )
            } else {
                String::new()
            };
            return Err((
                what,
                format!(
                    "{why}To allow it, write in materia.toml:\n{setting}or load it into a table in the pipeline"
                ),
            ));
        }
        if found.is_empty() {
            let what = format!(
                "reads {written}, and no file of that name is in {} or may be read",
                files::parent_dir(&pattern).display()
            );
            return Err((
                what,
                format!(
                    "Relative paths start from the folder of materia.toml, which says what may be read:\n{}",
                    setting(written)
                ),
            ));
        }
        let full = found.iter().filter_map(|path| fs::canonicalize(path).ok());
        Ok(full.map(|path| path.to_string_lossy().into_owned()).collect())
    }
}

fn setting(written: &str) -> String {
    format!("[export]\nfiles = [{written:?}]\n")
}
