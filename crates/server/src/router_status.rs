//! `renga router:status`: how the router is, asked of itself.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use renga_router::Status;

use crate::{config::Config, layout::Layout};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga router:status\n  renga router:status --json | jq .in_flight")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
    /// The same for programs
    #[arg(long, conflicts_with = "metrics")]
    json: bool,
    /// What Prometheus would be told
    #[arg(long)]
    metrics: bool,
}

pub(crate) fn run(args: &StatusArgs, config: &Config) -> Result<String> {
    let socket = Layout::new(&config.data_dir).router_control();
    let away = || {
        format!("the router does not answer on {}: is the platform up, and are you root?", socket.display())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.metrics {
        let text = runtime.block_on(renga_router::metrics_of(&socket)).with_context(away)?;
        return Ok(text);
    }
    let status = runtime.block_on(renga_router::status_of(&socket)).with_context(away)?;
    let text = if args.json { serde_json::to_string_pretty(&status)? } else { shown(&status) };
    Ok(text + "\n")
}

fn shown(status: &Status) -> String {
    let lines = [
        ("Table", format!("generation {}, {} old", status.generation, time(status.table_age_s))),
        ("Apps", format!("{}, with {} web dynos", status.apps, status.dynos)),
        ("Connections", format!("{} of clients, {} kept to dynos", status.clients, status.idle_to_dynos)),
        (
            "Requests",
            format!("{} under way, {} held, {} ended", status.in_flight, status.held, status.requests),
        ),
        ("Certificates", status.certificates.to_string()),
        ("Log lines lost", status.log_lines_lost.to_string()),
        ("Metrics", status.metrics.map_or("--metrics".into(), |address| format!("http://{address}/metrics"))),
        ("Up", time(status.uptime_s)),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        _ = writeln!(text, "{:<16}{value}", format!("{name}:"));
    }
    for old in &status.draining {
        let (under_way, held) = (old.in_flight, old.held);
        _ = writeln!(text, "A predecessor drains: {under_way} requests under way, {held} held");
    }
    for busy in &status.busiest {
        _ = writeln!(text, "  {:<30} {} under way", busy.app, busy.in_flight);
    }
    if status.dynos_quarantined > 0 {
        _ = writeln!(
            text,
            "{} dynos accept no connections: {}",
            status.dynos_quarantined,
            status.quarantined.join(", ")
        );
    }
    text.trim_end().to_owned()
}

fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use renga_router::{Busy, Draining};

    use super::*;

    #[test]
    fn what_matters_is_shown() {
        let status = Status {
            uptime_s: 7_265,
            generation: 12,
            table_age_s: 119,
            apps: 3,
            dynos: 4,
            clients: 5,
            idle_to_dynos: 6,
            requests: 7,
            in_flight: 8,
            held: 9,
            busiest: vec![Busy { app: "shop".into(), in_flight: 8 }],
            dynos_quarantined: 1,
            quarantined: vec!["shop web.2".into()],
            certificates: 2,
            log_lines_lost: 0,
            metrics: None,
            draining: vec![Draining { in_flight: 10, held: 0 }],
        };
        let expected = "\
Table:          generation 12, 119 s old
Apps:           3, with 4 web dynos
Connections:    5 of clients, 6 kept to dynos
Requests:       8 under way, 9 held, 7 ended
Certificates:   2
Log lines lost: 0
Metrics:        --metrics
Up:             2 h 1 min
A predecessor drains: 10 requests under way, 0 held
  shop                           8 under way
1 dynos accept no connections: shop web.2";
        assert_eq!(shown(&status), expected);
    }
}
