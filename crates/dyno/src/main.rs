//! `renga-dyno`: see the library's page.

fn main() -> std::process::ExitCode {
    renga_dyno::run()
}
