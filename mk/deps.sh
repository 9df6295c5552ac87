#!/usr/bin/env bash
# deps.sh GROUP...: makes sure that the packages of the groups are installed.
# Silent and fast when nothing is missing. One line of the table a package:
# group, package (Debian and Ubuntu name), how its presence is seen: lib NAME
# (pkg-config), cmd NAME (a program in PATH) or file PATTERN.
set -euo pipefail

TABLE='
build build-essential       cmd  cc
build build-essential       cmd  make
build pkg-config            cmd  pkg-config
build libevent-dev          lib  libevent_core
build libhiredis-dev        lib  hiredis
build libcurl4-openssl-dev  lib  libcurl
build libjansson-dev        lib  jansson
build libsqlite3-dev        lib  sqlite3
build uuid-dev              lib  uuid
build libzstd-dev           lib  libzstd
build libinih-dev           lib  inih
build libssl-dev            lib  libcrypto
build libmimalloc-dev       file /usr/lib/*/libmimalloc.so
build redis-server          cmd  redis-server
test  libcmocka-dev         lib  cmocka
test  nodejs                cmd  node
test  npm                   cmd  npm
test  curl                  cmd  curl
test  jq                    cmd  jq
test  sqlite3               cmd  sqlite3
test  redis-tools           cmd  redis-cli
test  nginx-light           file /usr/sbin/nginx
test  python3-yaml          file /usr/lib/python3/dist-packages/yaml
lint  clang-format-14       cmd  clang-format-14
lint  pmccabe               cmd  pmccabe
fuzz  clang                 cmd  clang
'

groups=" $* "

# All libraries are asked for at once; only a miss costs one call each.
libraries_present() {
    command -v pkg-config >/dev/null &&
        pkg-config --exists "$@" 2>/dev/null
}

all_libraries=()
while read -r group package kind name; do
    [[ $kind == lib && $groups == *" $group "* ]] && all_libraries+=("$name")
done <<<"$TABLE"
if [[ ${#all_libraries[@]} == 0 ]] || libraries_present "${all_libraries[@]}"
then
    have_all_libraries=1
else
    have_all_libraries=0
fi

missing=()
while read -r group package kind name; do
    [[ -n $group && $groups == *" $group "* ]] || continue
    case $kind in
    lib) [[ $have_all_libraries == 1 ]] || libraries_present "$name" ;;
    cmd) command -v "$name" >/dev/null ;;
    file) compgen -G "$name" >/dev/null ;;
    esac || missing+=("$package")
done <<<"$TABLE"

[[ ${#missing[@]} -gt 0 ]] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

if ! command -v apt-get >/dev/null; then
    echo "longhaul needs these packages (Debian's names); this system has no" \
        "apt, so please install them and run this again:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
as_root=()
if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "longhaul needs these packages, and neither root nor sudo is" \
            "at hand to install them. As root, run:" >&2
        echo "  apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "installing through apt: ${missing[*]}" >&2
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
        --no-install-recommends "${missing[@]}" </dev/null >&2
}
# The package lists of a fresh machine are empty or old: refresh and try again.
install || {
    "${as_root[@]}" apt-get update -q </dev/null >&2
    install
}
