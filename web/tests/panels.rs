//! What can be taken from a panel: files, pictures, and a view for other sites' pages.

use axum::http::StatusCode;
use scraper::{Html, Selector};

use super::{Answered, Site};

const FORMATS: [&str; 4] = ["csv", "json", "svg", "png"];

fn hrefs(page: &str, selector: &str) -> Vec<String> {
    let page = Html::parse_document(page);
    let links = page.select(&Selector::parse(selector).unwrap()).collect::<Vec<_>>();
    links.iter().filter_map(|link| link.attr("href").map(str::to_owned)).collect()
}

/// The first column of a CSV file.
fn first_column(answered: &Answered) -> Vec<String> {
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.body);
    let lines = answered.body.lines().skip(1);
    lines.map(|line| line.split(',').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panels_figures_are_a_file_of_the_rows_behind_it() {
    let site = Site::serving().await;
    let cookie = site.sign_in("pro@example.test").await;
    let get = async |file: &str| {
        site.get(&format!("/dashboard/supply/panel/{file}"), Some(&cookie)).await
    };
    let csv = get("surplus.csv?years_from=2020&years_to=2022").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert!(csv.header("content-disposition").contains("filename=\"supply-surplus.csv\""));
    assert_eq!(first_column(&csv), ["2020", "2021", "2022"]);
    let json: serde_json::Value =
        serde_json::from_str(&get("surplus.json?years_from=2020&years_to=2022").await.body)
            .unwrap();
    assert_eq!(json["title"], "Surplus");
    assert_eq!(json["rows"].as_array().unwrap().len(), 3, "{json}");
    let years = &json["filters"][0];
    assert_eq!((&years["name"], &years["choice"]["from"]), (&"years".into(), &2020.into()));
    // The file has the values of the page's drawing, without rounding.
    let column = csv.body.lines().next().unwrap().split(',').nth(1).unwrap();
    let value = csv.body.lines().nth(1).unwrap().split(',').nth(1).unwrap();
    assert_eq!(json["rows"][0][column].to_string().trim_matches('"'), value, "{json}");
    // Without a filter of the address the page's own.
    let page = get("surplus.csv").await;
    assert!(first_column(&page).len() > 3, "{}", page.body);
    for missing in ["nothing.csv", "surplus.xls", "surplus", ".csv"] {
        assert_eq!(get(missing).await.status, StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_gets_no_more_years_and_no_more_panels_as_files_than_on_the_page() {
    let site = Site::serving().await;
    let free = site.sign_in("free@example.test").await;
    let pro = site.sign_in("pro@example.test").await;
    let address = "/dashboard/supply/panel/surplus.csv?years_from=1960";
    let (all, some) = (site.get(address, Some(&pro)).await, site.get(address, Some(&free)).await);
    let (all, some) = (first_column(&all), first_column(&some));
    assert!(all.len() > 20 && some.len() == 5, "{} and {}", all.len(), some.len());
    assert_eq!(all[all.len() - 5..], some[..]);
    let list = site.app.dashboards.current().dashboards;
    let pin = site.app.reader.pin().unwrap();
    let mut locked = 0;
    for dashboard in list.published(&pin).await.unwrap().iter() {
        for (name, panel) in dashboard.panel_names().iter().zip(&dashboard.panels) {
            if panel.plan == materia::plan::Plan::Free {
                continue;
            }
            locked += 1;
            for format in FORMATS {
                let address = format!("/dashboard/{}/panel/{name}.{format}", dashboard.slug);
                let answered = site.get(&address, Some(&free)).await;
                assert_eq!(answered.status, StatusCode::FORBIDDEN, "{address}");
                let signed_out = site.get(&address, None).await;
                assert!(signed_out.header("location").starts_with("/auth/login"), "{address}");
            }
        }
    }
    assert!(locked > 3, "{locked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_in_a_panels_menu_works() {
    let site = Site::serving().await;
    let cookie = site.sign_in("pro@example.test").await;
    let list = site.app.dashboards.current().dashboards;
    let pin = site.app.reader.pin().unwrap();
    let (mut charts, mut tables) = (0, 0);
    for dashboard in list.published(&pin).await.unwrap().iter() {
        let slug = &dashboard.slug;
        let page = site.get(&format!("/dashboard/{slug}"), Some(&cookie)).await;
        for address in hrefs(&page.body, ".menu a") {
            let (path, place) = address.split_once('#').unwrap_or((&address, ""));
            assert!(
                place.is_empty() || page.body.contains(&format!("id=\"{place}\"")),
                "{address}"
            );
            charts += usize::from(path.contains(".svg"));
            tables += usize::from(path.starts_with("/tables/"));
            // A debug build takes seconds for each picture: two of them are drawn elsewhere.
            if path.contains(".png") {
                continue;
            }
            let answered = site.get(path, Some(&cookie)).await;
            assert_eq!(answered.status, StatusCode::OK, "{slug}: {address}: {}", answered.body);
            if path.contains(".svg") {
                assert!(answered.body.starts_with("<svg xmlns="), "{address}");
                assert!(!answered.body.contains("light-dark"), "{address}");
            }
        }
    }
    assert!(charts > 10 && tables > 0, "{charts} charts, {tables} tables");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_a_picture_by_itself() {
    let site = Site::serving().await;
    let cookie = site.sign_in("pro@example.test").await;
    for (panel, width) in [("surplus", 1_912_u32), ("production", 960)] {
        let address = format!("/dashboard/supply/panel/{panel}.png");
        let request = super::request(&axum::http::Method::GET, &address, Some(&cookie), "");
        let response = tower::ServiceExt::oneshot(site.router.clone(), request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "image/png");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body[..8], *b"\x89PNG\r\n\x1a\n");
        assert_eq!(body[16..20], width.to_be_bytes(), "{panel}");
        assert!(body.len() < 200_000, "{} bytes", body.len());
    }
    let svg = site.get("/dashboard/supply/panel/surplus.svg", Some(&cookie)).await.body;
    assert!(
        svg.contains("BeanFlows") && svg.contains("Data updated") && svg.contains("USDA"),
        "{svg}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_panel_is_embedded_by_the_sites_on_the_list_and_by_no_other() {
    let embed = "[web]\nembed = [\"https://blog.example.com\"]\n";
    let site = Site::with_file(embed, &[]).await;
    site.export();
    let page = site.get("/embed/pulse/arabica", None).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    super::html::assert_valid("embedded panel", &page.body);
    let policy = page.header("content-security-policy");
    assert!(policy.ends_with("frame-ancestors https://blog.example.com"), "{policy}");
    assert_eq!(page.header("x-frame-options"), "");
    // Served again from the cache, the page is as open and no more.
    let again = site.get("/embed/pulse/arabica", None).await;
    assert_eq!(again.header("content-security-policy"), policy);
    assert_eq!(again.header("x-frame-options"), "");
    let picture = site.get("/embed/pulse/arabica.svg", None).await;
    assert_eq!(picture.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(site.get("/", None).await.header("x-frame-options"), "DENY");
    for hidden in
        ["pulse/spread", "pulse/spread.csv", "supply/surplus", "pulse/nothing", "nothing/arabica"]
    {
        let answered = site.get(&format!("/embed/{hidden}"), None).await;
        assert_eq!(answered.status, StatusCode::NOT_FOUND, "{hidden}");
    }
    // Whoever is signed in sees no more there than everybody else.
    let pro = site.sign_in("pro@example.test").await;
    let prices = "/embed/pulse/prices.csv?years_from=1960";
    assert_eq!(site.get(prices, Some(&pro)).await.body, site.get(prices, None).await.body);
    let dashboard = site.get("/dashboard/pulse", Some(&pro)).await.body;
    assert!(hrefs(&dashboard, ".menu a").contains(&"/embed/pulse/arabica".to_owned()));

    let closed = Site::serving().await;
    let page = closed.get("/embed/pulse/arabica", None).await;
    assert!(page.header("content-security-policy").ends_with("frame-ancestors 'none'"));
    assert_eq!(page.header("x-frame-options"), "DENY");
}
