//! Determines the origin of each setting, and which settings override others.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    path::{Path, PathBuf},
};

use materia::settings::{self, VARIABLES};

use super::Checks;
use crate::context::Context;

/// The files from which settings were read.
#[derive(Default)]
pub(crate) struct Sources {
    /// The settings file and its text, if there is one.
    pub(crate) config: Option<(PathBuf, String)>,
    /// The file of variables, which may not exist.
    pub(crate) dotenv_path: PathBuf,
    pub(crate) dotenv: HashMap<String, String>,
}

/// The origins of a setting, in descending order of precedence. Values that may be secret are not
/// shown.
struct Named {
    from: String,
    value: String,
}

pub(super) fn check(context: &Context, checks: &mut Checks) {
    let sources = &context.sources;
    match &sources.config {
        Some((path, _)) => checks.ok("settings", format!("{}", path.display())),
        None => checks.warn(
            "settings",
            "there is no materia.toml in this folder",
            "change to the folder of materia.toml, name it with --config, or make one: materia init",
        ),
    }
    let mut by_source: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (variable, key) in VARIABLES {
        let named = named(sources, variable, key);
        let Some(first) = named.first() else { continue };
        let name = key.filter(|_| !first.from.contains(variable)).unwrap_or(variable);
        by_source.entry(source(&first.from)).or_default().push(name.to_owned());
        let Some(other) = named[1..].iter().find(|other| other.value != first.value) else {
            continue;
        };
        // These three are described together with their paths below.
        if matches!(key, Some("serving" | "lakehouse" | "extensions")) {
            continue;
        }
        checks.warn(
            "settings",
            format!(
                "{} is taken from {}, which overrides another value from {}",
                key.unwrap_or(variable),
                first.from,
                other.from
            ),
            format!("remove one of them; the one from {} has no effect", other.from),
        );
    }
    for (source, names) in by_source {
        checks.ok("settings", format!("from {source}: {}", names.join(", ")));
    }
    for origin in &context.origins {
        if let Some(warning) = origin.warning() {
            checks.warn("settings", warning, "keep the one that is meant, and remove the other");
        }
    }
}

fn source(from: &str) -> String {
    from.split_once(" in ").map_or_else(
        || {
            if Path::new(from).extension().is_some_and(|end| end == "toml") {
                from.to_owned()
            } else {
                "the environment".to_owned()
            }
        },
        |(_, file)| file.to_owned(),
    )
}

fn named(sources: &Sources, variable: &str, key: Option<&str>) -> Vec<Named> {
    let in_environment = env::var(variable).ok().map(|value| (variable.to_owned(), value));
    let dotenv = sources.dotenv_path.display();
    let in_dotenv = sources
        .dotenv
        .get(variable)
        .map(|value| (format!("{variable} in {dotenv}"), value.clone()));
    let in_file = sources.config.as_ref().zip(key).and_then(|((path, text), key)| {
        Some((path.display().to_string(), settings::value_in_file(text, key)?))
    });
    [in_environment, in_dotenv, in_file]
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_empty())
        .map(|(from, value)| Named { from, value })
        .collect()
}
