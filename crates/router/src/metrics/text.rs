//! The counts in the text format of Prometheus.

use std::fmt::Write as _;

use super::{BUCKETS_MS, CLASSES, Sums};
use crate::{status::Status, thread::Shared};

/// Apps that have lines of their own: those with the most requests. The others are one, `_other`.
const APPS_MAX: usize = 50;

/// Everything, as of now.
pub(crate) fn render(shared: &Shared) -> String {
    let mut text = Text(String::new());
    let (sums, status) = (shared.metrics.sums(), Status::of(shared));
    requests(&mut text, &sums);
    connections(&mut text, &sums);
    table(&mut text, &status);
    apps(&mut text, shared);
    text.0
}

fn requests(text: &mut Text, sums: &Sums) {
    text.family(
        "renga_router_requests_total",
        "counter",
        "Requests that have ended, by the class of their status.",
    );
    for (class, count) in sums.classes.iter().enumerate().skip(1) {
        text.line("renga_router_requests_total", &[("class", &format!("{class}xx"))], count);
    }
    text.family("renga_router_errors_total", "counter", "Requests that ended with an H-code.");
    for (code, count) in &sums.codes {
        text.line("renga_router_errors_total", &[("code", &format!("H{code}"))], count);
    }
    let name = "renga_router_request_duration_seconds";
    text.family(name, "histogram", "From a request's head to the end of its answer.");
    let (bucket, mut so_far) = (format!("{name}_bucket"), 0);
    for (at, count) in sums.service.iter().enumerate() {
        so_far += count;
        let end = BUCKETS_MS.get(at).map_or("+Inf".into(), |ms| seconds(ms * 1_000));
        text.line(&bucket, &[("le", &end)], so_far);
    }
    text.line(&format!("{name}_sum"), &[], seconds(sums.service_us));
    text.line(&format!("{name}_count"), &[], so_far);
    text.family(
        "renga_router_response_bytes_total",
        "counter",
        "Bytes of answers' bodies that went to clients.",
    );
    text.line("renga_router_response_bytes_total", &[], sums.bytes);
}

fn connections(text: &mut Text, sums: &Sums) {
    text.family(
        "renga_router_client_connections_total",
        "counter",
        "Connections of clients that were accepted.",
    );
    text.line("renga_router_client_connections_total", &[], sums.clients_come);
    text.family("renga_router_client_connections", "gauge", "Connections of clients that are open.");
    text.line("renga_router_client_connections", &[], sums.clients_open);
    text.family(
        "renga_router_dyno_connections_idle",
        "gauge",
        "Connections to dynos that are kept for the next request.",
    );
    text.line("renga_router_dyno_connections_idle", &[], sums.idle_to_dynos);
    text.family("renga_router_dyno_connections_total", "counter", "Connections to dynos, by how they began.");
    text.line("renga_router_dyno_connections_total", &[("result", "ok")], sums.dynos_reached);
    text.line("renga_router_dyno_connections_total", &[("result", "failed")], sums.dynos_not_reached);
    text.family("renga_router_tls_handshakes_total", "counter", "TLS handshakes, by how they ended.");
    text.line("renga_router_tls_handshakes_total", &[("result", "ok")], sums.handshakes);
    text.line("renga_router_tls_handshakes_total", &[("result", "failed")], sums.handshakes_failed);
}

fn table(text: &mut Text, status: &Status) {
    let gauges = [
        ("renga_router_requests_in_flight", "Requests under way.", status.in_flight),
        ("renga_router_requests_held", "Requests that wait for a dyno.", status.held),
        ("renga_router_apps", "Apps in the table.", status.apps),
        ("renga_router_dynos", "Web dynos in the table.", status.dynos),
        (
            "renga_router_dynos_quarantined",
            "Web dynos that are passed over for a moment.",
            status.dynos_quarantined,
        ),
        ("renga_router_table_generation", "Number of the table that is routed by.", status.generation),
        ("renga_router_table_age_seconds", "Since the table was last changed.", status.table_age_s),
        ("renga_router_certificates", "Certificates in memory.", status.certificates),
        ("renga_router_uptime_seconds", "Since the process began.", status.uptime_s),
    ];
    for (name, help, value) in gauges {
        text.family(name, "gauge", help);
        text.line(name, &[], value);
    }
    text.family("renga_router_log_lines_lost_total", "counter", "Lines of requests that were dropped (L12).");
    text.line("renga_router_log_lines_lost_total", &[], status.log_lines_lost);
}

fn apps(text: &mut Text, shared: &Shared) {
    let table = shared.tables.current();
    let mut apps: Vec<_> = table.apps.iter().map(|app| (app.counters.totals(), app)).collect();
    let first = APPS_MAX.min(apps.len());
    if first < apps.len() {
        apps.select_nth_unstable_by_key(first, |(totals, _)| std::cmp::Reverse(totals.requests()));
    }
    let mut lines: Vec<_> =
        apps[..first].iter().map(|(totals, app)| (app.row.name.to_string(), totals.clone())).collect();
    lines.sort_by(|a, b| (b.1.requests(), &a.0).cmp(&(a.1.requests(), &b.0)));
    if first < apps.len() {
        let others = apps[first..].iter().map(|(totals, _)| totals);
        lines.push(("_other".into(), others.fold(Default::default(), |sum, totals| sum + totals)));
    }
    text.family(
        "renga_router_app_requests_total",
        "counter",
        "Requests of an app that have ended, by the class of their status.",
    );
    for (app, totals) in &lines {
        for class in 1..CLASSES {
            let labels = [("app", app.as_str()), ("class", &format!("{class}xx"))];
            text.line("renga_router_app_requests_total", &labels, totals.classes[class]);
        }
    }
    text.family(
        "renga_router_app_request_seconds_total",
        "counter",
        "Time that an app's requests took, added up.",
    );
    for (app, totals) in &lines {
        text.line("renga_router_app_request_seconds_total", &[("app", app)], seconds(totals.service_us));
    }
    text.family("renga_router_app_response_bytes_total", "counter", "Bytes of an app's answers' bodies.");
    for (app, totals) in &lines {
        text.line("renga_router_app_response_bytes_total", &[("app", app)], totals.bytes);
    }
    text.family("renga_router_app_requests_in_flight", "gauge", "Requests of an app under way.");
    for (app, totals) in &lines {
        text.line("renga_router_app_requests_in_flight", &[("app", app)], totals.in_flight);
    }
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Names of apps and numbers need no escapes.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        _ = writeln!(self.0, "{value}");
    }
}

fn seconds(us: u64) -> String {
    let (whole, part) = (us / 1_000_000, us % 1_000_000);
    if part == 0 { whole.to_string() } else { format!("{whole}.{part:06}").trim_end_matches('0').to_owned() }
}
