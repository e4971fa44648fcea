//! `logs`: an app's log as it was, and with `--tail` as it comes. A broken connection is taken up again behind the last
//! line that was shown.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    time::Duration,
};

use renga_wire::{LogSession, LogSessionCreate};

use crate::{
    app::AppArgs,
    context::{Context, OnApp},
    errors::Failure,
    output::Paint,
};

/// Lines that `-n` may ask for.
const LINES_MAX: u32 = 1_500;
/// Bytes of one line of the stream; the platform's own limit of a message is 10,000.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// The platform sends a comment every 25 s when there is nothing else.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Between the end of a stream and its continuation.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Attempts without a line in between; about a minute with the platform away.
const RECONNECTS_MAX: u32 = 60;

/// `logs`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga logs -a times\n  renga logs --tail --process-type web\n  \
                        renga logs -n 1500 --dyno-name web.1\n  renga logs --source app")]
pub struct LogsArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Lines to show of what is there
    #[arg(short, long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(LINES_MAX)))]
    pub num: u32,
    /// Go on with what comes
    #[arg(short, long)]
    pub tail: bool,
    /// Only from this dyno (web.1), or all of a type (web)
    #[arg(short, long, visible_alias = "dyno", value_name = "DYNO", conflicts_with = "process_type")]
    pub dyno_name: Option<String>,
    /// Only from dyno of this type
    #[arg(short, long, visible_alias = "ps", value_name = "TYPE")]
    pub process_type: Option<String>,
    /// Only from this source: app or heroku
    #[arg(short, long)]
    pub source: Option<String>,
    /// Colours even where the output is no terminal
    #[arg(long, visible_alias = "force-colours")]
    pub force_colors: bool,
    /// No colours
    #[arg(long, visible_alias = "no-colour", conflicts_with = "force_colors")]
    pub no_color: bool,
}

pub(crate) fn logs(context: &Context<'_>, args: &LogsArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let asked = LogSessionCreate {
        dyno: args.dyno_name.clone().or_else(|| args.process_type.clone()),
        source: args.source.clone(),
        lines: Some(i64::from(args.num)),
        tail: Some(args.tail),
        ..LogSessionCreate::default()
    };
    let coloured = args.force_colors || (context.out.colours && !args.no_color);
    follow(context, &on, &asked, coloured)
}

/// Shows a session to its end; a tail has none.
pub(crate) fn follow(
    context: &Context<'_>,
    on: &OnApp,
    asked: &LogSessionCreate,
    coloured: bool,
) -> Result<(), Failure> {
    let session: LogSession = on.client.post(&on.path("/log-sessions"), asked)?;
    let mut last: Option<String> = None;
    let mut fruitless = 0;
    loop {
        let before = last.clone();
        let read = read(context, on, &session.logplex_url, &mut last, coloured);
        match read {
            Err(failure @ (Failure::ReaderGone | Failure::LogsEnded { .. })) => return Err(failure),
            Ok(()) if asked.tail != Some(true) => return Ok(()),
            Err(failure) if asked.tail != Some(true) || fruitless >= RECONNECTS_MAX => return Err(failure),
            Ok(()) | Err(_) => {}
        }
        fruitless = if last == before { fruitless + 1 } else { 0 };
        std::thread::sleep(RECONNECT_PAUSE);
    }
}

fn read(
    context: &Context<'_>,
    on: &OnApp,
    url: &str,
    last: &mut Option<String>,
    coloured: bool,
) -> Result<(), Failure> {
    let mut headers = vec![("accept", "text/event-stream"), ("cache-control", "no-cache")];
    let resumed = last.clone();
    if let Some(id) = &resumed {
        headers.push(("last-event-id", id));
    }
    let response = on.client.open(url, &headers, Some(SILENCE_MAX))?;
    if !response.status().is_success() {
        return Err(Failure::LogsEnded { status: response.status().as_u16() });
    }
    let mut events = Events::new(BufReader::new(response.into_body().into_reader()));
    while let Some(event) = events.next().map_err(Failure::local("read the log"))? {
        let line = if coloured { colour(&event.data) } else { event.data };
        context.out.print(&format!("{line}\n"))?;
        *last = event.id.or_else(|| last.take());
    }
    Ok(())
}

// === server-sent events ===

#[derive(Debug, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    data: String,
}

struct Events<R> {
    reader: R,
}

impl<R: io::BufRead> Events<R> {
    fn new(reader: R) -> Self {
        Self { reader }
    }

    /// An event that the end cuts in two is none.
    fn next(&mut self) -> io::Result<Option<Event>> {
        let (mut id, mut data, mut named) = (None, Vec::new(), false);
        while let Some(line) = self.line()? {
            match line.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value)))
            {
                None if line.is_empty() => {
                    if !data.is_empty() && !named {
                        return Ok(Some(Event { id, data: data.join("\n") }));
                    }
                    (id, data, named) = (None, Vec::new(), false);
                }
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => data.push(value.to_owned()),
                Some(("event", value)) => named = value != "message",
                _ => {}
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}

// === colours ===

/// `TIME SOURCE[PS]: ` in the colour of its process type; what it says, plain, but for the words that tell of trouble.
fn colour(line: &str) -> String {
    let Some((head, text)) = line.split_once("]: ") else { return line.to_owned() };
    let Some((_, ps)) = head.rsplit_once('[') else { return line.to_owned() };
    let process_type = ps.split('.').next().unwrap_or(ps);
    let head = paint_of(process_type).on(true, format!("{head}]:"));
    let text = match trouble(text) {
        true => Paint::Red.on(true, text),
        false => text.to_owned(),
    };
    format!("{head} {text}")
}

/// The same name has the same colour in every session.
fn paint_of(name: &str) -> Paint {
    const PAINTS: [Paint; 5] = [Paint::Cyan, Paint::Yellow, Paint::Green, Paint::Magenta, Paint::Blue];
    match name {
        "web" => Paint::Cyan,
        "router" => Paint::Magenta,
        "api" => Paint::Yellow,
        other => PAINTS[other.bytes().map(usize::from).sum::<usize>() % PAINTS.len()],
    }
}

fn trouble(text: &str) -> bool {
    text.starts_with("at=error ") || text.starts_with("Error R") || text.contains(" to crashed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let mut events = Events::new(text.as_bytes());
        std::iter::from_fn(|| events.next().unwrap()).collect()
    }

    fn event(id: Option<&str>, data: &str) -> Event {
        Event { id: id.map(str::to_owned), data: data.to_owned() }
    }

    #[test]
    fn only_whole_messages_are_shown() {
        let text = ": hello\n\nid: 1\ndata: a: b\n\ndata: x\r\ndata: y\r\n\r\nevent: other\ndata: no\n\nid: 3\ndata: cut";
        assert_eq!(events(text), [event(Some("1"), "a: b"), event(None, "x\ny")]);
    }

    #[test]
    fn a_colour_belongs_to_a_process_type() {
        let line = "2026-11-01T12:00:00.000000+00:00 app[web.1]: hi";
        assert_eq!(colour(line), "\x1b[36m2026-11-01T12:00:00.000000+00:00 app[web.1]:\x1b[0m hi");
        assert_eq!(colour("anything else"), "anything else");
        assert!(colour("t heroku[router]: at=error code=H12").contains("\x1b[31mat=error"));
    }
}
