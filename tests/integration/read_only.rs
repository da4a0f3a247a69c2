//! SQL from outside only reads, whatever its form.

use std::fs;

use materia::reader::{Pin, ReaderError};

use crate::{
    reader::{ask, open},
    support::{Site, shared},
};

/// Creates a served table with the name that the shared statements use.
fn published() -> Site {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.coffee_prices AS SELECT DATE '2024-01-01' + INTERVAL (i) MONTH AS month, 1.5 + i AS arabica FROM range(24) t(i);",
    );
    site.ok(&["export"]);
    site
}

fn is_refused(pin: &Pin, sql: &str) -> bool {
    matches!(ask(pin, sql), Err(ReaderError::Refused { .. }))
}

/// Statements that are more than a query: some that DuckDB 2.0 allows as the body of a CTE, and
/// some that it may allow later.
const ACTIONS: [&str; 14] = [
    "COPY (SELECT 1) TO '/FOLDER/written.csv'",
    "COPY (SELECT 1) TO '/FOLDER/analytics.duckdb' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '/FOLDER/analytics.duckdb.wal' (USE_TMP_FILE false)",
    "INSERT INTO coffee_prices SELECT * FROM coffee_prices RETURNING 1",
    "UPDATE coffee_prices SET arabica = 1 RETURNING 1",
    "DELETE FROM coffee_prices RETURNING 1",
    "TRUNCATE coffee_prices",
    "MERGE INTO coffee_prices USING coffee_prices AS b ON true WHEN MATCHED THEN DELETE RETURNING 1",
    "CREATE TABLE memory.main.made AS SELECT 1",
    "DROP TABLE coffee_prices",
    "ATTACH '/FOLDER/other.duckdb'",
    "SET threads = 1",
    "CALL force_checkpoint()",
    "VACUUM",
];

/// Positions in a query at which another query is allowed.
const PLACES: [&str; 16] = [
    "WITH x AS (@) SELECT * FROM x",
    "WITH x AS MATERIALIZED (@) SELECT * FROM x",
    "WITH y AS (SELECT 1), x AS (@) SELECT * FROM y",
    "WITH RECURSIVE x AS (@) SELECT * FROM x",
    "SELECT * FROM (WITH x AS (@) SELECT * FROM x)",
    "SELECT (WITH x AS (@) SELECT count(*) FROM x)",
    "SELECT 1 UNION ALL (WITH x AS (@) SELECT 1 FROM x)",
    "SELECT 1 WHERE EXISTS (WITH x AS (@) SELECT 1 FROM x)",
    "SELECT 1 WHERE 1 IN (WITH x AS (@) SELECT 1 FROM x)",
    "SELECT * FROM coffee_prices, LATERAL (WITH x AS (@) SELECT * FROM x)",
    "SELECT 1 ORDER BY (WITH x AS (@) SELECT 1 FROM x)",
    "SELECT 1 LIMIT (WITH x AS (@) SELECT 1 FROM x)",
    "SUMMARIZE WITH x AS (@) SELECT * FROM x",
    "DESCRIBE WITH x AS (@) SELECT * FROM x",
    "EXPLAIN ANALYZE WITH x AS (@) SELECT * FROM x",
    "SELECT list_transform([1], lambda i: (WITH x AS (@) SELECT 1 FROM x))",
];

#[test]
fn no_statement_with_side_effects_passes_at_any_place_in_a_query() {
    let site = published();
    let pin = open(&site).pin().unwrap();
    let (names, before) = (site.names(), fs::read(site.served()).unwrap());
    let folder = site.folder().display().to_string();
    for action in ACTIONS {
        let action = action.replace("/FOLDER", &folder);
        assert!(is_refused(&pin, &action), "{action}");
        for place in PLACES {
            let sql = place.replace('@', &action);
            assert!(is_refused(&pin, &sql), "{sql}: {:?}", ask(&pin, &sql));
        }
    }
    assert_eq!(site.names(), names);
    assert!(fs::read(site.served()).unwrap() == before, "the served file was changed");
}

#[test]
fn functions_that_read_files_run_sql_or_reveal_the_server_are_refused_everywhere() {
    const CALLS: [&str; 22] = [
        "query('SELECT 1')",
        "QuErY('SELECT 1')",
        "\"query\"('SELECT 1')",
        "system.main.query('SELECT 1')",
        "query_table('coffee_prices')",
        "histogram_values('duckdb_settings', name)",
        "read_text('/etc/passwd')",
        "read_csv('analytics.duckdb')",
        "read_duckdb('analytics.duckdb', table_name = 'coffee_prices')",
        "parquet_metadata('x')",
        "glob('*')",
        "duckdb_settings()",
        "duckdb_secrets()",
        "duckdb_databases()",
        "duckdb_prepared_statements()",
        "duckdb_logs()",
        "enable_logging()",
        "force_checkpoint()",
        "destroy_external_resource('query', 'SELECT 1')",
        "register_external_resource('t', 'n', MAP{'a': 'b'})",
        "seq_scan('coffee_prices')",
        "a_function_that_is_not_there(1)",
    ];
    const FROM: [&str; 6] = [
        "SELECT * FROM @",
        "SELECT 1 FROM coffee_prices ORDER BY (SELECT max(1) FROM @) LIMIT 1",
        "SELECT * FROM coffee_prices, LATERAL (FROM @)",
        "EXPLAIN SELECT * FROM @",
        "WITH x AS (FROM @) FROM x",
        "PIVOT (FROM @) ON name IN ('a') USING count(*)",
    ];
    const EXPRESSIONS: [&str; 9] = [
        "current_setting('allowed_paths')",
        "getenv('HOME')",
        "getvariable('x')",
        "nextval('x')",
        "setseed(0.5)",
        "sleep_ms(1000)",
        "pg_sleep(1)",
        "write_log('x')",
        "json_serialize_plan('FROM coffee_prices')",
    ];
    const TABLES: [&str; 12] = [
        "duckdb_settings",
        "duckdb_logs",
        "duckdb_databases",
        "pg_settings",
        "pg_catalog.pg_settings",
        "main.sqlite_master",
        "system.information_schema.character_sets",
        "memory.main.x",
        "'/etc/passwd'",
        "'analytics.duckdb'",
        "analytics.duckdb",
        "coffee_prices AT (VERSION => 1)",
    ];
    let site = published();
    let pin = open(&site).pin().unwrap();
    for call in CALLS.iter().chain(&TABLES) {
        for place in FROM {
            let sql = place.replace('@', call);
            assert!(is_refused(&pin, &sql), "{sql}: {:?}", ask(&pin, &sql));
        }
    }
    for expression in EXPRESSIONS {
        for place in [
            "SELECT @",
            "SELECT * FROM coffee_prices WHERE @ IS NULL",
            "SELECT list_transform([1], lambda i: @)",
            "SELECT max(1) FILTER (@ IS NULL)",
        ] {
            let sql = place.replace('@', expression);
            assert!(is_refused(&pin, &sql), "{sql}: {:?}", ask(&pin, &sql));
        }
    }
}

#[test]
fn what_analysts_write_is_answered() {
    const QUERIES: [&str; 34] = [
        "SELECT month, arabica FROM coffee_prices ORDER BY month DESC NULLS LAST LIMIT 3 OFFSET 1",
        "SELECT year(month) AS y, avg(arabica), median(arabica), quantile_cont(arabica, 0.9) FROM coffee_prices GROUP BY ALL ORDER BY ALL",
        "SELECT *, row_number() OVER w, lag(arabica, 12) OVER w, sum(arabica) OVER (w ROWS 11 PRECEDING) FROM coffee_prices WINDOW w AS (ORDER BY month)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
        "SELECT * FROM coffee_prices a ASOF JOIN coffee_prices b ON a.month >= b.month",
        "PIVOT (SELECT year(month) AS y, arabica FROM coffee_prices) ON y IN (2024, 2025) USING sum(arabica)",
        "UNPIVOT (SELECT month, arabica, arabica * 2 AS other FROM coffee_prices) ON arabica, other INTO NAME kind VALUE price",
        "SELECT COLUMNS('m.*|a.*') FROM coffee_prices",
        "SELECT * EXCLUDE (arabica) REPLACE (month + INTERVAL 1 DAY AS month) FROM coffee_prices",
        "SELECT CASE WHEN arabica > 3 THEN 'high' ELSE 'low' END, arabica BETWEEN 1 AND 2, arabica IN (1, 2), NOT (arabica IS NULL) FROM coffee_prices",
        "SELECT list_transform([1, 2], lambda x: x + 1), [x * 2 FOR x IN [1, 2] IF x > 1], {'a': 1}.a, MAP {'k': 1}['k'], [1, 2, 3][2:3]",
        "SELECT strftime(month, '%Y-%m'), date_trunc('quarter', month), extract(isoyear FROM month), month::VARCHAR, TRY_CAST('x' AS INT) FROM coffee_prices",
        "SELECT 'a' || 'b', 'abc' LIKE 'a%', 'abc' ILIKE 'A%', regexp_replace('a1', '[0-9]', ''), upper('a'), ('x').upper(), coalesce(NULL, 1), nullif(1, 1)",
        "SELECT count(*) FILTER (arabica > 3), count(DISTINCT arabica), string_agg(arabica::VARCHAR, ',' ORDER BY month), arg_max(month, arabica) FROM coffee_prices",
        "SELECT * FROM range(3) t(i), generate_series(1, 2) s(j), unnest([1, 2]) u(k)",
        "SELECT unnest([1, 2]), unnest({'a': 1})",
        "SELECT DISTINCT ON (year(month)) * FROM coffee_prices ORDER BY month",
        "SELECT arabica FROM coffee_prices GROUP BY GROUPING SETS ((arabica), ()) ORDER BY ALL LIMIT 10%",
        "SELECT a.month FROM coffee_prices a LEFT JOIN coffee_prices b USING (month) WHERE EXISTS (SELECT 1 FROM coffee_prices c WHERE c.month = a.month)",
        "SELECT * FROM coffee_prices QUALIFY row_number() OVER (ORDER BY arabica DESC) = 1",
        "SELECT * FROM coffee_prices USING SAMPLE 5 ROWS",
        "SELECT '{\"a\": [1]}'::JSON -> 'a' ->> 0, json_extract_string('{\"a\": 1}', '$.a')",
        "SELECT ? IS NULL",
        "FROM coffee_prices SELECT month",
        "TABLE coffee_prices",
        "VALUES (1), (2)",
        "SELECT * FROM serving.coffee_prices",
        "SELECT * FROM analytics.serving.coffee_prices",
        "SELECT 1 UNION SELECT 2 EXCEPT SELECT 3 INTERSECT SELECT 4",
        "SELECT month AT TIME ZONE 'UTC', current_date, now() IS NULL, 'b' COLLATE NOCASE = 'B', -arabica, 7 // 2, 2 ** 3, 5 % 2 FROM coffee_prices",
        "SELECT table_name FROM duckdb_tables() UNION SELECT table_name FROM information_schema.tables",
        "SELECT DATE '2024-01-01' + 1, TIMESTAMP '2024-01-01 00:00', INTERVAL 1 DAY, DECIMAL '1.5', 1e3, 0x1F, NULL",
        "DESCRIBE SELECT * FROM coffee_prices",
        "SUMMARIZE SELECT * FROM coffee_prices",
    ];
    let site = published();
    let pin = open(&site).pin().unwrap();
    for sql in QUERIES {
        let answer = ask(&pin, sql);
        // A missing value is a different error.
        let needs_value = matches!(&answer, Err(ReaderError::Refused { reason }) if reason.contains("needs a value"));
        assert!(answer.is_ok() || needs_value, "{sql}: {answer:?}");
    }
    let long =
        format!("SELECT {}", (0..300).map(|n| n.to_string()).collect::<Vec<_>>().join(" + "));
    assert!(ask(&pin, &long).is_ok());
    let Err(ReaderError::Refused { reason }) =
        ask(&pin, "PIVOT coffee_prices ON month USING sum(arabica)")
    else {
        panic!("answered")
    };
    assert!(reason.contains("PIVOT needs the values"), "{reason}");
}

/// The statements of attempted attacks, in lists written by Python.
#[test]
fn every_statement_of_the_attacks_is_refused_or_only_reads() {
    // They reveal information about the served file only.
    const ANSWERED: [&str; 15] = [
        "SELECT * FROM pragma_database_size()",
        "SELECT * FROM pragma_storage_info('coffee_prices') LIMIT 1",
        "SELECT version()",
        "SELECT 1 AS a",
        "DESCRIBE coffee_prices",
        "SHOW TABLES",
        "SUMMARIZE coffee_prices",
        "TABLE coffee_prices",
        "VALUES (1)",
        "SELECT * FROM pragma_table_info('coffee_prices')",
        "SELECT list_transform(range(3), x -> x)",
        "SELECT * FROM summary((SELECT 1))",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT * FROM duckdb_functions() WHERE function_type='pragma' LIMIT 3",
        "SELECT error('x')",
    ];
    let site = published();
    let pin = open(&site).pin().unwrap();
    let names = site.names();
    let mut tried = 0;
    for number in 1..=4 {
        let Some(file) = shared(&format!("cases/security/statements-{number}.txt")) else { return };
        for line in fs::read_to_string(file)
            .unwrap()
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"'))
        {
            let sql = line
                .trim_end_matches(',')
                .trim_end_matches('"')
                .replace("\\\"", "\"")
                .replace("\\n", "\n");
            let sql = sql.replace("/DATA", &site.folder().display().to_string());
            let answer = ask(&pin, &sql);
            let about_functions = sql.contains("duckdb_functions()");
            assert!(
                answer.is_err() || ANSWERED.contains(&sql.as_str()) || about_functions,
                "{sql}: {answer:?}"
            );
            assert!(ask(&pin, "SELECT count(*) FROM coffee_prices").is_ok(), "after {sql}");
            tried += 1;
        }
    }
    assert!(tried > 130, "{tried} statements were found");
    assert_eq!(site.names(), names);
}

#[test]
fn no_text_overflows_the_stack_or_is_thought_about_for_ever() {
    let nested = |begin: &str, inside: &str, end: &str, times: usize| {
        begin.repeat(times) + inside + &end.repeat(times)
    };
    let texts = [
        format!("SELECT * FROM {}", nested("(SELECT * FROM ", "coffee_prices", ")", 50_000)),
        format!("SELECT {}", nested("(SELECT ", "1", ")", 50_000)),
        nested("WITH c AS (", "SELECT 1", ") SELECT * FROM c", 9_000),
        format!("SELECT {}", nested("(", "1", ")", 100_000)),
        format!("SELECT {}", nested("[", "1", "]", 100_000)),
        format!("SELECT {}", nested("CASE WHEN true THEN ", "1", " END", 9_000)),
        format!("SELECT {}true", "NOT ".repeat(60_000)),
        format!("SELECT {}1", "- ".repeat(100_000)),
        format!("SELECT 1{}", " + 1".repeat(60_000)),
        format!("SELECT 1{}", "::INT".repeat(50_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(13_000)),
        format!("SELECT {}", nested("list_transform([1], lambda x: ", "1", ")", 60)),
        format!("SELECT {}", nested("list_transform([1], lambda x: ", "1", ")", 20)),
        format!("EXPLAIN {}", nested("SELECT * FROM (DESCRIBE ", "SELECT 1", ")", 10_000)),
        format!("SELECT '{}'", "x".repeat(300_000)),
        format!("SELECT NULL::{}", nested("STRUCT(a ", "INT", ")", 25_000)),
    ];
    let site = published();
    let panels: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, sql)| {
            format!("title = \"D{number}\"\nslug = \"d{number}\"\n[[panel]]\ntitle = \"p\"\nkind = \"table\"\nsql = '''{sql}'''\n")
        })
        .collect();
    fs::create_dir(site.path("dashboards")).unwrap();
    for (number, panel) in panels.iter().enumerate() {
        fs::write(site.path(&format!("dashboards/d{number}.toml")), panel).unwrap();
    }
    site.settings("[dashboards]\ndir = 'dashboards'\n");
    let ran = site.run(&["dashboards", "check"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for number in 0..texts.len() {
        let message = format!("{}{}", ran.stdout, ran.stderr);
        assert!(message.contains(&format!("d{number}.toml")), "nothing about d{number}: {message}");
    }
}

#[test]
fn a_served_file_that_brings_its_own_functions_cannot_replace_the_engines() {
    let site = Site::empty();
    Site::make(
        &site.served(),
        "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT 1 AS a;
         CREATE MACRO serving.abs(x) AS TABLE SELECT * FROM duckdb_settings(); CREATE MACRO serving.upper(x) AS current_setting('temp_directory');",
    );
    let pin = open(&site).pin().unwrap();
    for sql in [
        "SELECT upper('a')",
        "SELECT serving.upper('a')",
        "SELECT t.a.upper() FROM t",
        "FROM abs(1)",
        "SELECT * FROM serving.abs(1)",
    ] {
        assert!(is_refused(&pin, sql), "{sql}: {:?}", ask(&pin, sql));
    }
    assert!(ask(&pin, "SELECT lower('A') FROM t").is_ok());
}
