//! What a whole dashboard costs against its bare queries one after the other, warm and cold, on the sample figures.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use materia::{
    dashboard::{self, Dashboard, Dashboards},
    demo::Demo,
    export::{self, Job, Unwatched},
    plan::Plan,
    reader::{Limits, Query, Reader, ReaderLimits, wait},
    settings::Settings,
};

fn main() {
    let folder = tempfile::tempdir().unwrap();
    Demo { dir: folder.path().to_owned(), ..Demo::default() }.make().unwrap();
    let mut settings = Settings::load(None, &|_| None).unwrap();
    settings.lakehouse = folder.path().join("lakehouse.duckdb");
    settings.serving = folder.path().join("analytics.duckdb");
    let finished = export::export(&Job::new(&settings).unwrap(), &mut Unwatched);
    assert!(finished.error.is_none(), "{:?}", finished.error);

    println!("{:<14} {:>6} {:>10} {:>10} {:>12} {:>14}", "dashboard", "panels", "cold ms", "warm ms", "queries ms", "cold / queries");
    let dashboards = Dashboards::built_in("beanflows").unwrap();
    let mut ratios = Vec::new();
    for dashboard in dashboards.written().unwrap() {
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
    println!("worst: cold / queries {:.2} (at most 0.8 wanted), warm / queries {:.3}", worst(|ratio| ratio.0), worst(|ratio| ratio.1));
}

struct Measured {
    cold: Duration,
    warm: Duration,
    queries: Duration,
}

/// Medians of several rounds; each cold one, and each round of bare queries, on a reader of its own.
fn measure(dashboard: &Arc<Dashboard>, settings: &Settings) -> Measured {
    const ROUNDS: usize = 9;
    let open = || Reader::open(&settings.serving, "serving", ReaderLimits::default()).unwrap();
    let (mut cold, mut warm, mut queries) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let reader = open();
        let pin = reader.pin().unwrap();
        let begun = Instant::now();
        wait(dashboard::answer(dashboard, &pin, &[], Plan::Pro));
        cold.push(begun.elapsed());
        let begun = Instant::now();
        wait(dashboard::answer(dashboard, &pin, &[], Plan::Pro));
        warm.push(begun.elapsed());
        drop((pin, reader));

        let asked = questions(dashboard, settings);
        let reader = open();
        let pin = reader.pin().unwrap();
        let begun = Instant::now();
        for question in asked {
            pin.ask_blocking(question, Limits::page()).unwrap();
        }
        queries.push(begun.elapsed());
    }
    Measured { cold: median(cold), warm: median(warm), queries: median(queries) }
}

/// What the dashboard asks: its filters' queries and its panels', with the values that the filters have by default.
fn questions(dashboard: &Dashboard, settings: &Settings) -> Vec<Query> {
    let reader = Reader::open(&settings.serving, "serving", ReaderLimits::default()).unwrap();
    let pin = reader.pin().unwrap();
    wait(dashboard::questions(dashboard, &pin, &[], Plan::Pro))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
