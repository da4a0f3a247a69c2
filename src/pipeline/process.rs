//! Runs one attempt of one pipeline as a process group, until the last process of the group has
//! ended.

use std::{
    io::{self, PipeReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::PipelineStep;
use crate::cancel::CancellationToken;

/// Interval at which the cancellation token is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long the output of a killed group may stay open: a process outside of the group may have it
/// open.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum ExitReason {
    Exited(u8),
    Signalled(u8),
    TimedOut,
    Stopped(u8),
    NotStarted(io::Error),
}

enum ProcessEvent {
    Output(Vec<u8>),
    /// The output was closed: no process that could print is left.
    Closed,
    /// The command has exited but has not been reaped, so that its process id cannot be reused.
    Over,
}

/// Why the group was signaled to stop, and when it will be killed.
struct Shutdown {
    cause: ExitReason,
    kill_at: Instant,
}

/// Runs the command until its whole group has ended, and forwards its output.
pub(super) fn attempt(
    step: &PipelineStep,
    cancel: &CancellationToken,
    output: &mut dyn FnMut(&[u8]),
) -> ExitReason {
    match start(step) {
        Ok((child, events)) => follow(child, &events, step, cancel, output),
        Err(error) => ExitReason::NotStarted(error),
    }
}

fn start(step: &PipelineStep) -> io::Result<(Child, Receiver<ProcessEvent>)> {
    let Some((program, arguments)) = step.command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if let Some(cwd) = step.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        // The system's own error would be that the program was not found.
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("its folder {} does not exist", cwd.display()),
        ));
    }
    // Both streams share one pipe, which preserves the order of the output.
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(&step.env)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    if let Some(cwd) = &step.cwd {
        command.current_dir(cwd);
    }
    let child = command.spawn()?;
    // Closes our copies of the pipe's ends, which would keep it open.
    drop(command);
    let (send, events) = sync_channel(64);
    let (pid, over) = (Pid::from_child(&child), send.clone());
    thread::spawn(move || read(reader, &send));
    thread::spawn(move || {
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .is_err_and(|error| error == rustix::io::Errno::INTR)
        {}
        let _ = over.send(ProcessEvent::Over);
    });
    Ok((child, events))
}

fn read(mut reader: PipeReader, send: &SyncSender<ProcessEvent>) {
    let mut chunk = [0; 16 * 1024];
    loop {
        match reader.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(length) if send.send(ProcessEvent::Output(chunk[..length].to_vec())).is_err() => {
                return;
            }
            Ok(_) => {}
        }
    }
    let _ = send.send(ProcessEvent::Closed);
}

fn follow(
    mut child: Child,
    events: &Receiver<ProcessEvent>,
    step: &PipelineStep,
    cancel: &CancellationToken,
    output: &mut dyn FnMut(&[u8]),
) -> ExitReason {
    let group = Pid::from_child(&child);
    let deadline = step.timeout.map(|timeout| Instant::now() + timeout);
    let (mut ending, mut over, mut closed, mut killed) = (None::<Shutdown>, false, false, false);
    let mut give_up = None;
    loop {
        match events.recv_timeout(POLL_INTERVAL) {
            Ok(ProcessEvent::Output(bytes)) => output(&bytes),
            Ok(ProcessEvent::Closed) => closed = true,
            Ok(ProcessEvent::Over) => over = true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => (over, closed) = (true, true),
        }
        if over && (closed || give_up.is_some_and(|at| Instant::now() >= at)) {
            break;
        }
        if ending.is_none() {
            let reason = match cancel.signal() {
                Some(signal) => Some((ExitReason::Stopped(signal), named(signal))),
                // Processes that the command left behind are not waited for.
                None if over => Some((ExitReason::Exited(0), Signal::TERM)),
                None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    Some((ExitReason::TimedOut, Signal::TERM))
                }
                None => None,
            };
            if let Some((cause, signal)) = reason {
                let _ = kill_process_group(group, signal);
                ending = Some(Shutdown { cause, kill_at: Instant::now() + step.grace });
            }
        }
        if !killed
            && ending
                .as_ref()
                .is_some_and(|ending| cancel.is_urgent() || Instant::now() >= ending.kill_at)
        {
            killed = true;
            let _ = kill_process_group(group, Signal::KILL);
            give_up = Some(Instant::now() + OUTPUT_GRACE);
        }
    }
    // The rest of the group no longer prints. Its id is still valid, because the command has not
    // been reaped.
    let _ = kill_process_group(group, Signal::KILL);
    let status = match child.wait() {
        Ok(status) => status,
        Err(error) => return ExitReason::NotStarted(error),
    };
    match ending.map(|ending| ending.cause) {
        Some(cause @ (ExitReason::Stopped(_) | ExitReason::TimedOut)) => cause,
        _ => match (status.code().map(u8::try_from), status.signal().map(u8::try_from)) {
            (Some(Ok(code)), _) => ExitReason::Exited(code),
            (_, Some(Ok(signal))) => ExitReason::Signalled(signal),
            _ => ExitReason::Exited(1),
        },
    }
}

fn named(signal: u8) -> Signal {
    Signal::from_named_raw(i32::from(signal)).unwrap_or(Signal::TERM)
}
