//! Alert state: open incidents, when they were reported, and unsent messages.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    files,
    lock::{self, LockHolder, Mode},
    status::Finding,
    store::Store,
};

/// The state's size is a multiple of this, so that there is room for more incidents on a full disk.
const RESERVED_BYTES: usize = 16 * 1024;

/// The alert state that persists between checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertState {
    /// Open incidents, by the condition's name.
    pub wrong: BTreeMap<String, Incident>,
    /// When each condition was last alerted.
    pub alerted: BTreeMap<String, Timestamp>,
    /// The current lock holder of the lakehouse.
    pub held: Option<HeldSince>,
    /// Unsent messages, oldest first.
    pub outbox: Vec<Message>,
    /// Incidents that began and ended within the cool-down, by the condition's name; they are
    /// reported when it ends.
    pub unreported: BTreeMap<String, Unreported>,
    /// Since when messages have not been delivered.
    pub undelivered: Option<Undelivered>,
}

/// Incidents of one condition that ended before they could be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreported {
    /// When the first one began.
    pub since: Timestamp,
    /// When the last one ended.
    pub until: Timestamp,
    /// The number of incidents.
    pub times: u32,
    /// The description of the last one.
    pub text: String,
}

/// A receiver that does not accept messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// When the first attempt failed.
    pub since: Timestamp,
    /// Why the last attempt failed, without the receiver's address.
    pub error: String,
    /// The number of waiting messages.
    pub messages: usize,
}

/// An incident, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When it was first observed.
    pub since: Timestamp,
    pub text: String,
    /// Whether an alert was sent; for an incident that begins within the cool-down, none is sent
    /// until the cool-down ends.
    // Its name in the state file.
    #[serde(rename = "told")]
    pub reported: bool,
}

/// A process that holds the lakehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSince {
    /// The process id; absent if the system does not report it.
    pub pid: Option<u32>,
    /// When it was first observed to hold the lakehouse.
    pub since: Timestamp,
}

/// Whether an incident began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    Alert,
    Recovery,
    Test,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same for every delivery attempt.
    pub id: String,
    pub kind: MessageKind,
    /// The condition's name, for machines.
    pub condition: String,
    pub text: String,
    pub since: Timestamp,
    /// When the message was created.
    pub at: Timestamp,
}

impl Message {
    /// Creates a message about a condition.
    #[must_use]
    pub fn new(
        kind: MessageKind,
        condition: &str,
        text: &str,
        since: Timestamp,
        at: Timestamp,
    ) -> Self {
        let word = match kind {
            MessageKind::Alert => "alert",
            MessageKind::Recovery => "recovery",
            MessageKind::Test => "test",
        };
        let id = format!("{condition}-{word}-{}", at.as_millisecond());
        Self { id, kind, condition: condition.to_owned(), text: text.to_owned(), since, at }
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            MessageKind::Alert => f.write_str(&self.text),
            MessageKind::Recovery => write!(f, "over: {}", self.text),
            MessageKind::Test => write!(f, "test: {}", self.text),
        }
    }
}

impl AlertState {
    /// Loads the state; empty if there is none or it cannot be parsed.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn load(target: &Store) -> io::Result<Self> {
        match fs::read(target.local().alerts()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            // Open incidents are then reported again, which is better than not reporting them.
            text => Ok(serde_json::from_slice(&text?).unwrap_or_default()),
        }
    }

    /// Saves the state atomically. On a full disk it overwrites the previous state, which has room
    /// for that: otherwise every check would send the same alerts, and the end of the incident
    /// would never be reported.
    ///
    /// # Errors
    /// Returns the operating system's error.
    pub fn save(&self, target: &Store) -> io::Result<()> {
        let path = target.local().alerts();
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        text.resize(text.len().next_multiple_of(RESERVED_BYTES), b' ');
        match files::write_atomic(&path, &text) {
            Err(error)
                if fs::metadata(&path).is_ok_and(|former| former.len() >= text.len() as u64) =>
            {
                overwrite(&path, &mut text).map_err(|_| error)
            }
            written => written,
        }
    }

    /// Locks the alert state until the file is closed; `None` if another alert run holds the lock.
    ///
    /// # Errors
    /// Returns the operating system's error.
    pub fn try_lock(target: &Store) -> io::Result<Option<File>> {
        let path = files::with_suffix(&target.local().alerts(), ".lock");
        let file = lock::open_lock_file(&path)?;
        Ok(lock::try_lock(&file, Mode::Exclusive)?.is_none().then_some(file))
    }

    /// Records since when the same process has held the lakehouse.
    pub fn track_holder(&mut self, holder: Option<&LockHolder>, now: Timestamp) {
        let same =
            self.held.take().filter(|held| holder.is_some_and(|holder| holder.pid == held.pid));
        self.held = holder.map(|holder| same.unwrap_or(HeldSince { pid: holder.pid, since: now }));
    }

    /// Records that a message was delivered, or why it was not.
    pub fn track_delivery(&mut self, failure: Option<&str>, now: Timestamp) {
        let before = self.undelivered.take();
        self.undelivered = failure.map(|error| Undelivered {
            since: before.map_or(now, |before| before.since),
            error: error.to_owned(),
            messages: self.outbox.len(),
        });
    }

    /// Returns the messages due for the current findings: one alert when an incident begins, one
    /// recovery when an alerted incident ends, and no other alert of the same condition within the
    /// cool-down. An incident that begins within the cool-down is reported when the cool-down ends,
    /// even if the incident has ended.
    pub fn transitions(
        &mut self,
        findings: &[Finding],
        now: Timestamp,
        cool_down: Duration,
    ) -> Vec<Message> {
        let mut news = Vec::new();
        let over: Vec<String> = self
            .wrong
            .keys()
            .filter(|key| !findings.iter().any(|one| one.condition.key() == **key))
            .cloned()
            .collect();
        for key in over {
            let Some(incident) = self.wrong.remove(&key) else { continue };
            if incident.reported {
                let Incident { since, text, .. } = incident;
                news.push(Message::new(MessageKind::Recovery, &key, &text, since, now));
            } else {
                self.keep_unreported(key, incident, now);
            }
        }
        for finding in findings {
            let key = finding.condition.key();
            let has_cooled = self.has_cooled(&key, now, cool_down);
            let incident = self.wrong.entry(key.clone()).or_insert_with(|| Incident {
                since: now,
                text: String::new(),
                reported: false,
            });
            incident.text.clone_from(&finding.text);
            if incident.reported || !has_cooled {
                continue;
            }
            incident.reported = true;
            let since = incident.since;
            let text = match self.unreported.remove(&key) {
                Some(before) => format!("{} (again: {})", finding.text, before.summary()),
                None => finding.text.clone(),
            };
            self.alerted.insert(key.clone(), now);
            news.push(Message::new(MessageKind::Alert, &key, &text, since, now));
        }
        news.extend(self.report_past(now, cool_down));
        news
    }

    fn has_cooled(&self, key: &str, now: Timestamp, cool_down: Duration) -> bool {
        self.alerted.get(key).is_none_or(|last| {
            // A clock that went backwards must not suppress alerts.
            Duration::try_from(now.duration_since(*last)).is_ok_and(|passed| passed >= cool_down)
                || *last > now
        })
    }

    fn keep_unreported(&mut self, key: String, incident: Incident, now: Timestamp) {
        let before = self.unreported.remove(&key);
        let (since, times) =
            before.map_or((incident.since, 0), |before| (before.since, before.times));
        let text = incident.text;
        self.unreported.insert(key, Unreported { since, until: now, times: times + 1, text });
    }

    /// Reports incidents that ended before the cool-down did.
    fn report_past(&mut self, now: Timestamp, cool_down: Duration) -> Vec<Message> {
        let due: Vec<String> = self
            .unreported
            .keys()
            .filter(|key| !self.wrong.contains_key(*key) && self.has_cooled(key, now, cool_down))
            .cloned()
            .collect();
        let mut news = Vec::new();
        for key in due {
            let Some(past) = self.unreported.remove(&key) else { continue };
            let text = format!("{} ({})", past.text, past.summary());
            self.alerted.insert(key.clone(), now);
            news.push(Message::new(MessageKind::Recovery, &key, &text, past.since, now));
        }
        news
    }
}

/// Replaces the content of a file without requiring space. A crash in between leaves an unparsable
/// file, which is equivalent to no state.
fn overwrite(path: &Path, text: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let length = file.metadata()?.len();
    text.resize(usize::try_from(length).unwrap_or(usize::MAX).max(text.len()), b' ');
    file.write_all(text)?;
    file.sync_all()
}

impl Unreported {
    /// Describes when the incidents occurred.
    fn summary(&self) -> String {
        let at = |at: Timestamp| at.strftime("%H:%M").to_string();
        let (since, until) = (at(self.since), at(self.until));
        match self.times {
            1 => format!("from {since} to {until} UTC, within the cool-down"),
            times => format!("{times} times from {since} to {until} UTC, within the cool-down"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::status::Condition;

    const HOUR: Duration = Duration::from_hours(1);

    /// Returns the message at each of these minutes, given whether the condition holds (`true`) or
    /// not.
    fn messages_of(checks: &[(i64, bool)]) -> Vec<(i64, MessageKind)> {
        let finding = Finding { condition: Condition::Stale, text: "stale".to_owned() };
        let (mut state, mut sent) = (AlertState::default(), Vec::new());
        for (minute, wrong) in checks {
            let now = Timestamp::from_second(1_795_000_000 + minute * 60).unwrap();
            let findings = if *wrong { std::slice::from_ref(&finding) } else { &[] };
            // The saved state is loaded again before it is continued.
            state = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
            sent.extend(
                state
                    .transitions(findings, now, HOUR)
                    .into_iter()
                    .map(|message| (*minute, message.kind)),
            );
        }
        sent
    }

    #[test]
    fn each_change_of_state_is_sent_once() {
        let checks = [(0, false), (1, true), (2, true), (90, true), (91, false), (92, false)];
        assert_eq!(messages_of(&checks), [(1, MessageKind::Alert), (91, MessageKind::Recovery)]);
    }

    #[test]
    fn nothing_is_sent_during_the_cool_down_and_lasting_problems_after_it() {
        let flaps = [(0, true), (1, false), (2, true), (3, false), (4, true), (59, true)];
        assert_eq!(messages_of(&flaps), [(0, MessageKind::Alert), (1, MessageKind::Recovery)]);
        let passes = [(0, true), (1, false), (2, true), (3, false), (59, false), (60, false)];
        assert_eq!(
            messages_of(&passes),
            [(0, MessageKind::Alert), (1, MessageKind::Recovery), (60, MessageKind::Recovery)],
            "an incident that is over is reported too"
        );
        let returns = [(0, true), (1, false), (2, true), (3, false), (90, true), (91, false)];
        assert_eq!(
            messages_of(&returns),
            [
                (0, MessageKind::Alert),
                (1, MessageKind::Recovery),
                (90, MessageKind::Alert),
                (91, MessageKind::Recovery)
            ]
        );
        let stays = [(0, true), (1, false), (2, true), (60, true), (61, true), (62, false)];
        assert_eq!(
            messages_of(&stays),
            [
                (0, MessageKind::Alert),
                (1, MessageKind::Recovery),
                (60, MessageKind::Alert),
                (62, MessageKind::Recovery)
            ]
        );
    }

    #[test]
    fn an_incident_within_the_cool_down_is_reported_with_its_times() {
        let finding = Finding { condition: Condition::Stale, text: "stale".to_owned() };
        let mut state = AlertState::default();
        let mut texts = Vec::new();
        for (minute, wrong) in
            [(0, true), (1, false), (2, true), (3, false), (5, true), (9, false), (60, false)]
        {
            let now = Timestamp::from_second(1_795_000_000 + minute * 60).unwrap();
            let findings = if wrong { std::slice::from_ref(&finding) } else { &[] };
            texts.extend(
                state.transitions(findings, now, HOUR).into_iter().map(|one| one.to_string()),
            );
        }
        assert_eq!(
            texts,
            [
                "stale",
                "over: stale",
                "over: stale (2 times from 11:08 to 11:15 UTC, within the cool-down)"
            ]
        );
    }

    #[test]
    fn a_receiver_that_does_not_answer_is_remembered_from_the_first_failure_on() {
        let at = |minute: i64| Timestamp::from_second(1_795_000_000 + minute * 60).unwrap();
        let mut state = AlertState::default();
        state.track_delivery(Some("it answers with status 503"), at(0));
        state.track_delivery(Some("connection refused"), at(5));
        let undelivered = state.undelivered.clone().unwrap();
        assert_eq!((undelivered.since, undelivered.error.as_str()), (at(0), "connection refused"));
        state.track_delivery(None, at(6));
        assert_eq!(state.undelivered, None);
    }

    #[test]
    fn different_things_do_not_silence_one_another() {
        let now = Timestamp::from_second(1_795_000_000).unwrap();
        let mut state = AlertState::default();
        let one =
            Finding { condition: Condition::PipelineFailed("a".to_owned()), text: "a".to_owned() };
        let other =
            Finding { condition: Condition::PipelineFailed("b".to_owned()), text: "b".to_owned() };
        assert_eq!(state.transitions(std::slice::from_ref(&one), now, HOUR).len(), 1);
        assert_eq!(state.transitions(&[one, other], now, HOUR).len(), 1);
    }

    #[test]
    fn holding_is_counted_for_one_holder_and_without_a_break() {
        let at = |minute: i64| Timestamp::from_second(1_795_000_000 + minute * 60).unwrap();
        let holder = |pid| LockHolder { pid: Some(pid), command: None, running: None };
        let mut state = AlertState::default();
        state.track_holder(Some(&holder(1)), at(0));
        state.track_holder(Some(&holder(1)), at(5));
        assert_eq!(state.held.as_ref().unwrap().since, at(0));
        state.track_holder(Some(&holder(2)), at(6));
        assert_eq!(state.held.as_ref().unwrap().since, at(6));
        state.track_holder(None, at(7));
        assert_eq!(state.held, None);
    }
}
