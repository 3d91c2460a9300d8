#!/bin/bash
# report.sh [FOLDER]
#
# A report in Markdown on one iteration, from the files that iteration.sh
# left in FOLDER ("iteration"): responses, judgments, pairs, training, and one
# example of each kind of pair to read.
set -euo pipefail

folder=${1:-iteration}
for file in chosen.jsonl pairs.jsonl dpo-log.jsonl; do
	[ -e "$folder/$file" ] || { echo "report.sh: there is no $folder/$file; run iteration.sh first" >&2; exit 3; }
done

# What both programs below need: numbers, shares, and a model's text as a
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

echo '# One iteration'
echo
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
