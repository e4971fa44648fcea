//! The three addresses of smart HTTP.

use http::{Method, Uri};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `git clone`, `git fetch`.
    UploadPack,
    /// `git push`.
    ReceivePack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /APP.git/info/refs?service=...`
    Advertise(Service),
    /// `POST /APP.git/git-...-pack`
    Call(Service),
}

impl Service {
    /// As git names it after `git-`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }
}

impl Endpoint {
    /// The app's name, not yet checked, and what is asked of it; none if this is not git's request. The old "dumb"
    /// protocol (files of the repository) is not offered.
    pub fn parse<'a>(method: &Method, uri: &'a Uri) -> Option<(&'a str, Self)> {
        let (app, rest) = uri.path().strip_prefix('/')?.split_once('/')?;
        let app = app.strip_suffix(".git").filter(|app| !app.is_empty())?;
        if rest == "info/refs" && *method == Method::GET {
            let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
            let (_, service) = pairs.find(|(key, _)| *key == "service")?;
            return Some((app, Self::Advertise(Service::parse(service)?)));
        }
        (*method == Method::POST).then_some(())?;
        Some((app, Self::Call(Service::parse(rest)?)))
    }

    pub fn service(self) -> Service {
        match self {
            Self::Advertise(service) | Self::Call(service) => service,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_smart_requests_are_known() {
        let parse = |method: Method, uri: &str| {
            Endpoint::parse(&method, &uri.parse().unwrap()).map(|(app, endpoint)| (app.to_owned(), endpoint))
        };
        let pushed = Endpoint::Advertise(Service::ReceivePack);
        assert_eq!(
            parse(Method::GET, "/demo.git/info/refs?service=git-receive-pack"),
            Some(("demo".into(), pushed))
        );
        let fetched = Endpoint::Call(Service::UploadPack);
        assert_eq!(parse(Method::POST, "/demo.git/git-upload-pack"), Some(("demo".into(), fetched)));
        for uri in [
            "/demo.git/info/refs",
            "/demo.git/HEAD",
            "/demo/git-upload-pack",
            "/.git/info/refs?service=git-upload-pack",
        ] {
            assert_eq!(parse(Method::GET, uri), None, "{uri}");
        }
        assert_eq!(parse(Method::GET, "/demo.git/info/refs?service=git-upload-archive"), None);
        assert_eq!(parse(Method::POST, "/a/b.git/git-upload-pack"), None);
    }
}
