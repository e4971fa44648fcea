//! A finished slug that somebody brought: an archive whose `./app` is what runs. Nothing is built; it is only taken
//! apart here, where what is in it can do no harm. What lies beside `./app` is left out, as Heroku does.

use std::path::Path;

use renga_ports::{BuildRequest, BuildResult};

use crate::{BuildError, Log, Places, files, layers::Layers, source};

pub(crate) fn take(
    places: &Places,
    request: &BuildRequest,
    log: &mut Log,
) -> Result<BuildResult, BuildError> {
    log.step("Unpacking the slug");
    let archive = Path::new(&request.source);
    if let Some(checksum) = &request.checksum {
        source::verify(archive, checksum)?;
    }
    let whole = places.tmp.join("slug");
    source::unpack(archive, &whole, false)?;
    let app = whole.join("app");
    if !app.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(BuildError::SlugWithoutApp);
    }
    files::make_dir(&places.layers_out)?;
    Ok(BuildResult {
        layers: Layers::default().finish(places, &app)?,
        cache: None,
        process_types: Default::default(),
        language: None,
        detected: None,
        config_defaults: Default::default(),
        addons: Vec::new(),
        facts: Default::default(),
        buildpacks: Vec::new(),
    })
}
