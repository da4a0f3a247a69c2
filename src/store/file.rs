//! A served file and its surrounding paths, and the detection of the served generation.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::{GenerationId, Manifest, RetainedGeneration, ServedState, StoreError};
use crate::{
    digest::DigestBuilder,
    files::{self, FileId},
};

/// The end of the history's name.
const HISTORY: &str = ".history.jsonl";

/// The resolved location of a served file and the paths derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStore {
    served: PathBuf,
    /// The end of the history's name: every target has a history of its own.
    history: String,
}

impl FileStore {
    /// Returns the store whose served file is `path`. Links are followed: the file they point to is
    /// the one that is replaced.
    ///
    /// # Errors
    /// A loop of links, or a folder on the way that cannot be read.
    pub fn new(path: &Path) -> io::Result<Self> {
        files::follow_links(path).map(|served| Self { served, history: HISTORY.to_owned() })
    }

    /// Returns the same store with the history of another target that is filled from this file.
    pub(super) fn with_history_of(&self, target: &str) -> Self {
        let mut digest = DigestBuilder::new();
        let digest = digest.add(target).digest();
        let history = format!(".lake-{}{HISTORY}", &digest[..digest.len().min(8)]);
        Self { served: self.served.clone(), history }
    }

    /// Returns the path that readers open.
    #[must_use]
    pub fn served_path(&self) -> &Path {
        &self.served
    }

    /// Returns the folder of the served file.
    #[must_use]
    pub fn folder(&self) -> &Path {
        files::parent_dir(&self.served)
    }

    fn sibling(&self, ending: &str) -> PathBuf {
        let mut name = self.served.file_stem().unwrap_or_default().to_owned();
        name.push(ending);
        self.served.with_file_name(name)
    }

    /// Returns the folder of retained generations.
    #[must_use]
    pub fn generations_dir(&self) -> PathBuf {
        self.sibling(".generations")
    }

    #[must_use]
    pub fn generation_path(&self, id: &GenerationId) -> PathBuf {
        self.generations_dir().join(format!("{id}.duckdb"))
    }

    #[must_use]
    pub fn manifest_path(&self, id: &GenerationId) -> PathBuf {
        self.generations_dir().join(format!("{id}.json"))
    }

    /// Returns the path of the file that exists while a generation is pinned.
    #[must_use]
    pub fn pin_marker(&self, id: &GenerationId) -> PathBuf {
        self.generations_dir().join(format!("{id}.pinned"))
    }

    /// Returns the path of the rollback state.
    #[must_use]
    pub fn rollbacks_path(&self) -> PathBuf {
        self.generations_dir().join("rollback.json")
    }

    /// Returns the path of the history.
    #[must_use]
    pub fn history_path(&self) -> PathBuf {
        self.sibling(&self.history)
    }

    /// Returns the path of the alert state.
    #[must_use]
    pub fn alerts(&self) -> PathBuf {
        self.sibling(".alerts.json")
    }

    /// Returns the default folder of the pipelines' logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.sibling(".logs")
    }

    /// Returns the path of the staged file, in the working folder, which only its owner may enter.
    #[must_use]
    pub fn staged(&self) -> PathBuf {
        self.work().join("_export.duckdb")
    }

    /// Returns the staging path of former versions, whose leftovers are still removed.
    #[must_use]
    pub fn former_staged(&self) -> PathBuf {
        self.served.with_file_name("_export.duckdb")
    }

    /// Returns the path of the staged file of a rollback.
    #[must_use]
    pub fn rollback_staging(&self) -> PathBuf {
        self.served.with_file_name("_rollback.duckdb")
    }

    /// Returns the path of the staged file of a refused export, where `keep_refused` is set.
    #[must_use]
    pub fn refused(&self) -> PathBuf {
        self.sibling(".refused.duckdb")
    }

    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.served.with_file_name("_export.work")
    }

    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.served.with_file_name("_export.lock")
    }

    /// Creates the folder of generations if it is missing.
    pub(crate) fn create_generations_dir(&self) -> Result<(), StoreError> {
        let folder = self.generations_dir();
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(|source| StoreError::io("make the folder", &folder, source)),
        }
    }

    /// Writes a generation's manifest atomically.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let path = self.manifest_path(&manifest.id);
        serde_json::to_vec_pretty(manifest)
            .map_err(io::Error::from)
            .and_then(|text| files::write_atomic(&path, &text))
            .map_err(|source| StoreError::io("write", &path, source))
    }

    /// Reads one generation's manifest, if possible.
    #[must_use]
    pub fn manifest(&self, id: &GenerationId) -> Option<Manifest> {
        serde_json::from_slice(&fs::read(self.manifest_path(id)).ok()?).ok()
    }

    /// Lists the retained generations, newest first.
    ///
    /// # Errors
    /// The folder of generations or the served file cannot be read.
    pub fn list(&self) -> io::Result<Vec<RetainedGeneration>> {
        let served = self.served()?;
        let mut ids = self.generation_ids()?;
        ids.reverse();
        let describe = |id: GenerationId| RetainedGeneration {
            manifest: self.manifest(&id),
            served: served == ServedState::Generation(id.clone()),
            pinned: self.pin_marker(&id).exists(),
            id,
        };
        Ok(ids.into_iter().map(describe).collect())
    }

    /// Pins a generation; returns `false` if it does not exist.
    pub(super) fn pin(&self, id: &GenerationId) -> Result<bool, StoreError> {
        let marker = self.pin_marker(id);
        fs::write(&marker, b"").map_err(|source| StoreError::io("write", &marker, source))?;
        // An export may have pruned the generation just before the marker was written.
        if !self.generation_path(id).exists() {
            let _ = fs::remove_file(&marker);
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn unpin(&self, id: &GenerationId) -> Result<(), StoreError> {
        let marker = self.pin_marker(id);
        files::remove_if_exists(&marker).map_err(|source| StoreError::io("remove", &marker, source))
    }

    /// Lists the ids of the retained generations, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read; a missing one has no generations.
    pub fn generation_ids(&self) -> io::Result<Vec<GenerationId>> {
        let entries = match fs::read_dir(self.generations_dir()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let id = name
                .to_str()
                .and_then(|name| name.strip_suffix(".duckdb"))
                .and_then(GenerationId::parse);
            ids.extend(id);
        }
        ids.sort();
        Ok(ids)
    }

    /// Lists the logs next to published files, each with the file that DuckDB would apply it to.
    /// `materia` writes no such logs, and a reader that opens the file would see data that was
    /// never audited. Files not known to be published are omitted.
    ///
    /// # Errors
    /// The folder of generations cannot be read.
    pub fn stray_logs(&self) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let mut files: Vec<PathBuf> =
            self.generation_ids()?.iter().map(|id| self.generation_path(id)).collect();
        if matches!(self.served()?, ServedState::Generation(_)) {
            files.push(self.served.clone());
        }
        Ok(files
            .into_iter()
            .flat_map(|file| {
                files::wal_files(&file).into_iter().map(move |log| (file.clone(), log))
            })
            .collect())
    }

    /// Returns which generation the served file is.
    ///
    /// # Errors
    /// The served file or the folder of generations cannot be read.
    pub fn served(&self) -> io::Result<ServedState> {
        self.generation_at(&self.served)
    }

    /// Returns the generation of the file at `path`: the one that shares its inode, or else one
    /// with the same bytes. The time of modification proves nothing, since everything copied within
    /// one tick of the kernel's clock has the same; it only determines which one is compared first.
    ///
    /// # Errors
    /// The file or the folder of generations cannot be read.
    pub fn generation_at(&self, path: &Path) -> io::Result<ServedState> {
        let file = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ServedState::Missing);
            }
            metadata => metadata?,
        };
        let mut same_length = Vec::new();
        for id in self.generation_ids()?.into_iter().rev() {
            let kept_path = self.generation_path(&id);
            let Ok(kept) = fs::metadata(&kept_path) else { continue };
            if FileId::of(&kept) == FileId::of(&file) {
                return Ok(ServedState::Generation(id));
            }
            if kept.len() == file.len() {
                same_length.push((id, kept_path, kept));
            }
        }
        same_length.sort_by_key(|(.., kept)| kept.modified().ok() != file.modified().ok());
        for (id, kept_path, kept) in same_length {
            if COMPARED.same((path, &file), (&kept_path, &kept))? {
                return Ok(ServedState::Generation(id));
            }
        }
        Ok(ServedState::Foreign)
    }
}

/// Cached results of byte comparisons, since followers of a served file repeat them at every poll.
static COMPARED: ComparedFiles = ComparedFiles(Mutex::new(VecDeque::new()));

/// Identity, size and modification time of a compared file.
type FileStamp = (FileId, u64, Option<SystemTime>);

struct ComparedFiles(Mutex<VecDeque<(FileStamp, FileStamp, bool)>>);

impl ComparedFiles {
    const REMEMBERED: usize = 64;

    fn same(&self, one: (&Path, &fs::Metadata), other: (&Path, &fs::Metadata)) -> io::Result<bool> {
        let seen = |metadata: &fs::Metadata| {
            (FileId::of(metadata), metadata.len(), metadata.modified().ok())
        };
        let (left, right) = (seen(one.1), seen(other.1));
        let known = |list: &VecDeque<(FileStamp, FileStamp, bool)>| {
            list.iter().find(|(a, b, _)| *a == left && *b == right).map(|(_, _, same)| *same)
        };
        if let Some(same) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(same);
        }
        let same = match files::same_bytes(one.0, other.0) {
            // The file was pruned or replaced in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            compared => compared?,
        };
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push_back((left, right, same));
        if list.len() > Self::REMEMBERED {
            list.pop_front();
        }
        Ok(same)
    }
}
