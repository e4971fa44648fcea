//! Detection: which official language an app is, in the official order, the first match wins. The table holds also
//! those that we do not build, so that a Ruby app with a `package.json` is never built as something that it is not.

use std::{fs, path::Path};

use crate::node::Node;
use crate::python::Python;
use crate::{BuildError, buildpack::Buildpack};

struct Language {
    name: &'static str,
    files: &'static [&'static str],
    suffixes: &'static [&'static str],
}

const OFFICIAL: [Language; 10] = [
    Language { name: "ruby", files: &["Gemfile"], suffixes: &[] },
    Language { name: "nodejs", files: &["package.json"], suffixes: &[] },
    Language { name: "clojure", files: &["project.clj", "deps.edn"], suffixes: &[] },
    Language { name: "python", files: &crate::python::DETECT_FILES, suffixes: &[] },
    Language {
        name: "java",
        files: &[
            "pom.xml",
            "pom.atom",
            "pom.clj",
            "pom.groovy",
            "pom.rb",
            "pom.scala",
            "pom.yaml",
            "pom.yml",
        ],
        suffixes: &[],
    },
    Language {
        name: "gradle",
        files: &["gradlew", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"],
        suffixes: &[],
    },
    Language { name: "scala", files: &["build.sbt", "project/build.properties"], suffixes: &[".sbt"] },
    Language { name: "php", files: &["composer.json", "index.php"], suffixes: &[] },
    Language { name: "go", files: &["go.mod", "Gopkg.lock", "glide.yaml"], suffixes: &[] },
    Language { name: "dotnet", files: &[], suffixes: &[".sln", ".csproj", ".fsproj", ".vbproj"] },
];

/// The built-in for this app. None if no official language matches; an error if one does that is not built in.
pub(crate) fn detect(root: &Path) -> Result<Option<Box<dyn Buildpack>>, BuildError> {
    match language(root) {
        None => Ok(None),
        Some("nodejs") => Ok(Some(Box::new(Node::default()))),
        Some("python") => Ok(Some(Box::new(Python::default()))),
        Some(name) => Err(BuildError::LanguageNotOffered { language: name, file: matched_file(root, name) }),
    }
}

fn language(root: &Path) -> Option<&'static str> {
    OFFICIAL.iter().find(|language| evidence(root, language).is_some()).map(|language| language.name)
}

fn matched_file(root: &Path, name: &str) -> String {
    let language = OFFICIAL.iter().find(|language| language.name == name);
    language.and_then(|language| evidence(root, language)).unwrap_or_default()
}

fn evidence(root: &Path, language: &Language) -> Option<String> {
    if let Some(file) = language.files.iter().find(|file| root.join(file).exists()) {
        return Some((*file).to_owned());
    }
    if language.suffixes.is_empty() {
        return None;
    }
    let names = fs::read_dir(root).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.into_iter().find(|name| language.suffixes.iter().any(|suffix| name.ends_with(suffix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], expected: Option<&str>) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            crate::files::write(&root.path().join(file), "").unwrap();
        }
        assert_eq!(language(root.path()), expected, "{files:?}");
    }

    #[test]
    fn the_official_order_decides() {
        check(&[], None);
        check(&["README.md", "Procfile"], None);
        check(&["package.json", "requirements.txt"], Some("nodejs"));
        check(&["Gemfile", "package.json"], Some("ruby"));
        check(&["requirements.txt", "go.mod"], Some("python"));
        check(&["__pycache__/x.pyc"], Some("python"));
        check(&["App.sln"], Some("dotnet"));
        check(&["index.php"], Some("php"));
    }
}
