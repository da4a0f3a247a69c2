//! Priorities of threads: what runs for long gives way to what has just begun.

use rustix::process::Pid;

/// The niceness of a thread that runs for long: a tenth of the weight of one that does not.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Returns the id of this thread; `None` where threads have no priorities of their own.
#[cfg(target_os = "linux")]
pub(super) fn current_thread() -> Option<Pid> {
    let path = std::fs::read_link("/proc/thread-self").ok()?;
    Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?)
}

/// Lowers the priority of a thread of this process for the rest of its life: raising it again is a
/// privilege. Returns whether the system did so.
#[cfg(target_os = "linux")]
pub(super) fn lower(thread: Pid) -> bool {
    // On Linux, a priority belongs to a thread, whose id is passed as that of a process.
    rustix::process::setpriority_process(Some(thread), NICE).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn current_thread() -> Option<Pid> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn lower(_thread: Pid) -> bool {
    false
}
