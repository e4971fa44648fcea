//! Heads as we write them. Whoever reads what stands here must understand the one request that we understood: names
//! and values are those of a parsed head, which has no character that would end a line.

use crate::{
    buffer::Buffer,
    http::{
        Framing, Version,
        fields::{Known, known},
        request::{Facts, Head},
    },
};

/// What goes to a dyno of a client's head: the request line, `Host`, the client's own fields, and what frames the body.
/// The caller goes on with fields of the router's.
pub(crate) fn write_request(out: &mut Buffer, head: &Head<'_>, facts: &Facts<'_>, authority: &str) {
    out.push(head.method.as_bytes());
    out.push(b" ");
    out.push(head.path.as_bytes());
    out.push(b" HTTP/1.1\r\n");
    push_field(out, b"Host", authority.as_bytes());
    let mut cookies = false;
    for field in head.fields {
        let name = field.name.as_bytes();
        match known(name) {
            Known::Via | Known::Server | Known::SetCookie | Known::Other => {}
            // HTTP/2 may split what HTTP/1 has in one field.
            Known::Cookie if head.version == Version::Http2 => {
                cookies = true;
                continue;
            }
            Known::Cookie => {}
            _ => continue,
        }
        if !facts.options.names(name) {
            push_field(out, name, field.value);
        }
    }
    if cookies {
        write_cookies(out, head);
    }
    match &facts.framing {
        Framing::Length(length) => push_number_field(out, "Content-Length", *length),
        Framing::Chunked(_) => out.push(b"Transfer-Encoding: chunked\r\n"),
        Framing::Empty | Framing::UntilClose => {}
    }
}

fn write_cookies(out: &mut Buffer, head: &Head<'_>) {
    out.push(b"Cookie: ");
    let cookies = head.fields.iter().filter(|field| known(field.name.as_bytes()) == Known::Cookie);
    for (index, field) in cookies.enumerate() {
        if index > 0 {
            out.push(b"; ");
        }
        out.push(field.value);
    }
    out.push(b"\r\n");
}

pub(crate) fn push_field(out: &mut Buffer, name: &[u8], value: &[u8]) {
    out.push(name);
    out.push(b": ");
    out.push(value);
    out.push(b"\r\n");
}

pub(crate) fn push_number_field(out: &mut Buffer, name: &str, number: u64) {
    out.push(name.as_bytes());
    out.push(b": ");
    push_number(out, number);
    out.push(b"\r\n");
}

pub(crate) fn push_number(out: &mut Buffer, mut number: u64) {
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return out.push(&digits[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 7, 10, 65_535, u64::MAX] {
            let mut out = Buffer::default();
            push_number(&mut out, number);
            assert_eq!(out.unread(), number.to_string().as_bytes());
        }
    }
}
