//! Prints pages as PDF with a headless browser that the settings name. The browser gets one file
//! without scripts and reaches no network.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// Browsers at the same time; each takes a few hundred megabytes.
const CONCURRENT: usize = 1;
/// How long a request waits for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a browser may take.
const PRINT_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A browser that prints.
pub(crate) struct Printer {
    program: String,
    arguments: Vec<String>,
    slots: Semaphore,
}

/// Why a page was not printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrintError {
    #[error("other pages are being printed")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

impl Printer {
    /// Creates a printer from a program and its arguments; `None` without a program.
    pub(crate) fn new(command: &[String]) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        Some(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            slots: Semaphore::new(CONCURRENT),
        })
    }

    /// Prints a whole document.
    pub(crate) async fn print(&self, document: String) -> Result<Vec<u8>, PrintError> {
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, self.slots.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(PrintError::Busy) };
        let (program, arguments) = (self.program.clone(), self.arguments.clone());
        let printed = tokio::task::spawn_blocking(move || print(&program, &arguments, &document));
        printed.await.map_err(|error| PrintError::Failed(error.to_string()))?
    }
}

/// A folder that exists until it is dropped.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn new() -> std::io::Result<Self> {
        let name = format!("materia-print-{:016x}", fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A browser that ends with its value.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn print(program: &str, arguments: &[String], document: &str) -> Result<Vec<u8>, PrintError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        PrintError::Failed(format!("{program}: {what}: {error}"))
    };
    let folder = WorkFolder::new().map_err(|error| failed("cannot create a folder", &error))?;
    let path = |name: &str| folder.0.join(name);
    let (page, pdf) = (path("page.html"), path("page.pdf"));
    std::fs::write(&page, document).map_err(|error| failed("cannot write the page", &error))?;
    let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
    let child = Command::new(program)
        .args([
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-background-networking",
            "--no-first-run",
            "--no-pdf-header-footer",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=127.0.0.1:9",
        ])
        .arg(option("user-data-dir", &path("profile")))
        .arg(option("print-to-pdf", &pdf))
        .args(arguments)
        .arg(&page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed("cannot be run", &error))?;
    let mut browser = Browser(child);
    let begun = Instant::now();
    loop {
        match browser.0.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => return Err(failed("ended", &status)),
            Err(error) => return Err(failed("cannot be waited for", &error)),
            Ok(None) if begun.elapsed() > PRINT_TIMEOUT => {
                return Err(failed("stopped", &"it took more than 20 s"));
            }
            Ok(None) => std::thread::sleep(POLL_INTERVAL),
        }
    }
    std::fs::read(&pdf).map_err(|error| failed("printed nothing", &error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_browser_that_fails_is_named_and_leaves_nothing_behind() {
        assert!(Printer::new(&[]).is_none());
        for (program, problem) in
            [("false", "ended"), ("/none/chromium", "cannot be run"), ("true", "printed nothing")]
        {
            let printer = Printer::new(&[program.to_owned()]).unwrap();
            let error = printer.print("<p>page</p>".to_owned()).await.unwrap_err().to_string();
            assert!(error.contains(problem) && error.starts_with(program), "{error}");
        }
    }
}
