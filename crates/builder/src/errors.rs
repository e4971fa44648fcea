//! Every way in which a build fails, and all the words that a user reads about it: what, why, what next.

use std::{io, path::PathBuf};

use crate::options::BUILT_IN;

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    // --- the platform's side ---
    #[error("could not read the build request")]
    Request {
        #[source]
        cause: serde_json::Error,
    },
    #[error("could not {operation} {}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("no directory for the config vars can be written")]
    NoPrivateDirectory,
    #[error("could not run {program}")]
    Tool {
        program: String,
        #[source]
        cause: io::Error,
    },
    #[error("{program} took longer than {seconds} s")]
    ToolTimedOut { program: String, seconds: u64 },

    // --- the source ---
    #[error("the source archive can't be read")]
    SourceUnreadable {
        #[source]
        cause: io::Error,
    },
    #[error("the source could not be fetched from {url}")]
    SourceFetch { url: String, reason: String },
    #[error("the source archive's entry {name} {why}")]
    SourceEntry { name: String, why: &'static str },
    #[error("the source is larger than {bytes_max} bytes")]
    SourceTooLarge { bytes_max: u64 },
    #[error("the source has more than {max} files")]
    SourceTooManyFiles { max: usize },
    #[error("the source is empty")]
    SourceEmpty,
    #[error("the slug has no ./app")]
    SlugWithoutApp,
    #[error("the checksum {checksum} is of an unknown kind")]
    ChecksumUnknown { checksum: String },
    #[error("the source's SHA-256 is {found}, not {wanted}")]
    ChecksumDiffers { wanted: String, found: String },
    #[error("{} is larger than {bytes_max} bytes", path.display())]
    FileTooLarge { path: PathBuf, bytes_max: u64 },
    #[error("{file} is invalid: {reason}")]
    FileInvalid { file: String, reason: String },
    #[error(".slugignore has more than {max} patterns")]
    SlugignoreTooLong { max: usize },

    // --- choosing and running buildpacks ---
    #[error("nothing was detected")]
    NothingDetected,
    #[error("{language} is not built in")]
    LanguageNotOffered { language: &'static str, file: String },
    #[error("buildpack {name} is not built in")]
    BuildpackNotOffered { name: String },
    #[error("{name} is no buildpack's name or URL")]
    BuildpackUrl { name: String },
    #[error("more than {max} buildpacks")]
    TooManyBuildpacks { max: usize },
    #[error("could not fetch buildpack {name}: {reason}")]
    BuildpackFetch { name: String, reason: String },
    #[error("buildpack {name} has no {missing}")]
    NotABuildpack { name: String, missing: &'static str },
    #[error("buildpack {name} does not apply")]
    NotCompatible { name: String },
    #[error("the buildpack's compile step failed")]
    CompileFailed,
    #[error("bin/release of {name} failed")]
    ReleaseFailed { name: String, stderr: String },
    #[error("bin/release of {name} printed no YAML")]
    ReleaseUnreadable { name: String },
    // --- languages ---
    #[error("the hook {name} failed")]
    Hook { name: String, code: Option<i32> },
    #[error("{tool} could not be fetched")]
    ToolFetch { tool: &'static str, stderr: String },
    #[error("apt could not {operation} the packages")]
    Apt { operation: &'static str, stderr: String },
    #[error("no file of a Python package manager was found")]
    PythonNoManager { hint: Option<String> },
    #[error("files of several Python package managers were found")]
    PythonManagers { files: Vec<String> },
    #[error("there is a Pipfile without Pipfile.lock")]
    PipfileWithoutLock,
    #[error("there is a uv.lock without .python-version")]
    UvWithoutPythonVersion,
    #[error("the Python version in {file} is invalid")]
    PythonVersionInvalid { file: &'static str, text: String },
    #[error("Python {wanted} can't be had")]
    PythonVersionNotOffered { wanted: String, offered: Vec<String> },
    #[error("{manager} could not install the dependencies")]
    PythonInstall { manager: &'static str, lock: &'static str },
    #[error("Django's static files could not be generated")]
    Collectstatic { command: String },
    #[error("the NLTK corpora could not be downloaded")]
    Corpora,
    #[error("{what} could not be had from the package registry")]
    Registry { what: String, stderr: String },
    #[error("lock files of several package managers were found")]
    NodeLockFiles { files: Vec<String> },
    #[error("the range {range} of engines.{tool} is invalid")]
    NodeRangeInvalid { tool: &'static str, range: String },
    #[error("no Node.js fits {wanted}")]
    NodeVersionNotOffered { wanted: String, offered: Vec<String> },
    #[error("no {tool} fits {wanted}")]
    NodeToolNotOffered { tool: String, wanted: String },
    #[error("{command} failed")]
    NodeInstall { command: String, lock: Option<&'static str> },
    #[error("the script {name} failed")]
    NodeScript { name: String },

    #[error("could not compile the {language} app")]
    Compile {
        language: String,
        #[source]
        cause: Box<BuildError>,
    },
}

impl BuildError {
    /// For `failed to compile ... app`.
    pub(crate) fn language(&self) -> Option<&str> {
        match self {
            Self::Compile { language, .. } => Some(language),
            _ => None,
        }
    }

    /// What the user reads; lines without the frame.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Compile { cause, .. } => cause.explain(),
            Self::Request { .. } | Self::Io { .. } | Self::NoPrivateDirectory | Self::Tool { .. } => {
                self.explain_platform()
            }
            Self::NothingDetected
            | Self::LanguageNotOffered { .. }
            | Self::BuildpackNotOffered { .. }
            | Self::BuildpackUrl { .. }
            | Self::TooManyBuildpacks { .. }
            | Self::BuildpackFetch { .. }
            | Self::NotABuildpack { .. }
            | Self::NotCompatible { .. }
            | Self::CompileFailed
            | Self::ReleaseFailed { .. }
            | Self::ReleaseUnreadable { .. } => self.explain_buildpacks(),
            Self::Hook { .. } | Self::ToolFetch { .. } | Self::Apt { .. } => self.explain_tools(),
            Self::PythonNoManager { .. }
            | Self::PythonManagers { .. }
            | Self::PipfileWithoutLock
            | Self::UvWithoutPythonVersion
            | Self::PythonVersionInvalid { .. }
            | Self::PythonVersionNotOffered { .. }
            | Self::PythonInstall { .. }
            | Self::Collectstatic { .. }
            | Self::Corpora => self.explain_python(),
            Self::Registry { .. }
            | Self::NodeLockFiles { .. }
            | Self::NodeRangeInvalid { .. }
            | Self::NodeVersionNotOffered { .. }
            | Self::NodeToolNotOffered { .. }
            | Self::NodeInstall { .. }
            | Self::NodeScript { .. } => self.explain_node(),
            _ => self.explain_source(),
        }
    }

    fn explain_node(&self) -> String {
        match self {
            Self::Registry { what, stderr } => format!(
                "Error: {what} could not be had from the package registry.\n{stderr}\n\
                 If the registry could not be reached, push again later."
            ),
            Self::NodeLockFiles { files } => format!(
                "Error: Build failed because two or more lockfiles were found: {}.\n\
                 \n\
                 Each belongs to another package manager, and it is not clear which one the app uses.\n\
                 Remove all but one from your Git repository, for example: git rm {}",
                files.join(", "),
                files.last().map(String::as_str).unwrap_or_default()
            ),
            Self::NodeRangeInvalid { tool, range } => format!(
                "Error: Invalid semantic version \"{range}\" for engines.{tool} in package.json.\n\
                 \n\
                 Write a version such as \"22.x\", commit, and push again."
            ),
            Self::NodeVersionNotOffered { wanted, offered } => format!(
                "Error: No matching Node.js version found for \"{wanted}\".\n\
                 \n\
                 The newest of each major version are: {}.\n\
                 Correct engines.node in package.json, commit, and push again.",
                offered.join(", ")
            ),
            Self::NodeToolNotOffered { tool, wanted } => format!(
                "Error: No matching {tool} version found for \"{wanted}\".\n\
                 Correct engines.{tool} or packageManager in package.json, commit, and push again."
            ),
            Self::NodeInstall { command, lock } => format!(
                "Error: '{command}' failed; its messages are above.\n\
                 {}Try it on your machine, commit what you changed, and push again.",
                lock.map(|lock| format!(
                    "If {lock} does not fit package.json, install again and commit it.\n"
                ))
                .unwrap_or_default()
            ),
            Self::NodeScript { name } => format!(
                "Error: The script \"{name}\" of package.json failed; its messages are above.\n\
                 Correct it, commit, and push again."
            ),
            other => other.to_string(),
        }
    }

    fn explain_tools(&self) -> String {
        match self {
            Self::Hook { name, code } => format!(
                "Error: The hook {name} failed{}.\n\
                 Its messages are above. Correct it, commit, and push again.",
                code.map(|code| format!(" with exit status {code}")).unwrap_or_default()
            ),
            Self::ToolFetch { tool, stderr } => format!(
                "Error: {tool} could not be installed.\n{stderr}\n\
                 If the package registry could not be reached, push again later."
            ),
            Self::Apt { operation, stderr } => format!(
                "Error: The runtime could not be installed from the distribution's packages (step: {operation}).\n\
                 {stderr}\n\
                 If the mirror could not be reached, push again later, or ask for the version of the stack."
            ),
            other => other.to_string(),
        }
    }

    fn explain_python(&self) -> String {
        match self {
            Self::PythonNoManager { hint } => python_no_manager(hint.as_deref()),
            Self::PythonManagers { files } => format!(
                "Error: Multiple Python package manager files were found.\n\
                 \n\
                 Exactly one package manager file must be present in your app's source\n\
                 code, so that it is clear which one to use. Found were:\n\
                 \n{}\n\
                 \n\
                 Decide which one your app uses, and remove the others from your Git repository.",
                files.iter().map(|file| format!("    {file}")).collect::<Vec<_>>().join("\n")
            ),
            Self::PipfileWithoutLock => "Error: No 'Pipfile.lock' found!\n\
                 \n\
                 A 'Pipfile' was found, but not the lock file that belongs to it.\n\
                 Create it with 'pipenv lock', commit it, and push again."
                .into(),
            Self::UvWithoutPythonVersion => "Error: No Python version was specified.\n\
                 \n\
                 An app that uses uv must say which Python it wants in a file .python-version\n\
                 at the root of its source. Create it, commit it, and push again:\n\
                 \n\
                 \u{20}   echo \"3.14\" > .python-version"
                .into(),
            Self::PythonVersionInvalid { file, text } => format!(
                "Error: Invalid Python version in {file}.\n\
                 \n\
                 It holds: {}\n\
                 Write one version such as 3.14, or 3.14.7 if it must be exactly that one{}.",
                text.trim(),
                if *file == "runtime.txt" { ", with python- in front of it" } else { "" }
            ),
            Self::PythonVersionNotOffered { wanted, offered } => format!(
                "Error: Python {wanted} isn't available here.\n\
                 \n\
                 These versions are: {}.\n\
                 Write one of them (or only its first two numbers) into .python-version, commit, and push again.",
                if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
            ),
            Self::PythonInstall { manager, lock } => format!(
                "Error: Unable to install dependencies using {manager}.\n\
                 \n\
                 The reason is in the lines above. Correct {lock}, commit it, and push again."
            ),
            Self::Collectstatic { command } => format!(
                "Error: Unable to generate Django static files.\n\
                 \n\
                 The '{command}' Django\n\
                 management command to generate static files failed.\n\
                 \n\
                 See the traceback above for details. You may need to update application\n\
                 code to resolve this error, or to set config vars that its settings need.\n\
                 \n\
                 Or, you can disable collectstatic for this application:\n\
                 \n\
                 \u{20}   $ heroku config:set DISABLE_COLLECTSTATIC=1"
            ),
            Self::Corpora => "Error: Unable to download NLTK data.\n\
                 \n\
                 See the lines above. Check the names in nltk.txt."
                .into(),
            other => other.to_string(),
        }
    }

    fn explain_platform(&self) -> String {
        let cause = std::error::Error::source(self).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!(
            "The build stopped: {self}{cause}.\n\
             This is not the app's fault, unless it filled the disk. Push again; if it happens again, tell the\n\
             operator of this platform."
        )
    }

    fn explain_source(&self) -> String {
        match self {
            Self::SourceEmpty => "The source is empty: there is not one file in it.\n\
                 Commit the app's files (git add, git commit) and push again."
                .into(),
            Self::SlugWithoutApp => {
                "The slug has no directory ./app, in which everything that runs must lie.\n\
                 Pack it with: tar czf slug.tgz ./app"
                    .into()
            }
            Self::SourceUnreadable { cause } => format!(
                "The source archive can't be read: {cause}.\n\
                 It must be a tar file, plain or compressed with gzip."
            ),
            Self::SourceFetch { url, reason } => format!(
                "The source could not be fetched from {url}:\n{reason}\n\
                 Check that the address is right, still valid, and can be reached from this platform."
            ),
            Self::SourceEntry { name, why } => format!(
                "The source archive can't be used: {name} {why}.\n\
                 Only files, directories, and links inside the source are accepted. Remove it and try again."
            ),
            Self::SourceTooLarge { bytes_max } => format!(
                "The source is too large: unpacked it takes more than {} MB.\n\
                 Keep big files elsewhere (object storage, a package registry) and push again.",
                bytes_max / (1024 * 1024)
            ),
            Self::ChecksumUnknown { checksum } => format!(
                "The checksum {checksum} can't be checked.\n\
                 Give it as SHA256:<64 hex digits>."
            ),
            Self::ChecksumDiffers { wanted, found } => format!(
                "The source is not what was promised.\n\
                 Its SHA-256 is {found},\n\
                 but the build was asked for with {wanted}.\n\
                 Upload it again and start a new build."
            ),
            Self::FileInvalid { file, reason } => format!(
                "{file} can't be read: {reason}.\n\
                 Correct it, commit, and push again."
            ),
            Self::ToolTimedOut { program, seconds } => format!(
                "{program} took longer than {seconds} s and was stopped.\n\
                 If it waited for the network, push again later."
            ),
            other => format!("The source can't be built: {other}.\nMake it smaller and push again."),
        }
    }

    fn explain_buildpacks(&self) -> String {
        let offered = BUILT_IN.join(", ");
        match self {
            Self::NothingDetected => format!(
                "No default language could be detected for this app.\n\
                 \u{20}    HINT: The root of the source has none of the files that tell a language (such as\n\
                 \u{20}    package.json or requirements.txt), and no Procfile. Check that they are committed, or choose\n\
                 \u{20}    a buildpack: heroku buildpacks:set <name or URL>. Built in are: {offered}."
            ),
            Self::LanguageNotOffered { language, file } => format!(
                "This looks like a {language} app (it has {file}), and heroku/{language} is not built in here.\n\
                 Built in are: {offered}.\n\
                 Choose one of them, or the URL of a classic buildpack, with:\n\
                 \u{20}   heroku buildpacks:set <name or URL>"
            ),
            Self::BuildpackNotOffered { name } => format!(
                "The buildpack {name} is not built in here.\n\
                 Built in are: {offered}.\n\
                 A classic buildpack can be given by the URL of its git repository or tarball:\n\
                 \u{20}   heroku buildpacks:set https://example.com/buildpack.git#v1"
            ),
            Self::BuildpackUrl { name } => format!(
                "\"{name}\" is not the name of a built-in buildpack and not a URL that can be used.\n\
                 Built in are: {offered}. Others need the https:// or http:// URL of a git repository\n\
                 (with #branch, #tag or #commit if wanted) or of a .tgz or .tar.gz file."
            ),
            Self::TooManyBuildpacks { max } => format!(
                "The list of buildpacks is too long: there may be {max}.\n\
                 Remove some with heroku buildpacks:remove."
            ),
            Self::BuildpackFetch { name, reason } => format!(
                "The buildpack {name} could not be fetched:\n{reason}\n\
                 Check its address (heroku buildpacks), and that it can be reached without a password."
            ),
            Self::NotABuildpack { name, missing } => format!(
                "{name} is not a buildpack: it has no {missing}.\n\
                 Check the address and the ref with: heroku buildpacks"
            ),
            Self::NotCompatible { name } => format!(
                "The app's source is not what the buildpack {name} can build.\n\
                 Change the buildpack with heroku buildpacks:set, or let it be detected: heroku buildpacks:clear"
            ),
            Self::ReleaseFailed { name, stderr } => {
                format!("bin/release of the buildpack {name} failed.\n{stderr}")
            }
            Self::ReleaseUnreadable { name } => {
                format!(
                    "bin/release of the buildpack {name} did not print YAML.\nTell the buildpack's author."
                )
            }
            _ => "The buildpack could not build the app: see its messages above.".into(),
        }
    }
}

fn python_no_manager(hint: Option<&str>) -> String {
    let found = match hint {
        Some("setup.py") => {
            "A setup.py alone is not enough: name what to install in a requirements.txt, which may hold the line \".\".\n"
                .to_owned()
        }
        Some("pdm.lock") => "A pdm.lock was found, which is not supported: export it with 'pdm export'.\n".to_owned(),
        Some("pyproject.toml") => {
            "A pyproject.toml was found, but not the lock file of uv or Poetry that belongs to it.\n".to_owned()
        }
        Some(name) => format!("There is a file {name}: it must be called requirements.txt.\n"),
        None => String::new(),
    };
    format!(
        "Error: Couldn't find any supported Python package manager files.\n\
         \n\
         A Python app must have exactly one of these at the root of its source:\n\
         \n\
         \u{20}   requirements.txt (pip), Pipfile.lock (Pipenv), poetry.lock (Poetry), uv.lock (uv)\n\
         \n\
         {found}\
         If the app needs no packages at all, an empty requirements.txt will do. Check that the\n\
         file is committed, and not named in .gitignore or .slugignore."
    )
}
