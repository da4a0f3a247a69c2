//! Sending, to whoever listens.

use std::time::Duration;

use serde_json::json;

use super::{Kind, Message};
use crate::settings::Secret;

/// How long a receiver may take, from its name to its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why something could not be sent. The address is secret and is not told.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It answered that it does not take it.
    #[error("it answers with status {0}")]
    Status(u16),
    /// It cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// Who alerts and heartbeats are sent to.
pub struct Receiver {
    agent: ureq::Agent,
    service: String,
    served: String,
}

impl Receiver {
    /// `service` is whose alerts these are, `served` what they are about.
    #[must_use]
    pub fn new(service: &str, served: &str) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).user_agent("materia").build().new_agent();
        Self { agent, service: service.to_owned(), served: served.to_owned() }
    }

    /// Sends one message as JSON: `text` for Slack and people, the rest for machines.
    ///
    /// # Errors
    /// It did not arrive, or was not taken.
    pub fn send(&self, webhook: &Secret, message: &Message) -> Result<(), SendError> {
        let (state, mark) = match message.kind {
            Kind::Alert => ("firing", "ALERT"),
            Kind::Recovery => ("resolved", "OK"),
            Kind::Test => ("test", "TEST"),
        };
        let body = json!({
            "text": for_slack(&format!("[{mark}] {}: {message}", self.service)),
            "service": self.service,
            "status": state,
            "condition": message.condition,
            "message": message.text,
            "since": message.since,
            "at": message.at,
            "served": self.served,
            "id": message.id,
        });
        let request = self.agent.post(webhook.reveal()).header("content-type", "application/json");
        request.send(body.to_string()).map(drop).map_err(explain)
    }

    /// Tells that all is well.
    ///
    /// # Errors
    /// It did not arrive, or was not taken.
    pub fn beat(&self, heartbeat: &Secret) -> Result<(), SendError> {
        self.agent.get(heartbeat.reveal()).call().map(drop).map_err(explain)
    }
}

/// Text in which nothing is one of Slack's signs, such as those that call everybody.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn explain(error: ureq::Error) -> SendError {
    match error {
        ureq::Error::StatusCode(status) => SendError::Status(status),
        // It would show the address.
        ureq::Error::BadUri(_) => SendError::Unreachable("its address cannot be used".to_owned()),
        ureq::Error::Timeout(_) => SendError::Unreachable(format!("it did not answer within {}", crate::words::duration(PATIENCE))),
        other => SendError::Unreachable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pipeline_printed_cannot_call_a_whole_channel() {
        assert_eq!(for_slack("exit code 1: <!channel> a & b"), "exit code 1: &lt;!channel&gt; a &amp; b");
    }
}
