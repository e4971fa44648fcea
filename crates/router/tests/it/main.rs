//! The router on the wire: real sockets, small dynos made of a few lines of bytes.

mod codes;
mod drain;
mod http;
mod rig;
mod tables;
mod tls;
mod upgrade;
