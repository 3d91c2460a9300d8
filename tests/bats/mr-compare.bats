#!/usr/bin/env bats
# mr-compare, as a user runs it, on the tiny model.

load helper

compare() {
	mr-compare -q --max-tokens 12 "$@"
}

# Six prompts with a response of each model.
two_models() {
	jq -nc 'range(6) | {id: "p\(.)", category: "c\(. % 2)", prompt: "Name a colour that goes with \(.).",
		responses: [{text: "Blue and \(.)."}, {text: "not this one"}]}' >base.jsonl
	jq -c '.responses[0].text = "Grün, wie \(.id)." | .dataset = "d"' base.jsonl >model.jsonl
}

@test "a preference, lengths in characters and two games for each prompt" {
	two_models
	compare --guided base.jsonl model.jsonl >out.jsonl
	all out.jsonl '(keys_unsorted == ["id", "category", "dataset", "preference", "len_1", "len_2", "games"])'
	all out.jsonl '[.games[].first] == ["baseline", "model"] and .dataset == "d"'
	all out.jsonl '.len_1 == 11 and .len_2 == 13'
	diff <(jq -r .id model.jsonl) <(jq -r .id out.jsonl)
}

@test "the preference is the mean of the two games: 1 the baseline, 2 the model, 1.5 a tie" {
	two_models
	compare --guided --temperature 5 base.jsonl model.jsonl >out.jsonl
	all out.jsonl '.games as $g | .preference ==
		([$g[].winner | {baseline: 1, model: 2, tie: 1.5}[.]] | add / 2)'
	# the first of the games shows the baseline as A, the second the model
	all out.jsonl '.games | all(.[]; .winner == (
		(if .first == "baseline" then {A: "baseline", B: "model"} else {A: "model", B: "baseline"} end + {tie: "tie"})
		[.text | capture("\n\nWinner: (?<w>A|B|tie)$").w]))'
	[ "$(jq .preference out.jsonl | sort -u | wc -l)" -gt 1 ]
}

@test "files the other way round: the other way round (greedy by default)" {
	two_models
	compare --guided base.jsonl model.jsonl >ab
	compare --guided model.jsonl base.jsonl >ba
	diff <(jq -c '[.id, 3 - .preference, .len_2, .len_1]' ab) <(jq -c '[.id, .preference, .len_1, .len_2]' ba)
}

@test "a model against itself is a draw, and nobody is asked" {
	two_models
	run --separate-stderr mr-compare -o out.jsonl base.jsonl base.jsonl
	assert_success
	all out.jsonl '.preference == 1.5 and .games == [] and .len_1 == .len_2'
	[[ $stderr == *"6 identical pairs not asked about"* ]]
}

@test "--protocol alpaca: the preference is the mean probability of the model's label" {
	two_models
	compare --protocol alpaca base.jsonl model.jsonl >ab
	all ab '(.games | length == 2 and all(.[]; (.text | test("^[AB]$")) and .preference > 1 and .preference < 2)) and
		(([.games[].preference] | add / 2) - .preference | fabs) < 1e-12'
	all ab '.games | all(.[]; .winner == (if .preference > 1.5 then "model" else "baseline" end) and
		(.text == "A") == (.winner == .first))'
	compare --protocol alpaca model.jsonl base.jsonl >ba
	diff <(jq -c '[.id, ((3 - .preference) * 1e9 | round)]' ab) <(jq -c '[.id, (.preference * 1e9 | round)]' ba)
	compare --protocol alpaca base.jsonl base.jsonl | mr-eval winrate -q >self.json
	[ "$(jq .win_rate self.json)" = 50 ]
	mr-eval lc -q ab | jq -e '.n_total == 6'
}

@test "--protocol arena: five verdicts, that mr-eval arena reads, with their style" {
	two_models
	compare --protocol arena --guided --temperature 5 base.jsonl model.jsonl >out
	all out '.games | all(.[]; .guided and .label == (.text | capture("\n\nVerdict: (?<l>[AB=>]+)$").l) and .winner == (
		if .label == "A=B" then "tie" elif (.label[:1] == "A") == (.first == "model") then "model" else "baseline" end))'
	all out '.headers_1 == 0 and .lists_2 == 0 and .bold_2 == 0'
	mr-eval arena -q --style out | jq -e '.games == 12 and .unjudged == 0 and .lower <= .upper'
	compare --protocol arena base.jsonl model.jsonl | jq -se 'all(.[]; .games | all(.[]; .label == null and .winner == null))'
	run -1 compare --protocol other base.jsonl model.jsonl
	assert_output --partial 'none of winner, alpaca, arena'
}

@test "no verdict in either order: the preference is null" {
	two_models
	compare base.jsonl model.jsonl >out.jsonl
	all out.jsonl '.preference == null and (.games | length == 2 and all(.[]; .winner == null))'
}

@test "joined by id, in MODEL's order; what is missing in BASELINE fails" {
	two_models
	tac model.jsonl >reversed.jsonl
	compare --guided base.jsonl reversed.jsonl | tac >a
	compare --guided base.jsonl model.jsonl | cmp - a
	sed 2d base.jsonl >short.jsonl
	run -2 --separate-stderr compare --guided short.jsonl model.jsonl
	[ "${#lines[@]}" -eq 5 ]
	assert_equal "$stderr" "mr-compare: model.jsonl:2: the id \"p1\" is not in the baseline's file"
	# the other way round nothing is wrong; it is said in the summary
	sed 2d model.jsonl >fewer.jsonl
	run --separate-stderr mr-compare --guided --max-tokens 4 -o out base.jsonl fewer.jsonl
	assert_success
	[[ $stderr == *"1 of the baseline's records were not compared"* ]]
}

@test "a field \"response\" or \"output\" does as well" {
	two_models
	compare --guided base.jsonl model.jsonl | jq -c 'del(.dataset)' >a
	jq -c '{id, category, prompt, response: .responses[0].text}' base.jsonl >base2.jsonl
	jq -c '{id, category, prompt, output: .responses[0].text}' model.jsonl >model2.jsonl
	compare --guided base2.jsonl model2.jsonl | jq -c . | cmp - a
}

@test "the same id with another prompt, the same id twice, a bad line" {
	two_models
	jq -c 'if .id == "p3" then .prompt = "Another." else . end' base.jsonl >other.jsonl
	run -2 --separate-stderr compare --guided other.jsonl model.jsonl
	[[ $stderr == 'mr-compare: model.jsonl:4: the prompt is not the one'* ]]
	cat base.jsonl base.jsonl >twice.jsonl
	run -3 compare twice.jsonl model.jsonl
	assert_output 'mr-compare: twice.jsonl: the id "p0" is there twice'
	{ echo nonsense; cat base.jsonl; } >bad.jsonl
	run -2 --separate-stderr compare --guided bad.jsonl model.jsonl
	[[ $stderr == 'mr-compare: bad.jsonl:1: '* ]]
	[ "${#lines[@]}" -eq 6 ]
	run -3 compare /dev/null model.jsonl
	assert_output --partial '/dev/null'
}

@test "the manifest has both inputs' hashes" {
	two_models
	compare --guided -o out.jsonl base.jsonl model.jsonl
	assert_equal "$(jq -r .baseline.sha256 out.jsonl.manifest.json)" "$(sha256sum <base.jsonl | cut -d ' ' -f 1)"
	assert_equal "$(jq -r .input.sha256 out.jsonl.manifest.json)" "$(sha256sum <model.jsonl | cut -d ' ' -f 1)"
	assert_equal "$(jq -c .input.files out.jsonl.manifest.json)" '["model.jsonl"]'
}

@test "two files are wanted" {
	two_models
	run -1 mr-compare base.jsonl
	assert_output --partial 'usage: mr-compare'
	run -1 mr-compare
	run -1 mr-compare base.jsonl model.jsonl model.jsonl
	run -3 mr-compare base.jsonl absent.jsonl
	assert_output --partial 'absent.jsonl'
}

@test "--help tells every option, and the manual tells the same" {
	same_options mr-compare
}
