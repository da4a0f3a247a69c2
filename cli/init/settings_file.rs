//! Renders the new `materia.toml`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::project::{Project, Tool};

/// Common names of the serving layer, the most likely first.
const SERVING_LAYERS: [&str; 9] = [
    "serving",
    "marts",
    "mart",
    "reporting",
    "analytics",
    "gold",
    "main_marts",
    "main_mart",
    "main",
];

/// The choices that the file contains.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) lakehouse: PathBuf,
    pub(super) schemas: Vec<String>,
    /// Schemas that are not published.
    others: Vec<String>,
}

impl Choices {
    /// Returns the most likely file and schema.
    pub(super) fn of(project: &Project) -> Self {
        let lakehouse = project
            .databases
            .first()
            .map_or_else(|| PathBuf::from("lakehouse.duckdb"), |database| database.path.clone());
        let mut choices =
            Self { lakehouse: PathBuf::new(), schemas: Vec::new(), others: Vec::new() };
        choices.set_lakehouse(project, &lakehouse);
        choices
    }

    pub(super) fn set_lakehouse(&mut self, project: &Project, lakehouse: &Path) {
        lakehouse.clone_into(&mut self.lakehouse);
        // The content of a file is certain; the project's configuration may not have been run yet.
        let held = project
            .databases
            .iter()
            .find(|database| database.path == lakehouse)
            .and_then(|database| database.schemas.as_ref().ok());
        let mut known: Vec<String> =
            held.into_iter().flatten().map(|schema| schema.name.clone()).collect();
        if known.is_empty() {
            let writes =
                |tool: &&Tool| tool.database.as_deref().is_none_or(|path| path == lakehouse);
            known =
                project.tools.iter().filter(writes).flat_map(|tool| tool.schemas.clone()).collect();
        }
        let likeliest = SERVING_LAYERS
            .iter()
            .find(|layer| known.iter().any(|schema| schema == *layer))
            .map(|layer| (*layer).to_owned())
            .or_else(|| known.iter().find(|schema| schema.ends_with("_marts")).cloned())
            .or_else(|| known.last().cloned())
            .unwrap_or_else(|| "serving".to_owned());
        known.retain(|schema| *schema != likeliest);
        self.schemas = vec![likeliest];
        self.others = known;
    }

    /// Renders a file that every later version of materia can read.
    pub(super) fn render(&self, project: &Project) -> String {
        let mut text = String::from(
            "# Settings of materia. Paths are relative to this file; flags and the environment win over it.\n\
             # Every setting: docs/settings.md. Secrets belong into the environment or .env.\n\n\
             # The pipeline's file, and the file that readers open, which `materia export` replaces in one step.\n",
        );
        let _ = writeln!(text, "lakehouse = {}", quote_path(&self.lakehouse));
        let _ = writeln!(text, "serving = {}\n", quote_path(&self.serving()));
        self.render_export(&mut text, project);
        render_pipelines(&mut text, project);
        text.push_str(
            "# Older than this is stale for `materia status` and alerts.\n\
             # [status]\n# max_age = \"26h\"\n\n",
        );
        match &project.dashboards {
            Some(folder) => {
                text.push_str("# Dashboards as files: docs/dashboards.md.\n[dashboards]\n");
                let _ = writeln!(text, "dir = {}\n", quote_path(folder));
            }
            None => text.push_str(
                "# Dashboards as files: docs/dashboards.md. Without this an overview is drawn of what is served.\n\
                 # [dashboards]\n# dir = \"dashboards\"\n\n",
            ),
        }
        text.push_str(
            "# On a server, units run all of it: `systemctl enable --now materia-export.timer materia-web.service`\n\
             # with the Debian package, or docs/recipes/cron-and-systemd.md.\n",
        );
        text
    }

    /// Returns a path next to the lakehouse with a different name.
    fn serving(&self) -> PathBuf {
        let default_path = self.lakehouse.with_file_name("analytics.duckdb");
        if default_path == self.lakehouse {
            self.lakehouse.with_file_name("published.duckdb")
        } else {
            default_path
        }
    }

    fn render_export(&self, text: &mut String, project: &Project) {
        text.push_str("[export]\n");
        let listed: Vec<String> = self.schemas.iter().map(|schema| quote(schema)).collect();
        match listed.as_slice() {
            [one] => {
                let _ = writeln!(text, "schema = {one}");
            }
            several => {
                let _ = writeln!(text, "schema = [{}]", several.join(", "));
            }
        }
        if !self.others.is_empty() {
            let others: Vec<String> =
                self.others.iter().map(|schema| comment_safe(schema)).collect();
            let _ = writeln!(text, "# Not published: {}.", others.join(", "));
        }
        let catalog = project
            .tools
            .iter()
            .find(|tool| tool.database.as_ref() == Some(&self.lakehouse))
            .and_then(|tool| tool.catalog.as_ref());
        if let Some(catalog) = catalog {
            text.push_str("# The name under which the pipeline attaches the file.\n");
            let _ = writeln!(text, "catalog = {}", quote(catalog));
        }
        text.push_str(
            "# Retained generations to roll back to, the served one included.\n\
             keep = 3\n\
             # How long to wait while the pipeline writes.\n\
             # wait = \"5m\"\n\
             # Refuse a table that lost more than this share of its rows.\n\
             # max_drop = 0.5\n\n\
             # What must be true of a table before it is published:\n\
             # [export.tables.orders]\n\
             # not_null = [\"id\"]\n\
             # unique = [\"id\"]\n\n",
        );
    }
}

fn render_pipelines(text: &mut String, project: &Project) {
    if project.tools.is_empty() {
        text.push_str(
            "# What fills the lakehouse: `materia pipeline run --all` runs it, and then exports.\n\
             # [pipelines.transform]\n# command = [\"dbt\", \"build\"]\n# timeout = \"1h\"\n\n",
        );
        return;
    }
    text.push_str(
        "# What fills the lakehouse: `materia pipeline run --all` runs it, and then exports.\n",
    );
    let mut names = Vec::new();
    for tool in &project.tools {
        let number = project
            .tools
            .iter()
            .take_while(|other| !std::ptr::eq(*other, tool))
            .filter(|other| other.pipeline == tool.pipeline)
            .count();
        let name = if number == 0 {
            tool.pipeline.to_owned()
        } else {
            format!("{}_{}", tool.pipeline, number + 1)
        };
        let words: Vec<String> = tool.command.iter().map(|word| quote(word)).collect();
        let _ = writeln!(text, "[pipelines.{name}]\ncommand = [{}]", words.join(", "));
        if tool.folder != Path::new("") {
            let _ = writeln!(text, "cwd = {}", quote_path(&tool.folder));
        }
        text.push_str("timeout = \"1h\"\n# retries = 2\n\n");
        names.push(quote(&name));
    }
    let _ = writeln!(text, "[pipelines.export_serving]\nafter = [{}]\n", names.join(", "));
}

/// Formats a TOML basic string: its escapes are those of JSON, except for one character.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// Returns a name without line breaks, which would end the comment.
fn comment_safe(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}
