//! Detects the contents of a project's folder.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use yaml_rust2::{Yaml, YamlLoader};

use super::{
    databases::{self, Database},
    dbt, sqlmesh,
};
use crate::Failure;

/// Looks up an environment variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The tool that transforms the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolKind {
    Dbt,
    Sqlmesh,
}

impl ToolKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dbt => "dbt",
            Self::Sqlmesh => "SQLMesh",
        }
    }
}

/// A dbt or SQLMesh project.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) kind: ToolKind,
    /// The file by which it was detected.
    pub(super) found_in: PathBuf,
    /// Its folder, relative to that of the settings; empty if they are the same.
    pub(super) folder: PathBuf,
    /// The name of its pipeline.
    pub(super) pipeline: &'static str,
    /// The command that runs it.
    pub(super) command: Vec<String>,
    /// The DuckDB file that it writes, relative to the settings' folder or absolute.
    pub(super) database: Option<PathBuf>,
    /// The catalog name under which it attaches the file, if different from the file's own.
    pub(super) catalog: Option<String>,
    /// The schemas that it writes.
    pub(super) schemas: Vec<String>,
    /// What could not be determined, and why.
    pub(super) notes: Vec<String>,
}

/// All findings; paths inside of the project's folder are relative to it.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) tools: Vec<Tool>,
    /// The most likely lakehouse comes first.
    pub(super) databases: Vec<Database>,
    pub(super) dashboards: Option<PathBuf>,
}

impl Project {
    /// Inspects the folder and its direct subfolders.
    pub(super) fn detect(dir: &Path, lookup: Lookup) -> Result<Self, Failure> {
        let folders = folders(dir).map_err(|error| {
            Failure::from(anyhow::anyhow!("cannot read {}: {error}", dir.display()))
        })?;
        let mut tools = Vec::new();
        for folder in &folders {
            tools.extend(dbt::detect(dir, folder, lookup));
            tools.extend(sqlmesh::detect(dir, folder, lookup));
        }
        let mut databases = Vec::new();
        let mut known = BTreeSet::new();
        let written = tools.iter().filter_map(|tool| tool.database.clone());
        for path in written.chain(databases::find(dir, &folders)) {
            if known.insert(path.clone()) {
                databases.push(Database::inspect(dir, path));
            }
        }
        let has_dashboards = |folder: &&Path| {
            fs::read_dir(dir.join(folder)).is_ok_and(|entries| {
                entries.flatten().any(|entry| has_ending(&entry.path(), &["toml"]))
            })
        };
        let dashboards =
            [Path::new("dashboards")].iter().copied().find(has_dashboards).map(Path::to_path_buf);
        Ok(Self { tools, databases, dashboards })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.databases.is_empty()
    }

    /// Puts the file that the operator named as the lakehouse first.
    pub(super) fn put_first(&mut self, dir: &Path, lakehouse: &Path) {
        let absolute = std::path::absolute(lakehouse).unwrap_or_else(|_| lakehouse.to_path_buf());
        let base = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        let path = absolute.strip_prefix(&base).map_or(absolute.clone(), Path::to_path_buf);
        self.databases.retain(|database| database.path != path);
        self.databases.insert(0, Database::inspect(dir, path));
    }
}

/// Returns the folder itself, as an empty path, and its direct subfolders, sorted by name.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    const NOT_PROJECTS: [&str; 6] =
        ["node_modules", "target", "logs", "dbt_packages", "venv", "__pycache__"];
    let mut below = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_hidden = name.to_string_lossy().starts_with('.');
        if entry.path().is_dir() && !is_hidden && !NOT_PROJECTS.iter().any(|skip| name == *skip) {
            below.push(PathBuf::from(name));
        }
    }
    below.sort();
    Ok([PathBuf::new()].into_iter().chain(below).collect())
}

pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one))
}

/// Returns the command that runs a Python project's tool: through uv if the project has its lock
/// file.
pub(super) fn command(dir: &Path, folder: &Path, words: &[&str]) -> Vec<String> {
    let is_locked =
        [dir.join(folder), dir.to_path_buf()].iter().any(|folder| folder.join("uv.lock").is_file());
    let prefix: &[&str] = if is_locked { &["uv", "run"] } else { &[] };
    prefix.iter().chain(words).map(|word| (*word).to_owned()).collect()
}

/// Reads a YAML file; `None` if there is none.
///
/// # Errors
/// Returns a message without the file's name.
pub(super) fn read_yaml(path: &Path) -> Result<Option<Yaml>, String> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| error.to_string())?,
    };
    let documents = YamlLoader::load_from_str(&text).map_err(|error| error.to_string())?;
    Ok(Some(documents.into_iter().next().unwrap_or(Yaml::Null)))
}

/// Expands `{{ env_var('NAME', 'default') }}`.
///
/// # Errors
/// An expression that cannot be expanded: another expression, or a variable that is not set.
pub(super) fn expand(text: &str, lookup: Lookup) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (expression, after) =
            after.split_once("}}").ok_or_else(|| format!("{text:?} is not complete"))?;
        let arguments = expression
            .trim()
            .strip_prefix("env_var(")
            .and_then(|call| call.strip_suffix(')'))
            .ok_or_else(|| format!("{text:?} is an expression that only the tool knows"))?;
        let mut arguments =
            arguments.split(',').map(|one| one.trim().trim_matches(['\'', '"']).to_owned());
        let name = arguments.next().unwrap_or_default();
        let value = lookup(&name)
            .or_else(|| arguments.next())
            .ok_or_else(|| format!("the variable {name} is not set"))?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    Ok(expanded + rest)
}

/// Returns a path from a tool's configuration, relative to the settings' folder.
pub(super) fn relocate(folder: &Path, path: &str) -> PathBuf {
    let joined = folder.join(path);
    let mut clean = PathBuf::new();
    for part in joined.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if clean.file_name().is_some() => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}
