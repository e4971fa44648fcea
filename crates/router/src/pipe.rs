//! After `101 Switching Protocols`: bytes, both ways, until one side ends it or nothing has moved for the idle window.

use std::{cell::Cell, io, time::Instant};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::{codes::Code, exchange::Exchange};

/// Bytes that are on the way in one direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// What moved last, and how much towards the client.
struct Meter {
    moved: Cell<Instant>,
    to_client: Cell<u64>,
}

enum End {
    Closed,
    Failed(Code),
}

pub(crate) async fn run(mut exchange: Exchange, client: OnUpgrade, dyno: OnUpgrade) {
    exchange.stand_apart();
    let meter = Meter { moved: Cell::new(Instant::now()), to_client: Cell::new(0) };
    let end = join(&exchange, client, dyno, &meter).await;
    exchange.note_bytes(meter.to_client.get());
    match end {
        End::Closed => exchange.finish(),
        End::Failed(code) => exchange.fail(code),
    }
}

async fn join(exchange: &Exchange, client: OnUpgrade, dyno: OnUpgrade, meter: &Meter) -> End {
    let Ok(client) = client.await else { return End::Failed(Code::H27) };
    let Ok(dyno) = dyno.await else { return End::Failed(Code::H18) };
    let (from_client, to_client) = halves(client);
    let (from_dyno, to_dyno) = halves(dyno);
    let up = copy(from_client, to_dyno, |_| meter.moved.set(Instant::now()));
    let down = copy(from_dyno, to_client, |bytes| {
        meter.moved.set(Instant::now());
        meter.to_client.set(meter.to_client.get() + bytes);
    });
    let both = async { tokio::join!(up, down) };
    let window = exchange.thread.shared.config.limits.idle_timeout;
    tokio::select! {
        biased;
        // Both directions have ended. A reset is an end like another: the protocol inside knows what was lost.
        _ = both => End::Closed,
        // Nothing has moved for the window.
        () = silence(meter, window) => End::Failed(Code::H15),
    }
}

fn halves(stream: Upgraded) -> (ReadHalf<TokioIo<Upgraded>>, WriteHalf<TokioIo<Upgraded>>) {
    tokio::io::split(TokioIo::new(stream))
}

/// Copies until the end of `from`, which it passes on.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: impl Fn(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let result = loop {
        match from.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(bytes) => {
                if let Err(error) = to.write_all(&buffer[..bytes]).await {
                    break Err(error);
                }
                to.flush().await?;
                moved(bytes as u64);
            }
            Err(error) => break Err(error),
        }
    };
    to.shutdown().await?;
    result
}

async fn silence(meter: &Meter, window: std::time::Duration) {
    loop {
        let end = meter.moved.get() + window;
        if end <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(end.into()).await;
    }
}
