//! The explorer: columns that nobody sees, titles and units, rows, columns, and what visitors
//! without an account see of it.

use axum::http::StatusCode;
use materia::{
    dashboard::{self, Dashboards},
    plan::Plan,
    reader::Pin,
    settings::Settings,
};
use scraper::{Html, Selector};

use super::{Answered, Site, data::KEY, html::assert_valid};

const HIDDEN: &str = "
[tables.rainfall]
plan = 'free'
hidden = ['Latitude']
label = 'Rain'
order = ['region']
[tables.rainfall.columns.precipitation_mm]
label = 'Rainfall'
unit = 'mm'
format = 'integer'
";

fn texts(page: &Answered, selector: &str) -> Vec<String> {
    let (page, selector) = (Html::parse_document(&page.body), Selector::parse(selector).unwrap());
    let text = page.select(&selector).map(|one| one.text().collect::<String>());
    text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_column_is_at_no_door_of_the_site_and_the_api() {
    let site = Site::with_file(HIDDEN, &[]).await;
    site.export();
    let pin = site.app.reader.pin().unwrap();
    let served = pin.catalog().await.unwrap().tables;
    let rain = served.iter().find(|table| table.name == "rainfall").unwrap();
    assert!(rain.columns.iter().any(|column| column.name == "latitude"), "{rain:?}");
    let cookie = site.sign_in("admin@example.test").await;
    let key = site.key("pro@example.test", KEY).await;
    for path in [
        "/tables",
        "/tables/rainfall",
        "/tables/rainfall/columns",
        "/tables/rainfall/row",
        "/tables/rainfall/download?format=csv",
        "/tables/rainfall/download?format=jsonl",
        "/methodology",
        "/docs/api",
        "/settings",
    ] {
        let page = site.get(path, Some(&cookie)).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.body.contains("latitude"), "{path} names it");
    }
    let found = site.get("/search?q=latitude", Some(&cookie)).await;
    assert!(!found.body.contains("/tables/rainfall/columns/"), "{}", found.body);
    for path in [
        "/api/v1/tables",
        "/api/v1/tables/rainfall",
        "/api/v1/tables/rainfall/rows?limit=3",
        "/api/v1/tables/rainfall/download?format=csv",
        "/api/v1/openapi.json",
    ] {
        let answered = site.call(&key, path).await;
        assert_eq!(answered.status, StatusCode::OK, "{path}: {}", answered.body);
        assert!(!answered.body.contains("latitude"), "{path} names it");
    }
    // Nor by its name: it does not exist, and its values cannot be found by comparing.
    for by in ["select=latitude", "order=latitude", "latitude=gt.0", "LATITUDE=gt.0"] {
        for path in [
            "/tables/rainfall",
            "/tables/rainfall/columns",
            "/tables/rainfall/row",
            "/tables/rainfall/download",
        ] {
            let page = site.get(&format!("{path}?{by}"), Some(&cookie)).await;
            assert_eq!(page.status, StatusCode::BAD_REQUEST, "{path}?{by}");
        }
        let answered = site.call(&key, &format!("/api/v1/tables/rainfall/rows?{by}")).await;
        assert_eq!(answered.status, StatusCode::BAD_REQUEST, "{by}");
        let problem: serde_json::Value = serde_json::from_str(&answered.body).unwrap();
        let allowed = problem["allowed"].to_string();
        assert!(allowed.contains("longitude") && !allowed.contains("\"latitude\""), "{allowed}");
    }
    let page = site.get("/tables/rainfall/columns/latitude", Some(&cookie)).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

/// Evaluates the first dashboard as a plan sees it, as text.
async fn drawn(dashboards: Dashboards, pin: &Pin, plan: Plan) -> String {
    let all = dashboards.all(pin).await.unwrap();
    format!("{:#?}", dashboard::evaluate(&all[0], pin, &[], plan).await.panels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_overview_shows_no_hidden_column_and_no_table_of_a_larger_plan() {
    let site = Site::serving().await;
    let pin = site.app.reader.pin().unwrap();
    let overview = |rules: &str| {
        let file = (std::path::Path::new("materia.toml"), rules);
        let settings = Settings::load(Some(file), &|_| None).unwrap();
        Dashboards::default().with_rules(settings.tables)
    };
    let open = drawn(overview(""), &pin, Plan::Free).await;
    assert!(open.contains("Average of precipitation mm") && open.contains("\"Month\""), "{open}");
    let hidden = "[tables.'*']\nhidden = ['precipitation_mm', 'normal_mm', 'month']";
    let closed = drawn(overview(hidden), &pin, Plan::Free).await;
    for name in ["recipitation mm", "ormal mm", "\"Month\"", "by month"] {
        assert!(!closed.contains(name), "{name}: {closed}");
    }
    let paid = "[tables.rainfall]\nplan = 'pro'\n[tables.coffee_prices]\nyear = 'month'\nlast = { pro = 5 }";
    let free = drawn(overview(paid), &pin, Plan::Free).await;
    let pro = drawn(overview(paid), &pin, Plan::Pro).await;
    assert!(pro.contains("Average of precipitation mm"), "{pro}");
    assert!(free.contains("Locked") && !pro.contains("Locked"), "{free}");
    // All years are for nobody.
    assert!(!pro.contains("Average of arabica") && open.contains("Average of arabica"), "{pro}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panel_of_changes_shows_no_newest_value_of_a_hidden_column() {
    let folder = tempfile::tempdir().unwrap();
    let panel = "title = 'News'\n[[panel]]\ntitle = 'Changes'\nkind = 'changes'\nvalues = true\n";
    std::fs::write(folder.path().join("news.toml"), panel).unwrap();
    let dashboards = [("MATERIA_DASHBOARDS", folder.path().to_str().unwrap())];
    let newest = async |rules: &str| {
        let site = Site::with_file(rules, &dashboards).await;
        site.export();
        let cookie = site.sign_in("pro@example.test").await;
        let page = site.get("/dashboard/news", Some(&cookie)).await;
        let find = |page: &Answered| {
            let rows = texts(page, "tbody tr");
            rows.into_iter().find(|row| row.starts_with("rainfall")).unwrap()
        };
        // After a reload, too.
        site.app.dashboards.reload();
        let again = site.get("/dashboard/news?again", Some(&cookie)).await;
        assert_eq!(find(&page), find(&again));
        find(&page)
    };
    let shown = newest("").await;
    assert!(shown.contains("-01"), "{shown}");
    let hidden = newest("[tables.rainfall]\nhidden = ['MONTH']").await;
    assert!(!hidden.contains('-'), "{hidden}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_the_titles_units_formats_and_order_of_its_settings() {
    let site = Site::with_file(HIDDEN, &[]).await;
    site.export();
    let cookie = site.sign_in("free@example.test").await;
    let page = site.get("/tables/rainfall", Some(&cookie)).await;
    assert_valid("/tables/rainfall", &page.body);
    assert_eq!(texts(&page, "h1"), ["Rain"]);
    let heads = texts(&page, ".rows th");
    assert_eq!(heads[1], "Region", "{heads:?}");
    assert!(
        heads.iter().any(|head| head.starts_with("Rainfall") && head.ends_with("mm")),
        "{heads:?}"
    );
    // Whole numbers, and with all digits on demand.
    let cells = |page: &Answered| texts(page, ".rows td.right").join(" ");
    assert!(!cells(&page).is_empty());
    let raw = site.get("/tables/rainfall?format=raw", Some(&cookie)).await;
    assert_valid("raw", &raw.body);
    let sorted =
        site.get("/tables/rainfall?format=raw&order=precipitation_mm.desc", Some(&cookie)).await;
    assert!(sorted.body.contains("Readable numbers"), "raw numbers do not survive sorting");
    // The newest first, and the first click on that column turns it round.
    let newest = texts(&page, "th[aria-sort=descending]");
    assert_eq!(newest.len(), 1, "{newest:?}");
    let address = Html::parse_document(&page.body);
    let head = Selector::parse("th[aria-sort] a").unwrap();
    let turned = address.select(&head).next().unwrap().attr("href").unwrap();
    assert!(!turned.contains("desc") && turned.contains("order="), "{turned}");
    // Values are suggested, also without scripts.
    assert!(page.body.contains("<datalist") && texts(&page, "h1").len() == 1);
    let suggested = Html::parse_document(&page.body);
    let options =
        suggested.select(&Selector::parse("datalist option[data-column=region]").unwrap()).count();
    assert!(options > 1, "{options}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_and_a_column_have_pages_that_say_everything_about_them() {
    let site = Site::with_file(HIDDEN, &[]).await;
    site.export();
    let cookie = site.sign_in("pro@example.test").await;
    let table = site.get("/tables/rainfall", Some(&cookie)).await;
    let page = Html::parse_document(&table.body);
    let links = Selector::parse(".row-link").unwrap();
    let row = page.select(&links).nth(1).unwrap().attr("href").unwrap().to_owned();
    let first = texts(&table, ".rows tbody tr:nth-child(2) td:nth-child(2)");
    let page = site.get(&row, Some(&cookie)).await;
    assert_eq!(page.status, StatusCode::OK, "{row}");
    assert_valid(&row, &page.body);
    assert!(texts(&page, "td.value").contains(&first[0]), "{first:?}");
    assert!(page.body.contains("content=\"noindex\""), "each row in search engines");
    let missing = site.get("/tables/rainfall/row?region=eq.nowhere", Some(&cookie)).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    for (path, charts) in
        [("/tables/rainfall/columns/precipitation_mm", 2), ("/tables/rainfall/columns/region", 0)]
    {
        let page = site.get(path, Some(&cookie)).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_valid(path, &page.body);
        assert_eq!(texts(&page, ".panel h2").len(), charts, "{path}");
        assert!(!page.body.contains("about "), "a small table's values are counted");
    }
    let columns = site.get("/tables/rainfall/columns", Some(&cookie)).await;
    assert!(columns.body.contains("class=\"histogram\""), "no distribution");
}

const PUBLIC: &str = "
[tables.rainfall]
public = true
year = 'month'
last = { free = 5 }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_public_table_is_read_without_an_account_in_the_years_of_the_free_plan_and_no_other() {
    let site = Site::with_file(PUBLIC, &[("BASE_URL", "http://beans.localhost")]).await;
    assert_eq!(site.get("/tables/rainfall", None).await.status, StatusCode::SERVICE_UNAVAILABLE);
    site.export();
    let cookie = site.sign_in("free@example.test").await;
    for path in [
        "/tables/rainfall?order=month",
        "/tables/rainfall/columns",
        "/tables/rainfall/row?order=month",
        "/tables/rainfall/columns/month",
    ] {
        let page = site.get(path, None).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_valid(path, &page.body);
        let own = site.get(path, Some(&cookie)).await;
        let main = |page: &Answered| texts(page, "main").join(" ");
        assert_eq!(main(&page), main(&own), "{path} differs from what the free plan sees");
        assert!(page.body.contains("shows the last 5 years"), "{path}");
        let years: Vec<i32> = texts(&page, "td, dd")
            .iter()
            // A day, unlike the years of a normal: 1991-2020.
            .filter(|text| text.get(4..5) == Some("-") && text.get(7..8) == Some("-"))
            .filter_map(|date| date.get(..4)?.parse().ok())
            .collect();
        let (first, last) = (years.iter().min().unwrap(), years.iter().max().unwrap());
        assert!(last - first < 5, "{path}: {first} to {last}");
    }
    let list = site.get("/tables", None).await;
    assert_eq!(list.status, StatusCode::OK);
    assert_eq!(texts(&list, ".tables h2"), ["Rainfall"]);
    for closed in [
        "/tables/rainfall/download?format=csv",
        "/tables/commodity_metrics",
        "/tables/commodity_metrics/row",
        "/tables/commodity_metrics/columns/country_name",
        "/tables/nothing",
        "/dashboard/pulse",
        "/dashboard/",
        "/search?q=rain",
    ] {
        assert_eq!(site.get(closed, None).await.status, StatusCode::SEE_OTHER, "{closed}");
    }
    let page = site.get("/tables/rainfall", None).await;
    let text = page.body.split_once("ld+json\">").unwrap().1.split_once("</script>").unwrap().0;
    let dataset: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(dataset["@type"], "Dataset");
    assert_eq!(dataset["url"], "http://beans.localhost/tables/rainfall");
    assert_eq!(dataset["isAccessibleForFree"], true);
    let map = site.get("/sitemap.xml", None).await.body;
    assert!(map.contains("<loc>http://beans.localhost/tables/rainfall</loc>"), "{map}");
    let robots = site.get("/robots.txt", None).await.body;
    assert!(robots.contains("Allow: /tables/rainfall\n"), "{robots}");
    assert!(
        robots.contains("Allow: /tables$\n") && map.contains("localhost/tables</loc>"),
        "{map}"
    );
}

#[tokio::test]
async fn the_values_of_a_column_with_few_are_counted_and_narrow_the_rows_down() {
    let site = Site::with_file(HIDDEN, &[]).await;
    site.export();
    let cookie = site.sign_in("pro@example.test").await;
    let page = async |address: &str| {
        let page = site.get(address, Some(&cookie)).await;
        assert_eq!(page.status, StatusCode::OK, "{address}");
        assert_valid("rainfall", &page.body);
        page
    };
    let first = page("/tables/rainfall").await;
    let titles = texts(&first, ".refine h2");
    assert!(titles.contains(&"Country name".to_owned()), "{titles:?}");
    assert!(texts(&first, "details.refine[open]").is_empty(), "nothing is chosen yet");
    let of = |page: &Answered, title: &str| -> Vec<(String, String, u64)> {
        let (document, facet) =
            (Html::parse_document(&page.body), Selector::parse(".refine > div > div").unwrap());
        let one = |css: &str| Selector::parse(css).unwrap();
        let facet = document
            .select(&facet)
            .find(|facet| {
                facet.select(&one("h2")).any(|head| head.text().collect::<String>() == title)
            })
            .unwrap_or_else(|| panic!("no facet {title}: {}", page.body));
        let value = |item: scraper::ElementRef<'_>| {
            let link = item.select(&one("a")).next().unwrap();
            let rows: String = item.select(&one("span")).next().unwrap().text().collect();
            let rows = rows.replace(',', "").parse().unwrap();
            (link.text().collect(), link.attr("href").unwrap().to_owned(), rows)
        };
        facet.select(&one("li")).map(value).collect()
    };
    let total = |page: &Answered| -> u64 {
        let counted = texts(page, ".ask-row [role=status]").remove(0);
        counted.rsplit(' ').next().unwrap().replace(',', "").parse().unwrap()
    };
    let countries = of(&first, "Country name");
    assert_eq!(
        countries.iter().map(|(.., rows)| rows).sum::<u64>(),
        total(&first),
        "{countries:?}"
    );
    let (name, address, rows) = countries[0].clone();
    let narrowed = page(&address).await;
    assert_eq!(total(&narrowed), rows, "{name}");
    assert_eq!(texts(&narrowed, "details.refine[open]").len(), 1);
    assert_eq!(texts(&narrowed, ".refine [aria-current]"), [name.as_str()]);
    // The other values are still there to be chosen instead, and the chosen one to be dropped.
    let again = of(&narrowed, "Country name");
    assert_eq!(
        again.iter().map(|(name, _, rows)| (name, rows)).collect::<Vec<_>>(),
        countries.iter().map(|(name, _, rows)| (name, rows)).collect::<Vec<_>>()
    );
    assert_eq!(again[0].1, "/tables/rainfall");
    assert_eq!(again[1].1, countries[1].1);
    // Counts are of what the other filters leave.
    let wet = page("/tables/rainfall?precipitation_mm=gte.100").await;
    let wet_countries = of(&wet, "Country name");
    assert_eq!(wet_countries.iter().map(|(.., rows)| rows).sum::<u64>(), total(&wet));
    assert!(total(&wet) < total(&first));
    assert!(wet_countries[0].1.contains("precipitation_mm=gte.100"), "{wet_countries:?}");
}
