//! What tests hold: sources, requests, and builds on this machine.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use renga_builder::{Log, Places, build, conclude};
use renga_model::Secret;
use renga_ports::{BuildRequest, BuildResult, BuiltLayer};

pub(crate) const NOW: u64 = 1_795_400_000;

/// A source directory that becomes a tar file.
pub(crate) struct Source {
    pub(crate) folder: tempfile::TempDir,
}

impl Source {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let source = Self { folder: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            source.write(name, text);
        }
        source
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        write(&self.folder.path().join(name), text);
    }

    pub(crate) fn tar(&self, target: &Path) {
        let mut tar = tar::Builder::new(fs::File::create(target).unwrap());
        tar.follow_symlinks(false);
        tar.append_dir_all(".", self.folder.path()).unwrap();
        tar.finish().unwrap();
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn request(buildpacks: &[&str]) -> BuildRequest {
    BuildRequest {
        build: "01234567-89ab".into(),
        stack: "heroku-24".parse().unwrap(),
        source: String::new(),
        strip_top_folder: false,
        version: Some("c0ffee".into()),
        checksum: None,
        buildpacks: buildpacks.iter().map(|name| (*name).to_owned()).collect(),
        remembered: None,
        config: BTreeMap::new(),
        cached: Vec::new(),
        facts: BTreeMap::new(),
        site_env: site_env(),
        slug_bytes_max: 500 * 1024 * 1024,
        is_slug: false,
    }
}

pub(crate) fn with_config(mut request: BuildRequest, name: &str, value: &str) -> BuildRequest {
    request.config.insert(name.into(), Secret::new(value));
    request
}

/// CA bundle and proxies of the machine that the tests run on, as an operator would set them.
#[expect(clippy::disallowed_methods, reason = "tests read the machine's settings where a binary would")]
pub(crate) fn site_env() -> BTreeMap<String, String> {
    let names = [
        "SSL_CERT_FILE",
        "PIP_CERT",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
        "CURL_CA_BUNDLE",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "PIP_INDEX_URL",
    ];
    names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// What a build left.
pub(crate) struct Outcome {
    pub(crate) succeeded: bool,
    pub(crate) log: String,
    /// The result file as it is.
    pub(crate) json: serde_json::Value,
    /// The root under which the result's directories lie.
    pub(crate) root: PathBuf,
}

impl Outcome {
    pub(crate) fn result(&self) -> BuildResult {
        assert!(self.succeeded, "{}", self.log);
        serde_json::from_value(self.json.clone()).unwrap()
    }

    pub(crate) fn app(&self) -> PathBuf {
        let layers = self.result().layers;
        match layers.last().unwrap() {
            BuiltLayer::Fresh { key: None, directory } => self.at(directory).join("app"),
            other => panic!("the last layer is no app layer: {other:?}"),
        }
    }

    /// Where a directory of the result lies for the test.
    pub(crate) fn at(&self, directory: &str) -> PathBuf {
        if Path::new(directory).starts_with(&self.root) {
            return directory.into();
        }
        self.root.join(directory.trim_start_matches('/'))
    }

    pub(crate) fn says(&self, line: &str) -> bool {
        self.log.lines().any(|found| found == line)
    }

    #[track_caller]
    pub(crate) fn must_say(&self, lines: &[&str]) {
        for line in lines {
            assert!(self.says(line), "missing: {line:?}\n{}", self.log);
        }
    }
}

/// A machine of its own: all places below one directory.
pub(crate) struct Machine {
    pub(crate) root: tempfile::TempDir,
    pub(crate) places: Places,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["app", "tmp", "out", "run"] {
            fs::create_dir(at(name)).unwrap();
        }
        let places = Places {
            request: at("run/build.json"),
            result: at("out/result.json"),
            app: at("app"),
            tmp: at("tmp"),
            layers_out: at("out/layers"),
            cache: at("tmp/codon/tmp/cache"),
            private: vec![at("run")],
            runtimes_mounted: at("none"),
            stack_tools: at("none"),
            stack_packages: at("none"),
        };
        Self { root, places }
    }

    /// Builds; `source` is a tar file.
    pub(crate) fn build_archive(&self, source: &Path, mut request: BuildRequest) -> Outcome {
        #[derive(Clone)]
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        request.source = source.to_string_lossy().into_owned();
        fs::write(&self.places.request, serde_json::to_vec(&request).unwrap()).unwrap();
        let written = Shared(Arc::default());
        let mut log = Log::to(Box::new(written.clone()));
        let outcome = build(&self.places, &mut log, NOW);
        let succeeded = conclude(&self.places, &mut log, outcome);
        let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let json = serde_json::from_slice(&fs::read(&self.places.result).unwrap()).unwrap();
        Outcome { succeeded, log, json, root: self.root.path().to_owned() }
    }

    pub(crate) fn build(&self, source: &Source, request: BuildRequest) -> Outcome {
        let archive = self.root.path().join("source.tar");
        source.tar(&archive);
        self.build_archive(&archive, request)
    }
}
