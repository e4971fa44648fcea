//! What users of `heroku_rs` (crates.io) write, at `api.heroku.com`: the token is the only argument. Its types are strict, so
//! every answer is held against them.

use std::{collections::HashMap, error::Error};

use heroku_rs::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let token = std::env::args().nth(1).ok_or("a token is needed")?;
    let heroku = HttpApiClient::create(&token).map_err(|error| error.to_string())?;
    assert_eq!(heroku.request(&AccountDetails::new())?.email, "admin@localhost");

    let app = heroku.request(&AppCreate::new().name("crab").stack("heroku-24").region("us").build())?;
    assert_eq!((app.name.as_str(), app.stack.name.as_str()), ("crab", "heroku-24"));
    let vars = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let set: HashMap<String, String> =
        heroku.request(&AppConfigVarUpdate::new("crab", vars(&[("LEGS", "10"), ("SHELL", "hard")])))?;
    assert_eq!(set["LEGS"], "10");
    heroku.request(&AppConfigVarDelete::create("crab", "SHELL".to_owned()))?;
    assert_eq!(heroku.request(&AppConfigVarDetails::new("crab"))?.len(), 1);

    assert_eq!(heroku.request(&AppList::new())?.len(), 1);
    assert_eq!(heroku.request(&AppDetails::new(&app.id))?.name, "crab");
    assert!(!heroku.request(&AppFeatureList::new("crab"))?.is_empty());
    assert_eq!(heroku.request(&ReleaseList::new("crab"))?.len(), 4);
    assert!(heroku.request(&DynoList::new("crab"))?.is_empty());
    heroku.request(&FormationList::new("crab"))?;
    assert_eq!(heroku.request(&CollaboratorList::new("crab"))?.len(), 1);
    assert!(heroku.request(&KeyList::new())?.is_empty());

    heroku.request(&AppDelete::new("crab"))?;
    let gone = heroku.request(&AppDetails::new("crab")).err().map(|error| error.to_string());
    assert!(gone.as_deref().is_some_and(|said| said.contains("404") && said.contains("not_found")), "{gone:?}");
    println!("heroku_rs has done everything");
    Ok(())
}
