//! Detects dbt projects: `dbt_project.yml` and its profile.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use yaml_rust2::Yaml;

use super::project::{Lookup, Tool, ToolKind, command, expand, read_yaml, relocate};

pub(super) fn detect(dir: &Path, folder: &Path, lookup: Lookup) -> Option<Tool> {
    let found_in = folder.join("dbt_project.yml");
    let mut tool = Tool {
        kind: ToolKind::Dbt,
        folder: folder.to_path_buf(),
        pipeline: "dbt",
        command: command(dir, folder, &["dbt", "build"]),
        database: None,
        catalog: None,
        schemas: Vec::new(),
        notes: Vec::new(),
        found_in,
    };
    let project = match read_yaml(&dir.join(&tool.found_in)) {
        Ok(project) => project?,
        Err(reason) => {
            tool.notes.push(format!("dbt_project.yml cannot be read: {reason}"));
            return Some(tool);
        }
    };
    let custom = custom_schemas(&project["models"]);
    let profile = project["profile"].as_str().or(project["name"].as_str()).unwrap_or("default");
    if let Err(reason) = read_profile(&mut tool, dir, (profile, &custom), lookup) {
        tool.notes.push(reason);
    }
    Some(tool)
}

/// Returns the locations where dbt searches for profiles, in its order.
fn profile_files(dir: &Path, folder: &Path, lookup: Lookup) -> Vec<PathBuf> {
    let named = lookup("DBT_PROFILES_DIR").map(PathBuf::from);
    let own = lookup("HOME").map(|home| Path::new(&home).join(".dbt"));
    named
        .into_iter()
        .chain([dir.join(folder)])
        .chain(own)
        .map(|folder| folder.join("profiles.yml"))
        .collect()
}

/// # Errors
/// Returns what could not be determined, as a message.
fn read_profile(
    tool: &mut Tool,
    dir: &Path,
    (name, custom): (&str, &BTreeSet<String>),
    lookup: Lookup,
) -> Result<(), String> {
    for file in profile_files(dir, &tool.folder, lookup) {
        let Some(profiles) = read_yaml(&file)
            .map_err(|reason| format!("{} cannot be read: {reason}", file.display()))?
        else {
            continue;
        };
        let profile = &profiles[name];
        if profile.is_badvalue() {
            continue;
        }
        let target = match profile["target"].as_str() {
            Some(target) => expand(target, lookup)?,
            None => "default".to_owned(),
        };
        let output = &profile["outputs"][target.as_str()];
        if output["type"].as_str() != Some("duckdb") {
            return Err(format!(
                "{}: the target {target} of the profile {name} is not DuckDB",
                file.display()
            ));
        }
        let schema = match output["schema"].as_str() {
            Some(schema) => expand(schema, lookup)?,
            None => "main".to_owned(),
        };
        // The schema that dbt's own macro derives from a model's `schema`.
        tool.schemas = custom.iter().map(|custom| format!("{schema}_{custom}")).collect();
        tool.schemas.push(schema);
        let path = output["path"].as_str().ok_or_else(|| {
            format!("{}: the target {target} has no path: it is in memory", file.display())
        })?;
        tool.database = Some(relocate(&tool.folder, &expand(path, lookup)?));
        return Ok(());
    }
    Err(format!("the profile {name} was not found in any profiles.yml"))
}

/// Returns every `schema` or `+schema` below `models`.
fn custom_schemas(models: &Yaml) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![models];
    while let Some(node) = open.pop() {
        for (key, value) in node.as_hash().into_iter().flatten() {
            match (key.as_str(), value.as_str()) {
                (Some("schema" | "+schema"), Some(name)) if !name.contains("{{") => {
                    found.insert(name.to_owned());
                }
                _ => open.push(value),
            }
        }
    }
    found
}
