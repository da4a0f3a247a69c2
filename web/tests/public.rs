//! The data that visitors without an account see: what its author declares public.

use std::path::Path;

use axum::http::StatusCode;

use super::Site;

const PULSE: &str = include_str!("../../infra/beanflows/dashboards/pulse.toml");
const UNITS: &str = include_str!("../../infra/beanflows/dashboards/units.toml");
const FORMULAS: &str = include_str!("../../infra/beanflows/dashboards/formulas.toml");

/// Creates a site with a folder of dashboards, none of them public.
async fn with_folder(folder: &Path) -> Site {
    write(folder, &PULSE.replace("public = true\n", ""));
    std::fs::write(folder.join("units.toml"), UNITS).unwrap();
    std::fs::write(folder.join("formulas.toml"), FORMULAS).unwrap();
    let site = Site::with_variables(&[("MATERIA_DASHBOARDS", folder.to_str().unwrap())]).await;
    site.export();
    site
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("pulse.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_sees_no_figure_that_its_author_did_not_call_public() {
    let folder = tempfile::tempdir().unwrap();
    let site = with_folder(folder.path()).await;
    let front = site.get("/", None).await;
    assert_eq!(front.status, StatusCode::OK);
    for sign in ["class=\"panel\"", "The latest figures", "Arabica"] {
        assert!(!front.body.contains(sign), "{sign} is shown to everybody");
    }
    let methodology = site.get("/methodology", None).await.body;
    assert!(
        methodology.contains("table-coffee_prices") && !methodology.contains(" rows</span>"),
        "{methodology}"
    );
    let cookie = site.sign_in("free@example.test").await;
    assert!(site.get("/methodology", Some(&cookie)).await.body.contains(" rows</span>"));

    // One panel is public; the others are not.
    write(
        folder.path(),
        &PULSE.replace("public = true\n", "").replacen(
            "title = \"Robusta\"",
            "title = \"Robusta\"\npublic = true",
            1,
        ),
    );
    site.app.dashboards.reload();
    let front = site.get("/", None).await.body;
    assert!(
        front.contains("Robusta")
            && !front.contains("Arabica")
            && !front.contains("<h2 id=\"chart-name\""),
        "{front}"
    );

    // A whole dashboard is public, except for a paid panel.
    let all = PULSE.replace("public = true\n", "").replacen(
        "plan = \"free\"",
        "plan = \"free\"\npublic = true",
        1,
    );
    write(
        folder.path(),
        &all.replacen("title = \"Arabica\"", "title = \"Arabica\"\nplan = \"starter\"", 1),
    );
    site.app.dashboards.reload();
    let front = site.get("/", None).await.body;
    assert!(
        front.contains("Robusta") && front.contains("Prices") && !front.contains(">Arabica</h2>"),
        "{front}"
    );
    // Its page is public, too, and the paid panel is locked there.
    let page = site.get("/dashboard/pulse", None).await;
    assert_eq!(page.status, StatusCode::OK);
    super::html::assert_valid("/dashboard/pulse", &page.body);
    assert!(page.body.contains("data-kind=\"locked\"") && page.body.contains("Sign up"));
    assert!(page.body.contains("property=\"og:image\" content=\"http://"), "no picture");
    let first = site.get("/dashboard/", None).await;
    assert_eq!(first.header("location"), "/dashboard/pulse");
    let file = |name: &str| format!("/dashboard/pulse/panel/{name}");
    assert_eq!(site.get(&file("robusta.csv"), None).await.status, StatusCode::OK);
    assert_eq!(site.get(&file("arabica.csv"), None).await.status, StatusCode::FORBIDDEN);
    assert!(site.get("/sitemap.xml", None).await.body.contains("/dashboard/pulse</loc>"));
    // A filter shows a visitor no more years than the free plan has.
    let years = "/dashboard/pulse?years_from=1960";
    let (visitor, customer) = (site.get(years, None).await, site.get(years, Some(&cookie)).await);
    let panels = |page: &str| {
        page.split_once("id=\"panels\"").unwrap().1.split_once("<footer").unwrap().0.to_owned()
    };
    assert_eq!(panels(&visitor.body), panels(&customer.body));
    // A draft is not.
    write(folder.path(), &all.replacen("public = true", "public = true\ndraft = true", 1));
    site.app.dashboards.reload();
    assert_eq!(site.get("/dashboard/pulse", None).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn beanflows_front_page_shows_what_its_dashboards_call_public() {
    let site = Site::serving().await;
    let front = site.get("/", None).await.body;
    for title in ["Arabica", "Robusta", "Managed money, net", "World stock-to-use", "Prices"] {
        let heading = [format!(">{title}</h2>"), format!(">{title}</a></h2>")];
        assert!(heading.iter().any(|heading| front.contains(heading)), "{title} is missing");
    }
}
