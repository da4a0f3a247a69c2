//! Installs a server from scratch: the bootstrap in a chroot.

use std::{env, fs, path::Path, process::Command};

use crate::support::Ran;

const ROOT: &str = env!("REPOSITORY");
const SCRIPT: &str = concat!(env!("REPOSITORY"), "/infra/bootstrap_supervisor.sh");

/// `$LOWER` with a disposable overlay, a checkout of this repository at /mnt/materia and the built
/// command at /mnt/build.
const ROOM: &str = r#"
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root" "$work/build"
cp "$BUILD/materia" "$BUILD"/libduckdb*.so "$work/build"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mkdir -p mnt/materia mnt/build
mount --bind "$work/build" mnt/build
git -C "$CHECKOUT" ls-files -z --cached --others --exclude-standard | tar -C "$CHECKOUT" --null --files-from - --ignore-failed-read -c | tar -C mnt/materia --no-same-owner -x
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.test GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.test
commit() { git -C mnt/materia add --all && git -C mnt/materia commit --quiet --message "$1"; }
git -C mnt/materia init --quiet && commit first
"#;

/// In a [`ROOM`]: `once` runs the bootstrap with the given variables, and `as_materia` runs a
/// command as the user that it creates.
const ONCE: &str = r#"
for at in proc dev; do mkdir -p $at; mount --rbind /$at $at; done
cp --remove-destination /etc/resolv.conf etc/resolv.conf
# What it downloads is not what is tried.
[ -e usr/local/bin/uv ] || { printf '#!/bin/sh\n' > usr/local/bin/uv; chmod 755 usr/local/bin/uv; }
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
once() { env -i PATH=$path SMTP_URL='smtps://user:pa$$ word@mail.example.com' "$@" \
    chroot . "${script:-/mnt/materia}/infra/bootstrap_supervisor.sh" --binary "${built:-/mnt/build/materia}" 2>&1; }
attempt() { if once; then echo '== exit 0'; else echo "== exit $?"; fi; }
as_materia() { env -i PATH=$path chroot . runuser -u materia -- sh -c "$1"; }
"#;

/// After [`ONCE`]: runs it twice, and prints the result of each run.
const TWICE: &str = r#"
tree() { for top in data etc/materia opt/materia srv/materia usr/local etc/systemd var/cache/materia etc/passwd etc/group; do
    chroot . find $top -path '*/.git/*' -prune -o -printf '%p %M %u:%g %l ' \( -type f -exec sha256sum -z {} \; -o -true \) -printf '\n'
done | tr '\0' ' ' | sort; }
once; echo "== exit $?"; tree
echo '== again'
echo 'MINE=secret' >> etc/materia/env
once BASE_URL=https://other.example.com; echo "== exit $?"; sed -i '/^MINE=secret$/d' etc/materia/env; tree
echo '== as materia'
chroot . runuser -u materia -- sh -c 'cd /srv/materia/infra/beanflows && materia status; materia users list; test ! -w /usr/local/bin/materia && test ! -w /etc/materia/env && echo kept apart'
"#;

#[test]
fn a_bare_server_becomes_a_running_one_and_a_second_run_changes_nothing() {
    let Some(ran) = in_debian(TWICE) else { return };
    let (first, rest) = ran.stdout.split_once("== again\n").unwrap();
    let (second, after) = rest.split_once("== as materia\n").unwrap();
    let (printed, tree) = first.split_once("== exit 0\n").expect(first);
    let (said_again, tree_again) = second.split_once("== exit 0\n").expect(second);
    assert_eq!(tree, tree_again);
    assert!(
        printed.contains("created /etc/materia/env")
            && printed.contains("nothing was started, because systemd is not running"),
        "{printed}"
    );
    assert!(
        said_again.contains("/etc/materia/env exists and was not changed")
            && !said_again.contains("installed"),
        "{said_again}"
    );
    for expected in [
        "data/materia drwxr-x--x materia:materia",
        "data/materia/accounts drwx------ materia:materia",
        "data/materia/backups drwx------ materia:materia",
        "data/materia/landing drwxr-x--- materia:materia",
        "data/materia/metrics drwxr-xr-x materia:materia",
        "etc/materia/env -rw-r----- root:materia",
        "opt/materia/infra/supervisor/supervisor.sh -rwxr-xr-x root:root",
        "srv/materia/infra/beanflows/materia.toml -rw-r--r-- materia:materia",
        "srv/materia/infra/beanflows/.env lrwxrwxrwx materia:materia /etc/materia/env",
        "usr/local/bin/materia -rwxr-xr-x root:root",
        "usr/local/lib/libduckdb.so -rw-r--r-- root:root",
        "etc/systemd/system/materia-supervisor.service -rw-r--r-- root:root",
        "etc/systemd/system/materia-alert.service -rw-r--r-- root:root",
        "etc/systemd/system/materia-alert.timer -rw-r--r-- root:root",
        "etc/systemd/system/materia-web.service -rw-r--r-- root:root",
        "etc/systemd/system/materia-web.socket -rw-r--r-- root:root",
        "etc/systemd/system/materia-backup.service -rw-r--r-- root:root",
        "etc/systemd/system/materia-backup.timer -rw-r--r-- root:root",
    ] {
        let found = tree.lines().any(|line| line.starts_with(expected));
        assert!(found, "{expected} is not in\n{tree}");
    }
    assert!(after.contains("kept apart"), "{after}");
}

/// After [`ONCE`]: the bootstrap runs, then the user that it created prepares attacks on the next
/// run; prints the outcome of each.
const HOSTILE: &str = r##"
attempt
echo '== writable'
# The folders at the top, what root's shell finds commands in, what systemd and git read, and both of root's checkouts.
writable() { as_materia "find $1 ! -type l -writable 2>/dev/null || true"; }
writable '/ -maxdepth 1 ! -perm -1000'
for top in bin sbin lib usr etc opt root mnt; do writable /$top/; done
echo '== writable as meant'
writable '/srv/materia -maxdepth 0'
echo '== links'
as_materia 'cd /data/materia && rmdir metrics landing && ln -s /etc/systemd/system metrics && ln -s /etc landing'
attempt
chroot . stat --format '%n %U:%G %a' /etc /etc/systemd/system
as_materia 'rm /data/materia/metrics /data/materia/landing'
echo '== git'
cut -d' ' -f6 /proc/self/stat > tmp/session
# Git does what the configuration of a checkout says.
as_materia 'cd /srv/materia && printf "#!/bin/sh\n{ id -un; cut -d\" \" -f6 /proc/self/stat | grep -qxf /tmp/session && echo same session; } >> /tmp/ran\n" > .git/hooks/post-merge && cp .git/hooks/post-merge .git/fs && chmod 755 .git/fs .git/hooks/post-merge && git config core.fsmonitor .git/fs'
echo '# edited' >> mnt/materia/infra/supervisor/supervisor.sh; commit second
git -C opt/materia pull --quiet "$PWD/mnt/materia" HEAD
attempt
sort -u tmp/ran
tail -n 1 opt/materia/infra/supervisor/supervisor.sh srv/materia/infra/supervisor/supervisor.sh
echo '== its own script'
script=/srv/materia attempt
echo '== its own binary'
as_materia 'cp /usr/local/bin/materia /data/materia/materia'
built=/data/materia/materia attempt
echo '== old'
rm -rf srv/materia; chroot . chown -R materia:materia /opt/materia
script=/opt/materia attempt
echo '== mended'
attempt
chroot . stat --format '%n %U:%G' /opt/materia /opt/materia/infra/supervisor/supervisor.sh /srv/materia /srv/materia/infra/supervisor/supervisor.sh
"##;

#[test]
fn nothing_that_root_executes_or_copies_is_writable_by_the_service_user() {
    let Some(ran) = in_debian(HOSTILE) else { return };
    let part = |name: &str| {
        let rest = ran
            .stdout
            .split_once(&format!("== {name}\n"))
            .unwrap_or_else(|| panic!("{name}: {ran:#?}"))
            .1;
        let named = [
            "writable",
            "writable as meant",
            "links",
            "git",
            "its own script",
            "its own binary",
            "old",
            "mended",
        ]
        .map(|name| format!("== {name}\n"));
        named
            .iter()
            .filter_map(|next| rest.find(next.as_str()))
            .min()
            .map_or(rest, |end| &rest[..end])
    };
    assert_eq!(part("writable"), "", "the user materia can write these");
    assert_eq!(part("writable as meant"), "/srv/materia\n", "what looks for files finds them");
    let links = part("links");
    assert!(
        links.contains("could not be created by the user materia") && links.contains("== exit 1\n"),
        "{links}"
    );
    assert!(links.ends_with("/etc root:root 755\n/etc/systemd/system root:root 755\n"), "{links}");
    // Commands from that user's checkout run as that user, and not on root's terminal.
    let git = part("git");
    assert!(
        git.contains("== exit 0\nmateria\n==> ") && git.matches("# edited").count() == 2,
        "{git}"
    );
    for (name, path) in [
        ("its own script", "/srv/materia"),
        ("its own binary", "/data/materia"),
        ("old", "/opt/materia"),
    ] {
        let refused = part(name);
        assert!(
            refused.contains(&format!("bootstrap: {path}"))
                && refused.contains("can be written by the user materia"),
            "{refused}"
        );
        assert!(refused.ends_with("== exit 1\n"), "{refused}");
    }
    let mended = part("mended");
    assert!(
        mended.contains("moved /opt/materia, which the user materia could write, to /srv/materia"),
        "{mended}"
    );
    let owners = "/opt/materia root:root\n/opt/materia/infra/supervisor/supervisor.sh root:root\n/srv/materia materia:materia\n";
    assert!(mended.contains(owners), "{mended}");
}

/// After [`ONCE`]: upgrades to a command that does not run, to one that rejects the settings, and
/// to a good one; then rolls back.
const UPGRADED: &str = r#"
once > first.log || { cat first.log; exit 1; }
installed() { sha256sum usr/local/bin/materia | cut -c1-16; }
mkdir mnt/new
cp mnt/build/libduckdb*.so mnt/new
echo "== old $(installed)"
printf '#!/bin/sh\nexit 1\n' > mnt/new/materia; chmod 755 mnt/new/materia
built=/mnt/new/materia attempt
echo "== after a broken one $(installed)"
cp --remove-destination mnt/build/materia mnt/new/materia; printf x >> mnt/new/materia
cp etc/materia/env env.good
echo 'ADMIN_EMAILS=nobody' >> etc/materia/env
built=/mnt/new/materia attempt
echo "== after refused settings $(installed)"
cp env.good etc/materia/env
as_materia 'cd /srv/materia/infra/beanflows && materia users seed' > /dev/null
built=/mnt/new/materia attempt
echo "== after the upgrade $(installed)"
chroot . find /data/materia/backups -name 'before-*.db' -size +10k -printf 'backup %u %m\n'
env -i PATH=$path chroot . /mnt/materia/infra/bootstrap_supervisor.sh --back-out 2>&1; echo "== exit $?"
echo "== after backing out $(installed)"
as_materia 'cd /srv/materia/infra/beanflows && materia users list'
"#;

#[test]
fn an_upgrade_is_tried_before_it_replaces_the_command_and_can_be_backed_out() {
    let Some(ran) = in_debian(UPGRADED) else { return };
    let hash = |name: &str| {
        let start = format!("== {name} ");
        let line = ran.stdout.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{name}: {ran:#?}")).to_owned()
    };
    let old = hash("old");
    for name in ["after a broken one", "after refused settings", "after backing out"] {
        assert_eq!(hash(name), old, "{name}: {ran:#?}");
    }
    assert_ne!(hash("after the upgrade"), old, "{ran:#?}");
    for line in [
        "does not run here, and nothing was changed",
        "the new command does not accept the settings, and nothing was changed",
        "error    settings: ADMIN_EMAILS",
        "bootstrap: backed up the accounts to /data/materia/backups/before-",
        "backup materia 600",
        "bootstrap: restored the previous command: materia ",
        "4 accounts",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran:#?}");
    }
}

/// After [`ONCE`]: settings created beforehand by an administrator, only for root and with a
/// repeated variable; then settings that the user materia can write; then those of the bootstrap.
const ADMINISTERED: &str = r#"
mkdir -p etc/materia
printf 'BASE_URL=https://one.example.com\nDUCKDB_PATH=/data/materia/lakehouse.duckdb\nBASE_URL=https://two.example.com\n' > etc/materia/env
chown root:root etc/materia/env; chmod 600 etc/materia/env
echo '== private'
attempt
chroot . stat --format '%U:%G %a' /etc/materia/env
cat etc/materia/env
echo '== found'
as_materia 'cd /tmp && materia status || true; cd /tmp && materia doctor || true'
chroot . chown materia:materia /etc/materia/env
echo '== writable'
attempt
rm etc/materia/env
echo '== made'
attempt
echo "twice: $(grep -oE '^[A-Z_]+=' etc/materia/env | sort | uniq --repeated | tr '\n' ' ')"
"#;

#[test]
fn settings_created_before_the_installation_work_or_are_named_in_the_error() {
    let Some(ran) = in_debian(ADMINISTERED) else { return };
    let mut parts = ran.stdout.split("== ").skip(1);
    let mut part = |name: &str, code: &str| {
        let printed = parts.next().unwrap_or_default();
        assert!(printed.starts_with(&format!("{name}\n")), "{name}: {ran:#?}");
        if code.is_empty() {
            return printed.to_owned();
        }
        let ended = parts.next().unwrap_or_default();
        assert!(ended.starts_with(code), "{name}: {ran:#?}");
        format!("{printed}{ended}")
    };
    let private = part("private", "exit 0\n");
    for text in [
        "/etc/materia/env could not be read by the user materia (owner root:root, mode 600); the group materia can read it now",
        "/etc/materia/env sets BASE_URL more than once, and only the last line counts; remove the others",
        "\nroot:materia 640\nBASE_URL=https://one.example.com\n",
    ] {
        assert!(private.contains(text), "{text}: {private}");
    }
    let found = part("found", "");
    assert!(
        found.contains("lakehouse from DUCKDB_PATH in /etc/materia/env")
            && found.contains("from /etc/materia/env: DUCKDB_PATH, BASE_URL"),
        "{found}"
    );
    let writable = part("writable", "exit 1\n");
    assert!(
        writable.contains(
            "/etc/materia/env can be written by the user materia (owner materia:materia, mode 640)"
        ),
        "{writable}"
    );
    let made = part("made", "exit 0\n");
    assert!(made.contains("created /etc/materia/env") && made.contains("\ntwice: \n"), "{made}");
}

/// Like [`TWICE`], with systemd as the first process of a separate PID namespace; requires it in
/// `$LOWER`. Prints the state of the units after the bootstrap, and the results of their runs.
const BOOTED: &str = r#"
mkdir -p old
printf '#!/bin/sh\n' > usr/local/bin/uv; chmod 755 usr/local/bin/uv
for at in run tmp dev; do mount -t tmpfs tmpfs $at; done
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do IFS=: read -r name major minor <<<$device; mknod -m 666 dev/$name c $major $minor; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount --rbind /sys sys
mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
cat > etc/systemd/system/trial.service <<'UNIT'
[Service]
Type=oneshot
Environment=SUPERVISOR_PIPELINES=export_serving
StandardOutput=append:/trial.log
StandardError=inherit
ExecStart=/mnt/materia/infra/bootstrap_supervisor.sh --binary /mnt/build/materia
ExecStart=sleep 2
ExecStart=systemctl reload materia-web
ExecStart=/bin/bash /probe.sh
ExecStart=systemctl start materia-backup
ExecStart=systemctl show --property=Id,ActiveState,Result,NRestarts materia-supervisor materia-web materia-backup materia-backup.timer
ExecStart=curl --silent --include http://127.0.0.1:8000/health
ExecStopPost=journalctl --no-pager --unit=materia-supervisor --unit=materia-web --unit=materia-backup
ExecStopPost=systemctl --no-block poweroff
UNIT
cat > probe.sh <<'PROBE'
probe() { while [ ! -e /done ]; do curl --silent --output /dev/null --max-time 5 --write-out '%{http_code} %{time_total}\n' http://127.0.0.1:8000/health || echo failed; sleep 0.02; done; }
probe > /probes & probing=$!
for round in 1 2 3; do sleep 1; systemctl restart materia-web; done
sleep 1; touch /done; wait $probing
printf 'probes %s failed %s slowest %s\n' "$(wc -l < /probes)" "$(grep -vc '^200' /probes)" "$(cut -d' ' -f2 /probes | sort -n | tail -n 1)"
PROBE
mkdir -p etc/systemd/system/multi-user.target.wants
ln -s ../trial.service etc/systemd/system/multi-user.target.wants/
export work
timeout --kill-after=5 120 unshare --pid --mount --fork --kill-child --cgroup --uts --ipc sh -c '
    mount -t proc proc proc; pivot_root . old; cd /; umount -l old
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null' >&2 || true
cat trial.log
"#;

#[test]
fn systemd_runs_the_units_of_a_new_server() {
    let Ok(lower) = env::var("MATERIA_TEST_BOOTSTRAP") else {
        println!(
            "skipped: MATERIA_TEST_BOOTSTRAP is not set to a Debian root, such as what debootstrap made"
        );
        return;
    };
    let root = Path::new(&lower);
    if root == Path::new("/")
        || !["lib/systemd/systemd", "usr/bin/curl", "usr/bin/git"]
            .iter()
            .all(|file| root.join(file).exists())
    {
        println!("skipped: {lower} is this machine itself, or has no systemd, curl and git");
        return;
    }
    let ran = in_namespace(BOOTED, &lower);
    println!("{}", ran.stdout);
    let shown = |id: &str, lines: &[&str]| {
        let about = ran
            .stdout
            .split("\n\n")
            .find(|about| about.lines().any(|line| line == format!("Id={id}")));
        let about = about.unwrap_or_else(|| panic!("{id}: {ran:#?}"));
        assert!(lines.iter().all(|wanted| about.lines().any(|line| line == *wanted)), "{about}");
    };
    shown("materia-supervisor.service", &["ActiveState=active", "NRestarts=0", "Result=success"]);
    shown("materia-web.service", &["ActiveState=active", "NRestarts=0", "Result=success"]);
    let probes = ran.stdout.lines().find(|line| line.starts_with("probes "));
    let probes: Vec<_> = probes.unwrap_or_else(|| panic!("{ran:#?}")).split(' ').collect();
    let number = |at: usize| probes[at].parse::<f64>().unwrap();
    assert!(number(1) > 50.0 && number(3) < 1.0 && number(5) < 2.0, "{probes:?}");
    shown("materia-backup.service", &["ActiveState=inactive", "Result=success"]);
    shown("materia-backup.timer", &["ActiveState=active"]);
    for message in
        ["HTTP/1.1 200 OK", "supervising export_serving", "reloaded the dashboards", "0 accounts, "]
    {
        assert!(ran.stdout.contains(message), "{message}: {ran:#?}");
    }
}

/// Runs a script after [`ONCE`] in the Debian root of `MATERIA_TEST_BOOTSTRAP`; prints a reason and
/// returns `None` if there is none.
fn in_debian(script: &str) -> Option<Ran> {
    let Ok(lower) = env::var("MATERIA_TEST_BOOTSTRAP") else {
        println!(
            "skipped: MATERIA_TEST_BOOTSTRAP is not set to a Debian root, such as / or what debootstrap made"
        );
        return None;
    };
    let ran = in_namespace(&format!("{ONCE}{script}"), &lower);
    if ran.stderr.contains("unshare failed") || ran.stderr.contains("permission denied") {
        println!("skipped: no mounts here: {}", ran.stderr);
        return None;
    }
    println!("{}", ran.stdout);
    assert_eq!(ran.code, 0, "{ran:#?}");
    Some(ran)
}

/// Runs a script in a [`ROOM`], in a separate mount namespace.
fn in_namespace(script: &str, lower: &str) -> Ran {
    let build = Path::new(env!("CARGO_BIN_EXE_materia")).parent().unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--fork",
        "bash",
        "-euo",
        "pipefail",
        "-c",
        &format!("{ROOM}{script}"),
    ]);
    command.env("LOWER", lower).env("BUILD", build).env("CHECKOUT", ROOT);
    Ran::of(&command.output().unwrap())
}

#[test]
fn the_bootstrap_says_what_it_does_and_refuses_what_it_does_not_understand() {
    let help = Ran::of(&Command::new(SCRIPT).arg("--help").output().unwrap());
    assert!(
        help.code == 0
            && help.stdout.contains("--binary FILE")
            && !help.stdout.contains("set -euo"),
        "{help:#?}"
    );
    let wrong = Ran::of(&Command::new(SCRIPT).arg("--bineary").output().unwrap());
    assert!(wrong.code == 2 && wrong.stderr.contains("unknown argument --bineary"), "{wrong:#?}");
}

#[test]
fn the_bootstrap_makes_every_folder_that_a_unit_may_write_and_every_file_that_one_reads() {
    let script = fs::read_to_string(SCRIPT).unwrap();
    let script = script.replace("$data", "/data/materia").replace("$settings", "/etc/materia/env");
    for unit in [
        "supervisor/materia-supervisor.service",
        "web/materia-web.service",
        "web/materia-backup.service",
        "supervisor/materia-alert.service",
    ] {
        let text = fs::read_to_string(Path::new(ROOT).join("infra").join(unit)).unwrap();
        let named = |key: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            lines
                .flat_map(str::split_whitespace)
                .map(|path| path.trim_start_matches('-').to_owned())
                .collect()
        };
        for folder in named("ReadWritePaths").iter().filter(|folder| folder.starts_with("/data")) {
            let made = script.lines().any(|line| {
                ["folder 7", "folder_inside 7"].iter().any(|makes| line.contains(makes))
                    && line.contains("materia")
                    && line.contains(folder.as_str())
            });
            assert!(made, "{unit}: {folder}");
        }
        for file in named("EnvironmentFile")
            .iter()
            .chain(&named("WorkingDirectory"))
            .chain(&named("ExecStart"))
        {
            let repository = file
                .strip_prefix("/opt/materia")
                .or_else(|| file.strip_prefix("/srv/materia"))
                .map(|path| format!("{ROOT}{path}"));
            let known = repository
                .map_or_else(|| script.contains(file.as_str()), |path| Path::new(&path).exists());
            assert!(known || file.starts_with("/data/"), "{unit}: {file}");
        }
        assert_eq!(named("User"), ["materia"]);
    }
}
