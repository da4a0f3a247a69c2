//! What search engines and previews of links find.

use axum::{
    body::to_bytes,
    http::{Method, StatusCode},
};
use scraper::{Html, Selector};
use tower::ServiceExt;

use super::{Answered, Site, request};

fn content(page: &Answered, selector: &str, attribute: &str) -> String {
    let page = Html::parse_document(&page.body);
    let mut found = page.select(&Selector::parse(selector).unwrap()).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{selector}");
    found.remove(0).attr(attribute).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_sitemap_is_public_and_says_what_it_is() {
    let site = Site::with_variables(&[("BASE_URL", "http://beans.localhost")]).await;
    site.export();
    let map = site.get("/sitemap.xml", None).await;
    assert_eq!(map.header("content-type"), "application/xml; charset=utf-8");
    let pages: Vec<String> = map
        .body
        .split("<loc>http://beans.localhost")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect();
    assert!(pages.contains(&"/pricing".to_owned()) && pages.len() >= 5, "{pages:?}");
    let robots = site.get("/robots.txt", None).await.body;
    assert!(robots.contains("Sitemap: http://beans.localhost/sitemap.xml"), "{robots}");
    let disallowed: Vec<&str> =
        robots.lines().filter_map(|line| line.strip_prefix("Disallow: ")).collect();
    let allowed: Vec<&str> =
        robots.lines().filter_map(|line| line.strip_prefix("Allow: ")).collect();
    let mut descriptions = std::collections::HashSet::new();
    for path in &pages {
        let page = site.get(path, None).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        super::html::assert_valid(path, &page.body);
        let longest = |rules: &[&str]| {
            let matches = |rule: &str| match rule.strip_suffix('$') {
                Some(whole) => *path == whole,
                None => path.starts_with(rule),
            };
            rules.iter().filter(|rule| matches(rule)).map(|rule| rule.len()).max()
        };
        assert!(longest(&disallowed) <= longest(&allowed), "{path}");
        let address = format!("http://beans.localhost{path}");
        assert_eq!(content(&page, "link[rel=canonical]", "href"), address);
        assert_eq!(content(&page, "meta[property='og:url']", "content"), address);
        descriptions.insert(content(&page, "meta[name=description]", "content"));
        let image = content(&page, "meta[property='og:image']", "content");
        assert_eq!(image, "http://beans.localhost/embed/pulse/prices.png");
    }
    assert!(descriptions.len() >= 4, "{descriptions:?}");
    // The address of a page does not depend on its parameters, and an error has none.
    let filtered = site.get("/pricing?period=year", None).await;
    assert_eq!(content(&filtered, "link[rel=canonical]", "href"), "http://beans.localhost/pricing");
    let missing = site.get("/nothing", None).await;
    assert_eq!(content(&missing, "meta[name=robots]", "content"), "noindex");
    assert!(!missing.body.contains("canonical"), "{}", missing.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_of_a_preview_and_the_icons_are_pictures() {
    let site = Site::serving().await;
    for (path, kind, start) in [
        ("/embed/pulse/prices.png", "image/png", &b"\x89PNG"[..]),
        ("/favicon.ico", "image/x-icon", &[0, 0, 1, 0, 1, 0, 32, 32]),
        ("/apple-touch-icon.png", "image/png", b"\x89PNG"),
    ] {
        let response =
            site.router.clone().oneshot(request(&Method::GET, path, None, "")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], kind, "{path}");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(body.starts_with(start) && body.len() > 200, "{path}: {} bytes", body.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_described_to_search_engines_for_data_without_a_figure() {
    let site = Site::serving().await;
    let page = site.get("/methodology", None).await;
    let start = "<script type=\"application/ld+json\">";
    let text = page.body.split_once(start).unwrap().1.split_once("</script>").unwrap().0;
    let catalog: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(catalog["@type"], "DataCatalog");
    let tables = catalog["dataset"].as_array().unwrap();
    assert!(tables.len() >= 5, "{text}");
    for table in tables {
        assert_eq!(table["@type"], "Dataset");
        // Shorter ones are refused by Google's search for data sets.
        assert!(table["description"].as_str().unwrap().len() >= 50, "{table}");
        let place = table["url"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
        assert!(page.body.contains(&format!("id=\"{place}\"")), "{place}");
        assert!(!table["variableMeasured"].as_array().unwrap().is_empty(), "{table}");
    }
    assert!(!text.contains("\"rows\""), "{text}");
}
