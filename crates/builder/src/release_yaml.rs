//! What `bin/release` prints: YAML with three keys, or nothing at all.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Scalar, Yaml};

use crate::buildpack::Release;

/// None if the text is not YAML. Nothing, `--- {}` and a bare `---` are the empty release; what does not have the
/// expected shape is left out.
pub(crate) fn parse(text: &str) -> Option<Release> {
    let documents = Yaml::load_from_str(text).ok()?;
    let Some(root) = documents.first() else { return Some(Release::default()) };
    let types = pairs(root, "default_process_types").into_iter();
    Some(Release {
        process_types: types.filter_map(|(name, command)| Some((name.parse().ok()?, command))).collect(),
        config_vars: pairs(root, "config_vars"),
        addons: root
            .as_mapping_get("addons")
            .and_then(Yaml::as_vec)
            .map(|list| list.iter().filter_map(scalar).collect())
            .unwrap_or_default(),
    })
}

fn pairs(root: &Yaml<'_>, key: &str) -> BTreeMap<String, String> {
    let Some(map) = root.as_mapping_get(key).and_then(Yaml::as_mapping) else { return BTreeMap::new() };
    map.iter().filter_map(|(name, value)| Some((scalar(name)?, scalar(value)?))).collect()
}

fn scalar(node: &Yaml<'_>) -> Option<String> {
    match node {
        Yaml::Value(Scalar::String(text)) => Some(text.to_string()),
        Yaml::Value(Scalar::Integer(number)) => Some(number.to_string()),
        Yaml::Value(Scalar::Boolean(truth)) => Some(truth.to_string()),
        Yaml::Value(Scalar::FloatingPoint(number)) => Some(number.to_string()),
        Yaml::Representation(text, ..) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shapes_of_nothing_are_empty() {
        for text in ["", "---", "--- {}", "---\n", "# comment\n"] {
            assert_eq!(parse(text), Some(Release::default()), "{text:?}");
        }
        assert_eq!(parse("a: [unclosed"), None);
    }

    #[test]
    fn types_vars_and_addons_are_read() {
        let text = "---\naddons:\n- heroku-postgresql\nconfig_vars:\n  N: 5\n  S: 'x: y'\ndefault_process_types:\n  web: bin/rails server -p ${PORT:-5000}\n  'bad type': x\n";
        let release = parse(text).unwrap();
        assert_eq!(release.addons, ["heroku-postgresql"]);
        assert_eq!(release.config_vars["N"], "5");
        assert_eq!(release.config_vars["S"], "x: y");
        let types: Vec<_> = release.process_types.iter().map(|(t, c)| format!("{t}={c}")).collect();
        assert_eq!(types, ["web=bin/rails server -p ${PORT:-5000}"]);
    }
}
