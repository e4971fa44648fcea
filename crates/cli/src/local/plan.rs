//! What is to run: process types of the Procfile, how many of each, and on which ports.

use std::collections::BTreeMap;

use renga_model::Procfile;

/// The first port, and the distance from one process type to the next.
pub(super) const PORT_FIRST: u16 = 5000;
const PORT_STEP: u16 = 100;
/// Processes of one type: their ports must not meet those of the next.
const QUANTITY_MAX: u16 = PORT_STEP;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// `web.1`
    pub(super) name: String,
    pub(super) command: String,
    pub(super) port: u16,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum PlanError {
    #[error("there is no process type {0} in the Procfile")]
    NoSuchType(String),
    #[error("{0} is not of the form web=2 (at most {QUANTITY_MAX} of a type)")]
    Formation(String),
    #[error("the Procfile has no process types")]
    Empty,
    #[error("there are not enough ports above {0}")]
    Ports(u16),
}

/// `wanted` names types; all but `release` if it is empty. `formation` is `web=2,worker=1`. Types take their ports in
/// the order of the Procfile.
pub(super) fn plan(
    procfile: &str,
    wanted: &[String],
    formation: Option<&str>,
    port_first: u16,
) -> Result<Vec<Process>, PlanError> {
    let types = in_order(procfile);
    if types.is_empty() {
        return Err(PlanError::Empty);
    }
    let known = |name: &str| types.iter().any(|(known, _)| known == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        return Err(PlanError::NoSuchType(unknown.clone()));
    }
    let quantities = formation.map(quantities).transpose()?;
    if let Some(unknown) =
        quantities.iter().flat_map(BTreeMap::keys).find(|name| *name != "all" && !known(name))
    {
        return Err(PlanError::NoSuchType(unknown.clone()));
    }
    let quantity = |name: &str| match &quantities {
        Some(quantities) => quantities.get(name).or_else(|| quantities.get("all")).copied().unwrap_or(0),
        None => u16::from(name != "release" || wanted.iter().any(|wanted| wanted == name)),
    };
    let chosen = types.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
    let mut processes = Vec::new();
    let mut base = Some(port_first);
    for (name, command) in chosen.filter(|(name, _)| quantity(name) > 0) {
        for number in 0..quantity(name) {
            let port = base.and_then(|base| base.checked_add(number)).ok_or(PlanError::Ports(port_first))?;
            processes.push(Process {
                name: format!("{name}.{}", number + 1),
                command: command.clone(),
                port,
            });
        }
        base = base.and_then(|base| base.checked_add(PORT_STEP));
    }
    Ok(processes)
}

/// The model keeps types sorted by name; ports follow the file.
fn in_order(procfile: &str) -> Vec<(String, String)> {
    let types = Procfile::parse(procfile).types;
    let mut names: Vec<&str> = Vec::new();
    for name in
        procfile.trim_start_matches('\u{feff}').lines().filter_map(|line| Some(line.split_once(':')?.0))
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let command = |name: &str| {
        types.iter().find(|(known, _)| known.as_str() == name).map(|(_, command)| command.clone())
    };
    names.into_iter().filter_map(|name| Some((name.to_owned(), command(name)?))).collect()
}

fn quantities(formation: &str) -> Result<BTreeMap<String, u16>, PlanError> {
    let one = |pair: &str| {
        let (name, number) = pair.split_once('=')?;
        let number = number.trim().parse().ok().filter(|number| *number <= QUANTITY_MAX)?;
        Some((name.trim().to_owned(), number))
    };
    formation.split(',').map(|pair| one(pair).ok_or_else(|| PlanError::Formation(pair.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCFILE: &str = "web: serve\nrelease: migrate\nworker: work --now\nclock: tick\n";

    fn check(wanted: &[&str], formation: Option<&str>) -> String {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        match plan(PROCFILE, &wanted, formation, PORT_FIRST) {
            Ok(processes) => {
                processes.iter().map(|p| format!("{}:{}", p.name, p.port)).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn types_are_a_hundred_ports_apart_and_release_stays_out() {
        assert_eq!(check(&[], None), "web.1:5000 worker.1:5100 clock.1:5200");
        assert_eq!(check(&["worker"], None), "worker.1:5000");
        assert_eq!(check(&["release"], None), "release.1:5000");
        assert_eq!(check(&[], Some("web=2,clock=1")), "web.1:5000 web.2:5001 clock.1:5100");
        assert_eq!(check(&[], Some("all=1,worker=0")), "web.1:5000 release.1:5100 clock.1:5200");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(check(&["cron"], None), "there is no process type cron in the Procfile");
        assert_eq!(check(&[], Some("cron=1")), "there is no process type cron in the Procfile");
        assert!(check(&[], Some("web")).starts_with("web is not of the form"));
        assert!(check(&[], Some("web=101")).starts_with("web=101 is not of the form"));
        assert_eq!(plan("nonsense", &[], None, 1), Err(PlanError::Empty));
        assert_eq!(plan(PROCFILE, &[], None, 65_500), Err(PlanError::Ports(65_500)));
    }
}
