//! Queries on tables return what DuckDB itself returns, and nothing else can be queried.

use std::{fmt::Write as _, sync::Arc};

use duckdb::Connection;
use materia::{
    reader::{Pin, QueryLimits, Reader, ReaderConfig, TableInfo, block_on},
    tables::{
        Operator, PageBounds, PageStart, ParameterError, ParsedRequest, TableQueryError, TypeClass,
        quoted,
    },
    values,
};

use crate::support::Site;

const BOUNDS: PageBounds = PageBounds { default: 100_000, max: 100_000 };

/// Columns of every comparable type, and one that is not comparable: name, type, and how a value is
/// computed from a random number `r`.
const COLUMNS: [(&str, &str, &str); 26] = [
    ("tiny", "TINYINT", "(r % 200 - 100)"),
    ("small", "SMALLINT", "(r % 400 - 200)"),
    ("int", "INTEGER", "(r % 50 - 25)"),
    ("big", "BIGINT", "(r % 7) * 1000000000000"),
    ("huge", "HUGEINT", "(r % 7)::HUGEINT * 100000000000000000000"),
    ("utiny", "UTINYINT", "(r % 200)"),
    ("usmall", "USMALLINT", "(r % 400)"),
    ("uint", "UINTEGER", "(r % 50)"),
    ("ubig", "UBIGINT", "(r % 7) * 1000000000000"),
    ("uhuge", "UHUGEINT", "(r % 7)::UHUGEINT * 100000000000000000000"),
    ("cents", "DECIMAL(9,2)", "(r % 1000) / 4.0 - 50"),
    ("wide", "DECIMAL(38,10)", "(r % 1000) / 7.0"),
    (
        "float",
        "FLOAT",
        "CASE WHEN r % 97 = 0 THEN 'nan'::FLOAT WHEN r % 89 = 0 THEN '-inf'::FLOAT ELSE (r % 100) / 8 END",
    ),
    (
        "double",
        "DOUBLE",
        "CASE WHEN r % 97 = 0 THEN 'nan'::DOUBLE WHEN r % 89 = 0 THEN 'inf'::DOUBLE ELSE (r % 100) / 3 END",
    ),
    (
        "day",
        "DATE",
        "CASE WHEN r % 97 = 0 THEN 'infinity'::DATE ELSE DATE '1999-12-25' + (r % 30)::INTEGER END",
    ),
    ("clock", "TIME", "TIME '10:00:00' + INTERVAL (r % 30) MINUTE"),
    ("moment", "TIMESTAMP", "TIMESTAMP '1999-12-31 23:50:00.123456' + INTERVAL (r % 30) MINUTE"),
    (
        "moment_s",
        "TIMESTAMP_S",
        "(TIMESTAMP '1999-12-31 23:50:00' + INTERVAL (r % 30) MINUTE)::TIMESTAMP_S",
    ),
    (
        "moment_ms",
        "TIMESTAMP_MS",
        "(TIMESTAMP '1999-12-31 23:50:00.123' + INTERVAL (r % 30) MINUTE)::TIMESTAMP_MS",
    ),
    (
        "moment_ns",
        "TIMESTAMP_NS",
        "(TIMESTAMP '1999-12-31 23:50:00.123456' + INTERVAL (r % 30) MINUTE)::TIMESTAMP_NS",
    ),
    (
        "moment_tz",
        "TIMESTAMP WITH TIME ZONE",
        "(TIMESTAMP '1999-12-31 23:50:00' + INTERVAL (r % 30) MINUTE)::TIMESTAMPTZ",
    ),
    (
        "word",
        "VARCHAR",
        "list_extract(['', 'Brazil', 'brazil', 'Côte d''Ivoire', '50%', 'a_b', 'a\\b', 'x\"y', '%', 'naïve'], (r % 10 + 1)::INTEGER)",
    ),
    (
        "mood",
        "ENUM('sad', 'Happy', 'it''s', 'a%')",
        "list_extract(['sad', 'Happy', 'it''s', 'a%'], (r % 4 + 1)::INTEGER)",
    ),
    ("flag", "BOOLEAN", "r % 2 = 0"),
    ("id128", "UUID", "('00000000-0000-4000-8000-00000000000' || (r % 10))"),
    ("list", "INTEGER[]", "[r % 3]"),
];

struct Served {
    reader: Reader,
    direct: Connection,
    _site: Site,
}

impl Served {
    fn new(seed: u64) -> Self {
        let mut sql =
            String::from("CREATE SCHEMA serving; CREATE TABLE serving.things (id INTEGER");
        let mut values = String::new();
        for (at, (name, data_type, value)) in COLUMNS.iter().enumerate() {
            let _ = write!(sql, ", \"{name}\" {data_type}");
            // One in seven values of each column is null, in different rows.
            let random = format!("(hash(i * 31 + {at} + {seed}) % 1000003)::BIGINT");
            let _ = write!(
                values,
                ", (SELECT CASE WHEN r % 7 = 3 THEN NULL ELSE ({value})::{data_type} END FROM (SELECT {random} AS r))"
            );
        }
        let _ = write!(
            sql,
            "); INSERT INTO serving.things SELECT i::INTEGER{values} FROM range(400) AS t(i);"
        );
        let site = Site::with(&sql);
        site.ok(&["export"]);
        let reader = Reader::open_file(&site.served(), "serving", ReaderConfig::small()).unwrap();
        let direct = Connection::open_in_memory().unwrap();
        direct
            .execute_batch(&format!(
                "ATTACH '{}' AS direct (READ_ONLY); USE direct.serving; SET TimeZone = 'UTC'",
                site.served().display()
            ))
            .unwrap();
        Self { reader, direct, _site: site }
    }

    fn table(&self) -> (Pin, Arc<TableInfo>) {
        let pin = self.reader.pin().unwrap();
        let table = block_on(pin.catalog())
            .unwrap()
            .tables
            .into_iter()
            .find(|table| table.name == "things")
            .unwrap();
        (pin, Arc::new(table))
    }

    /// Returns the rows' ids from the library, in its order.
    fn ids(&self, parameters: &[(&str, &str)]) -> Result<Vec<i64>, TableQueryError> {
        let (pin, table) = self.table();
        let parameters: Vec<_> = [("select", "id")]
            .iter()
            .chain(parameters)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let requested = ParsedRequest::parse(&table, &parameters, BOUNDS)?;
        block_on(requested.query.check(&pin))?;
        let answer = block_on(pin.query(
            requested.query.page(&requested.place, requested.limit),
            QueryLimits::for_page(),
        ))?;
        let ids = ids(&answer);
        let count = block_on(requested.query.rows(&pin, QueryLimits::for_page()))?;
        assert!(
            requested.limited
                || requested.place != PageStart::Offset(0)
                || count == ids.len() as u64,
            "{parameters:?}: {count} rows are counted, {} come",
            ids.len()
        );
        Ok(ids)
    }

    /// Runs the same query directly on DuckDB.
    fn direct(&self, sql: &str) -> Vec<i64> {
        let mut statement = self
            .direct
            .prepare(&format!("SELECT id FROM things {sql}"))
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        ids.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn mistake(&self, name: &str, value: &str) -> ParameterError {
        match self.ids(&[(name, value)]) {
            Err(TableQueryError::Parameter(mistake)) => mistake,
            other => panic!("{name}={value} gave {other:?}"),
        }
    }
}

fn ids(answer: &materia::reader::QueryResult) -> Vec<i64> {
    let ids = answer.batches.iter().flat_map(|batch| {
        let columns = values::columns(&answer.fields, batch);
        (0..batch.num_rows())
            .map(|row| columns[0].text(row).unwrap().parse().unwrap())
            .collect::<Vec<_>>()
    });
    ids.collect()
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Returns a value of the column, or one close to it.
fn some_value(served: &Served, name: &str, random: &mut fastrand::Rng) -> String {
    let sql = format!(
        "SELECT \"{name}\"::VARCHAR FROM things WHERE \"{name}\" IS NOT NULL OFFSET {} LIMIT 1",
        random.u32(0..300)
    );
    served.direct.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn every_operator_on_every_type_answers_as_duckdb_does() {
    let seed = fastrand::u64(..1_000_000);
    println!("seed {seed}");
    let (served, mut random) = (Served::new(seed), fastrand::Rng::with_seed(seed));
    let mut queries = 0;
    for (name, data_type, _) in COLUMNS {
        let kind = TypeClass::of(data_type);
        for operator in Operator::ALL {
            if !kind.operators().contains(&operator) {
                let mistake = served.mistake(name, &format!("{operator}.1"));
                assert!(
                    mistake.allowed.iter().all(|allowed| *allowed != operator.name())
                        && mistake.parameter == name,
                    "{mistake:?}"
                );
                continue;
            }
            for round in 0..8 {
                let values: Vec<_> = (0..=random.usize(0..4))
                    .map(|_| some_value(&served, name, &mut random))
                    .collect();
                let one = &values[0];
                let part: String =
                    one.chars().skip(random.usize(0..2)).take(random.usize(1..4)).collect();
                let typed = |value: &str| {
                    format!(
                        "{}::{}",
                        text(value),
                        if kind == TypeClass::Label { "VARCHAR" } else { data_type }
                    )
                };
                let column = if kind == TypeClass::Label {
                    format!("\"{name}\"::VARCHAR")
                } else {
                    format!("\"{name}\"")
                };
                let compare = |sign: &str| format!("{column} {sign} {}", typed(one));
                let (operand, sql) = match operator {
                    Operator::Eq => (one.clone(), compare("=")),
                    Operator::Neq => (one.clone(), compare("!=")),
                    Operator::Gt => (one.clone(), compare(">")),
                    Operator::Gte => (one.clone(), compare(">=")),
                    Operator::Lt => (one.clone(), compare("<")),
                    Operator::Lte => (one.clone(), compare("<=")),
                    Operator::In => {
                        let quoted = values.iter().map(|value| {
                            format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
                        });
                        let list =
                            values.iter().map(|value| format!("{column} = {}", typed(value)));
                        (
                            format!("({})", quoted.collect::<Vec<_>>().join(",")),
                            list.collect::<Vec<_>>().join(" OR "),
                        )
                    }
                    Operator::Contains => (
                        part.to_uppercase(),
                        format!(
                            "position(lower({}) IN lower({column}::VARCHAR)) > 0",
                            text(&part.to_uppercase())
                        ),
                    ),
                    Operator::Like => (
                        format!("{part}*"),
                        format!("starts_with({column}::VARCHAR, {})", text(&part)),
                    ),
                    Operator::Ilike => (
                        format!("*{part}"),
                        format!("lower({column}::VARCHAR).ends_with(lower({}))", text(&part)),
                    ),
                    Operator::Is => ("null".to_owned(), format!("{column} IS NULL")),
                };
                let negated = round % 2 == 1;
                let (value, sql) = if negated {
                    (format!("not.{operator}.{operand}"), format!("NOT ({sql})"))
                } else {
                    (format!("{operator}.{operand}"), sql)
                };
                let found = served
                    .ids(&[(name, &value)])
                    .unwrap_or_else(|error| panic!("{name}={value}: {error:?}"));
                assert_eq!(
                    found,
                    served.direct(&format!("WHERE {sql}")),
                    "{name}={value}, seed {seed}"
                );
                queries += 1;
            }
        }
    }
    assert!(queries > 1_000, "{queries}");
}

#[test]
fn pages_by_cursor_hold_every_row_once_and_in_order_whatever_the_order_is() {
    let seed = fastrand::u64(..1_000_000);
    println!("seed {seed}");
    let (served, mut random) = (Served::new(seed), fastrand::Rng::with_seed(seed));
    for _ in 0..40 {
        let mut keys: Vec<_> = COLUMNS
            .iter()
            .filter(|(_, data_type, _)| TypeClass::of(data_type).is_sortable())
            .collect();
        random.shuffle(&mut keys);
        keys.truncate(random.usize(0..4));
        let (mut order, mut sql) = (Vec::new(), Vec::new());
        for (name, _, _) in keys {
            let (descending, first) = (random.bool(), random.bool());
            order.push(format!(
                "{name}.{}.{}",
                if descending { "desc" } else { "asc" },
                if first { "nullsfirst" } else { "nullslast" }
            ));
            sql.push(format!(
                "\"{name}\" {} NULLS {}",
                if descending { "DESC" } else { "ASC" },
                if first { "FIRST" } else { "LAST" }
            ));
        }
        sql.push("id".to_owned());
        let expected = served.direct(&format!("WHERE id % 3 > 0 ORDER BY {}", sql.join(", ")));
        let (pin, table) = served.table();
        let mut parameters = vec![(
            "id".to_owned(),
            "not.in.(".to_owned()
                + &(0..400).step_by(3).map(|id| id.to_string()).collect::<Vec<_>>().join(",")
                + ")",
        )];
        parameters.extend((!order.is_empty()).then(|| ("order".to_owned(), order.join(","))));
        parameters.push(("limit".to_owned(), random.u32(1..90).to_string()));
        parameters.push(("select".to_owned(), "id,word".to_owned()));
        let (mut all, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut page = parameters.clone();
            page.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let requested = ParsedRequest::parse(&table, &page, BOUNDS).unwrap();
            if let PageStart::After(cursor) = &requested.place {
                requested.query.check_cursor(cursor, "this").unwrap();
                assert!(requested.query.check_cursor(cursor, "another").is_err());
            }
            let question = requested.query.page(&requested.place, requested.limit);
            let answer = block_on(pin.query(question.clone(), QueryLimits::for_page()))
                .unwrap_or_else(|error| panic!("{question:?}, seed {seed}: {error}"));
            all.extend(ids(&answer));
            match requested.query.cursor(&answer, "this") {
                Some(next) => cursor = Some(next.encode()),
                None => break,
            }
        }
        assert_eq!(all, expected, "{order:?}, seed {seed}");
    }
}

#[test]
fn an_enum_sorts_in_the_order_of_its_declaration() {
    let served = Served::new(11);
    for (direction, first, last) in [("asc", "sad", "a%"), ("desc", "a%", "sad")] {
        let (order, member) = (format!("mood.{direction}"), |name: &str| {
            format!("WHERE mood = {}::VARCHAR ORDER BY id", text(name))
        });
        let ids = served.ids(&[("order", &order), ("mood", "not.is.null")]).unwrap();
        assert!(
            ids.starts_with(&served.direct(&member(first)))
                && ids.ends_with(&served.direct(&member(last))),
            "{direction}: {ids:?}"
        );
    }
}

#[test]
fn an_invalid_parameter_is_reported_with_its_name_value_and_allowed_values() {
    let served = Served::new(7);
    let long = format!("eq.{}", "x".repeat(10_000));
    let many = format!("in.({})", ["1"; 501].join(","));
    let twice = ("select", "int,day,int");
    for (name, value, part) in [
        ("nothing", "eq.1", "things has no such column"),
        ("in", "eq.1", "did you mean \"int\"?"),
        ("things\"; DROP TABLE things; --", "eq.1", "no such column"),
        ("int", "eq.1; DROP TABLE things", "not a value of int, which is INTEGER"),
        ("int", "eq.1.5", "not a value"),
        ("int", "eq.99999999999", "not a value"),
        ("int", "eq.", "not a value"),
        ("int", "= 1 OR 1", "write operator.value"),
        ("int", "like.1", "write operator.value"),
        ("int", "is.true", "only is.null"),
        ("cents", "gt.1.005", "not a value"),
        ("cents", "gt.99999999999", "not a value"),
        ("float", "eq.1e300", "not a value"),
        ("day", "gte.yesterday", "not a value"),
        ("day", "gte.2020-13-01", "not a value"),
        ("moment_tz", "gte.'", "not a value"),
        ("flag", "eq.maybe", "not a value"),
        ("id128", "eq.1", "not a value"),
        ("list", "eq.1", "write operator.value"),
        ("word", "in.Brazil", "must be in brackets"),
        ("word", "in.()", "the list is empty"),
        ("word", "in.(\"Brazil)", "a quote does not end"),
        ("word", &long, "longer than 1000 characters"),
        ("int", &many, "501 values"),
        ("order", "nothing.desc", "no such column"),
        ("order", "list", "cannot be ordered by list"),
        ("order", "int,int.desc", "named twice"),
        ("order", "", "no such column"),
        ("limit", "0", "from 1 to 100000"),
        ("limit", "99999999999999999999", "from 1 to 100000"),
        ("limit", "-1", "from 1 to 100000"),
        ("offset", "10001", "use cursor"),
        ("cursor", "bm9uc2Vuc2U", "does not belong"),
        ("cursor", "'; --", "does not belong"),
        ("wоrd", "eq.1", "no such column"),
    ] {
        let mistake = served.mistake(name, value);
        assert!(mistake.problem.contains(part), "{name}={value}: {mistake:?}");
        assert!(
            mistake.parameter.starts_with(&name[..1]) && mistake.value.chars().count() <= 101,
            "{mistake:?}"
        );
    }
    let (_, table) = served.table();
    let select = |value: &str| {
        ParsedRequest::parse(&table, &[("select".to_owned(), value.to_owned())], BOUNDS)
            .unwrap_err()
    };
    assert!(select(twice.1).problem.contains("int is named twice"));
    assert!(
        select("int,*").problem.contains("no such column")
            && select("count(*)").problem.contains("no such column")
    );
    let unknown = select("nothing");
    assert_eq!(unknown.allowed.len(), COLUMNS.len() + 1);
    let repeated =
        [("limit", "1"), ("limit", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert!(
        ParsedRequest::parse(&table, &repeated, BOUNDS)
            .unwrap_err()
            .problem
            .contains("more than once")
    );
    assert_eq!(quoted("limit"), "\"limit\"");
}
