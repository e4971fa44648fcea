//! Man pages: one of the program, and one of each command.

use std::{fs, io, path::Path};

use clap::Command;

/// Gives how many were written. Those that are there are replaced.
pub(super) fn write(command: Command, directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    let name = command.get_name().to_owned();
    let mut written = 0;
    let mut page = |file: String, command: Command| {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).manual("Renga").render(&mut text)?;
        written += 1;
        fs::write(directory.join(file), text)
    };
    for of in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        // A colon can't stand in a page's name on every file system, and `man` reads it as a path's end.
        let title = format!("{name}-{}", of.get_name().replace(':', "-"));
        page(format!("{title}.1"), of.clone().name(title).bin_name(format!("{name} {}", of.get_name())))?;
    }
    page(format!("{name}.1"), command)?;
    Ok(written)
}
