#!/usr/bin/env bash
# Development tasks, on one machine.
#
#   ./dev_run.sh          builds, creates or refreshes the demo lakehouse, publishes it and shows the status
#   ./dev_run.sh test     every check: formatting, lints, unit, snapshot and integration tests
#   ./dev_run.sh bench    benchmarks, as ratios
#   ./dev_run.sh peers    exports compared with other ways to copy, as ratios (benches/peers/README.md: one hour, 12 GB of disk)
#   ./dev_run.sh memory   memory of the site during 300 exports under traffic from ever new addresses (30 minutes; --minutes, --swaps)
#   ./dev_run.sh scale    throughput of several servers on one DuckLake, as ratios (needs PostgreSQL, wrk and Caddy; --write updates docs/scaling.md)
#   ./dev_run.sh conditions  breaks each component of a server under systemd and measures when it is noticed (root, on Debian)
#   ./dev_run.sh postgres the PostgreSQL endpoint compared with the reader alone and with PostgreSQL, as ratios (needs PostgreSQL and pgbench)
#   ./dev_run.sh web      the demo, served as the customers' site (debug mode: sign-in without email); stop it with Ctrl-C
#   ./dev_run.sh refresh  a simulated pipeline run on the demo and an export; open pages update
#   ./dev_run.sh tui      the demo in the terminal dashboard
#   ./dev_run.sh package  wheel, .deb, tarball, image, SBOM and checksums under dist/ (packaging/build.sh --help)
#   ./dev_run.sh recipes  the tests of docs/recipes with every tool, which are installed for them: Airflow, AWS, Dagster, dbt, dlt, Prefect
#   ./dev_run.sh book     the documentation as a book, in book/ of the build folder
#   ./dev_run.sh pictures the screenshots in README.md and docs/dashboards.md (needs Node, Chromium and tmux)
#   ./dev_run.sh lighthouse  Lighthouse's scores of the public pages (needs Node and Chromium)
#
# Needs Rust, a C compiler and Python. Builds in CARGO_TARGET_DIR, by default a cache folder outside the checkout.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/materia
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
demo=${MATERIA_DEMO:-demo}
# The newest DuckDB version whose DuckLake extensions are available as Python wheels.
lake_duckdb=1.5.5

say() { printf '\n== %s\n' "$*"; }
need() { command -v "$1" >/dev/null 2>&1 || { printf 'dev_run.sh: %s is missing; install it with: %s\n' "$1" "$2" >&2; exit 1; }; }

prepare() {
    need cargo "curl https://sh.rustup.rs -sSf | sh"
    need cc "apt-get install gcc libc6-dev"
    need python3 "apt-get install python3 python3-pip python3-venv"
    # The Python wheel's hash is verified. The library that the duckdb crate downloads is not, so it is used only on
    # systems that the script does not support.
    if [ -z "${DUCKDB_LIB_DIR:-}" ] && [ "$(uname -s)" = Linux ]; then
        say "libduckdb from the Python wheel"
        DUCKDB_LIB_DIR=$(infra/libduckdb.sh)
        export DUCKDB_LIB_DIR
    fi
}

# Creates a Python environment from infra/requirements/NAME.txt, unless it is up to date, and prints its interpreter; prints nothing if that
# fails. Every file is checked against its hash. The file lists all transitive dependencies, so none are resolved.
python_with() {
    local venv=$cache/$1 requirements=infra/requirements/$1.txt
    if ! cmp --silent "$requirements" "$venv/holds"; then
        rm -rf "$venv"
        { python3 -m venv "$venv" && "$venv/bin/pip" --quiet --disable-pip-version-check install --no-deps --only-binary :all: --require-hashes --requirement "$requirements"; } >&2 || return 0
        cp "$requirements" "$venv/holds"
    fi
    printf '%s\n' "$venv/bin/python"
}

# Python environments for the tests: the DuckDB that SQLMesh installs, as an independent reader of published files; the libraries with which
# customers use the API, and schemathesis; and others. A test whose environment is missing reports that it is skipped.
pythons() {
    local python
    python=$(python_with python-duckdb)
    [ -z "$python" ] || export MATERIA_TEST_PYTHON=$python
    python=$(python_with python-api)
    [ -z "$python" ] || export MATERIA_TEST_API_PYTHON=$python
    python=$(python_with python-lake)
    [ -z "$python" ] || export MATERIA_TEST_LAKE_PYTHON=$python
    python=$(python_with python-sqlmesh)
    [ -z "$python" ] || export MATERIA_TEST_SQLMESH_PYTHON=$python
    python=$(python_with python-dbt)
    [ -z "$python" ] || export MATERIA_TEST_DBT_PYTHON=$python
    python=$(python_with python-oldest)
    [ -z "$python" ] || export MATERIA_TEST_OLDEST_PYTHON=$python
    python=$(python_with python-postgres)
    [ -z "$python" ] || export MATERIA_TEST_POSTGRES_PYTHON=$python
    python=$(python_with python-apps)
    [ -z "$python" ] || export MATERIA_TEST_APPS_PYTHON=$python
    python=$(python_with litestream)
    [ -z "$python" ] || export MATERIA_TEST_LITESTREAM=${python%/*}/litestream
    python=$(python_with python-dagster)
    [ -z "$python" ] || export MATERIA_TEST_DAGSTER_PYTHON=$python
    python=$(python_with python-dlt)
    [ -z "$python" ] || export MATERIA_TEST_DLT_PYTHON=$python
    python=$(python_with book)
    [ -z "$python" ] || export MATERIA_TEST_MDBOOK=${python%/*}/mdbook
}

# Prints the path of the tests' S3 server, which is built once; prints nothing if that fails.
s3_server() {
    local place=$cache/s3s-fs-0.14.1
    if [ ! -x "$place/bin/s3s-fs" ]; then
        say "S3 server for the tests" >&2
        env --unset=CARGO_TARGET_DIR cargo install s3s-fs --version 0.14.1 --locked --features binary --root "$place" >&2 || return 0
    fi
    printf '%s\n' "$place/bin/s3s-fs"
}

# Tests of DuckLakes and of read-only SQL, on the newest DuckDB with extensions; the binary was built for another version. A test with a missing prerequisite reports that it is skipped.
lake_tests() {
    local library
    if ! library=$(infra/libduckdb.sh "$lake_duckdb") || ! MATERIA_TEST_EXTENSIONS=$(infra/extensions.sh "$lake_duckdb"); then
        printf 'dev_run.sh: DuckDB %s or its extensions are not available; the DuckLake tests are skipped\n' "$lake_duckdb" >&2
        return 0
    fi
    export MATERIA_TEST_EXTENSIONS
    cargo test --locked --config "target.'cfg(unix)'.runner=['env', 'LD_LIBRARY_PATH=$library']" \
        --test integration -- lake:: lake_ read_only:: postgres_endpoint::duckdbs_own_extension postgres_endpoint::values_of_all_types
}

# Checks licenses, sources and duplicates of crates, and advisories if their database is available; see deny.toml.
dependencies() {
    local place=$cache/cargo-deny-0.20.2
    if [ ! -x "$place/bin/cargo-deny" ] && ! env --unset=CARGO_TARGET_DIR cargo install cargo-deny --version 0.20.2 --locked --root "$place"; then
        printf 'dev_run.sh: cargo-deny could not be installed; dependencies are not checked\n' >&2
        return 0
    fi
    "$place/bin/cargo-deny" --workspace --all-features --locked check bans licenses sources
    # Offline, a database fetched earlier is used; cargo-deny limits its age.
    if ! "$place/bin/cargo-deny" --locked fetch db 2>/dev/null && ! compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/crates" >/dev/null; then
        printf 'dev_run.sh: the advisory database is not available; advisories are not checked\n' >&2
        return 0
    fi
    "$place/bin/cargo-deny" --workspace --all-features --locked --offline check advisories
}

# Checks that the requirements files match their sources and the package index. A difference is only reported: an index may gain files of an existing
# version.
requirements() {
    local uv
    uv=$(python_with uv)
    [ -n "$uv" ] && PATH=$(dirname "$uv"):$PATH infra/requirements/compile.sh --check \
        || printf 'dev_run.sh: infra/requirements differs from the index, or the index is not available\n' >&2
}

# Installs the browser tests' dependencies from the lock file, if Node is available.
browser_tests() {
    command -v npm >/dev/null 2>&1 || return 0
    (cd tests/browser && npm ci --silent --no-audit --no-fund) || printf 'dev_run.sh: npm ci failed; the browser tests are skipped\n' >&2
}

# Runs each benchmark once, in its short form, to check that it works; its figures are ignored. Benchmarks with missing programs are skipped.
short_measurements() {
    local -x MATERIA_BENCH_SHORT=1
    local debug=$CARGO_TARGET_DIR/debug python
    cargo test --locked --bench '*'
    cargo build --locked --example bare --example bare_reader
    if command -v wrk >/dev/null 2>&1; then
        infra/load.sh "$debug/materia" "$debug/examples/bare" 1
    else
        printf 'dev_run.sh: wrk is missing; infra/load.sh is skipped\n' >&2
    fi
    python3 benches/memory.py "$debug/materia"
    python=$(python_with python-peers)
    if [ -n "$python" ]; then
        PYTHONDONTWRITEBYTECODE=1 "$python" benches/peers/peers.py "$debug/materia" --work "$cache/peers-short" --sets demo --rounds 1
    else
        printf 'dev_run.sh: the Python environment of the benchmarks is not available; benches/peers is skipped\n' >&2
    fi
    if [ -n "$python" ] && command -v pgbench >/dev/null 2>&1; then
        PYTHONDONTWRITEBYTECODE=1 "$python" benches/postgres/postgres.py "$debug/materia" "$debug/examples/bare_reader" --seconds 1 --rows 1000
    else
        printf 'dev_run.sh: pgbench or the Python environment of the benchmarks is not available; benches/postgres is skipped\n' >&2
    fi
    if [ -n "$(s3_server)" ] && [ -n "$(python_with python-lake)" ] && command -v wrk >/dev/null && command -v caddy >/dev/null; then
        run_scale "$debug/materia" --seconds 1 --rounds 1
    else
        printf 'dev_run.sh: wrk, Caddy or the S3 server is missing; benches/lake is skipped\n' >&2
    fi
}

# Operates the built command on a server under a systemd that is booted for it; see tests/systemd/run.py.
under_systemd() {
    local python
    python=$(python_with python-duckdb)
    if [ -n "$python" ]; then
        PYTHONDONTWRITEBYTECODE=1 "$python" tests/systemd/run.py "$CARGO_TARGET_DIR/debug" "$1"
    else
        printf 'dev_run.sh: the Python environment of the tests is not available; tests/systemd is skipped\n' >&2
    fi
}

run_tests() {
    say "formatting"
    cargo fmt --check
    if command -v shellcheck >/dev/null 2>&1; then
        say "shell scripts"
        find infra tests/systemd -name "*.sh" -exec shellcheck dev_run.sh .ci/run {} +
    fi
    say "dependencies"
    dependencies
    requirements
    say "lints"
    cargo clippy --all-targets --locked -- -D warnings
    # The bootstrap test sets up a server on an overlay of this machine's files, which is then discarded.
    if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then export MATERIA_TEST_BOOTSTRAP=${MATERIA_TEST_BOOTSTRAP:-/}; fi
    say "tests"
    # Many tests wait for processes of their own, so one for each processor would leave processors idle.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(getconf _NPROCESSORS_ONLN) * 3 / 2))}
    export RUST_TEST_THREADS
    pythons
    # The accounts' backups go to it, and the tables of the DuckLake tests.
    MATERIA_TEST_S3=$(s3_server)
    [ -z "$MATERIA_TEST_S3" ] || export MATERIA_TEST_S3
    browser_tests
    # A different snapshot is a failure, never an update.
    INSTA_UPDATE=no cargo test --locked -- --skip soak:: --skip browser::
    if [ -n "${MATERIA_TEST_BOOTSTRAP:-}" ]; then
        say "a server under systemd"
        under_systemd server
    fi
    say "DuckLake, on DuckDB $lake_duckdb"
    INSTA_UPDATE=no lake_tests
    say "benchmarks, in their short form"
    short_measurements
    # These run alone: the browser tests measure time, and the soak test uses every processor.
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
    # The dashboards of the checkout: an edit shows on the next page load.
    export MATERIA_DASHBOARDS=${MATERIA_DASHBOARDS:-$PWD/infra/beanflows/dashboards}
    cd "$demo"
    "$CARGO_TARGET_DIR/debug/materia" users seed >/dev/null
    printf 'front page    http://%s/\n' "$address"
    for who in free starter pro admin; do printf 'as %-10s http://%s/auth/dev-login?email=%s@example.test\n' "$who" "$address" "$who"; done
    exec "$CARGO_TARGET_DIR/debug/materia" web
}

in_demo() {
    [ -e "$demo/lakehouse.duckdb" ] || { printf 'dev_run.sh: there is no demo yet; create it with: ./dev_run.sh\n' >&2; exit 1; }
    cd "$demo"
    "$CARGO_TARGET_DIR/debug/materia" "$@"
}

refresh() {
    cargo build --quiet --locked
    (in_demo demo . --refresh)
    (in_demo export)
}

# The competitors use the same DuckDB version as the linked one.
peers() {
    cargo build --release --locked
    local python
    python=$(python_with python-peers)
    [ -n "$python" ] || { printf 'dev_run.sh: the Python environment of the benchmarks is not available\n' >&2; exit 1; }
    PYTHONDONTWRITEBYTECODE=1 "$python" benches/peers/peers.py "$CARGO_TARGET_DIR/release/materia" --work "$cache/peers" "$@"
}

# Benchmarks a DuckLake deployment on the newest DuckDB version with extensions.
scale() {
    cargo build --release --locked
    run_scale "$CARGO_TARGET_DIR/release/materia" "$@"
}

run_scale() {
    local materia=$1
    shift
    local library extensions server python
    library=$(infra/libduckdb.sh "$lake_duckdb")
    extensions=$(infra/extensions.sh "$lake_duckdb")
    server=$(s3_server)
    python=$(python_with python-lake)
    if [ -z "$server" ] || [ -z "$python" ]; then
        printf 'dev_run.sh: the S3 server or Python with DuckDB %s is missing\n' "$lake_duckdb" >&2
        exit 1
    fi
    LD_LIBRARY_PATH=$library MATERIA_EXTENSIONS=$extensions PYTHONDONTWRITEBYTECODE=1 \
        "$python" benches/lake/scale.py "$materia" "$server" "$@"
}

# The tools that are installed only here are large, or slow to start.
recipes() {
    local python server
    pythons
    python=$(python_with python-airflow)
    [ -z "$python" ] || export MATERIA_TEST_AIRFLOW_PYTHON=$python
    python=$(python_with python-aws)
    [ -z "$python" ] || export MATERIA_TEST_AWS_PYTHON=$python
    python=$(python_with python-prefect)
    [ -z "$python" ] || export MATERIA_TEST_PREFECT_PYTHON=$python
    server=$(s3_server)
    [ -z "$server" ] || export MATERIA_TEST_S3=$server
    cargo test --locked --test integration -- recipes::
}

book() {
    local python
    python=$(python_with book)
    [ -n "$python" ] || { printf 'dev_run.sh: mdBook is not available\n' >&2; exit 1; }
    "${python%/*}/mdbook" build docs --dest-dir "$CARGO_TARGET_DIR/book"
}

# The endpoint on the linked DuckDB version, and PostgreSQL with the same table.
endpoint() {
    cargo build --release --locked
    cargo build --release --locked -p materia-cli --example bare_reader
    local python
    python=$(python_with python-peers)
    [ -n "$python" ] || { printf 'dev_run.sh: the Python environment of the benchmarks is not available\n' >&2; exit 1; }
    PYTHONDONTWRITEBYTECODE=1 "$python" benches/postgres/postgres.py "$CARGO_TARGET_DIR/release/materia" "$CARGO_TARGET_DIR/release/examples/bare_reader" "$@"
}

pictures() {
    cargo build --locked
    pythons
    browser_tests
    (cd tests/browser && node pictures.mjs "$CARGO_TARGET_DIR/debug/materia" ../../docs/pictures)
}

# A release build, as customers see it.
lighthouse() {
    cargo build --release --locked
    browser_tests
    (cd tests/lighthouse && npm ci --silent --no-audit --no-fund --ignore-scripts && node audit.mjs "$CARGO_TARGET_DIR/release/materia")
}

case ${1:-} in
    "") prepare; run_demo ;;
    test) prepare; run_tests ;;
    bench) prepare; cargo bench --locked ;;
    peers) prepare; shift; peers "$@" ;;
    conditions) prepare; cargo build --locked; under_systemd conditions ;;
    memory) prepare; shift; cargo build --release --locked; exec python3 benches/memory.py "$CARGO_TARGET_DIR/release/materia" "$@" ;;
    postgres) prepare; shift; endpoint "$@" ;;
    scale) prepare; shift; scale "$@" ;;
    web) prepare; run_demo; run_site ;;
    refresh) prepare; refresh ;;
    tui) prepare; cargo build --quiet --locked; in_demo tui --allow-actions ;;
    package) prepare; shift; packaging/build.sh "$@" ;;
    recipes) prepare; recipes ;;
    book) book ;;
    pictures) prepare; pictures ;;
    lighthouse) prepare; lighthouse ;;
    *) sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
