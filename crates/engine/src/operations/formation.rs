//! The formation: how many dynos of which size are wanted.

use jiff::Timestamp;
use renga_model::{Account, App, AppId, Fault, Formation, ProcessType, Refusal, Sizes, Slug, limits};
use renga_store::{OrNone, Read};

use super::{
    access::app_row,
    room::{self, quotas, refuse_beyond_machine},
};
use crate::{Engine, words};

/// One line of `ps:scale`.
#[derive(Debug, Clone)]
pub struct FormationChange {
    pub process_type: ProcessType,
    pub quantity: Option<Quantity>,
    /// As typed: `standard-2x`.
    pub size: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Set(i64),
    Change(i64),
}

impl Quantity {
    /// `3`, `+1`, `-1`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let number = text.parse().ok()?;
        Some(if text.starts_with(['+', '-']) { Self::Change(number) } else { Self::Set(number) })
    }

    fn of(self, before: u32) -> i64 {
        match self {
            Self::Set(quantity) => quantity,
            Self::Change(by) => i64::from(before).saturating_add(by),
        }
    }
}

/// A type of the formation with the command that the current slug gives it.
pub type WithCommand = (Formation, String);

impl Engine {
    /// The types of the current slug; empty before the first deploy.
    pub async fn formation_list(&self, app: AppId) -> Result<Vec<WithCommand>, Refusal> {
        let settings = self.settings.clone();
        self.store.read(move |read| formation_of(read, &settings.sizes, app)).await
    }

    /// All lines or none. Answers with the whole formation.
    pub async fn formation_update(
        &self,
        app: &App,
        actor: &Account,
        changes: Vec<FormationChange>,
    ) -> Result<Vec<WithCommand>, Refusal> {
        let (app, email, now) = (app.id, actor.email.clone(), self.now());
        let (settings, machine) = (self.settings.clone(), self.machine().await?);
        let update = self.store.write(move |tx| -> Result<_, Refusal> {
            let row = app_row(tx, app)?;
            let mut formation: Vec<Formation> =
                formation_of(tx, &settings.sizes, app)?.into_iter().map(|(f, _)| f).collect();
            let before = formation.clone();
            for change in changes {
                apply(&mut formation, change, &settings.sizes, now)?;
            }
            refuse_too_many(&formation)?;
            let dynos = (room::dynos(before.iter()), room::dynos(formation.iter()));
            room::refuse_beyond_tier(tx, &settings, &row, dynos)?;
            let quotas = (quotas(&settings, before.iter()), quotas(&settings, formation.iter()));
            refuse_beyond_machine(tx, &settings, machine, quotas)?;
            for row in formation.iter().filter(|row| !before.contains(row)) {
                tx.formation_put(row)?;
            }
            let changed = before != formation;
            let formation = formation_of(tx, &settings.sizes, app)?;
            if changed {
                tx.sleep_end(app, now)?;
                tx.say(app, &words::api(now, words::scaled(&shown(&formation), &email)))?;
            }
            Ok((changed, formation))
        });
        let (changed, formation) = update.await?;
        if changed {
            self.wake.formation(app);
            self.wake.routes();
        }
        Ok(formation)
    }

    /// For the operator: sizes that apps have and the configuration has no more. Their dynos are replaced by such of the
    /// default size; the rows keep the name, for the day when the size is back.
    pub async fn tell_lost_sizes(&self) -> Result<(), Refusal> {
        let settings = self.settings.clone();
        let read = self.store.read(move |read| -> Result<_, Refusal> {
            let mut lost = Vec::new();
            for app in read.app_list()? {
                let rows = read.formation_list(app.id)?.into_iter();
                lost.extend(
                    rows.filter(|row| settings.sizes.find(&row.size).is_none())
                        .map(|row| (app.name.clone(), row)),
                );
            }
            Ok(lost)
        });
        for (app, row) in read.await? {
            let (size, process_type) = (&row.size, &row.process_type);
            let instead = &self.settings.size(size).name;
            tracing::warn!(
                app.name = %app,
                "the size {size} of {app}'s {process_type} is not in the configuration: its dynos are {instead} now"
            );
        }
        Ok(())
    }
}

/// Types that the current slug declares, in the order of their names.
pub(super) fn formation_of(read: &Read<'_>, sizes: &Sizes, app: AppId) -> Result<Vec<WithCommand>, Refusal> {
    let Some(slug) = current_slug(read, app)? else { return Ok(Vec::new()) };
    let standing = |row: Formation| Formation { size: sizes.standing_for(&row.size).name.clone(), ..row };
    let rows = read.formation_list(app)?.into_iter().map(standing);
    Ok(rows.filter_map(|row| slug.command(&row.process_type).map(str::to_owned).map(|c| (row, c))).collect())
}

pub(super) fn current_slug(read: &Read<'_>, app: AppId) -> Result<Option<Slug>, Refusal> {
    match read.release_current(app)?.and_then(|release| release.slug) {
        Some(slug) => Ok(read.slug_fetch(slug).or_none()?),
        None => Ok(None),
    }
}

fn apply(
    formation: &mut [Formation],
    change: FormationChange,
    sizes: &Sizes,
    now: Timestamp,
) -> Result<(), Refusal> {
    let process_type = change.process_type;
    let row = formation.iter_mut().find(|row| row.process_type == process_type).ok_or_else(|| {
        let say = format!(
            "Couldn't find that process type ({process_type}). It must be declared in the Procfile of a deployed release."
        );
        Refusal::new(Fault::NotFound("formation"), say)
    })?;
    if let Some(quantity) = change.quantity {
        let wanted = quantity.of(row.quantity);
        if process_type.is_release() && wanted != 0 {
            return Err(Refusal::invalid("The release process runs once per release and can't be scaled."));
        }
        let allowed = 0..=i64::from(limits::DYNOS_PER_APP_MAX);
        let wanted = u32::try_from(wanted).ok().filter(|n| allowed.contains(&i64::from(*n)));
        row.quantity = wanted.ok_or_else(|| {
            Refusal::invalid(format!(
                "The quantity of {process_type} must be between 0 and {}.",
                limits::DYNOS_PER_APP_MAX
            ))
        })?;
    }
    if let Some(size) = change.size {
        row.size = size_named(sizes, &size)?;
    }
    row.updated_at = now;
    Ok(())
}

/// Its name as the table writes it. The refusal is Heroku's.
pub(super) fn size_named(sizes: &Sizes, text: &str) -> Result<String, Refusal> {
    sizes.find(text).map(|size| size.name.clone()).ok_or_else(|| {
        Refusal::invalid(format!("No such size as {text}. Available dyno sizes are {}.", sizes.names()))
    })
}

fn refuse_too_many(formation: &[Formation]) -> Result<(), Refusal> {
    let all: u32 = formation.iter().map(|row| row.quantity).sum();
    if all > limits::DYNOS_PER_APP_MAX {
        return Err(Refusal::invalid(format!(
            "An app may have at most {} dynos; this would make {all}.",
            limits::DYNOS_PER_APP_MAX
        )));
    }
    Ok(())
}

/// `web@2:Standard-1X worker@0:Basic`.
fn shown(formation: &[WithCommand]) -> String {
    let rows = formation.iter().map(|(row, _)| row).filter(|row| !row.process_type.is_release());
    let texts: Vec<String> = rows.map(|r| format!("{}@{}:{}", r.process_type, r.quantity, r.size)).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_set_or_changed() {
        assert_eq!(Quantity::parse("3"), Some(Quantity::Set(3)));
        assert_eq!(Quantity::parse("+1").unwrap().of(2), 3);
        assert_eq!(Quantity::parse("-1").unwrap().of(2), 1);
        assert_eq!(Quantity::parse("-5").unwrap().of(2), -3);
        for bad in ["", "x", "1.5", "++1", "99999999999999999999"] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }
}
