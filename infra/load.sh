#!/usr/bin/env bash
# Load test: a cached dashboard compared with a bare handler with a body of the same size, idle and during five exports per second.
#
#   infra/load.sh path/to/materia path/to/bare [SECONDS]          (default 10)
#
# With MATERIA_BENCH_SHORT=1, as in the test suite, the figures are printed but have no limits; failed requests still count.
# `bare` is built with `cargo build --release --example bare`. Needs wrk and curl. Run it on an otherwise idle machine.
set -euo pipefail

materia=$(realpath "$1") bare=$(realpath "$2") seconds=${3:-10}
folder=$(mktemp -d) site='' handler=''
trap 'kill ${site:-} ${handler:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

export DEBUG=true RUST_LOG=warn MATERIA_REQUESTS_PER_MINUTE=0 ADMIN_EMAILS=admin@example.test DATABASE_URL="sqlite://$folder/accounts.db"
"$materia" demo . >/dev/null
"$materia" export >/dev/null 2>&1
"$materia" users seed >/dev/null
"$materia" web --listen 127.0.0.1:18080 2>site.log &
site=$!
address=http://127.0.0.1:18080
for _ in $(seq 200); do curl --silent --fail --output /dev/null $address/ready && break; sleep 0.1; done
cookie=$(curl --silent --include "$address/auth/dev-login?email=pro@example.test" | tr -d '\r' | sed -n 's/^set-cookie: \([^;]*\).*/\1/p')
page=$address/dashboard/pulse

# Compressed, as browsers get it; the bare handler sends as many bytes.
curl --silent --header "Cookie: $cookie" --header 'Accept-Encoding: zstd' --output page.zst $page
size=$(stat --format %s page.zst)
"$bare" 127.0.0.1:18081 "$size" &
handler=$!
for _ in $(seq 200); do curl --silent --fail --output /dev/null http://127.0.0.1:18081/ && break; sleep 0.1; done

cat >report.lua <<'LUA'
done = function(summary, latency)
  local errors = summary.errors
  print(string.format("requests %d", summary.requests))
  print(string.format("rate %.0f", summary.requests / summary.duration * 1e6))
  print(string.format("p99 %.2f", latency:percentile(99) / 1000))
  print(string.format("failed %d", errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
LUA
run_wrk() { wrk --threads 1 --connections 32 --duration "${seconds}s" --script report.lua --header 'Accept-Encoding: zstd' --header "Cookie: $cookie" "$1"; }
figure() { sed -n "s/^$2 //p" <<<"$1"; }

warm=$(run_wrk $page) && : "$warm"
bare_result=$(run_wrk http://127.0.0.1:18081/)
site_result=$(run_wrk $page)
printf 'body                    %8s bytes, zstd\n' "$size"
printf 'bare handler            %8s requests/s\n' "$(figure "$bare_result" rate)"
printf 'cached dashboard        %8s requests/s, p99 %s ms\n' "$(figure "$site_result" rate)" "$(figure "$site_result" p99)"
ratio=$(awk "BEGIN { printf \"%.2f\", $(figure "$site_result" rate) / $(figure "$bare_result" rate) }")
printf 'ratio                   %8s (at least 0.50)\n' "$ratio"

# Publishes a generation five times per second, with a link and a rename as an export does. The files are created beforehand, because exporting
# would use the processor that is measured.
"$materia" demo other --scale 2 >/dev/null
"$materia" export --quiet --lakehouse other/lakehouse.duckdb --to analytics.duckdb
generations=(analytics.generations/*.duckdb)
(
    for swap in $(seq $((seconds * 5))); do
        ln "${generations[(swap - 1) % ${#generations[@]}]}" next.duckdb
        mv --force --no-target-directory next.duckdb analytics.duckdb
        sleep 0.2
    done
) &
swapping=$!
swap_result=$(run_wrk $page)
wait $swapping
printf 'while swapping          %8s requests/s, p99 %s ms (at most 10), %s other than 200/304 (none), %s generations in %s s\n' \
    "$(figure "$swap_result" rate)" "$(figure "$swap_result" p99)" "$(figure "$swap_result" failed)" $((seconds * 5)) "$seconds"
failed=$(($(figure "$swap_result" failed) + $(figure "$site_result" failed)))
[ "$failed" = 0 ] || { printf '%s requests failed\n' "$failed" >&2; exit 1; }
[ -z "${MATERIA_BENCH_SHORT:-}" ] || exit 0
awk "BEGIN { exit !($ratio >= 0.5 && $(figure "$swap_result" p99) < 10) }"
