//! Attaching to a dyno: two bounded channels on one side, frames on `attach.sock` on the other.
//!
//! It needs the dyno's directory alone, not the node: a restart of the node does not cut a terminal off.

use std::{io, path::Path};

use bytes::Bytes;
use renga_model::DynoId;
use renga_ports::{AttachInput, AttachOutput, AttachSession, ExecSpec, RuntimeError};
use renga_supervision::{DynoDirectory, ExecOrder, FRAME_DATA_BYTES_MAX, InputFrame, OutputFrame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use tokio_util::task::TaskTracker;

/// Pieces that wait in a channel; each is at most one frame.
const PIECES_MAX: usize = 32;
const READ_BYTES: usize = 32 * 1024;

/// Connects to the dyno's supervisor. The pumps run on `tasks` until either side hangs up.
pub async fn attach(
    dynos_dir: &Path,
    dyno: DynoId,
    tasks: &TaskTracker,
) -> Result<AttachSession, RuntimeError> {
    let directory = DynoDirectory::new(dynos_dir.join(dyno.to_string()));
    let stream = UnixStream::connect(directory.attach()).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            RuntimeError::NotFound(format!("a terminal or pipe of dyno {dyno} to attach to"))
        }
        _ => RuntimeError::Failed(format!("could not attach to dyno {dyno}: {error}")),
    })?;
    Ok(pump(stream, tasks))
}

/// Has the dyno's supervisor run a further process inside, and attaches to that.
pub async fn exec(
    dynos_dir: &Path,
    dyno: DynoId,
    exec: ExecSpec,
    tasks: &TaskTracker,
) -> Result<AttachSession, RuntimeError> {
    let directory = DynoDirectory::new(dynos_dir.join(dyno.to_string()));
    let failed = |error| RuntimeError::Failed(format!("could not reach into dyno {dyno}: {error}"));
    let mut stream = match UnixStream::connect(directory.exec()).await {
        Ok(stream) => stream,
        // Its supervisor is there, and knows no such thing.
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory.control().exists() => {
            return Err(RuntimeError::Refused(
                "This dyno was started by an earlier version of Renga, in which nothing could be run inside a dyno. \
                 Restart the dyno, then try again."
                    .into(),
            ));
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(RuntimeError::NotFound(format!("dyno {dyno}")));
        }
        Err(error) => return Err(failed(error)),
    };
    let ExecSpec { argv, env, tty } = exec;
    let order = serde_json::to_vec(&ExecOrder { argv, env, tty }).expect("an order has a JSON form");
    if order.len() > FRAME_DATA_BYTES_MAX {
        return Err(RuntimeError::Refused("The command and its environment are too long.".into()));
    }
    let mut bytes = Vec::new();
    InputFrame::Exec(order).encode(&mut bytes);
    stream.write_all(&bytes).await.map_err(failed)?;
    Ok(pump(stream, tasks))
}

fn pump(stream: UnixStream, tasks: &TaskTracker) -> AttachSession {
    let (reader, writer) = stream.into_split();
    let (input, input_end) = mpsc::channel(PIECES_MAX);
    let (output_end, output) = mpsc::channel(PIECES_MAX);
    tasks.spawn(pump_input(input_end, writer));
    tasks.spawn(pump_output(reader, output_end));
    AttachSession { input, output }
}

/// Ends when the session is dropped, which closes our half and hangs up, or when the supervisor is gone.
async fn pump_input(mut input: mpsc::Receiver<AttachInput>, mut writer: OwnedWriteHalf) {
    while let Some(piece) = input.recv().await {
        let frame = match piece {
            AttachInput::Data(data) => InputFrame::Data(data.into()),
            AttachInput::Eof => InputFrame::Eof,
            AttachInput::Resize { columns, rows } => InputFrame::Resize { columns, rows },
            AttachInput::Signal(number) => InputFrame::Signal(number),
        };
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        if let Err(error) = writer.write_all(&bytes).await {
            tracing::debug!(%error, "the attached dyno takes no more input");
            return;
        }
    }
}

/// Ends with the exit frame, with the connection, or when nobody listens any more.
async fn pump_output(mut reader: OwnedReadHalf, output: mpsc::Sender<AttachOutput>) {
    let mut waiting = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = tokio::select! {
            biased;
            // Whoever was attached is gone: dropping our half hangs up.
            () = output.closed() => return,
            read = reader.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => length,
            },
        };
        waiting.extend_from_slice(&buffer[..length]);
        if pass_on(&mut waiting, &output).await.is_none() {
            return;
        }
    }
}

/// Takes all whole frames from `waiting`. `None` when there is no more to do.
async fn pass_on(waiting: &mut Vec<u8>, output: &mpsc::Sender<AttachOutput>) -> Option<()> {
    let mut at = 0;
    loop {
        let decoded = OutputFrame::decode(&waiting[at..])
            .inspect_err(|error| tracing::warn!(%error, "an attached dyno's supervisor sent nonsense"));
        let Some((frame, taken)) = decoded.ok()? else { break };
        at += taken;
        let (piece, last) = match frame {
            OutputFrame::Data(data) => (AttachOutput::Data(Bytes::from(data)), false),
            OutputFrame::Exit(code) => (AttachOutput::Exit(code), true),
        };
        output.send(piece).await.ok()?;
        if last {
            return None;
        }
    }
    waiting.drain(..at);
    Some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn a_supervisor_that_knows_no_exec_is_told_from_a_dyno_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (old, gone, tasks) = (DynoId::random(), DynoId::random(), TaskTracker::new());
        let order = || ExecSpec { argv: vec!["ls".into()], env: BTreeMap::new(), tty: None };
        std::fs::create_dir(folder.path().join(old.to_string())).unwrap();
        std::fs::write(folder.path().join(old.to_string()).join("control.sock"), "").unwrap();
        match exec(folder.path(), old, order(), &tasks).await {
            Err(RuntimeError::Refused(why)) => assert!(why.contains("Restart the dyno"), "{why}"),
            other => panic!("{other:?}"),
        }
        let answer = exec(folder.path(), gone, order(), &tasks).await;
        assert!(matches!(answer, Err(RuntimeError::NotFound(_))), "{answer:?}");
    }
}
