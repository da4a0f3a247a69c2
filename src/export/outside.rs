//! What views may read outside the lakehouse: the files that the settings allow, and nothing about
//! this process or machine.
//!
//! External access is disabled in DuckDB while views are read, but views can still see its settings
//! and every attached database file. So the statement of each view, and of every view and macro
//! below it, is examined before it is bound. DuckDB then also refuses globs and relative paths; a
//! view that reads allowed files is therefore rewritten with their full names.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    ExportError,
    allowed_files::AllowedFiles,
    engine::Engine,
    fingerprint::lineage::query_of,
    rewrite::{Edit, aliases, function_for, list, literal_ends, name_ends},
    statement::{Item, Statement, Texts},
};
use crate::sql;

/// Table functions that read nothing but their arguments and the catalog.
const HARMLESS_TABLE_FUNCTIONS: [&str; 26] = [
    "duckdb_columns",
    "duckdb_constraints",
    "duckdb_coordinate_systems",
    "duckdb_dependencies",
    "duckdb_functions",
    "duckdb_indexes",
    "duckdb_keywords",
    "duckdb_schemas",
    "duckdb_sequences",
    "duckdb_tables",
    "duckdb_types",
    "duckdb_views",
    "generate_series",
    "generate_subscripts",
    "icu_calendar_names",
    "json_each",
    "json_tree",
    "pg_timezone_names",
    "pragma_collations",
    "range",
    "repeat",
    "repeat_row",
    "seq_scan",
    "summary",
    "test_all_types",
    "unnest",
];
/// Table functions whose first argument is a file, a glob or a list of both.
const FILE_FUNCTIONS: [&str; 13] = [
    "parquet_scan",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_json_objects_auto",
    "read_ndjson",
    "read_ndjson_auto",
    "read_ndjson_objects",
    "read_parquet",
    "read_text",
];
/// Scalar functions that reveal or affect this process or its settings.
const REFUSED_FUNCTIONS: [&str; 12] = [
    "current_connection_id",
    "current_query",
    "current_query_id",
    "current_setting",
    "current_transaction_id",
    "getenv",
    "getvariable",
    "json_serialize_plan",
    "setseed",
    "sleep_ms",
    "stats",
    "write_log",
];

/// Definitions of macros, and whether they are DuckDB's own, by lower-case name.
type Macros = BTreeMap<String, Vec<(bool, String)>>;

/// Why a view may not be read.
pub(super) struct Refusal {
    what: String,
    advice: String,
}

/// The statements of all views and macros within reach, and the files that views may read.
pub(super) struct Views<'a> {
    engine: &'a Engine,
    catalog: String,
    files: &'a AllowedFiles,
    relations: BTreeMap<String, Vec<ViewRelation>>,
    macros: OnceCell<Macros>,
}

struct ViewRelation {
    catalog: String,
    schema: String,
    name: String,
    /// The statement, for a view.
    view: Option<String>,
    /// The expressions of a table's generated columns, which are evaluated whenever the table is
    /// read.
    generated: Vec<String>,
}

impl<'a> Views<'a> {
    /// Reads the catalogs of everything that is attached; `catalog` is the lakehouse's.
    pub(super) fn new(
        engine: &'a Engine,
        catalog: &str,
        files: &'a AllowedFiles,
    ) -> Result<Self, ExportError> {
        let query = "
            SELECT database_name, schema_name, table_name, NULL FROM duckdb_tables() WHERE NOT temporary
            UNION ALL
            SELECT database_name, schema_name, view_name, coalesce(sql, '') FROM duckdb_views() WHERE NOT temporary OR internal";
        let mut relations = BTreeMap::<String, Vec<ViewRelation>>::new();
        let read = |row: &duckdb::Row<'_>| {
            Ok(ViewRelation {
                catalog: row.get(0)?,
                schema: row.get(1)?,
                name: row.get(2)?,
                view: row.get(3)?,
                generated: Vec::new(),
            })
        };
        for relation in engine.rows(query, &[], read)? {
            relations.entry(relation.name.to_lowercase()).or_default().push(relation);
        }
        let generated = "
            SELECT database_name, schema_name, table_name, column_default FROM duckdb_columns() SEMI JOIN
            (SELECT database_oid, table_oid FROM duckdb_tables() WHERE sql LIKE '%GENERATED ALWAYS%') USING (database_oid, table_oid)
            WHERE column_default IS NOT NULL";
        let read = |row: &duckdb::Row<'_>| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
            ))
        };
        for (catalog, schema, name, expression) in engine.rows(generated, &[], read)? {
            let tables = relations.get_mut(&name.to_lowercase()).into_iter().flatten();
            for table in tables.filter(|table| {
                table.catalog == catalog && table.schema == schema && table.view.is_none()
            }) {
                table.generated.push(expression.clone());
            }
        }
        Ok(Self { engine, catalog: catalog.to_owned(), files, relations, macros: OnceCell::new() })
    }

    /// Examines a view or table of the lakehouse. Returns a view's query with full names if it
    /// reads files.
    ///
    /// # Errors
    /// [`ExportError::Outside`] if it, or a view below it, reads anything that it may not.
    pub(super) fn check(&self, schema: &str, name: &str) -> Result<Option<String>, ExportError> {
        let own = self.relations.get(&name.to_lowercase()).into_iter().flatten();
        let mut own = own.filter(|relation| {
            relation.catalog == self.catalog && relation.schema == schema && relation.name == name
        });
        let Some(relation) = own.next() else { return Ok(None) };
        let above = &mut BTreeSet::new();
        let found = match &relation.view {
            Some(text) => self.statement(text, true, above)?,
            None => self.generated(relation, above)?.map(|()| None),
        };
        found.map_err(|refusal| ExportError::Outside {
            relation: format!("{schema}.{name}"),
            what: refusal.what,
            advice: refusal.advice,
        })
    }

    /// Returns the catalogs to which views refer although no file is attached under that name, each
    /// with the tables that it should contain.
    pub(super) fn unknown_catalogs(
        &self,
        selected: &[(String, String)],
    ) -> Result<BTreeMap<String, Vec<(String, String)>>, ExportError> {
        let mut unknown = BTreeMap::<String, Vec<(String, String)>>::new();
        let mut seen = BTreeSet::new();
        let mut names: Vec<(String, String)> = selected.to_vec();
        let known: BTreeSet<String> = self
            .engine
            .query_strings("SELECT lower(database_name) FROM duckdb_databases()", &[])?
            .into_iter()
            .collect();
        while let Some((schema, name)) = names.pop() {
            let relations: Vec<_> =
                self.relations.get(&name.to_lowercase()).into_iter().flatten().collect();
            let views = relations.iter().filter(|relation| {
                schema.is_empty() || relation.schema.eq_ignore_ascii_case(&schema)
            });
            for text in views.filter_map(|relation| relation.view.as_deref()) {
                if !seen.insert(text.to_owned()) {
                    continue;
                }
                let Some(found) = Statement::examine(self.engine, query_of(text))? else {
                    continue;
                };
                for item in found.items {
                    let Item::Table { catalog, schema, name, .. } = item else { continue };
                    if !catalog.is_empty() && !known.contains(&catalog.to_lowercase()) {
                        unknown.entry(catalog).or_default().push((schema.clone(), name.clone()));
                    }
                    names.push((schema, name));
                }
            }
        }
        Ok(unknown)
    }

    /// Returns whether the lakehouse has a relation of this name.
    pub(super) fn has(&self, (schema, name): &(String, String)) -> bool {
        self.relations.get(&name.to_lowercase()).into_iter().flatten().any(|relation| {
            relation.catalog == self.catalog
                && (schema.is_empty() || relation.schema.eq_ignore_ascii_case(schema))
        })
    }

    fn macros(&self) -> Result<&Macros, ExportError> {
        if let Some(macros) = self.macros.get() {
            return Ok(macros);
        }
        let query = "
            SELECT lower(function_name), lower(database_name) = 'system', macro_definition
            FROM duckdb_functions() WHERE function_type LIKE '%macro' AND macro_definition IS NOT NULL";
        let read = |row: &duckdb::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?));
        let mut macros = BTreeMap::<String, Vec<(bool, String)>>::new();
        for (name, is_builtin, definition) in self.engine.rows(query, &[], read)? {
            macros.entry(name).or_default().push((is_builtin, definition));
        }
        Ok(self.macros.get_or_init(|| macros))
    }

    /// Examines one statement and everything below it. Only a view whose statement can be rewritten
    /// may read files.
    fn statement(
        &self,
        text: &str,
        can_be_rewritten: bool,
        above: &mut BTreeSet<String>,
    ) -> Result<Result<Option<String>, Refusal>, ExportError> {
        if !above.insert(text.to_owned()) {
            return Ok(Ok(None));
        }
        let query = query_of(text);
        let Some(found) = Statement::examine(self.engine, query)? else {
            return Ok(Err(Refusal::new(
                "has a statement that cannot be examined",
                "Load what it selects into a table in the pipeline",
            )));
        };
        let mut edits = Vec::new();
        for item in &found.items {
            let edit = match item {
                Item::Table { .. } => {
                    self.table(item, &found.own_names, query, can_be_rewritten, above)?
                }
                Item::TableFunction { name, first } => {
                    self.table_function(name, first.as_ref(), query, can_be_rewritten, above)?
                }
                Item::Function(name) => self.function(name, above)?,
                Item::Show => Err(Refusal::process("SHOW")),
            };
            match edit {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(found) => edits.extend(found),
            }
        }
        above.remove(text);
        if edits.is_empty() {
            return Ok(Ok(None));
        }
        edits.sort_by_key(|edit: &Edit| std::cmp::Reverse(edit.from));
        let mut rewritten = query.trim_end().trim_end_matches(';').to_owned();
        for edit in edits {
            if edit.to > rewritten.len() {
                return Ok(Err(Refusal::unplaced()));
            }
            rewritten.replace_range(edit.from..edit.to, &edit.text);
        }
        // The names in `CREATE VIEW name (columns)` rename the selected columns.
        let names = aliases(text);
        Ok(Ok(Some(if names.is_empty() {
            rewritten
        } else {
            format!("SELECT * FROM ({rewritten}) AS _{names}")
        })))
    }

    fn table(
        &self,
        item: &Item,
        own_names: &BTreeSet<String>,
        query: &str,
        can_be_rewritten: bool,
        above: &mut BTreeSet<String>,
    ) -> Result<Result<Vec<Edit>, Refusal>, ExportError> {
        let Item::Table { catalog, schema, name, has_alias, at } = item else {
            return Ok(Ok(Vec::new()));
        };
        // Elsewhere in the statement, the name may refer to something other than the `WITH` clause:
        // its other meanings are examined as well.
        let is_own = schema.is_empty() && own_names.contains(&name.to_lowercase());
        let can_mean = |relation: &&ViewRelation| {
            let is = |written: &str, meant: &str| {
                written.is_empty() || written.eq_ignore_ascii_case(meant)
            };
            is(catalog, &relation.catalog) && is(schema, &relation.schema)
                || catalog.is_empty() && schema.eq_ignore_ascii_case(&relation.catalog)
        };
        let meant: Vec<_> = self
            .relations
            .get(&name.to_lowercase())
            .into_iter()
            .flatten()
            .filter(can_mean)
            .collect();
        let mut edits = Vec::new();
        for relation in &meant {
            let Some(text) = &relation.view else {
                if let Err(refusal) = self.generated(relation, above)? {
                    return Ok(Err(refusal));
                }
                continue;
            };
            let is_builtin = relation.catalog.eq_ignore_ascii_case("system");
            match self.statement(text, can_be_rewritten && !is_builtin, above)? {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(None) => {}
                Ok(Some(_)) if is_own => {}
                Ok(Some(rewritten)) => {
                    let Some(to) = name_ends(query, *at, &[catalog, schema, name]) else {
                        return Ok(Err(Refusal::unplaced()));
                    };
                    let alias = if *has_alias {
                        String::new()
                    } else {
                        format!(" AS {}", sql::ident(&relation.name))
                    };
                    edits = vec![Edit { from: *at, to, text: format!("({rewritten}){alias}") }];
                }
            }
        }
        let is_file = !is_own
            && meant.is_empty()
            && catalog.is_empty()
            && schema.is_empty()
            && name.contains(['.', '/', ':', '*', '?']);
        if !is_file {
            return Ok(Ok(edits));
        }
        let Some(to) = literal_ends(query, *at, name) else { return Ok(Err(Refusal::unplaced())) };
        Ok(self.read(name, can_be_rewritten).and_then(|paths| {
            let list = list(&paths);
            let text = match paths.as_slice() {
                [_] => list,
                _ => format!("{}([{list}])", function_for(name).ok_or_else(Refusal::unplaced)?),
            };
            Ok(vec![Edit { from: *at, to, text }])
        }))
    }

    fn table_function(
        &self,
        name: &str,
        first: Option<&Texts>,
        query: &str,
        can_be_rewritten: bool,
        above: &mut BTreeSet<String>,
    ) -> Result<Result<Vec<Edit>, Refusal>, ExportError> {
        if FILE_FUNCTIONS.contains(&name) {
            return Ok(self.file_function(name, first, query, can_be_rewritten));
        }
        if HARMLESS_TABLE_FUNCTIONS.contains(&name) {
            return Ok(Ok(Vec::new()));
        }
        if self.macros()?.contains_key(name) {
            self.function(name, above)
        } else {
            Ok(Err(Refusal::process(&format!("{name}()"))))
        }
    }

    fn file_function(
        &self,
        name: &str,
        first: Option<&Texts>,
        query: &str,
        can_be_rewritten: bool,
    ) -> Result<Vec<Edit>, Refusal> {
        let Some(first) = first else {
            let what = format!("reads files with {name}() whose names are not plain text");
            return Err(Refusal::new(
                &what,
                "Write the paths as text in the view, or load the files into a table in the pipeline",
            ));
        };
        let mut edits = Vec::new();
        for (written, at) in &first.texts {
            let files = self.read(written, can_be_rewritten)?;
            let to = literal_ends(query, *at, written).ok_or_else(Refusal::unplaced)?;
            let text = if first.is_list { list(&files) } else { format!("[{}]", list(&files)) };
            edits.push(Edit { from: *at, to, text });
        }
        Ok(edits)
    }

    /// Returns the files to which a path in a view refers, all of which it may read.
    fn read(&self, written: &str, can_be_rewritten: bool) -> Result<Vec<String>, Refusal> {
        if !can_be_rewritten {
            let what = format!("reads {written} through a macro");
            return Err(Refusal::new(
                &what,
                "Name the file in the view itself, or load it into a table in the pipeline",
            ));
        }
        self.files.resolve(written).map_err(|(what, advice)| Refusal { what, advice })
    }

    fn generated(
        &self,
        table: &ViewRelation,
        above: &mut BTreeSet<String>,
    ) -> Result<Result<(), Refusal>, ExportError> {
        for expression in &table.generated {
            if let Err(refusal) = self.statement(expression, false, above)? {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    fn function(
        &self,
        name: &str,
        above: &mut BTreeSet<String>,
    ) -> Result<Result<Vec<Edit>, Refusal>, ExportError> {
        if REFUSED_FUNCTIONS.contains(&name) {
            return Ok(Err(Refusal::process(&format!("{name}()"))));
        }
        for (is_builtin, definition) in self.macros()?.get(name).into_iter().flatten() {
            match self.statement(definition, false, above)? {
                // DuckDB's own macros contain nodes that its serializer does not support.
                Err(refusal) if !(*is_builtin && refusal.what.contains("cannot be examined")) => {
                    return Ok(Err(refusal));
                }
                _ => {}
            }
        }
        Ok(Ok(Vec::new()))
    }
}

impl Refusal {
    fn new(what: &str, advice: &str) -> Self {
        Self { what: what.to_owned(), advice: advice.to_owned() }
    }

    fn process(what: &str) -> Self {
        let what = format!("uses {what}, which reveals the process or machine that exports");
        Self::new(
            &what,
            "Take it out of the view, or leave the view out with [export] exclude in materia.toml",
        )
    }

    fn unplaced() -> Self {
        Self::new(
            "reads files in a way that cannot be rewritten",
            "Load them into a table in the pipeline",
        )
    }
}
