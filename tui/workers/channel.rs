//! One thread per channel of requests. A newer request cancels the one in progress.

use std::sync::mpsc::Sender;

use materia::reader::block_on;
use tokio::sync::watch;

use super::{SharedReader, queries};
use crate::message::{Channel, Message, Request};

/// The request to process, and its id; `None` cancels.
pub(super) type PendingRequest = Option<(u64, Request)>;

/// Processes requests until every sender is dropped.
pub(super) fn run_channel(
    channel: Channel,
    reader: &SharedReader,
    mut pending: watch::Receiver<PendingRequest>,
    send: &Sender<Message>,
) {
    block_on(async move {
        while pending.changed().await.is_ok() {
            loop {
                let request = pending.borrow_and_update().clone();
                let Some((request_id, request)) = request else { break };
                let respond = |response| {
                    drop(send.send(Message::Response { channel, request_id, response }));
                };
                tokio::select! {
                    biased;
                    () = queries::run(reader, request, &respond) => break,
                    // The query is dropped with its future, which interrupts it.
                    newer = pending.changed() => {
                        if newer.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    });
}
