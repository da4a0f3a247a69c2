//! What is known to be wrong, what has been told, and what is still to be sent.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    files,
    lock::{self, Holder, Mode},
    status::Finding,
    target::Target,
};

/// Everything that alerts remember from one look to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What is wrong now, by the condition's name.
    pub wrong: BTreeMap<String, Episode>,
    /// When each condition was last alerted.
    pub alerted: BTreeMap<String, Timestamp>,
    /// Who holds the lakehouse.
    pub held: Option<Held>,
    /// What could not be sent yet, oldest first.
    pub outbox: Vec<Message>,
}

/// Something that is wrong, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// When it was first seen.
    pub since: Timestamp,
    /// What it is, in words.
    pub text: String,
    /// Whether it was alerted: where it began within the cool-down, it is not until that is over.
    pub told: bool,
}

/// A process that holds the lakehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which; absent where the system does not tell.
    pub pid: Option<u32>,
    /// When it was first seen to.
    pub since: Timestamp,
}

/// Whether something began or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It began.
    Alert,
    /// It is over.
    Recovery,
    /// Somebody wants to see whether alerts arrive.
    Test,
}

/// One thing to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same for every try to send it.
    pub id: String,
    /// What kind.
    pub kind: Kind,
    /// The condition's name, for machines.
    pub condition: String,
    /// What it is, in words.
    pub text: String,
    /// When it began.
    pub since: Timestamp,
    /// When it was decided to tell.
    pub at: Timestamp,
}

impl Message {
    /// Something to tell about a condition.
    #[must_use]
    pub fn new(kind: Kind, condition: &str, text: &str, since: Timestamp, at: Timestamp) -> Self {
        let word = match kind {
            Kind::Alert => "alert",
            Kind::Recovery => "recovery",
            Kind::Test => "test",
        };
        let id = format!("{condition}-{word}-{}", at.as_millisecond());
        Self { id, kind, condition: condition.to_owned(), text: text.to_owned(), since, at }
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Alert => f.write_str(&self.text),
            Kind::Recovery => write!(f, "over: {}", self.text),
            Kind::Test => write!(f, "test: {}", self.text),
        }
    }
}

impl State {
    /// As it was left; empty where there is none or where it cannot be understood.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn load(target: &Target) -> io::Result<Self> {
        match fs::read(target.alerts()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            // Then what is wrong is told again: better than not at all.
            text => Ok(serde_json::from_slice(&text?).unwrap_or_default()),
        }
    }

    /// Keeps it, whole or not at all.
    ///
    /// # Errors
    /// The operating system's.
    pub fn save(&self, target: &Target) -> io::Result<()> {
        files::write_whole(&target.alerts(), &serde_json::to_vec_pretty(self)?)
    }

    /// Takes the turn to look and tell, for as long as the file lives; `None` where somebody else has it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn turn(target: &Target) -> io::Result<Option<File>> {
        let path = files::with_suffix(&target.alerts(), ".lock");
        let file = File::options().read(true).write(true).create(true).truncate(false).open(Path::new(&path))?;
        Ok(lock::try_lock(&file, Mode::Exclusive)?.is_none().then_some(file))
    }

    /// Remembers since when the same process holds the lakehouse.
    pub fn see_holder(&mut self, holder: Option<&Holder>, now: Timestamp) {
        let same = self.held.take().filter(|held| holder.is_some_and(|holder| holder.pid == held.pid));
        self.held = holder.map(|holder| same.unwrap_or(Held { pid: holder.pid, since: now }));
    }

    /// What of all that is wrong is news: one alert when something begins, one recovery when something that was alerted is over, and no other
    /// alert of the same condition within the cool-down.
    pub fn decide(&mut self, findings: &[Finding], now: Timestamp, cool_down: Duration) -> Vec<Message> {
        let mut news = Vec::new();
        let over: Vec<String> = self.wrong.keys().filter(|key| !findings.iter().any(|one| one.condition.key() == **key)).cloned().collect();
        for key in over {
            if let Some(episode) = self.wrong.remove(&key).filter(|episode| episode.told) {
                news.push(Message::new(Kind::Recovery, &key, &episode.text, episode.since, now));
            }
        }
        for finding in findings {
            let key = finding.condition.key();
            let cooled = self.alerted.get(&key).is_none_or(|last| {
                // A clock that went backwards silences nobody.
                Duration::try_from(now.duration_since(*last)).is_ok_and(|passed| passed >= cool_down) || *last > now
            });
            let episode = self.wrong.entry(key.clone()).or_insert_with(|| Episode { since: now, text: String::new(), told: false });
            episode.text.clone_from(&finding.text);
            if !episode.told && cooled {
                episode.told = true;
                self.alerted.insert(key.clone(), now);
                news.push(Message::new(Kind::Alert, &key, &finding.text, episode.since, now));
            }
        }
        news
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::status::Condition;

    const HOUR: Duration = Duration::from_hours(1);

    /// What is told at each of these minutes, where something is wrong (`true`) or not.
    fn told(looks: &[(i64, bool)]) -> Vec<(i64, Kind)> {
        let finding = Finding { condition: Condition::Stale, text: "stale".to_owned() };
        let (mut state, mut told) = (State::default(), Vec::new());
        for (minute, wrong) in looks {
            let now = Timestamp::from_second(1_795_000_000 + minute * 60).unwrap();
            let findings = if *wrong { std::slice::from_ref(&finding) } else { &[] };
            // What was kept in a file is what is gone on with.
            state = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
            told.extend(state.decide(findings, now, HOUR).into_iter().map(|message| (*minute, message.kind)));
        }
        told
    }

    #[test]
    fn each_edge_is_told_once() {
        let looks = [(0, false), (1, true), (2, true), (90, true), (91, false), (92, false)];
        assert_eq!(told(&looks), [(1, Kind::Alert), (91, Kind::Recovery)]);
    }

    #[test]
    fn nothing_is_told_during_the_cool_down_and_what_is_still_wrong_after_it() {
        let flaps = [(0, true), (1, false), (2, true), (3, false), (4, true), (59, true)];
        assert_eq!(told(&flaps), [(0, Kind::Alert), (1, Kind::Recovery)]);
        let stays = [(0, true), (1, false), (2, true), (60, true), (61, true), (62, false)];
        assert_eq!(told(&stays), [(0, Kind::Alert), (1, Kind::Recovery), (60, Kind::Alert), (62, Kind::Recovery)]);
    }

    #[test]
    fn different_things_do_not_silence_one_another() {
        let now = Timestamp::from_second(1_795_000_000).unwrap();
        let mut state = State::default();
        let one = Finding { condition: Condition::PipelineFailed("a".to_owned()), text: "a".to_owned() };
        let other = Finding { condition: Condition::PipelineFailed("b".to_owned()), text: "b".to_owned() };
        assert_eq!(state.decide(std::slice::from_ref(&one), now, HOUR).len(), 1);
        assert_eq!(state.decide(&[one, other], now, HOUR).len(), 1);
    }

    #[test]
    fn holding_is_counted_for_one_holder_and_without_a_break() {
        let at = |minute: i64| Timestamp::from_second(1_795_000_000 + minute * 60).unwrap();
        let holder = |pid| Holder { pid: Some(pid), command: None, running: None };
        let mut state = State::default();
        state.see_holder(Some(&holder(1)), at(0));
        state.see_holder(Some(&holder(1)), at(5));
        assert_eq!(state.held.as_ref().unwrap().since, at(0));
        state.see_holder(Some(&holder(2)), at(6));
        assert_eq!(state.held.as_ref().unwrap().since, at(6));
        state.see_holder(None, at(7));
        assert_eq!(state.held, None);
    }
}
