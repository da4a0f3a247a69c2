//! One thread for each kind of question. A newer question takes the place of the one that is being answered.

use std::{future::poll_fn, pin::pin, sync::mpsc::Sender, task::Poll};

use materia::reader::wait;
use tokio::sync::watch;

use super::{Served, questions};
use crate::tui::message::{Lane, Message, Question};

/// The question to answer, and its number; `None` is none.
pub(super) type Asked = Option<(u64, Question)>;

/// Answers until nobody can ask any more.
pub(super) fn attend(lane: Lane, served: &Served, mut asked: watch::Receiver<Asked>, send: &Sender<Message>) {
    wait(async move {
        while asked.changed().await.is_ok() {
            loop {
                let question = asked.borrow_and_update().clone();
                let Some((request, question)) = question else { break };
                let say = |answer| drop(send.send(Message::Answer { lane, request, answer }));
                let answered = first(questions::answer(served, question, &say), asked.changed()).await;
                match answered {
                    None => break,
                    // Another question: the one before was dropped, and with it interrupted.
                    Some(Ok(())) => {}
                    Some(Err(_)) => return,
                }
            }
        }
    });
}

/// `None` when the first one ends first; else what the other one gave.
async fn first<T>(one: impl Future<Output = ()>, other: impl Future<Output = T>) -> Option<T> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| {
        if one.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        other.as_mut().poll(context).map(Some)
    })
    .await
}
