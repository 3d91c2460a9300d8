#!/usr/bin/env bats
# pipelines/setup.sh on a machine that lacks packages: dpkg-query, apt-get,
# sudo and id are stand-ins that tell what they were asked.

load helper

# No tool and no model is needed here.
setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

stand_in() {
	cat >"bin/$1"
	chmod +x "bin/$1"
}

# A machine with all packages but those named.
lacking() {
	local p
	mkdir -p bin
	for p in gcc libc6-dev libcjson-dev libopenblas-dev libcurl4-openssl-dev parallel jq gnuplot-nox \
		bats bats-assert bats-support man-db; do
		[[ " $* " == *" $p "* ]] || echo "$p installed"
	done >installed
	echo 'python3 not-installed' >>installed
	stand_in dpkg-query <<-'SH'
		#!/bin/sh
		cat installed
	SH
	# as on a fresh machine: nothing can be found before an update
	stand_in apt-get <<-'SH'
		#!/bin/sh
		echo "$DEBIAN_FRONTEND $*" >>asked
		case $1 in
		update) touch updated ;;
		install) [ -e updated ] ;;
		esac
	SH
	stand_in id <<-'SH'
		#!/bin/sh
		cat uid 2>/dev/null || echo 0
	SH
	stand_in sudo <<-'SH'
		#!/bin/sh
		[ -e sudo-works ] || exit 1
		[ "$1" = -n ] || exit 1
		shift
		echo sudo >>asked
		exec "$@"
	SH
	PATH=$PWD/bin:$PATH
}

@test "where all is there, nothing is called" {
	lacking
	run "$repo/pipelines/setup.sh"
	assert_success
	assert_output ''
	[ ! -e asked ]
}

@test "as root: what is missing is installed by name, the lists being updated only where need be" {
	lacking jq libcjson-dev
	touch updated
	run "$repo/pipelines/setup.sh"
	assert_success
	run cat asked
	assert_line --index 0 --regexp '^noninteractive install .*--no-install-recommends .* libcjson-dev jq$'
	refute_line --partial update

	rm asked updated
	run "$repo/pipelines/setup.sh"
	assert_success
	run cat asked
	assert_line --index 0 --partial 'install'
	assert_line --index 1 --partial 'noninteractive update'
	assert_line --index 2 --regexp '^noninteractive install .* libcjson-dev jq$'
}

@test "packages named as operands are wanted too" {
	lacking
	touch updated
	run "$repo/pipelines/setup.sh" python3-pip
	assert_success
	run cat asked
	assert_output --regexp ' python3-pip$'
}

@test "--tests: and what some tests are skipped without" {
	lacking jq
	touch updated
	run "$repo/pipelines/setup.sh" --tests python3-pip
	assert_success
	run cat asked
	assert_output --regexp ' jq rsync openssh-client .* libopenmpi-dev python3-pip$'
}

@test "no root, but sudo" {
	lacking gcc
	touch updated sudo-works
	echo 1000 >uid
	run "$repo/pipelines/setup.sh"
	assert_success
	run cat asked
	assert_line sudo
	assert_line --regexp '^noninteractive install .* gcc$'
}

@test "neither: the one command is printed, and nothing is called" {
	lacking gcc parallel
	echo 1000 >uid
	run "$repo/pipelines/setup.sh"
	assert_failure 1
	assert_line "sudo sh -c 'apt-get update && apt-get install --no-install-recommends -y gcc parallel'"
	[ ! -e asked ]
}

@test "what cannot be installed is a failure" {
	lacking gcc
	stand_in apt-get <<<'#!/bin/sh
exit 100'
	run "$repo/pipelines/setup.sh"
	assert_failure 100
}
