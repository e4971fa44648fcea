"""Every command of the official CLI in the groups that this platform answers for, and the tests that go through it."""

import ast
import json
import pathlib
import shutil

from platform_under_test import HEROKU

HERE = pathlib.Path(__file__).resolve().parent

GROUPS = (
    "access", "apps", "auth", "authorizations", "buildpacks", "certs", "clients", "config", "domains", "features", "git",
    "keys", "labs", "local", "logs", "maintenance", "members", "orgs", "ps", "regions", "releases", "run", "sessions",
    "stack", "status", "teams",
)

# Test module to the commands (with the groups' other names resolved) that it goes through.
TESTED = {
    "certificates": "apps:create certs certs:auto certs:auto:enable certs:auto:refresh domains:add",
    "cli_access": """
        access access:add access:remove access:update apps apps:create apps:destroy apps:join apps:leave apps:lock
        apps:transfer apps:unlock config members members:add members:remove members:set orgs teams
    """,
    "cli_accounts": """
        auth:2fa auth:login auth:logout auth:whoami authorizations authorizations:create authorizations:info
        authorizations:revoke authorizations:rotate authorizations:update clients clients:create clients:destroy
        clients:info clients:rotate clients:update keys keys:add keys:clear keys:remove labs labs:disable labs:enable
        labs:info sessions sessions:destroy
    """,
    "cli_contract": """
        apps:destroy apps:info apps:rename apps:stacks apps:stacks:set certs certs:add certs:generate certs:info
        certs:remove certs:update domains domains:add domains:clear domains:info domains:remove domains:update
        domains:wait features features:enable features:info git:remote labs:disable labs:enable labs:info maintenance
        regions releases releases:info
    """,
    "deploys": """
        buildpacks:add buildpacks:set config:get config:set config:unset logs ps ps:scale releases releases:output
        releases:rollback
    """,
    "host_override": """
        apps:create apps:diff apps:errors apps:favorites apps:favorites:add apps:favorites:remove apps:open
        auth:2fa:disable auth:login auth:logout auth:token auth:whoami buildpacks buildpacks:add buildpacks:clear
        buildpacks:info buildpacks:remove buildpacks:search buildpacks:versions certs:auto certs:auto:disable
        certs:auto:enable certs:auto:refresh config:edit git:clone git:credentials git:remote local:run local:version
        logs orgs:open ps:autoscale:disable ps:autoscale:enable ps:copy ps:exec ps:forward ps:socks releases:retry run
        status
    """,
    "runs": "ps:exec ps:restart ps:wait run run:inside",
    "sleep": "features:disable logs ps ps:stop ps:type",
    "walkthrough": """
        apps:create apps:destroy apps:info auth:login auth:whoami config config:get config:set config:unset domains
        local logs maintenance:off maintenance:on ps ps:restart ps:scale releases releases:rollback run run:detached
    """,
}


def installed():
    """The package's folder, of whichever version is under test."""
    program = pathlib.Path(shutil.which(HEROKU) or HEROKU).resolve()
    return next(folder for folder in program.parents if (folder / "oclif.manifest.json").is_file())


def commands(package):
    """Id to every name of it, in these groups."""
    manifest = json.loads((package / "oclif.manifest.json").read_text())["commands"]
    return {
        id: {id, *(command.get("aliases") or []), *(command.get("hiddenAliases") or [])}
        for id, command in manifest.items()
        if id.split(":")[0] in GROUPS
    }


def words(module):
    """Every text of a test module that stands by itself."""
    tree = ast.parse((HERE / f"test_{module}.py").read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
