//! Samples the health of the site from its metrics over plain HTTP, on a separate thread, so that a
//! slow response delays nothing else.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use crate::message::{Message, RequestStats, SiteHealth};

const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// The interval that statistics cover.
const STATS_WINDOW: Duration = Duration::from_mins(1);
/// Sufficient for a server on the same machine or in the same network.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Far more than the size of the metrics.
const MAX_RESPONSE_BYTES: u64 = 4 << 20;

/// Samples the metrics until it is dropped.
pub(super) struct MetricsPoller(
    #[allow(dead_code, reason = "dropping it ends the thread")] Sender<()>,
);

impl MetricsPoller {
    pub(super) fn start(address: SocketAddr, send: Sender<Message>) -> Self {
        let (end, ended) = mpsc::channel();
        // The thread is not joined, because it may be waiting for a response.
        thread::spawn(move || {
            let mut history = SampleHistory::default();
            let mut previous = None;
            loop {
                let health = fetch(address)
                    .map_err(|error| describe_error(&error))
                    .and_then(|page| history.add(Instant::now(), &page));
                if previous.as_ref() != Some(&health) {
                    if send.send(Message::Site(address, health.clone())).is_err() {
                        return;
                    }
                    previous = Some(health);
                }
                // Statistics need two samples, so the second one is taken soon.
                let pause = if history.samples.len() == 1 {
                    Duration::from_secs(1)
                } else {
                    SAMPLE_INTERVAL
                };
                if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self(end)
    }
}

fn fetch(address: SocketAddr) -> io::Result<String> {
    let deadline = Instant::now() + RESPONSE_TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, RESPONSE_TIMEOUT)?;
    stream.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
    // With HTTP/1.0, the response ends when the connection is closed.
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut part)?;
        if read == 0 {
            break;
        }
        response.extend_from_slice(&part[..read]);
        if response.len() as u64 > MAX_RESPONSE_BYTES {
            return Err(io::Error::other("its response is too long for a page of metrics"));
        }
    }
    let response = String::from_utf8_lossy(&response).into_owned();
    let status = response.split_whitespace().nth(1).unwrap_or_default();
    match response.split_once("\r\n\r\n") {
        Some((head, page)) if head.starts_with("HTTP/1.") && status == "200" => Ok(page.to_owned()),
        Some((head, _)) if head.starts_with("HTTP/1.") => {
            Err(io::Error::other(format!("it responds with status {status}")))
        }
        _ => Err(io::Error::other("it does not speak HTTP")),
    }
}

fn describe_error(error: &io::Error) -> String {
    match error.kind() {
        // A socket timeout is reported as one of several kinds.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("no response within {} s", RESPONSE_TIMEOUT.as_secs())
        }
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// The counters of one sample, since the start of the site.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sample {
    requests: u64,
    /// Responses with status 500 and above.
    errors: u64,
    /// Number of requests that took at most this many microseconds.
    within: BTreeMap<u64, u64>,
    signed_in: Option<u64>,
}

impl Sample {
    /// Parses lines like `name{label="value",...} number`; `None` if they are not the site's.
    fn parse(page: &str) -> Option<Self> {
        let mut sample = Self::default();
        let mut known = false;
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, number)) = line.rsplit_once(' ') else { continue };
            let Ok(number) = number.parse::<f64>() else { continue };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            match name {
                "materia_http_requests_total" => {
                    sample.requests += whole(number);
                    if label(labels, "status").is_some_and(|status| status.starts_with('5')) {
                        sample.errors += whole(number);
                    }
                }
                "materia_http_request_duration_seconds_bucket" => {
                    let max = label(labels, "le")
                        .and_then(|max| max.parse::<f64>().ok())
                        .unwrap_or(f64::INFINITY);
                    // An infinite bound becomes the largest number.
                    *sample.within.entry(whole(max * 1e6)).or_default() += whole(number);
                }
                "materia_signed_in_users" => {
                    known = true;
                    sample.signed_in = (number >= 0.0).then(|| whole(number));
                }
                _ => {}
            }
        }
        known.then_some(sample)
    }

    /// Returns the difference from an earlier sample; `None` if the site was restarted since.
    fn since(&self, before: &Self) -> Option<Self> {
        let within = self
            .within
            .iter()
            .map(|(max, count)| {
                Some((
                    *max,
                    count.checked_sub(before.within.get(max).copied().unwrap_or_default())?,
                ))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            requests: self.requests.checked_sub(before.requests)?,
            errors: self.errors.checked_sub(before.errors)?,
            within,
            signed_in: self.signed_in,
        })
    }

    /// Returns the 99th percentile of the latency, interpolated between the bounds of its bucket.
    fn p99(&self) -> Option<Duration> {
        let all = *self.within.values().next_back().filter(|all| **all > 0)?;
        let wanted = all as f64 * 0.99;
        let (mut low, mut below) = (0, 0);
        for (max, count) in &self.within {
            if *count as f64 >= wanted {
                // The last bucket has no upper bound.
                let width = if *max == u64::MAX { 0 } else { max - low };
                let share = (wanted - below as f64) / (count - below).max(1) as f64;
                return Some(Duration::from_micros(low + whole(width as f64 * share)));
            }
            (low, below) = (*max, *count);
        }
        None
    }
}

/// Rounds a count; numbers that are too large become the largest one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast stops at the ends"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let from = labels
        .split(',')
        .find_map(|label| label.trim_start().strip_prefix(name)?.strip_prefix("=\""))?;
    from.split('"').next()
}

/// The samples of the last minute.
#[derive(Default)]
struct SampleHistory {
    samples: VecDeque<(Instant, Sample)>,
}

impl SampleHistory {
    fn add(&mut self, at: Instant, page: &str) -> Result<SiteHealth, String> {
        let Some(sample) = Sample::parse(page) else {
            self.samples.clear();
            return Err("the server there is not materia's site".to_owned());
        };
        self.samples.retain(|(before, _)| at.duration_since(*before) <= STATS_WINDOW);
        let since = self
            .samples
            .front()
            .and_then(|(before, first)| Some((at.duration_since(*before), sample.since(first)?)));
        if since.is_none() {
            self.samples.clear();
        }
        let signed_in = sample.signed_in;
        self.samples.push_back((at, sample));
        let recent = since.map(|(time, recent)| RequestStats {
            // Rounded, so that the text does not change constantly.
            time: Duration::from_secs((time + Duration::from_millis(500)).as_secs().max(1)),
            requests: recent.requests,
            errors: recent.errors,
            p99: recent.p99(),
        });
        Ok(SiteHealth { signed_in, recent })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{io::BufRead as _, net::TcpListener};

    use super::*;

    /// The site's format: quick and slow requests so far, some of which failed.
    fn page(quick: u64, slow: u64, failed: u64) -> String {
        let all = quick + slow;
        format!(
            "# HELP materia_http_requests Requests answered.\n# TYPE materia_http_requests counter\n\
             materia_http_requests_total{{route=\"/dashboard/{{slug}}\",method=\"GET\",status=\"200\"}} {}\n\
             materia_http_requests_total{{route=\"none\",method=\"GET\",status=\"503\"}} {failed}\n\
             materia_http_request_duration_seconds_bucket{{le=\"0.001\",route=\"/dashboard/{{slug}}\"}} {quick}\n\
             materia_http_request_duration_seconds_bucket{{le=\"0.512\",route=\"/dashboard/{{slug}}\"}} {quick}\n\
             materia_http_request_duration_seconds_bucket{{le=\"1.024\",route=\"/dashboard/{{slug}}\"}} {all}\n\
             materia_http_request_duration_seconds_bucket{{le=\"+Inf\",route=\"/dashboard/{{slug}}\"}} {all}\n\
             materia_signed_in_users 41\n# EOF\n",
            all - failed
        )
    }

    #[test]
    fn statistics_cover_the_last_minute_only() {
        let mut history = SampleHistory::default();
        let start = Instant::now();
        let first = history.add(start, &page(1_000_000, 0, 5)).unwrap();
        assert_eq!(
            first,
            SiteHealth { signed_in: Some(41), recent: None },
            "one sample has no statistics"
        );
        for seconds in 1..=12 {
            history
                .add(
                    start + Duration::from_secs(seconds * 5),
                    &page(1_000_000 + seconds * 97, seconds * 3, 5 + seconds),
                )
                .unwrap();
        }
        let health =
            history.add(start + Duration::from_secs(65), &page(1_001_261, 39, 18)).unwrap();
        let recent = health.recent.unwrap();
        assert_eq!(
            (recent.time, recent.requests, recent.errors),
            (Duration::from_mins(1), 1_200, 12)
        );
        // 36 of 1,200 took between 0.512 and 1.024 s; two thirds of them are not among the slowest
        // hundredth.
        assert_eq!(recent.p99.unwrap().as_millis(), 512 + 512 * 2 / 3);
    }

    #[test]
    fn a_restarted_site_is_measured_from_its_start() {
        let mut history = SampleHistory::default();
        let start = Instant::now();
        history.add(start, &page(500, 0, 0)).unwrap();
        assert_eq!(
            history.add(start + Duration::from_secs(5), &page(3, 0, 0)).unwrap().recent,
            None
        );
        let recent =
            history.add(start + Duration::from_secs(10), &page(13, 0, 0)).unwrap().recent.unwrap();
        assert_eq!(
            (recent.time, recent.requests, recent.p99),
            (Duration::from_secs(5), 10, Some(Duration::from_micros(990)))
        );
    }

    #[test]
    fn without_requests_there_is_no_percentile() {
        let mut history = SampleHistory::default();
        let start = Instant::now();
        history.add(start, &page(500, 0, 0)).unwrap();
        let recent =
            history.add(start + Duration::from_secs(5), &page(500, 0, 0)).unwrap().recent.unwrap();
        assert_eq!((recent.requests, recent.p99), (0, None));
    }

    #[test]
    fn any_other_server_there_is_described() {
        let response = |response: &'static str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                io::BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(response.as_bytes()).unwrap();
                line
            });
            let fetched = fetch(address).map_err(|error| describe_error(&error));
            assert_eq!(server.join().unwrap(), "GET /metrics HTTP/1.0\r\n");
            fetched
                .and_then(|page| SampleHistory::default().add(Instant::now(), &page))
                .unwrap_err()
        };
        assert_eq!(response("HTTP/1.0 404 Not Found\r\n\r\n"), "it responds with status 404");
        assert_eq!(response("SSH-2.0-OpenSSH_9.9\r\n\r\n"), "it does not speak HTTP");
        assert_eq!(
            response("HTTP/1.1 200 OK\r\n\r\nup 1\n"),
            "the server there is not materia's site"
        );
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(
            fetch(closed).map_err(|error| describe_error(&error)),
            Err("nothing listens there".to_owned())
        );
    }
}
