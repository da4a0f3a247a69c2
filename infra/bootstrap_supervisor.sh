#!/usr/bin/env bash
# Sets up a bare Debian server with running units: the supervisor, the site and the nightly backup.
#
#   git clone ADDRESS /opt/materia
#   /opt/materia/infra/bootstrap_supervisor.sh [--binary FILE]
#
# Run it as root; it is idempotent. It installs missing packages, creates the user materia, /data/materia and /etc/materia/env, installs
# /usr/local/bin/materia, DuckDB's library in /usr/local/lib and the units, and starts the units if systemd is running.
# There are two checkouts:
#
#   /opt/materia    owned by root: scripts and units (cloned from this checkout, if it is elsewhere)
#   /srv/materia    owned by the user materia, a clone of the first: settings, dashboards, models and SQLMesh's cache
#
# Root executes and copies nothing that the user materia can write, so the script refuses such a checkout or binary. Another run merges new
# commits of the first checkout into the second, unless the two have diverged.
#
#   --binary FILE    the built command, with libduckdb*.so next to it   [target/release/materia of this checkout, built if cargo is installed]
#                    For a DuckLake, also the folder duckdb-1.5.5 of the package materia-lake; MATERIA_DUCKDB=1.5 selects it.
#   --no-start       starts nothing
#   --back-out       restores the previous command and its library, and restarts the units; a second --back-out undoes it
#   --help           prints this help
#
# A new command is checked before it replaces the old one: it has to run and to accept the settings (materia web --check). The old
# command is kept in /usr/local/lib/materia/former, and the accounts are backed up first.
#
# /etc/materia/env is created once, from web/.env.example, which explains every variable, and is yours after that: it is never overwritten.
# The first run writes the template's variables that are set in its environment to it:
#
#   BASE_URL=https://www.example.com SMTP_URL=smtps://... MAIL_FROM=... ADMIN_EMAILS=... infra/bootstrap_supervisor.sh
set -euo pipefail
umask 022
# English messages of git, apt and systemctl; UTF-8 for file names.
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
checkout=/opt/materia project=/srv/materia data=/data/materia settings=/etc/materia/env units=/etc/systemd/system
tried=/usr/local/lib/materia/tried former=/usr/local/lib/materia/former
binary='' start=yes changed='' back_out=''

say() { printf 'bootstrap: %s\n' "$*"; }
die() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

while [ $# -gt 0 ]; do
    case $1 in
        --binary) [ $# -gt 1 ] || { printf 'bootstrap: --binary needs a file\n' >&2; exit 2; }; binary=$2; shift ;;
        --no-start) start='' ;;
        --back-out) back_out=yes ;;
        --help | -h) usage; exit 0 ;;
        *) printf 'bootstrap: unknown argument %s; see --help\n' "$1" >&2; exit 2 ;;
    esac
    shift
done

# Creates a folder, or corrects the owner and mode of an existing one.
folder() { install -d -o "$2" -g "$2" -m "$1" "$3"; }

# The same inside folders that the user materia can write. Not as root, because that user could have placed a link there.
folder_inside() { as_materia install -d -m "$1" "$2" || die "$2 could not be created by the user materia; is it a link, or owned by another user?"; }

# Without root's environment, which names root's folders, and in its own session: a process on root's terminal could type into it.
as_materia() { (cd / && setsid --wait runuser -u materia -- env --ignore-environment PATH="$PATH" LC_ALL="$LC_ALL" HOME=/var/cache/materia "$@"); }

# Refuses files that the user materia owns or can write, and world-writable ones: root would run what others could have changed. Parent
# folders are checked, too.
refuse_writable() {
    local path found above=()
    local -a writable=(-not -type l -perm -o=w -not \( -type d -perm -1000 \))
    getent passwd materia >/dev/null && writable+=(-o -user materia)
    getent group materia >/dev/null && writable+=(-o -not -type l -group materia -perm -g=w)
    for path; do
        [ -e "$path" ] || continue
        path=$(realpath "$path")
        while above+=("$path"); [ "$path" != / ]; do path=$(dirname "$path"); done
        found=$(find "${above[@]}" -maxdepth 0 \( "${writable[@]}" \) -print -quit)
        [ -n "$found" ] || found=$(find "${above[0]}" \( "${writable[@]}" \) -print -quit)
        [ -z "$found" ] || die "$found can be written by the user materia or by everybody, and root would run it. Use a checkout and a binary that only root can write: run git clone ADDRESS FOLDER in a folder that root owns, and start this script from there"
        above=()
    done
}

# Installs a file if it differs. It is renamed into place, so that a running command keeps the old one.
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
    require() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
    require git git
    require curl curl
    require python3 python3
    require flock util-linux
    require useradd passwd
    # The unit runs the program kill, not the shell's builtin.
    [ -x /bin/kill ] || missing+=(procps)
    # uv creates SQLMesh's environment; Debian does not package it.
    command -v uv >/dev/null 2>&1 || python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null 2>&1 || die "missing: ${missing[*]}; apt-get is not available, so install them yourself"
        say "installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq || die "apt-get update failed; is the network up?"
        apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null || die "apt-get could not install ${missing[*]}"
    fi
    if ! command -v uv >/dev/null 2>&1; then
        say "installing uv"
        python3 -m venv /usr/local/lib/uv || die "could not create a Python environment in /usr/local/lib/uv"
        /usr/local/lib/uv/bin/pip --quiet --disable-pip-version-check --no-cache-dir install --only-binary :all: --require-hashes \
            --requirement "$here/infra/requirements/uv.txt" \
            || die "pip could not install uv; install it yourself, on the PATH"
        ln -sfn /usr/local/lib/uv/bin/uv /usr/local/bin/uv
    fi
}

user() {
    if ! getent passwd materia >/dev/null; then
        useradd --system --user-group --home-dir /var/cache/materia --no-create-home --shell /usr/sbin/nologin materia
        say "created the user materia"
    fi
    getent group materia >/dev/null || die "the user materia exists, but the group does not; create it with: groupadd --system materia"
}

folders() {
    [ -d "${data%/*}" ] || folder 755 root "${data%/*}"
    # The node exporter, another user, reads the metrics.
    folder 751 materia "$data"
    folder_inside 755 "$data/metrics"
    folder_inside 750 "$data/landing"
    folder_inside 700 "$data/accounts"
    folder_inside 700 "$data/backups"
    folder 755 materia /var/cache/materia
    folder 755 root "${settings%/*}"
}

command_and_library() {
    local release=${CARGO_TARGET_DIR:-$here/target}/release/materia library
    if [ -z "$binary" ] && [ ! -e "$release" ] && [ ! -e /usr/local/bin/materia ]; then
        command -v cargo >/dev/null 2>&1 || die "there is no built command; build it elsewhere (cargo build --release) and pass it with --binary, or install Rust here"
        say "building; this takes several minutes"
        (cd "$here" && { [ -n "${DUCKDB_LIB_DIR:-}" ] || DUCKDB_LIB_DIR=$(infra/libduckdb.sh); } && export DUCKDB_LIB_DIR && cargo build --release --locked) \
            || die "the build failed"
    fi
    if [ -z "$binary" ]; then
        [ -e "$release" ] || { say "no new command; keeping /usr/local/bin/materia"; return; }
        binary=$release
    fi
    [ -f "$binary" ] || die "$binary is not a file; --binary needs the built command"
    refuse_writable "$binary" "$(dirname "$binary")"/libduckdb*.so
    copy_command "$binary" "$(dirname "$binary")" "$tried"
    env --unset=LD_LIBRARY_PATH "$tried/bin/materia" --version >/dev/null \
        || die "$binary does not run here, and nothing was changed; is it built for $(uname -m), and is libduckdb.so next to it?"
    if [ -e /usr/local/bin/materia ] && ! is_installed "$tried"; then
        check_settings
        back_up_accounts
        copy_command /usr/local/bin/materia /usr/local/lib "$former"
    fi
    install_command "$tried"
    rm -rf "$tried"
    other_engines "$(dirname "$binary")"
}

# Installs DuckDB's libraries of other versions, which MATERIA_DUCKDB selects.
other_engines() {
    local engine file to
    for engine in "$1"/duckdb-*/ "$1"/../lib/materia/duckdb-*/; do
        [ -e "$engine/libduckdb.so" ] || continue
        refuse_writable "$engine"
        while IFS= read -r -d '' file; do
            to=/usr/local/lib/materia/$(basename "$engine")/$file
            install -d -o root -g root -m 755 "$(dirname "$to")"
            place 644 "$engine/$file" "$to"
        done < <(cd "$engine" && find . -type f -printf '%P\0')
    done
}

# Copies a command and its library to a folder, with the library in ../lib, where the command finds it.
copy_command() {
    local library
    rm -rf "$3.new"
    install -d -o root -g root -m 755 "${3%/*}" "$3.new" "$3.new/bin" "$3.new/lib"
    install -m 755 -T "$1" "$3.new/bin/materia"
    for library in "$2"/libduckdb*.so; do
        [ ! -e "$library" ] || install -m 644 -t "$3.new/lib" "$library"
    done
    rm -rf "$3"
    mv -T "$3.new" "$3"
}

is_installed() {
    local library
    cmp --silent "$1/bin/materia" /usr/local/bin/materia || return 1
    for library in "$1"/lib/libduckdb*.so; do
        [ ! -e "$library" ] || cmp --silent "$library" "/usr/local/lib/${library##*/}" || return 1
    done
}

install_command() {
    local library
    for library in "$1"/lib/libduckdb*.so; do
        [ ! -e "$library" ] || place 644 "$library" "/usr/local/lib/${library##*/}"
    done
    place 755 "$1/bin/materia" /usr/local/bin/materia
}

# A running server is never replaced by one that would not start.
check_settings() {
    [ -e "$settings" ] && [ -e "$project/infra/beanflows/materia.toml" ] || return 0
    as_materia sh -c "cd $project/infra/beanflows && exec $tried/bin/materia web --check" \
        || die "the new command does not accept the settings, and nothing was changed; see above, or run: cd $project/infra/beanflows && runuser -u materia -- $tried/bin/materia web --check"
}

# An older command may not be able to read accounts that a newer one has migrated.
back_up_accounts() {
    local copy
    copy=$data/backups/before-$(date -u +%Y%m%dT%H%M%SZ).db
    [ -e "$data/accounts/accounts.db" ] || return 0
    as_materia env DATABASE_URL="sqlite://$data/accounts/accounts.db" /usr/local/bin/materia users backup "$copy" >/dev/null \
        || die "the accounts could not be backed up; nothing was changed"
    say "backed up the accounts to $copy"
}

back_out_command() {
    [ -e "$former/bin/materia" ] || die "there is no previous command in $former"
    copy_command /usr/local/bin/materia /usr/local/lib "$tried"
    install_command "$former"
    rm -rf "$former"
    mv -T "$tried" "$former"
    say "restored the previous command: $(env --unset=LD_LIBRARY_PATH /usr/local/bin/materia --version)"
}

# Prints the URL of a checkout's origin, if it has one.
origin() { git -C "$1" remote get-url origin 2>/dev/null || true; }

sources() {
    local address
    if [ -d "$checkout" ] && [ "$(stat --format %U "$checkout")" = materia ]; then
        # Earlier versions gave this checkout to the user materia; it becomes the one with settings and models.
        [ ! -e "$project" ] || die "$checkout belongs to the user materia, and $project already exists; move $checkout away"
        mv -T "$checkout" "$project"
        say "moved $checkout, which the user materia could write, to $project"
    fi
    if [ ! -e "$checkout/.git" ]; then
        [ ! -e "$checkout" ] || [ -z "$(ls -A "$checkout")" ] || die "$checkout exists, but is not a git checkout; move it away"
        git clone --quiet --no-hardlinks "$here" "$checkout" || die "$here could not be cloned to $checkout"
        # Updates come from the original repository.
        address=$(origin "$here")
        [ -z "$address" ] || git -C "$checkout" remote set-url origin "$address"
        say "cloned $here to $checkout"
    fi
    refuse_writable "$checkout"
    find "$checkout" \( ! -user root -o ! -group root \) -exec chown --no-dereference root:root {} +
    # The user materia runs the scripts in it and fetches from it.
    find "$checkout" -not -type l \( -perm /022 -o -not -perm -a=r -o -type d -not -perm -a=x \) -exec chmod go-w,a+rX {} +
    project
}

# The checkout of the user materia. Git runs there as that user, never as root, because the checkout's configuration can run commands.
project() {
    # Without safe.directory, git refuses repositories of another user.
    local upload="git -c safe.directory=$checkout -c safe.directory=$checkout/.git upload-pack" address
    if [ ! -e "$project" ]; then
        install -d -o materia -g materia -m 755 "$project"
    fi
    if [ -z "$(ls -A "$project")" ]; then
        as_materia git clone --quiet --no-local --upload-pack "$upload" "$checkout" "$project" || die "$checkout could not be cloned to $project"
        address=$(origin "$checkout")
        [ -z "$address" ] || as_materia git -C "$project" remote set-url origin "$address"
        say "cloned $checkout to $project"
    else
        { as_materia git -C "$project" fetch --quiet --upload-pack "$upload" "$checkout" HEAD \
            && as_materia git -C "$project" merge --quiet --ff-only FETCH_HEAD; } \
            || say "$project was not updated, because $checkout could not be merged; see: runuser -u materia -- git -C $project status"
    fi
    # Every command started next to materia.toml reads this .env file.
    local link=$project/infra/beanflows/.env
    [ -e "$link" ] || [ -L "$link" ] || as_materia ln -s "$settings" "$link" || die "$link could not be created"
}

# An existing settings file is kept. systemd reads it as root, and manual commands read it as the user materia, so it must be readable for
# that user, but not writable.
check_environment() {
    local state name
    state="owner $(stat --format %U:%G "$settings"), mode $(stat --format %a "$settings")"
    [ -f "$settings" ] || die "$settings is not a file"
    if ! as_materia test -r "$settings"; then
        chgrp materia "$settings"
        chmod g+r "$settings"
        say "$settings could not be read by the user materia ($state); the group materia can read it now"
    fi
    ! as_materia test -w "$settings" || die "$settings can be written by the user materia ($state); root's units run with these settings, so run: chown root:materia $settings && chmod 640 $settings"
    for name in $(sed -nE 's/^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)=.*/\2/p' "$settings" | sort | uniq --repeated); do
        say "$settings sets $name more than once, and only the last line counts; remove the others"
    done
    say "$settings exists and was not changed"
}

# Writes the template with this server's paths; examples stay commented out.
environment() {
    if [ -e "$settings" ]; then
        check_environment
        return
    fi
    local line name value example
    for name in $(grep -oE '^(# )?[A-Z_]+=' "$here/web/.env.example" | tr -d '#= '); do
        [[ ${!name:-} != *[\'$'\n']* ]] || die "$name has a quote or a second line, which the settings file cannot hold; add it by hand after this run"
    done
    local -A here_is=([MATERIA_DATA_DIR]=$data
        [SUPERVISOR_LOCK]=$data/supervisor.lock [MATERIA_BACKUPS]=$data/backups [MATERIA_SITE]=http://127.0.0.1:8000
        [DATABASE_URL]=sqlite://$data/accounts/accounts.db [LANDING]=$data/landing
        [MATERIA_METRICS_FILE]=$data/metrics/materia_export.prom [MATERIA_METRICS]=127.0.0.1:9464)
    local -A written=()
    while IFS= read -r line; do
        if [[ $line =~ ^(\#\ )?([A-Z][A-Z_]+)= ]]; then
            example=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]}
            value=${here_is[$name]:-${!name:-}}
            # systemd and materia parse single quotes alike.
            [[ $value =~ ^[A-Za-z0-9_@%+=:,./-]*$ ]] || value="'$value'"
            # Only the first line of a variable is set; further lines show other forms of the value.
            if [ -n "$value" ] && [ -z "${written[$name]:-}" ]; then
                line=$name=$value
                written[$name]=yes
            elif [ -z "$example" ]; then
                line="# $line"
            fi
        fi
        printf '%s\n' "$line"
    done <"$here/web/.env.example" | install -o root -g materia -m 640 -T /dev/stdin "$settings.new"
    mv --no-clobber -T "$settings.new" "$settings"
    say "created $settings, mode 0640: fill in the commented-out variables, such as BASE_URL, SMTP_URL, MAIL_FROM and ADMIN_EMAILS"
}

services() {
    local unit
    folder 755 root "$units"
    for unit in "$here"/infra/supervisor/*.service "$here"/infra/supervisor/*.timer "$here"/infra/web/*.service "$here"/infra/web/*.socket "$here"/infra/web/*.timer; do
        place 644 "$unit" "$units/$(basename "$unit")"
    done
    local -a started=(materia-supervisor.service materia-web.service materia-backup.timer materia-alert.timer)
    local enable=(systemctl enable --now materia-web.socket "${started[@]}")
    if [ -z "$start" ] || [ ! -d /run/systemd/system ]; then
        say "nothing was started$([ -z "$start" ] || printf ', because systemd is not running'). To start everything: systemctl daemon-reload && ${enable[*]}"
        return
    fi
    systemctl daemon-reload
    # Sites of earlier versions listen themselves, so the socket could not bind the address.
    systemctl --quiet is-active materia-web.socket || ! systemctl --quiet is-active materia-web.service || systemctl stop materia-web.service
    # Restarts only the running units; enabling starts the others.
    [ -z "$changed" ] || systemctl try-restart "${started[@]}"
    "${enable[@]}"
    systemctl --no-pager --lines=0 status "${started[@]}" || die "not every unit is running; see: journalctl -u materia-supervisor -u materia-web"
}

[ "$(id -u)" = 0 ] || die "this creates a user and installs units: run it as root"
[ -e "$here/.git" ] || die "$here is not a git checkout; clone the repository, so that it can be updated"
# First, because everything below reads and runs files of this checkout.
refuse_writable "$here"
packages
user
folders
if [ -n "$back_out" ]; then
    back_out_command
    services
    say "done. Scripts and units are from $here; for another version of them: git -C $checkout checkout VERSION"
    exit 0
fi
command_and_library
environment
sources
services
say "done. To check the server: cd $project/infra/beanflows && runuser -u materia -- materia status"
