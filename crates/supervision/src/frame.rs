//! Frames on `attach.sock` and `exec.sock`: `u32 bytes of the rest (little-endian) · u8 kind · payload`.
//!
//! | direction | kind | payload |
//! | --- | --- | --- |
//! | to the supervisor | 1 data | bytes for the terminal or the standard input |
//! | | 2 eof | none: closes the pipe, or writes the terminal's end-of-file character |
//! | | 3 resize | u16 columns, u16 rows |
//! | | 4 signal | i32 number, for the foreground processes |
//! | | 5 exec | JSON, on `exec.sock` the first frame and nowhere else |
//! | from the supervisor | 1 data | output, in order |
//! | | 2 exit | i32 code; the last frame, the connection closes behind it |
//!
//! Encoding and decoding are pure, so that they serve the supervisor's poll loop and the node's async code alike.

/// Payload of one frame. Longer data is split by the sender.
pub const FRAME_DATA_BYTES_MAX: usize = 64 * 1024;
const LENGTH_BYTES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is too long or empty")]
    Length(usize),
    #[error("frame kind {0} is unknown here")]
    Kind(u8),
    #[error("frame kind {kind} can't have {bytes} bytes")]
    Payload { kind: u8, bytes: usize },
}

/// From the client to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputFrame {
    Data(Vec<u8>),
    Eof,
    Resize {
        columns: u16,
        rows: u16,
    },
    Signal(i32),
    /// An [`ExecOrder`](crate::ExecOrder) as JSON, at most as long as data may be.
    Exec(Vec<u8>),
}

/// From the supervisor to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputFrame {
    Data(Vec<u8>),
    Exit(i32),
}

const DATA: u8 = 1;
const EOF: u8 = 2;
const EXIT: u8 = 2;
const RESIZE: u8 = 3;
const SIGNAL: u8 = 4;
const EXEC: u8 = 5;

// === impl InputFrame ===

impl InputFrame {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(data) => put_data(data, out),
            Self::Eof => put(EOF, &[], out),
            Self::Resize { columns, rows } => {
                let [a, b] = columns.to_le_bytes();
                let [c, d] = rows.to_le_bytes();
                put(RESIZE, &[a, b, c, d], out);
            }
            Self::Signal(number) => put(SIGNAL, &number.to_le_bytes(), out),
            Self::Exec(order) => put(EXEC, order, out),
        }
    }

    /// The first frame of `bytes` and how many bytes it took; none if it is not whole yet.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((kind, payload, taken)) = split(bytes)? else { return Ok(None) };
        let frame = match (kind, payload) {
            (DATA, data) => Self::Data(data.to_vec()),
            (EOF, []) => Self::Eof,
            (RESIZE, [a, b, c, d]) => {
                Self::Resize { columns: u16::from_le_bytes([*a, *b]), rows: u16::from_le_bytes([*c, *d]) }
            }
            (SIGNAL, [a, b, c, d]) => Self::Signal(i32::from_le_bytes([*a, *b, *c, *d])),
            (EXEC, order) => Self::Exec(order.to_vec()),
            (EOF | RESIZE | SIGNAL, payload) => {
                return Err(FrameError::Payload { kind, bytes: payload.len() });
            }
            (kind, _) => return Err(FrameError::Kind(kind)),
        };
        Ok(Some((frame, taken)))
    }
}

// === impl OutputFrame ===

impl OutputFrame {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(data) => put_data(data, out),
            Self::Exit(code) => put(EXIT, &code.to_le_bytes(), out),
        }
    }

    /// As [`InputFrame::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((kind, payload, taken)) = split(bytes)? else { return Ok(None) };
        let frame = match (kind, payload) {
            (DATA, data) => Self::Data(data.to_vec()),
            (EXIT, [a, b, c, d]) => Self::Exit(i32::from_le_bytes([*a, *b, *c, *d])),
            (EXIT, payload) => return Err(FrameError::Payload { kind, bytes: payload.len() }),
            (kind, _) => return Err(FrameError::Kind(kind)),
        };
        Ok(Some((frame, taken)))
    }
}

/// Puts data into as many frames as it needs; empty data needs none. Both directions look the same.
pub fn put_data(data: &[u8], out: &mut Vec<u8>) {
    for part in data.chunks(FRAME_DATA_BYTES_MAX) {
        put(DATA, part, out);
    }
}

fn put(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    let bytes = u32::try_from(payload.len() + 1).expect("payloads are split at 64 KiB");
    out.extend_from_slice(&bytes.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(payload);
}

/// Kind, payload, and the bytes of the whole frame.
type Split<'a> = (u8, &'a [u8], usize);

fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, FrameError> {
    let Some((length, rest)) = bytes.split_at_checked(LENGTH_BYTES) else { return Ok(None) };
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if length == 0 || length > FRAME_DATA_BYTES_MAX + 1 {
        return Err(FrameError::Length(length));
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    Ok(Some((frame[0], &frame[1..], LENGTH_BYTES + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_version_1_look_like_this() {
        let mut bytes = Vec::new();
        InputFrame::Data(b"ls\n".to_vec()).encode(&mut bytes);
        InputFrame::Resize { columns: 80, rows: 24 }.encode(&mut bytes);
        InputFrame::Signal(2).encode(&mut bytes);
        InputFrame::Eof.encode(&mut bytes);
        assert_eq!(
            bytes,
            [
                4, 0, 0, 0, 1, b'l', b's', b'\n', // data
                5, 0, 0, 0, 3, 80, 0, 24, 0, // resize
                5, 0, 0, 0, 4, 2, 0, 0, 0, // signal
                1, 0, 0, 0, 2, // eof
            ]
        );
        let mut bytes = Vec::new();
        OutputFrame::Data(b"ok".to_vec()).encode(&mut bytes);
        OutputFrame::Exit(143).encode(&mut bytes);
        assert_eq!(bytes, [3, 0, 0, 0, 1, b'o', b'k', 5, 0, 0, 0, 2, 143, 0, 0, 0]);
    }

    #[test]
    fn frames_of_version_2_look_like_this() {
        let mut bytes = Vec::new();
        InputFrame::Exec(b"{}".to_vec()).encode(&mut bytes);
        assert_eq!(bytes, [3, 0, 0, 0, 5, b'{', b'}']);
        assert_eq!(InputFrame::decode(&bytes), Ok(Some((InputFrame::Exec(b"{}".to_vec()), 7))));
    }

    #[test]
    fn any_cut_of_the_bytes_waits_for_more_and_all_of_them_come_back() {
        let frames = [InputFrame::Data(vec![7; 300]), InputFrame::Signal(-1), InputFrame::Eof];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        for cut in 0..bytes.len() {
            let (mut at, mut seen) = (0, 0);
            while let Some((frame, taken)) = InputFrame::decode(&bytes[at..cut]).unwrap() {
                assert_eq!(frame, frames[seen]);
                (at, seen) = (at + taken, seen + 1);
            }
            assert!(seen < frames.len());
        }
    }

    #[test]
    fn long_data_is_split_and_nonsense_is_refused() {
        let mut bytes = Vec::new();
        OutputFrame::Data(vec![1; FRAME_DATA_BYTES_MAX + 5]).encode(&mut bytes);
        let (first, taken) = OutputFrame::decode(&bytes).unwrap().unwrap();
        assert_eq!(first, OutputFrame::Data(vec![1; FRAME_DATA_BYTES_MAX]));
        let (second, _) = OutputFrame::decode(&bytes[taken..]).unwrap().unwrap();
        assert_eq!(second, OutputFrame::Data(vec![1; 5]));

        assert_eq!(InputFrame::decode(&[0, 0, 0, 0, 1]), Err(FrameError::Length(0)));
        assert_eq!(InputFrame::decode(&[255, 255, 255, 255]), Err(FrameError::Length(u32::MAX as usize)));
        assert_eq!(InputFrame::decode(&[1, 0, 0, 0, 9]), Err(FrameError::Kind(9)));
        assert_eq!(OutputFrame::decode(&[2, 0, 0, 0, 2, 0]), Err(FrameError::Payload { kind: 2, bytes: 1 }));
    }
}
