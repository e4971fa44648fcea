"""Other people's clients of the Platform API, unmodified, at `api.heroku.com`: heroku3 (PyPI), heroku-client (npm), and the
recipes for curl of docs/api.md.
"""

import io
import os
import pathlib
import re
import tarfile

from herokus_names import Override
from platform_under_test import ROOT, Failed, wait_for

CLIENTS = pathlib.Path(os.environ.get("RENGA_CLIENTS_DIR", "/var/cache/renga/clients"))
SCRIPTS = pathlib.Path(__file__).parent / "clients"
COLLEAGUE = "colleague@example.com"


def test_heroku3_heroku_client_and_curl():
    for part in ("python/heroku3", "node_modules/heroku-client"):
        if not (CLIENTS / part).is_dir():
            raise Failed(f"{CLIENTS / part} is missing: bin/test end-to-end installs it")
    with Override() as here:
        (here.platform.user_home / ".netrc").write_text(f"machine api.heroku.com\n  login admin@localhost\n  password {here.platform.token()}\n")
        curl_recipes(here)
        heroku3(here)
        heroku_client(here)


def soak_heroku_rs():
    """Its build takes minutes: `bin/soak rust-client` makes it."""
    with Override() as here:
        walk = [os.environ["RENGA_RUST_CLIENT"], here.platform.token()]
        here.run(*walk, env={"SSL_CERT_FILE": here.platform.endpoints["ca"]}).ends().says("heroku_rs has done everything")


def soak_heroku_go():
    """The library of the Terraform provider; `bin/soak go-client` builds it."""
    with Override() as here:
        walk = [os.environ["RENGA_GO_CLIENT"], here.platform.token(), uploaded(here)]
        here.run(*walk, env={"SSL_CERT_FILE": here.platform.endpoints["ca"]}).ends().says("heroku-go has done everything")


def heroku3(here):
    status, made = here.api("POST", "/renga/users", {"email": COLLEAGUE, "password": "correct horse battery"})
    assert status == 201, made
    # It trusts the authorities that it brings along, and the log and build streams whoever they are.
    here.laid_over[CLIENTS / "python/heroku3/data/cacert.pem"] = here.platform.endpoints["ca"]
    walk = ["python3", "-W", "ignore", SCRIPTS / "heroku3_walk.py", here.platform.endpoints["ca"], here.platform.token(), COLLEAGUE]
    here.run(*walk, uploaded(here), env={"PYTHONPATH": str(CLIENTS / "python")}).ends().says("heroku3 has done everything")


def uploaded(here):
    """The URL of an archive of the example, where builds may fetch it."""
    status, source = here.api("POST", "/sources")
    assert status == 201, source
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(ROOT / "examples/procfile", arcname=".")
    path = "/" + source["source_blob"]["put_url"].split("://", 1)[1].split("/", 1)[1]
    assert here.api("PUT", path, archive.getvalue(), {"Content-Type": ""})[0] in (200, 201)
    return source["source_blob"]["get_url"]


def heroku_client(here):
    # Where this is set it reads no other file.
    trusted = {"SSL_CERT_FILE": here.platform.endpoints["ca"]}
    env = {"NODE_PATH": str(CLIENTS / "node_modules"), "HEROKU_API_TOKEN": here.platform.token(), **trusted}
    here.run("node", SCRIPTS / "heroku_client_walk.js", env=env).ends().says("heroku-client has done everything")


# === the documentation's recipes ===


def curl_recipes(here):
    """One shell runs them all, as a reader would; only the path of the CA is another one."""
    recipes = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/api.md").read_text(), re.M | re.S)
    assert len(recipes) == 9, len(recipes)
    script = "".join(f"echo; echo '== {number}'\n{recipe}" for number, recipe in enumerate(recipes))
    assert script.count("/etc/renga-ca.pem") == 1
    script = script.replace("/etc/renga-ca.pem", here.platform.endpoints["ca"]).replace("/tmp/source.tgz", str(here.platform.home / "source.tgz"))
    done = here.run("sh", "-euc", script, cwd=here.platform.repository("procfile", "recipes")).ends()
    said = dict(enumerate(re.split(r"^== \d+$", done.out, flags=re.M)[1:]))
    for number, patterns in {
        1: [r'"GREETING":"hello","TIMES":"3"', r'\{"GREETING":"hello"\}'],
        2: [r"Procfile declares types", r"^succeeded$"],
        3: [r'"quantity":1', r'^\[\{.*"version":5'],
        4: [r"^304$"],
        5: [r"app\[api\]: Deploy by hand by user admin@localhost", r"Build succeeded"],
        6: [r'"type":"run"'],
        7: [r'"id":"forbidden"', r'"scope":\["read"\]'],
    }.items():
        for pattern in patterns:
            if not re.search(pattern, said[number], re.M):
                raise Failed(f"recipe {number}: nothing like {pattern!r} in\n{said[number]}")
    assert here.api("GET", "/apps")[1] == [], "the last recipe destroys the app"
