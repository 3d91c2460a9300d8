#!/usr/bin/env bats
# mr-eval, as a user runs it: no model is needed.

load helper
set -o pipefail

# is FILTER [FILE]: the input is one value for which jq's filter is true
is() {
	local filter=$1
	shift
	jq -se "length == 1 and (.[0] | ($filter))" "$@"
}

preferences() {
	cat <<-'EOF'
	{"id":"1","kind":"a","preference":1,"len_1":10,"len_2":7}
	{"id":"2","kind":"a","preference":2,"len_1":20,"len_2":8}
	{"id":"3","kind":"b","preference":1.5,"output_1":"äö","output_2":"äöü"}
	{"id":"4","kind":"b","preference":null,"len_1":4,"len_2":4}
	{"id":"5","preference":1.9,"len_1":5,"len_2":8}
	EOF
}

@test "winrate: win rate, standard error, wins and draws by hand" {
	# 0, 1, 0.5, 0.9: mean 0.6, squared deviations 0.36 + 0.16 + 0.01 + 0.09 = 0.62
	preferences | mr-eval winrate -q >out.json
	is '(.win_rate - 60 | fabs) < 1e-9 and (.standard_error - 100 * (0.62 / 3 / 4 | sqrt) | fabs) < 1e-9 and
		.n_wins == 2 and .n_wins_base == 1 and .n_draws == 1 and .n_total == 4 and .n_unjudged == 1 and
		.discrete_win_rate == 62.5 and .avg_length == 6' out.json
}

@test "winrate: the numbers of alpaca_eval" {
	local golden=${MR_GOLDEN:-$repo/../shared/golden}/alpacaeval m
	[ -e "$golden/expected.json" ] || skip "no golden data here"
	for m in "$golden"/*.lengths.jsonl; do
		m=$(basename "$m" .lengths.jsonl)
		mr-eval winrate -q "$golden/$m.lengths.jsonl" |
			jq -se --arg m "$m" --slurpfile want "$golden/expected.json" '.[0] as $got | $want[0][$m] | . as $want |
				all("win_rate", "standard_error", "discrete_win_rate", "n_wins", "n_draws", "n_total", "avg_length";
					($want[.] - $got[.] | fabs) < 1e-9)' || { echo "$m"; return 1; }
	done
}

@test "winrate: by groups, and in every format" {
	preferences | mr-eval winrate -q --by kind >out.json
	is '.n_total == 4 and .by == "kind" and (.groups | map([.group, .n_total, .n_unjudged]) ==
		[["(none)", 1, 0], ["a", 2, 0], ["b", 1, 1]])' out.json
	preferences | mr-eval winrate -q --by kind --format tsv >out.tsv
	[ "$(head -n 1 out.tsv | cut -f 1-3)" = $'kind\twin_rate\tstandard_error' ]
	[ "$(cut -f 1 out.tsv | tr '\n' ' ')" = 'kind all (none) a b ' ]
	[ "$(awk -F'\t' '{ print NF }' out.tsv | sort -u)" = 10 ]
	[ "$(sed -n 3p out.tsv | cut -f 3)" = NA ]
	preferences | mr-eval winrate -q --by kind --format markdown | sed -n 2p | grep '^|---|---:|'
	preferences | mr-eval winrate -q --format table | grep -E '^win_rate +60'
	preferences | mr-eval winrate -q | is '(.win_rate - 60 | fabs) < 1e-9'
}

@test "winrate: a scale from 0 to 1, winners by name" {
	printf '{"id":%d,"preference":%s}\n' 1 0 2 1 3 0.5 4 0.25 | mr-eval winrate -q --scale 0-1 |
		is '.win_rate == 43.75 and .n_wins == 1 and .n_wins_base == 2 and .n_draws == 1'
	printf '{"id":%d,"winner":%s}\n' 1 '"model"' 2 '"baseline"' 3 '"tie"' 4 null 5 '"model"' | mr-eval winrate -q |
		is '.win_rate == 62.5 and .n_total == 4 and .n_unjudged == 1 and .avg_length == null'
	# alpaca_eval's old mark of a draw
	echo '{"id":1,"preference":0}' | mr-eval winrate -q | is '.n_draws == 1 and .standard_error == null'
}

@test "winrate: what is no preference fails with one line" {
	{
		echo '{"id":1,"preference":3}'
		echo '{"id":2,"preference":0.4}'
		echo '{"id":3,"preference":"1"}'
		echo '{"id":4}'
		echo '{"id":5,"winner":"me"}'
		echo '{"id":6,"preference":2,"output_2":"a\u0000"}'
		echo '{"id":7,"preference":2}'
	} >in.jsonl
	run -2 --separate-stderr mr-eval winrate -q --rejects rejects in.jsonl
	[ "$(jq .n_total <<<"$output")" = 1 ]
	head -n 6 in.jsonl | cmp - rejects
	run -0 printf '%s\n' "$stderr"
	assert_line 'mr-eval: in.jsonl:1: "preference" is 3, not from 1 to 2'
	assert_line 'mr-eval: in.jsonl:2: "preference" is 0.4, not from 1 to 2; is it --scale 0-1?'
	assert_line 'mr-eval: in.jsonl:4: "preference" is missing; run mr-compare first'
	assert_line --partial 'in.jsonl:6: '
}

# battles N: N judged preferences of one model and one baseline
battles() {
	jq -nc --argjson n "$1" 'range($n) | {id: "\(.)", dataset: (if . % 3 == 0 then "a" else "b" end), generator_1: "base",
		generator_2: "model", len_1: (500 + . * 37 % 900), len_2: (300 + . * 91 % 1500), preference: (1 + . * 17 % 101 / 100)}'
}

difficulties() {
	jq -nc --argjson n "$1" 'range($n) | {id: "\(.)", difficulty: (. * 29 % 50 / 20 - 1)}'
}

@test "lc: the numbers of alpaca_eval, from lengths and from texts" {
	local golden=${MR_GOLDEN:-$repo/../shared/golden}/alpacaeval f m
	[ -e "$golden/expected.json" ] || skip "no golden data here"
	for f in "$golden"/*.lengths.jsonl "$golden"/*.full.jsonl; do
		m=$(basename "$f") m=${m%.lengths.jsonl} m=${m%.full.jsonl}
		for formula in minimal noreg v1; do
			mr-eval lc -q --formula $formula --difficulty "$golden/instruction_difficulty.jsonl" \
				--gamed "$golden/gamed_substitute.jsonl" "$f" |
				jq -se --arg m "$m" --arg f "length_controlled_$formula" --slurpfile want "$golden/expected.json" '
					.[0] as $got | $want[0][$m] | . as $want |
					($want[$f] - $got.length_controlled_winrate | fabs) < 1e-6 and
					($want[$f + "_se"] - $got.lc_standard_error | fabs) < 1e-6 and
					all("win_rate", "standard_error", "discrete_win_rate", "n_wins", "n_draws", "n_total", "avg_length";
						($want[.] - $got[.] | fabs) < 1e-9)' || { echo "$f $formula"; return 1; }
		done
	done
}

@test "lc: names, groups, formats, the default formula" {
	battles 40 >in.jsonl
	difficulties 40 >d.jsonl
	mr-eval lc -q in.jsonl >out.json
	is 'keys_unsorted == ["win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "n_unjudged",
		"discrete_win_rate", "avg_length", "length_controlled_winrate", "lc_standard_error", "weight_length",
		"weight_difficulty", "weight_model", "C"] and .weight_difficulty == null' out.json
	# minimal: every prediction is sigma(model)
	is '(.length_controlled_winrate - 100 / (1 + (-.weight_model | exp)) | fabs) < 1e-9 and .lc_standard_error < 1e-9' out.json
	mr-eval winrate -q in.jsonl | jq -se '.[0] as $w | .[1] | $w == with_entries(select(.key | in($w)))' - out.json
	mr-eval lc -q --formula length_controlled_noreg --difficulty d.jsonl in.jsonl >noreg.json
	mr-eval lc -q --difficulty d.jsonl in.jsonl | cmp - noreg.json
	jq -c 'del(.id) + {index: (.id | tonumber)}' d.jsonl >index.jsonl
	mr-eval lc -q --difficulty index.jsonl in.jsonl | cmp - noreg.json
	mr-eval lc -q --by dataset --difficulty d.jsonl in.jsonl >by.json
	is '(.groups | map([.group, .n_total, .C]) == [["a", 14, null], ["b", 26, null]]) and
		((14 * .groups[0].length_controlled_winrate + 26 * .groups[1].length_controlled_winrate) / 40
			- .length_controlled_winrate | fabs) < 1e-9' by.json
	mr-eval lc -q --difficulty d.jsonl --format table in.jsonl | grep -E '^length_controlled_winrate +[0-9.]+$'
	[ "$(mr-eval lc -q --by dataset --format tsv in.jsonl | awk -F'\t' '{ print NF }' | sort -u)" = 16 ]
	mr-eval lc -q --by dataset --format markdown in.jsonl | sed -n 2p | grep '^|---|---:|'
	mr-eval lc -q --scale 0-1 <(jq -c '.preference -= 1' in.jsonl) | jq -se '.[0].length_controlled_winrate - .[1].length_controlled_winrate | fabs < 1e-6' - out.json
	mr-eval lc -q -o o.json --difficulty d.jsonl in.jsonl
	cmp o.json noreg.json
	is '.report == "lc" and .difficulty.sha256 and .formula == "noreg"' o.json.manifest.json
}

@test "lc: a model against itself wins half; unjudged records are predicted" {
	battles 3 | jq -c '.generator_2 = "base" | .len_2 = .len_1' | mr-eval lc -q |
		is '.length_controlled_winrate == 50 and .lc_standard_error == 0 and .C == null'
	battles 40 | jq -c 'if .id == "7" then .preference = null else . end' >in.jsonl
	mr-eval lc -q in.jsonl | is '.n_total == 39 and .n_unjudged == 1 and .length_controlled_winrate > 0'
	# equal lengths everywhere: nothing to control for, and no reason to fail
	battles 40 | jq -c '.len_2 = .len_1' | mr-eval lc -q | is '.weight_length == 0 and .length_controlled_winrate > 0'
}

@test "lc: what is wrong has one line each and the right status" {
	battles 40 >in.jsonl
	difficulties 40 >d.jsonl
	run -2 --separate-stderr mr-eval lc -q <(sed '3s/"preference":[0-9.]*/"preference":2.5/' in.jsonl)
	[ "$(jq .n_total <<<"$output")" = 39 ]
	[[ $stderr == *':3: "preference" is 2.5, not from 1 to 2' ]]
	run -2 --separate-stderr mr-eval lc -q <(cat in.jsonl <(head -n 1 in.jsonl))
	[ "$(jq .n_total <<<"$output")" = 40 ]
	[[ $stderr == *':41: the id "0" was there before; ids must differ' ]]
	run -2 --separate-stderr mr-eval lc -q --difficulty <(sed 5d d.jsonl) in.jsonl
	[ "$(jq .n_total <<<"$output")" = 39 ]
	[ "$stderr" = 'mr-eval: in.jsonl:5: the id "4" has no difficulty' ]
	run -2 --separate-stderr mr-eval lc -q <(sed '4s/"len_1":[0-9]*,//' in.jsonl)
	[[ $stderr == *':4: "len_1" is missing, and "output_1" too' ]]
	run -3 mr-eval lc -q <(sed '9s/"base"/"other"/' in.jsonl)
	assert_output --partial ':9: "generator_1" is "other", before it was "base"; one model against one baseline at a time'
	[ "${#lines[@]}" = 1 ]
	run -3 mr-eval lc -q <(sed '9s/"generator_2":"model",//' in.jsonl)
	assert_output --partial ':9: "generator_2" is missing, before it was "model"'
	run -3 mr-eval lc -q <(head -n 4 in.jsonl)
	assert_output 'mr-eval: 4 judged records are too few: cross-validation has 5 folds'
	run -3 mr-eval lc -q <(jq -c '.len_2 = .len_1 + 5' in.jsonl)
	assert_output 'mr-eval: all lengths differ by -5; the length cannot be told from the model'
	run -3 mr-eval lc -q --difficulty <(cat d.jsonl d.jsonl) in.jsonl
	assert_output --partial ':41: the id "0" was there before'
	run -3 mr-eval lc -q --difficulty /nowhere in.jsonl
	assert_output --partial '/nowhere'
	run -3 mr-eval lc -q --gamed in.jsonl in.jsonl
	assert_output 'mr-eval: in.jsonl:1: "difficulty" is missing'
	run -3 mr-eval lc -q </dev/null
	run -1 mr-eval lc --formula v1 in.jsonl
	assert_output --partial -- '--formula v1 needs --gamed'
	run -1 mr-eval lc --formula noreg in.jsonl
	run -1 mr-eval lc --formula v2 in.jsonl
	run -1 mr-eval winrate --difficulty d.jsonl in.jsonl
	assert_output --partial 'are for the report lc'
}

@test "lengths: of responses and of preferences, in code points" {
	echo '{"id":1,"responses":[{"text":"äöü"},{"text":"a"}]}' | mr-eval lengths -q |
		is '. == {n: 2, mean: 2, sd: (2 | sqrt), min: 1, max: 3}'
	preferences | mr-eval lengths -q --by kind |
		is '.n == 5 and .mean == 6 and .base_min == 2 and .base_max == 20 and (.groups[1] | .n == 2 and .mean == 7.5 and .base_mean == 15)'
	run -3 mr-eval lengths -q <<<'{"id":1}'
	assert_output --partial 'run mr-sample first'
}

@test "judge: parse rate, guided share, distribution, entropy" {
	cat >in.jsonl <<-'EOF'
	{"id":1,"responses":[{"text":"a","score":3,"score_var":1,"judgments":[{"text":"x","score":4},{"text":"x","score":2,"guided":true},{"text":"x","score":null}]},{"text":"b","score":1.5,"score_var":0,"judgments":[{"text":"x","score":1.5}]}]}
	{"id":2,"responses":[{"text":"a","score":null,"score_var":null,"judgments":[{"text":"x","score":null}]},{"text":"b","score":5,"judgments":[{"text":"x","score":5}]}]}
	EOF
	mr-eval judge -q in.jsonl >out.json
	is '.records == 2 and .responses == 4 and .judgments == 6 and .parsed == 4 and .guided == 1 and
		(.parse_rate - 400 / 6 | fabs) < 1e-9 and [.score_0, .score_1, .score_2, .score_3, .score_4, .score_5] == [0, 0, 2, 0, 1, 1] and
		.entropy == 1.5 and .score_mean == 3.125 and (.response_score_mean - 9.5 / 3 | fabs) < 1e-9 and .score_var_mean == 0.5' out.json
	jq -c '.responses[0] |= del(.judgments)' in.jsonl >bad.jsonl
	run -3 mr-eval judge -q bad.jsonl
	assert_output --partial '"judgments" is missing; run mr-judge first'
}

@test "meta: position, ties, and whether the higher score wins" {
	cat >in.jsonl <<-'EOF'
	{"id":1,"responses":[{"text":"a","judgments":[{"text":"x","score":4},{"text":"y","score":2},{"text":"z","score":4}]}],"meta":{"response":0,"battles":[{"first":0,"second":1,"winner":"first"},{"first":1,"second":0,"winner":"first","guided":true},{"first":0,"second":2,"winner":"first"},{"first":2,"second":0,"winner":"second"},{"first":1,"second":2,"winner":"tie"},{"first":2,"second":1,"winner":null},{"first":1,"second":2,"winner":"second"},{"first":2,"second":0,"winner":"first"}]}}
	{"id":2,"responses":[{"text":"a"}],"meta":null}
	EOF
	mr-eval meta -q in.jsonl >out.json
	is '.records == 2 and .compared == 1 and .battles == 8 and .win_first == 4 and .win_second == 2 and .ties == 1 and .unparsed == 1 and
		.tie_rate == 12.5 and .parse_rate == 87.5 and .guided == 1 and (.omega1 - 2 / 6 | fabs) < 1e-9 and (.omega2 - 4 / 6 | fabs) < 1e-9 and
		.higher_n == 3 and (.higher_rate - 200 / 3 | fabs) < 1e-9 and .equal_n == 3 and (.equal_first_rate - 200 / 3 | fabs) < 1e-9' out.json
	run -3 mr-eval meta -q <<<'{"id":1}'
	assert_output --partial 'run mr-metajudge first'
}

@test "pairs: by role, lengths, how often the chosen one is longer" {
	cat >in.jsonl <<-'EOF'
	{"id":"1/actor","role":"actor","prompt":[{"role":"system","content":"ab"},{"role":"user","content":"cd"}],"chosen":[{"role":"assistant","content":"äöü"}],"rejected":[{"role":"assistant","content":"a"}]}
	{"id":"2/actor","role":"actor","prompt":"abcd","chosen":"a","rejected":"bc"}
	{"id":"1/judge","role":"judge","prompt":[{"role":"user","content":"x"}],"chosen":[{"role":"assistant","content":"yy"}],"rejected":[{"role":"assistant","content":"z"}]}
	EOF
	mr-eval pairs -q in.jsonl >out.json
	is '.pairs == 3 and .by == "role" and (.groups | map([.group, .pairs, .prompt_mean, .chosen_mean, .rejected_mean, .chosen_longer_rate]) ==
		[["actor", 2, 4, 2, 1.5, 50], ["judge", 1, 1, 2, 1, 100]])' out.json
	run -3 mr-eval pairs -q <<<'{"id":1,"prompt":"x","chosen":"y"}'
	assert_output --partial '"rejected"'
}

@test "the same id may come twice; --by cannot group by an object" {
	printf '{"id":1,"m":"%s","preference":2}\n' a b | mr-eval winrate -q --by m | is '.groups | length == 2'
	printf '{"id":1,"m":%s,"preference":2}\n' 7 7.0 true | mr-eval winrate -q --by m | is '.groups | map(.group) == ["7", "7.0", "true"]'
	run -3 mr-eval winrate -q --by m <<<'{"id":1,"m":{},"preference":2}'
	assert_output --partial 'nothing can be grouped by it'
}

@test "which report: the first word; what is not there yet is said" {
	run -1 mr-eval
	assert_output --partial 'winrate, lc, lengths, judge, meta or pairs'
	run -1 mr-eval --by x winrate
	run -1 mr-eval nonsense
	assert_output --partial '"nonsense" is no report'
	for later in arena mtbench agreement bootstrap; do
		run -1 mr-eval $later
		assert_output --partial 'not there yet'
	done
	run -1 mr-eval winrate --format xml </dev/null
	run -1 mr-eval winrate --scale 1-5 </dev/null
	mr-eval --help | grep winrate
	mr-eval lengths --help | grep winrate
}

@test "-o: the report and its manifest" {
	preferences >in.jsonl
	mr-eval winrate -q -o out.json in.jsonl
	is '(.win_rate - 60 | fabs) < 1e-9' out.json
	is '.tool == "mr-eval" and .report == "winrate"' out.json.manifest.json
}

@test "the manual and --help have the same options" {
	same_options mr-eval
}
