//! A server from nothing: the bootstrap in a root of its own.

use std::{env, fs, path::Path, process::Command};

use crate::support::Ran;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/infra/bootstrap_supervisor.sh");

/// `$LOWER` with a layer over it that is thrown away, the checkout at /mnt/materia and the built command at /mnt/build.
const ROOM: &str = r#"
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root" "$work/build"
cp "$BUILD/materia" "$BUILD"/libduckdb*.so "$work/build"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mkdir -p mnt/materia mnt/build
mount --bind "$CHECKOUT" mnt/materia
mount --bind "$work/build" mnt/build
"#;

/// In a [`ROOM`]: runs the bootstrap twice, and prints what each run left.
const TWICE: &str = r#"
for at in proc dev; do mkdir -p $at; mount --rbind /$at $at; done
cp --remove-destination /etc/resolv.conf etc/resolv.conf
# What it downloads is not what is tried.
[ -e usr/local/bin/uv ] || { printf '#!/bin/sh\n' > usr/local/bin/uv; chmod 755 usr/local/bin/uv; }
once() { env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SMTP_URL='smtps://user:pa$$ word@mail.example.com' "$@" \
    chroot . /mnt/materia/infra/bootstrap_supervisor.sh --binary /mnt/build/materia 2>&1; }
tree() { for top in data etc/materia opt/materia usr/local etc/systemd var/cache/materia etc/passwd etc/group; do
    chroot . find $top -path '*/.git/*' -prune -o -printf '%p %M %u:%g %l ' \( -type f -exec sha256sum -z {} \; -o -true \) -printf '\n'
done | tr '\0' ' ' | sort; }
once; echo "== exit $?"; tree
echo '== again'
echo 'MINE=secret' >> etc/materia/env
once BASE_URL=https://other.example.com; echo "== exit $?"; sed -i '/^MINE=secret$/d' etc/materia/env; tree
echo '== as materia'
chroot . runuser -u materia -- sh -c 'cd /opt/materia/infra/beanflows && materia status; materia users list; test ! -w /usr/local/bin/materia && test ! -w /etc/materia/env && echo kept apart'
"#;

#[test]
fn a_bare_server_becomes_a_running_one_and_a_second_run_changes_nothing() {
    let Ok(lower) = env::var("MATERIA_TEST_BOOTSTRAP") else {
        println!("skipped: MATERIA_TEST_BOOTSTRAP is not set to a Debian root, such as / or what debootstrap made");
        return;
    };
    let ran = in_namespace(TWICE, &lower);
    if ran.stderr.contains("unshare failed") || ran.stderr.contains("permission denied") {
        println!("skipped: no mounts here: {}", ran.stderr);
        return;
    }
    println!("{}", ran.stdout);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let (first, rest) = ran.stdout.split_once("== again\n").unwrap();
    let (second, after) = rest.split_once("== as materia\n").unwrap();
    let (said, tree) = first.split_once("== exit 0\n").expect(first);
    let (said_again, tree_again) = second.split_once("== exit 0\n").expect(second);
    assert_eq!(tree, tree_again);
    assert!(said.contains("made /etc/materia/env") && said.contains("nothing is started, since systemd does not run here"), "{said}");
    assert!(said_again.contains("/etc/materia/env is there and stays as it is") && !said_again.contains("installed"), "{said_again}");
    for expected in [
        "data/materia drwxr-x--x materia:materia",
        "data/materia/accounts drwx------ materia:materia",
        "data/materia/backups drwx------ materia:materia",
        "data/materia/landing drwxr-x--- materia:materia",
        "data/materia/metrics drwxr-xr-x materia:materia",
        "etc/materia/env -rw-r----- root:materia",
        "opt/materia/infra/beanflows/materia.toml -rw-r--r-- materia:materia",
        "opt/materia/infra/beanflows/.env lrwxrwxrwx materia:materia /etc/materia/env",
        "usr/local/bin/materia -rwxr-xr-x root:root",
        "usr/local/lib/libduckdb.so -rw-r--r-- root:root",
        "etc/systemd/system/materia-supervisor.service -rw-r--r-- root:root",
        "etc/systemd/system/materia-web.service -rw-r--r-- root:root",
        "etc/systemd/system/materia-backup.service -rw-r--r-- root:root",
        "etc/systemd/system/materia-backup.timer -rw-r--r-- root:root",
    ] {
        let found = tree.lines().any(|line| line.starts_with(expected));
        assert!(found, "{expected} is not in\n{tree}");
    }
    assert!(after.contains("kept apart"), "{after}");
}

/// As [`TWICE`], with systemd as the first process of a namespace of its own: `$LOWER` must have it. Prints what systemd says of the units when
/// the bootstrap is done, and what they did.
const BOOTED: &str = r"
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
ExecStart=systemctl start materia-backup
ExecStart=systemctl show --property=Id,ActiveState,Result,NRestarts materia-supervisor materia-web materia-backup materia-backup.timer
ExecStart=curl --silent --include http://127.0.0.1:8000/health
ExecStopPost=journalctl --no-pager --unit=materia-supervisor --unit=materia-web --unit=materia-backup
ExecStopPost=systemctl --no-block poweroff
UNIT
mkdir -p etc/systemd/system/multi-user.target.wants
ln -s ../trial.service etc/systemd/system/multi-user.target.wants/
export work
timeout --kill-after=5 120 unshare --pid --mount --fork --kill-child --cgroup --uts --ipc sh -c '
    mount -t proc proc proc; pivot_root . old; cd /; umount -l old
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null' >&2 || true
cat trial.log
";

#[test]
fn systemd_runs_the_units_of_a_new_server() {
    let Ok(lower) = env::var("MATERIA_TEST_BOOTSTRAP") else {
        println!("skipped: MATERIA_TEST_BOOTSTRAP is not set to a Debian root, such as what debootstrap made");
        return;
    };
    let root = Path::new(&lower);
    if root == Path::new("/") || !["lib/systemd/systemd", "usr/bin/curl", "usr/bin/git"].iter().all(|file| root.join(file).exists()) {
        println!("skipped: {lower} is this machine itself, or has no systemd, curl and git");
        return;
    }
    let ran = in_namespace(BOOTED, &lower);
    println!("{}", ran.stdout);
    let shown = |id: &str, lines: &[&str]| {
        let about = ran.stdout.split("\n\n").find(|about| about.lines().any(|line| line == format!("Id={id}")));
        let about = about.unwrap_or_else(|| panic!("{id}: {ran:#?}"));
        assert!(lines.iter().all(|wanted| about.lines().any(|line| line == *wanted)), "{about}");
    };
    shown("materia-supervisor.service", &["ActiveState=active", "NRestarts=0", "Result=success"]);
    shown("materia-web.service", &["ActiveState=active", "NRestarts=0", "Result=success"]);
    shown("materia-backup.service", &["ActiveState=inactive", "Result=success"]);
    shown("materia-backup.timer", &["ActiveState=active"]);
    for told in ["HTTP/1.1 200 OK", "supervising export_serving", "dashboards were read again", "0 accounts, "] {
        assert!(ran.stdout.contains(told), "{told}: {ran:#?}");
    }
}

/// Runs a script in a [`ROOM`], in a mount namespace of its own.
fn in_namespace(script: &str, lower: &str) -> Ran {
    let build = Path::new(env!("CARGO_BIN_EXE_materia")).parent().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--fork", "bash", "-euo", "pipefail", "-c", &format!("{ROOM}{script}")]);
    command.env("LOWER", lower).env("BUILD", build).env("CHECKOUT", ROOT);
    Ran::of(&command.output().unwrap())
}

#[test]
fn the_bootstrap_says_what_it_does_and_refuses_what_it_does_not_understand() {
    let help = Ran::of(&Command::new(SCRIPT).arg("--help").output().unwrap());
    assert!(help.code == 0 && help.stdout.contains("--binary FILE") && !help.stdout.contains("set -euo"), "{help:#?}");
    let wrong = Ran::of(&Command::new(SCRIPT).arg("--bineary").output().unwrap());
    assert!(wrong.code == 2 && wrong.stderr.contains("unknown argument --bineary"), "{wrong:#?}");
}

#[test]
fn the_bootstrap_makes_every_folder_that_a_unit_may_write_and_every_file_that_one_reads() {
    let script = fs::read_to_string(SCRIPT).unwrap();
    let script = script.replace("$data", "/data/materia").replace("$settings", "/etc/materia/env");
    for unit in ["supervisor/materia-supervisor.service", "web/materia-web.service", "web/materia-backup.service"] {
        let text = fs::read_to_string(Path::new(ROOT).join("infra").join(unit)).unwrap();
        let named = |key: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            lines.flat_map(str::split_whitespace).map(|path| path.trim_start_matches('-').to_owned()).collect()
        };
        for folder in named("ReadWritePaths").iter().filter(|folder| folder.starts_with("/data")) {
            let made = script.lines().any(|line| line.contains("folder 7") && line.contains("materia") && line.contains(folder.as_str()));
            assert!(made, "{unit}: {folder}");
        }
        for file in named("EnvironmentFile").iter().chain(&named("WorkingDirectory")).chain(&named("ExecStart")) {
            let repository = file.strip_prefix("/opt/materia").map(|path| format!("{ROOT}{path}"));
            let known = repository.map_or_else(|| script.contains(file.as_str()), |path| Path::new(&path).exists());
            assert!(known || file.starts_with("/data/"), "{unit}: {file}");
        }
        assert_eq!(named("User"), ["materia"]);
    }
}
