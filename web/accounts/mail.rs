//! Mail: through SMTP, or kept for the dev mailbox. Requests never wait for it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox as Person, header::ContentType},
};
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use tokio::{sync::mpsc, task::JoinHandle};
use url::Url;

use super::{
    email::Email,
    secret,
    settings::{AccountSettings, SettingError},
    store::{Store, StoreError, Transaction},
};

/// Letters that wait to be sent; more are dropped and told as failed.
const QUEUE: usize = 256;
/// Letters that the dev mailbox keeps.
const KEPT: usize = 50;
/// How long to wait before each further attempt.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// What is to be sent. Nothing in it comes from whoever asked for it, but the address: nobody can have us write to others in their words.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// The row of the mail log.
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) to: Email,
    pub(crate) subject: String,
    /// Holds links that sign somebody in.
    pub(crate) text: String,
}

/// One row of the mail log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailRow {
    pub(crate) at: Timestamp,
    pub(crate) recipient: String,
    pub(crate) subject: String,
    pub(crate) state: String,
    pub(crate) problem: String,
}

impl FromRow<'_, SqliteRow> for MailRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            at: super::time(row.try_get("at")?),
            recipient: row.try_get("recipient")?,
            subject: row.try_get("subject")?,
            state: row.try_get("state")?,
            problem: row.try_get("problem")?,
        })
    }
}

/// Where letters go.
#[derive(Clone)]
pub(super) enum Post {
    /// To a mail server, by a task of its own, which ends at the first nothing.
    Smtp { queue: mpsc::Sender<Option<Letter>>, worker: Arc<Mutex<Option<JoinHandle<()>>>> },
    /// Nowhere: debug without a mail server. The newest is the first.
    Mailbox(Arc<Mutex<VecDeque<Letter>>>),
    /// Nowhere: there is no mail server.
    None,
}

impl Post {
    pub(super) fn new(settings: &AccountSettings, store: &Store) -> Result<Self, SettingError> {
        let Some(url) = &settings.smtp else {
            return Ok(if settings.debug { Self::Mailbox(Arc::default()) } else { Self::None });
        };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal())
            .map_err(|_| SettingError { variable: "SMTP_URL", problem: "it cannot be used".to_owned() })?;
        let transport = transport.timeout(Some(Duration::from_secs(20))).build();
        let (queue, letters) = mpsc::channel(QUEUE);
        let worker = tokio::spawn(send_all(letters, transport, settings.clone(), store.clone()));
        Ok(Self::Smtp { queue, worker: Arc::new(Mutex::new(Some(worker))) })
    }

    /// Whether letters reach anybody.
    pub(super) fn works(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Hands a letter over; its row of the mail log has been written. What cannot be sent is told there.
    pub(super) async fn send(&self, store: &Store, letter: Letter) {
        match self {
            Self::Smtp { queue, .. } => {
                let id = letter.id.clone();
                if queue.try_send(Some(letter)).is_err() {
                    settle(store, &id, "failed", "too many letters wait to be sent").await;
                }
            }
            Self::Mailbox(letters) => {
                settle(store, &letter.id, "sent", "kept in the dev mailbox").await;
                tracing::info!(id = letter.id, "there is no SMTP_URL; the letter is in /dev/mailbox");
                let mut letters = letters.lock().unwrap_or_else(PoisonError::into_inner);
                letters.push_front(letter);
                letters.truncate(KEPT);
            }
            Self::None => settle(store, &letter.id, "failed", "SMTP_URL is not set").await,
        }
    }

    /// What the dev mailbox holds, newest first; nothing where letters are really sent.
    pub(super) fn kept(&self) -> Vec<Letter> {
        match self {
            Self::Mailbox(letters) => letters.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect(),
            Self::Smtp { .. } | Self::None => Vec::new(),
        }
    }

    /// Sends what waits.
    pub(super) async fn finish(self) {
        if let Self::Smtp { queue, worker } = self {
            let worker = worker.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(worker) = worker
                && queue.send(None).await.is_ok()
            {
                let _ = tokio::time::timeout(Duration::from_secs(10), worker).await;
            }
        }
    }
}

/// Writes the row of the mail log, in the transaction of what the letter is about.
pub(super) async fn log(turn: &mut Transaction, now: Timestamp, to: Email, subject: String, text: String) -> Result<Letter, StoreError> {
    let id = secret::random_id()?;
    sqlx::query("INSERT INTO mails (id, at, recipient, subject, state) VALUES ($1, $2, $3, $4, 'queued')")
        .bind(&id)
        .bind(now.as_second())
        .bind(to.as_str())
        .bind(&subject)
        .execute(&mut **turn)
        .await?;
    Ok(Letter { id, at: now, to, subject, text })
}

async fn send_all(
    mut letters: mpsc::Receiver<Option<Letter>>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    settings: AccountSettings,
    store: Store,
) {
    while let Some(Some(letter)) = letters.recv().await {
        let message = match compose(&letter, &settings) {
            Ok(message) => message,
            Err(problem) => {
                settle(&store, &letter.id, "failed", &problem).await;
                continue;
            }
        };
        let mut waits = AGAIN.into_iter();
        let (state, problem) = loop {
            match transport.send(message.clone()).await {
                Ok(_) => break ("sent", String::new()),
                Err(error) if error.is_permanent() => break ("failed", error.to_string()),
                Err(error) => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => break ("failed", error.to_string()),
                },
            }
        };
        if state == "failed" {
            tracing::error!(id = letter.id, problem = without_addresses(&problem), "a letter could not be sent");
        }
        settle(&store, &letter.id, state, &problem).await;
    }
}

/// What a mail server said, for the log: servers like to repeat to whom they would not send.
fn without_addresses(said: &str) -> String {
    let hidden = |word: &str| if word.contains('@') { "(address)".to_owned() } else { word.to_owned() };
    said.split(' ').map(hidden).collect::<Vec<_>>().join(" ")
}

async fn settle(store: &Store, id: &str, state: &'static str, problem: &str) {
    let update = sqlx::query("UPDATE mails SET state = $1, problem = $2 WHERE id = $3");
    if let Err(error) = update.bind(state).bind(problem).bind(id).execute(store.pool()).await {
        tracing::error!(%error, id, "the mail log could not be written");
    }
}

/// The letter as it travels. Headers are written by lettre, which encodes what could end a line.
fn compose(letter: &Letter, settings: &AccountSettings) -> Result<Message, String> {
    let address = |email: &Email| email.as_str().parse::<Address>().map_err(|error| error.to_string());
    let host = settings.mail_from.as_str().rsplit('@').next().unwrap_or("localhost");
    Message::builder()
        .from(Person::new(None, address(&settings.mail_from)?))
        .to(Person::new(None, address(&letter.to)?))
        .subject(letter.subject.replace(char::is_control, " "))
        .message_id(Some(format!("<{}@{host}>", letter.id)))
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.clone())
        .map_err(|error| error.to_string())
}

/// Says what is wrong with an `SMTP_URL`, without repeating it.
pub(super) fn check_smtp(text: &str) -> Result<(), String> {
    let form = "write for example smtps://user:password@mail.example.com";
    let url = Url::parse(text).map_err(|_| format!("it is not an address; {form}"))?;
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return Err(format!("it names no host; {form}")) };
    let starts_tls = url.query_pairs().any(|(key, value)| key == "tls" && value == "required");
    let near = host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "smtps" => {}
        "smtp" if starts_tls || near => {}
        "smtp" => return Err("smtp:// would send the password in the clear; write smtps://, or add ?tls=required for STARTTLS".to_owned()),
        _ => return Err(format!("it begins neither with smtps:// nor with smtp://; {form}")),
    }
    AsyncSmtpTransport::<Tokio1Executor>::from_url(text).map(|_| ()).map_err(|_| format!("it cannot be used; {form}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn composed(subject: &str) -> String {
        let settings = AccountSettings::new(&materia::settings::Settings::load(None, &|_| None).unwrap()).unwrap();
        let letter = Letter {
            id: "1f".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            to: "ana@example.com".parse().unwrap(),
            subject: subject.to_owned(),
            text: "one\n.\ntwo\n".to_owned(),
        };
        String::from_utf8(compose(&letter, &settings).unwrap().formatted()).unwrap()
    }

    #[test]
    fn nothing_in_a_letter_becomes_another_header() {
        for subject in ["Sign in\r\nBcc: eve@example.com", "Sign in\nBcc: eve@example.com", "Sign in\rBcc: eve@example.com", "S\u{0}\u{7}"]
        {
            let text = composed(subject);
            let headers = text.split_once("\r\n\r\n").unwrap().0;
            let names: Vec<_> = headers.lines().filter_map(|line| line.split_once(": ").map(|(name, _)| name)).collect();
            assert_eq!(names, ["From", "To", "Subject", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "Date"], "{text}");
            assert!(!headers.contains('\0'));
        }
    }

    #[test]
    fn a_mail_server_is_spoken_to_in_secret_or_nearby() {
        for right in
            ["smtps://user:pw@mail.example", "smtp://mail.example:587?tls=required", "smtp://127.0.0.1:2525", "smtp://localhost:25"]
        {
            assert_eq!(check_smtp(right), Ok(()), "{right}");
        }
        for wrong in [
            "smtp://user:pw@mail.example",
            "smtp://user:pw@mail.example?tls=opportunistic",
            "mail.example",
            "smtps://",
            "https://mail.example",
        ] {
            assert!(check_smtp(wrong).is_err(), "{wrong}");
        }
    }
}
