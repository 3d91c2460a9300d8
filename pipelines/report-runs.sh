#!/bin/bash
# report-runs.sh: what report.sh says of whole runs, of which it knows the names
# ("runs"): their models, compared with the seed model on the held-out prompts.
# It is read by report.sh, whose functions it uses.
# shellcheck disable=SC2154 # runs, work, common: report.sh's

# Each model of each run that was compared, an object a line.
run_models()
{
	local run folder
	for run in "${runs[@]}"; do
		for folder in "$run"/sft $(find "$run" -maxdepth 1 -name 'iter*' | sort -V); do
			[ -e "$folder/preferences.jsonl" ] || continue
			evaluate winrate "$folder/preferences.jsonl" >"$work/winrate"
			evaluate lc "$folder/preferences.jsonl" >"$work/lc"
			evaluate winrate "$folder/self-preferences.jsonl" >"$work/self"
			evaluate lengths "$folder/preferences.jsonl" >"$work/lengths"
			# the two judges' preferences of the same two answers
			jq -s 'def sign: if . == null then null elif . > 1.5 then 1 elif . < 1.5 then -1 else 0 end;
				[group_by(.id)[] | select(length == 2) | map(.preference | sign) | select(all(.[]; . != null))]
				| {n: length, agreement: (if length > 0 then 100 * (map(select(.[0] == .[1])) | length) / length else null end)}' \
				"$folder/preferences.jsonl" "$folder/self-preferences.jsonl" 2>/dev/null >"$work/agree" || echo null >"$work/agree"
			jq -nc --arg run "$run" --arg model "${folder##*/}" --slurpfile winrate "$work/winrate" --slurpfile lc "$work/lc" \
				--slurpfile self "$work/self" --slurpfile lengths "$work/lengths" --slurpfile agree "$work/agree" \
				'{run: $run, model: $model, winrate: $winrate[0], lc: $lc[0], self: $self[0], lengths: $lengths[0], agree: $agree[0]}'
		done
	done
}

run_tables()
{
	jq -s 'def show($n): if . == null then "-" else pow(10; $n) as $p | (. * $p | round) / $p end;
		def interval: if .standard_error == null then "-" else (1.96 * .standard_error) as $e
			| "\(.win_rate - $e | show(1)) to \(.win_rate + $e | show(1))" end;
		select(length > 0)
		| {title: "Models against the seed model, on held-out prompts",
			head: ["run", "model", "prompts", "characters", "seed model: characters", "win rate, %", "95 % interval", "prompts won, %", "LC win rate, %",
				"by itself: win rate, %", "95 % interval", "the two judges agree, %"],
			rows: map([.run, .model, (.winrate.n_total | show(0)), (.lengths.mean | show(0)), (.lengths.base_mean | show(0)),
				(.winrate.win_rate | show(1)), (.winrate | interval), (.winrate.discrete_win_rate | show(1)), (.lc.length_controlled_winrate | show(1)),
				(.self.win_rate | show(1)), (.self | interval), (.agree.agreement | show(1))])}' "$work/models"
}

# Lines of one series a run over its models: the program makes "x y low high".
run_curves()
{
	local i=0 run
	for run in "${runs[@]}"; do
		echo "\$run$i << END"
		jq -rs --arg run "$run" "map(select(.run == \$run)) | to_entries[] | .key as \$x | .value | $1" "$work/models"
		echo END
		i=$((i + 1))
	done
	echo "set xtics ($(jq -rs '[group_by(.run) | max_by(length) | sort_by(.model != "sft", .model)[].model] | to_entries | map("\"\(.value)\" \(.key)") | join(", ")' "$work/models"))"
	echo 'set offsets 0.3, 0.3, 0, 0'
	echo -n 'plot '
	for ((i = 0; i < ${#runs[@]}; i++)); do
		echo -n "\$run$i using (\$1+0.05*$i):2:3:4 with yerrorbars lc rgb 'black' pointtype $((i % 2 ? 6 : 7)) notitle, "
		echo -n "\$run$i using (\$1+0.05*$i):2 with lines lc rgb 'black' dashtype $((i + 1)) title '${runs[i]//[^A-Za-z0-9.\/-]/ }', "
	done
	echo
}

run_plots()
{
	[ -s "$work/models" ] && command -v gnuplot >/dev/null || return 0
	run_curves '(1.96 * (.winrate.standard_error // 0)) as $e | .winrate.win_rate | numbers | "\($x) \(.) \(. - $e) \(. + $e)"' |
		plot runs_winrate 'Win rate against the seed model, by the fixed judge, 95 % interval' model '%'
	run_curves '(1.96 * (.self.standard_error // 0)) as $e | .self.win_rate | numbers | "\($x) \(.) \(. - $e) \(. + $e)"' |
		plot runs_self 'Win rate by the model itself, 95 % interval' model '%'
	if jq -es 'any(.[]; .lc)' "$work/models" >"$work/any"; then
		run_curves '.lc | (1.96 * (.lc_standard_error // 0)) as $e | .length_controlled_winrate | numbers | "\($x) \(.) \(. - $e) \(. + $e)"' |
			plot runs_lc 'Length-controlled win rate, by the fixed judge, 95 % interval' model '%'
	fi
	run_curves '.lengths.mean | numbers | "\($x) \(.) \(.) \(.)"' |
		plot runs_length 'Length of the held-out answers' model characters
}

# The first held-out prompts, with every model's answer: objects in a list.
run_answers()
{
	local run folder
	for run in "${runs[@]}"; do
		[ -e "$run/seed/answers.jsonl" ] || continue
		for folder in "$run"/seed "$run"/sft $(find "$run" -maxdepth 1 -name 'iter*' | sort -V); do
			[ -e "$folder/answers.jsonl" ] || continue
			head -n 2 "$folder/answers.jsonl" | jq -c --arg model "$folder" '{id, model: $model, text: .responses[0].text,
				prompt: (.prompt // .messages[-1].content)}'
		done
	done | jq -sc 'group_by(.id)[]'
}

html_answers()
{
	run_answers | jq -r '(@html "<section><h2>Answers: \(.[0].id)</h2><pre>\(.[0].prompt)</pre><div class=\"pair\">"),
		(.[] | @html "<div><h4>\(.model)</h4><pre>\(.text)</pre></div>"), "</div></section>"'
}

markdown_answers()
{
	run_answers | jq -r "$common"'"## Answers: \(.[0].id)", "", (.[0].prompt | quoted), "", (.[] | "**\(.model)**", "", (.text | quoted), "")'
}
