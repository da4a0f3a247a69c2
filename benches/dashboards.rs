//! The cost of a whole dashboard compared with its bare queries run in sequence, warm and cold, on
//! the sample figures.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]
#![allow(clippy::disallowed_methods, reason = "the environment selects the short form")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use materia::{
    dashboard::{self, Dashboard, Dashboards},
    demo::Demo,
    export::{self, ExportJob, NoProgress},
    plan::Plan,
    reader::{Query, QueryLimits, Reader, ReaderConfig, block_on},
    settings::Settings,
};

fn main() {
    let folder = tempfile::tempdir().unwrap();
    Demo { dir: folder.path().to_owned(), ..Demo::default() }.create().unwrap();
    let mut settings = Settings::load(None, &|_| None).unwrap();
    settings.lakehouse = folder.path().join("lakehouse.duckdb");
    settings.serving = folder.path().join("analytics.duckdb");
    let finished = export::export(&ExportJob::new(&settings).unwrap(), &mut NoProgress);
    assert!(finished.error.is_none(), "{:?}", finished.error);

    println!(
        "{:<14} {:>6} {:>10} {:>10} {:>12} {:>14}",
        "dashboard", "panels", "cold ms", "warm ms", "queries ms", "cold / queries"
    );
    let dashboards = Dashboards::built_in("beanflows").unwrap();
    let mut ratios = Vec::new();
    for dashboard in dashboards.user_defined().unwrap() {
        let one = measure(dashboard, &settings);
        println!(
            "{:<14} {:>6} {:>10.2} {:>10.3} {:>12.2} {:>14.2}",
            dashboard.slug,
            dashboard.panels.len(),
            ms(one.cold),
            ms(one.warm),
            ms(one.queries),
            ms(one.cold) / ms(one.queries)
        );
        ratios.push((ms(one.cold) / ms(one.queries), ms(one.warm) / ms(one.queries)));
    }
    let worst = |pick: fn(&(f64, f64)) -> f64| ratios.iter().map(pick).fold(0.0, f64::max);
    println!(
        "worst: cold / queries {:.2} (target: at most 0.8), warm / queries {:.3}",
        worst(|ratio| ratio.0),
        worst(|ratio| ratio.1)
    );
}

/// Returns whether the benchmark only has to run, as in the test suite (`MATERIA_BENCH_SHORT=1`):
/// its figures are meaningless then.
fn is_short() -> bool {
    std::env::var_os("MATERIA_BENCH_SHORT").is_some()
}

struct Measured {
    cold: Duration,
    warm: Duration,
    queries: Duration,
}

/// Returns medians of several rounds. Each cold round, and each round of bare queries, uses a new
/// reader.
fn measure(dashboard: &Arc<Dashboard>, settings: &Settings) -> Measured {
    let rounds = if is_short() { 1 } else { 9 };
    let open = || Reader::open_file(&settings.serving, "serving", ReaderConfig::default()).unwrap();
    let (mut cold, mut warm, mut queries) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let reader = open();
        let pin = reader.pin().unwrap();
        let begun = Instant::now();
        block_on(dashboard::evaluate(dashboard, &pin, &[], Plan::Pro));
        cold.push(begun.elapsed());
        let begun = Instant::now();
        block_on(dashboard::evaluate(dashboard, &pin, &[], Plan::Pro));
        warm.push(begun.elapsed());
        drop((pin, reader));

        let bare = dashboard_queries(dashboard, settings);
        let reader = open();
        let pin = reader.pin().unwrap();
        let begun = Instant::now();
        for query in bare {
            pin.query_blocking(query, QueryLimits::for_page()).unwrap();
        }
        queries.push(begun.elapsed());
    }
    Measured { cold: median(cold), warm: median(warm), queries: median(queries) }
}

/// Returns the dashboard's queries: its filters' and its panels', with the filters' default values.
fn dashboard_queries(dashboard: &Dashboard, settings: &Settings) -> Vec<Query> {
    let reader = Reader::open_file(&settings.serving, "serving", ReaderConfig::default()).unwrap();
    let pin = reader.pin().unwrap();
    block_on(dashboard::queries(dashboard, &pin, &[], Plan::Pro))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
