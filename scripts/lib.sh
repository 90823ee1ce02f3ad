# Sourced by the other scripts: finds a Python, installs what is missing, makes .venv.
# Safe to repeat; quick when nothing changed. What could not be had is said, not hidden.

HOTMEND_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$HOTMEND_ROOT" || exit 1

# What every run needs beside Python: the libraries that the extracted old builds are linked with.
RUN_PACKAGES=(ca-certificates binutils libcrypt1 libpcre2-8-0 libssl3 zlib1g liblzma5 libicu72 libexpat1)
# What the tests and benchmarks use on top of that: they build their own target programs.
TEST_PACKAGES=(gcc g++ libc6-dev gdb strace softhsm2 openssl wrk iproute2 procps
    dpkg-dev make pkgconf libicu-dev liblzma-dev zlib1g-dev libreadline-dev postgresql
    chromium fonts-wqy-zenhei)
AZURE_CLI=2.91.0

say() { printf '%s\n' "hotmend: $*" >&2; }

# install_packages NAME...: those that are missing, with one apt-get update. Never fatal.
install_packages() {
    local missing=() name
    command -v dpkg-query >/dev/null || { say "skipped system packages: this is not Debian"; return 0; }
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        say "skipped (not root): apt-get install ${missing[*]}"
        return 0
    fi
    say "installing ${missing[*]}"
    if [[ -z ${APT_UPDATED:-} ]]; then
        apt-get -qq update >&2 </dev/null || say "apt-get update did not succeed"
        APT_UPDATED=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "${missing[@]}" \
        >/dev/null </dev/null || say "skipped, apt-get could not install all of: ${missing[*]}"
}

# The first Python 3.11+ on PATH that can make a virtual environment.
find_python() {
    local name
    for name in python3.11 python3 python3.12 python3.13 python3.14; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# The stop window in C needs Python's headers; without them the pure-Python one is used.
install_headers() {
    local include=$1/Python.h
    [[ -e $include ]] && return 0
    install_packages python3-dev
    [[ -e $include ]] || say "skipped the C stop window: there is no $include"
}

# The virtual environment .venv with Hotmend in it, remade when what it is made from changes.
make_environment() {
    local python include stamp
    exec 9>"$HOTMEND_ROOT/.venv.lock"
    flock 9
    if [[ ! -x .venv/bin/python ]]; then
        if ! python=$(find_python); then
            install_packages python3 python3-venv
            python=$(find_python) || { say "no Python 3.11 or newer with venv on PATH"; exit 1; }
        fi
        say "making .venv with $python"
        "$python" -m venv .venv || exit 1
    fi
    include=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
    stamp=$({ .venv/bin/python -V; cat pyproject.toml src/hotmend/surgery/*.[ch]; } 2>/dev/null | sha256sum)
    if [[ ! -x .venv/bin/hotmend || $(cat .venv/.stamp 2>/dev/null) != "$stamp" ]]; then
        install_packages gcc libc6-dev
        install_headers "$include"
        say "installing Hotmend into .venv"
        .venv/bin/python -m pip install -qq --disable-pip-version-check -e '.[build,release,server,agent,dev]' \
            </dev/null || { say "pip could not install Hotmend into .venv"; exit 1; }
        printf '%s' "$stamp" >.venv/.stamp
    fi
    flock -u 9
    exec 9>&-
}

# Azure's own command line, in an environment of its own: it pins what others pin otherwise.
make_az() {
    local az=$HOTMEND_ROOT/.venv-az/bin/az
    if [[ $(cat .venv-az/.stamp 2>/dev/null) != "$AZURE_CLI" ]]; then
        say "installing azure-cli $AZURE_CLI into .venv-az"
        .venv/bin/python -m venv .venv-az &&
            .venv-az/bin/python -m pip install -qqq --disable-pip-version-check "azure-cli==$AZURE_CLI" \
                </dev/null 2>/dev/null && printf '%s' "$AZURE_CLI" >.venv-az/.stamp ||
            { say "skipped: azure-cli could not be installed"; return 0; }
    fi
    export HOTMEND_AZ=$az
}

# Real packages kept beside the checkout are used when nobody names a folder.
find_pairs() {
    if [[ -z ${HOTMEND_PAIRS:-} && -d $HOTMEND_ROOT/../shared/pairs ]]; then
        HOTMEND_PAIRS=$(cd "$HOTMEND_ROOT/../shared/pairs" && pwd)
        export HOTMEND_PAIRS
    fi
}
