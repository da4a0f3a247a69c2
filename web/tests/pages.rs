//! Rendered pages, from fixed figures.

use std::fmt::Write as _;

use materia::{
    dashboard::{Content, DashboardData, Formula},
    reader::{ColumnInfo, TableInfo},
    settings::{BrandSettings, Source},
};

use super::{Site, assert_page, figures, html::assert_valid, noon};
use crate::{
    components::{self, Freshness, PanelLinks},
    error::WebError,
    page::View,
    pages::{
        dashboard::{DashboardLink, DashboardPage},
        landing::Landing,
        legal,
        methodology::Methodology,
    },
};

fn whole(body: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><title>t</title></head><body><main>{body}</main></body></html>"
    )
}

fn dashboard_page(others: Vec<DashboardLink>, data: DashboardData) -> DashboardPage {
    let links = PanelLinks {
        name: "production".to_owned(),
        page: "/dashboard/supply".to_owned(),
        files: vec![("CSV", "/dashboard/supply/panel/production.csv?safe=true".to_owned())],
        embed: None,
        table: Some("psd".to_owned()),
        previous_rows: None,
        next_rows: None,
    };
    DashboardPage {
        is_preview: false,
        tab: None,
        address: format!("/dashboard/{}", data.slug),
        is_operator: false,
        diagnostics: Vec::new(),
        others,
        pdf: None,
        data,
        links: vec![None, Some(links)],
        printed: ("BeanFlows".to_owned(), "https://example.com/dashboard/supply".to_owned()),
    }
}

#[test]
fn a_dashboard_shows_every_kind_of_panel_and_filter() {
    let others = vec![
        DashboardLink {
            slug: "pulse".to_owned(),
            title: "Pulse".to_owned(),
            group: None,
            locked: None,
            draft: false,
        },
        DashboardLink {
            slug: "supply".to_owned(),
            title: "Supply".to_owned(),
            group: None,
            locked: None,
            draft: false,
        },
        DashboardLink {
            slug: "positioning".to_owned(),
            title: "Positioning".to_owned(),
            group: None,
            locked: Some(materia::plan::Plan::Pro),
            draft: false,
        },
    ];
    let drawn = dashboard_page(others, figures::dashboard()).render().into_string();
    assert_valid("dashboard", &whole(&drawn));
    assert!(
        !drawn.contains("<script") && !drawn.contains("<b onmouseover"),
        "script in a figure's name is not inert"
    );
    assert!(
        !drawn.contains("a secret reason"),
        "why a panel failed is not the customers' business"
    );
    assert_page("dashboard", &drawn);
}

#[test]
fn a_panel_says_what_it_does_not_show_and_the_sum_of_the_rest_is_gray() {
    let note = "Showing the 20 largest of 37 series; the others are summed as \"Other\".";
    let mut data = figures::dashboard();
    for panel in &mut data.panels {
        panel.notes = vec![note.to_owned()];
    }
    let Content::Chart(chart) = &mut data.panels[1].content else { panic!("{:?}", data.panels[1]) };
    chart.series[1].other = true;
    let shown = data.panels.len();
    data.filters[1].note = Some("Listing the first 1,000 of 1,003 options.".to_owned());
    let drawn = dashboard_page(Vec::new(), data).render().into_string();
    assert_valid("dashboard with notes", &whole(&drawn));
    assert_eq!(drawn.matches("are summed as &quot;Other&quot;.").count(), shown, "{drawn}");
    assert!(drawn.contains("swatch s-other") && drawn.contains("line s-other"), "{drawn}");
    assert!(drawn.contains("Listing the first 1,000 of 1,003 options."), "{drawn}");
}

#[test]
fn the_front_page_shows_figures_a_chart_and_what_plans_cost() {
    let settings = materia::settings::Settings::load(
        Some((
            std::path::Path::new("materia.toml"),
            include_str!("../../infra/beanflows/materia.toml"),
        )),
        &|_| None,
    );
    let chart = figures::dashboard().panels.into_iter().nth(1);
    let drawn = Landing::new(&settings.unwrap().brand, vec![figures::stat()], chart, false)
        .render()
        .into_string();
    assert_valid("landing", &whole(&drawn));
    assert_page("landing", &drawn);
    let neutral =
        Landing::new(&BrandSettings::default(), Vec::new(), None, true).render().into_string();
    assert_valid("neutral landing", &whole(&neutral));
    assert_page("landing_neutral", &neutral);
}

#[test]
fn every_error_says_what_to_do() {
    let wait = std::time::Duration::from_secs(12);
    let errors = [
        WebError::BadRequest("\"x\" is not an e-mail address.".to_owned()),
        WebError::Forbidden,
        WebError::Suspended,
        WebError::CrossSite,
        WebError::NotFound,
        WebError::MethodNotAllowed,
        WebError::TooLarge,
        WebError::RateLimited { retry_after: wait },
        WebError::NoDataYet,
        WebError::Busy { retry_after: wait },
        WebError::AccountsUnavailable,
        WebError::StorageUnavailable,
        WebError::TimedOut,
        WebError::Internal("a secret reason".to_owned()),
    ];
    let brand =
        BrandSettings { contact: Some("us@example.com".to_owned()), ..BrandSettings::default() };
    let mut shown = String::new();
    for error in errors {
        let page = components::error_page(&error, true, &brand, None);
        assert_valid(&error.to_string(), &whole(&page.body.clone().into_string()));
        let _ = writeln!(
            shown,
            "{} {}\n{}\n",
            page.status,
            error.title_and_message().0,
            page.body.into_string()
        );
    }
    assert!(!shown.contains("a secret reason"));
    assert_page("errors", &shown);
}

#[test]
fn the_methodology_names_sources_licences_and_every_column() {
    let source = |name: &str, url: Option<&str>| Source {
        name: name.to_owned(),
        url: url.map(str::to_owned),
        licence: "Public domain".to_owned(),
        licence_url: url.map(|url| format!("{url}/licence")),
        attribution: url.map(|_| "Contains data of USDA".to_owned()),
        about: "Production by country".to_owned(),
    };
    let column = |name: &str, comment: Option<&str>| ColumnInfo {
        name: name.to_owned(),
        data_type: "INTEGER".to_owned(),
        nullable: true,
        comment: comment.map(str::to_owned),
    };
    let table = TableInfo {
        name: "world_supply".to_owned(),
        rows: 4_103,
        comment: Some("One row for each <country> and year".to_owned()),
        columns: vec![
            column("market_year", Some("The year in which it begins")),
            column("country", None),
        ],
    };
    let sources =
        vec![source("USDA", Some("https://example.com/psd")), source("Somebody <else>", None)];
    let full = Methodology {
        sources: sources.clone(),
        tables: vec![table],
        formulas: vec![Formula {
            name: "Stock-to-use".to_owned(),
            text: "ending stocks / <use>".to_owned(),
        }],
        checks: vec!["The balance adds up; if not, nothing is published.".to_owned()],
        has_data: true,
        signed_in: true,
    }
    .render()
    .into_string();
    assert_valid("methodology", &whole(&full));
    assert_page("methodology", &full);
    assert_page(
        "methodology_preparing",
        &Methodology {
            sources,
            tables: Vec::new(),
            formulas: Vec::new(),
            checks: Vec::new(),
            has_data: false,
            signed_in: false,
        }
        .render()
        .into_string(),
    );
}

#[test]
fn the_legal_texts_name_the_service() {
    let brand = BrandSettings { name: "Beans".to_owned(), ..BrandSettings::default() };
    let shown: Vec<_> =
        legal::built_in(&brand).iter().map(|text| text.render().into_string()).collect();
    assert!(shown.iter().all(|text| text.contains("Beans") && !text.contains('{')));
    assert_page("legal", &shown.join("\n\n"));
}

#[test]
fn a_page_tells_how_old_its_data_is() {
    let fresh = Freshness::of(&figures::dashboard().generation, noon());
    assert_page("freshness", &components::freshness::freshness(Some(&fresh), true).into_string());
    assert_page("freshness_none", &components::freshness::freshness(None, false).into_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_valid_html_for_every_kind_of_visitor() {
    let site = Site::serving().await;
    let slugs: Vec<_> = site
        .app
        .dashboards
        .current()
        .dashboards
        .user_defined()
        .unwrap()
        .iter()
        .map(|one| format!("/dashboard/{}", one.slug))
        .collect();
    let public = [
        "/",
        "/methodology",
        "/legal/terms",
        "/legal/privacy",
        "/auth/login",
        "/auth/signup",
        "/nowhere",
    ]
    .map(str::to_owned);
    for email in [
        None,
        Some("free@example.test"),
        Some("starter@example.test"),
        Some("pro@example.test"),
        Some("admin@example.test"),
    ] {
        let cookie = match email {
            Some(email) => Some(site.sign_in(email).await),
            None => None,
        };
        let mut paths = public.to_vec();
        if email.is_some() {
            paths.extend(slugs.clone());
            paths.push("/settings".to_owned());
        }
        if email == Some("admin@example.test") {
            paths.extend(["/admin/", "/admin/accounts", "/admin/exports"].map(str::to_owned));
        }
        for path in paths {
            let answered = site.get(&path, cookie.as_deref()).await;
            assert!(answered.status.as_u16() < 500, "{path}: {}", answered.status);
            if answered.status.as_u16() != 303 {
                assert_valid(&format!("{path} for {email:?}"), &answered.body);
                assert!(
                    answered.body.contains("id=\"freshness\""),
                    "{path} does not tell how old its data is"
                );
            }
        }
    }
}
