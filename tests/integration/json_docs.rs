//! `docs/json.md` against what the commands print: every field is documented with its type, and
//! every documented field is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use crate::{child::Actor, postgres_endpoint::Endpoint, support::Site};

/// The fields of each section, by name, with their types.
type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn sections() -> Sections {
    let text = fs::read_to_string(concat!(env!("REPOSITORY"), "/docs/json.md")).unwrap();
    let (mut sections, mut section) = (Sections::new(), String::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        let cells: Vec<_> = line.split(" | ").collect();
        if let (Some(field), Some(kind)) =
            (cells[0].strip_prefix("| `").and_then(|cell| cell.strip_suffix('`')), cells.get(1))
        {
            let fields = sections.entry(section.clone()).or_default();
            fields.insert(field.to_owned(), (*kind).to_owned());
        }
    }
    assert!(sections.len() > 20, "{sections:?}");
    sections
}

/// Compares values with the page, and remembers which fields were seen.
struct Documented {
    sections: Sections,
    seen: BTreeSet<(String, String)>,
}

impl Documented {
    fn object(&mut self, section: &str, value: &Value) {
        let fields =
            self.sections.get(section).unwrap_or_else(|| panic!("no section {section}")).clone();
        for (name, value) in value.as_object().unwrap_or_else(|| panic!("{section}: {value}")) {
            let kind =
                fields.get(name).unwrap_or_else(|| panic!("{section}: {name} is not documented"));
            self.value(&format!("{section}: {name}"), kind, value);
            self.seen.insert((section.to_owned(), name.clone()));
        }
        for (name, kind) in &fields {
            let is_there = value.get(name).is_some() || kind.ends_with(", optional");
            assert!(is_there, "{section}: {name} is missing in {value}");
        }
    }

    fn value(&mut self, place: &str, kind: &str, value: &Value) {
        let kind = kind.strip_suffix(", optional").unwrap_or(kind);
        let (kind, is_nullable) =
            kind.strip_suffix(" or null").map_or((kind, false), |kind| (kind, true));
        if value.is_null() {
            assert!(is_nullable, "{place} is null");
            return;
        }
        if let Some(kind) = kind.strip_prefix("list of ") {
            for value in value.as_array().unwrap_or_else(|| panic!("{place}: {value}")) {
                self.value(place, kind, value);
            }
            return;
        }
        let fits = match kind {
            "text" => value.is_string(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            link => {
                let section = link.strip_prefix('[').and_then(|rest| rest.split(']').next());
                self.object(section.unwrap_or_else(|| panic!("{place}: {link}")), value);
                true
            }
        };
        assert!(fits, "{place} is no {kind}: {value}");
    }

    /// Every line that a command prints is an object of this section, with its version.
    fn lines(&mut self, section: &str, output: &str) {
        for line in output.lines() {
            let mut value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value.as_object_mut().unwrap().remove("version"), Some(1.into()), "{line}");
            assert!(line.starts_with("{\"version\":1,"), "{line}");
            self.object(section, &value);
        }
    }
}

/// Sections of which only commands on a lake print something.
const LAKE_SECTIONS: [&str; 3] = ["publisher", "materia migrate --dry-run", "planned table"];

/// Asserts that every field of each printed line is documented in this section.
pub(crate) fn assert_documented(section: &str, output: &str) {
    Documented { sections: sections(), seen: BTreeSet::new() }.lines(section, output);
}

#[test]
fn every_field_of_json_is_documented_with_its_type_and_every_documented_field_is_there() {
    let mut documented = Documented { sections: sections(), seen: BTreeSet::new() };
    let site = Site::small();
    let mut check = |section: &str, args: &[&str]| {
        documented.lines(section, &site.run(args).stdout);
    };
    site.settings(
        "[pipelines.fine]\ncommand = ['true']\n[pipelines.wrong]\ncommand = ['false']\n[alerts]\nbackups = 'backups'\n[postgres]\nlisten = '127.0.0.1:0'\nsocket = '.'",
    );
    check("materia status", &["status", "--json"]);
    check("materia alert", &["alert", "--json"]);
    check("materia export", &["export", "--json"]);
    site.change("UPDATE serving.numbers SET value = value + 1000 WHERE id < 900; INSERT INTO serving.numbers VALUES (5000, 1)");
    check("materia export", &["export", "--json"]);
    check("materia status", &["status", "--json"]);
    check("materia diff", &["diff", "--json"]);
    site.run(&["pipeline", "run", "--all", "-q"]);
    check("materia pipeline list", &["pipeline", "list", "--json"]);
    check("materia users list", &["users", "seed", "--json"]);
    check("materia users list", &["users", "list", "--json"]);
    check("materia extensions list", &["extensions", "list", "--json"]);
    let endpoint = Endpoint::start(&site);
    check("materia postgres list", &["postgres", "list", "--json"]);
    drop(endpoint);
    let newest = site.kept().pop().unwrap();
    check("materia pin", &["pin", "--json", &newest]);
    check("materia pin", &["unpin", "--json", &newest]);
    site.change("DROP TABLE serving.names");
    check("materia export", &["export", "--json"]);
    check("materia export", &["rollback", "--json"]);
    let writer = Actor::start("writer", &site.lakehouse());
    check("materia export", &["export", "--json", "--wait", "300ms"]);
    check("materia status", &["status", "--json"]);
    writer.end();
    check("attempt", &["history", "--json"]);
    check("materia alert", &["alert", "--json"]);
    check("materia doctor", &["doctor", "--json"]);
    check("materia dashboards check", &["dashboards", "check", "--json"]);
    let unseen: Vec<_> = documented
        .sections
        .iter()
        .flat_map(|(section, fields)| fields.iter().map(move |field| (section, field)))
        .filter(|(section, (field, kind))| {
            !kind.ends_with(", optional")
                // Only an export that is running at this moment has it.
                && section.as_str() != "running export"
                && section.as_str() != "idle table"
                // A lake's, which its own tests print.
                && !LAKE_SECTIONS.contains(&section.as_str())
                && !documented.seen.contains(&((*section).clone(), (*field).clone()))
        })
        .collect();
    assert!(unseen.is_empty(), "documented and never printed: {unseen:?}");
}
