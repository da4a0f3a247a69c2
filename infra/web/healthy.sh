#!/usr/bin/env bash
# Succeeds if the site or the PostgreSQL endpoint answers: for a container's health check, where there is no other HTTP client.
#
#   healthy.sh [PATH]        (default /health; /ready also checks that there is data to serve; MATERIA_LISTEN is the site's address)
#   healthy.sh postgres      (MATERIA_POSTGRES_LISTEN is the endpoint's address)
set -euo pipefail

if [ "${1:-}" = postgres ]; then
    address=${MATERIA_POSTGRES_LISTEN:-127.0.0.1:5433}
    host=${address%:*}
    [ "$host" != 0.0.0.0 ] || host=127.0.0.1
    exec 3<>"/dev/tcp/$host/${address##*:}"
    # The request for encryption, which is answered by one letter.
    printf '\0\0\0\010\004\322\026\057' >&3
    read -r -t 5 -n 1 letter <&3
    [[ $letter = [SN] ]]
    exit
fi
address=${MATERIA_LISTEN:-127.0.0.1:8000}
host=${address%:*}
[ "$host" != 0.0.0.0 ] || host=127.0.0.1
exec 3<>"/dev/tcp/$host/${address##*:}"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "${1:-/health}" >&3
read -r -t 5 _ status _ <&3
[ "$status" = 200 ]
