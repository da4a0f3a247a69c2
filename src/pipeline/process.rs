//! One attempt of one pipeline: a process group from its start to the end of its last member.

use std::{
    io::{self, PipeReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Step, stop::Stop};

/// How often it is looked whether somebody asked to stop.
const LOOK: Duration = Duration::from_millis(20);
/// How long the output of a killed group may take to end: somebody outside the group may hold it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exited(u8),
    Signalled(u8),
    TimedOut,
    Stopped(u8),
    NotStarted(io::Error),
}

enum Event {
    Output(Vec<u8>),
    /// Nobody is left who could print anything.
    Closed,
    /// The command itself is over; it has not been waited for yet, so that its number is nobody else's.
    Over,
}

/// Why the group was asked to stop, and when it is killed.
struct Ending {
    cause: Ended,
    kill_at: Instant,
}

/// Runs the command to the end of its whole group, and hands on what it prints.
pub(super) fn attempt(step: &Step, halt: &Stop, output: &mut dyn FnMut(&[u8])) -> Ended {
    match start(step) {
        Ok((child, events)) => follow(child, &events, step, halt, output),
        Err(error) => Ended::NotStarted(error),
    }
}

fn start(step: &Step) -> io::Result<(Child, Receiver<Event>)> {
    let Some((program, arguments)) = step.command.split_first() else { return Err(io::ErrorKind::InvalidInput.into()) };
    if let Some(cwd) = step.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        // Otherwise the system says that the program was not found.
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("its folder {} does not exist", cwd.display())));
    }
    // One pipe for both, so that what is printed stays in order.
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).envs(&step.env).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    if let Some(cwd) = &step.cwd {
        command.current_dir(cwd);
    }
    let child = command.spawn()?;
    // Our own ends of the pipe go, or it would never close.
    drop(command);
    let (send, events) = sync_channel(64);
    let (pid, over) = (Pid::from_child(&child), send.clone());
    thread::spawn(move || read(reader, &send));
    thread::spawn(move || {
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_err_and(|error| error == rustix::io::Errno::INTR) {
        }
        let _ = over.send(Event::Over);
    });
    Ok((child, events))
}

fn read(mut reader: PipeReader, send: &SyncSender<Event>) {
    let mut chunk = [0; 16 * 1024];
    loop {
        match reader.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(length) if send.send(Event::Output(chunk[..length].to_vec())).is_err() => return,
            Ok(_) => {}
        }
    }
    let _ = send.send(Event::Closed);
}

fn follow(mut child: Child, events: &Receiver<Event>, step: &Step, halt: &Stop, output: &mut dyn FnMut(&[u8])) -> Ended {
    let group = Pid::from_child(&child);
    let deadline = step.timeout.map(|timeout| Instant::now() + timeout);
    let (mut ending, mut over, mut closed, mut killed) = (None::<Ending>, false, false, false);
    let mut give_up = None;
    loop {
        match events.recv_timeout(LOOK) {
            Ok(Event::Output(bytes)) => output(&bytes),
            Ok(Event::Closed) => closed = true,
            Ok(Event::Over) => over = true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => (over, closed) = (true, true),
        }
        if over && (closed || give_up.is_some_and(|at| Instant::now() >= at)) {
            break;
        }
        if ending.is_none() {
            let reason = match halt.signal() {
                Some(signal) => Some((Ended::Stopped(signal), named(signal))),
                // What the command left behind is not waited for.
                None if over => Some((Ended::Exited(0), Signal::TERM)),
                None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => Some((Ended::TimedOut, Signal::TERM)),
                None => None,
            };
            if let Some((cause, signal)) = reason {
                let _ = kill_process_group(group, signal);
                ending = Some(Ending { cause, kill_at: Instant::now() + step.grace });
            }
        }
        if !killed && ending.as_ref().is_some_and(|ending| halt.is_urgent() || Instant::now() >= ending.kill_at) {
            killed = true;
            let _ = kill_process_group(group, Signal::KILL);
            give_up = Some(Instant::now() + LAST_WORDS);
        }
    }
    // Whoever is left in the group prints nothing any more. Its number is still ours: the command has not been waited for.
    let _ = kill_process_group(group, Signal::KILL);
    let status = match child.wait() {
        Ok(status) => status,
        Err(error) => return Ended::NotStarted(error),
    };
    match ending.map(|ending| ending.cause) {
        Some(cause @ (Ended::Stopped(_) | Ended::TimedOut)) => cause,
        _ => match (status.code().map(u8::try_from), status.signal().map(u8::try_from)) {
            (Some(Ok(code)), _) => Ended::Exited(code),
            (_, Some(Ok(signal))) => Ended::Signalled(signal),
            _ => Ended::Exited(1),
        },
    }
}

fn named(signal: u8) -> Signal {
    Signal::from_named_raw(i32::from(signal)).unwrap_or(Signal::TERM)
}
