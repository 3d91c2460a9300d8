#!/bin/bash
# report.sh [--html] [FOLDER]...
#
# A report on runs of meta-rewarding.mk ("run"), side by side: each model's
# answers against the seed model's, and each iteration's responses, judgments,
# pairs, training, and examples to read. A FOLDER may also be one iteration's.
# In Markdown, or with --html one page that needs nothing else. What a run has
# not made yet is left out. Where an iteration's folder has preferences.jsonl (mr-compare, against a baseline
# that is the same for all), win rates are in it; where it has
# other-judge.jsonl (the same responses scored by another judge), so is how
# far the two agree. The tables of all iterations come first in Markdown; they
# are left out for one folder that has neither file.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
[ -n "${MR_BIN:-}" ] || MR_BIN=$here/../build/bin
[ -d "$MR_BIN" ] && PATH=$(realpath "$MR_BIN"):$PATH

html=
if [ "${1:-}" = --html ]; then
	html=1
	shift
fi
[ $# -gt 0 ] || set -- run

# A run stands for those of its iterations that are trained.
runs=() folders=()
for folder; do
	folder=${folder%/}
	if [ ! -e "$folder/manifest.json" ]; then
		folders+=("$folder")
		continue
	fi
	runs+=("$folder")
	while read -r log; do
		folders+=("${log%/*}")
	done < <(find "$folder"/iter* -maxdepth 1 -name dpo-log.jsonl | sort -V)
done
set -- "${folders[@]}"
for folder in "$@"; do
	for file in chosen.jsonl pairs.jsonl dpo-log.jsonl; do
		[ -e "$folder/$file" ] || { echo "report.sh: there is no $folder/$file; run the recipe first" >&2; exit 3; }
	done
done
[ $# -gt 0 ] || { echo "report.sh: no iteration of ${runs[*]} is ready yet" >&2; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What the programs below need: numbers, shares, and a model's text as a
# quotation that cannot upset the page or the terminal.
common='
	def digits($n): if . == null then "-" else pow(10; $n) as $p | (. * $p | round) / $p | tostring end;
	def share($all): if $all > 0 then "\(.) (\(100 * . / $all | digits(1)) %)" else "\(.)" end;
	def quoted: gsub("[\u0000-\u0008\u000b-\u001f\u007f-\u009f]"; " ")
		| (if length > 700 then .[:700] + " [...]" else . end)
		| split("\n") | map("> " + .) | join("\n");
	def row($name; $value): "| \($name) | \($value) |";
	def rate($part; $all): if $all > 0 then $part / $all else null end;
'

markdown()
{
	local folder=$1
	jq -nr "$common"'
		def nothing: {records: 0, responses: 0, cut: 0, chars: 0, judged: 0, score: 0, judgments: 0, read: 0,
			guided: 0, battles: 0, first: 0, second: 0, tie: 0, open: 0, actor: 0, judge: 0};
		reduce inputs as $r (nothing;
			[$r.responses[].judgments[]?] as $j | [$r.responses[].score // empty] as $scores | ($r.meta.battles // []) as $b
			| .records += 1 | .responses += ($r.responses | length)
			| .cut += ([$r.responses[] | select(.finish == "length")] | length)
			| .chars += ([$r.responses[].text | length] | add // 0)
			| .judged += ($scores | length) | .score += ($scores | add // 0)
			| .judgments += ($j | length) | .guided += ([$j[] | select(.guided)] | length)
			| .read += ([$j[] | select(.score != null)] | length)
			| .battles += ($b | length)
			| .first += ([$b[] | select(.winner == "first")] | length)
			| .second += ([$b[] | select(.winner == "second")] | length)
			| .tie += ([$b[] | select(.winner == "tie")] | length)
			| .open += ([$b[] | select(.winner == null)] | length)
			| .actor += (if $r.actor then 1 else 0 end) | .judge += (if $r.judge then 1 else 0 end))
		| "| | |", "|---|---|",
		row("prompts"; .records),
		row("responses"; "\(.responses), \(rate(.chars; .responses) | digits(0)) characters on average, \(.cut) cut off"),
		row("judgments"; .judgments),
		row("... whose score can be read"; . as $s | .read | share($s.judgments)),
		row("... by themselves, not guided"; . as $s | .read - .guided | share($s.judgments)),
		row("mean score of a response"; rate(.score; .judged) | digits(2)),
		row("comparisons of judgments"; .battles),
		row("... won by the first, the second, tied, open"; "\(.first), \(.second), \(.tie), \(.open)"),
		row("... weight of a win by the first, by the second";
			(.first + .second) as $won | "\(rate(.second; $won) | digits(2)), \(rate(.first; $won) | digits(2))"),
		row("actor pairs"; . as $s | .actor | share($s.records)),
		row("judge pairs"; . as $s | .judge | share($s.records))
	' "$folder/chosen.jsonl"
	jq -nr "$common"'
		def from_to($first; $last; $n): "\($first | digits($n)) to \($last | digits($n))";
		[inputs | select(has("loss"))] | .[0] as $a | .[-1] as $z
		| row("optimiser steps"; length),
		row("DPO loss, first to last step"; from_to($a.loss; $z.loss; 4)),
		row("reward margin"; from_to($a["rewards/margins"]; $z["rewards/margins"]; 4)),
		row("accuracy"; from_to($a["rewards/accuracies"]; $z["rewards/accuracies"]; 2))
	' "$folder/dpo-log.jsonl"

	if command -v gnuplot >/dev/null && [ "$(wc -l <"$folder/dpo-log.jsonl")" -gt 1 ]; then
		echo
		echo '```text'
		{
			echo 'set terminal dumb 76 18; set key below; set xlabel "step"'
			echo '$log << END'
			jq -r 'select(has("loss")) | "\(.step) \(.loss) \(.["rewards/margins"])"' "$folder/dpo-log.jsonl"
			echo END
			echo 'plot $log using 1:2 with lines title "loss", $log using 1:3 with lines title "reward margin"'
		} | LC_ALL=C gnuplot | sed '1{/^[[:space:]\f]*$/d}; s/[[:space:]]*$//'
		echo '```'
	fi

	jq -nr "$common"'
		def prompt_text: if .prompt | type == "string" then .prompt else (.messages // .prompt)[-1].content end;
		def gap: .responses[.actor.chosen].score - .responses[.actor.rejected].score;
		def elo_gap: .meta.elo[.judge.chosen] - .meta.elo[.judge.rejected];
		def response($name; $r): "", "**\($name)**: score \($r.score | digits(2)), \($r.text | length) characters", "",
			($r.text | quoted);
		def judgment($name; $i): .responses[.meta.response].judgments[$i] as $j
			| "", "**\($name)**: rated \(.meta.elo[$i] | digits(0)), it gave the response "
				+ "\($j.score)\(if $j.guided then " (guided)" else "" end)", "", ($j.text | quoted);
		reduce inputs as $r ({};
			if $r.actor and (.actor == null or ($r | gap) > (.actor | gap)) then .actor = $r else . end
			| if $r.judge and (.judge == null or ($r | elo_gap) > (.judge | elo_gap)) then .judge = $r else . end)
		| (if .actor then .actor | "", "## An actor pair", "", "**Prompt** (\(.id))", "", (prompt_text | quoted),
			response("Chosen"; .responses[.actor.chosen]), response("Rejected"; .responses[.actor.rejected])
		  else "", "There is no actor pair." end),
		(if .judge then .judge | "", "## A judge pair", "", "**Prompt** (\(.id))", "", (prompt_text | quoted),
			"", "**Response**", "", (.responses[.meta.response].text | quoted),
			judgment("Chosen judgment"; .judge.chosen), judgment("Rejected judgment"; .judge.rejected)
		  else "", "There is no judge pair." end)
	' "$folder/chosen.jsonl"
}

# evaluate REPORT FILE [OPTION FILE]: mr-eval's JSON; null where a file is not
# there or mr-eval cannot tell (few records, other lengths). A report that
# leaves out some records stands, and says so.
evaluate()
{
	local status=0
	if [ ! -e "$2" ] || { [ $# -eq 4 ] && [ ! -e "$4" ]; }; then
		echo null
		return
	fi
	mr-eval "$@" -q --format json 2>"$work/errors" || status=$?
	case $status in
	0) ;;
	2) cat "$work/errors" >&2 ;;
	*) echo null ;;
	esac
}

# one FOLDER: what the tables and the page show of it, as one JSON object.
one()
{
	local folder=$1
	evaluate winrate "$folder/preferences.jsonl" >"$work/winrate"
	evaluate lc "$folder/preferences.jsonl" >"$work/lc"
	evaluate judge "$folder/chosen.jsonl" --against "$folder/other-judge.jsonl" >"$work/agree"
	evaluate judge "$folder/chosen.jsonl" --density >"$work/judge"
	evaluate meta "$folder/chosen.jsonl" >"$work/meta"
	evaluate lengths "$folder/chosen.jsonl" >"$work/lengths"
	jq -n --arg name "$folder" --slurpfile winrate "$work/winrate" --slurpfile lc "$work/lc" --slurpfile agree "$work/agree" \
		--slurpfile judge "$work/judge" --slurpfile meta "$work/meta" --slurpfile lengths "$work/lengths" \
		--slurpfile log "$folder/dpo-log.jsonl" '
		def actor_fate: if .actor then "kept" else [.responses[].score // empty]
			| if length < 2 then "fewer than two scores" elif min == max then "all scores the same"
			  else "same response picked, or too long" end end;
		def judge_fate: if .judge then "kept" elif .meta == null then "no battles"
			else "equal ratings, or too long" end;
		def count($fate): .[$fate] = (.[$fate] // 0) + 1;
		reduce inputs as $r ({actor: {}, judge: {}};
			.actor |= count($r | actor_fate) | .judge |= count($r | judge_fate)
			| if $r.actor then $r.responses[$r.actor.chosen] as $c | $r.responses[$r.actor.rejected] as $x
				| ($c.score - $x.score) as $gap
				| .examples = ([.examples[]?, {gap: $gap, id: $r.id, chosen: $c.text, rejected: $x.text, cs: $c.score, xs: $x.score,
					prompt: (($r.prompt // $r.messages[-1].content) | if type == "string" then . else .[-1].content end)}]
					| sort_by(-.gap)[:3]) else . end)
		| {name: $name, actor, judge, examples: (.examples // []), winrate: $winrate[0], lc: $lc[0], agree: $agree[0],
			scores: $judge[0], meta: $meta[0], lengths: $lengths[0], log: [$log[] | select(has("loss"))]}' "$folder/chosen.jsonl"
}

# plot NAME TITLE X Y COMMANDS: a figure, an SVG drawn in the text's colour.
plot()
{
	echo "<figure id=\"plot-$1\"><figcaption>$2</figcaption>"
	{
		echo "set terminal svg size 480,320 dynamic font 'sans-serif,14' name '$1'"
		echo "set xlabel '$3'; set ylabel '$4'; set key outside below; set border 3; set tics nomirror"
		cat
	} | LC_ALL=C gnuplot 2> >(sed '/^Warning: empty/d; /^$/d' >&2) | sed -e '/<?xml/d; /<!DOCTYPE/,/>/d; s/<title>[^<]*<\/title>//' \
		-e 's/rgb( *0, *0, *0)/currentColor/g; s/"black"/"currentColor"/g; s/"#000000"/"currentColor"/g' \
		-e "s/'black'/'currentColor'/g" \
		-e 's/<svg /<svg role="img" /'
	echo '</figure>'
}

# Lines of one series an iteration, each with its own dashes and marks: the
# program of jq makes "x y" of an iteration.
curves()
{
	local program=$1 i n name
	n=$(jq -s length "$work/all")
	for ((i = 0; i < n; i++)); do
		echo "\$data$i << END"
		jq -rs --argjson i "$i" ".[\$i] | $program" "$work/all"
		echo END
	done
	echo -n 'plot '
	for ((i = 0; i < n; i++)); do
		name="iteration $((i + 1))"
		[ ${#runs[@]} -eq 0 ] || name=$(jq -rs --argjson i "$i" '.[$i].name | gsub("[^A-Za-z0-9./-]"; " ")' "$work/all")
		echo -n "\$data$i using 1:2 with linespoints lc rgb 'black' dashtype $((i + 1)) pointtype $((i + 1)) pointsize 0.6 title '$name', "
	done
	echo
}

# Points over the iterations with bars from low to high; nothing where there are none.
points()
{
	echo '$points << END'
	jq -rs "to_entries[] | (.key + 1) as \$n | .value | $1" "$work/all"
	echo END
	echo "set xrange [0.5:$(jq -s length "$work/all").5]"
	echo "plot \$points using 1:2:3:4 with yerrorbars lc rgb 'black' pointtype 7 notitle, \$points using 1:2 with lines lc rgb 'black' dashtype 2 notitle"
}

plots()
{
	command -v gnuplot >/dev/null || return 0
	{ echo 'set yrange [0:*]'; curves '[.scores | to_entries[] | select(.key | test("^score_[0-5]$"))] | (map(.value) | add) as $all
		| .[] | "\(.key[6:]) \(if $all > 0 then 100 * .value / $all else 0 end)"'; } |
		plot scores 'Judge scores by iteration' score 'judgments, %'
	curves '.log[] | "\(.step) \(.loss)"' | plot loss 'DPO loss' step loss
	curves '.log[] | "\(.step) \(.["rewards/margins"])"' | plot margin 'DPO reward margin' step margin
	[ ${#runs[@]} -eq 0 ] || return 0      # theirs have been drawn
	if jq -es 'any(.[]; .winrate)' "$work/all" >"$work/any"; then
		{ echo 'set xtics 1'; points 'select(.winrate).winrate | (1.96 * (.standard_error // 0)) as $e | "\($n) \(.win_rate) \(.win_rate - $e) \(.win_rate + $e)"'; } |
			plot winrate 'Win rate against the baseline, 95 % interval' iteration '%'
	fi
	if jq -es 'any(.[]; .lc)' "$work/all" >"$work/any"; then
		{
			echo '$points << END'
			jq -rs 'to_entries[] | select(.value.lc) | "\(.value.lc.avg_length) \(.value.lc.length_controlled_winrate) \(.key + 1)"' "$work/all"
			echo END
			echo "set offsets graph 0.1, graph 0.1, graph 0.1, graph 0.1"
			echo "plot \$points using 1:2 with linespoints lc rgb 'black' pointtype 7 notitle, \$points using 1:2:3 with labels offset 1,1 notitle"
		} | plot lc 'Length-controlled win rate against length, numbered by iteration' characters '%'
	fi
}

# The tables of all iterations, each an object with title, head and rows.
tables()
{
	jq -s '
		def show($n): if . == null then "-" else pow(10; $n) as $p | (. * $p | round) / $p end;
		def span($low; $high; $n): if $low == null then "-" else "\($low | show($n)) to \($high | show($n))" end;
		def fates($role): to_entries | map(.key as $i | .value[$role] | to_entries[] | [$i + 1, .key, .value]);
		def interval: if .standard_error == null then "-"
			else (1.96 * .standard_error) as $e | span(.win_rate - $e; .win_rate + $e; 2) end;
		def percents($names): .parsed as $all | [.["score_" + $names[]] | if $all > 0 then 100 * (. // 0) / $all | show(1) else "-" end];
		["0", "1", "2", "3", "4", "5", "other"] as $scores
		| {title: "Iterations",
			head: ["", "folder", "characters", "win rate, %", "error", "95 % interval", "LC win rate, %", "DPO loss, first to last"],
			rows: (to_entries | map(.key as $i | .value | [$i + 1, .name, (.lengths.mean | show(0)), (.winrate.win_rate | show(2)),
				(.winrate.standard_error | show(2)), (.winrate | interval), (.lc.length_controlled_winrate | show(2)),
				span(.log[0].loss; .log[-1].loss; 4)]))},
		{title: "Judge",
			head: ["", "judgments", "read, %", "guided, %", "mean", "entropy, bits", "score with length, r",
				"agreement, %", "without ties, %", "Spearman", "Kendall"],
			rows: (to_entries | map(.value.agree as $a | .value.scores as $s | [.key + 1, ($s.judgments | show(0)), ($s.parse_rate | show(1)), ($s.guided_rate | show(1)),
				($s.score_mean | show(2)), ($s.entropy | show(2)), ($s.score_length_r | show(2)), ($a.agreement | show(1)),
				($a.agreement_without_ties | show(1)), ($a.spearman | show(2)), ($a.kendall_tau_b | show(2))]))},
		{title: "Judge scores, % of the judgments read",
			head: (["", $scores[]]),
			rows: (to_entries | map([.key + 1] + (.value.scores | percents($scores))))},
		{title: "Meta-judge",
			head: ["", "battles", "first wins, %", "higher score wins, %", "equal scores: first wins, %", "weight of a win by the first", "by the second", "rating spread"],
			rows: (to_entries | map(.value.meta as $m | [.key + 1, ($m.battles | show(0)), ($m.first_rate | show(1)), ($m.higher_rate | show(1)),
				($m.equal_first_rate | show(1)), ($m.omega1 | show(2)), ($m.omega2 | show(2)), ($m.elo_spread_mean | show(0))]))},
		{title: "Actor pairs, kept and dropped", head: ["", "why", "prompts"], rows: fates("actor")},
		{title: "Judge pairs, kept and dropped", head: ["", "why", "prompts"], rows: fates("judge")}' "$work/all"
}

html_tables()
{
	jq -r '"<section><h2>\(.title)</h2><div class=\"wide\"><table><thead><tr>"
		+ (.head | map(@html "<th>\(.)</th>") | join("")) + "</tr></thead><tbody>"
		+ (.rows | map("<tr>" + (map(@html "<td>\(.)</td>") | join("")) + "</tr>") | join("")) + "</tbody></table></div></section>"'
}

markdown_tables()
{
	jq -r 'def line: map(tostring | gsub("[\u0000-\u001f\u007f]"; " ") | gsub("\\|"; "\\|")) | "| " + join(" | ") + " |";
		"## \(.title)", "", (.head | line), "|" + (.head | map("---|") | add), (.rows[] | line), ""'
}

examples()
{
	jq -rs 'def show: . * 100 | round / 100;
		"<section><h2>Examples, side by side</h2>",
		(to_entries[] | (.key + 1) as $n | .value.examples[]
			| (@html "<article><h3>Iteration \($n): \(.id)</h3><pre>\(.prompt)</pre><div class=\"pair\">"
				+ @html "<div><h4>Chosen, \(.cs | show)</h4><pre>\(.chosen)</pre></div>"
				+ @html "<div><h4>Rejected, \(.xs | show)</h4><pre>\(.rejected)</pre></div></div></article>")),
		"</section>"' "$work/all"
}

page()
{
	cat <<-'END'
	<!DOCTYPE html>
	<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
	<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
	<title>Meta-rewarding: iterations</title>
	<style>
	:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fdfdfb; --line: #bbb; --soft: #f0f0ec; }
	@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e2; --paper: #17181a; --line: #555; --soft: #232528; } }
	body { color: var(--ink); background: var(--paper); font: 16px/1.5 sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
	h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
	.wide { overflow-x: auto; }
	table { border-collapse: collapse; }
	th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; vertical-align: bottom; }
	/* numbers keep to their line, however narrow the screen; words are in the second column */
	td { font-variant-numeric: tabular-nums; white-space: nowrap; }
	td:nth-child(2) { white-space: normal; }
	pre { background: var(--soft); padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 .7rem; max-height: 24rem; overflow-y: auto; }
	.plots, .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
	.pair > *, .plots > * { min-width: 0; }
	figure { margin: 0; } figcaption { font-weight: bold; } svg { width: 100%; height: auto; }
	</style></head><body><h1>Meta-rewarding: iterations</h1>
	END
	echo '<div class="plots">'
	run_plots
	plots
	echo '</div>'
	{ run_tables; tables; } | html_tables
	html_answers
	examples
	echo '</body></html>'
}

# shellcheck source=pipelines/report-runs.sh
. "$here/report-runs.sh"
run_models >"$work/models"

overview=
[ $# -eq 1 ] && [ ${#runs[@]} -eq 0 ] || overview=1
for folder in "$@"; do
	[ ! -e "$folder/preferences.jsonl" ] && [ ! -e "$folder/other-judge.jsonl" ] || overview=1
done
if [ -n "$html$overview" ]; then
	for folder in "$@"; do
		one "$folder"
	done >"$work/all"
fi
if [ -n "$html" ]; then
	page >"$work/page"
	cat "$work/page"
	exit
fi
if [ -n "$overview" ]; then
	echo '# Meta-rewarding: iterations'
	echo
	{ run_tables; tables; } | markdown_tables
	markdown_answers
fi
for folder in "$@"; do
	if [ $# -eq 1 ]; then echo '# One iteration'; else echo "# Iteration: $folder"; fi
	echo
	markdown "$folder"
	[ $# -eq 1 ] || echo
done
