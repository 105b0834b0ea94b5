# Sourced by deploy/demo and tests/run: makes sure that the tools to build with are there.
#
# Beside the Rust toolchain, gcc and git, the build needs cmake and make (for zlib-ng). It needs no
# C++ compiler, perl or pkg-config: the other C libraries bring what they need.

say() { printf '%s\n' "$*" >&2; }

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
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "That did not work. Please run: apt-get update && $install"
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# need_rust: finds cargo, also where rustup puts it when the shell was not started anew.
need_rust() {
    command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
    if ! command -v cargo >/dev/null; then
        say "The Rust toolchain is missing. See https://rustup.rs"
        return 1
    fi
}
