//! Point-in-time recovery of the accounts with Litestream, as docs/operations.md describes it.
//! `MATERIA_TEST_LITESTREAM` names the program; `dev_run.sh test` sets it.

use std::{
    env, fs,
    process::{Child, Command, Stdio},
};

use jiff::{Timestamp, Unit};

use crate::{
    s3::{BUCKET, KEY_ID, S3, SECRET},
    support::{Ran, Site, eventually},
    web::Web,
};

/// Litestream on a site's accounts; killed on drop.
struct Litestream<'a> {
    site: &'a Site,
    program: String,
    process: Option<Child>,
}

impl<'a> Litestream<'a> {
    /// Writes its configuration, and returns `None` without the program.
    fn new(site: &'a Site, storage: &S3) -> Option<Self> {
        let Ok(program) = env::var("MATERIA_TEST_LITESTREAM") else {
            println!("skipped: MATERIA_TEST_LITESTREAM does not name Litestream");
            return None;
        };
        let text = fs::read_to_string(concat!(env!("REPOSITORY"), "/infra/web/litestream.yml"));
        let text = text
            .unwrap()
            .replace("/data/materia/accounts", site.folder().to_str().unwrap())
            .replace("bucket: BUCKET", &format!("bucket: {BUCKET}"))
            .replace("https://s3.example.com", &format!("http://127.0.0.1:{}", storage.port()));
        fs::write(site.path("litestream.yml"), text).unwrap();
        Some(Self { site, program, process: None })
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([verb, "-config"]).arg(self.site.path("litestream.yml"));
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
        // Its client does not accept one that another tool needs.
        command.env_remove("AWS_CA_BUNDLE").stdin(Stdio::null());
        command
    }

    fn start(&mut self) {
        let log = fs::File::create(self.site.path("litestream.log")).unwrap();
        let mut command = self.command("replicate");
        self.process = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// Restores the accounts as they were at a time into `to`.
    fn restore(&self, at: Timestamp, to: &str) -> Ran {
        let _ = fs::remove_file(self.site.path(to));
        let mut command = self.command("restore");
        command.args(["-timestamp", &at.to_string(), "-o"]).arg(self.site.path(to));
        Ran::of(&command.arg(self.site.path("accounts.db")).output().unwrap())
    }
}

impl Drop for Litestream<'_> {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn plan(site: &Site) -> String {
    let listed = site.ok(&["users", "list"]).stdout;
    let line = listed.lines().find(|line| line.contains("free@example.test")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn litestream_restores_the_accounts_as_they_were_at_any_second() {
    let Some(storage) = S3::start() else { return };
    let site = Site::small();
    site.ok(&["export", "-q"]);
    site.ok(&["users", "seed"]);
    let Some(mut litestream) = Litestream::new(&site, &storage) else { return };
    let web = Web::start(&site, &[]);
    litestream.start();
    // Each plan is set when the former one has arrived, and the time in between is remembered.
    let mut times = Vec::new();
    for wanted in ["starter", "pro"] {
        site.ok(&["users", "set-plan", "free@example.test", wanted]);
        eventually("the change has arrived", || {
            let now = Timestamp::now();
            let restored = litestream.restore(now, "arrived.db");
            restored.code == 0 && {
                let copy = Site::empty();
                fs::copy(site.path("arrived.db"), copy.path("accounts.db")).unwrap();
                plan(&copy) == wanted
            }
        });
        // Times are restored to the second.
        let second = Timestamp::now().round(Unit::Second).unwrap();
        eventually("the second is over", || {
            Timestamp::now() > second + jiff::Span::new().seconds(2)
        });
        times.push(second + jiff::Span::new().seconds(1));
    }
    // The machine is lost with everything that it had not sent.
    drop(web);
    if let Some(mut process) = litestream.process.take() {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    for (at, expected) in [(times[0], "starter"), (times[1], "pro")] {
        let restored = litestream.restore(at, "then.db");
        assert_eq!(restored.code, 0, "{restored:#?}");
        site.ok(&["users", "restore", "then.db"]);
        assert_eq!(plan(&site), expected);
    }
}
