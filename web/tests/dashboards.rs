//! Dashboards whose files change while the site is running.

use std::time::{Duration, Instant};

use super::{Site, html::assert_valid};

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_dashboard_is_drawn_at_once_while_developing_and_a_broken_one_stays_as_it_was() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("boards");
    std::fs::create_dir(&folder).unwrap();
    let write = |title: &str, sql: &str| {
        let text = format!(
            "title = '{title}'\n[[panel]]\nkind = 'stat'\ntitle = 'How many'\nsql = '{sql}'\ny = 'n'\n"
        );
        std::fs::write(folder.join("mine.toml"), text).unwrap();
    };
    write("Mine", "SELECT 1 AS n");
    let site = Site::with_variables(&[("MATERIA_DASHBOARDS", folder.to_str().unwrap())]).await;
    site.export();
    let cookie = site.sign_in("pro@example.test").await;
    let shows = async |what: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let page = site.get("/dashboard/mine", Some(&cookie)).await;
            if page.body.contains(what) {
                return page;
            }
            assert!(Instant::now() < deadline, "in vain: {what} in {}", page.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let first = shows("<h1>Mine</h1>").await;
    write("Mine, edited", "SELECT 2 AS n");
    let edited = shows("<h1>Mine, edited</h1>").await;
    assert_ne!(first.header("etag"), edited.header("etag"));
    std::fs::write(folder.join("mine.toml"), "title = 'Broken'\n[[panel]]\nkind = 'pie'\n")
        .unwrap();
    let broken = shows("mine.toml:3").await;
    assert!(
        broken.body.contains("<h1>Mine, edited</h1>")
            && broken.body.contains("data-kind=\"bad\" role=\"alert\""),
        "{}",
        broken.body
    );
    write("Mended", "SELECT 3 AS n");
    let mended = shows("<h1>Mended</h1>").await;
    assert!(!mended.body.contains("mine.toml"), "{}", mended.body);
    // A missing folder changes nothing.
    std::fs::rename(&folder, folder.with_extension("away")).unwrap();
    assert!(shows("cannot read the dashboards in").await.body.contains("<h1>Mended</h1>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_takes_the_selection_along_and_a_hidden_filter_is_set_by_addresses_only() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("boards");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("sales.toml"),
        "title = 'Sales'
[[filter]]
name = 'region'
kind = 'many'
options = ['North & West', 'South']
[[filter]]
name = 'shop'
label = 'Shop'
kind = 'choice'
options = ['One', 'Two']
hidden = true
[[panel]]
title = 'How many'
title_link = '/dashboard/orders?area=$region&shop=$shop'
kind = 'table'
sql = \"SELECT 1 AS n, 'x' AS name WHERE selected($region, 'South') AND selected($shop, 'Two') UNION ALL SELECT 2, 'y'\"
",
    )
    .unwrap();
    let site = Site::with_variables(&[("MATERIA_DASHBOARDS", folder.to_str().unwrap())]).await;
    site.export();
    let cookie = site.sign_in("pro@example.test").await;
    let page = async |query: &str| {
        let page = site.get(&format!("/dashboard/sales{query}"), Some(&cookie)).await.body;
        assert_valid("sales", &page);
        page
    };
    let plain = page("").await;
    assert!(plain.contains("<a href=\"/dashboard/orders\">How many</a>"), "{plain}");
    assert!(!plain.contains("name=\"shop\"") && !plain.contains("Shop"), "{plain}");
    assert!(plain.contains("data-ranks=\"0 1\""), "{plain}");
    let selected = page("?region=North+%26+West&region=South&shop=Two").await;
    let link = "href=\"/dashboard/orders?area=North+%26+West&amp;area=South&amp;shop=Two\"";
    assert!(selected.contains(link), "{selected}");
    // What it restricts is said, and kept while other filters change.
    let input = "<input type=\"hidden\" name=\"shop\" value=\"Two\">";
    assert!(selected.contains(input) && selected.contains("Shop: Two"), "{selected}");
}

#[tokio::test]
async fn every_row_of_a_long_table_can_be_reached_without_scripts() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("boards");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("rows.toml"),
        "title = 'Rows'
[[filter]]
name = 'most'
kind = 'choice'
options = ['25', '4']
default = '25'
[[panel]]
title = 'All of them'
kind = 'table'
rows = 10
sql = 'SELECT i AS n, i + 1000 AS imports, i + 2000 AS exports FROM range($most::INTEGER) t(i)'
groups = { Trade = ['imports', 'exports'] }
[[panel]]
title = 'Others'
kind = 'table'
rows = 2
sql = 'SELECT i AS other FROM range(5) t(i)'
",
    )
    .unwrap();
    let site = Site::with_variables(&[("MATERIA_DASHBOARDS", folder.to_str().unwrap())]).await;
    site.export();
    let cookie = site.sign_in("pro@example.test").await;
    let page = async |query: &str| {
        let page = site.get(&format!("/dashboard/rows{query}"), Some(&cookie)).await.body;
        assert_valid("rows", &page);
        page
    };
    let first = page("?most=25").await;
    let groups =
        "<td colspan=\"1\"></td><th scope=\"colgroup\" colspan=\"2\"><span>Trade</span></th>";
    assert!(first.contains(groups), "{first}");
    assert!(first.contains("10 rows of 25"), "{first}");
    let next = "href=\"/dashboard/rows?most=25&amp;page.all-of-them=2#panel-all-of-them\"";
    assert!(first.contains(next) && !first.contains("Previous rows of All"), "{first}");
    // The page of another table stays, and a page after the last one is the last one.
    for last in ["3", "4000000000", "18446744073709551615"] {
        let third = page(&format!("?most=25&page.all-of-them={last}&page.others=2")).await;
        assert!(third.contains("21 to 25 of 25 rows") && third.contains(">1,024<"), "{third}");
        assert!(third.contains("3 to 4 of 5 rows"), "{third}");
        let before = "href=\"/dashboard/rows?most=25&amp;page.others=2&amp;page.all-of-them=2#panel-all-of-them\"";
        assert!(third.contains(before) && !third.contains("Next rows of All"), "{third}");
    }
    let second = page("?most=25&page.all-of-them=2").await;
    assert!(second.contains("href=\"/dashboard/rows?most=25#panel-all-of-them\""), "{second}");
    let fewer = page("?most=4&page.all-of-them=2").await;
    assert!(fewer.contains("4 rows") && !fewer.contains("rows of All of them"), "{fewer}");
    for nonsense in ["0", "-1", "x", ""] {
        let page = page(&format!("?most=25&page.all-of-them={nonsense}")).await;
        assert!(page.contains("10 rows of 25"), "{page}");
    }
}

#[tokio::test]
async fn a_filter_that_is_emptied_shows_everything_and_not_its_default_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("boards");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("shops.toml"),
        "title = 'Shops'
[[filter]]
name = 'region'
label = 'Region'
kind = 'many'
options = ['North', 'South', 'West']
default = ['North', 'South']
[[filter]]
name = 'find'
kind = 'search'
default = 'nor'
[[panel]]
title = 'Shops'
kind = 'table'
title_link = '/dashboard/shops?region=$region'
sql = \"SELECT * FROM (VALUES ('North'), ('South'), ('West')) t(region) WHERE selected($region, region) AND contains(lower(region), $find)\"
",
    )
    .unwrap();
    let site = Site::with_variables(&[("MATERIA_DASHBOARDS", folder.to_str().unwrap())]).await;
    site.export();
    let cookie = site.sign_in("pro@example.test").await;
    let page = async |query: &str| {
        let page = site.get(&format!("/dashboard/shops{query}"), Some(&cookie)).await.body;
        assert_valid("shops", &page);
        page
    };
    let rows = |page: &str| {
        ["North", "South", "West"].map(|region| page.contains(&format!("\"row\">{region}<")))
    };
    assert_eq!(rows(&page("").await), [true, false, false]);
    assert_eq!(rows(&page("?find=").await), [true, true, false]);
    let all = page("?find=&region=").await;
    assert_eq!(rows(&all), [true, true, true]);
    // Nothing is wrong, nothing is ticked, and every address of the page keeps the selection.
    assert!(!all.contains("data-bad") && !all.contains("checked"), "{all}");
    assert!(all.contains("All 3"), "{all}");
    assert!(all.contains("panel/shops.csv?find=&amp;region=&amp;safe=true"), "{all}");
    // Without scripts, the empty value is sent together with the ticked ones.
    let some = page("?region=&region=West&find=").await;
    assert_eq!(rows(&some), [false, false, true]);
    assert!(some.contains("panel/shops.csv?region=West&amp;find=&amp;safe=true"), "{some}");
    let unknown = page("?region=East&find=").await;
    assert!(unknown.contains("data-bad"), "{unknown}");
}
