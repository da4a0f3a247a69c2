//! Compares a lake's data with its catalog: checks every data file of a snapshot against a listing
//! of the storage, and opens one of them.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
};

use duckdb::{Config, Connection};
use serde::Serialize;

use super::{GENERATION_TABLE, Inner, Lake, LakeError, credentials};
use crate::{humanize, sql};

/// The last four bytes of every Parquet file, the second where its footer is encrypted.
const PARQUET_MAGIC: [&[u8; 4]; 2] = [b"PAR1", b"PARE"];

/// A Parquet file of a table in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    pub(crate) schema: String,
    pub(crate) table: String,
    /// The path as DuckLake opens it.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

impl DataFile {
    /// Returns whether it is accessed over the network.
    pub(crate) fn is_remote(&self) -> bool {
        credentials::is_remote(&self.path)
    }
}

/// A data file that does not match the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    /// The schema of the table that needs the file.
    pub schema: String,
    /// The table that needs the file.
    pub table: String,
    /// The path of the file.
    pub path: String,
    pub problem: String,
}

impl DamagedFile {
    pub(crate) fn new(file: &DataFile, problem: String) -> Self {
        let DataFile { schema, table, path, .. } = file.clone();
        Self { schema, table, path, problem }
    }
}

impl std::fmt::Display for DamagedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path, self.problem)
    }
}

/// Describes damaged files in one line: how many, of which tables, and the first.
pub(crate) fn describe_damage(damaged: &[DamagedFile]) -> String {
    let mut tables: Vec<_> = damaged.iter().map(|file| file.table.as_str()).collect();
    tables.sort_unstable();
    tables.dedup();
    let first = damaged.first().map(ToString::to_string).unwrap_or_default();
    let more = if damaged.len() > 1 {
        format!(", and {} more", humanize::count(damaged.len() as u64 - 1))
    } else {
        String::new()
    };
    format!(
        "{} of {} {} missing or damaged: {first}{more}",
        humanize::plural(damaged.len(), "data file"),
        tables.join(", "),
        if damaged.len() == 1 { "is" } else { "are" }
    )
}

/// Compares data files with the contents of the storage. Files on the network require a
/// `connection` with access to it; without one, only local files are compared.
///
/// # Errors
/// Returns a message if the storage cannot be listed.
pub(crate) fn find_damaged_files(
    connection: Option<&Connection>,
    files: &[DataFile],
) -> Result<Vec<DamagedFile>, String> {
    let (remote, local): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.is_remote());
    let mut damaged: Vec<_> = local.iter().filter_map(|file| local_damage(file)).collect();
    if damaged.is_empty()
        && let Some(file) = local.first()
        && let Err(problem) = read_local_end(&file.path)
    {
        damaged.push(DamagedFile::new(file, problem));
    }
    if let Some(connection) = connection {
        damaged.extend(remote_damage(connection, &remote)?);
    }
    Ok(damaged)
}

fn size_problem(found: u64, expected: u64) -> Option<String> {
    (found != expected).then(|| format!("has {found} bytes, {expected} when it was published"))
}

fn local_damage(file: &DataFile) -> Option<DamagedFile> {
    let problem = match fs::metadata(&file.path) {
        Ok(metadata) => size_problem(metadata.len(), file.bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing".to_owned(),
        Err(error) => format!("cannot be read: {error}"),
    };
    Some(DamagedFile::new(file, problem))
}

fn read_local_end(path: &str) -> Result<(), String> {
    let mut end = [0; 4];
    File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::End(-4))?;
            file.read_exact(&mut end)
        })
        .map_err(|error| format!("cannot be read: {error}"))?;
    if PARQUET_MAGIC.contains(&&end) { Ok(()) } else { Err("is not a Parquet file".to_owned()) }
}

fn remote_damage(connection: &Connection, files: &[&DataFile]) -> Result<Vec<DamagedFile>, String> {
    let mut damaged = Vec::new();
    for (folder, files) in by_folder(files) {
        let sizes = list_remote(connection, &folder)
            .map_err(|error| format!("{folder} cannot be listed: {}", LakeError::reason(&error)))?;
        let problem = |file: &DataFile| match sizes.get(&file.path) {
            None => Some("is missing".to_owned()),
            Some(bytes) => size_problem(*bytes, file.bytes),
        };
        damaged
            .extend(files.iter().filter_map(|file| Some(DamagedFile::new(file, problem(file)?))));
    }
    if damaged.is_empty()
        && let Some(file) = files.first()
        && let Err(problem) = read_footer(connection, file)
    {
        damaged.push(DamagedFile::new(file, problem));
    }
    Ok(damaged)
}

/// Reads a data file's footer and compares its number of rows with the catalog's.
///
/// # Errors
/// Returns a message that describes the defect.
pub(crate) fn read_footer(connection: &Connection, file: &DataFile) -> Result<(), String> {
    let query = format!("SELECT num_rows FROM parquet_file_metadata({})", sql::literal(&file.path));
    let rows: Result<i64, _> = connection.query_row(&query, [], |row| row.get(0));
    let rows = rows.map_err(|error| format!("cannot be read: {}", LakeError::reason(&error)))?;
    if u64::try_from(rows) == Ok(file.rows) {
        Ok(())
    } else {
        Err(format!("holds {rows} rows, {} when it was published", file.rows))
    }
}

/// Groups files by bucket, each with the innermost folder that contains the whole group.
fn by_folder<'a>(files: &[&'a DataFile]) -> Vec<(String, Vec<&'a DataFile>)> {
    let mut buckets: BTreeMap<String, Vec<&DataFile>> = BTreeMap::new();
    for file in files {
        let bucket = file.path.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        buckets.entry(bucket).or_default().push(file);
    }
    let with_folder = |files: Vec<&'a DataFile>| {
        let first = files.first().map_or("", |file| file.path.as_str());
        let common = files.iter().fold(first.len(), |common, file| {
            let same = first.bytes().zip(file.path.bytes()).take_while(|(one, other)| one == other);
            common.min(same.count())
        });
        // The listed prefix must end before the first glob character.
        let named = common.min(first.find(['*', '?', '[', '\\']).unwrap_or(first.len()));
        let end = first.as_bytes()[..named].iter().rposition(|byte| *byte == b'/');
        (first[..end.map_or(0, |end| end + 1)].to_owned(), files)
    };
    buckets.into_values().map(with_folder).collect()
}

fn list_remote(connection: &Connection, folder: &str) -> duckdb::Result<HashMap<String, u64>> {
    let pattern = sql::literal(&format!("{folder}**"));
    let read = |row: &duckdb::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?));
    let query = format!("SELECT filename, size FROM read_blob({pattern})");
    let mut statement = connection.prepare(&query)?;
    let listed = statement.query_map([], read)?;
    listed
        .map(|row| row.map(|(path, bytes)| (path, u64::try_from(bytes).unwrap_or_default())))
        .collect()
}

/// Returns the query for every data file: schema, table, path, bytes, rows. `table` returns the
/// qualified name of a catalog table; `alive` returns a condition on rows with a begin and an end.
pub(super) fn files_query(
    table: &dyn Fn(&str) -> String,
    alive: &dyn Fn(&str) -> String,
) -> String {
    let within = |parent: &str, of: &str| {
        format!(
            "CASE WHEN {of}.path_is_relative::BOOLEAN THEN {parent} || {of}.path ELSE {of}.path END"
        )
    };
    let path = within(&within(&within("m.value", "s"), "t"), "f");
    let joined = |of: &str, rows: &str| {
        format!(
            "SELECT s.schema_name, t.table_name, {path} AS path, f.file_size_bytes AS bytes, f.{rows} AS rows
             FROM {} f JOIN {} t USING (table_id) JOIN {} s USING (schema_id), {} m
             WHERE m.key = 'data_path' AND m.scope IS NULL AND {} AND {} AND {}",
            table(of),
            table("ducklake_table"),
            table("ducklake_schema"),
            table("ducklake_metadata"),
            alive("f"),
            alive("t"),
            alive("s")
        )
    };
    format!(
        "{} UNION ALL {}",
        joined("ducklake_data_file", "record_count"),
        joined("ducklake_delete_file", "delete_count")
    )
}

pub(super) fn read_files(connection: &Connection, query: &str) -> duckdb::Result<Vec<DataFile>> {
    let read = |row: &duckdb::Row<'_>| {
        let number = |at: usize| -> duckdb::Result<u64> {
            Ok(row.get::<_, Option<i64>>(at)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
        };
        Ok(DataFile {
            schema: row.get(0)?,
            table: row.get(1)?,
            path: row.get(2)?,
            bytes: number(3)?,
            rows: number(4)?,
        })
    };
    connection.prepare(query)?.query_map([], read)?.collect()
}

impl Lake {
    /// Returns every data file of a snapshot that materia publishes: those of the tables in
    /// `schema`, and that of the table that identifies the generation.
    pub(crate) fn data_files(
        &self,
        snapshot: i64,
        schema: &str,
    ) -> Result<Vec<DataFile>, LakeError> {
        let alive = |of: &str| {
            format!(
                "{of}.begin_snapshot <= {snapshot} AND ({of}.end_snapshot IS NULL OR {of}.end_snapshot > {snapshot})"
            )
        };
        let query = format!(
            "SELECT * FROM ({}) WHERE schema_name IN ({}, {})",
            files_query(&|name| self.table(name), &alive),
            sql::literal(schema),
            sql::literal(GENERATION_TABLE[0])
        );
        self.query(move |connection| read_files(connection, &query))
    }

    /// Compares data files with the contents of the storage.
    pub(crate) fn find_damaged_files(
        &self,
        files: &[DataFile],
    ) -> Result<Vec<DamagedFile>, LakeError> {
        self.find_damaged_files_over(None, files)
    }

    /// Does the same over a connection that has access to the storage, if there is one already.
    pub(crate) fn find_damaged_files_over(
        &self,
        connection: Option<&Connection>,
        files: &[DataFile],
    ) -> Result<Vec<DamagedFile>, LakeError> {
        let is_remote = files.iter().any(DataFile::is_remote);
        let own = if is_remote && connection.is_none() {
            Some(self.connect_storage(true)?)
        } else {
            None
        };
        find_damaged_files(connection.or(own.as_ref()), files)
            .map_err(|why| LakeError::Storage { lake: self.name().to_owned(), why })
    }

    /// Opens a DuckDB that can read data files, also over the network if they are `remote`, and has
    /// no access to the catalog.
    pub(crate) fn connect_storage(&self, remote: bool) -> Result<Connection, LakeError> {
        if remote {
            // Names the first missing extension, as everything does that opens the lake.
            self.check_extensions()?;
        }
        let start = || {
            Connection::open_in_memory_with_flags(
                Config::default().enable_autoload_extension(false)?.threads(2)?,
            )
        };
        let connection = start().map_err(|source| LakeError::engine("start DuckDB", &source))?;
        let Inner { credentials, extensions, .. } = &*self.0;
        credentials::load_network(&connection, credentials, remote, extensions)?;
        Ok(connection)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(path: &str) -> DataFile {
        DataFile {
            schema: "serving".to_owned(),
            table: "orders".to_owned(),
            path: path.to_owned(),
            bytes: 4,
            rows: 1,
        }
    }

    #[test]
    fn each_bucket_is_listed_once_from_the_folder_that_holds_all_its_files() {
        let files = [
            "s3://lake/data/serving/orders/1.parquet",
            "s3://other/x.parquet",
            "s3://lake/data/serving/ö[1]/2.parquet",
            "s3://lake/data/serving/ä/2.parquet",
        ]
        .map(file);
        let files: Vec<_> = files.iter().collect();
        let folders: Vec<_> =
            by_folder(&files).into_iter().map(|(folder, files)| (folder, files.len())).collect();
        assert_eq!(
            folders,
            [("s3://lake/data/serving/".to_owned(), 3), ("s3://other/".to_owned(), 1)]
        );
        let odd = file("s3://lake/data[1]/a/1.parquet");
        assert_eq!(by_folder(&[&odd])[0].0, "s3://lake/");
    }

    #[test]
    fn a_missing_a_short_and_a_foreign_file_are_each_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.parquet").to_str().unwrap().to_owned();
        let problem = |bytes: Option<&[u8]>| {
            let _ = fs::remove_file(&path);
            if let Some(bytes) = bytes {
                fs::write(&path, bytes).unwrap();
            }
            let damaged = find_damaged_files(None, &[file(&path)]).unwrap();
            damaged.first().map(|file| file.problem.clone())
        };
        assert_eq!(problem(None).unwrap(), "is missing");
        assert_eq!(problem(Some(b"PAR")).unwrap(), "has 3 bytes, 4 when it was published");
        assert_eq!(problem(Some(b"abcd")).unwrap(), "is not a Parquet file");
        assert_eq!(problem(Some(b"PAR1")), None);
        let damaged =
            [file("a"), file("b")].map(|file| DamagedFile::new(&file, "is missing".to_owned()));
        assert_eq!(
            describe_damage(&damaged),
            "2 data files of orders are missing or damaged: a is missing, and 1 more"
        );
    }
}
