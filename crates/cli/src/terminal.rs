//! The user's terminal: its size, and raw mode that always ends.

use std::io::{self, IsTerminal as _};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowSize {
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

/// None where stdout is no terminal, or one that does not know its size.
pub(crate) fn window_size() -> Option<WindowSize> {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    let known = size.ws_col > 0 && size.ws_row > 0;
    known.then_some(WindowSize { columns: size.ws_col, rows: size.ws_row })
}

/// Whether keys come in and a screen is there.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Raw mode of stdin, until dropped: also by a panic, an error or a signal that ends the loop.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What was printed must be out before lines are handled differently; a terminal that is gone needs nothing.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before).ok();
    }
}
