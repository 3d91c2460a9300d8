#!/usr/bin/env bats
# Every "sh" block of examples/cookbook.md runs as it stands, on the tiny
# model, in the order of the page: later blocks use the files of earlier ones.

load helper

# The tiny model seldom ends its turn by itself: all generations are cut.
short() {
	local tool
	mkdir short
	for tool in mr-sample mr-judge mr-metajudge mr-compare; do
		printf '#!/bin/sh\nexec "%s" "$@" --max-tokens 8\n' "$BIN/$tool" >"short/$tool"
	done
	chmod +x short/*
	PATH=$PWD/short:$PATH
}

# Writes block-001.sh, block-002.sh, …
cut_blocks() {
	awk '/^```sh$/ { n++; name = sprintf("block-%03d.sh", n); inside = 1; next }
		/^```/ { inside = 0; next }
		inside { print > name }' "$repo/examples/cookbook.md"
}

@test "every pipeline of the cookbook works" {
	local block
	short
	cut_blocks
	ln -s "$repo/pipelines" pipelines
	sed -n '1p;2p;6p;9p' "$repo/examples/prompts.jsonl" >prompts.jsonl
	jq -r .prompt prompts.jsonl >questions.txt
	printf '%s' "$(mr-sample -n 2 -q prompts.jsonl | sed -n 1,2p)" >half.jsonl
	printf '\n' >>half.jsonl
	[ "$(ls block-*.sh | wc -l)" -ge 30 ]
	export MR_BIN=$PWD/short
	for block in block-*.sh; do
		if ! bash -eo pipefail "$block" >out 2>err </dev/null; then
			cat "$block" err
			return 1
		fi
	done
	# what some of them promise
	[ "$(wc -l <half.jsonl)" -eq 4 ]
	[ "$(wc -l <parallel.jsonl)" -eq 4 ]
	[ "$(wc -l <preferences.jsonl)" -eq 4 ]
	[ -s next.gguf ]
	[ -s judge.gguf ]
	mr-eval mtbench -q --format json graded.jsonl | jq -e '.n == 4 and .turn_1 >= 1 and .turn_2 >= 1 and (.groups | length) == 2'
	grep -q '^# One iteration' report.md
}
