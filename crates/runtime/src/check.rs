//! What the hand refuses before it does anything.

use renga_ports::DynoSpec;

use crate::{
    config::{LAYERS_MAX, SPEC_FILES_BYTES_MAX},
    error::{HandError, Result},
    upper::inner_path,
};

/// Arguments and environment together (the kernel's limit for one string is 128 KiB).
const ARGV_BYTES_MAX: usize = 128 * 1024;

pub(crate) fn spec(spec: &DynoSpec) -> Result<()> {
    let refuse = |why: &str| Err(HandError::Refused(why.to_owned()));
    if spec.argv.first().is_none_or(String::is_empty) {
        return refuse("a dyno needs a command");
    }
    let strings = spec.argv.iter().map(String::as_str);
    let values = spec.env.iter().flat_map(|(key, value)| [key.as_str(), value.expose()]);
    if strings.clone().chain(values).any(|text| text.contains('\0')) {
        return refuse("arguments and variables can't hold NUL bytes");
    }
    if strings.map(str::len).sum::<usize>() > ARGV_BYTES_MAX {
        return refuse("the command is longer than 128 KiB");
    }
    if spec.env.keys().any(|key| key.is_empty() || key.contains('=')) {
        return refuse("a variable needs a name without '='");
    }
    if spec.layers.len() + spec.mounts.len() > LAYERS_MAX {
        return refuse("a dyno can't have more than 64 layers");
    }
    if spec.files.iter().map(|file| file.content.expose().len()).sum::<usize>() > SPEC_FILES_BYTES_MAX {
        return refuse("the files of a dyno can't have more than 1 MiB together");
    }
    let limits = &spec.limits;
    if limits.memory_bytes == 0 || limits.processes_max == 0 || limits.disk_bytes == 0 {
        return refuse("limits must be more than 0");
    }
    let mounts = spec.mounts.iter().map(|mount| &mount.path);
    let inputs = spec.inputs.iter().map(|input| &input.path);
    let files = spec.files.iter().map(|file| &file.path);
    mounts.chain(inputs).chain(files).try_for_each(|path| inner_path(path).map(drop))
}
