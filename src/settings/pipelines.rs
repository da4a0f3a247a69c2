//! The `[pipelines]` section: the steps that fill the lakehouse, in dependency order.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{duration, optional_duration};
use crate::humanize;

/// The built-in pipeline, which runs `materia export`. Settings may contain it to set its `after`,
/// `timeout` and `retries`.
pub const EXPORT: &str = "export_serving";

/// All pipelines, validated: each name in an `after` exists, and there are no cycles.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, PipelineSettings>")]
pub struct PipelinesSettings(BTreeMap<String, PipelineSettings>);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineSettings {
    /// Program and arguments, run without a shell; a program with a slash in its path is relative
    /// to `cwd`.
    pub command: Vec<String>,
    /// Its working directory; default: the folder of `materia.toml`.
    pub cwd: Option<PathBuf>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// Timeout of one attempt; default: none.
    #[serde(deserialize_with = "optional_duration")]
    pub timeout: Option<Duration>,
    /// Pipelines that run before this one, if they are part of the run; it does not run when one of
    /// them failed.
    pub after: Vec<String>,
    /// Number of retries after a failure.
    pub retries: u32,
    /// Delay before the first retry; doubles for each further one, up to an hour.
    #[serde(deserialize_with = "duration")]
    pub retry_wait: Duration,
    /// Time that it may take to stop on request before it is killed.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            cwd: None,
            env: BTreeMap::new(),
            timeout: None,
            after: Vec::new(),
            retries: 0,
            retry_wait: Duration::from_secs(5),
            grace: Duration::from_secs(10),
        }
    }
}

impl Default for PipelinesSettings {
    fn default() -> Self {
        Self(BTreeMap::from([(EXPORT.to_owned(), PipelineSettings::default())]))
    }
}

impl PipelinesSettings {
    /// Returns every name in execution order: each after its dependencies, otherwise by name.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        in_order(&self.0).unwrap_or_default()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&PipelineSettings> {
        self.0.get(name)
    }

    /// Returns the selected pipelines in execution order, each once.
    ///
    /// # Errors
    /// Returns the message to show: the first unknown name, with the closest valid one.
    pub fn choose(&self, wanted: &[String]) -> Result<Vec<&str>, String> {
        if let Some(stranger) = wanted.iter().find(|name| !self.0.contains_key(*name)) {
            return Err(humanize::unknown_name_message("pipeline", stranger, self.names()));
        }
        Ok(self.names().into_iter().filter(|name| wanted.iter().any(|one| one == name)).collect())
    }

    /// Resolves folders against that of `materia.toml`.
    pub(super) fn locate(&mut self, folder: &Path) {
        for (name, pipeline) in &mut self.0 {
            // The built-in pipeline runs in materia's own working directory, since paths from the
            // environment are relative to it.
            if name != EXPORT {
                pipeline.cwd = Some(folder.join(pipeline.cwd.take().unwrap_or_default()));
            }
        }
    }
}

impl TryFrom<BTreeMap<String, PipelineSettings>> for PipelinesSettings {
    type Error = String;

    fn try_from(mut pipelines: BTreeMap<String, PipelineSettings>) -> Result<Self, String> {
        let named_export = pipelines.contains_key(EXPORT);
        let others: Vec<String> =
            pipelines.keys().filter(|name| *name != EXPORT).cloned().collect();
        let export = pipelines.entry(EXPORT.to_owned()).or_default();
        if !named_export {
            export.after = others;
        }
        for (name, pipeline) in &pipelines {
            check(name, pipeline, &pipelines)
                .map_err(|problem| format!("[pipelines.{name}]: {problem}"))?;
        }
        in_order(&pipelines)?;
        Ok(Self(pipelines))
    }
}

fn check(
    name: &str,
    pipeline: &PipelineSettings,
    all: &BTreeMap<String, PipelineSettings>,
) -> Result<(), String> {
    let plain = |char: char| {
        char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_' || char == '-'
    };
    if name.is_empty() || !name.chars().all(plain) {
        return Err(
            "a name consists of lower-case letters, digits, _ and -: log files are named after it"
                .to_owned(),
        );
    }
    match (name == EXPORT, pipeline.command.first()) {
        (true, Some(_)) => {
            return Err("it is built in and runs `materia export`; leave `command` out, or give yours another name".to_owned());
        }
        (true, None) if pipeline.cwd.is_some() => return Err("it runs where materia does; leave `cwd` out".to_owned()),
        (false, None) => return Err("`command` is missing; write for example command = [\"uv\", \"run\", \"sqlmesh\", \"run\"]".to_owned()),
        (false, Some(program)) if program.is_empty() => return Err("`command` begins with the name of a program".to_owned()),
        _ => {}
    }
    match pipeline.after.iter().find(|other| !all.contains_key(*other)) {
        Some(stranger) => Err(humanize::unknown_name_message(
            "pipeline in after:",
            stranger,
            all.keys().map(String::as_str),
        )),
        None => Ok(()),
    }
}

/// Sorts the names so that each follows its dependencies.
fn in_order(pipelines: &BTreeMap<String, PipelineSettings>) -> Result<Vec<&str>, String> {
    let mut ordered: Vec<&str> = Vec::new();
    let mut left: BTreeSet<&str> = pipelines.keys().map(String::as_str).collect();
    while !left.is_empty() {
        let waits_for = |name: &str| {
            pipelines[name].after.iter().map(String::as_str).find(|other| left.contains(other))
        };
        match left.iter().copied().find(|name| waits_for(name).is_none()) {
            Some(next) => {
                left.remove(next);
                ordered.push(next);
            }
            // Following dependencies among the remaining pipelines always reaches a cycle.
            None => return Err(circle(left.iter().copied().next().unwrap_or_default(), waits_for)),
        }
    }
    Ok(ordered)
}

fn circle<'a>(start: &'a str, waits_for: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut walked = vec![start];
    while let Some(next) = walked.last().and_then(|last| waits_for(last)) {
        if let Some(met) = walked.iter().position(|name| *name == next) {
            walked.push(next);
            return format!(
                "these wait for one another: {}; take one of them out of an `after`",
                walked[met..].join(" -> ")
            );
        }
        walked.push(next);
    }
    "some wait for one another".to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn load(text: &str) -> Result<PipelinesSettings, String> {
        let settings = Settings::load(Some((Path::new("etc/materia.toml"), text)), &|_| None);
        settings.map(|settings| settings.pipelines).map_err(|error| error.to_string())
    }

    const THREE: &str = "
        [pipelines.a_transform]\ncommand = ['true']\nafter = ['fetch', 'other']
        [pipelines.other]\ncommand = ['true']\ncwd = 'sub'
        [pipelines.fetch]\ncommand = ['true']";

    #[test]
    fn each_runs_after_those_it_waits_for_and_the_export_after_all() {
        let pipelines = load(THREE).unwrap();
        assert_eq!(pipelines.names(), ["fetch", "other", "a_transform", EXPORT]);
        let requested = ["export_serving", "a_transform", "fetch", "fetch"].map(str::to_owned);
        assert_eq!(pipelines.choose(&requested).unwrap(), ["fetch", "a_transform", EXPORT]);
        assert_eq!(load("").unwrap().names(), [EXPORT]);
    }

    #[test]
    fn the_export_may_say_itself_what_it_comes_after() {
        let pipelines =
            load(&format!("{THREE}\n[pipelines.export_serving]\nafter = ['fetch']\nretries = 2"))
                .unwrap();
        assert_eq!(pipelines.get(EXPORT).unwrap().after, ["fetch"]);
        assert_eq!(pipelines.get(EXPORT).unwrap().retries, 2);
    }

    #[test]
    fn folders_are_seen_from_the_settings() {
        let pipelines = load(THREE).unwrap();
        assert_eq!(pipelines.get("other").unwrap().cwd.as_deref(), Some(Path::new("etc/sub")));
        assert_eq!(pipelines.get("fetch").unwrap().cwd.as_deref(), Some(Path::new("etc/")));
        assert_eq!(pipelines.get(EXPORT).unwrap().cwd, None);
    }

    #[test]
    fn what_cannot_be_run_is_told_with_its_place_and_what_was_meant() {
        let complaint = |text: &str| load(text).unwrap_err();
        assert_eq!(
            complaint("[pipelines.fetch]\ncomand = ['true']"),
            "etc/materia.toml:2: unknown key \"comand\"; did you mean \"command\"?"
        );
        let message = complaint(
            "[pipelines.fetch]\ncommand = ['true']\n[pipelines.load]\ncommand = ['true']\nafter = ['fecth']",
        );
        assert!(
            message.ends_with(
                "[pipelines.load]: unknown pipeline in after: \"fecth\"; did you mean \"fetch\"?"
            ),
            "{message}"
        );
        let message = complaint("[pipelines.fetch]\nretries = 1");
        assert!(message.contains("[pipelines.fetch]: `command` is missing"), "{message}");
        let message = complaint("[pipelines.export_serving]\ncommand = ['true']");
        assert!(message.contains("[pipelines.export_serving]: it is built in"), "{message}");
        let message = complaint("[pipelines.'../x']\ncommand = ['true']");
        assert!(message.contains("lower-case letters"), "{message}");
        assert!(
            load(THREE)
                .unwrap()
                .choose(&["fetsh".to_owned()])
                .unwrap_err()
                .contains("did you mean \"fetch\"?")
        );
    }

    #[test]
    fn pipelines_that_wait_for_one_another_are_named_in_their_circle() {
        let message = load(
            "[pipelines.a]\ncommand = ['x']\nafter = ['b']\n[pipelines.b]\ncommand = ['x']\nafter = ['c']
             [pipelines.c]\ncommand = ['x']\nafter = ['b']",
        )
        .unwrap_err();
        assert!(message.contains("these wait for one another: b -> c -> b"), "{message}");
    }
}
