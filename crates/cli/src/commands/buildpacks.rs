//! `buildpacks` and below: the list that the next build uses, in its order.

use renga_wire::{BuildpackInstallation, BuildpackUpdate, BuildpackUpdates};

use crate::{
    app::AppArgs,
    context::{Context, OnApp},
    errors::Failure,
};

/// `buildpacks`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga buildpacks -a times\n  renga buildpacks --json")]
pub struct ListArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
}

/// `buildpacks:add` and `buildpacks:set`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga buildpacks:set heroku/python\n  renga buildpacks:add --index 1 heroku/nodejs\n  \
                        renga buildpacks:add https://example.com/buildpack.git#v2 -a times"
)]
pub struct OneArgs {
    /// Name (heroku/python) or URL
    pub buildpack: String,
    /// Place in the list, from 1
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub index: Option<u32>,
    #[command(flatten)]
    pub app: AppArgs,
}

/// `buildpacks:remove`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga buildpacks:remove heroku/nodejs\n  renga buildpacks:remove --index 2"
)]
pub struct RemoveArgs {
    /// Name or URL, as `renga buildpacks` shows it
    #[arg(required_unless_present = "index", conflicts_with = "index")]
    pub buildpack: Option<String>,
    /// Place in the list, from 1
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub index: Option<u32>,
    #[command(flatten)]
    pub app: AppArgs,
}

/// `buildpacks:clear`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga buildpacks:clear -a times")]
pub struct ClearArgs {
    #[command(flatten)]
    pub app: AppArgs,
}

pub(crate) fn list(context: &Context<'_>, args: &ListArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let installed: Vec<BuildpackInstallation> = on.client.list(&on.path("/buildpack-installations"))?;
    if args.json {
        return context.out.json(&installed);
    }
    if installed.is_empty() {
        return context.out.print(&format!("{} has no Buildpacks.\n", context.out.app(&on.app)));
    }
    let names: Vec<String> = installed.into_iter().map(name_of).collect();
    let plural = if names.len() == 1 { "Buildpack" } else { "Buildpacks" };
    let header = context.out.header(&format!("{} {plural}", context.out.app(&on.app)));
    context.out.print(&(header + &numbered(&names)))
}

pub(crate) fn add(context: &Context<'_>, args: &OneArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let names = with_added(fetch(&on)?, &args.buildpack, args.index)?;
    put(context, &on, names, "added")
}

pub(crate) fn set(context: &Context<'_>, args: &OneArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let names = with_set(fetch(&on)?, &args.buildpack, args.index)?;
    put(context, &on, names, "set")
}

pub(crate) fn remove(context: &Context<'_>, args: &RemoveArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let names = without(fetch(&on)?, args.buildpack.as_deref(), args.index)?;
    put(context, &on, names, "removed")
}

pub(crate) fn clear(context: &Context<'_>, args: &ClearArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    put(context, &on, Vec::new(), "cleared")
}

fn fetch(on: &OnApp) -> Result<Vec<String>, Failure> {
    let installed: Vec<BuildpackInstallation> = on.client.list(&on.path("/buildpack-installations"))?;
    Ok(installed.into_iter().map(name_of).collect())
}

fn name_of(installation: BuildpackInstallation) -> String {
    let url = installation.buildpack.url;
    url.strip_prefix("urn:buildpack:").map_or(url.clone(), str::to_owned)
}

fn put(context: &Context<'_>, on: &OnApp, names: Vec<String>, done: &str) -> Result<(), Failure> {
    let updates = names.into_iter().map(|buildpack| BuildpackUpdate { buildpack }).collect();
    let now: Vec<BuildpackInstallation> =
        on.client.put(&on.path("/buildpack-installations"), &BuildpackUpdates { updates })?;
    let names: Vec<String> = now.into_iter().map(name_of).collect();
    let app = context.out.app(&on.app);
    let plural = if done == "cleared" { "Buildpacks" } else { "Buildpack" };
    context.out.print(&match names.as_slice() {
        [] => format!("{plural} {done}. Next release on {app} will detect buildpacks normally.\n"),
        [name] => format!("Buildpack {done}. Next release on {app} will use {name}.\n"),
        names => format!("Buildpack {done}. Next release on {app} will use:\n{}", numbered(names)),
    })?;
    if !names.is_empty() {
        context.out.note("Run git push heroku main to create a new release using this list.\n");
    }
    Ok(())
}

fn numbered(names: &[String]) -> String {
    match names {
        [one] => format!("{one}\n"),
        names => names.iter().enumerate().map(|(n, name)| format!("  {}. {name}\n", n + 1)).collect(),
    }
}

// === the list ===

fn place(index: Option<u32>) -> Option<usize> {
    index.and_then(|index| usize::try_from(index).ok()).map(|index| index.saturating_sub(1))
}

fn with_added(mut names: Vec<String>, name: &str, index: Option<u32>) -> Result<Vec<String>, Failure> {
    refuse_twice(&names, name)?;
    let at = place(index).unwrap_or(names.len()).min(names.len());
    names.insert(at, name.to_owned());
    Ok(names)
}

/// Takes the place of the one that is there.
fn with_set(mut names: Vec<String>, name: &str, index: Option<u32>) -> Result<Vec<String>, Failure> {
    refuse_twice(&names, name)?;
    match names.get_mut(place(index).unwrap_or(0)) {
        Some(present) => name.clone_into(present),
        None => names.push(name.to_owned()),
    }
    Ok(names)
}

fn without(mut names: Vec<String>, name: Option<&str>, index: Option<u32>) -> Result<Vec<String>, Failure> {
    let at = match name {
        Some(name) => names.iter().position(|present| present == name),
        None => place(index).filter(|at| *at < names.len()),
    };
    let which = || name.map_or_else(|| format!("number {}", index.unwrap_or(0)), str::to_owned);
    names.remove(at.ok_or_else(|| Failure::NoSuchBuildpack { buildpack: which() })?);
    Ok(names)
}

fn refuse_twice(names: &[String], name: &str) -> Result<(), Failure> {
    match names.iter().any(|present| present == name) {
        true => Err(Failure::Usage(format!("the buildpack {name} is already set on your app"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_list_is_changed_where_it_is_said() {
        assert_eq!(with_added(names("a b"), "c", None).unwrap(), names("a b c"));
        assert_eq!(with_added(names("a b"), "c", Some(1)).unwrap(), names("c a b"));
        assert_eq!(with_added(names("a"), "c", Some(9)).unwrap(), names("a c"));
        assert_eq!(with_set(names("a b"), "c", None).unwrap(), names("c b"));
        assert_eq!(with_set(names("a b"), "c", Some(2)).unwrap(), names("a c"));
        assert_eq!(with_set(names(""), "c", None).unwrap(), names("c"));
        assert_eq!(without(names("a b"), Some("b"), None).unwrap(), names("a"));
        assert_eq!(without(names("a b"), None, Some(1)).unwrap(), names("b"));
        assert!(with_added(names("a"), "a", None).is_err());
        assert!(without(names("a"), Some("x"), None).is_err() && without(names("a"), None, Some(2)).is_err());
    }
}
