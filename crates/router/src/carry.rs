//! One request, from the client's head to the end of the answer, whichever HTTP the client speaks.
//!
//! **What may be sent again?** A request of which nothing has left us goes to the next dyno, whatever it is. One that
//! was written to a connection that had been idle, and got no byte back, met a dyno that was just closing it: it goes
//! out again on a fresh connection if repeating it is harmless (idempotent, no body). Nothing else is repeated.

use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll};

use crate::{
    affinity,
    answer::{Page, Passing, Wrap},
    client::ClientSide,
    codes::Code,
    dyno_io::Connection,
    exchange::Exchange,
    forward::{Reached, Refusal, Tried, reach},
    http::{Framing, response},
    intake::Outgoing,
    pages, pool,
    thread::Thread,
    transfer::{Asked, Body, Stop, Transfer},
    watch::Watch,
};

/// Answers before the answer (1xx) that are taken of a dyno.
const INFORMATIONS_MAX: usize = 16;

pub(crate) enum Outcome {
    /// The client has the whole answer. `ended`: the router has its whole request, too.
    Answered { ended: bool },
    /// The client has nothing yet, and gets this. `ended` as above.
    Page { page: Page, ended: bool },
    /// The client has a part of an answer that will never be whole, or has gone.
    Broken,
    /// The client has the head of 101, and from here on bytes go both ways.
    Switched(Connection),
}

/// Sends the request to a dyno, and the answer to the client. Ends the account, unless the connection leaves HTTP.
pub(crate) async fn carry<C: ClientSide>(
    exchange: &mut Exchange,
    outgoing: &mut Outgoing,
    client: &mut C,
    watch: &mut Watch,
) -> Outcome {
    let thread = exchange.thread.clone();
    let outcome = match deliver(&thread, exchange, outgoing, client, watch).await {
        Ok(outcome) => outcome,
        Err(Refusal::Code(Code::H27)) => {
            exchange.fail(Code::H27);
            Outcome::Broken
        }
        Err(Refusal::Code(code)) => Outcome::Page { page: exchange.refuse(code), ended: !outgoing.has_body },
        Err(Refusal::NoSuchApp) => {
            exchange.forget();
            Outcome::Page { page: Page::html(404, pages::no_such_app()), ended: !outgoing.has_body }
        }
    };
    outgoing.bytes.clear();
    outgoing.bytes.release(&thread.shelf);
    outcome
}

async fn deliver<C: ClientSide>(
    thread: &Rc<Thread>,
    exchange: &mut Exchange,
    outgoing: &mut Outgoing,
    client: &mut C,
    watch: &mut Watch,
) -> Result<Outcome, Refusal> {
    let mut tried = Tried::default();
    loop {
        let Reached { mut connection, reused } =
            reach_for(exchange, client, &mut tried, outgoing.may_repeat).await?;
        if !tried.fresh {
            outgoing.stamp(exchange);
        }
        exchange.note_sent();
        let limits = &thread.shared.config.limits;
        let mut transfer = Transfer::new(client, &mut connection, outgoing, &thread.shelf, limits);
        match transfer.ask(watch, reused).await {
            Ok(length) => {
                let (outcome, reusable) = answer(exchange, transfer, watch, length).await?;
                return Ok(conclude(exchange, outgoing, connection, outcome, reusable));
            }
            Err(Stop::Code(code)) => return Err(code.into()),
            // A fresh connection is never the reason to send again, so this happens once.
            Err(Stop::Again) => {
                tried.fresh = true;
                if outgoing.may_repeat {
                    outgoing.stamp(exchange);
                }
            }
        }
    }
}

/// A connection to a dyno, unless the client goes away meanwhile.
async fn reach_for<C: ClientSide>(
    exchange: &mut Exchange,
    client: &mut C,
    tried: &mut Tried,
    may_repeat: bool,
) -> Result<Reached, Refusal> {
    let mut reached = pin!(reach(exchange, tried, may_repeat));
    poll_fn(|cx| match reached.as_mut().poll(cx) {
        Poll::Ready(reached) => Poll::Ready(reached),
        Poll::Pending => client.poll_gone(cx).map(|()| Err(Code::H27.into())),
    })
    .await
}

// === the answer ===

/// What becomes of the dyno's connection.
enum Done {
    Answered { ended: bool },
    Broken,
    Switched,
}

/// What a head asks for.
enum Step {
    /// Another head follows.
    Inform {
        is_continue: bool,
    },
    Switch,
    Relay {
        body: Body,
        reusable: bool,
    },
}

async fn answer<C: ClientSide>(
    exchange: &mut Exchange,
    mut transfer: Transfer<'_, C>,
    watch: &mut Watch,
    mut length: usize,
) -> Result<(Done, bool), Refusal> {
    for _ in 0..INFORMATIONS_MAX {
        let step = begin(exchange, &mut transfer, length)?;
        transfer.next_head(length);
        match step {
            Step::Inform { is_continue } => {
                transfer.note_continued(is_continue);
                length = transfer.ask(watch, false).await.map_err(stopped)?;
            }
            Step::Switch => return Ok((Done::Switched, false)),
            Step::Relay { body, reusable } => {
                let relayed = transfer.relay(exchange, watch, body).await;
                return Ok(match relayed {
                    Ok(()) => {
                        exchange.finish();
                        let whole = transfer.upload_ended() && transfer.sides().1.input.is_empty();
                        (Done::Answered { ended: transfer.client_ended() }, reusable && whole)
                    }
                    Err(code) if transfer.sides().0.retract() => return Err(code.into()),
                    Err(code) => {
                        exchange.fail(code);
                        (Done::Broken, false)
                    }
                });
            }
        }
    }
    Err(Code::H17.into())
}

fn stopped(stop: Stop) -> Refusal {
    match stop {
        Stop::Code(code) => code.into(),
        // Nothing is repeated once the dyno has said something.
        Stop::Again => Code::H18.into(),
    }
}

/// Judges the dyno's head, and begins the client's with it.
fn begin<C: ClientSide>(
    exchange: &mut Exchange,
    transfer: &mut Transfer<'_, C>,
    length: usize,
) -> Result<Step, Refusal> {
    let limits = exchange.thread.shared.config.limits.answer();
    let cookie = affinity_cookie(exchange);
    let Asked { is_head, upgrade, continues, continued } = transfer.asked();
    let asked_whole = transfer.upload_ended();
    let (client, dyno) = transfer.sides();
    let input = std::mem::take(&mut dyno.input);
    let step = response::parse(&input.unread()[..length], |head| {
        let facts = head.facts(is_head, &limits)?;
        let mut passing = Passing { head: &head, facts: &facts, switch: false, cookie };
        if head.status == 101 {
            // Within the request's body, nobody could tell where HTTP ends.
            if !upgrade || !asked_whole || facts.upgrade.is_none() {
                return Ok(Err(Code::H17));
            }
            passing.switch = true;
            exchange.note_status(head.status);
            return Ok(client.begin(&passing, false).map(|_| Step::Switch));
        }
        if head.status < 200 {
            // It may be said once.
            if head.status == 100 && continued {
                return Ok(Err(Code::H17));
            }
            // Unless the dyno was asked, we have answered what the client expected.
            if head.status != 100 || continues {
                client.inform(&passing);
            }
            return Ok(Ok(Step::Inform { is_continue: head.status == 100 }));
        }
        exchange.note_status(head.status);
        dyno.keep_alive = facts.keep_alive.and_then(pool::keep_alive).or(dyno.keep_alive);
        let reusable = head.keeps_connection(&facts);
        let ends = matches!(facts.framing, Framing::Empty | Framing::Length(0));
        let wrap = client.begin(&passing, ends);
        Ok(wrap.map(|wrap: Wrap| Step::Relay { body: Body::new(facts.framing, wrap), reusable }))
    });
    dyno.input = input;
    Ok(step.and_then(|step| step).map_err(Code::of_bad_answer)??)
}

/// For a client that has none yet, or one of a dyno that is not at hand.
fn affinity_cookie(exchange: &Exchange) -> Option<String> {
    let dyno = exchange.dyno()?;
    let sticky = exchange.app().is_some_and(|app| app.row.flags.session_affinity);
    let cookie = || affinity::cookie(dyno.id, exchange.told.host(), exchange.begun_at);
    (sticky && exchange.wanted != Some(dyno.id)).then(cookie)
}

fn conclude(
    exchange: &Exchange,
    outgoing: &Outgoing,
    mut connection: Connection,
    done: Done,
    reusable: bool,
) -> Outcome {
    match done {
        Done::Answered { ended } => {
            connection.input.release(&exchange.thread.shelf);
            if reusable && !exchange.dyno_left() && !outgoing.close {
                exchange.thread.pool.put(connection);
            }
            Outcome::Answered { ended }
        }
        Done::Broken => Outcome::Broken,
        Done::Switched => Outcome::Switched(connection),
    }
}
