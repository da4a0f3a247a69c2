//! Random input for the parsers, reproducibly: a failing case is printed whole.

#![expect(clippy::print_stderr, reason = "how much was tried is for whoever reads the output")]

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::{
    lexer, params,
    rewrite::Rewriter,
    statement::Statement,
    types::{self, ColumnType},
};

/// A generator of random numbers.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(7)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    /// Changes, removes, repeats or adds some bytes.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] = self.byte(),
                1 if at < bytes.len() => drop(bytes.drain(at..=at)),
                2 => bytes.insert(at, self.byte()),
                3 => bytes.truncate(at),
                _ => {
                    let end = (at + self.below(16)).min(bytes.len());
                    let repeated = bytes[at..end].to_vec();
                    bytes.splice(at..at, repeated);
                }
            }
        }
    }
}

/// Returns whether to try more: a number of cases, or for `MATERIA_TEST_FUZZ_SECONDS`.
#[allow(clippy::disallowed_methods, reason = "the environment selects the long form of a test")]
pub(crate) fn goes_on(tried: u64, least: u64) -> bool {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let begun = BEGUN.get_or_init(Instant::now);
    let seconds = std::env::var("MATERIA_TEST_FUZZ_SECONDS").ok();
    let limit = seconds.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    tried < least || limit.is_some_and(|limit| begun.elapsed() < limit)
}

const STATEMENTS: [&str; 18] = [
    "COPY (SELECT 1)\u{e4} TO STDOUT",
    "COPY TO STDOUT",
    "SELECT a.\"b c\", 'it''s' || E'\\n\\'' , $$body$$, $tag$x$tag$ FROM serving.psd AS a WHERE year >= $1 AND country ~* '^c.*' LIMIT 5; SELECT 2",
    "SELECT n.nspname::pg_catalog.text, c.oid::regclass, 'psd'::regclass::oid FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(psd)$' COLLATE pg_catalog.default",
    "SELECT * FROM information_schema.columns WHERE table_name = ANY('{\"a\",b,NULL}'::text[]) AND x = ANY($1::int[])",
    "SELECT current_setting('timezone'), set_config('bytea_output', 'hex', false), pg_backend_pid(), json_build_object('a', 1)",
    "COPY (SELECT 1, /* nested /* comment */ */ 2) TO STDOUT WITH (FORMAT csv, HEADER true, DELIMITER ';', NULL '', QUOTE '\"')",
    "COPY psd (year, country) TO STDOUT BINARY",
    "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1 -- comment",
    "FETCH FORWARD 100 FROM \"c\"",
    "PREPARE p (int, text[]) AS SELECT $1, $2",
    "EXECUTE p (1, 'x', -2.5e3, NULL)",
    "SET SESSION TIME ZONE 'Europe/Vienna'",
    "SET search_path TO \"$user\", public, serving",
    "SHOW materia.generation",
    "SELECT pg_catalog.pg_cancel_backend(17)",
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; COMMIT; DISCARD ALL",
    "SELECT '\u{e4}\u{1f600}' AS \"\u{fc}\", U&'\\0061', B'01', X'ff', 1_000, .5, 1e-3, a->>'b', a::numeric(10,2), interval '1' day",
];

#[test]
fn no_statement_makes_the_session_panic() {
    let mut random = Random::new();
    let parameters = ["CAST($1 AS INTEGER)".to_owned(), "$2".to_owned()];
    let settings = HashMap::from([("timezone".to_owned(), "UTC".to_owned())]);
    let rewriter = Rewriter {
        schema: "serving",
        database: "analytics",
        parameters: &parameters,
        settings: Some(&settings),
        pid: 1,
    };
    let column = |name: &str| (name == "year").then(|| ColumnType::of_name("INTEGER"));
    let mut tried = 0;
    while goes_on(tried, 20_000) {
        tried += 1;
        let mut bytes = STATEMENTS[random.below(STATEMENTS.len())].as_bytes().to_vec();
        if random.below(4) == 0 {
            bytes.extend(STATEMENTS[random.below(STATEMENTS.len())].as_bytes());
        }
        random.damage(&mut bytes);
        let sql = String::from_utf8_lossy(&bytes);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for place in lexer::statements(&sql) {
                let _ = Statement::parse(&sql[place]);
            }
            let _ = params::infer(&sql, &[], &column);
            let rewritten = rewriter.rewrite(&sql);
            for offset in 0..=rewritten.sql.len() {
                assert!(rewritten.character(offset) <= sql.chars().count() + 1);
            }
        }));
        assert!(outcome.is_ok(), "{sql:?}");
    }
    eprintln!("{tried} statements");
}

#[test]
fn no_value_of_a_parameter_makes_the_session_panic() {
    const VALUES: [&[u8]; 9] = [
        b"12",
        b"{1,NULL,\"a\\\"b\",{2}}",
        b"2024-02-29 10:00:00.5+02:30",
        b"1 year 2 mons -3 days 04:05:06",
        b"\\xdeadbeef",
        b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        // A binary array of two integers, a binary numeric, a binary jsonb.
        b"\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x04\0\0\0\x01\0\0\0\x04\0\0\0\x02",
        b"\0\x02\0\0\0\0\0\x02\0\x0c\x0d\x80",
        b"\x01{\"a\":1}",
    ];
    let mut random = Random::new();
    let oids: Vec<u32> = types::ALL.iter().flat_map(|kind| [kind.oid, kind.array]).collect();
    let mut tried = 0;
    while goes_on(tried, 100_000) {
        tried += 1;
        let mut bytes = VALUES[random.below(VALUES.len())].to_vec();
        random.damage(&mut bytes);
        let oid = oids[random.below(oids.len())];
        let binary = random.below(2) == 0;
        let outcome =
            catch_unwind(AssertUnwindSafe(|| drop(params::bind(1, oid, binary, Some(&bytes)))));
        assert!(outcome.is_ok(), "{oid} binary {binary} {bytes:?}");
    }
    eprintln!("{tried} values");
}
