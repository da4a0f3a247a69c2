//! What one session may see of one generation: the namespace of its plan and key.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use materia::{
    digest::DigestBuilder,
    guard::Scope,
    reader::{Namespace, Pin, Query, QueryLimits, ReaderError},
    settings::TableRules,
    sql,
    tables::{
        TypeClass,
        access::{self, Access, AccessibleTable},
    },
    values,
};
use tokio::sync::OnceCell;

use crate::{
    Identity,
    types::{self, ColumnType},
};

const CATALOG: &str = include_str!("catalog.sql");
/// The schema of the views of the SQL standard's `information_schema`.
const STANDARD: &str = "_info";
/// The first oid of a table; PostgreSQL's own objects are below.
const FIRST_OID: u32 = 16_385;
const OIDS: u32 = 1 << 30;
/// Audiences that are remembered; each belongs to one generation.
const REMEMBERED: usize = 256;

/// A pinned generation as one audience sees it.
pub(crate) struct Audience {
    pub(crate) pin: Pin,
    pub(crate) seen: Arc<Seen>,
}

impl Audience {
    /// Returns the name of the generation, as in the header of the site's API.
    pub(crate) fn generation(&self) -> String {
        let info = self.pin.generation();
        info.id.as_ref().map_or_else(|| format!("session-{}", info.sequence), ToString::to_string)
    }
}

/// What is the same for all sessions of an audience in a generation.
pub(crate) struct Seen {
    pub(crate) namespace: Arc<Namespace>,
    /// The names of the tables.
    pub(crate) tables: Vec<String>,
    /// The types of all columns by name, where they are the same in every table.
    pub(crate) columns: HashMap<String, ColumnType>,
    pub(crate) schema: String,
}

/// What is prepared once, however many sessions wait for it.
struct Known {
    sequence: u64,
    seen: Arc<OnceCell<Arc<Seen>>>,
}

/// Builds audiences, and remembers them while their generation is current.
pub(crate) struct Audiences {
    rules: TableRules,
    database: String,
    known: Mutex<HashMap<String, Known>>,
}

impl Audiences {
    pub(crate) fn new(rules: TableRules, database: &str) -> Self {
        Self { rules, database: database.to_owned(), known: Mutex::default() }
    }

    /// Returns what a client with this identity sees of the pinned generation.
    ///
    /// # Errors
    /// The errors of [`Pin::query`].
    pub(crate) async fn of(&self, pin: Pin, who: &Identity) -> Result<Audience, ReaderError> {
        let sequence = pin.generation().sequence;
        let who_key = if who.operator {
            "operator".to_owned()
        } else {
            format!("{} {:?}", who.plan, who.tables)
        };
        let key = format!("{sequence} {who_key}");
        let cell = {
            let mut known = self.known();
            if known.len() >= REMEMBERED && !known.contains_key(&key) {
                known.retain(|_, other| other.sequence + 1 >= sequence);
                if known.len() >= REMEMBERED {
                    known.clear();
                }
            }
            let new = || Known { sequence, seen: Arc::default() };
            known.entry(key).or_insert_with(new).seen.clone()
        };
        let prepare = || async { self.prepare(&pin, who, &who_key).await.map(Arc::new) };
        let seen = cell.get_or_try_init(prepare).await?.clone();
        Ok(Audience { pin, seen })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn prepare(&self, pin: &Pin, who: &Identity, who_key: &str) -> Result<Seen, ReaderError> {
        let visible = visible_tables(pin, &self.rules, who).await?;
        let (catalog, schema) = place(pin).await?;
        let mut tables: Vec<String> = visible.iter().map(|seen| seen.table.name.clone()).collect();
        tables.sort();
        let setup = Setup {
            name: String::new(),
            served: (&catalog, &schema),
            database: &self.database,
            tables: &visible,
        };
        // Equal names mean equal setups, of which the rows that are limited are a part.
        let digest =
            DigestBuilder::new().add(who_key).add(&setup.script()).add(&setup.catalog()).digest();
        let setup = Setup { name: format!("_a{digest}"), ..setup };
        let scope = Scope {
            schemas: BTreeSet::from([schema.to_lowercase(), STANDARD.to_owned()]),
            view_schemas: BTreeSet::from([STANDARD.to_owned()]),
            ..SCOPE.clone()
        };
        let namespace = Namespace {
            path: vec![schema.clone(), "_pg".to_owned()],
            setup: setup.script(),
            extras: setup.catalog(),
            name: setup.name,
            scope,
        };
        Ok(Seen { namespace: Arc::new(namespace), tables, columns: column_types(&visible), schema })
    }
}

/// Returns the tables that a client may read, with their limits: the same as the site's API.
async fn visible_tables(
    pin: &Pin,
    rules: &TableRules,
    who: &Identity,
) -> Result<Vec<AccessibleTable>, ReaderError> {
    if who.operator {
        let tables = pin.catalog().await?.tables;
        return Ok(tables
            .into_iter()
            .map(|table| AccessibleTable {
                table: Arc::new(table),
                access: Access::All,
                view: Arc::default(),
            })
            .collect());
    }
    let mut tables = access::tables(pin, rules, who.plan).await?;
    tables.retain(|seen| {
        let in_scope = who.tables.as_ref().is_none_or(|tables| tables.contains(&seen.table.name));
        in_scope && !matches!(seen.access, Access::Locked(_))
    });
    Ok(tables)
}

/// Returns the catalog and schema in which the served tables are.
async fn place(pin: &Pin) -> Result<(String, String), ReaderError> {
    let answer = pin
        .query(Query::new("SELECT current_database(), current_schema()"), QueryLimits::for_page())
        .await?;
    let text = |column: usize| {
        let batch = answer.batches.first()?;
        let columns = values::columns(&answer.fields, batch);
        columns.get(column)?.text(0).map(std::borrow::Cow::into_owned)
    };
    text(0)
        .zip(text(1))
        .ok_or_else(|| ReaderError::Engine { message: "the served schema has no name".to_owned() })
}

fn column_types(tables: &[AccessibleTable]) -> HashMap<String, ColumnType> {
    let mut known: HashMap<String, Option<ColumnType>> = HashMap::new();
    for column in tables.iter().flat_map(|seen| &seen.table.columns) {
        let kind = ColumnType::of_name(&column.data_type);
        known
            .entry(column.name.to_lowercase())
            .and_modify(|other| *other = other.filter(|other| other.oid() == kind.oid()))
            .or_insert(Some(kind));
    }
    known.into_iter().filter_map(|(name, kind)| Some((name, kind?))).collect()
}

/// The views and macros of `catalog.sql`, by which the guard distinguishes them from the engine's.
static SCOPE: LazyLock<Scope> = LazyLock::new(|| {
    let names = |start: &str| {
        CATALOG
            .lines()
            .filter_map(|line| line.strip_prefix(start))
            .filter_map(|rest| {
                rest.split(|char: char| !char.is_alphanumeric() && char != '_').next()
            })
            .map(str::to_owned)
            .collect()
    };
    Scope {
        views: names("CREATE VIEW {ns}._pg."),
        functions: names("CREATE MACRO {ns}._pg."),
        ..Scope::default()
    }
});

struct Setup<'a> {
    name: String,
    served: (&'a str, &'a str),
    database: &'a str,
    tables: &'a [AccessibleTable],
}

impl Setup<'_> {
    /// Creates the tables that the audience sees.
    fn script(&self) -> String {
        let (catalog, schema) = self.served;
        let ns = sql::ident(&self.name);
        let mut script = format!("CREATE SCHEMA {ns}._pg; CREATE SCHEMA {ns}._info;\n");
        if schema != "main" {
            let _ = writeln!(script, "CREATE SCHEMA {ns}.{};", sql::ident(schema));
        }
        for seen in self.tables {
            let name = sql::ident(&seen.table.name);
            // Named one by one: customers do not see all of them.
            let columns: Vec<String> =
                seen.table.columns.iter().map(|column| sql::ident(&column.name)).collect();
            let _ = writeln!(
                script,
                "CREATE VIEW {ns}.{}.{name} AS SELECT {} FROM {}{};",
                sql::ident(schema),
                columns.join(", "),
                sql::path(&[catalog, schema, &seen.table.name]),
                condition(seen)
            );
        }
        script
    }

    /// Creates what PostgreSQL's clients read about them.
    fn catalog(&self) -> String {
        let ns = sql::ident(&self.name);
        let mut script = String::new();
        self.fill(&ns, &mut script);
        let catalog = CATALOG
            .replace("{ns}", &ns)
            .replace("{schema}", &sql::literal(self.served.1))
            .replace("{database}", &sql::literal(self.database))
            .replace("{version}", env!("CARGO_PKG_VERSION"));
        script + &catalog
    }

    /// Writes the tables from which the views of the catalog are made.
    fn fill(&self, ns: &str, script: &mut String) {
        let _ = writeln!(
            script,
            "CREATE TABLE {ns}._pg._tables (oid BIGINT, name VARCHAR, rows BIGINT, columns INTEGER, comment VARCHAR);
             CREATE TABLE {ns}._pg._columns (table_oid BIGINT, number INTEGER, name VARCHAR, type_oid BIGINT, type_name VARCHAR, long_name VARCHAR,
                 type_size INTEGER, modifier INTEGER, is_array BOOLEAN, not_null BOOLEAN, comment VARCHAR);
             CREATE TABLE {ns}._pg._types (oid BIGINT, name VARCHAR, long_name VARCHAR, size INTEGER, category VARCHAR, item BIGINT, array_oid BIGINT);"
        );
        let comment = |comment: &Option<String>| {
            comment.as_deref().map_or_else(|| "NULL".to_owned(), sql::literal)
        };
        let (mut tables, mut columns) = (Vec::new(), Vec::new());
        for (oid, seen) in oids(self.tables) {
            let table = &seen.table;
            // How many rows a plan does not see is not disclosed.
            let rows = match seen.access {
                Access::All => i64::try_from(table.rows).unwrap_or(i64::MAX),
                _ => -1,
            };
            tables.push(format!(
                "({oid}, {}, {rows}, {}, {})",
                sql::literal(&table.name),
                table.columns.len(),
                comment(&table.comment)
            ));
            for (number, column) in table.columns.iter().enumerate() {
                let kind = ColumnType::of_name(&column.data_type);
                let prefix = if kind.is_array { "_" } else { "" };
                columns.push(format!(
                    "({oid}, {}, {}, {}, '{prefix}{}', {}, {}, {}, {}, {}, {})",
                    number + 1,
                    sql::literal(&column.name),
                    kind.oid(),
                    kind.base.name,
                    sql::literal(long_name(kind.base)),
                    kind.size(),
                    kind.modifier,
                    kind.is_array,
                    !column.nullable,
                    comment(&column.comment)
                ));
            }
        }
        let types = types::ALL.iter().flat_map(|kind| {
            let this = format!(
                "({}, '{}', '{}', {}, '{}', 0, {})",
                kind.oid,
                kind.name,
                long_name(*kind),
                kind.size,
                category(*kind),
                kind.array
            );
            let array = (kind.array != 0).then(|| {
                format!(
                    "({}, '_{}', '{}[]', -1, 'A', {}, 0)",
                    kind.array,
                    kind.name,
                    long_name(*kind),
                    kind.oid
                )
            });
            std::iter::once(this).chain(array)
        });
        for (table, rows) in
            [("_tables", tables), ("_columns", columns), ("_types", types.collect())]
        {
            if !rows.is_empty() {
                let _ =
                    writeln!(script, "INSERT INTO {ns}._pg.{table} VALUES {};", rows.join(", "));
            }
        }
    }
}

/// Returns the condition that limits a table's rows.
fn condition(seen: &AccessibleTable) -> String {
    let since = seen.access.since();
    let Some((since, column)) =
        since.and_then(|since| Some((since, seen.table.columns.get(since.column)?)))
    else {
        return String::new();
    };
    let name = sql::ident(&column.name);
    match TypeClass::of(&column.data_type) {
        TypeClass::Temporal => {
            format!(" WHERE {name} >= CAST('{:04}-01-01' AS {})", since.year, column.data_type)
        }
        _ => format!(" WHERE {name} >= {}", since.year),
    }
}

/// Numbers the tables by their names, so that a table has the same oid in every generation.
fn oids(tables: &[AccessibleTable]) -> Vec<(u32, &AccessibleTable)> {
    let mut taken = BTreeSet::new();
    let mut numbered = Vec::with_capacity(tables.len());
    for seen in tables {
        let hash =
            seen.table.name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
        let mut oid = FIRST_OID + hash % OIDS;
        while !taken.insert(oid) {
            oid += 1;
        }
        numbered.push((oid, seen));
    }
    numbered
}

fn long_name(kind: types::PgType) -> &'static str {
    match kind {
        types::BOOL => "boolean",
        types::INT2 => "smallint",
        types::INT4 => "integer",
        types::INT8 => "bigint",
        types::FLOAT4 => "real",
        types::FLOAT8 => "double precision",
        types::TIME => "time without time zone",
        types::TIMETZ => "time with time zone",
        types::TIMESTAMP => "timestamp without time zone",
        types::TIMESTAMPTZ => "timestamp with time zone",
        types::VARCHAR => "character varying",
        types::VARBIT => "bit varying",
        types::BPCHAR => "character",
        types::CHAR => "\"char\"",
        other => other.name,
    }
}

fn category(kind: types::PgType) -> &'static str {
    match kind {
        types::BOOL => "B",
        types::INT2
        | types::INT4
        | types::INT8
        | types::FLOAT4
        | types::FLOAT8
        | types::NUMERIC
        | types::OID => "N",
        types::DATE | types::TIME | types::TIMETZ | types::TIMESTAMP | types::TIMESTAMPTZ => "D",
        types::INTERVAL => "T",
        types::TEXT | types::VARCHAR | types::NAME | types::BPCHAR => "S",
        types::VARBIT => "V",
        types::UNKNOWN => "X",
        _ => "U",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use duckdb::Connection;
    use materia::reader::{ColumnInfo, TableInfo};

    use super::*;

    fn table(name: &str, access: Access) -> AccessibleTable {
        let column = |name: &str, data_type: &str| ColumnInfo {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            nullable: true,
            comment: Some("what it's for".to_owned()),
        };
        let columns = vec![column("year", "INTEGER"), column("price", "DECIMAL(10,2)[]")];
        let table = TableInfo { name: name.to_owned(), rows: 3, comment: None, columns };
        AccessibleTable { table: Arc::new(table), access, view: Arc::default() }
    }

    fn connection(tables: &[AccessibleTable]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE psd AS SELECT 2000 + i AS year, [1.5::DECIMAL(10,2)] AS price FROM range(9) r(i); ATTACH ':memory:' AS _a",
            )
            .unwrap();
        let setup =
            Setup { name: "_a".to_owned(), served: ("memory", "main"), database: "lake", tables };
        connection.execute_batch(&(setup.script() + &setup.catalog())).unwrap();
        connection.execute_batch("SET search_path = '\"_a\".\"main\",\"_a\".\"_pg\"'").unwrap();
        connection
    }

    fn text(connection: &Connection, query: &str) -> String {
        let query = format!("SELECT ({query})::VARCHAR");
        connection
            .query_row(&query, [], |row| row.get::<_, Option<String>>(0))
            .unwrap()
            .unwrap_or_default()
    }

    #[test]
    fn every_view_and_macro_of_the_catalog_can_be_used() {
        let connection = connection(&[table("psd", Access::All)]);
        assert!(SCOPE.views.len() > 40 && SCOPE.functions.len() > 60);
        for view in &SCOPE.views {
            connection.execute_batch(&format!("SELECT * FROM {view}")).unwrap();
        }
        for view in ["schemata", "tables", "columns", "views", "table_privileges"] {
            connection.execute_batch(&format!("SELECT * FROM _info.{view}")).unwrap();
        }
        for (query, wanted) in [
            ("format_type(1231, ((10 << 16) | 2) + 4)", "numeric(10,2)[]"),
            ("regtype_out(23)", "integer"),
            ("regclass_out(regclass_in('main.psd'))", "psd"),
            ("regclass_in('pg_catalog.pg_class')", "1259"),
            (
                "SELECT string_agg(x || ' ' || n, ', ') FROM (SELECT (k).x AS x, (k).n AS n FROM (SELECT _pg_expandarray([7, 9]) AS k))",
                "7 1, 9 2",
            ),
            (
                "SELECT count(*) > 9 FROM pg_get_keywords() WHERE word <> ALL ('[a, b]'::text[])",
                "true",
            ),
            ("col_description(regclass_in('psd'), 1)", "what it's for"),
            ("current_database()", "lake"),
            ("current_schemas(true)", "[pg_catalog, main]"),
            ("current_setting('server_version')", "15.0"),
            ("has_table_privilege('psd', 'SELECT')", "true"),
            ("SELECT count(*) FROM psd", "9"),
            ("SELECT data_type FROM _info.columns WHERE column_name = 'price'", "ARRAY"),
        ] {
            assert_eq!(text(&connection, query), wanted, "{query}");
        }
    }

    #[test]
    fn no_function_of_the_engine_that_tells_of_all_tables_is_left() {
        let connection = connection(&[]);
        let query = "
            SELECT DISTINCT function_name FROM duckdb_functions()
            WHERE internal AND function_type = 'macro' AND regexp_matches(macro_definition, 'duckdb_|pg_catalog|information_schema')";
        let mut statement = connection.prepare(query).unwrap();
        let names: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let left: Vec<_> = names.iter().filter(|name| !SCOPE.functions.contains(*name)).collect();
        assert!(left.is_empty(), "hide these in catalog.sql: {left:?}");
    }

    #[test]
    fn years_are_limited_in_the_view_itself() {
        use materia::tables::FromYear;
        let access = Access::RecentYears { years: 2, since: FromYear { column: 0, year: 2007 } };
        let connection = connection(&[table("psd", access)]);
        assert_eq!(text(&connection, "SELECT min(year) FROM main.psd"), "2007");
        assert_eq!(
            text(&connection, "SELECT reltuples FROM pg_class WHERE relname = 'psd'"),
            "-1.0"
        );
    }
}
