//! Sends alerts and heartbeats to webhooks.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use serde_json::json;

use super::{Message, MessageKind};
use crate::settings::Secret;

/// Timeout of a request, from name resolution to the response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a connection to a receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why sending failed. The URL is secret and not part of the error.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The receiver rejected the message.
    #[error("it responded with status {0}")]
    Status(u16),
    /// The receiver cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// Sends alerts and heartbeats.
pub struct WebhookClient {
    agent: ureq::Agent,
    service: String,
    served: String,
}

impl WebhookClient {
    /// `service` is the name of the sender, `served` the served data.
    #[must_use]
    pub fn new(service: &str, served: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent("materia")
            .build()
            .new_agent();
        Self { agent, service: service.to_owned(), served: served.to_owned() }
    }

    /// Sends one message as JSON: `text` for Slack and people, the rest for machines.
    ///
    /// # Errors
    /// The message did not arrive, or was rejected.
    pub fn send(&self, webhook: &Secret, message: &Message) -> Result<(), SendError> {
        let (state, mark) = match message.kind {
            MessageKind::Alert => ("firing", "ALERT"),
            MessageKind::Recovery => ("resolved", "OK"),
            MessageKind::Test => ("test", "TEST"),
        };
        let body = json!({
            "text": escape_slack(&format!("[{mark}] {}: {message}", self.service)),
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

    /// Sends a heartbeat.
    ///
    /// # Errors
    /// The heartbeat did not arrive, or was rejected.
    pub fn send_heartbeat(&self, heartbeat: &Secret) -> Result<(), SendError> {
        self.agent.get(heartbeat.reveal()).call().map(drop).map_err(explain)
    }
}

/// Connects to a receiver without sending anything, and returns its host, which is not secret.
///
/// # Errors
/// The reason why it cannot be reached.
pub fn check_receiver(address: &Secret) -> Result<String, String> {
    let url =
        url::Url::parse(address.reveal()).map_err(|_| "its address cannot be used".to_owned())?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let wrong = |error: std::io::Error| format!("{host} cannot be reached: {error}");
    let mut last = format!("{host} has no address");
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs().map_err(wrong)? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(host),
            Err(error) => last = wrong(error),
        }
    }
    Err(last)
}

/// Escapes Slack's control characters, such as those of mentions.
fn escape_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn explain(error: ureq::Error) -> SendError {
    match error {
        ureq::Error::StatusCode(status) => SendError::Status(status),
        // The error would contain the URL.
        ureq::Error::BadUri(_) => SendError::Unreachable("its address cannot be used".to_owned()),
        ureq::Error::Timeout(_) => SendError::Unreachable(format!(
            "it did not respond within {}",
            crate::humanize::duration(REQUEST_TIMEOUT)
        )),
        other => SendError::Unreachable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pipeline_printed_cannot_call_a_whole_channel() {
        assert_eq!(
            escape_slack("exit code 1: <!channel> a & b"),
            "exit code 1: &lt;!channel&gt; a &amp; b"
        );
    }
}
