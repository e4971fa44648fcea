//! Which package manager an app uses: exactly one file must say so.

use crate::{BuildError, context::Context};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Pip,
    Pipenv,
    Poetry,
    Uv,
}

impl Manager {
    const ALL: [Manager; 4] = [Self::Pipenv, Self::Pip, Self::Poetry, Self::Uv];

    /// The file that decides the dependencies.
    pub(super) fn lock_file(self) -> &'static str {
        match self {
            Self::Pip => "requirements.txt",
            Self::Pipenv => "Pipfile.lock",
            Self::Poetry => "poetry.lock",
            Self::Uv => "uv.lock",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Pipenv => "Pipenv",
            Self::Poetry => "Poetry",
            Self::Uv => "uv",
        }
    }

    /// As the log shows it.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Pip => "pip install -r requirements.txt",
            Self::Pipenv => "pipenv install --deploy",
            Self::Poetry => "poetry sync --only main",
            Self::Uv => "uv sync --locked --no-default-groups",
        }
    }

    pub(super) fn find(context: &Context<'_>) -> Result<Self, BuildError> {
        let found: Vec<Self> = Self::ALL.into_iter().filter(|m| context.app_has(m.lock_file())).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Self::nothing_found(context)),
            several => Err(BuildError::PythonManagers {
                files: several.iter().map(|manager| manager.lock_file().to_owned()).collect(),
            }),
        }
    }

    fn nothing_found(context: &Context<'_>) -> BuildError {
        if context.app_has("Pipfile") {
            return BuildError::PipfileWithoutLock;
        }
        let others = ["pdm.lock", "pyproject.toml", "setup.py"];
        let near = super::DETECT_FILES.iter().skip_while(|name| **name != "requirement.txt").chain(&others);
        let hint = near.copied().find(|name| context.app_has(name)).map(str::to_owned);
        BuildError::PythonNoManager { hint }
    }
}
