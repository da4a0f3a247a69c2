//! The output for people: help, results and errors, as snapshots that are reviewed like code.

use std::fs;

use crate::{
    child::Actor,
    normalized_output::{self, Screen},
    support::{Ran, Site},
};

/// Compares with `snapshots/cli/<name>.snap`.
fn assert_screen(name: &str, shown: &str) {
    normalized_output::settings().bind(|| insta::assert_snapshot!(name, shown));
}

/// Runs the command and compares its complete output, after checking and masking the parts that
/// vary.
fn assert_shows(name: &str, site: &Site, args: &[&str]) -> Ran {
    let ran = site.run(args);
    assert_screen(name, &Screen::of(site).show(args, &ran));
    ran
}

const VERBS: [&str; 18] = [
    "diff",
    "doctor",
    "export",
    "extensions",
    "status",
    "history",
    "rollback",
    "pin",
    "unpin",
    "pipeline",
    "alert",
    "dashboards",
    "tui",
    "web",
    "users",
    "demo",
    "completions",
    "man",
];

#[test]
fn help_tells_what_each_verb_does() {
    let site = Site::empty();
    assert_shows("help", &site, &["--help"]);
    assert_shows("help_short", &site, &["-h"]);
    assert_shows("help_nothing", &site, &[]);
    assert_shows("help_export", &site, &["export", "--help"]);
    assert_shows("help_status", &site, &["status", "--help"]);
    assert_shows("help_tui", &site, &["tui", "--help"]);
    assert_shows("help_history", &site, &["history", "--help"]);
    assert_shows("help_rollback", &site, &["rollback", "--help"]);
    assert_shows("help_pin", &site, &["pin", "--help"]);
    assert_shows("help_unpin", &site, &["unpin", "--help"]);
    assert_shows("help_migrate", &site, &["migrate", "--help"]);
    assert_shows("help_lake", &site, &["lake", "--help"]);
    assert_shows("help_lake_check", &site, &["lake", "check", "--help"]);
    assert_shows("help_pipeline", &site, &["pipeline", "--help"]);
    assert_shows("help_pipeline_list", &site, &["pipeline", "list", "--help"]);
    assert_shows("help_pipeline_run", &site, &["pipeline", "run", "--help"]);
    assert_shows("help_alert", &site, &["alert", "--help"]);
    assert_shows("help_dashboards", &site, &["dashboards", "--help"]);
    assert_shows("help_dashboards_list", &site, &["dashboards", "list", "--help"]);
    assert_shows("help_dashboards_check", &site, &["dashboards", "check", "--help"]);
    assert_shows("help_dashboards_show", &site, &["dashboards", "show", "--help"]);
    assert_shows("help_web", &site, &["web", "--help"]);
    assert_shows("help_demo", &site, &["demo", "--help"]);
    assert_shows("help_completions", &site, &["completions", "--help"]);
    assert_shows("help_man", &site, &["man", "--help"]);
    assert_shows("help_users", &site, &["users", "--help"]);
    assert_shows("help_users_list", &site, &["users", "list", "--help"]);
    assert_shows("help_users_set_plan", &site, &["users", "set-plan", "--help"]);
    assert_shows("help_users_set_role", &site, &["users", "set-role", "--help"]);
    assert_shows("help_users_suspend", &site, &["users", "suspend", "--help"]);
    assert_shows("help_users_backup", &site, &["users", "backup", "--help"]);
    assert_shows("help_users_seed", &site, &["users", "seed", "--help"]);
    assert_shows("help_extensions", &site, &["extensions", "--help"]);
    assert_shows("help_extensions_install", &site, &["extensions", "install", "--help"]);
    assert_shows("help_extensions_list", &site, &["extensions", "list", "--help"]);
}

#[test]
fn help_fits_a_terminal_and_has_no_markup() {
    let site = Site::empty();
    for verb in VERBS.iter().map(|verb| vec![*verb, "--help"]).chain([vec!["--help"]]) {
        for columns in ["80", "100", "240"] {
            let ran = Ran::of(&site.command(&verb).env("COLUMNS", columns).output().unwrap());
            let most = columns.parse::<usize>().unwrap().clamp(100, 120);
            for line in ran.stdout.lines() {
                assert!(line.chars().count() <= most, "{verb:?} at {columns} columns: {line}");
                assert!(!line.contains('`'), "{verb:?}: {line}");
            }
        }
    }
}

#[test]
fn completions_name_every_verb_in_every_shell() {
    let site = Site::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = site.ok(&["completions", shell]).stdout;
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page_that_man_can_read() {
    let site = Site::empty();
    site.ok(&["man", "pages/man1"]);
    let pages = crate::support::names(&site.path("pages/man1"));
    let mut commands = vec![String::from("materia")];
    while let Some(command) = commands.pop() {
        let words: Vec<_> = command.split(' ').skip(1).chain(["--help"]).collect();
        let help = site.ok(&words).stdout;
        let page = format!("{}.1", command.replace(' ', "-"));
        assert!(pages.contains(&page), "{page} is not in {pages:?}");
        let text = fs::read_to_string(site.path("pages/man1").join(&page)).unwrap();
        // Each page has a title line, and every option of the help.
        assert!(text.contains(&format!(".TH {}", page.trim_end_matches(".1"))), "{text}");
        for option in
            help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 3)
        {
            let name =
                option.trim_matches(|char: char| !char.is_ascii_alphanumeric() && char != '-');
            assert!(text.replace("\\-", "-").contains(name), "{page}: {name}");
        }
        let below = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| line.starts_with("  "));
        // `man materia-export` has the same text as `materia help export`.
        let below = below.filter(|line| line.split_whitespace().next() != Some("help"));
        commands.extend(
            below
                .filter_map(|line| line.split_whitespace().next())
                .map(|verb| format!("{command} {verb}")),
        );
    }
    let refused = site.run(&["man", "/proc/pages"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("cannot be written into /proc/pages"),
        "{refused:#?}"
    );
}

#[test]
fn an_export_tells_what_it_did() {
    let site = Site::small();
    assert_shows("export_dry_run_first", &site, &["export", "--dry-run"]);
    assert!(!site.served().exists());
    assert_shows("export", &site, &["export"]);
    assert_shows("export_copy", &site, &["export", "--full", "--snapshot", "copy"]);
    assert_shows("export_quiet", &site, &["export", "--quiet"]);
    site.change("CREATE VIEW serving.small_numbers AS SELECT * FROM serving.numbers WHERE id < 10");
    site.settings(
        "[export.tables.numbers]\nunique = ['id']\nnot_null = ['id']\nmin_rows = 1000\nmax_drop = 0.1\n
         [[export.audits]]\nname = 'values rise'\nsql = 'FROM numbers WHERE value < id'",
    );
    assert_shows("export_dry_run", &site, &["export", "--dry-run"]);
}

#[test]
fn a_refused_export_tells_why_and_what_to_do() {
    let site = Site::small();
    site.ok(&["export"]);
    site.change("DELETE FROM serving.numbers WHERE id >= 100; DROP TABLE serving.names");
    assert_shows("export_refused", &site, &["export"]);
    assert_shows("status_refused", &site, &["status"]);
    assert_shows("export_refused_kept", &site, &["export", "--keep-refused"]);
    assert_shows("export_forced", &site, &["export", "--force"]);
    assert_shows("history_of_refusals", &site, &["history"]);
}

#[test]
fn status_tells_what_is_served_and_what_needs_attention() {
    let site = Site::small();
    assert_eq!(assert_shows("status_nothing", &site, &["status"]).code, 1);
    site.ok(&["export"]);
    assert_eq!(assert_shows("status_healthy", &site, &["status", "--max-age", "1h"]).code, 0);
    assert_eq!(assert_shows("status_stale", &site, &["status", "--max-age", "0s"]).code, 1);
    fs::remove_file(site.lakehouse()).unwrap();
    assert_eq!(assert_shows("status_no_lakehouse", &site, &["status"]).code, 0);
    fs::remove_file(site.served()).unwrap();
    Site::make(&site.served(), "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT 1 AS a");
    assert_eq!(assert_shows("status_foreign", &site, &["status"]).code, 1);
}

#[test]
fn a_held_lakehouse_is_shown_with_its_holder() {
    let site = Site::small();
    site.ok(&["export"]);
    let writer = Actor::start("writer", &site.lakehouse());
    let shown = |args: &[&str]| {
        let ran = site.run(args);
        Screen::of(&site).with_pid(writer.process.id()).show(args, &ran)
    };
    assert_screen("status_lakehouse_held", &shown(&["status"]));
    assert_screen("export_busy", &shown(&["export", "--wait", "1s"]));
    let json = |args: &[&str]| -> Vec<serde_json::Value> {
        let veiled = |line| {
            Screen::of(&site)
                .with_pid(writer.process.id())
                .veiled(serde_json::from_str(line).unwrap())
        };
        site.run(args).stdout.lines().map(veiled).collect()
    };
    normalized_output::settings().bind(|| {
        let held = json(&["status", "--json"]).remove(0)["lakehouse_held_by"].take();
        insta::assert_json_snapshot!("json_status_held", held);
        // The number of repetitions depends on timing.
        let waiting = json(&["export", "--json", "--wait", "1s"])
            .into_iter()
            .find(|event| event["event"] == "waiting");
        insta::assert_json_snapshot!("json_waiting", waiting);
    });
    assert_screen("export_busy_no_wait", &shown(&["export", "--wait", "0s", "--quiet"]));
    writer.end();
}

#[test]
fn generations_are_brought_back_pinned_and_let_go() {
    let site = Site::small();
    assert_shows("history_nothing", &site, &["history"]);
    assert_shows("rollback_nothing", &site, &["rollback"]);
    site.ok(&["export"]);
    assert_shows("rollback_only_one", &site, &["rollback"]);
    site.change("DELETE FROM serving.names WHERE id > 2");
    site.ok(&["export"]);
    let ids: Vec<_> = site
        .history()
        .iter()
        .filter_map(|record| record["generation"].as_str().map(str::to_owned))
        .collect();
    assert_shows("pin", &site, &["pin", &ids[0]]);
    assert_shows("rollback", &site, &["rollback"]);
    assert_shows("rollback_served_already", &site, &["rollback", &ids[0]]);
    assert_shows("rollback_unknown", &site, &["rollback", "2019"]);
    assert_shows("rollback_ambiguous", &site, &["rollback", "20"]);
    // A mistyped name in a rollback changes nothing, and does not alarm a monitoring probe.
    assert_eq!(assert_shows("status_rolled_back", &site, &["status"]).code, 0);
    assert_shows("history", &site, &["history"]);
    assert_shows("history_last", &site, &["history", "-n", "1"]);
    assert_shows("unpin", &site, &["unpin", &ids[0]]);
    assert_shows("pin_unknown", &site, &["pin", "2019"]);
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_was_meant() {
    let site = Site::small();
    let wrong = |name: &str, args: &[&str]| assert_eq!(assert_shows(name, &site, args).code, 2);
    wrong("usage_verb", &["exprt"]);
    wrong("usage_flag", &["export", "--snapshott", "copy"]);
    wrong("usage_value", &["export", "--snapshot", "refling"]);
    wrong("usage_wait", &["export", "--wait", "soon"]);
    wrong("usage_keep", &["export", "--keep", "0"]);
    wrong("usage_missing", &["pin"]);
    wrong("usage_empty", &["rollback", ""]);
    wrong("usage_quiet_json", &["export", "--quiet", "--json"]);
    wrong("usage_config", &["status", "--config", "nowhere.toml"]);
    for (name, text) in [
        ("settings_key", "[export]\nkeep = 3\nkep = 4\n"),
        ("settings_section", "[exports]\nkeep = 3\n"),
        ("settings_value", "[export]\nmax_drop = 20\n"),
        ("settings_type", "[export]\nkeep = 'three'\n"),
        ("settings_syntax", "[export\nkeep = 3\n"),
        ("settings_unique", "[export.tables.orders]\nunique = 'id'\n"),
    ] {
        site.settings(text);
        wrong(name, &["export"]);
    }
    assert_eq!(site.names(), ["lakehouse.duckdb", "materia.toml"]);
}

#[test]
fn a_setting_that_duckdb_rejects_is_named() {
    let site = Site::small();
    assert_shows("export_memory_limit", &site, &["export", "--memory-limit", "lots"]);
    assert_shows("export_storage_version", &site, &["export", "--storage-version", "v9"]);
    assert_shows("export_no_schema", &site, &["export", "--schema", "marts"]);
}

#[test]
fn a_wrong_variable_is_named_together_with_its_file() {
    let site = Site::small();
    fs::write(site.path(".env"), "MATERIA_KEEP=many\n").unwrap();
    assert_eq!(assert_shows("settings_variable", &site, &["export"]).code, 2);
    fs::write(site.path(".env"), "MATERIA KEEP many\n").unwrap();
    assert_eq!(assert_shows("settings_dotenv", &site, &["export"]).code, 2);
}

#[test]
fn flags_win_over_the_environment_over_dotenv_over_the_file_over_the_defaults() {
    let site = Site::small();
    let schema =
        |sql: &str| format!("CREATE SCHEMA {sql}; CREATE TABLE {sql}.{sql} AS SELECT 1 AS a;");
    site.change(&["flag", "env", "dotenv", "file"].map(schema).concat());
    let served = |args: &[&str], variable: bool| {
        let mut command =
            site.command(&[&["export", "--force", "--allow-schema-change", "-q"], args].concat());
        if variable {
            command.env("MATERIA_SCHEMA", "env");
        }
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.code, 0, "{ran:#?}");
        site.history().pop().unwrap()["schema"].as_str().unwrap().to_owned()
    };
    assert_eq!(served(&[], false), "serving");
    site.settings("[export]\nschema = 'file'");
    assert_eq!(served(&[], false), "file");
    fs::write(site.path(".env"), "MATERIA_SCHEMA=dotenv\n").unwrap();
    assert_eq!(served(&[], false), "dotenv");
    assert_eq!(served(&[], true), "env");
    assert_eq!(served(&["--schema", "flag"], true), "flag");
}

#[test]
fn the_served_file_is_next_to_the_lakehouse_by_default() {
    let site = Site::small();
    fs::create_dir(site.path("data")).unwrap();
    fs::rename(site.lakehouse(), site.path("data/lake.duckdb")).unwrap();
    site.ok(&["export", "-q", "--lakehouse", "data/lake.duckdb"]);
    assert!(site.path("data/analytics.duckdb").exists());
    fs::create_dir(site.path("etc")).unwrap();
    // Paths in a settings file are relative to its folder, variables in the `.env` file next to it
    // to the current one.
    fs::write(
        site.path("etc/materia.toml"),
        "lakehouse = '../data/lake.duckdb'\nserving = 'served.duckdb'",
    )
    .unwrap();
    site.ok(&["export", "-q", "--config", "etc/materia.toml"]);
    assert!(site.path("etc/served.duckdb").exists());
    fs::write(site.path("etc/.env"), "SERVING_DUCKDB_PATH=here.duckdb\n").unwrap();
    site.ok(&["export", "-q", "--config", "etc/materia.toml"]);
    assert!(site.path("here.duckdb").exists());
    site.ok(&["export", "-q", "--config", "etc/materia.toml", "--to", "there.duckdb"]);
    assert!(site.path("there.duckdb").exists());
}

#[test]
fn json_for_machines_has_stable_names() {
    let site = Site::small();
    let lines = |args: &[&str]| -> Vec<serde_json::Value> {
        site.run(args).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let show = |name: &str, value: &dyn Fn() -> serde_json::Value| {
        let value = value();
        normalized_output::settings()
            .bind(|| insta::assert_json_snapshot!(name, Screen::of(&site).veiled(value)));
    };
    // How often DuckDB reports a table's progress depends on timing.
    show("json_export", &|| {
        lines(&["export", "--json"])
            .into_iter()
            .filter(|event| event["event"] != "table_progress")
            .collect()
    });
    show("json_dry_run", &|| lines(&["export", "--json", "--dry-run"]).remove(0));
    show("json_status", &|| lines(&["status", "--json"]).remove(0));
    site.change("DROP TABLE serving.names");
    show("json_export_refused", &|| lines(&["export", "--json"]).pop().unwrap());
    show("json_history", &|| lines(&["history", "--json"]).into());
    show("json_status_refused", &|| lines(&["status", "--json"]).remove(0));
}

/// Runs a shell command on a terminal of its own and returns what it wrote.
fn on_terminal(site: &Site, args: &[&str], variables: &[(&str, &str)]) -> String {
    use std::io::Read as _;
    let pair = portable_pty::native_pty_system()
        .openpty(portable_pty::PtySize { rows: 24, cols: 100, pixel_width: 0, pixel_height: 0 })
        .unwrap();
    let mut command = portable_pty::CommandBuilder::new(env!("CARGO_BIN_EXE_materia"));
    command.args(args);
    command.cwd(site.folder());
    for name in ["NO_COLOR", "DUCKDB_PATH", "SERVING_DUCKDB_PATH", "MATERIA_CONFIG"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm-256color");
    for (name, value) in variables {
        command.env(name, value);
    }
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let (mut output, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = reader.read(&mut buffer) {
        output.extend_from_slice(&buffer[..read]);
    }
    child.wait().unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn a_terminal_gets_colors_local_times_and_ages_and_a_pipe_does_not() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    site.change("DROP TABLE serving.names");
    assert_eq!(site.run(&["export", "-q"]).code, 3);
    let tokyo = [("TZ", "Asia/Tokyo")];
    let id = site.history()[0]["id"].as_str().unwrap().to_owned();
    let at = materia::store::GenerationId::parse(&id).unwrap().time().unwrap();
    let hour = (at + jiff::SignedDuration::from_hours(9)).strftime("%H:%M").to_string();
    for args in [["status"].as_slice(), &["history"]] {
        let colored = on_terminal(&site, args, &tokyo);
        assert!(colored.contains("\u{1b}[31m"), "{args:?}: {colored:?}");
        let has_age = |text: &str| text.contains(" ago") || text.contains(", just now");
        assert!(colored.contains(&format!("{hour}, ")) && has_age(&colored), "{colored:?}");
        let plain = on_terminal(&site, args, &[("NO_COLOR", "1")]);
        assert!(!plain.contains('\u{1b}') && has_age(&plain), "{plain:?}");
        let piped = site.run(args).stdout;
        assert!(!piped.contains('\u{1b}') && !piped.contains(&hour), "{piped:?}");
    }
    // What a name contains is no color.
    site.change("CREATE TABLE serving.\"\u{1b}[31mred\u{f8f2}\" AS SELECT 1 AS id; CREATE TABLE serving.names AS SELECT 1 AS id");
    site.run(&["export", "-q"]);
    let status = on_terminal(&site, &["status"], &[("NO_COLOR", "1")]);
    assert!(!status.contains('\u{1b}'), "{status:?}");
}

#[test]
fn completions_in_bash_know_generations_pipelines_plans_and_tables() {
    let site = Site::small();
    site.settings("[pipelines.extract]\ncommand = ['true']");
    site.ok(&["export", "-q"]);
    let id = site.kept().pop().unwrap();
    fs::write(site.path("materia.bash"), site.ok(&["completions", "bash"]).stdout).unwrap();
    let complete = |words: &[&str]| {
        let script = format!(
            "source ./materia.bash; COMP_WORDS=({}); COMP_CWORD={}; _materia_values '{}' \"${{COMP_WORDS[COMP_CWORD]}}\" ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words[0],
        );
        let ran = Ran::of(
            &std::process::Command::new("bash")
                .args(["-c", &script])
                .current_dir(site.folder())
                .output()
                .unwrap(),
        );
        ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let materia = env!("CARGO_BIN_EXE_materia");
    for verb in ["rollback", "pin", "unpin", "diff"] {
        assert_eq!(complete(&[materia, verb, "20"]), [id.as_str()], "{verb}");
    }
    assert_eq!(complete(&[materia, "pipeline", "run", ""]), ["extract", "export_serving"]);
    assert_eq!(complete(&[materia, "export", "--allow-lost", "n"]), ["names", "numbers"]);
    assert_eq!(
        complete(&[materia, "users", "set-plan", "a@example.com", ""]),
        ["free", "starter", "pro"]
    );
    // Everything else is as generated.
    assert_eq!(complete(&[materia, "stat"]), ["status"]);
    assert!(complete(&[materia, "rollback", "--ho"]).contains(&"--hold".to_owned()));
}

#[test]
fn every_manual_page_has_environment_exit_status_files_and_examples() {
    let site = Site::empty();
    site.ok(&["man", "man1"]);
    let pages = crate::support::names(&site.path("man1"));
    assert!(pages.len() > 30 && !pages.iter().any(|page| page.contains("complete.1")), "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(site.path("man1").join(&page)).unwrap();
        for section in ["ENVIRONMENT", "EXIT STATUS", "FILES", "EXAMPLES"] {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(
                heading.iter().any(|heading| text.contains(heading)),
                "{page}: {section}\n{text}"
            );
        }
        assert!(!text.contains("Exit codes:"), "{page}: {text}");
    }
    let first = fs::read_to_string(site.path("man1/materia.1")).unwrap();
    for (variable, _) in materia::settings::VARIABLES {
        assert!(first.contains(variable), "{variable}");
    }
    let export = fs::read_to_string(site.path("man1/materia-export.1")).unwrap();
    assert!(export.contains("MATERIA_WAIT") && !export.contains("SMTP_URL"), "{export}");
}
