//! An independent observer that inspects a target after every process that touched it, and checks
//! its guarantees.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use crate::support::{Site, names, whole_run};

/// The observations so far.
pub(crate) struct Outsider<'a> {
    site: &'a Site,
    served: BTreeSet<String>,
    announced: BTreeSet<String>,
}

impl<'a> Outsider<'a> {
    /// Starts observing.
    pub(crate) fn of(site: &'a Site) -> Self {
        let mut outsider = Self { site, served: BTreeSet::new(), announced: BTreeSet::new() };
        outsider.look();
        outsider
    }

    /// Records the served generation and the announced attempt. A process serves at most one
    /// generation, so that observing after each process misses none.
    pub(crate) fn look(&mut self) {
        if let Ok(served) = fs::metadata(self.site.served()) {
            let is_served = |id: &String| {
                fs::metadata(self.site.generation(id)).is_ok_and(|kept| kept.ino() == served.ino())
            };
            self.served.extend(self.site.kept().into_iter().filter(is_served));
        }
        let announced = fs::read(self.site.path("_export.lock")).unwrap_or_default();
        if !announced.is_empty() {
            let running = serde_json::from_slice::<serde_json::Value>(&announced);
            let running = running.unwrap_or_else(|error| {
                panic!("torn: {} ({error})", String::from_utf8_lossy(&announced))
            });
            self.announced.insert(running["id"].as_str().unwrap().to_owned());
        }
    }

    /// Returns the served run, if there is one; panics if it is incomplete.
    pub(crate) fn run(&self) -> Option<i64> {
        self.site.served().exists().then(|| whole_run(&self.site.served()))
    }

    /// After a success: nothing is left over, every retained generation was served once and is
    /// complete, and every attempt is recorded.
    pub(crate) fn expect_order(&mut self, moment: &str) {
        self.look();
        let expected = [
            "analytics.duckdb",
            "analytics.generations",
            "analytics.history.jsonl",
            "lakehouse.duckdb",
        ];
        assert_eq!(self.site.names(), expected, "{moment}");
        let kept = self.site.kept();
        let expected: Vec<_> =
            kept.iter().flat_map(|id| [format!("{id}.duckdb"), format!("{id}.json")]).collect();
        let mut found = names(&self.site.path("analytics.generations"));
        // The state of a rollback.
        found.retain(|name| name != "rollback.json");
        assert_eq!(found, expected, "{moment}");
        let history = self.site.history();
        let recorded: Vec<_> = history.iter().filter_map(|record| record["id"].as_str()).collect();
        for id in &kept {
            assert!(self.served.contains(id), "{moment}: {id} is kept and was never served");
            let published = |record: &serde_json::Value| {
                record["generation"] == id.as_str() && record["outcome"] == "published"
            };
            assert!(
                history.iter().any(published),
                "{moment}: {id} is kept and no attempt published it"
            );
            whole_run(Path::new(&self.site.generation(id)));
        }
        for id in &self.announced {
            assert!(
                recorded.contains(&id.as_str()),
                "{moment}: the attempt {id} has no line in the history"
            );
        }
        assert_eq!(
            recorded.iter().collect::<BTreeSet<_>>().len(),
            recorded.len(),
            "{moment}: an attempt is recorded twice"
        );
    }
}
