#!/usr/bin/env bash
# From a bare Debian server to running units: the supervisor, the site and the nightly backup.
#
#   git clone ADDRESS /opt/materia
#   /opt/materia/infra/bootstrap_supervisor.sh [--binary FILE]
#
# Run as root, as often as you like: what is right stays as it is. It installs the packages that are missing, makes the user materia,
# /data/materia, /etc/materia/env, /usr/local/bin/materia with DuckDB's library in /usr/local/lib, the checkout /opt/materia (a clone of
# the one it is run from, where that is another) and the units, and starts these where systemd runs.
#
#   --binary FILE    the built command, with libduckdb*.so beside it   [target/release/materia of this checkout; built where cargo is]
#   --no-start       starts nothing
#   --help           this
#
# /etc/materia/env is made once, from web/.env.example, which explains every variable, and never touched again: secrets in it are yours.
# What the template's variables are set to in the environment of this first run is written into it:
#
#   BASE_URL=https://www.example.com SMTP_URL=smtps://... MAIL_FROM=... ADMIN_EMAILS=... infra/bootstrap_supervisor.sh
set -euo pipefail
umask 022
# What git, apt and systemctl say is matched by nobody, and read by everybody.
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
checkout=/opt/materia data=/data/materia settings=/etc/materia/env units=/etc/systemd/system
binary='' start=yes changed=''

say() { printf 'bootstrap: %s\n' "$*"; }
die() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

while [ $# -gt 0 ]; do
    case $1 in
        --binary) [ $# -gt 1 ] || { printf 'bootstrap: --binary wants a file\n' >&2; exit 2; }; binary=$2; shift ;;
        --no-start) start='' ;;
        --help | -h) usage; exit 0 ;;
        *) printf 'bootstrap: unknown argument %s; see --help\n' "$1" >&2; exit 2 ;;
    esac
    shift
done

# Makes a folder, or brings owner and mode of one to what they should be.
folder() { install -d -o "$2" -g "$2" -m "$1" "$3"; }

# Places a file with this mode where it differs, in one step: a running command keeps the old one.
place() {
    local mode=$1 from=$2 to=$3
    if ! cmp --silent "$from" "$to"; then
        install -m "$mode" -T "$from" "$to.new"
        mv -T "$to.new" "$to"
        say "installed $to"
        changed=yes
    fi
    chown root:root "$to"
    chmod "$mode" "$to"
}

packages() {
    local missing=()
    want() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
    want git git
    want curl curl
    want python3 python3
    want flock util-linux
    want useradd passwd
    # SQLMesh's environment is made by uv, which Debian does not have.
    command -v uv >/dev/null 2>&1 || python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null 2>&1 || die "missing: ${missing[*]}; there is no apt-get here, so install them yourself"
        say "installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq || die "apt-get update failed; is the network up?"
        apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null || die "apt-get could not install ${missing[*]}"
    fi
    if ! command -v uv >/dev/null 2>&1; then
        say "installing uv"
        python3 -m venv /usr/local/lib/uv || die "no Python environment could be made in /usr/local/lib/uv"
        /usr/local/lib/uv/bin/pip --quiet --disable-pip-version-check --no-cache-dir install uv || die "pip could not install uv; install it yourself, so that it is on the PATH"
        ln -sfn /usr/local/lib/uv/bin/uv /usr/local/bin/uv
    fi
}

user() {
    if ! getent passwd materia >/dev/null; then
        useradd --system --user-group --home-dir /var/cache/materia --no-create-home --shell /usr/sbin/nologin materia
        say "made the user materia"
    fi
    getent group materia >/dev/null || die "there is a user materia, but no group of that name; make it with: groupadd --system materia"
}

folders() {
    [ -d "${data%/*}" ] || folder 755 root "${data%/*}"
    # The metrics are for the node exporter, which is somebody else.
    folder 751 materia "$data"
    folder 755 materia "$data/metrics"
    folder 750 materia "$data/landing"
    folder 700 materia "$data/accounts"
    folder 700 materia "$data/backups"
    folder 755 materia /var/cache/materia
    folder 755 root "${settings%/*}"
}

command_and_library() {
    local release=${CARGO_TARGET_DIR:-$here/target}/release/materia library
    if [ -z "$binary" ] && [ ! -e "$release" ] && [ ! -e /usr/local/bin/materia ]; then
        command -v cargo >/dev/null 2>&1 || die "there is no built command; build it elsewhere (cargo build --release) and name it with --binary, or install Rust here"
        say "building; this takes some minutes"
        (cd "$here" && { [ -n "${DUCKDB_LIB_DIR:-}" ] || DUCKDB_LIB_DIR=$(infra/libduckdb.sh); } && export DUCKDB_LIB_DIR && cargo build --release --locked) \
            || die "the build failed"
    fi
    if [ -z "$binary" ]; then
        [ -e "$release" ] || { say "no new command; /usr/local/bin/materia stays"; return; }
        binary=$release
    fi
    [ -f "$binary" ] || die "$binary is no file; --binary wants the built command"
    # The command looks for the library in ../lib.
    for library in "$(dirname "$binary")"/libduckdb*.so; do
        [ ! -e "$library" ] || place 644 "$library" "/usr/local/lib/$(basename "$library")"
    done
    place 755 "$binary" /usr/local/bin/materia
    env --unset=LD_LIBRARY_PATH /usr/local/bin/materia --version >/dev/null \
        || die "/usr/local/bin/materia does not run here; is it built for $(uname -m), and does libduckdb.so stand beside $binary?"
}

sources() {
    if [ ! -e "$checkout/.git" ]; then
        [ ! -e "$checkout" ] || [ -z "$(ls -A "$checkout")" ] || die "$checkout is there, but no git checkout; move it away"
        local address
        git clone --quiet --no-hardlinks "$here" "$checkout" || die "$here could not be cloned to $checkout"
        # Updates come from where this one came from.
        address=$(git -C "$here" remote get-url origin 2>/dev/null) || address=''
        [ -z "$address" ] || git -C "$checkout" remote set-url origin "$address"
        say "cloned $here to $checkout"
    fi
    find "$checkout" \( ! -user materia -o ! -group materia \) -exec chown --no-dereference materia:materia {} +
    # Settings beside materia.toml are read by every command that is started there.
    if [ ! -e "$checkout/infra/beanflows/.env" ] && [ ! -L "$checkout/infra/beanflows/.env" ]; then
        ln -s "$settings" "$checkout/infra/beanflows/.env"
        chown --no-dereference materia:materia "$checkout/infra/beanflows/.env"
    fi
}

# The template, with this server's files, and with nothing that is only an example.
environment() {
    if [ -e "$settings" ]; then
        say "$settings is there and stays as it is"
        return
    fi
    local line name value example
    for name in $(grep -oE '^(# )?[A-Z_]+=' "$here/web/.env.example" | tr -d '#= '); do
        [[ ${!name:-} != *[\'$'\n']* ]] || die "$name has a quote or a second line, which no settings file can hold; write it by hand after this"
    done
    local -A here_is=([DUCKDB_PATH]=$data/lakehouse.duckdb [SERVING_DUCKDB_PATH]=$data/analytics.duckdb
        [MATERIA_EXTENSIONS]=$data/extensions
        [DATABASE_URL]=sqlite://$data/accounts/accounts.db [LANDING]=$data/landing
        [MATERIA_METRICS_FILE]=$data/metrics/materia_export.prom [MATERIA_METRICS]=127.0.0.1:9464)
    while IFS= read -r line; do
        if [[ $line =~ ^(\#\ )?([A-Z][A-Z_]+)= ]]; then
            example=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]}
            value=${here_is[$name]:-${!name:-}}
            # In such quotes systemd and materia read the same, whatever it is.
            [[ $value =~ ^[A-Za-z0-9_@%+=:,./-]*$ ]] || value="'$value'"
            if [ -n "$value" ]; then
                line=$name=$value
            elif [ -z "$example" ]; then
                line="# $line"
            fi
        fi
        printf '%s\n' "$line"
    done <"$here/web/.env.example" | install -o root -g materia -m 640 -T /dev/stdin "$settings.new"
    mv --no-clobber -T "$settings.new" "$settings"
    say "made $settings, mode 0640: fill in what is commented out there, such as BASE_URL, SMTP_URL, MAIL_FROM and ADMIN_EMAILS"
}

services() {
    local unit
    folder 755 root "$units"
    for unit in "$here"/infra/supervisor/*.service "$here"/infra/web/*.service "$here"/infra/web/*.timer; do
        place 644 "$unit" "$units/$(basename "$unit")"
    done
    local -a started=(materia-supervisor.service materia-web.service materia-backup.timer)
    local enable=(systemctl enable --now "${started[@]}")
    if [ -z "$start" ] || [ ! -d /run/systemd/system ]; then
        say "nothing is started$([ -z "$start" ] || printf ', since systemd does not run here'). What remains: systemctl daemon-reload && ${enable[*]}"
        return
    fi
    systemctl daemon-reload
    # What runs already, and only that, is started anew; the rest is started by being enabled.
    [ -z "$changed" ] || systemctl try-restart "${started[@]}"
    "${enable[@]}"
    systemctl --no-pager --lines=0 status "${started[@]}" || die "not everything runs; see: journalctl -u materia-supervisor -u materia-web"
}

[ "$(id -u)" = 0 ] || die "this makes a user and installs units: run it as root"
[ -e "$here/.git" ] || die "$here is no git checkout; clone one, so that it can be updated"
packages
user
folders
command_and_library
environment
sources
services
say "done. Look with: cd $checkout/infra/beanflows && runuser -u materia -- materia status"
