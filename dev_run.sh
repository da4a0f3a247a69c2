#!/usr/bin/env bash
# Everything on one machine.
#
#   ./dev_run.sh          prepares, builds, makes the demo lakehouse (or refreshes it), publishes it and shows the status
#   ./dev_run.sh test     every check: formatting, lints, unit, snapshot and integration tests
#   ./dev_run.sh bench    the measurements, as ratios
#   ./dev_run.sh peers    exports against every other way to copy, as ratios (benches/peers/README.md: an hour, 12 GB of disk)
#   ./dev_run.sh scale    what several servers on one DuckLake carry, as ratios (wants PostgreSQL, wrk and Caddy; --write puts it into docs/scaling.md)
#   ./dev_run.sh web      the same demo, served as the customers' site (debug mode: sign-in without mail); Ctrl-C ends it
#   ./dev_run.sh refresh  what a pipeline run does to the demo, and an export: open pages follow
#   ./dev_run.sh tui      the demo in the terminal dashboard
#   ./dev_run.sh pictures those in README.md, made from the real thing (wants Node, Chromium and tmux)
#
# Wants Rust, a C compiler and Python. What is built goes to CARGO_TARGET_DIR, or to a cache folder outside the checkout.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/materia
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
demo=${MATERIA_DEMO:-demo}
# The newest DuckDB whose extensions for a DuckLake there are as Python wheels.
lake_duckdb=1.5.5

say() { printf '\n== %s\n' "$*"; }
need() { command -v "$1" >/dev/null 2>&1 || { printf 'dev_run.sh: %s is missing; install it with: %s\n' "$1" "$2" >&2; exit 1; }; }

prepare() {
    need cargo "curl https://sh.rustup.rs -sSf | sh"
    need cc "apt-get install gcc libc6-dev"
    need python3 "apt-get install python3 python3-pip python3-venv"
    # As given; else what the duckdb crate downloads by itself; else, where that is out of reach, out of the Python wheel.
    if [ -z "${DUCKDB_LIB_DIR:-}" ] && ! reaches_duckdb; then
        say "libduckdb from the Python wheel"
        DUCKDB_LIB_DIR=$(infra/libduckdb.sh)
        export DUCKDB_LIB_DIR
    fi
}

reaches_duckdb() {
    command -v curl >/dev/null 2>&1 && curl --silent --fail --head --max-time 5 --output /dev/null https://install.duckdb.org/v2.0.0/duckdb-shared-libs-linux-amd64.tar.gz
}

# Makes a Python environment of this name with these packages, unless it is there, and prints its python; nothing where that fails.
python_with() {
    local venv=$cache/$1
    shift
    if [ "$(cat "$venv/holds" 2>/dev/null)" != "$*" ]; then
        rm -rf "$venv"
        { python3 -m venv "$venv" && "$venv/bin/pip" --quiet --disable-pip-version-check install "$@"; } >&2 || return 0
        printf '%s' "$*" >"$venv/holds"
    fi
    printf '%s\n' "$venv/bin/python"
}

# Other people's Pythons: the DuckDB that SQLMesh installs today, for the tests in which an unrelated reader opens what we publish; and what customers
# read the API with, beside schemathesis, which asks it everything. A test without its Python says that it is skipped.
pythons() {
    local python
    python=$(python_with python-duckdb duckdb==1.5.6)
    [ -z "$python" ] || export MATERIA_TEST_PYTHON=$python
    python=$(python_with python-api duckdb==2.0.0 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1 openpyxl==3.1.5 schemathesis==4.32.5)
    [ -z "$python" ] || export MATERIA_TEST_API_PYTHON=$python
    python=$(python_with python-lake "duckdb==$lake_duckdb")
    [ -z "$python" ] || export MATERIA_TEST_LAKE_PYTHON=$python
}

# The S3 server of the tests, built once; nothing where that fails.
s3_server() {
    local place=$cache/s3s-fs-0.14.1
    if [ ! -x "$place/bin/s3s-fs" ]; then
        say "an S3 server for the tests" >&2
        env --unset=CARGO_TARGET_DIR cargo install s3s-fs --version 0.14.1 --locked --features binary --root "$place" >&2 || return 0
    fi
    printf '%s\n' "$place/bin/s3s-fs"
}

# DuckLakes: with the newest DuckDB whose extensions there are, and the command that was built for another. A test that misses something says that it is skipped.
lake_tests() {
    local library server
    if ! library=$(infra/libduckdb.sh "$lake_duckdb") || ! MATERIA_TEST_EXTENSIONS=$(infra/extensions.sh "$lake_duckdb"); then
        printf 'dev_run.sh: DuckDB %s or its extensions cannot be had; the tests of DuckLakes are skipped\n' "$lake_duckdb" >&2
        return 0
    fi
    export MATERIA_TEST_EXTENSIONS
    server=$(s3_server)
    [ -z "$server" ] || export MATERIA_TEST_S3=$server
    cargo test --locked --config "target.'cfg(unix)'.runner=['env', 'LD_LIBRARY_PATH=$library']" --test integration -- lake:: lake_
}

# What the browser tests want, where there is Node: exactly what the lock file says.
browser_tests() {
    command -v npm >/dev/null 2>&1 || return 0
    (cd tests/browser && npm ci --silent --no-audit --no-fund) || printf 'dev_run.sh: npm ci failed; the browser tests are skipped\n' >&2
}

run_tests() {
    say "formatting"
    cargo fmt --check
    if command -v shellcheck >/dev/null 2>&1; then
        say "shell scripts"
        shellcheck dev_run.sh .ci/run infra/*.sh
    fi
    say "lints"
    cargo clippy --all-targets --locked -- -D warnings
    say "tests"
    pythons
    browser_tests
    # A snapshot that differs is a failure here, never an update.
    INSTA_UPDATE=no cargo test --locked -- --skip soak:: --skip browser::
    say "DuckLake, on DuckDB $lake_duckdb"
    INSTA_UPDATE=no lake_tests
    # Alone: the browser's promises look at the clock, and the soak leaves no processor to others.
    say "browser"
    cargo test --locked --test integration -- --nocapture browser::
    say "soak"
    cargo test --locked --test integration -- --nocapture soak::
}

run_demo() {
    cargo build --locked
    local materia=$CARGO_TARGET_DIR/debug/materia
    say "materia demo $demo"
    if [ -e "$demo/lakehouse.duckdb" ]; then "$materia" demo "$demo" --refresh; else "$materia" demo "$demo"; fi
    say "materia export"
    (cd "$demo" && "$materia" export)
    say "materia status"
    (cd "$demo" && "$materia" status)
}

run_site() {
    say "materia web"
    export DEBUG=true ADMIN_EMAILS=${ADMIN_EMAILS:-admin@example.test}
    local address=${MATERIA_LISTEN:-127.0.0.1:8000}
    # Dashboards of the checkout: an edit is seen as soon as a page is asked for again.
    export MATERIA_DASHBOARDS=${MATERIA_DASHBOARDS:-$PWD/infra/beanflows/dashboards}
    cd "$demo"
    "$CARGO_TARGET_DIR/debug/materia" users seed >/dev/null
    printf 'front page    http://%s/\n' "$address"
    for who in free starter pro admin; do printf 'as %-10s http://%s/auth/dev-login?email=%s@example.test\n' "$who" "$address" "$who"; done
    exec "$CARGO_TARGET_DIR/debug/materia" web
}

in_demo() {
    [ -e "$demo/lakehouse.duckdb" ] || { printf 'dev_run.sh: there is no demo yet; make it with: ./dev_run.sh\n' >&2; exit 1; }
    cd "$demo"
    "$CARGO_TARGET_DIR/debug/materia" "$@"
}

refresh() {
    cargo build --quiet --locked
    (in_demo demo . --refresh)
    (in_demo export)
}

# The Python with which the others copy: the same DuckDB as the one linked.
peers() {
    cargo build --release --locked
    local venv=$cache/python-peers-1
    if [ ! -e "$venv/ready" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" --quiet --disable-pip-version-check install -r benches/peers/requirements.txt && touch "$venv/ready"
    fi
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" benches/peers/peers.py "$CARGO_TARGET_DIR/release/materia" --work "$cache/peers" "$@"
}

# A lake with everything around it, on DuckDB's newest version that has the extensions.
scale() {
    cargo build --release --locked
    local library extensions server python
    library=$(infra/libduckdb.sh "$lake_duckdb")
    extensions=$(infra/extensions.sh "$lake_duckdb")
    server=$(s3_server)
    python=$(python_with python-lake "duckdb==$lake_duckdb")
    if [ -z "$server" ] || [ -z "$python" ]; then
        printf 'dev_run.sh: there is no S3 server or no Python with DuckDB %s\n' "$lake_duckdb" >&2
        exit 1
    fi
    LD_LIBRARY_PATH=$library MATERIA_EXTENSIONS=$extensions PYTHONDONTWRITEBYTECODE=1 \
        "$python" benches/lake/scale.py "$CARGO_TARGET_DIR/release/materia" "$server" "$@"
}

pictures() {
    cargo build --locked
    browser_tests
    (cd tests/browser && node pictures.mjs "$CARGO_TARGET_DIR/debug/materia" ../../docs/pictures)
}

case ${1:-} in
    "") prepare; run_demo ;;
    test) prepare; run_tests ;;
    bench) prepare; cargo bench --locked ;;
    peers) prepare; shift; peers "$@" ;;
    scale) prepare; shift; scale "$@" ;;
    web) prepare; run_demo; run_site ;;
    refresh) prepare; refresh ;;
    tui) prepare; cargo build --quiet --locked; in_demo tui --allow-actions ;;
    pictures) prepare; pictures ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
