//! Data that dashboards and settings expose by mistake, and the warnings about it.

use std::fs;

use crate::{
    support::{Site, eventually},
    web::Web,
};

fn with_board(site: &Site, text: &str) {
    fs::create_dir_all(site.path("boards")).unwrap();
    fs::write(site.path("boards/mine.toml"), text).unwrap();
}

const PAID: &str = "title = 'Mine'\n[[panel]]\nkind = 'table'\ntitle = 'Paid'\nplan = 'pro'\nsql = 'SELECT id FROM numbers'\n";
const WARNING: &str = "requires the plan pro, but the plan free can read all of its table numbers";

#[test]
fn check_export_and_site_warn_of_a_readable_table_behind_a_paid_panel() {
    let site = Site::small();
    site.settings("[dashboards]\ndir = 'boards'\n");
    with_board(&site, PAID);
    let exported = site.ok(&["export"]);
    assert!(exported.stdout.contains(WARNING), "{exported:#?}");
    let checked = site.ok(&["dashboards", "check"]);
    assert!(
        checked.stdout.contains(WARNING) && checked.stdout.contains("boards/mine.toml:2"),
        "{checked:#?}"
    );
    assert!(checked.stdout.contains("[tables.numbers] with plan = \"pro\""), "{checked:#?}");
    let web = Web::start(&site, &[]);
    eventually("the site warns", || web.log().contains(WARNING));
    drop(web);

    site.settings("[dashboards]\ndir = 'boards'\n[tables.numbers]\nplan = 'pro'\n");
    assert!(!site.ok(&["export"]).stdout.contains(WARNING));
    assert!(!site.ok(&["dashboards", "check"]).stdout.contains("requires the plan"));
    assert!(!Web::start(&site, &[]).log().contains(WARNING));
}

#[test]
fn an_address_that_would_run_something_is_a_mistake_that_check_names_and_no_page_links_to() {
    let site = Site::small();
    site.settings("[dashboards]\ndir = 'boards'\n");
    let panel = "[[panel]]\nkind = 'table'\ntitle = 'Rows'\nsql = 'SELECT id FROM numbers'\n";
    for address in [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "data:text/html,x",
        "//example.com",
        "file:///etc/passwd",
    ] {
        with_board(
            &site,
            &format!("title = 'Mine'\n[[source]]\nname = 'Somebody'\nurl = '{address}'\n{panel}"),
        );
        let exported = site.ok(&["export"]);
        assert!(exported.stdout.contains("cannot be a link"), "{exported:#?}");
        let checked = site.run(&["dashboards", "check"]);
        assert_eq!(checked.code, 1, "{address}");
        assert!(
            checked.stdout.contains(&format!("boards/mine.toml:2: \"{address}\" cannot be a link")),
            "{checked:#?}"
        );
    }
    let markdown = "title = 'Mine'\n[[panel]]\nkind = 'markdown'\ntitle = 'Text'\ntext = '[here](javascript:alert(1))'\n";
    with_board(&site, markdown);
    assert!(site.run(&["dashboards", "check"]).stdout.contains("cannot be a link"));
    with_board(
        &site,
        &format!(
            "title = 'Mine'\n[[source]]\nname = 'Somebody'\nurl = 'https://example.com/a'\n{panel}"
        ),
    );
    assert_eq!(site.run(&["dashboards", "check"]).code, 0);
    site.settings("[dashboards]\ndir = 'boards'\n[[brand.sources]]\nname = 'Somebody'\nlicence = 'none'\nurl = 'javascript:alert(1)'\n");
    let refused = site.run(&["dashboards", "check"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("\"javascript:alert(1)\" cannot be a link"),
        "{refused:#?}"
    );
}

#[test]
fn a_paid_panel_cannot_be_public() {
    let site = Site::small();
    site.settings("[dashboards]\ndir = 'boards'\n");
    with_board(&site, &PAID.replace("plan = 'pro'", "plan = 'pro'\npublic = true"));
    site.ok(&["export"]);
    let checked = site.run(&["dashboards", "check"]);
    assert!(
        checked.code == 1
            && checked.stdout.contains("a panel that requires the plan pro cannot be public"),
        "{checked:#?}"
    );
    with_board(&site, &PAID.replace("title = 'Mine'", "title = 'Mine'\npublic = true"));
    assert_eq!(
        site.run(&["dashboards", "check"]).code,
        0,
        "a public dashboard may have paid panels, which are not public"
    );
}

#[test]
fn a_logo_reaches_the_page_as_a_drawing_and_nothing_else() {
    let site = Site::small();
    site.settings("[brand]\nlogo = '''<svg onload=\"a()\" viewBox=\"0 0 1 1\"><iframe src=\"https://e.example\"></iframe><path d=\"M0 0\"/></svg>'''\n");
    site.ok(&["export"]);
    let page = Web::start(&site, &[]).get("/", "");
    assert!(page.contains("<svg viewBox=\"0 0 1 1\"><path d=\"M0 0\"/></svg>"), "{page}");
    assert!(
        !page.contains("onload") && !page.contains("iframe") && !page.contains("e.example"),
        "{page}"
    );
}
