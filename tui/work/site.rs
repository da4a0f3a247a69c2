//! How the site does, from its page of metrics: asked now and then over plain HTTP, on a thread of its own, so that a page that does not answer
//! keeps nothing else waiting.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use crate::tui::message::{Lately, Message, SiteHealth};

/// Between two readings.
const EVERY: Duration = Duration::from_secs(5);
/// What is told is about as much time.
const LATELY: Duration = Duration::from_mins(1);
/// An operator's own machine, or one beside it, answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);
/// A page of metrics is far smaller.
const MOST: u64 = 4 << 20;

/// Asks for as long as it lives.
pub(super) struct Site(#[allow(dead_code, reason = "its end is the thread's")] Sender<()>);

impl Site {
    pub(super) fn start(address: SocketAddr, send: Sender<Message>) -> Self {
        let (end, ended) = mpsc::channel();
        // Nobody waits for its end: it may be waiting for an answer.
        thread::spawn(move || {
            let mut known = Known::default();
            let mut told = None;
            loop {
                let health = fetch(address).map_err(|error| said(&error)).and_then(|page| known.take(Instant::now(), &page));
                // What has been told already is no news.
                if told.as_ref() != Some(&health) {
                    if send.send(Message::Site(address, health.clone())).is_err() {
                        return;
                    }
                    told = Some(health);
                }
                // A second reading soon after the first tells what happens in between.
                let pause = if known.readings.len() == 1 { Duration::from_secs(1) } else { EVERY };
                if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self(end)
    }
}

/// The page, or why there is none.
fn fetch(address: SocketAddr) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // As HTTP/1.0, the end of the connection is the end of the page.
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
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
        answer.extend_from_slice(&part[..read]);
        if answer.len() as u64 > MOST {
            return Err(io::Error::other("its answer is too long for a page of metrics"));
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    match answer.split_once("\r\n\r\n") {
        Some((head, page)) if head.starts_with("HTTP/1.") && status == "200" => Ok(page.to_owned()),
        Some((head, _)) if head.starts_with("HTTP/1.") => Err(io::Error::other(format!("it answers with {status}"))),
        _ => Err(io::Error::other("it does not speak HTTP")),
    }
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        // A timeout of a socket has several names.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!("no answer within {} s", PATIENCE.as_secs()),
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// What one page told; everything is counted from the start of the site.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reading {
    requests: u64,
    /// Answered with 500 and above.
    errors: u64,
    /// Requests that took at most so many microseconds.
    within: BTreeMap<u64, u64>,
    signed_in: Option<u64>,
}

impl Reading {
    /// Reads the lines that matter: `name{label="value",...} number`.
    fn of(page: &str) -> Option<Self> {
        let mut reading = Self::default();
        let mut known = false;
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, number)) = line.rsplit_once(' ') else { continue };
            let Ok(number) = number.parse::<f64>() else { continue };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            match name {
                "materia_http_requests_total" => {
                    reading.requests += whole(number);
                    if label(labels, "status").is_some_and(|status| status.starts_with('5')) {
                        reading.errors += whole(number);
                    }
                }
                "materia_http_request_duration_seconds_bucket" => {
                    let most = label(labels, "le").and_then(|most| most.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
                    // What is longer than can be counted is as long as can be.
                    *reading.within.entry(whole(most * 1e6)).or_default() += whole(number);
                }
                "materia_signed_in_users" => {
                    known = true;
                    reading.signed_in = (number >= 0.0).then(|| whole(number));
                }
                _ => {}
            }
        }
        known.then_some(reading)
    }

    /// What has come since `before`; nothing where the site has started anew.
    fn since(&self, before: &Self) -> Option<Self> {
        let within = self
            .within
            .iter()
            .map(|(most, count)| Some((*most, count.checked_sub(before.within.get(most).copied().unwrap_or_default())?)))
            .collect::<Option<_>>()?;
        Some(Self {
            requests: self.requests.checked_sub(before.requests)?,
            errors: self.errors.checked_sub(before.errors)?,
            within,
            signed_in: self.signed_in,
        })
    }

    /// The time within which 99 of 100 requests were answered: between the two bounds that are counted, as far as the count is.
    fn p99(&self) -> Option<Duration> {
        let all = *self.within.values().next_back().filter(|all| **all > 0)?;
        let wanted = all as f64 * 0.99;
        let (mut low, mut below) = (0, 0);
        for (most, count) in &self.within {
            if *count as f64 >= wanted {
                // Of the slowest it is only known that they took longer than the last bound.
                let width = if *most == u64::MAX { 0 } else { most - low };
                let share = (wanted - below as f64) / (count - below).max(1) as f64;
                return Some(Duration::from_micros(low + whole(width as f64 * share)));
            }
            (low, below) = (*most, *count);
        }
        None
    }
}

/// A count; more than fits is the most that does.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such a cast stops at the ends")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let from = labels.split(',').find_map(|label| label.trim_start().strip_prefix(name)?.strip_prefix("=\""))?;
    from.split('"').next()
}

/// The readings of the last minute.
#[derive(Default)]
struct Known {
    readings: VecDeque<(Instant, Reading)>,
}

impl Known {
    fn take(&mut self, at: Instant, page: &str) -> Result<SiteHealth, String> {
        let Some(reading) = Reading::of(page) else {
            self.readings.clear();
            return Err("what answers there is not materia's site".to_owned());
        };
        self.readings.retain(|(before, _)| at.duration_since(*before) <= LATELY);
        let since = self.readings.front().and_then(|(before, first)| Some((at.duration_since(*before), reading.since(first)?)));
        if since.is_none() {
            self.readings.clear();
        }
        let signed_in = reading.signed_in;
        self.readings.push_back((at, reading));
        let lately = since.map(|(time, lately)| Lately {
            // To the second: it is told, and what is told anew is drawn anew.
            time: Duration::from_secs((time + Duration::from_millis(500)).as_secs().max(1)),
            requests: lately.requests,
            errors: lately.errors,
            p99: lately.p99(),
        });
        Ok(SiteHealth { signed_in, lately })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{io::BufRead as _, net::TcpListener};

    use super::*;

    /// As the site writes it: quick and slow requests so far, of which some failed.
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
    fn a_minute_is_told_and_not_all_that_ever_was() {
        let mut known = Known::default();
        let begun = Instant::now();
        let first = known.take(begun, &page(1_000_000, 0, 5)).unwrap();
        assert_eq!(first, SiteHealth { signed_in: Some(41), lately: None }, "from one reading nothing is known about a minute");
        for seconds in 1..=12 {
            known.take(begun + Duration::from_secs(seconds * 5), &page(1_000_000 + seconds * 97, seconds * 3, 5 + seconds)).unwrap();
        }
        let health = known.take(begun + Duration::from_secs(65), &page(1_001_261, 39, 18)).unwrap();
        let lately = health.lately.unwrap();
        assert_eq!((lately.time, lately.requests, lately.errors), (Duration::from_mins(1), 1_200, 12));
        // 36 of 1,200 took between 0.512 and 1.024 s; two thirds of them are not among the slowest hundredth.
        assert_eq!(lately.p99.unwrap().as_millis(), 512 + 512 * 2 / 3);
    }

    #[test]
    fn a_site_that_starts_anew_is_measured_anew() {
        let mut known = Known::default();
        let begun = Instant::now();
        known.take(begun, &page(500, 0, 0)).unwrap();
        assert_eq!(known.take(begun + Duration::from_secs(5), &page(3, 0, 0)).unwrap().lately, None);
        let lately = known.take(begun + Duration::from_secs(10), &page(13, 0, 0)).unwrap().lately.unwrap();
        assert_eq!((lately.time, lately.requests, lately.p99), (Duration::from_secs(5), 10, Some(Duration::from_micros(990))));
    }

    #[test]
    fn without_a_request_there_is_no_slowest() {
        let mut known = Known::default();
        let begun = Instant::now();
        known.take(begun, &page(500, 0, 0)).unwrap();
        let lately = known.take(begun + Duration::from_secs(5), &page(500, 0, 0)).unwrap().lately.unwrap();
        assert_eq!((lately.requests, lately.p99), (0, None));
    }

    #[test]
    fn whatever_else_answers_there_is_told_in_words() {
        let answer = |answer: &'static str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                io::BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                line
            });
            let fetched = fetch(address).map_err(|error| said(&error));
            assert_eq!(server.join().unwrap(), "GET /metrics HTTP/1.0\r\n");
            fetched.and_then(|page| Known::default().take(Instant::now(), &page)).unwrap_err()
        };
        assert_eq!(answer("HTTP/1.0 404 Not Found\r\n\r\n"), "it answers with 404");
        assert_eq!(answer("SSH-2.0-OpenSSH_9.9\r\n\r\n"), "it does not speak HTTP");
        assert_eq!(answer("HTTP/1.1 200 OK\r\n\r\nup 1\n"), "what answers there is not materia's site");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(fetch(nobody).map_err(|error| said(&error)), Err("nothing listens there".to_owned()));
    }
}
