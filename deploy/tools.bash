# Sourced by deploy/demo and tests/run: makes sure that the tools to build with are there.
#
# Beside the Rust toolchain, gcc and git, the build needs cmake and make (for zlib-ng). It needs no
# C++ compiler, perl or pkg-config: the other C libraries bring what they need.

say() { printf '%s\n' "$*" >&2; }

# enabled_services: what this machine starts by itself when it boots.
enabled_services() {
    systemctl list-unit-files --no-legend --state=enabled --type=service 2>/dev/null | awk '{ print $1 }' | sort
}

# without_services COMMAND...: runs apt-get, and no service that it installs is started: the tests
# start servers of their own. Neither now, for which Debian asks /usr/sbin/policy-rc.d (101: it must
# not), nor when the machine boots.
without_services() (
    policy=/usr/sbin/policy-rc.d before=$(enabled_services)
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    code=0
    DEBIAN_FRONTEND=noninteractive "$@" || code=$?
    while read -r service; do
        systemctl disable --quiet "$service"
    done < <(comm -13 <(echo "$before") <(enabled_services))
    exit "$code"
)

# need PROGRAM=PACKAGE...: installs the packages whose programs are missing, or says how.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    ((${#missing[@]})) || return 0

    local install="apt-get install -y --no-install-recommends ${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        say "These tools are missing; install them with your system's package manager: ${missing[*]}"
        return 1
    elif ((EUID)); then
        say "These tools are missing. Please run:"
        say "    sudo apt-get update && sudo $install"
        return 1
    fi
    say "Installing ${missing[*]} ..."
    local log
    log=$(mktemp)
    # shellcheck disable=SC2086 # words on purpose
    if ! { apt-get update && without_services $install; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "That did not work. Please run: apt-get update && $install"
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# need_servers: what the tests start servers with. Debian puts those of PostgreSQL on nobody's PATH.
need_servers() {
    local PATH=$PATH bin
    for bin in /usr/lib/postgresql/*/bin; do
        PATH+=:$bin
    done
    if ! need redis-server=redis-server redis-cli=redis-tools initdb=postgresql; then
        ((EUID == 0)) || say "That also starts them as services. The tests need none; to leave them off, run instead:"
        ((EUID == 0)) || say "    sudo bash -c '. deploy/tools.bash && need_servers'"
        return 1
    fi
}

# need_suites: what the third-party suites in tests/suites are run with, and the proxies that ask Doorward there. Debian
# splits off the part of Python that makes environments, and no program tells whether it is there; proxies are on the
# PATH of root alone.
need_suites() {
    local PATH=$PATH:/usr/sbin
    if ! need python3=python3 nginx=nginx caddy=caddy haproxy=haproxy; then
        ((EUID == 0)) || say "That also starts proxies as services. The tests need none; to leave them off, run instead:"
        ((EUID == 0)) || say "    sudo bash -c '. deploy/tools.bash && need_suites'"
        return 1
    fi
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-with-ensurepip=python3-venv
}

# need_browser: what the tests with a real browser are run with. npm brings the rest, a Node.js of the right version
# included (tests/browser/package.json).
need_browser() { need chromium=chromium npm=npm; }

# need_rust: finds cargo, also where rustup puts it when the shell was not started anew.
need_rust() {
    command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
    if ! command -v cargo >/dev/null; then
        say "The Rust toolchain is missing. See https://rustup.rs"
        return 1
    fi
}
