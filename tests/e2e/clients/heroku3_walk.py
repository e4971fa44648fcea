"""What users of `heroku3` (PyPI) write, at `api.heroku.com`: argv is the CA, a token, a colleague's address and an archive."""

import sys

import heroku3
import requests

ca, token, colleague, archive = sys.argv[1:]
session = requests.Session()
session.verify = ca
heroku = heroku3.from_key(token, session=session)
assert heroku.is_authenticated
assert heroku.account().email == "admin@localhost"
assert heroku.ratelimit_remaining() > 0

# --- an app, its config, and what one may switch
app = heroku.create_app(name="snake", stack_id_or_name="heroku-24", region_id_or_name="us")
assert [app.name, app.stack.name, app.owner.email] == ["snake", "heroku-24", "admin@localhost"]
config = app.config()
config["COLOUR"] = "green"
config.update({"SIZE": "3", "COLOUR": "brown"})
del config["SIZE"]
assert app.config().to_dict() == {"COLOUR": "brown"}
assert heroku.update_appconfig("snake", {"LENGTH": "long"})["LENGTH"] == "long"
app.enable_maintenance_mode()
assert heroku.app("snake").maintenance is True
app.disable_maintenance_mode()
assert heroku.app("snake").maintenance is False
app.enable_feature("runtime-dyno-metadata")
assert app.disable_feature("runtime-dyno-metadata").enabled is False
assert "preboot" in [feature.name for feature in app.features()]
app.update_buildpacks(["heroku/python"])
app.update_buildpacks([])

# --- a build of an archive, and its release
build = app.create_build(url=archive)
output = build.get(timeout=60)
assert "Released v" in output, output
# The output may end a moment before the build.
while app.builds()[0].status == "pending":
    pass
assert [one.status for one in app.builds()] == ["succeeded"]
newest = app.releases(order_by="version", sort="desc", limit=1)[0]
assert newest.current and newest.description.startswith("Deploy"), newest.description
app.scale_formation_process("web", 1)
app.batch_scale_formation_processes({"web": 1, "worker": 0})
formation = app.process_formation()
assert {one.type: one.quantity for one in formation} == {"web": 1, "worker": 0}
assert [dyno.type for dyno in app.dynos()] == ["web"]
app.restart()

# --- a one-off dyno: the client's own rendezvous, whose secret comes without an end of line
said, dyno = app.run_command("echo fr''om $COLOUR", printout=False)
assert "from brown" in said, said
detached = app.run_command_detached("true")
assert detached.name.startswith("run.")
assert "Starting process with command" in app.get_log(lines=1500)

# --- releases, domains, people
config["COLOUR"] = "red"
before = app.releases()[-1].version
app.rollback(f"v{before - 1}")
assert app.releases()[-1].version == before + 1
assert app.config().to_dict()["COLOUR"] == "brown"
domain = app.add_domain("snake.example.com", None)
assert domain.hostname == "snake.example.com"
assert sorted(one.hostname for one in app.domains()) == ["snake.example.com", "snake.localhost"]
app.remove_domain("snake.example.com")
app.add_collaborator(colleague, silent=True)
assert colleague in [one.user.email for one in app.collaborators()]
app.remove_collaborator(colleague)
key = heroku.account().add_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f py@thon")
assert [one.fingerprint for one in heroku.keys()] == [key.fingerprint]
heroku.account().remove_key(key.fingerprint)
assert list(heroku.labs()) and not list(heroku.invoices())

# --- lists by pages, and the end
assert app.rename("python").name == "python"
assert [one.name for one in heroku.apps(order_by="name", limit=1)] == ["python"]
assert heroku.app("python").delete()
try:
    heroku.app("python")
    raise AssertionError("a destroyed app is still there")
except requests.HTTPError as error:
    assert error.response.status_code == 404
print("heroku3 has done everything")
