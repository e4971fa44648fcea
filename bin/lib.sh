# Shared by the commands in bin/. Source it; it sets strict mode and offers the functions below.
# shellcheck shell=bash

set -euo pipefail
umask 022
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:$HOME/.cargo/bin"
export DEBIAN_FRONTEND=noninteractive

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
STACK_CACHE="${RENGA_STACK_CACHE:-/var/cache/renga/stacks}"

# Where the official CLI is kept, and which one was tried with this version.
HEROKU_CLI_DIR="${RENGA_HEROKU_CLI_DIR:-/var/cache/renga/heroku-cli}"
HEROKU_CLI_VERSION=11.10.0

# Oldest Node that the official CLI runs on, and what is installed where there is none.
NODE_MAJOR_MIN=20
NODE_DIR="${RENGA_NODE_DIR:-/var/cache/renga/node}"
NODE_VERSION=22.21.1

# === Talking ===

if [ -t 1 ]; then BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'; else BOLD='' DIM='' RED='' GREEN='' PLAIN=''; fi

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
