#!/usr/bin/env bash
# Whether the site answers: for a container's health check, where there is no other client.
#
#   healthy.sh [PATH]        (/health, or /ready to ask whether it has something to serve; MATERIA_LISTEN says where it listens)
set -euo pipefail

address=${MATERIA_LISTEN:-127.0.0.1:8000}
host=${address%:*}
[ "$host" != 0.0.0.0 ] || host=127.0.0.1
exec 3<>"/dev/tcp/$host/${address##*:}"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "${1:-/health}" >&3
read -r -t 5 _ status _ <&3
[ "$status" = 200 ]
