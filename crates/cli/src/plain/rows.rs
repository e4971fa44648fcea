//! The table, and what its parts share: apps and teams here, what is of accounts in `own_rows`.

use super::row::{
    Kind::{Needed, Place, Value},
    On, Row, Shown, Source, Verb, Word,
};

pub(super) const fn word(id: &'static str, kind: super::row::Kind, help: &'static str) -> Word {
    Word { id, kind, help, only_of: None }
}

/// What most rows do not say.
pub(super) const fn row(name: &'static str, about: &'static str, method: Verb, path: &'static str) -> Row {
    Row {
        name,
        aliases: &[],
        about,
        examples: &[],
        on: On::App,
        words: &[],
        method,
        path,
        path_with: None,
        body: &[],
        confirmed: false,
        shown: Shown::Facts(&[]),
        instead: None,
    }
}

const EMAIL: Word = word("email", Place, "Address of the account");
const HOSTNAME: Word = word("hostname", Place, "Host name, such as www.example.com or *.example.com");
const FEATURE: Word = word("feature", Place, "Name of the feature");
const TEAM: Word = word("team", Needed(Some('t')), "Team");
const ROLE: Word = word("role", Needed(Some('r')), "admin, member or collaborator");
const NAME: Word = Word {
    id: "name",
    kind: Value(None),
    help: "Name of the certificate; may be left out if there is one",
    only_of: Some("/apps/{app}/sni-endpoints"),
};
const CERTIFICATE: [(&str, Source); 2] =
    [("certificate_chain", Source::File("crt")), ("private_key", Source::File("key"))];
const CRT: Word = word("crt", Place, "File with the certificate and its chain, PEM");
const KEY: Word = word("key", Place, "File with the private key, PEM");

const CERTIFICATE_FACTS: Shown = Shown::Facts(&[
    ("Name", "/name"),
    ("Common Names", "/ssl_cert/cert_domains"),
    ("Expires At", "/ssl_cert/expires_at"),
    ("Issuer", "/ssl_cert/issuer"),
    ("Starts At", "/ssl_cert/starts_at"),
    ("Subject", "/ssl_cert/subject"),
]);
const DOMAIN_FACTS: Shown = Shown::Facts(&[
    ("Hostname", "/hostname"),
    ("DNS Target", "/cname"),
    ("Kind", "/kind"),
    ("Status", "/status"),
    ("Certificate", "/sni_endpoint/name"),
    ("Created At", "/created_at"),
]);
const FEATURE_FACTS: Shown = Shown::Facts(&[
    ("Name", "/name"),
    ("Description", "/description"),
    ("Enabled", "/enabled"),
    ("Docs", "/doc_url"),
]);

pub(super) static ROWS: [Row; 32] = [
    // === access ===
    Row {
        examples: &["renga access -a times"],
        shown: Shown::Rows {
            columns: &[("Email", "/user/email"), ("Role", "/role"), ("Permissions", "/permissions")],
            none: "Nobody else may work on this app.",
        },
        ..row("access", "List who may work on an app", Verb::Get, "/apps/{app}/collaborators")
    },
    Row {
        examples: &[
            "renga access:add ann@example.com -a times",
            "renga access:add ann@example.com -p deploy,view -a times",
        ],
        words: &[
            EMAIL,
            word(
                "permissions",
                Value(Some('p')),
                "Of a team's app: view, deploy, operate, manage, by commas",
            ),
        ],
        path_with: Some(("permissions", "/teams/apps/{app}/collaborators")),
        body: &[("user", Source::Text("email")), ("permissions", Source::List("permissions"))],
        shown: Shown::Done("Adding {email} access to the app {app}"),
        ..row("access:add", "Let somebody work on an app", Verb::Post, "/apps/{app}/collaborators")
    },
    Row {
        examples: &["renga access:remove ann@example.com -a times"],
        words: &[EMAIL],
        shown: Shown::Done("Removing {email} access from the app {app}"),
        ..row(
            "access:remove",
            "Take somebody's access to an app away",
            Verb::Delete,
            "/apps/{app}/collaborators/{email}",
        )
    },
    Row {
        examples: &["renga access:update ann@example.com -p deploy,operate,view -a times"],
        words: &[EMAIL, word("permissions", Needed(Some('p')), "view, deploy, operate, manage, by commas")],
        body: &[("permissions", Source::List("permissions"))],
        shown: Shown::Done("Updating {email} in application {app} with {permissions} permissions"),
        ..row(
            "access:update",
            "Change what somebody may do with a team's app",
            Verb::Patch,
            "/teams/apps/{app}/collaborators/{email}",
        )
    },
    // === domains ===
    Row {
        examples: &[
            "renga domains:add www.example.com -a times",
            "renga domains:add *.example.com --cert tyrannosaurus-1234",
        ],
        words: &[HOSTNAME, word("cert", Value(Some('c')), "Name of the certificate to serve it with")],
        body: &[("hostname", Source::Text("hostname")), ("sni_endpoint", Source::TextOrNull("cert"))],
        shown: DOMAIN_FACTS,
        ..row("domains:add", "Add a host name of your own to an app", Verb::Post, "/apps/{app}/domains")
    },
    Row {
        examples: &["renga domains:info www.example.com -a times"],
        words: &[HOSTNAME],
        shown: DOMAIN_FACTS,
        ..row(
            "domains:info",
            "Show a host name, and where its DNS has to point",
            Verb::Get,
            "/apps/{app}/domains/{hostname}",
        )
    },
    Row {
        examples: &["renga domains:update www.example.com --cert tyrannosaurus-1234 -a times"],
        words: &[HOSTNAME, word("cert", Needed(Some('c')), "Name of the certificate to serve it with")],
        body: &[("sni_endpoint", Source::Text("cert"))],
        shown: Shown::Done("Updating {hostname} to use {cert} certificate"),
        ..row(
            "domains:update",
            "Serve a host name with another certificate",
            Verb::Patch,
            "/apps/{app}/domains/{hostname}",
        )
    },
    Row {
        examples: &["renga domains:remove www.example.com -a times"],
        words: &[HOSTNAME],
        shown: Shown::Done("Removing {hostname} from {app}"),
        ..row(
            "domains:remove",
            "Remove a host name from an app",
            Verb::Delete,
            "/apps/{app}/domains/{hostname}",
        )
    },
    // === certificates ===
    Row {
        examples: &["renga certs -a times"],
        shown: Shown::Rows {
            columns: &[
                ("Name", "/name"),
                ("Common Name(s)", "/ssl_cert/cert_domains"),
                ("Expires", "/ssl_cert/expires_at"),
                ("Trusted", "/ssl_cert/ca_signed?"),
            ],
            none: "The app has no certificates. Add one by renga certs:add CRT KEY.",
        },
        ..row("certs", "List an app's certificates", Verb::Get, "/apps/{app}/sni-endpoints")
    },
    Row {
        examples: &["renga certs:add example.com.crt example.com.key -a times"],
        words: &[CRT, KEY],
        body: &CERTIFICATE,
        shown: CERTIFICATE_FACTS,
        ..row("certs:add", "Add a certificate to an app", Verb::Post, "/apps/{app}/sni-endpoints")
    },
    Row {
        examples: &["renga certs:info -a times", "renga certs:info --name tyrannosaurus-1234 -a times"],
        words: &[NAME],
        shown: CERTIFICATE_FACTS,
        ..row("certs:info", "Show a certificate", Verb::Get, "/apps/{app}/sni-endpoints/{name}")
    },
    Row {
        examples: &["renga certs:update new.crt new.key --name tyrannosaurus-1234 -a times --confirm times"],
        words: &[CRT, KEY, NAME],
        body: &CERTIFICATE,
        confirmed: true,
        shown: CERTIFICATE_FACTS,
        ..row(
            "certs:update",
            "Replace a certificate and its key",
            Verb::Patch,
            "/apps/{app}/sni-endpoints/{name}",
        )
    },
    Row {
        examples: &["renga certs:remove --name tyrannosaurus-1234 -a times --confirm times"],
        words: &[NAME],
        confirmed: true,
        shown: Shown::Done("Removing SSL certificate {name} from {app}"),
        ..row(
            "certs:remove",
            "Remove a certificate from an app",
            Verb::Delete,
            "/apps/{app}/sni-endpoints/{name}",
        )
    },
    // === features ===
    Row {
        examples: &["renga features -a times"],
        shown: Shown::Rows {
            columns: &[("Name", "/name"), ("Enabled", "/enabled"), ("Description", "/description")],
            none: "There are no features.",
        },
        ..row("features", "List an app's features", Verb::Get, "/apps/{app}/features")
    },
    Row {
        examples: &["renga features:info preboot -a times"],
        words: &[FEATURE],
        shown: FEATURE_FACTS,
        ..row("features:info", "Show what a feature does", Verb::Get, "/apps/{app}/features/{feature}")
    },
    Row {
        examples: &["renga features:enable log-runtime-metrics -a times"],
        words: &[FEATURE],
        body: &[("enabled", Source::Flag(true))],
        shown: Shown::Done("Enabling {feature} for {app}"),
        ..row("features:enable", "Switch a feature on", Verb::Patch, "/apps/{app}/features/{feature}")
    },
    Row {
        examples: &["renga features:disable preboot -a times"],
        words: &[FEATURE],
        body: &[("enabled", Source::Flag(false))],
        shown: Shown::Done("Disabling {feature} for {app}"),
        ..row("features:disable", "Switch a feature off", Verb::Patch, "/apps/{app}/features/{feature}")
    },
    // === teams ===
    Row {
        examples: &["renga teams"],
        aliases: &["orgs"],
        on: On::Account,
        shown: Shown::Rows {
            columns: &[("Team", "/name"), ("Role", "/role")],
            none: "You are not in any teams.",
        },
        ..row("teams", "List the teams that you are in", Verb::Get, "/teams")
    },
    Row {
        examples: &["renga members:add ann@example.com --role member -t shop"],
        on: On::Account,
        words: &[EMAIL, ROLE, TEAM],
        body: &[("email", Source::Text("email")), ("role", Source::Text("role"))],
        shown: Shown::Done("Adding {email} to {team} as {role}"),
        ..row("members:add", "Add somebody to a team", Verb::Put, "/teams/{team}/members")
    },
    Row {
        examples: &["renga members:set ann@example.com --role admin -t shop"],
        on: On::Account,
        words: &[EMAIL, ROLE, TEAM],
        body: &[("email", Source::Text("email")), ("role", Source::Text("role"))],
        shown: Shown::Done("Setting {email} as {role} in {team}"),
        ..row("members:set", "Change a member's role", Verb::Patch, "/teams/{team}/members")
    },
    Row {
        examples: &["renga members:remove ann@example.com -t shop"],
        on: On::Account,
        words: &[EMAIL, TEAM],
        shown: Shown::Done("Removing {email} from {team}"),
        ..row("members:remove", "Remove somebody from a team", Verb::Delete, "/teams/{team}/members/{email}")
    },
    Row {
        examples: &["renga teams:create shop"],
        on: On::Account,
        words: &[word("name", Place, "Name of the team")],
        body: &[("name", Source::Text("name"))],
        shown: Shown::Done("Creating the team {name}"),
        ..row("teams:create", "Make a team, of which you are the admin", Verb::Post, "/teams")
    },
    Row {
        examples: &["renga teams:invitations -t shop"],
        on: On::Account,
        words: &[TEAM],
        shown: Shown::Rows {
            columns: &[
                ("Email", "/user/email"),
                ("Role", "/role"),
                ("Invited By", "/invited_by/email"),
                ("ID", "/id"),
            ],
            none: "Nobody is invited to the team.",
        },
        ..row("teams:invitations", "List who is invited to a team", Verb::Get, "/teams/{team}/invitations")
    },
    Row {
        examples: &["renga teams:invite ann@example.com --role member -t shop"],
        on: On::Account,
        words: &[EMAIL, ROLE, TEAM],
        body: &[("email", Source::Text("email")), ("role", Source::Text("role"))],
        shown: Shown::Done("Inviting {email} to {team} as {role}"),
        ..row(
            "teams:invite",
            "Invite somebody, who then has to accept",
            Verb::Put,
            "/teams/{team}/invitations",
        )
    },
    Row {
        examples: &["renga teams:uninvite ann@example.com -t shop"],
        on: On::Account,
        words: &[EMAIL, TEAM],
        shown: Shown::Done("Revoking the invitation of {email} to {team}"),
        ..row("teams:uninvite", "Take an invitation back", Verb::Delete, "/teams/{team}/invitations/{email}")
    },
    Row {
        examples: &["renga teams:accept 1f0a4c6e-..."],
        on: On::Account,
        words: &[word("invitation", Place, "The invitation's token, as whoever invited you was told it")],
        shown: Shown::Done("Accepting the invitation"),
        ..row(
            "teams:accept",
            "Accept an invitation to a team",
            Verb::Post,
            "/teams/invitations/{invitation}/accept",
        )
    },
    // === what there is ===
    Row {
        examples: &["renga buildpacks:search", "renga buildpacks:search --json"],
        on: On::Account,
        shown: Shown::Rows {
            columns: &[("Namespace", "/namespace"), ("Name", "/name"), ("Description", "/description")],
            none: "There are no buildpacks.",
        },
        ..row("buildpacks:search", "List the buildpacks that are built in", Verb::Get, "/buildpacks")
    },
    Row {
        examples: &["renga buildpacks:info heroku/python"],
        on: On::Account,
        words: &[word("buildpack", Place, "Namespace and name, as heroku/python")],
        shown: Shown::Facts(&[
            ("Namespace", "/namespace"),
            ("Name", "/name"),
            ("Description", "/description"),
            ("Category", "/category"),
            ("Source", "/source/type"),
        ]),
        ..row("buildpacks:info", "Show a buildpack that is built in", Verb::Get, "/buildpacks/{buildpack}")
    },
    Row {
        examples: &["renga buildpacks:versions heroku/python"],
        on: On::Account,
        words: &[word("buildpack", Place, "Namespace and name, as heroku/python")],
        shown: Shown::Rows {
            columns: &[("Version", "/release"), ("Released At", "/created_at"), ("Status", "/status")],
            none: "There are no versions.",
        },
        ..row(
            "buildpacks:versions",
            "List versions of a buildpack that is built in",
            Verb::Get,
            "/buildpacks/{buildpack}/revisions",
        )
    },
    Row {
        examples: &["renga regions"],
        on: On::Account,
        shown: Shown::Rows {
            columns: &[("ID", "/name"), ("Location", "/locale"), ("Provider", "/provider/name")],
            none: "There are no regions.",
        },
        ..row("regions", "List the places where apps can run", Verb::Get, "/regions")
    },
    Row {
        examples: &["renga stack -a times"],
        aliases: &["apps:stacks"],
        shown: Shown::Rows {
            columns: &[("Stack", "/name"), ("State", "/state"), ("Default", "/default")],
            none: "There are no stacks.",
        },
        ..row(
            "stack",
            "List the stacks that an app can be built on",
            Verb::Get,
            "/apps/{app}/available-stacks",
        )
    },
    Row {
        examples: &["renga stack:set heroku-24 -a times"],
        aliases: &["apps:stacks:set"],
        words: &[word("stack", Place, "Name of the stack")],
        body: &[("build_stack", Source::Text("stack"))],
        shown: Shown::Done("Setting stack of {app} to {stack} for its next build"),
        ..row("stack:set", "Build an app on another stack from the next push on", Verb::Patch, "/apps/{app}")
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_understood_and_every_word_in_braces_is_asked_for() {
        let program = clap::Command::new("renga").subcommands(super::super::all().map(Row::command));
        for row in super::super::all() {
            assert!(!row.examples.is_empty(), "{}", row.name);
            for example in row.examples {
                let parsed = program.clone().try_get_matches_from(example.split(' '));
                assert!(parsed.is_ok_and(|m| m.subcommand_name() == Some(row.name)), "{example}");
            }
            for word in row.path.split(['{', '}']).skip(1).step_by(2) {
                let asked =
                    row.words.iter().any(|w| w.id == word && (w.kind != Value(None) || w.only_of.is_some()));
                assert!(asked || (word == "app" && row.on == On::App), "{}: {word}", row.name);
            }
        }
    }
}
