//! The part of the table that is about accounts: what is theirs, and who may act for them.

use super::{
    row::{
        Kind::{Place, Switch, Value},
        On, Row, Shown, Source, Verb, Word,
    },
    rows::{row, word},
};

const TRANSFER: Word = word("transfer", Place, "The app, or the id of the transfer");
const ID: Word = word("id", Place, "Its id, as the list shows it");
const SHELL: Word = word("shell", Switch(Some('s')), "Print id and secret as variables of a shell");
const CLIENT_SHELL: Option<(&str, &str)> =
    Some(("shell", "HEROKU_OAUTH_ID={/id}\nHEROKU_OAUTH_SECRET={/secret}\n"));

const AUTHORIZATION_FACTS: Shown = Shown::Facts(&[
    ("Client", "/client/name"),
    ("ID", "/id"),
    ("Description", "/description"),
    ("Scope", "/scope"),
    ("Token", "/access_token/token"),
    ("Expires In", "/access_token/expires_in"),
    ("Updated At", "/updated_at"),
]);

const CLIENT_FACTS: Shown = Shown::Facts(&[
    ("Name", "/name"),
    ("ID", "/id"),
    ("Redirect URI", "/redirect_uri"),
    ("Secret", "/secret"),
]);

pub(super) static ROWS: [Row; 24] = [
    // === whose an app is ===
    Row {
        examples: &["renga apps:join -a times"],
        aliases: &["join"],
        body: &[("user", Source::Is("~"))],
        shown: Shown::Done("Joining {app}"),
        ..row("apps:join", "Add yourself to a team's app", Verb::Post, "/teams/apps/{app}/collaborators")
    },
    Row {
        examples: &["renga apps:leave -a times"],
        aliases: &["leave"],
        shown: Shown::Done("Leaving {app}"),
        ..row("apps:leave", "Remove yourself from an app", Verb::Delete, "/apps/{app}/collaborators/~")
    },
    Row {
        examples: &["renga apps:lock -a times"],
        aliases: &["lock"],
        body: &[("locked", Source::Flag(true))],
        shown: Shown::Done("Locking {app}"),
        ..row("apps:lock", "Keep members of the team from joining an app", Verb::Patch, "/teams/apps/{app}")
    },
    Row {
        examples: &["renga apps:unlock -a times"],
        aliases: &["unlock"],
        body: &[("locked", Source::Flag(false))],
        shown: Shown::Done("Unlocking {app}"),
        ..row("apps:unlock", "Let members of the team join an app", Verb::Patch, "/teams/apps/{app}")
    },
    Row {
        examples: &["renga apps:transfers"],
        on: On::Account,
        shown: Shown::Rows {
            columns: &[
                ("App", "/app/name"),
                ("Owner", "/owner/email"),
                ("Recipient", "/recipient/email"),
                ("State", "/state"),
            ],
            none: "No apps are on their way to another owner.",
        },
        ..row(
            "apps:transfers",
            "List apps that are on their way to another owner",
            Verb::Get,
            "/account/app-transfers",
        )
    },
    Row {
        examples: &["renga apps:transfers:accept times"],
        on: On::Account,
        words: &[TRANSFER],
        body: &[("state", Source::Is("accepted"))],
        shown: Shown::Done("Accepting the transfer of {transfer}"),
        ..row(
            "apps:transfers:accept",
            "Become the owner of an app that was offered to you",
            Verb::Patch,
            "/account/app-transfers/{transfer}",
        )
    },
    Row {
        examples: &["renga apps:transfers:decline times"],
        on: On::Account,
        words: &[TRANSFER],
        body: &[("state", Source::Is("declined"))],
        shown: Shown::Done("Declining the transfer of {transfer}"),
        ..row(
            "apps:transfers:decline",
            "Refuse an app that was offered to you",
            Verb::Patch,
            "/account/app-transfers/{transfer}",
        )
    },
    Row {
        examples: &["renga apps:transfers:cancel times"],
        on: On::Account,
        words: &[TRANSFER],
        shown: Shown::Done("Cancelling the transfer of {transfer}"),
        ..row(
            "apps:transfers:cancel",
            "Keep an app that you have offered to somebody",
            Verb::Delete,
            "/account/app-transfers/{transfer}",
        )
    },
    // === who may act for you ===
    Row {
        examples: &["renga sessions"],
        on: On::Account,
        shown: Shown::Rows {
            columns: &[("Description", "/description"), ("ID", "/id")],
            none: "No OAuth sessions.",
        },
        ..row("sessions", "List the log-ins of your account", Verb::Get, "/oauth/sessions")
    },
    Row {
        examples: &["renga sessions:destroy 01234567-89ab-cdef-0123-456789abcdef"],
        on: On::Account,
        words: &[ID],
        shown: Shown::Done("Destroying {id}"),
        ..row("sessions:destroy", "End a log-in, and what it holds", Verb::Delete, "/oauth/sessions/{id}")
    },
    Row {
        examples: &["renga authorizations", "renga authorizations --json"],
        on: On::Account,
        shown: Shown::Rows {
            columns: &[
                ("Description", "/description"),
                ("Client", "/client/name"),
                ("ID", "/id"),
                ("Scope", "/scope"),
            ],
            none: "No OAuth authorizations.",
        },
        ..row("authorizations", "List tokens of your account", Verb::Get, "/oauth/authorizations")
    },
    Row {
        examples: &[
            "renga authorizations:create -d deploys -s write-protected",
            "renga authorizations:create --expires-in 3600 --short",
        ],
        on: On::Account,
        words: &[
            word("description", Value(Some('d')), "What it is for"),
            word("expires-in", Value(Some('e')), "Seconds until it expires; without this it never does"),
            word(
                "scope",
                Value(Some('s')),
                "global, identity, read, write, read-protected, write-protected, by commas",
            ),
            word("short", Switch(Some('S')), "Print nothing but the token"),
        ],
        body: &[
            ("description", Source::Text("description")),
            ("expires_in", Source::Number("expires-in")),
            ("scope", Source::List("scope")),
        ],
        shown: AUTHORIZATION_FACTS,
        instead: Some(("short", "{/access_token/token}\n")),
        ..row("authorizations:create", "Make a token", Verb::Post, "/oauth/authorizations")
    },
    Row {
        examples: &["renga authorizations:info 01234567-89ab-cdef-0123-456789abcdef"],
        on: On::Account,
        words: &[ID],
        shown: AUTHORIZATION_FACTS,
        ..row("authorizations:info", "Show a token's authorization", Verb::Get, "/oauth/authorizations/{id}")
    },
    Row {
        examples: &["renga authorizations:update 01234567-89ab-cdef-0123-456789abcdef -d deploys"],
        on: On::Account,
        words: &[
            ID,
            word("description", Value(Some('d')), "What it is for"),
            word("client-id", Value(None), "Hand it to this client"),
            word("client-secret", Value(None), "The client's secret"),
        ],
        body: &[
            ("description", Source::Text("description")),
            ("client/id", Source::Text("client-id")),
            ("client/secret", Source::Text("client-secret")),
        ],
        shown: Shown::Done("Updating OAuth Authorization"),
        ..row("authorizations:update", "Describe a token anew", Verb::Patch, "/oauth/authorizations/{id}")
    },
    Row {
        examples: &["renga authorizations:rotate 01234567-89ab-cdef-0123-456789abcdef"],
        on: On::Account,
        words: &[ID],
        shown: AUTHORIZATION_FACTS,
        ..row(
            "authorizations:rotate",
            "Replace a token by a new one",
            Verb::Post,
            "/oauth/authorizations/{id}/actions/regenerate-tokens",
        )
    },
    Row {
        examples: &["renga authorizations:revoke 01234567-89ab-cdef-0123-456789abcdef"],
        aliases: &["authorizations:destroy"],
        on: On::Account,
        words: &[ID],
        shown: Shown::Done("Revoking OAuth Authorization {id}"),
        ..row("authorizations:revoke", "End a token", Verb::Delete, "/oauth/authorizations/{id}")
    },
    // === programs that ask accounts for access ===
    Row {
        examples: &["renga clients"],
        on: On::Account,
        shown: Shown::Rows {
            columns: &[("Name", "/name"), ("ID", "/id"), ("Redirect URI", "/redirect_uri")],
            none: "No OAuth clients.",
        },
        ..row("clients", "List your OAuth clients", Verb::Get, "/oauth/clients")
    },
    Row {
        examples: &["renga clients:create dashboard https://dashboard.example.com/auth/callback"],
        on: On::Account,
        words: &[
            word("name", Place, "Name of the client"),
            word("redirect-uri", Place, "Where browsers are sent back to"),
            SHELL,
        ],
        body: &[("name", Source::Text("name")), ("redirect_uri", Source::Text("redirect-uri"))],
        shown: CLIENT_FACTS,
        instead: CLIENT_SHELL,
        ..row("clients:create", "Register an OAuth client", Verb::Post, "/oauth/clients")
    },
    Row {
        examples: &["renga clients:info 01234567-89ab-cdef-0123-456789abcdef"],
        on: On::Account,
        words: &[ID, SHELL],
        shown: CLIENT_FACTS,
        instead: CLIENT_SHELL,
        ..row("clients:info", "Show an OAuth client", Verb::Get, "/oauth/clients/{id}")
    },
    Row {
        examples: &["renga clients:update 01234567-89ab-cdef-0123-456789abcdef -n board"],
        on: On::Account,
        words: &[
            ID,
            word("name", Value(Some('n')), "Its new name"),
            word("url", Value(None), "Where browsers are sent back to"),
        ],
        body: &[("name", Source::Text("name")), ("redirect_uri", Source::Text("url"))],
        shown: Shown::Done("Updating {id}"),
        ..row("clients:update", "Change an OAuth client", Verb::Patch, "/oauth/clients/{id}")
    },
    Row {
        examples: &["renga clients:rotate 01234567-89ab-cdef-0123-456789abcdef"],
        on: On::Account,
        words: &[ID, SHELL],
        shown: CLIENT_FACTS,
        instead: CLIENT_SHELL,
        ..row(
            "clients:rotate",
            "Give an OAuth client a new secret",
            Verb::Post,
            "/oauth/clients/{id}/actions/rotate-credentials",
        )
    },
    Row {
        examples: &["renga clients:destroy 01234567-89ab-cdef-0123-456789abcdef"],
        on: On::Account,
        words: &[ID],
        shown: Shown::Done("Destroying {id}"),
        ..row(
            "clients:destroy",
            "Remove an OAuth client, and what it was given",
            Verb::Delete,
            "/oauth/clients/{id}",
        )
    },
    // === public keys ===
    Row {
        examples: &["renga keys", "renga keys --long"],
        on: On::Account,
        words: &[word("long", Switch(Some('l')), "Print the keys themselves")],
        shown: Shown::Rows {
            columns: &[("Comment", "/comment"), ("Fingerprint", "/fingerprint")],
            none: "You have no SSH keys.",
        },
        instead: Some(("long", "{/public_key}\n")),
        ..row("keys", "List your public keys", Verb::Get, "/account/keys")
    },
    Row {
        examples: &["renga keys:remove ann@laptop"],
        on: On::Account,
        words: &[word("key", Place, "Comment, fingerprint or id of the key")],
        shown: Shown::Done("Removing {key} SSH key"),
        ..row("keys:remove", "Remove a public key", Verb::Delete, "/account/keys/{key}")
    },
];
