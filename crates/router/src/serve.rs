//! One request of a client: whose it is, whether it may pass, and what becomes of the dyno's answer.

use std::{convert::Infallible, rc::Rc};

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use crate::{
    answer::Answer,
    codes::Code,
    exchange::{Door, Exchange, Told, page_response},
    forward::{Refusal, Reply, deliver},
    head, pages, pipe,
    pool::keep_alive,
    thread::Thread,
    upload::RequestBody,
};

pub(crate) async fn serve(
    thread: Rc<Thread>,
    door: Rc<Door>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let version = request.version();
    let closing = thread.closing.clone();
    let mut response = answer(&thread, &door, request).await;
    if closing.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    *response.version_mut() = version;
    Ok(response)
}

async fn answer(thread: &Rc<Thread>, door: &Rc<Door>, request: Request<Incoming>) -> Response<Answer> {
    let Some(host) = head::host(&request) else {
        return page_response(StatusCode::BAD_REQUEST, pages::bad_request());
    };
    let table = thread.table();
    let Some(app) = table.find(&host) else {
        return page_response(StatusCode::NOT_FOUND, pages::no_such_app());
    };
    let (forwarded_for, forwarded_proto, forwarded_port) =
        head::forwarded(request.headers(), door, &thread.shared.config.trusted_proxies);
    let told = Told {
        method: request.method().clone(),
        path: head::path(request.uri()),
        host,
        version: request.version(),
        request_id: head::request_id(request.headers()),
        forwarded_for,
        forwarded_proto,
        forwarded_port,
    };
    let mut exchange = Exchange::new(thread, door, told, table, app);
    match admit(&mut exchange, &request) {
        Ok(()) => pass(exchange, request).await,
        Err(code) => exchange.refuse(code),
    }
}

/// What is refused before a dyno is looked for.
fn admit(exchange: &mut Exchange, request: &Request<Incoming>) -> Result<(), Code> {
    let limits = &exchange.thread.clone().shared.config.limits;
    head::check(request, limits)?;
    let app = exchange.app().ok_or(Code::H99)?;
    if app.maintenance {
        return Err(Code::H80);
    }
    // While none is up, requests wait as if for one.
    let dynos = u32::try_from(app.dynos.len().max(1)).unwrap_or(u32::MAX);
    exchange.enter_app(limits.in_flight_per_dyno.saturating_mul(dynos))
}

async fn pass(mut exchange: Exchange, mut request: Request<Incoming>) -> Response<Answer> {
    let client = head::wants_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
    let (parts, incoming) = request.into_parts();
    let body = RequestBody::new(incoming, &exchange.upload);
    let mut request = Request::from_parts(parts, body);
    rewrite(&exchange, &mut request, client.is_some());
    match deliver(&mut exchange, request).await {
        Ok(reply) => relay(exchange, reply, client),
        Err(Refusal::Code(code)) => exchange.refuse(code),
        Err(Refusal::NoSuchApp) => {
            exchange.forget();
            page_response(StatusCode::NOT_FOUND, pages::no_such_app())
        }
    }
}

/// Makes the client's head ours.
fn rewrite(exchange: &Exchange, request: &mut Request<RequestBody>, upgrade: bool) {
    let told = &exchange.told;
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        // The absolute form is for proxies; its host was what counted.
        let host = request.uri().authority().map(|host| host.as_str().to_owned()).unwrap_or_default();
        let without_user = host.rsplit_once('@').map_or(host.as_str(), |(_, host)| host);
        if let Ok(host) = HeaderValue::try_from(without_user) {
            request.headers_mut().insert(header::HOST, host);
        }
        *request.uri_mut() = told.path.clone().into();
    }
    let measured = request.headers().contains_key(header::CONTENT_LENGTH);
    let chunked = !request.body().is_empty() && !measured;
    let headers = request.headers_mut();
    head::strip_hop_by_hop(headers, upgrade);
    headers.remove(header::EXPECT);
    if chunked {
        head::set_chunked(headers);
    }
    headers.insert(head::FORWARDED_FOR, told.forwarded_for.clone());
    headers.insert(head::FORWARDED_PROTO, HeaderValue::from_static(told.forwarded_proto));
    headers.insert(head::FORWARDED_PORT, told.forwarded_port.clone());
    headers.insert(head::REQUEST_ID, told.request_id.clone());
    headers.insert(head::REQUEST_START, exchange.begun_at.as_millisecond().into());
    headers.append(header::VIA, head::VIA);
}

/// Passes the dyno's answer on.
fn relay(mut exchange: Exchange, reply: Reply, client: Option<OnUpgrade>) -> Response<Answer> {
    let Reply { mut response, mut connection } = reply;
    if let Err(code) = head::check_answer(response.headers(), &exchange.thread.shared.config.limits) {
        return exchange.refuse(code);
    }
    exchange.note_status(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(exchange, response, client);
    }
    connection.keep_alive = keep_alive(response.headers()).or(connection.keep_alive);
    head::rewrite_answer(response.headers_mut(), false);
    let (parts, incoming) = response.into_parts();
    Response::from_parts(parts, Answer::relay(incoming, exchange, connection))
}

/// Leaves HTTP: from here on a byte pipe, which ends the account.
fn switch(
    exchange: Exchange,
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
) -> Response<Answer> {
    let Some(client) = client else { return exchange.refuse(Code::H17) };
    let dyno = hyper::upgrade::on(&mut response);
    let (tasks, cut) = (exchange.thread.clients.clone(), exchange.thread.cut.clone());
    tasks.spawn_local(async move {
        cut.run_until_cancelled(pipe::run(exchange, client, dyno)).await;
    });
    head::rewrite_answer(response.headers_mut(), true);
    response.map(|_| Answer::empty())
}
