#!/bin/sh
# setup.sh [--tests] [PACKAGE]...
#
# Installs what building, testing and the demo need and this machine lacks,
# by package name, as root or through sudo without a password. Where neither
# is possible it prints the one command to run and stops with status 1.
# Where all is there (the usual case) no package tool is called.
# Packages named as operands are wanted as well; with --tests so are those
# without which some tests are skipped.
set -eu

tests=
[ "${1-}" != --tests ] || { shift; tests='rsync openssh-client openssh-server curl openssl openmpi-bin libopenmpi-dev'; }

# libc6-dev is only recommended by gcc, and recommendations are left out below.
wanted="gcc libc6-dev libcjson-dev libopenblas-dev libcurl4-openssl-dev
	parallel jq gnuplot-nox bats bats-assert bats-support man-db $tests $*"

say()
{
	printf 'setup: %s\n' "$*" >&2
}

missing_packages()
{
	there=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 2>/dev/null | sed -n 's/ installed$//p')
	for p in $wanted; do
		printf '%s\n' "$there" | grep -qxF "$p" || printf ' %s' "$p"
	done
}

# Other systems name their packages otherwise: look for the programs.
missing_programs()
{
	for p in gcc parallel jq gnuplot bats; do
		command -v "$p" >/dev/null || printf ' %s' "$p"
	done
}

if ! command -v dpkg-query >/dev/null; then
	missing=$(missing_programs)
	[ -z "$missing" ] && exit 0
	say "this is no Debian system; please install:$missing, and the C headers of cJSON, OpenBLAS and libcurl"
	exit 1
fi

missing=$(missing_packages)
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
	as_root='env'
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root='sudo -n env'
else
	say "these packages are missing:$missing"
	say "they can be installed with this command:"
	printf 'sudo sh -c '\''apt-get update && apt-get install --no-install-recommends -y%s'\''\n' "$missing" >&2
	exit 1
fi

install()
{
	# $as_root and $missing are lists of words
	# shellcheck disable=SC2086
	$as_root DEBIAN_FRONTEND=noninteractive apt-get install \
		-o DPkg::Lock::Timeout=300 --no-install-recommends -y -q \
		$missing </dev/null >&2
}

say "installing$missing"
# A fresh machine has no package lists, an old one may have stale ones;
# otherwise there is nothing to update.
if ! install; then
	say "updating the package lists"
	# shellcheck disable=SC2086
	$as_root DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null >&2
	install
fi
