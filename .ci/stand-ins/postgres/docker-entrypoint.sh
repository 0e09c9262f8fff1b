#!/usr/bin/env bash
# Does with its arguments and environment what the official image's does, as far as a compose file can tell.
set -euo pipefail

case "${1:-}" in
    -*) set -- postgres "$@" ;;
esac
[ "${1:-}" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
    install -d -m 700 "$PGDATA"
    chown -R postgres: "$PGDATA"
    export HOME=/var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

# NAME, or what is in the file that NAME_FILE names, which is how secrets come.
setting() {
    local file=${1}_FILE
    if [ -n "${!file:-}" ]; then cat "${!file}"; else printf '%s' "${!1:-$2}"; fi
}

make_data() {
    local user password database sql=(psql --no-psqlrc --quiet --no-password -v ON_ERROR_STOP=1)
    user=$(setting POSTGRES_USER postgres)
    password=$(setting POSTGRES_PASSWORD "")
    database=$(setting POSTGRES_DB "$user")
    if [ -z "$password" ]; then
        echo "error: the database is empty, and POSTGRES_PASSWORD gives no password for its superuser" >&2
        exit 1
    fi
    # Word splitting is how the official image passes several arguments in one variable.
    # shellcheck disable=SC2086
    initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"

    # On the socket alone, so that nobody who waits for the port meets a server that is about to stop.
    pg_ctl -o "-c listen_addresses=''" -w start
    export PGHOST=/var/run/postgresql PGUSER="$user"
    if [ "$database" != postgres ]; then
        "${sql[@]}" --dbname=postgres -v database="$database" <<<'CREATE DATABASE :"database"'
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) bash "$script" ;;
            *.sql) "${sql[@]}" --dbname="$database" --file="$script" ;;
        esac
    done
    pg_ctl -m fast -w stop
    unset PGHOST PGUSER
    echo "PostgreSQL init process complete; ready for start up."
}

[ -s "$PGDATA/PG_VERSION" ] || make_data
exec "$@"
