//! Outgoing email: queued in the store and sent through SMTP by a separate task, or stored in the
//! dev mailbox.
//!
//! The queue survives restarts, and servers that share a store share it. A queued text contains no
//! secret: the token of its link is created when the email is sent.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use materia::humanize;
use sqlx::{FromRow, Row};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use url::Url;

use super::{
    email::Email,
    settings::{AccountSettings, SettingError},
    store::{Store, StoreError, StoredRow, Transaction},
    token::{self, Token},
};
use crate::app::Clock;

/// Capacity of the dev mailbox.
const MAILBOX_CAPACITY: usize = 50;
/// The delay before each further attempt, in seconds. After the last one an email has failed.
const RETRY_DELAYS: [i64; 6] = [2, 15, 60, 180, 300, 600];
/// How long one attempt may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a check waits for the mail server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an email belongs to the server that sends it; after that, the server is considered
/// dead. In seconds, and longer than [`SEND_TIMEOUT`].
const LEASE_SECONDS: i64 = 60;
/// Emails that could not be sent for this long are discarded, in seconds.
const MAX_AGE_SECONDS: i64 = 86_400;
/// How often the queue is checked for emails of servers that died.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// How long a server that is stopping may continue sending.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request waits for the outcome of the first attempt.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(2);
/// Replaces the token in a queued text.
const TOKEN_PLACEHOLDER: &str = "{token}";

/// An email to be sent. Nothing in it was written by the person who requested it except for the
/// address, so that nobody can send text to others through the site.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// The id of its row in the mail log.
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) to: Email,
    pub(crate) subject: String,
    /// May contain links that sign in.
    pub(crate) text: String,
    /// What it has besides its text.
    pub(crate) rich: Option<RichBody>,
}

/// What an email has besides its text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct RichBody {
    /// The same as HTML, with the pictures that it shows under `cid:NAME`.
    pub(crate) html: Option<String>,
    /// Names and PNGs.
    pub(crate) images: Vec<(String, Vec<u8>)>,
    /// The address that ends such emails with one click (RFC 8058).
    pub(crate) unsubscribe: Option<String>,
}

/// A [`RichBody`] in the store.
#[derive(serde::Serialize, serde::Deserialize)]
struct StoredBody {
    html: Option<String>,
    /// Names, and PNGs in Base64.
    images: Vec<(String, String)>,
    #[serde(default)]
    unsubscribe: Option<String>,
}

impl RichBody {
    fn to_stored(&self) -> String {
        let images = self.images.iter().map(|(name, png)| (name.clone(), STANDARD.encode(png)));
        let stored = StoredBody {
            html: self.html.clone(),
            images: images.collect(),
            unsubscribe: self.unsubscribe.clone(),
        };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Parses the stored form; an unreadable one is left out, since the text says the same.
    fn from_stored(text: &str) -> Option<Self> {
        let StoredBody { html, images, unsubscribe } = serde_json::from_str(text).ok()?;
        let images = images.into_iter().map(|(name, png)| Some((name, STANDARD.decode(png).ok()?)));
        Some(Self { html, images: images.collect::<Option<_>>()?, unsubscribe })
    }
}

/// The content of an email that is not yet in the mail log.
pub(super) struct NewMail<'a> {
    pub(super) to: Email,
    pub(super) subject: String,
    pub(super) text: String,
    /// The token in the text, if it has a link.
    pub(super) token: Option<&'a Token>,
}

/// The known state of an email when the response is sent to the request that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It was sent, or is about to be.
    Accepted,
    /// The first attempt failed; there will be others.
    Delayed,
    /// It will not be sent.
    Failed,
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

impl FromRow<'_, StoredRow> for MailRow {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            at: super::time(row.try_get("at")?),
            recipient: row.try_get("recipient")?,
            subject: row.try_get("subject")?,
            state: row.try_get("state")?,
            problem: row.try_get("problem")?,
        })
    }
}

/// The destination of email.
#[derive(Clone)]
pub(super) enum Mailer {
    /// A mail server, through a separate task.
    Smtp(Arc<Queue>),
    /// Memory, in debug mode without a mail server; newest first.
    DevMailbox(Arc<Mutex<VecDeque<OutgoingMail>>>),
    /// Nowhere: no mail server is configured.
    None,
}

/// The task that sends queued emails, and its channels.
pub(super) struct Queue {
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    worker: Mutex<Option<JoinHandle<()>>>,
    outcomes: Outcomes,
}

/// The requests that wait for the outcome of an attempt, by the email's id.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<HashMap<String, oneshot::Sender<Delivery>>>>);

impl Outcomes {
    fn expect(&self, id: &str) -> oneshot::Receiver<Delivery> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), sender);
        receiver
    }

    fn report(&self, id: &str, delivery: Delivery) {
        if let Some(sender) = self.forget(id) {
            // The request may have stopped waiting.
            let _ = sender.send(delivery);
        }
    }

    fn forget(&self, id: &str) -> Option<oneshot::Sender<Delivery>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

impl Mailer {
    pub(super) fn new(
        settings: &AccountSettings,
        store: &Store,
        clock: &Clock,
    ) -> Result<Self, SettingError> {
        let Some(url) = &settings.smtp else {
            return Ok(if settings.debug { Self::DevMailbox(Arc::default()) } else { Self::None });
        };
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal()).map_err(|_| {
                SettingError { variable: "SMTP_URL", problem: "it cannot be used".to_owned() }
            })?;
        let (stop, stopping) = watch::channel(false);
        let (wake, outcomes) = (Arc::new(Notify::new()), Outcomes::default());
        let worker = Worker {
            transport: transport.timeout(Some(SEND_TIMEOUT)).build(),
            settings: settings.clone(),
            store: store.clone(),
            clock: clock.clone(),
            wake: wake.clone(),
            stopping,
            outcomes: outcomes.clone(),
        };
        let worker = Mutex::new(Some(tokio::spawn(worker.run())));
        Ok(Self::Smtp(Arc::new(Queue { wake, stop, worker, outcomes })))
    }

    /// Returns whether email is delivered.
    pub(super) fn is_configured(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Inserts the row of the mail log, in the transaction of the change that the email is about.
    /// With a mail server the text is queued with it.
    pub(super) async fn enqueue(
        &self,
        tx: &mut Transaction,
        now: Timestamp,
        mail: NewMail<'_>,
    ) -> Result<OutgoingMail, StoreError> {
        self.enqueue_rich(tx, now, mail, None).await
    }

    /// Works like [`Self::enqueue`], for an email that is more than its text.
    pub(super) async fn enqueue_rich(
        &self,
        tx: &mut Transaction,
        now: Timestamp,
        mail: NewMail<'_>,
        rich: Option<RichBody>,
    ) -> Result<OutgoingMail, StoreError> {
        let NewMail { to, subject, text, token } = mail;
        let id = token::random_id()?;
        let is_queued = matches!(self, Self::Smtp(_));
        let queued_text = is_queued.then(|| match token {
            Some(token) => text.replace(token.reveal(), TOKEN_PLACEHOLDER),
            None => text.clone(),
        });
        sqlx::query(
            "INSERT INTO mails (id, at, recipient, subject, state, body, token_hash, due_at, rich) VALUES ($1, $2, $3, $4, 'queued', $5, $6, $2, $7)",
        )
        .bind(&id)
        .bind(now.as_second())
        .bind(to.as_str())
        .bind(&subject)
        .bind(queued_text)
        .bind(token.map(|token| token.hash().as_str().to_owned()))
        .bind(rich.as_ref().filter(|_| is_queued).map(RichBody::to_stored))
        .execute(&mut **tx)
        .await?;
        Ok(OutgoingMail { id, at: now, to, subject, text, rich })
    }

    /// Delivers an email whose row was committed, and waits a moment for the first attempt.
    pub(super) async fn send_and_wait(&self, store: &Store, mail: OutgoingMail) -> Delivery {
        let Self::Smtp(queue) = self else { return self.send(store, mail).await };
        let outcome = queue.outcomes.expect(&mail.id);
        queue.wake.notify_one();
        let delivery = timeout(OUTCOME_TIMEOUT, outcome).await;
        queue.outcomes.forget(&mail.id);
        delivery.ok().and_then(Result::ok).unwrap_or(Delivery::Accepted)
    }

    /// Delivers an email whose row was committed. The outcome is recorded in the mail log.
    pub(super) async fn send(&self, store: &Store, mail: OutgoingMail) -> Delivery {
        match self {
            Self::Smtp(queue) => {
                queue.wake.notify_one();
                Delivery::Accepted
            }
            Self::DevMailbox(mails) => {
                update_status(store, &mail.id, "sent", "in the dev mailbox").await;
                tracing::info!(id = mail.id, "SMTP_URL is not set; the email is in /dev/mailbox");
                let mut mails = mails.lock().unwrap_or_else(PoisonError::into_inner);
                mails.push_front(mail);
                mails.truncate(MAILBOX_CAPACITY);
                Delivery::Accepted
            }
            Self::None => {
                update_status(store, &mail.id, "failed", "SMTP_URL is not set").await;
                Delivery::Failed
            }
        }
    }

    /// Returns the emails in the dev mailbox, newest first; none if email is really sent.
    pub(super) fn dev_mailbox(&self) -> Vec<OutgoingMail> {
        match self {
            Self::DevMailbox(mails) => {
                mails.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
            }
            Self::Smtp(_) | Self::None => Vec::new(),
        }
    }

    /// Sends the emails that are due; the others stay queued for the next start.
    pub(super) async fn flush(self) {
        if let Self::Smtp(queue) = self {
            queue.stop.send_replace(true);
            let worker = queue.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(worker) = worker {
                let _ = timeout(FLUSH_TIMEOUT, worker).await;
            }
        }
    }
}

/// Sends queued emails one after the other.
struct Worker {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    settings: AccountSettings,
    store: Store,
    clock: Clock,
    wake: Arc<Notify>,
    stopping: watch::Receiver<bool>,
    outcomes: Outcomes,
}

/// An email leased by this server, and its previous attempts.
struct ClaimedMail {
    mail: OutgoingMail,
    attempts: i64,
}

impl Worker {
    async fn run(mut self) {
        if let Err(error) = self.retry_all().await {
            tracing::warn!(%error, "the mail queue cannot be read");
        }
        loop {
            let pause = match self.claim().await {
                Ok(Some(claimed)) => {
                    self.deliver(claimed).await;
                    continue;
                }
                Ok(None) => self.until_next_due().await,
                Err(error) => {
                    tracing::warn!(%error, "the mail queue cannot be read");
                    POLL_INTERVAL
                }
            };
            if *self.stopping.borrow() {
                return;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep(pause) => {}
                // Sends due emails once more before the server stops.
                _ = self.stopping.changed() => {}
            }
        }
    }

    /// Makes every queued email due, since the restart may have removed the obstacle.
    async fn retry_all(&self) -> Result<(), StoreError> {
        let now = self.clock.now().as_second();
        let update = "UPDATE mails SET due_at = $1 WHERE state = 'queued' AND due_at > $1";
        sqlx::query(update).bind(now).execute(self.store.pool()).await?;
        Ok(())
    }

    /// Leases the email that has been due for longest, and gives its link a new token; a token that
    /// was already sent becomes invalid.
    async fn claim(&self) -> Result<Option<ClaimedMail>, StoreError> {
        let now = self.clock.now();
        let mut tx = self.store.begin_write().await?;
        let row = sqlx::query(
            "SELECT id, at, recipient, subject, body, token_hash, attempts, rich FROM mails
             WHERE state = 'queued' AND body IS NOT NULL AND due_at <= $1 AND leased_until <= $1 ORDER BY due_at, at, id LIMIT 1",
        );
        let Some(row) = row.bind(now.as_second()).fetch_optional(&mut *tx).await? else {
            return Ok(None);
        };
        let (id, at): (String, i64) = (row.try_get("id")?, row.try_get("at")?);
        let mut text: String = row.try_get("body")?;
        let former: Option<String> = row.try_get("token_hash")?;
        let mut problem = None;
        let mut hash = None;
        if now.as_second() - at > MAX_AGE_SECONDS {
            problem = Some("it could not be sent for a day");
        } else if let Some(former) = former {
            let token = Token::random()?;
            // The link is valid for as long as if it were requested now.
            let renewed = sqlx::query(
                "UPDATE links SET token_hash = $1, created_at = $2, expires_at = $2 + (expires_at - created_at)
                 WHERE token_hash = $3 AND used_at IS NULL",
            );
            let renewed = renewed
                .bind(token.hash().as_str())
                .bind(now.as_second())
                .bind(former)
                .execute(&mut *tx)
                .await?;
            text = text.replace(TOKEN_PLACEHOLDER, token.reveal());
            hash = Some(token.hash().as_str().to_owned());
            if renewed.rows_affected() == 0 {
                problem = Some("its link is no longer needed");
            }
        }
        let to = row.try_get::<String, _>("recipient")?.parse::<Email>();
        if to.is_err() {
            problem = Some("the address cannot be used");
        }
        let (Ok(to), None) = (to, problem) else {
            let update = sqlx::query(
                "UPDATE mails SET state = 'failed', problem = $1, body = NULL, rich = NULL, token_hash = NULL WHERE id = $2",
            );
            update.bind(problem.unwrap_or_default()).bind(&id).execute(&mut *tx).await?;
            tx.commit().await?;
            self.outcomes.report(&id, Delivery::Failed);
            return Box::pin(self.claim()).await;
        };
        let lease =
            sqlx::query("UPDATE mails SET leased_until = $1, token_hash = $2 WHERE id = $3");
        lease.bind(now.as_second() + LEASE_SECONDS).bind(hash).bind(&id).execute(&mut *tx).await?;
        tx.commit().await?;
        let rich: Option<String> = row.try_get("rich")?;
        let rich = rich.as_deref().and_then(RichBody::from_stored);
        let subject = row.try_get("subject")?;
        let mail = OutgoingMail { id, at: super::time(at), to, subject, text, rich };
        Ok(Some(ClaimedMail { mail, attempts: row.try_get("attempts")? }))
    }

    async fn deliver(&self, claimed: ClaimedMail) {
        let ClaimedMail { mail, attempts } = claimed;
        let (problem, is_permanent) = match build_message(&mail, &self.settings) {
            Err(problem) => (problem, true),
            Ok(message) => match self.transport.send(message).await {
                Ok(_) => {
                    update_status(&self.store, &mail.id, "sent", "").await;
                    self.outcomes.report(&mail.id, Delivery::Accepted);
                    return;
                }
                Err(error) => (error.to_string(), error.is_permanent()),
            },
        };
        let delay = usize::try_from(attempts).ok().and_then(|at| RETRY_DELAYS.get(at));
        let delay = delay.filter(|_| !is_permanent);
        tracing::error!(
            id = mail.id,
            problem = without_addresses(&problem),
            retry_after_s = delay,
            "an email could not be sent"
        );
        if let Some(delay) = delay {
            let due = self.clock.now().as_second() + delay;
            postpone(&self.store, &mail.id, due, &problem).await;
            self.outcomes.report(&mail.id, Delivery::Delayed);
        } else {
            update_status(&self.store, &mail.id, "failed", &problem).await;
            self.outcomes.report(&mail.id, Delivery::Failed);
        }
    }

    async fn until_next_due(&self) -> Duration {
        let select = sqlx::query_scalar(
            "SELECT min(CASE WHEN leased_until > due_at THEN leased_until ELSE due_at END) FROM mails WHERE state = 'queued' AND body IS NOT NULL",
        );
        let due: Result<Option<i64>, _> = select.fetch_one(self.store.pool()).await;
        let Ok(Some(due)) = due else { return POLL_INTERVAL };
        let seconds = (due - self.clock.now().as_second()).max(1).unsigned_abs();
        Duration::from_secs(seconds).min(POLL_INTERVAL)
    }
}

/// Number of consecutive failed emails from which on the mail server is considered the cause rather
/// than their addresses.
const FAILURES: i64 = 3;

impl super::Accounts {
    /// Describes why email cannot be sent: one has waited for its mail server for longer than
    /// `limit`, or several in a row have failed within a day. Also returns `None` while the store
    /// does not respond, which is a separate problem. The text contains no address.
    pub(crate) async fn mail_problem(&self, limit: Duration) -> Option<String> {
        if !matches!(self.mailer, Mailer::Smtp(_)) {
            return None;
        }
        let now = self.now().as_second();
        let select = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT (SELECT count(*) FROM mails WHERE state = 'queued' AND attempts > 0),
                    (SELECT coalesce(min(at), $1) FROM mails WHERE state = 'queued' AND attempts > 0),
                    (SELECT count(*) FROM mails WHERE state = 'failed' AND at > $1 - 86400
                     AND problem <> 'its link is no longer needed'
                     AND at > (SELECT coalesce(max(at), 0) FROM mails WHERE state = 'sent'))",
        );
        let answer =
            timeout(super::ACCOUNTS_TIMEOUT, select.bind(now).fetch_one(self.store.pool()));
        let (waiting, oldest, failed) = answer.await.ok()?.ok()?;
        let waited = Duration::from_secs((now - oldest).max(0).unsigned_abs());
        if waiting > 0 && waited > limit {
            let emails = humanize::plural(usize::try_from(waiting).unwrap_or(usize::MAX), "email");
            return Some(format!(
                "{emails} waiting, the oldest for {}",
                humanize::duration(waited)
            ));
        }
        (failed >= FAILURES).then(|| format!("the last {failed} emails have failed"))
    }
}

/// Returns a mail server's message without the addresses that servers tend to repeat, for the log.
fn without_addresses(message: &str) -> String {
    let hidden =
        |word: &str| if word.contains('@') { "(address)".to_owned() } else { word.to_owned() };
    message.split(' ').map(hidden).collect::<Vec<_>>().join(" ")
}

/// Records the final state of an email and removes its text.
async fn update_status(store: &Store, id: &str, state: &'static str, problem: &str) {
    let update = sqlx::query(
        "UPDATE mails SET state = $1, problem = $2, body = NULL, rich = NULL, token_hash = NULL WHERE id = $3",
    );
    write_log(id, update.bind(state).bind(problem).bind(id).execute(store.pool())).await;
}

/// Leaves an email in the queue until `due`.
async fn postpone(store: &Store, id: &str, due: i64, problem: &str) {
    let update = sqlx::query(
        "UPDATE mails SET due_at = $1, leased_until = 0, problem = $2, attempts = attempts + 1 WHERE id = $3",
    );
    write_log(id, update.bind(due).bind(problem).bind(id).execute(store.pool())).await;
}

async fn write_log<T>(id: &str, update: impl Future<Output = sqlx::Result<T>>) {
    match timeout(super::ACCOUNTS_TIMEOUT, update).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(%error, id, "the mail log could not be written"),
        Err(_) => {
            tracing::error!(id, "the mail log could not be written: the accounts do not respond");
        }
    }
}

/// Builds the message. `lettre` encodes header values that contain line breaks.
fn build_message(mail: &OutgoingMail, settings: &AccountSettings) -> Result<Message, String> {
    let address =
        |email: &Email| email.as_str().parse::<Address>().map_err(|error| error.to_string());
    let host = settings.mail_from.as_str().rsplit('@').next().unwrap_or("localhost");
    let mut message = Message::builder()
        .from(Mailbox::new(None, address(&settings.mail_from)?))
        .to(Mailbox::new(None, address(&mail.to)?))
        .subject(mail.subject.replace(char::is_control, " "))
        .message_id(Some(format!("<{}@{host}>", mail.id)))
        .content(mail)
        .map_err(|error| error.to_string())?;
    if let Some(address) = mail.rich.as_ref().and_then(|rich| rich.unsubscribe.as_ref()) {
        let headers = message.headers_mut();
        let header = |name: &'static str, value: String| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
        };
        headers.insert_raw(header("List-Unsubscribe", format!("<{address}>")));
        headers
            .insert_raw(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    Ok(message)
}

trait WithContent {
    /// Adds the text, and the HTML with its pictures if there is one.
    fn content(self, mail: &OutgoingMail) -> Result<Message, lettre::error::Error>;
}

impl WithContent for lettre::message::MessageBuilder {
    fn content(self, mail: &OutgoingMail) -> Result<Message, lettre::error::Error> {
        let Some((rich, html)) =
            mail.rich.as_ref().and_then(|rich| rich.html.as_ref().map(|html| (rich, html)))
        else {
            return self.header(ContentType::TEXT_PLAIN).body(mail.text.clone());
        };
        let png = |png: &Vec<u8>, name: &str| {
            let kind = ContentType::parse("image/png").unwrap_or(ContentType::TEXT_PLAIN);
            Attachment::new_inline(name.to_owned()).body(png.clone(), kind)
        };
        let html = MultiPart::related().singlepart(SinglePart::html(html.clone()));
        let html =
            rich.images.iter().fold(html, |html, (name, image)| html.singlepart(png(image, name)));
        let text = MultiPart::alternative().singlepart(SinglePart::plain(mail.text.clone()));
        self.multipart(text.multipart(html))
    }
}

/// Connects to the mail server, without sending anything.
pub(crate) async fn check_mail_server(settings: &AccountSettings) -> Result<String, String> {
    let Some(url) = &settings.smtp else {
        let without = "SMTP_URL is not set: nobody can sign in";
        let debug = "SMTP_URL is not set: email goes to /dev/mailbox".to_owned();
        return if settings.debug { Ok(debug) } else { Err(without.to_owned()) };
    };
    let transport: AsyncSmtpTransport<Tokio1Executor> =
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal())
            .map_err(|_| "SMTP_URL cannot be used".to_owned())?
            .timeout(Some(CONNECT_TIMEOUT))
            .build();
    match transport.test_connection().await {
        Ok(true) => Ok("the mail server accepts the connection".to_owned()),
        Ok(false) => Err("the mail server does not accept the connection".to_owned()),
        Err(error) => Err(format!("the mail server: {error}")),
    }
}

/// Returns what is invalid about an `SMTP_URL`, without repeating it.
pub(super) fn check_smtp(text: &str) -> Result<(), String> {
    let form = "write for example smtps://user:password@mail.example.com";
    let url = Url::parse(text).map_err(|_| format!("it is not an address; {form}"))?;
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(format!("it names no host; {form}"));
    };
    let starts_tls = url.query_pairs().any(|(key, value)| key == "tls" && value == "required");
    let near = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "smtps" => {}
        "smtp" if starts_tls || near => {}
        "smtp" => return Err("smtp:// would send the password in the clear; write smtps://, or add ?tls=required for STARTTLS".to_owned()),
        _ => return Err(format!("it begins neither with smtps:// nor with smtp://; {form}")),
    }
    AsyncSmtpTransport::<Tokio1Executor>::from_url(text)
        .map(|_| ())
        .map_err(|_| format!("it cannot be used; {form}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn built(subject: &str) -> String {
        let settings =
            AccountSettings::new(&materia::settings::Settings::load(None, &|_| None).unwrap())
                .unwrap();
        let mail = OutgoingMail {
            id: "1f".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            to: "ana@example.com".parse().unwrap(),
            subject: subject.to_owned(),
            text: "one\n.\ntwo\n".to_owned(),
            rich: None,
        };
        String::from_utf8(build_message(&mail, &settings).unwrap().formatted()).unwrap()
    }

    #[test]
    fn nothing_in_a_letter_becomes_another_header() {
        for subject in [
            "Sign in\r\nBcc: eve@example.com",
            "Sign in\nBcc: eve@example.com",
            "Sign in\rBcc: eve@example.com",
            "S\u{0}\u{7}",
        ] {
            let text = built(subject);
            let headers = text.split_once("\r\n\r\n").unwrap().0;
            let names: Vec<_> = headers
                .lines()
                .filter_map(|line| line.split_once(": ").map(|(name, _)| name))
                .collect();
            assert_eq!(
                names,
                [
                    "From",
                    "To",
                    "Subject",
                    "Message-ID",
                    "Content-Type",
                    "Content-Transfer-Encoding",
                    "Date"
                ],
                "{text}"
            );
            assert!(!headers.contains('\0'));
        }
    }

    #[test]
    fn html_is_sent_beside_the_text_with_its_pictures_inside() {
        let settings =
            AccountSettings::new(&materia::settings::Settings::load(None, &|_| None).unwrap())
                .unwrap();
        let rich = RichBody {
            html: Some("<img src=\"cid:panel-1\" alt=\"Stock\">".to_owned()),
            images: vec![("panel-1".to_owned(), vec![0x89, b'P', b'N', b'G', 0, 255])],
            unsubscribe: Some("https://example.com/unsubscribe/digest/1f".to_owned()),
        };
        let rich = RichBody::from_stored(&rich.to_stored()).unwrap();
        let mail = OutgoingMail {
            id: "1f".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            to: "ana@example.com".parse().unwrap(),
            subject: "Stock".to_owned(),
            text: "90 bags".to_owned(),
            rich: Some(rich),
        };
        let text = String::from_utf8(build_message(&mail, &settings).unwrap().formatted()).unwrap();
        let parts = [
            "List-Unsubscribe: <https://example.com/unsubscribe/digest/1f>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "multipart/alternative",
            "text/plain",
            "90 bags",
            "multipart/related",
            "text/html",
            "image/png",
            "Content-ID: <panel-1>",
            "iVBORwD/",
        ];
        let missing: Vec<_> = parts.iter().filter(|part| !text.contains(**part)).collect();
        assert!(missing.is_empty(), "{missing:?}: {text}");
        assert_eq!(RichBody::from_stored("{"), None, "the text is sent without it");
    }

    #[test]
    fn a_mail_server_is_spoken_to_in_secret_or_nearby() {
        for right in [
            "smtps://user:pw@mail.example",
            "smtp://mail.example:587?tls=required",
            "smtp://127.0.0.1:2525",
            "smtp://localhost:25",
        ] {
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
