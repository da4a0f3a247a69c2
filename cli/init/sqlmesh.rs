//! Detects SQLMesh projects: `config.yaml` and the names of the models.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use yaml_rust2::Yaml;

use super::project::{Lookup, Tool, ToolKind, command, expand, has_ending, read_yaml, relocate};

/// Maximum number of models that are read.
const MAX_MODELS: usize = 5_000;

pub(super) fn detect(dir: &Path, folder: &Path, lookup: Lookup) -> Option<Tool> {
    let path = |name: &str| dir.join(folder).join(name);
    let name = ["config.yaml", "config.yml"].into_iter().find(|name| path(name).is_file());
    let models = model_schemas(&path("models"));
    let mut tool = Tool {
        kind: ToolKind::Sqlmesh,
        found_in: folder.join(name.unwrap_or("config.py")),
        folder: folder.to_path_buf(),
        pipeline: "sqlmesh",
        command: command(dir, folder, &["sqlmesh", "run"]),
        database: None,
        catalog: None,
        schemas: models.into_iter().collect(),
        notes: Vec::new(),
    };
    let Some(name) = name else {
        // Other programs may have a file of this name.
        let text = fs::read_to_string(path("config.py")).unwrap_or_default();
        let is_sqlmesh = text.contains("import sqlmesh") || text.contains("from sqlmesh");
        tool.notes.push("config.py is a program and is not run: name the file by hand".to_owned());
        return is_sqlmesh.then_some(tool);
    };
    let config = match read_yaml(&path(name)) {
        Ok(Some(config)) if is_sqlmesh(&config) => config,
        Err(reason) if !tool.schemas.is_empty() => {
            tool.notes.push(format!("{name} cannot be read: {reason}"));
            return Some(tool);
        }
        _ => return None,
    };
    if let Err(reason) = read_connection(&mut tool, &config, lookup) {
        tool.notes.push(reason);
    }
    Some(tool)
}

/// Other programs may have a file called config.yaml.
fn is_sqlmesh(config: &Yaml) -> bool {
    ["gateways", "model_defaults", "default_gateway"].iter().any(|key| !config[*key].is_badvalue())
}

/// # Errors
/// Returns what could not be determined, as a message.
fn read_connection(tool: &mut Tool, config: &Yaml, lookup: Lookup) -> Result<(), String> {
    let (gateways, missing) = (&config["gateways"], Yaml::BadValue);
    let gateway = match config["default_gateway"].as_str() {
        Some(name) => &gateways[expand(name, lookup)?.as_str()],
        None => gateways.as_hash().and_then(|all| all.values().next()).unwrap_or(&missing),
    };
    let connection = &gateway["connection"];
    if connection["type"].as_str() != Some("duckdb") {
        return Err("the default gateway is not DuckDB".to_owned());
    }
    if let Some(database) = connection["database"].as_str() {
        tool.database = Some(relocate(&tool.folder, &expand(database, lookup)?));
        return Ok(());
    }
    // Models are in the first catalog.
    let catalogs = connection["catalogs"].as_hash();
    let Some((name, place)) = catalogs.and_then(|catalogs| catalogs.iter().next()) else {
        return Err("the default gateway names no file: its database is in memory".to_owned());
    };
    let place = place
        .as_str()
        .or(place["path"].as_str())
        .ok_or_else(|| "the first catalog is not a DuckDB file".to_owned())?;
    let place = relocate(&tool.folder, &expand(place, lookup)?);
    let stem = place.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    tool.catalog = name.as_str().map(str::to_owned).filter(|name| Some(name) != stem.as_ref());
    tool.database = Some(place);
    Ok(())
}

/// Returns the schemas of all models, from their names.
fn model_schemas(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    let mut models: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                folders.push(entry.path());
            } else if has_ending(&entry.path(), &["sql", "py"]) && models.len() < MAX_MODELS {
                models.push(entry.path());
            }
        }
    }
    for model in models {
        let text = fs::read_to_string(&model).unwrap_or_default();
        let name =
            if has_ending(&model, &["py"]) { name_in_python(&text) } else { name_in_sql(&text) };
        found.extend(name.and_then(schema_of));
    }
    found
}

/// Parses `MODEL (name schema.table, ...`.
fn name_in_sql(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let properties = lower
        .match_indices("model")
        .find_map(|(at, word)| text[at + word.len()..].trim_start().strip_prefix('('))?;
    let mut words = properties.split([' ', '\n', '\t', '\r', ',', ';', ')']);
    words.by_ref().find(|word| word.eq_ignore_ascii_case("name"))?;
    words.find(|word| !word.is_empty())
}

/// Parses `@model("schema.table", ...` or `@model(name="schema.table", ...`.
fn name_in_python(text: &str) -> Option<&str> {
    let call = text.split_once("@model(")?.1;
    let quote = call.find(['"', '\''])?;
    let name = &call[quote + 1..];
    name.split(['"', '\'']).next()
}

/// Returns the last but one part of a name.
fn schema_of(name: &str) -> Option<String> {
    let mut parts = name.rsplit('.').map(|part| part.trim_matches(['"', '`']));
    parts.next()?;
    let schema = parts.next()?;
    let is_plain = schema.chars().all(|char| char.is_alphanumeric() || char == '_');
    (is_plain && !schema.is_empty()).then(|| schema.to_owned())
}
