# shellcheck shell=bash
# What the scenarios share: helpers, and a server that the bootstrap has installed, with data and accounts.
set -uo pipefail
exec 2>&1
export LC_ALL=C.UTF-8 HOME=/root
bootstrap=/mnt/materia/infra/bootstrap_supervisor.sh
export python=/usr/bin/python3

section() { printf '== %s\n' "$1"; }
as_materia() { (cd /srv/materia/infra/beanflows && runuser -u materia -- "$@"); }
# Waits for up to a minute until a command succeeds.
await() { for _ in $(seq 600); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "in vain: $*"; return 1; }
site_is_ready() { curl --silent --fail --output /dev/null http://127.0.0.1:8000/ready; }
answers() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }

section bootstrap
BASE_URL=https://localhost SMTP_URL=smtp://127.0.0.1:9 SUPERVISOR_PIPELINES=export_serving "$bootstrap" --binary /mnt/build/materia
code=$?
echo "exit $code"
[ $code = 0 ] || { journalctl --no-pager --lines=100; exit 1; }
printf 'SUPERVISOR_PIPELINES=export_serving\nMATERIA_REQUESTS_PER_MINUTE=0\nMATERIA_SITE=http://127.0.0.1:8000\n' >> /etc/materia/env
install -o materia -g materia -m 600 /mnt/build/lakehouse.duckdb /data/materia/lakehouse.duckdb
as_materia materia export --quiet
as_materia materia users seed > /dev/null
systemctl restart materia-web materia-supervisor
await site_is_ready
