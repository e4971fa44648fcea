//! The pages that the router itself answers with. Plain HTML in files of their own, `src/pages/`.

use bytes::Bytes;

use crate::codes::Code;

const APPLICATION_ERROR: &str = include_str!("pages/application-error.html");
const NO_SUCH_APP: &str = include_str!("pages/no-such-app.html");
const MAINTENANCE: &str = include_str!("pages/maintenance-mode.html");
const WELCOME: &str = include_str!("pages/welcome.html");
const BAD_REQUEST: &str = include_str!("pages/bad-request.html");
const FRAME: &str = include_str!("pages/frame.html");

pub(crate) fn no_such_app() -> Bytes {
    Bytes::from_static(NO_SUCH_APP.as_bytes())
}

pub(crate) fn bad_request() -> Bytes {
    Bytes::from_static(BAD_REQUEST.as_bytes())
}

/// An app's own pages, made once per table: the router's page, or theirs in a frame.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    error: Bytes,
    maintenance: Bytes,
}

impl Pages {
    pub(crate) fn new(error_url: Option<&str>, maintenance_url: Option<&str>) -> Self {
        Self {
            error: framed(error_url, "Application error", APPLICATION_ERROR),
            maintenance: framed(maintenance_url, "Offline for maintenance", MAINTENANCE),
        }
    }

    pub(crate) fn for_code(&self, code: Code) -> Bytes {
        match code {
            Code::H80 => self.maintenance.clone(),
            Code::H81 => Bytes::from_static(WELCOME.as_bytes()),
            Code::H26(_) => bad_request(),
            _ => self.error.clone(),
        }
    }
}

/// A URL that is not http(s) would run in the page of the router (`javascript:`), so it is not framed.
fn framed(url: Option<&str>, title: &str, default: &'static str) -> Bytes {
    match url {
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
            Bytes::from(FRAME.replace("{title}", title).replace("{url}", &escaped(url)))
        }
        _ => Bytes::from_static(default.as_bytes()),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_app_stands_in_a_frame_and_cannot_leave_its_attribute() {
        let pages = Pages::new(Some("https://x.example/a?b=1&c=\"><script>"), Some("javascript:alert(1)"));
        let error = String::from_utf8(pages.for_code(Code::H12).to_vec()).unwrap();
        assert!(error.contains("src=\"https://x.example/a?b=1&amp;c=&quot;&gt;&lt;script&gt;\""), "{error}");
        assert!(error.contains("<title>Application error</title>"));
        assert_eq!(pages.for_code(Code::H80), MAINTENANCE.as_bytes());
        assert_eq!(pages.for_code(Code::H81), WELCOME.as_bytes());
    }
}
