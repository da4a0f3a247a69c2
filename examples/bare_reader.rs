//! Queries per second of the reader alone: the baseline with which `benches/postgres` compares the
//! endpoint.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use materia::reader::{Query, QueryLimits, Reader, ReaderConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [served, threads, seconds, most, sql] = &args[..] else {
        return Err(
            "bare_reader FILE THREADS SECONDS MOST SQL, which binds $1 from 1 to MOST".into()
        );
    };
    let (threads, most): (usize, i64) = (threads.parse()?, most.parse()?);
    let config = ReaderConfig { streams: 16, short: 1, long: 1, ..ReaderConfig::default() };
    let reader = Reader::open_file(Path::new(served), "serving", config)?;
    let done = AtomicU64::new(0);
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds.parse()?);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < until {
                    let query = Query::new(sql).bind("1", fastrand::i64(1..=most));
                    let pin = reader.pin();
                    let stream = pin.and_then(|pin| pin.stream(query, QueryLimits::for_download()));
                    let Ok(mut stream) = stream else { continue };
                    while let Some(batch) = stream.blocking_next() {
                        if batch.is_err() {
                            return;
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let rate = done.into_inner() as f64 / begun.elapsed().as_secs_f64();
    std::io::Write::write_all(&mut std::io::stdout(), format!("{rate:.1}\n").as_bytes())?;
    Ok(())
}
