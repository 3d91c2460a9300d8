#!/usr/bin/env bats
# mr-prompts, as a user runs it, on the tiny model. What it writes seldom
# ends by itself, so a try may give nothing; with these settings some do.

load helper

seeds() {
	jq -nc 'range(10) | {id: "s\(.)", prompt: "Explain the number \(.) to a child."}'
}

new() {
	mr-prompts -q --max-tokens 400 --max-chars 100000 "$@"
}

@test "new prompts, as many as wanted, with ids of their own" {
	seeds >seeds.jsonl
	new -n 4 seeds.jsonl >out.jsonl
	[ "$(wc -l <out.jsonl)" -eq 4 ]
	all out.jsonl '(keys_unsorted == ["id", "prompt"]) and (.id | test("^new-[0-9]+$")) and (.prompt | length) > 0'
	[ "$(jq -r .id out.jsonl | sort -u | wc -l)" -eq 4 ]
	# in the order of their numbers
	jq -r .id out.jsonl | cut -c 5- | sort -nc
	new -n 2 --prefix gen.1 seeds.jsonl | jq -r .id >ids
	grep -Eqx 'gen\.1-[0-9]+' ids
}

@test "no matter how many run side by side, and how many are wanted" {
	seeds >seeds.jsonl
	new -n 4 seeds.jsonl >out.jsonl
	new -n 4 --batch 1 seeds.jsonl | cmp - out.jsonl
	new -n 4 --batch 7 -t 1 seeds.jsonl | cmp - out.jsonl
	new -n 2 seeds.jsonl | cmp - <(head -n 2 out.jsonl)
	new -n 4 --seed 1 seeds.jsonl >other
	run ! cmp -s other out.jsonl
}

@test "--resume goes on behind the last one" {
	seeds >seeds.jsonl
	new -n 4 seeds.jsonl >out.jsonl
	head -n 2 out.jsonl >part
	new -n 4 --resume part seeds.jsonl >>part
	cmp part out.jsonl
	# with -o the same file, and with none yet
	new -n 4 --resume fresh -o fresh seeds.jsonl
	cmp fresh out.jsonl
	head -n 2 out.jsonl >fresh
	new -n 4 --resume fresh -o fresh seeds.jsonl
	cmp fresh out.jsonl
	# where a line was torn, as a kill may leave it
	{ head -n 2 out.jsonl; sed -n 3p out.jsonl | head -c 20; } >part
	new -n 4 --resume part seeds.jsonl >>part
	cmp part out.jsonl
}

@test "near duplicates of a seed or of an earlier one are dropped" {
	seeds >seeds.jsonl
	new -n 3 seeds.jsonl >out.jsonl
	# a first new prompt that is a seed already
	{ cat seeds.jsonl; head -n 1 out.jsonl | jq -c '.id = "s10"'; } >more.jsonl
	new -n 3 --shots 3 more.jsonl >again.jsonl
	run ! grep -Fqf <(jq -c .prompt more.jsonl) <(jq -c .prompt again.jsonl)
	# everything is a near duplicate where 0 is too much
	run -3 mr-prompts --max-tokens 400 -n 1 --max-tries 5 --max-rouge 0 --max-chars 100000 seeds.jsonl
	assert_output --regexp 'no new prompt: 0 kept of 5 tries \([1-5] near duplicates'
}

@test "prompts that are cut off or too long are dropped" {
	seeds >seeds.jsonl
	run -3 mr-prompts -n 1 --max-tries 3 --max-tokens 1 seeds.jsonl
	assert_output --partial '3 cut off'
	run -3 mr-prompts -n 1 --max-tries 6 --max-tokens 400 --max-chars 1 seeds.jsonl
	assert_output --partial 'too long'
}

@test "fewer than wanted: what there is is written, the status is 2" {
	seeds >seeds.jsonl
	new -n 1 seeds.jsonl >one
	local tries
	tries=$(($(jq -r .id one | cut -c 5-) + 1))
	run -2 --separate-stderr new -n 5 --max-tries "$tries" seeds.jsonl
	assert_equal "$output" "$(<one)"
	assert_equal "$stderr" 'mr-prompts: only 1 of 5 prompts; more seeds, --max-tries or --max-rouge give more'
}

@test "seeds: a conversation's first turn counts; a bad one is reported; none at all is an error" {
	{
		seeds
		echo '{"id":"c","messages":[{"role":"user","content":"A."},{"role":"assistant","content":"B."},{"role":"user","content":"C."}]}'
		echo '{"id":"bad"}'
	} >seeds.jsonl
	run -2 --separate-stderr new -n 1 seeds.jsonl
	[[ $stderr == 'mr-prompts: seeds.jsonl:12: "prompt"'*'is missing' ]]
	run -3 new -n 1 <<<'{"id":"bad"}'
	assert_output --partial 'there are no seed prompts'
	echo '{"id":"new-3","prompt":"p"}' >mine.jsonl
	run -1 new -n 1 mine.jsonl
	assert_output --partial 'choose another prefix'
}

@test "--template needs {{examples}}" {
	seeds >seeds.jsonl
	printf 'More like these:\n\n{{examples}}\n' >own.txt
	new -n 1 --template own.txt seeds.jsonl >own
	[ "$(wc -l <own)" -eq 1 ]
	echo 'Write a prompt.' >none.txt
	run -3 new --template none.txt seeds.jsonl
	assert_output --partial 'examples'
}

@test "--help tells every option, and the manual tells the same" {
	same_options mr-prompts
}
