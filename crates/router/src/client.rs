//! What an exchange wants of a client, whichever HTTP it speaks.

use std::task::{Context, Poll};

use crate::{
    answer::{Passing, Wrap},
    buffer::Buffer,
    codes::Code,
};

pub(crate) trait ClientSide {
    /// More of the request's body into `into`, as the dyno is to get it. `Ok(true)`: something came; `Ok(false)`: that
    /// was all, and stays so. An error is the client's fault.
    fn poll_body(&mut self, cx: &mut Context<'_>, into: &mut Buffer) -> Poll<Result<bool, Code>>;

    /// Ready when the client has gone away. Asked when its body has ended, or is not wanted yet.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// An answer before the answer (1xx).
    fn inform(&mut self, passing: &Passing<'_>);

    /// The answer's head. `ends`: there is no body. How the body goes into [`ClientSide::out`].
    fn begin(&mut self, passing: &Passing<'_>, ends: bool) -> Result<Wrap, Code>;

    /// Takes an answer back that has begun. False: the client may have seen something of it.
    fn retract(&mut self) -> bool;

    /// What is on its way to the client.
    fn out(&mut self) -> &mut Buffer;

    /// Sends all of [`ClientSide::out`]. `last`: nothing comes behind it.
    fn poll_send(&mut self, cx: &mut Context<'_>, last: bool) -> Poll<Result<(), Code>>;
}
