//! Messages over a connection, with bounded buffers in both directions.

use std::{io, time::Duration};

use bytes::{BufMut as _, BytesMut};
use pgwire::{
    error::PgWireError,
    messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// The largest message of a client that is not authenticated.
const MAX_STARTUP_MESSAGE: usize = 10_000;
/// Output that is collected before it is written.
const FLUSH_AT: usize = 64 << 10;
/// Input that is read ahead while a statement runs.
const READ_AHEAD: usize = 64 << 10;
/// Buffers that are larger than this are given back once they are empty.
const KEPT_BUFFER: usize = 2 * FLUSH_AT;
/// The size of an empty buffer.
const EMPTY_BUFFER: usize = 8 << 10;
/// Time in which a client must take some output.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// A connection in clear text, over TLS or over a Unix socket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the connection was closed")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the client sent what is no message: {0}")]
    Malformed(String),
    #[error("a message of {bytes} bytes is too long; at most {limit} are allowed")]
    TooLong { bytes: usize, limit: usize },
    #[error("the client takes no output")]
    Stuck,
}

impl From<PgWireError> for WireError {
    fn from(error: PgWireError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// What a connection expects next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Negotiation,
    Startup,
    Messages,
}

pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    input: BytesMut,
    pub(crate) output: BytesMut,
    phase: Phase,
    /// The length of the longest message that the client may send.
    pub(crate) max_message: usize,
    pub(crate) is_encrypted: bool,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(EMPTY_BUFFER),
            output: BytesMut::with_capacity(EMPTY_BUFFER),
            phase: Phase::Negotiation,
            max_message: MAX_STARTUP_MESSAGE,
            is_encrypted: false,
        }
    }

    /// Replaces the stream by one over TLS. What the client sent before is an injection.
    ///
    /// # Errors
    /// The client sent more before the handshake.
    pub(crate) fn into_stream(self) -> Result<Box<dyn Stream>, WireError> {
        if self.input.is_empty() {
            Ok(self.stream)
        } else {
            Err(WireError::Malformed("unencrypted data after the request for TLS".to_owned()))
        }
    }

    pub(crate) fn encrypted(stream: Box<dyn Stream>) -> Self {
        Self { phase: Phase::Negotiation, is_encrypted: true, ..Self::new(stream) }
    }

    pub(crate) fn begin_messages(&mut self) {
        self.phase = Phase::Messages;
    }

    /// Reads the next message.
    ///
    /// # Errors
    /// The connection ended, or what came is no message.
    pub(crate) async fn next(&mut self) -> Result<PgWireFrontendMessage, WireError> {
        loop {
            if let Some(message) = self.decode()? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(WireError::Closed);
            }
        }
    }

    fn decode(&mut self) -> Result<Option<PgWireFrontendMessage>, WireError> {
        self.check_length()?;
        let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
        context.awaiting_frontend_ssl = self.phase == Phase::Negotiation;
        context.awaiting_frontend_startup = self.phase == Phase::Startup;
        let Some(length) = self.declared_length().filter(|length| self.input.len() >= *length)
        else {
            return Ok(None);
        };
        let is_plain = self.phase == Phase::Negotiation && !is_negotiation(&self.input);
        if is_plain {
            self.phase = Phase::Startup;
            return self.decode();
        }
        // Exactly one message, whatever its content: the next one begins where its length says.
        let mut frame = self.input.split_to(length);
        if self.input.is_empty() && length > KEPT_BUFFER {
            self.input = BytesMut::with_capacity(EMPTY_BUFFER);
        }
        let malformed = || WireError::Malformed("a message ends too early".to_owned());
        if self.phase == Phase::Messages && read_fields(frame[0], &frame[5..]).is_none() {
            return Err(malformed());
        }
        PgWireFrontendMessage::decode(&mut frame, &context)?.ok_or_else(malformed).map(Some)
    }

    /// Returns the length that the message at hand declares, with its type.
    fn declared_length(&self) -> Option<usize> {
        let skip = usize::from(self.phase == Phase::Messages);
        let bytes: [u8; 4] = self.input.get(skip..skip + 4)?.try_into().ok()?;
        Some(usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX).saturating_add(skip))
    }

    fn check_length(&self) -> Result<(), WireError> {
        let limit = self.max_message;
        match self.declared_length() {
            Some(bytes) if bytes > limit => Err(WireError::TooLong { bytes, limit }),
            Some(length) if length < 4 + usize::from(self.phase == Phase::Messages) => {
                Err(WireError::Malformed("a message is shorter than its header".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Waits until the client has gone. What it sends meanwhile is kept up to a limit.
    pub(crate) async fn closed(&mut self) -> WireError {
        loop {
            if self.input.len() >= READ_AHEAD {
                // It may wait; nothing can be learned until the input is processed.
                std::future::pending::<()>().await;
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return WireError::Closed,
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
    }

    /// Appends a message to the output.
    ///
    /// # Errors
    /// The message is too large.
    pub(crate) fn put(&mut self, message: &PgWireBackendMessage) -> Result<(), WireError> {
        Ok(message.encode(&mut self.output)?)
    }

    /// Appends a message that `write` fills.
    ///
    /// # Errors
    /// Those of `write`; then nothing is appended.
    pub(crate) fn put_with<E>(
        &mut self,
        kind: u8,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.output.len();
        self.output.put_u8(kind);
        self.output.put_i32(0);
        if let Err(error) = write(&mut self.output) {
            self.output.truncate(start);
            return Err(error);
        }
        // Rows of 2 GB do not fit into a batch of the engine.
        let length = i32::try_from(self.output.len() - start - 1).unwrap_or(i32::MAX);
        self.output[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Writes the output if there is much of it.
    ///
    /// # Errors
    /// The connection ended, or the client takes no output.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), WireError> {
        if self.output.len() >= FLUSH_AT { self.flush().await } else { Ok(()) }
    }

    /// Writes the output.
    ///
    /// # Errors
    /// The connection ended, or the client takes no output.
    pub(crate) async fn flush(&mut self) -> Result<(), WireError> {
        while !self.output.is_empty() {
            let written = timeout(WRITE_TIMEOUT, self.stream.write_buf(&mut self.output)).await;
            if written.map_err(|_| WireError::Stuck)?? == 0 {
                return Err(WireError::Closed);
            }
        }
        if self.output.capacity() > KEPT_BUFFER {
            self.output = BytesMut::with_capacity(EMPTY_BUFFER);
        }
        timeout(WRITE_TIMEOUT, self.stream.flush()).await.map_err(|_| WireError::Stuck)??;
        if self.output.capacity() > 4 * FLUSH_AT {
            self.output = BytesMut::with_capacity(FLUSH_AT);
        }
        Ok(())
    }
}

/// Reads over all fields of a message; `None` if it ends within them. `pgwire` panics where they end
/// too early.
fn read_fields(kind: u8, mut body: &[u8]) -> Option<()> {
    let rest = &mut body;
    match kind {
        b'Q' | b'f' => read_text(rest)?,
        b'P' => {
            read_text(rest)?;
            read_text(rest)?;
            read_numbers(rest, 4)?;
        }
        b'B' => {
            read_text(rest)?;
            read_text(rest)?;
            read_numbers(rest, 2)?;
            let values = rest.split_off(..2)?;
            for _ in 0..u16::from_be_bytes(values.try_into().ok()?) {
                let length = i32::from_be_bytes(rest.split_off(..4)?.try_into().ok()?);
                // A negative length is a null.
                rest.split_off(..usize::try_from(length).unwrap_or_default())?;
            }
            read_numbers(rest, 2)?;
        }
        b'D' | b'C' => {
            rest.split_off(..1)?;
            read_text(rest)?;
        }
        b'E' => {
            read_text(rest)?;
            rest.split_off(..4)?;
        }
        _ => {}
    }
    Some(())
}

fn read_text(rest: &mut &[u8]) -> Option<()> {
    let end = rest.iter().position(|byte| *byte == 0)?;
    rest.split_off(..=end).map(drop)
}

/// Reads a count and as many numbers of some bytes.
fn read_numbers(rest: &mut &[u8], bytes: usize) -> Option<()> {
    let count = u16::from_be_bytes(rest.split_off(..2)?.try_into().ok()?);
    rest.split_off(..usize::from(count) * bytes).map(drop)
}

/// Returns whether a client asks for encryption.
fn is_negotiation(input: &[u8]) -> bool {
    const REQUESTS: [[u8; 4]; 2] = [80_877_103_u32.to_be_bytes(), 80_877_104_u32.to_be_bytes()];
    input.get(4..8).is_some_and(|code| REQUESTS.iter().any(|known| known == code))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Feeds bytes to a connection, and returns what it makes of them.
    fn read(phase: Phase, bytes: &[u8]) -> Result<Option<PgWireFrontendMessage>, WireError> {
        let mut wire = Wire::new(Box::new(tokio::io::empty()));
        wire.phase = phase;
        if phase == Phase::Messages {
            wire.max_message = 16 << 20;
        }
        wire.input.extend_from_slice(bytes);
        wire.decode()
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_kept() {
        for (phase, bytes) in [
            (Phase::Messages, &b"Q\xff\xff\xff\xff"[..]),
            (Phase::Messages, b"Q\x00\x00\x00\x03"),
            (Phase::Messages, b"P\x7f\xff\xff\xff"),
            (Phase::Startup, b"\x00\x01\x00\x00\x00\x03\x00\x00"),
        ] {
            let refused = read(phase, bytes);
            let is_refused =
                matches!(refused, Err(WireError::Malformed(_) | WireError::TooLong { .. }));
            assert!(is_refused, "{bytes:?}");
        }
        assert!(matches!(read(Phase::Messages, b"Q\x00\x00\x00\x09SEL"), Ok(None)));
    }

    /// A message of each kind that a client sends, with its type.
    fn messages() -> Vec<Vec<u8>> {
        let message = |kind: u8, body: &[u8]| {
            let length = u32::try_from(body.len() + 4).unwrap();
            [&[kind][..], &length.to_be_bytes(), body].concat()
        };
        vec![
            message(b'Q', b"SELECT 1\0"),
            message(b'P', b"name\0SELECT $1\0\0\x01\0\0\0\x17"),
            message(b'B', b"portal\0name\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\x01\0\x01"),
            message(b'D', b"Sname\0"),
            message(b'D', b"Pportal\0"),
            message(b'E', b"portal\0\0\0\0\x05"),
            message(b'C', b"Sname\0"),
            message(b'S', b""),
            message(b'H', b""),
            message(b'd', b"data"),
            message(b'c', b""),
            message(b'f', b"reason\0"),
            message(b'p', b"materia_key\0"),
            message(b'X', b""),
        ]
    }

    fn startups() -> Vec<Vec<u8>> {
        let message = |code: u32, body: &[u8]| {
            let length = u32::try_from(body.len() + 8).unwrap();
            [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
        };
        vec![
            message(196_608, b"user\0x\0database\0y\0options\0-c a=b\0\0"),
            message(196_610, b"user\0x\0_pq_.z\0\0\0"),
            message(80_877_102, &[0, 0, 0, 1, 0, 0, 0, 2]),
            message(80_877_103, b""),
            message(80_877_104, b""),
        ]
    }

    #[expect(clippy::print_stderr, reason = "how much was tried is for whoever reads the output")]
    #[test]
    fn no_bytes_make_the_parser_panic_or_take_more_than_one_message() {
        let mut random = crate::fuzz::Random::new();
        let (messages, startups) = (messages(), startups());
        let (mut tried, mut understood) = (0_u64, 0_u64);
        while crate::fuzz::goes_on(tried, 200_000) {
            tried += 1;
            let phase = [Phase::Startup, Phase::Negotiation, Phase::Messages, Phase::Messages]
                [random.below(4)];
            let seeds = if phase == Phase::Messages { &messages } else { &startups };
            let mut bytes = seeds[random.below(seeds.len())].clone();
            random.damage(&mut bytes);
            // Half of them have the length that they declare.
            let at = usize::from(phase == Phase::Messages);
            if random.below(2) == 0 && bytes.len() >= at + 4 {
                let length = u32::try_from(bytes.len() - at).unwrap().to_be_bytes();
                bytes[at..at + 4].copy_from_slice(&length);
            }
            let mut wire = Wire::new(Box::new(tokio::io::empty()));
            wire.phase = phase;
            if phase == Phase::Messages {
                wire.max_message = 16 << 20;
            }
            wire.input.extend_from_slice(&bytes);
            let declared = wire.declared_length();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wire.decode().map(|it| it.is_some())
            }));
            assert!(outcome.is_ok(), "{phase:?} {bytes:?}");
            if matches!(outcome, Ok(Ok(true))) {
                understood += 1;
                let left = bytes.len() - declared.unwrap();
                assert_eq!(wire.input.len(), left, "exactly one message: {bytes:?}");
            }
        }
        eprintln!("{tried} messages, {understood} of them understood");
        assert!(understood > tried / 20, "the damage leaves nothing to parse");
    }
}
