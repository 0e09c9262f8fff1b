#!/usr/bin/env bash
# Does with its arguments what the official image's does, as far as a compose file can tell.
set -euo pipefail

case "${1:-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac
[ "${1:-}" = redis-server ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis: {} +
    exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi

# The official image is compiled without protected mode, which would refuse every other container. Debian's is not, so
# it is switched off here unless the arguments or the configuration file say something of it.
case " $* " in
    *" --protected-mode "*) ;;
    *) { [ -f "${2:-}" ] && grep -q '^ *protected-mode' "$2"; } || set -- "$@" --protected-mode no ;;
esac
exec "$@"
