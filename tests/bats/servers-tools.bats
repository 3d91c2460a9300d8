#!/usr/bin/env bats
# Every tool that asks a model, with the model behind a server; what reads
# their output reads it as it does the embedded model's.

load helper
load servers

prepare() {
	unset MR_API_KEY http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
	# what is tested must not come from the model at hand
	export MR_MODEL=/nonexistent
}

# with PORT TOOL [ARGUMENT]...
with() {
	local port=$1 tool=$2
	shift 2
	"$tool" -q --endpoint "http://127.0.0.1:$port" -m test --jobs 32 "$@"
}

@test "from seed prompts to preference pairs" {
	server a --delay 5
	jq -nc 'range(10) | {id: "s\(.)", prompt: "Explain the number \(.) to a child."}' >seeds
	with "$a" mr-prompts -n 6 seeds >prompts
	all prompts '(keys == ["id", "prompt"]) and (.prompt | length > 10)'
	[ "$(wc -l <prompts)" -eq 6 ]
	with "$a" mr-sample -n 4 prompts >sampled
	all sampled '.responses | length == 4'
	with "$a" mr-judge -n 5 --guided sampled >judged
	all judged '.responses | all(.[]; .score_n == 5 and (.judgments | length) == 5)'
	all judged '[.responses[].judgments[] | .guided] | any'
	mr-lengthctl -q --rho 0.2 judged >selected
	all selected '.actor | .chosen != .rejected'
	with "$a" mr-metajudge --guided --max-judgments 3 selected >compared
	all compared '.meta.battles | length == 6 and all(.[]; .winner | . == "first" or . == "second" or . == "tie")'
	mr-elo -q compared >rated
	all rated '.meta.elo | map(numbers) | length == 3'
	mr-pairs -q rated >pairs
	all pairs '.chosen[0].role == "assistant" and .rejected[0].content != .chosen[0].content'
	[ "$(jq -r .role pairs | sort -u | xargs)" = 'actor judge' ]
	# the same again, one request at a time
	with "$a" mr-prompts -n 6 --jobs 1 seeds | cmp - prompts
	with "$a" mr-judge -n 5 --guided --jobs 1 sampled | cmp - judged
	with "$a" mr-metajudge --guided --max-judgments 3 --jobs 1 selected | cmp - compared
}

@test "a judge's forced endings: those of the scale, whatever the server tells" {
	server a
	server plain --no-logprobs
	responses 4 >in.jsonl
	for port in $a $plain; do
		with "$port" mr-judge -n 12 --guided in.jsonl >out
		all out '.responses | all(.[]; .score_n == 12)'
		all out '[.responses[].judgments[] | select(.guided)] | length > 0 and
			all(.[]; (.text | test("\\n\\nScore: [0-5]$|^Score: [0-5]$")) and .score >= 0 and .score <= 5)'
		with "$port" mr-judge -n 12 --guided --scale 1-10 in.jsonl >out
		all out '.responses | all(.[]; .score_n == 12)'
		all out '[.responses[].judgments[] | select(.guided) | .score] | length > 0 and all(.[]; . >= 1 and . <= 10)'
	done
	# what is not asked for is not forced
	with "$a" mr-judge -n 6 in.jsonl >out
	all out '.responses | all(.[]; all(.judgments[]; has("guided") | not))'
	all out '[.responses[].judgments[].score] | any(. == null) and any(. != null)'
}

@test "forced endings differ by the seed, and follow the probabilities" {
	server a --log log
	responses 1 | jq -c '.responses |= .[:1]' >in.jsonl
	with "$a" mr-judge -n 40 --guided in.jsonl >one
	with "$a" mr-judge -n 40 --guided --seed 1 in.jsonl >two
	for f in one two; do
		jq -c '[.responses[0].judgments[] | select(.guided) | .score]' $f >$f.scores
		all $f.scores 'length >= 4'
	done
	run ! cmp -s one.scores two.scores
}

@test "two models' responses are compared, by each protocol" {
	server a
	prompts 8 >in.jsonl
	with "$a" mr-sample -n 1 in.jsonl >one
	with "$a" mr-sample -n 1 --seed 1 in.jsonl >two
	for protocol in winner arena alpaca; do
		with "$a" mr-compare --protocol $protocol --guided one two >out
		[ "$(jq -r .id out)" = "$(jq -r .id in.jsonl)" ]
		all out '.preference >= 1 and .preference <= 2 and (.games | length) == 2'
		# guided, so that each game has a verdict
		all out '.games | all(.[]; .winner != null)'
		mr-eval winrate -q out >report
		[ -s report ]
	done
	# the letters' probabilities are those the server tells
	all out '.games | all(.[]; .preference > 1 and .preference < 2 and (.text == "A" or .text == "B"))'
	server plain --no-logprobs
	with "$plain" mr-compare --protocol alpaca one two >out
	all out '.games | all(.[]; .winner != null)'
}

@test "faults change nothing of what the tools write" {
	server a
	server bad --faults 500=10,429=5,reset=5,close=5,truncated=5,empty=5
	responses 3 >in.jsonl
	with "$a" mr-judge -n 4 --guided in.jsonl >judged
	with "$bad" mr-judge -n 4 --guided --retries 20 in.jsonl | cmp - judged
	with "$a" mr-metajudge --guided --max-judgments 3 judged >compared
	with "$bad" mr-metajudge --guided --max-judgments 3 --retries 20 judged | cmp - compared
	seq 9 | jq -c '{id: "s\(.)", prompt: "Explain the number \(.) to a child."}' >seeds
	with "$a" mr-prompts -n 4 seeds >prompts
	with "$bad" mr-prompts -n 4 --retries 20 seeds | cmp - prompts
}

@test "what it cost: in the summary and the manifest" {
	server a --delay 20 --faults 500=20
	prompts 10 >in.jsonl
	mr-sample --endpoint "http://127.0.0.1:$a" -m test -n 2 -o out in.jsonl 2>err
	jq -c .cost out.manifest.json >cost
	all cost '.requests == 10 + .retries and .retries > 0 and .tokens_in > 50 and .tokens_out > 50'
	all cost '.latency_p50 >= 0.019 and .latency_p95 >= .latency_p50 and .seconds > 0 and .tokens_per_second > 0'
	grep -qE "10 records, $(jq .requests cost) requests \($(jq .retries cost) retried\), $(jq .tokens_in cost) tokens in, $(jq .tokens_out cost) out, .*latency p50 [0-9.]+ s, p95 [0-9.]+ s" err
	[ "$(jq -c .model out.manifest.json)" = "{\"endpoint\":[\"http://127.0.0.1:$a/v1\"],\"name\":\"test\"}" ]
	# the sum of what the server told, of the answers that were used
	[ "$(jq .tokens_out cost)" -ge 100 ]
}

@test "options that go only with a server, or only without" {
	prompts 1 >in.jsonl
	for o in '--jobs 2' '--key-file k' '--timeout 3' '--retries 1' '--budget-tokens 7'; do
		# shellcheck disable=SC2086
		run -1 mr-sample $o in.jsonl
		assert_output --partial "${o% *} goes only with --endpoint"
	done
	run -1 mr-sample --endpoint http://127.0.0.1:1 -m m --exact in.jsonl
	assert_output --partial '--exact goes not with --endpoint'
	run -1 mr-sample --endpoint http://127.0.0.1:1 -m m --jobs 5000 in.jsonl
	assert_output --partial '--jobs'
}
