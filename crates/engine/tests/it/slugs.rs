//! Slugs that somebody brings.

use std::{collections::BTreeMap, time::Duration};

use renga_engine::operations::{AppNew, SlugNew, SlugView};
use renga_model::{App, Fault, Release, SlugUpload};
use renga_testkit::world::Faults;

use crate::plane::{Bench, Plane, until};

fn said() -> SlugNew {
    SlugNew {
        stack: "heroku-24".parse().unwrap(),
        process_types: BTreeMap::from([("web".parse().unwrap(), "serve".into())]),
        checksum: Some(format!("SHA256:{}", "ab".repeat(32))),
        commit: Some("c0ffee".into()),
        commit_description: None,
        buildpack_provided_description: Some("Go".into()),
    }
}

/// Said, and its archive put.
async fn brought(plane: &Plane, app: &App) -> SlugUpload {
    let upload = plane.engine.slug_create(app, said()).await.unwrap();
    let place = plane.engine.slug_archive_place(upload.id).await.unwrap();
    std::fs::write(place, b"archive").unwrap();
    upload
}

async fn release(
    bench: &Bench,
    plane: &Plane,
    app: &App,
    upload: &SlugUpload,
) -> Result<Release, renga_model::Refusal> {
    let slug = upload.id.to_string();
    plane.engine.release_slug(app, &bench.account, &slug, None).await.map(|view| view.release)
}

#[tokio::test(start_paused = true)]
async fn one_is_unpacked_when_it_is_first_released() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let empty = plane.engine.slug_create(&app, said()).await.unwrap();
    let refused = release(&bench, &plane, &app, &empty).await.unwrap_err();
    assert!(refused.fault == Fault::Invalid && refused.say.contains("Nothing was uploaded"), "{refused:?}");

    let upload = brought(&plane, &app).await;
    let (one, two) =
        tokio::join!(release(&bench, &plane, &app, &upload), release(&bench, &plane, &app, &upload),);
    assert_eq!((one.unwrap().slug, two.unwrap().slug), (Some(upload.id), Some(upload.id)));
    until("serving", async || bench.serves_newest(app.id).await).await;
    match plane.engine.slug_fetch(app.id, &upload.id.to_string()).await.unwrap() {
        SlugView::Slug { slug, has_archive: true } => {
            assert_eq!((slug.process_types, slug.checksum), (upload.process_types.clone(), said().checksum));
            assert_eq!((slug.commit, slug.layers.is_empty()), (said().commit, false));
        }
        other => panic!("{other:?}"),
    }
    assert!(plane.engine.build_list(app.id).await.unwrap().is_empty(), "it is nobody's build");
    assert!(!bench.world.log(app.id).iter().any(|line| line.contains("Build")));
    assert!(plane.engine.slug_archive_place(upload.id).await.is_err(), "it is complete");

    // A day later the archive is gone, and what came of it is not.
    bench.world.clock().advance(Duration::from_secs(25 * 60 * 60));
    plane.engine.slug_create(&app, said()).await.unwrap();
    assert!(plane.engine.slug_archive(upload.id).await.is_err());
    assert_eq!(plane.engine.slug_archive_place(empty.id).await.unwrap_err().fault, Fault::NotFound("slug"));
    assert_eq!(release(&bench, &plane, &app, &upload).await.unwrap().slug, Some(upload.id));
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_can_not_be_unpacked_releases_nothing_and_goes_with_its_app() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let upload = brought(&plane, &app).await;
    let before = bench.releases(app.id).await.len();
    bench.world.builds_fail();
    let refused = release(&bench, &plane, &app, &upload).await.unwrap_err();
    assert!(refused.fault == Fault::Invalid && refused.say.contains("could not be unpacked"), "{refused:?}");
    assert_eq!(bench.releases(app.id).await.len(), before);
    assert!(!bench.world.log(app.id).iter().any(|line| line.contains("Build")));
    // It may be put again.
    let place = plane.engine.slug_archive_place(upload.id).await.unwrap();
    assert!(place.exists());

    plane.engine.app_destroy(app.id).await.unwrap();
    until("the app to go", async || !bench.app_exists(app.id).await).await;
    assert!(!place.exists());
    plane.kill().await;
}
