//! A new generation is shown as a whole, once the popular pages have been rendered from it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use materia::plan::Plan;
use tokio::sync::watch;

use super::Site;
use crate::{
    page_cache::CacheStats,
    site_reader,
    viewer::{Appearance, Viewer},
};

/// Long enough for a machine that has much else to do.
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_popular_page_do_not_wait_for_it_after_an_update() {
    let site = Site::serving().await;
    let stopping = watch::Sender::new(false);
    site_reader::start(&site.app, LIMIT, stopping.subscribe());
    let mut notified = site.app.reader.generations();
    notified.wait_for(Option::is_some).await.unwrap();
    let (free, pro) =
        (site.sign_in("free@example.test").await, site.sign_in("pro@example.test").await);
    let pages = [
        ("/dashboard/pulse", Some(&free)),
        ("/dashboard/pulse?years_from=2020", Some(&pro)),
        ("/dashboard/positioning", Some(&pro)),
        ("/tables", Some(&free)),
    ];
    let mut before = Vec::new();
    for (path, cookie) in pages {
        before.push(site.get(path, cookie.map(String::as_str)).await);
    }
    notified.mark_unchanged();
    site.export();
    let CacheStats { hits, misses, .. } = site.app.page_cache.stats();
    for ((path, cookie), before) in pages.into_iter().zip(&before) {
        let after = site.get(path, cookie.map(String::as_str)).await;
        assert_ne!(after.header("etag"), before.header("etag"), "{path} is of the new generation");
    }
    let after = site.app.page_cache.stats();
    assert_eq!((after.hits - hits, after.misses - misses), (4, 0));
    assert!(notified.has_changed().unwrap(), "open pages are notified");
    let shown = notified.borrow().clone().unwrap();
    assert_eq!(shown.sequence, site.app.reader.pin().unwrap().generation().sequence);
    stopping.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_an_older_generation_after_a_newer_one() {
    let site = Site::serving().await;
    let stopping = watch::Sender::new(false);
    site_reader::start(&site.app, LIMIT, stopping.subscribe());
    site.get("/", None).await;
    let (app, is_over) = (site.app.clone(), Arc::new(AtomicBool::new(false)));
    let over = is_over.clone();
    let viewer = std::thread::spawn(move || {
        let mut last = 0;
        loop {
            // It looks once more after the last export.
            let is_last = over.load(Ordering::SeqCst);
            let pinned = app.reader.pin().unwrap().generation().sequence;
            let stated = app.reader.state().generation.unwrap().sequence;
            assert!(last <= pinned && pinned <= stated, "{last}, {pinned}, {stated}");
            last = stated;
            if is_last {
                return last;
            }
        }
    });
    for _ in 0..3 {
        site.export();
    }
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(viewer.join().unwrap(), 4);
    stopping.send_replace(true);
}

#[test]
fn a_page_is_rendered_for_nobody_with_the_access_of_its_viewers() {
    for plan in Plan::ALL {
        let viewer = Viewer::nobody(plan, false, Appearance::Dark);
        let account = viewer.signed_in().unwrap();
        assert_eq!((account.effective_plan(), viewer.is_admin()), (plan, false));
        assert_eq!((account.appearance, account.email.as_str()), (Appearance::Dark, ""));
    }
    let admin = Viewer::nobody(Plan::Pro, true, Appearance::System);
    assert!(admin.is_admin());
}
