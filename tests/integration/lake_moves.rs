//! Moving a lake's data or catalog, and restoring them from backups of different ages, as
//! docs/scaling.md describes.

use std::fs;

use crate::lake_targets::{Place, on_every_lake};

on_every_lake!(
    the_data_moves_to_another_place_and_the_setting_that_contradicts_the_lake_is_named,
    the_catalog_moves_to_another_place,
    a_catalog_from_a_backup_older_than_the_data_is_reported_and_the_next_export_publishes_again,
    data_from_a_backup_older_than_the_catalog_is_reported_and_the_next_export_writes_it_again,
);

fn the_data_moves_to_another_place_and_the_setting_that_contradicts_the_lake_is_named(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let (dump, before) = (place.dump(), place.data_folder());
    let after =
        before.with_file_name(format!("{}_moved", before.file_name().unwrap().to_str().unwrap()));
    let setting = place.variable("MATERIA_LAKE_DATA").unwrap();
    let moved = setting.trim_end_matches('/').to_owned() + "_moved";
    fs::rename(&before, &after).unwrap();
    place
        .catalog()
        .execute_batch(&format!(
            "UPDATE ducklake_metadata SET value = '{moved}/' WHERE key = 'data_path'"
        ))
        .unwrap();
    place.forget_engine();
    let ran = place.run(&["export"]);
    assert!(
        ran.code == 1 && ran.stderr.contains(&format!("is in {moved}/, but MATERIA_LAKE_DATA")),
        "{ran:#?}"
    );
    place.tell("MATERIA_LAKE_DATA", &moved);
    assert!(place.ok(&["export"]).stdout.starts_with("unchanged: "));
    place.ok(&["status"]);
    place.ok(&["lake", "check", "--deep"]);
    assert_eq!(place.dump(), dump);
    place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    let ran = place.ok(&["export"]);
    assert!(ran.stdout.contains("(1 copied, 1 unchanged)"), "{ran:#?}");
    place.ok(&["rollback"]);
}

fn the_catalog_moves_to_another_place(place: &mut Place) {
    place.ok(&["export"]);
    let (dump, history) = (place.dump(), place.history());
    place.move_catalog();
    assert_eq!(place.history(), history);
    place.ok(&["status"]);
    assert!(place.ok(&["export"]).stdout.starts_with("unchanged: "));
    assert_eq!(place.dump(), dump);
}

fn a_catalog_from_a_backup_older_than_the_data_is_reported_and_the_next_export_publishes_again(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let first = place.served();
    let backup = place.back_up_catalog();
    place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    place.ok(&["export"]);
    let (second, dump) = (place.served(), place.dump());
    place.restore_catalog(&backup);
    assert_eq!(place.served(), first);
    let status = place.run(&["status"]);
    assert!(
        status.code == 1
            && status.stdout.contains(&format!(
                "generation {second}, the last one served, is not in the lake any more"
            ))
            && status.stdout.contains("an older catalog was restored"),
        "{status:#?}"
    );
    place.ok(&["lake", "check", "--deep"]);
    place.ok(&["export"]);
    assert_eq!(place.dump(), dump);
    place.ok(&["status"]);
    place.ok(&["lake", "check", "--deep"]);
}

fn data_from_a_backup_older_than_the_catalog_is_reported_and_the_next_export_writes_it_again(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let stored = place.stored();
    place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    place.ok(&["export"]);
    let dump = place.dump();
    let folder = place.data_folder();
    for file in place.stored().difference(&stored) {
        fs::remove_file(folder.join(file)).unwrap();
    }
    let status = place.run(&["status"]);
    assert!(status.code == 1 && status.stdout.contains("1 data file of names"), "{status:#?}");
    place.ok(&["export"]);
    assert_eq!(place.dump(), dump);
    place.ok(&["status"]);
    // The generation that lost data is not needed by what is served.
    let check = place.run(&["lake", "check"]);
    assert!(check.stdout.contains("the served generation is whole"), "{check:#?}");
}
