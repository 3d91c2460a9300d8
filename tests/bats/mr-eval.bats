#!/usr/bin/env bats
# mr-eval, as a user runs it: no model is needed.

load helper
set -o pipefail

# is FILTER [FILE]: the input is one value for which jq's filter is true
is() {
	local options=()
	if [ "$1" = --slurpfile ]; then
		options=("${@:1:3}")
		shift 3
	fi
	local filter=$1
	shift
	jq -se "${options[@]}" "length == 1 and (.[0] | ($filter))" "$@"
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
	assert_output --partial 'is not for the report winrate'
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

# arena_games N: two games each; the model wins both of every third, strongly, else loses both
arena_games() {
	jq -nc --argjson n "$1" 'range($n) | {id: "\(.)", generator_1: "base", generator_2: "model", len_1: 100, len_2: (100 + . % 7),
		output_1: "# a\n\n- b", output_2: "**a** \(.)", games: (if . % 3 == 0 then [{score: "B>>A"}, {score: "A>>B"}]
		else [{score: "A>B"}, {score: "B>A"}] end)}'
}

@test "arena: weighted win rate, its interval, the same bytes from the same seed" {
	arena_games 90 >in.jsonl
	mr-eval arena -q in.jsonl >out.json
	# 30 prompts won with weight 6, 60 lost with weight 2: 180 of 300
	is '(.win_rate - 60 | fabs) < 1e-9 and .lower < 55 and .upper > 65 and .lower > 40 and .upper < 80 and .prompts == 90 and
		.games == 180 and .much_better == 60 and .worse == 120 and (.rating - 400 * (1.5 | log10) | fabs) < 1e-9' out.json
	mr-eval arena -q --seed 0 in.jsonl | cmp - out.json
	mr-eval arena -q --seed 5 in.jsonl | is --slurpfile a out.json '.lower != $a[0].lower'
	mr-eval arena -q --style --rounds 50 in.jsonl | is 'has("style_length") and .lower <= .win_rate'
	# mr-compare's own names, a tie, a game without a verdict
	echo '{"id":1,"games":[{"first":"baseline","winner":"model"},{"first":"model","winner":"tie"}]}
		{"id":2,"games":[{"first":"baseline","winner":null}]}' | mr-eval arena -q |
		is '.win_rate == 75 and .unjudged == 1 and .better == 1 and .same == 1'
	# nothing but wins has no rating
	echo '{"id":1,"games":[{"score":"B>A"}]}' | mr-eval arena -q | is '.win_rate == 100 and .rating == null and .lower == 100'
}

@test "arena: what is wrong has one line each and the right status" {
	{
		echo '{"id":1,"games":[{"score":"A>B"}]}'
		echo '{"id":1,"games":[{"score":"A>B"}]}'
		echo '{"id":2,"games":[{"score":"A>>>B"}]}'
		echo '{"id":3}'
		echo '{"id":4,"games":[{}]}'
	} >in.jsonl
	run -2 --separate-stderr mr-eval arena -q in.jsonl
	[ "$(jq .games <<<"$output")" = 1 ]
	run -0 printf '%s\n' "$stderr"
	assert_line 'mr-eval: in.jsonl:2: the id "1" was there before; ids must differ'
	assert_line 'mr-eval: in.jsonl:3: "games": a verdict is none of A>>B, A>B, A=B, B>A, B>>A, null'
	assert_line 'mr-eval: in.jsonl:4: "games" is missing; run mr-compare first'
	assert_line 'mr-eval: in.jsonl:5: "games": a game has no "score", "label" or "winner"'
	run -3 mr-eval arena -q <<<'{"id":1,"games":[{"score":null}]}'
	assert_output --partial 'no game with a verdict'
	{ arena_games 2; echo '{"id":"x","generator_1":"other","generator_2":"model","games":[]}'; } >mixed.jsonl
	run -3 mr-eval arena -q mixed.jsonl
	assert_output --partial 'mixed.jsonl:3: "generator_1" is "other", before it was "base"; one model against one baseline at a time'
}

@test "mtbench: means by turn and category" {
	{
		echo '{"id":"1","category":"math","turn":1,"score":4}'
		echo '{"id":"1","category":"math","turn":2,"score":8}'
		echo '{"id":"2","category":"writing","responses":[{"score":9},{"score":null}]}'
		echo '{"id":"3","category":"writing","turn":2,"score":-1}'
	} >in.jsonl
	mr-eval mtbench -q in.jsonl >out.json
	# 4, 8, 9: mean 7, squared deviations 9 + 1 + 4 = 14
	is '.score == 7 and .n == 3 and .n_ungraded == 2 and .turn_1 == 6.5 and .turn_2 == 8 and .by == "category" and
		(.standard_error - (14 / 2 / 3 | sqrt) | fabs) < 1e-9 and
		(.groups | map([.group, .score, .turn_2]) == [["math", 6, 8], ["writing", 9, null]])' out.json
	printf '{"id":1,%s}\n' '"score":11' '"score":"9"' '"turn":3,"score":1' '"responses":[{}]' >bad.jsonl
	run -3 mr-eval mtbench -q bad.jsonl
	assert_line 'mr-eval: bad.jsonl:1: the record: "score" is 11, not from 1 to 10'
	assert_line 'mr-eval: bad.jsonl:3: "turn" is neither 1 nor 2'
	assert_line 'mr-eval: bad.jsonl:4: a response has no "score"; run mr-judge --scale 1-10 first'
}

@test "judge --against: two judges, by hand" {
	echo '{"id":"a","responses":[{"text":"x","judgments":[],"score":3},{"text":"xx","judgments":[],"score":3},{"text":"xxx","judgments":[],"score":5}]}' >mine.jsonl
	echo '{"id":"a","responses":[{"score":3},{"score":4},{"score":5}]}' >theirs.jsonl
	# pairs: a tie against a win, and twice the same; tau-b 2 / sqrt(2 * 3)
	mr-eval judge -q --against theirs.jsonl mine.jsonl |
		is '.compared_n == 3 and (.exact_rate - 200 / 3 | fabs) < 1e-9 and .pairs_n == 3 and (.agreement - 200 / 3 | fabs) < 1e-9 and
			.decided_n == 2 and .agreement_without_ties == 100 and (.kendall_tau_b - 2 / (6 | sqrt) | fabs) < 1e-9 and
			(.spearman - 1.5 / (3 | sqrt) | fabs) < 1e-9 and (.score_length_r - 2 / (16 / 3 | sqrt) | fabs) < 1
			and (.score_length_r - (3 | sqrt) / 2 | fabs) < 1e-9'
	echo '{"id":"a","responses":[{"rank":3},{"rank":2},{"rank":1}]}' >ranks.jsonl
	mr-eval judge -q --against ranks.jsonl mine.jsonl | is '.agreement_without_ties == 100 and .exact_rate == 0'
	run -3 mr-eval judge -q --against <(echo '{"id":"b","responses":[]}') mine.jsonl
	assert_output --partial 'the id "a" is not in --against'
	run -3 mr-eval judge -q --against <(cat theirs.jsonl theirs.jsonl) mine.jsonl
	assert_output --partial 'the id "a" was there before; ids must differ'
	run -3 mr-eval judge -q --against <(echo '{"id":"a","responses":[{"score":1}]}') mine.jsonl
	assert_output --partial 'another number of responses'
}

@test "judge --density: the kernel density, by hand" {
	# half of 50 at 1, half at 4: deviation 1.5 each, a kernel of width 1.06 sd 50^(-1/5)
	jq -nc 'range(50) | {id: "\(.)", responses: [{text: "x", judgments: [], score: (. % 2 * 3 + 1)}]}' >in.jsonl
	mr-eval judge -q --density in.jsonl | is '(1.06 * (50 * 2.25 / 49 | sqrt) * pow(50; -0.2)) as $w |
		((1 + (-(3 / $w | . * .) / 2 | exp)) / 2 / $w / (2 * 3.141592653589793 | sqrt)) as $one |
		(.density_1 - $one | fabs) < 1e-12 and (.density_4 - $one | fabs) < 1e-12 and .["density_2.5"] < .density_1'
	mr-eval judge -q in.jsonl | is 'has("density_0") | not'
}

@test "meta: the spread of the ratings" {
	jq -nc '(900, 1100) as $low | {id: "\($low)", responses: [{text: "x", judgments: [{score: 1}, {score: 2}]}],
		meta: {response: 0, battles: [], elo: [$low, 1200]}}' | mr-eval meta -q |
		is '.elo_spread_n == 2 and .elo_spread_mean == 200 and .elo_spread_max == 300'
}

@test "compare: a difference, its interval and p-value" {
	battles 60 >b.jsonl
	jq -c '.generator_2 = "first" | .preference = ([.preference - 0.3, 1] | max)' b.jsonl >a.jsonl
	mr-eval compare -q a.jsonl b.jsonl >out.json
	is '.n == 60 and .unpaired == 0 and (.win_rate_b - .win_rate_a - .difference | fabs) < 1e-9 and .lower < .difference and
		.upper > .difference and .lower > 0 and .p_value == 2 / 1001 and .standard_error > 0' out.json
	mr-eval compare -q a.jsonl a.jsonl | is '.difference == 0 and .p_value == 1 and .lower == 0 and .upper == 0'
	mr-eval compare -q b.jsonl a.jsonl | is --slurpfile o out.json '(.difference + $o[0].difference | fabs) < 1e-9'
	mr-eval compare -q a.jsonl <(head -n 40 b.jsonl) | is '.n == 40 and .unpaired == 20'
	run -3 mr-eval compare -q a.jsonl <(jq -c '.generator_1 = "other"' b.jsonl)
	assert_output --partial 'the baseline is "other", in the first file it is "base"'
	run -3 mr-eval compare -q a.jsonl <(jq -c '.id += "x"' b.jsonl)
	assert_output --partial 'no prompt is judged in both files'
	run -3 mr-eval compare -q <(cat a.jsonl a.jsonl) b.jsonl
	assert_output --partial 'ids must differ'
	run -3 mr-eval compare -q a.jsonl <(jq -c '.preference = 7' b.jsonl)
	assert_output --partial '"preference" is 7, not from 1 to 2'
}

@test "memory does not grow with the input" {
	# 100 MB of records under 64 MB of resident memory; the sanitizers take more for themselves
	[ -z "${ASAN_OPTIONS:-}" ] || skip 'the sanitizers keep freed memory'
	jq -nc '("x" * 4000) as $t | {id: "a", preference: 2, len_1: 3, len_2: 4, score: 5, output_2: $t,
		prompt: "p", chosen: "cc", rejected: "r", meta: {response: 0, battles: [{first: 0, second: 0, winner: "first"}], elo: [1000]},
		responses: [{text: $t, score: 1, judgments: [{text: "", score: 1}]}]}' >line
	local report peak pid
	mkfifo pipe
	for report in winrate judge mtbench lengths meta pairs; do
		mr-eval $report -q <pipe >$report.json &
		pid=$!
		exec 9>pipe
		awk '{ for (i = 0; i < 12800; i++) print }' line >&9
		# all but what a pipe holds has been read
		peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status")
		exec 9>&-
		wait "$pid"
		echo "$report: $peak kB"
		[ "$peak" -gt 0 ] && [ "$peak" -lt 65536 ]
	done
	is '.n_total == 12800' winrate.json
	is '.judgments == 12800' judge.json
	is '.n == 12800 and .score == 5' mtbench.json
	is '.n == 12800 and .mean == 4000' lengths.json
	is '.battles == 12800 and .win_first == 12800' meta.json
	is '.pairs == 12800 and .chosen_longer_rate == 100' pairs.json
}

@test "which report: the first word" {
	run -1 mr-eval
	assert_output --partial 'winrate, lc, arena, compare, mtbench, lengths, judge, meta or pairs'
	run -1 mr-eval --by x winrate
	run -1 mr-eval nonsense
	assert_output --partial '"nonsense" is no report'
	run -1 mr-eval winrate --style </dev/null
	assert_output --partial -- '--style is not for the report winrate'
	run -1 mr-eval arena --by x </dev/null
	run -1 mr-eval compare </dev/null
	assert_output --partial 'two files'
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
