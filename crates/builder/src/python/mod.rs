//! Python.

/// Any of these makes it a Python app (directories too).
pub(crate) const DETECT_FILES: [&str; 27] = [
    ".python-version",
    "__init__.py",
    "app.py",
    "main.py",
    "manage.py",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "pyproject.toml",
    "requirements.txt",
    "runtime.txt",
    "server.py",
    "setup.cfg",
    "setup.py",
    "uv.lock",
    "__pycache__",
    ".venv",
    "venv",
    // Misspellings of requirements.txt, so that the error can name the mistake.
    "requirement.txt",
    "Requirements.txt",
    "requirements.text",
    "requirements.txt.txt",
    "requirments.txt",
    "requriements.txt",
    "requirements.tx",
    "REQUIREMENTS.txt",
];
