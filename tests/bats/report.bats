#!/usr/bin/env bats
# pipelines/report.sh: the page, from folders as the recipe leaves them.

load helper

prepare() {
	command -v gnuplot >/dev/null || skip 'gnuplot is not installed'
}

# iteration N: the folder iN, whose texts try to be markup
iteration() {
	mkdir -p "i$1"
	jq -nc --argjson k "$1" 'range(12) | . as $i | {id: "p\(.)", prompt: "Question \(.) </pre><script>document.title = 1</script> & \"so\"?",
		responses: [range(3) | . as $j | {text: "<img src=http://x.invalid/a onerror=alert(1)> \($i) \("word " * $j)", finish: "stop",
			judgments: [{text: "Fine.", score: (($i + $j * $k) % 6)}], score: (($i + $j * $k) % 5), score_var: 0.5, score_n: 3}],
		actor: (if . % 4 == 0 then null else {chosen: 2, rejected: 0, rho: 0} end),
		meta: {response: 0, battles: [{first: 0, second: 0, winner: "first", text: "w"}], elo: [950, 1050, 1000]}, judge: null}' >"i$1/chosen.jsonl"
	jq -nc --argjson k "$1" 'range(5) | {step: (. + 1), loss: (0.69 - . * 0.01 * $k), "rewards/margins": (. * 0.03), "rewards/accuracies": 1}' >"i$1/dpo-log.jsonl"
	echo '{"id":1}' >"i$1/pairs.jsonl"
	jq -nc --argjson k "$1" 'range(20) | {id: "\(.)", len_1: (500 + . * 37 % 900), len_2: (300 + $k * 80 + . * 91 % 1500),
		preference: (1 + (. * 17 + $k * 9) % 101 / 100)}' >"i$1/preferences.jsonl"
	jq -c '{id, responses: [.responses[] | {score}]}' "i$1/chosen.jsonl" >"i$1/other-judge.jsonl"
}

@test "the page: every plot and table, a model's text as text, nothing from outside" {
	iteration 1
	iteration 2
	"$repo/pipelines/report.sh" --html i1 i2 >page.html
	for name in scores loss margin winrate lc; do
		grep -q "<figure id=\"plot-$name\">" page.html
	done
	[ "$(grep -c '^<svg\|<svg ' page.html)" -eq 5 ]
	[ "$(grep -o "<g[ >]" page.html | wc -l)" -eq "$(grep -o "</g>" page.html | wc -l)" ]
	refute grep -qiE '<(script|img|link|iframe)|url\(http' page.html
	grep -q '&lt;img src=http://x.invalid/a' page.html
	# no colour but the text's own
	refute grep -qE 'rgb\(|#[0-9A-Ea-e][0-9A-Fa-f]{5}"' page.html
	refute grep -qE "['\"]black['\"]" page.html
	# three of twelve prompts have no actor pair
	grep -q '<td>kept</td><td>9</td>' page.html
	# the other judge gave the same scores
	grep -q '<td>100</td><td>100</td><td>1</td><td>1</td></tr>' page.html
	run -3 "$repo/pipelines/report.sh" --html i1 nowhere
	assert_output --partial 'there is no nowhere/chosen.jsonl'
}

@test "the page without preferences has the other plots" {
	iteration 1
	rm i1/preferences.jsonl i1/other-judge.jsonl
	"$repo/pipelines/report.sh" --html i1 >page.html
	[ "$(grep -c '<figure ' page.html)" -eq 3 ]
}

@test "in Markdown: the page's tables first, then what one iteration has" {
	iteration 1
	iteration 2
	"$repo/pipelines/report.sh" i1 i2 >report.md
	[ "$(grep -c '^# Iteration: i[12]$' report.md)" -eq 2 ]
	"$repo/pipelines/report.sh" --html i1 i2 >page.html
	# cell by cell the same
	grep '^| ' report.md | sed '/^| | |$/,$d' | tr '|' '\n' | sed 's/^ *//; s/ *$//' | grep . >of-markdown
	grep '^<section><h2>' page.html | grep -v Examples | sed 's/<h2>[^<]*<.h2>//; s/<[^>]*>/\n/g' | grep . >of-page
	cmp of-markdown of-page
	[ "$(grep '^## ' report.md | head -n 6 | md5sum)" = "$(grep -o '<h2>[^<]*' page.html | head -n 6 | sed 's/<h2>/## /' | md5sum)" ]
	# 1.96 errors on both sides of the mean
	jq -es 'map(100 * (.preference - 1)) | (add / length) as $m | (map(. - $m | . * .) | add / 19 / 20 | sqrt * 1.96) as $e
		| [$m - $e, $m + $e] | map(. * 100 | round / 100) | "\(.[0]) to \(.[1])"' -r i1/preferences.jsonl >interval
	grep -qF "| $(cat interval) |" report.md
	# six of 36 judgments have each score
	grep -qF '| 1 | 16.7 | 16.7 | 16.7 | 16.7 | 16.7 | 16.7 | 0 |' report.md
	grep -qF '| 1 | kept | 9 |' report.md
	# one folder: only where there is what the tables are for
	"$repo/pipelines/report.sh" i1 | grep -qF "| $(cat interval) |"
	rm i1/preferences.jsonl
	"$repo/pipelines/report.sh" i1 | grep -q '^## Judge$'
	rm i1/other-judge.jsonl
	"$repo/pipelines/report.sh" i1 >one.md
	[ "$(head -n 1 one.md)" = '# One iteration' ]
	refute grep -q '^## Judge$' one.md
	# a folder without the meta-judge's work
	jq -c 'del(.meta)' i2/chosen.jsonl >chosen
	mv chosen i2/chosen.jsonl
	"$repo/pipelines/report.sh" i2 | grep -qxF '| 1 | - | - | - | - | - | - | - |'
	mv i2 'a|b'
	"$repo/pipelines/report.sh" 'a|b' | grep -qF '| 1 | a\|b |'
}

@test "a preference that is wrong is left out of the report, and said" {
	iteration 1
	sed -i '1s/"preference":[0-9.]*/"preference":7/' i1/preferences.jsonl
	"$repo/pipelines/report.sh" i1 >report.md 2>err
	grep -q 'preferences.jsonl:1: ' err
	jq -es 'map(100 * (.preference - 1))[1:] | add / length * 100 | round / 100' i1/preferences.jsonl >mean
	grep -qF "| $(cat mean) |" report.md
}

# browse FILE: its document as the browser has it, in dom; what the browser complains of, in console
browse() {
	timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/profile" --enable-logging=stderr --v=0 \
		--window-size=390,2000 --dump-dom "file://$PWD/$1" >dom 2>log || return
	grep CONSOLE log >console || :
}

@test "the page in a browser: no script error, every plot there, nothing fetched" {
	command -v chromium >/dev/null || skip 'chromium is not installed'
	iteration 1
	iteration 2
	"$repo/pipelines/report.sh" --html i1 i2 >page.html
	browse page.html
	[ ! -s console ]
	[ "$(grep -o '<svg ' dom | wc -l)" -eq 5 ]
	grep -q '<title>Meta-rewarding: iterations</title>' dom
	refute grep -qE '<(script|img)' dom
	# the browser would have said so
	sed 's|</body>|<img src="http://x.invalid/a"></body>|' page.html >fetches.html
	browse fetches.html
	grep -q 'x.invalid' console
}
