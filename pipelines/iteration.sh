#!/bin/bash
# iteration.sh [NAME=VALUE]...
#
# One iteration of meta-rewarding, from a model and prompts to the next model:
#
#   sample | judge | metajudge | elo | lengthctl | pairs  ->  dpo
#
# Every step leaves its output in the folder OUT, whole or not at all. A run
# that was stopped goes on where it stopped when it is started again; a step
# is done again only where its settings or its input have changed (what it
# had made before is kept as FILE.old). The same settings give the same bytes.
# Exit status: 0; 1 misuse; 2 some records failed (see OUT/rejects); 3 stopped.
#
# Names (from the command line or the environment) and their defaults:
usage_names='
OUT=iteration        folder for the results
MODEL=               a GGUF file; empty: the default model
INPUT=               prompts; empty: examples/prompts.jsonl
PROMPTS=all          how many of them, the first ones (or a file, in place of INPUT)
K=7                  responses to each prompt
N=11                 judgments of each response
RHO=0.32             length control: 0 is best against worst, 1 shortest against longest
ROLES=both           train on the pairs of both, or of the actor only
GUIDED=0             1: unreadable judgments are ended with a score (small models)
MAX_TOKENS=1024      longest response
JUDGE_TOKENS=1024    longest judgment
META_TOKENS=1024     longest comparison of two judgments
META_JUDGMENTS=0     compare only so many judgments of a response; 0: all
MAX_CHARS=0          no actor pair with a longer chosen response; 0: no limit
JUDGE_CHARS=0        no judge pair with a longer chosen judgment; 0: no limit
BATCH=32             pairs in an optimiser step
EPOCHS=1             passes over the pairs
LR=5e-6              learning rate
SEED=1               of every random choice
JOBS=                processes side by side; empty: one for each CPU
THREADS=             threads of each of them; empty: CPUs / JOBS
CHUNK=1              records that a process gets at a time
'
set -euo pipefail
export LC_ALL=C

root=$(dirname "$(dirname "$(realpath "$0")")")
[ -n "${MR_BIN:-}" ] || MR_BIN=$root/build/bin
[ -d "$MR_BIN" ] && PATH=$(realpath "$MR_BIN"):$PATH

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf 'iteration.sh: %s\n' "$*" >&2
	exit 3
}

usage()
{
	printf 'iteration.sh: %s\n' "$1" >&2
	printf 'Usage: iteration.sh [NAME=VALUE]...\nNames and their defaults:%s' "$usage_names" >&2
	exit 1
}

names=()
while IFS='=' read -r name rest; do
	[ -n "$name" ] || continue
	names+=("$name")
	value=${rest%% *}
	printf -v "$name" '%s' "${!name:-$value}"
done <<<"$usage_names"

for argument in "$@"; do
	name=${argument%%=*}
	[[ $argument == *=* && " ${names[*]} " == *" $name "* ]] || usage "\"$argument\" is no setting"
	printf -v "$name" '%s' "${argument#*=}"
done

cpus=$(nproc)
: "${INPUT:=$root/examples/prompts.jsonl}" "${JOBS:=$cpus}"
[[ $JOBS =~ ^[1-9][0-9]*$ ]] || usage "JOBS: \"$JOBS\" is no number of processes"
[[ $CHUNK =~ ^[1-9][0-9]*$ ]] || usage "CHUNK: \"$CHUNK\" is no number of records"
: "${THREADS:=$((cpus > JOBS ? cpus / JOBS : 1))}"
case $ROLES in both | actor) ;; *) usage "ROLES: \"$ROLES\" is neither both nor actor" ;; esac
if [[ ! $PROMPTS =~ ^([1-9][0-9]*|all)$ ]]; then
	INPUT=$PROMPTS
	PROMPTS=all
fi
[ -r "$INPUT" ] || usage "the prompts \"$INPUT\" cannot be read"
for program in mr-sample jq parallel sha256sum flock; do
	command -v "$program" >/dev/null || die "$program is missing; run make setup and make first"
done

mkdir -p "$OUT/.keys" "$OUT/rejects"
# The lock is inherited: it holds as long as any process of a killed run lives.
exec 9>"$OUT/.lock"
flock -n 9 || die "another run is at work in $OUT"

model=()
model_key=default
: "${MODEL:=${MR_MODEL:-}}"
if [ -n "$MODEL" ]; then
	[ -f "$MODEL" ] || die "there is no model $MODEL"
	model=(-m "$(realpath "$MODEL")")
	model_key=$(stat -L -c '%s %Y' "$MODEL")
fi
guided=()
[ "$GUIDED" = 1 ] && guided=(--guided)

records()
{
	wc -l <"$1"
}

# --- steps that are done once -----------------------------------------------

failed=0        # 1: some records were rejected on the way

# Sets key to what the step's output depends on: the key of the step before
# and the command, without what cannot change a byte.
key=
chain()
{
	key=$(printf '%s\n' "$key" "$@" | sha256sum | cut -d' ' -f1)
}

# done_before STEP FILE: true where FILE is what this step would make
done_before()
{
	local keyfile=$OUT/.keys/$1
	if [ -e "$2" ] && [ "$(cat "$keyfile" 2>/dev/null)" = "$key" ]; then
		say "== $1: done before"
		return 0
	fi
	if [ -e "$2" ]; then
		say "== $1: settings or input have changed; ${2##*/} is kept as ${2##*/}.old"
		mv -f "$2" "$2.old"
	fi
	if [ "$(cat "$keyfile.next" 2>/dev/null)" != "$key" ]; then
		rm -f "$2.part"
		printf '%s\n' "$key" >"$keyfile.next"
	fi
	return 1
}

# finish STEP FILE SECONDS-AT-START: FILE.part is whole now
finish()
{
	cp "$OUT/.keys/$1.next" "$OUT/.keys/$1"
	mv -f "$2.part" "$2"
	say "   $(records "$2") lines in ${2##*/}, $((SECONDS - $3)) s"
}

# check_status TOOL STATUS: stops where a command did not do its work
check_status()
{
	case $2 in
	0) ;;
	2) failed=1 ;;
	*) die "$1 ended with status $2" ;;
	esac
}

rejected()
{
	if [ -s "$OUT/rejects/$1.jsonl" ]; then
		say "   $(records "$OUT/rejects/$1.jsonl") records failed: rejects/$1.jsonl"
	else
		rm -f "$OUT/rejects/$1.jsonl"
	fi
}

# step STEP INPUT OUTPUT COMMAND...: one process from a file to a file
step()
{
	local step=$1 in=$2 out=$3 started=$SECONDS status=0
	shift 3
	chain "$@"
	done_before "$step" "$out" && return
	say "== $step: $*"
	"$@" --rejects "$OUT/rejects/$step.jsonl" "$in" >"$out.part" || status=$?
	check_status "$1" "$status"
	rejected "$step"
	finish "$step" "$out" "$started"
}

# --- steps that are done side by side ---------------------------------------

ids()
{
	jq -Rc 'try (fromjson | .id) catch null' "$1"
}

# pending INPUT PART: the records of INPUT whose ids are not in PART
pending()
{
	ids "$2" >"$2.ids"
	jq -nRr --slurpfile ids "$2.ids" '
		(reduce ($ids[] | tojson) as $id ({}; .[$id] = true)) as $there
		| inputs | select($there[try (fromjson | .id | tojson) catch ""] | not)' "$1"
	rm -f "$2.ids"
}

# A killed run may have left half a line, and a record that died is out of
# order when it is done later.
cut_half_line()
{
	[ ! -s "$1" ] || [ -z "$(tail -c 1 "$1")" ] || sed -i '$d' "$1"
}

in_order_of()
{
	ids "$1" >"$2.in"
	ids "$2" >"$2.ids"
	awk -v OFS='\t' '
		FILENAME == ARGV[1] { place[$0] = FNR; next }
		FILENAME == ARGV[2] { order[FNR] = place[$0]; next }
		{ print order[FNR], $0 }' "$2.in" "$2.ids" "$2" | sort -s -n -k1,1 | cut -f2- >"$2.sorted"
	mv -f "$2.sorted" "$2"
	rm -f "$2.in" "$2.ids"
}

# On a terminal: how far it is, every two seconds.
watch()
{
	while sleep 2 && kill -0 $$; do
		printf '\r   %d/%d ' "$(records "$1")" "$2" >&2
	done
}

# Killed itself, the script ends what it has started; what is done is kept.
worker=
stop()
{
	trap - INT TERM
	set +e  # what it kills has a status of its own
	if [ -n "$worker" ]; then
		# once: start nothing new; twice: end what runs
		kill -TERM -- "-$worker" && sleep 0.5
		kill -TERM -- "-$worker" && wait "$worker"
	fi
	exit 143
} 2>/dev/null
trap stop INT TERM

# Processes that ended otherwise than the tools do: killed, crashed
died()
{
	awk -F'\t' 'NR > 1 && ($8 != 0 || ($7 != 0 && $7 != 2 && $7 != 3)) { n++ } END { print n + 0 }' "$1"
}

# each STEP INPUT OUTPUT COMMAND...: the records of INPUT under GNU parallel
each()
{
	local step=$1 in=$2 out=$3 started=$SECONDS total status=0 resumed=0 watcher='' todo=$2
	local part=$out.part log=$OUT/.keys/$step.joblog rejects=$OUT/rejects/$step command
	shift 3
	chain "$@"
	done_before "$step" "$out" && return
	total=$(records "$in")
	say "== $step: $* ($total records, $JOBS processes)"

	"$@" "${model[@]}" -q </dev/null >/dev/null 2>"$out.err" || status=$?
	# no input is status 3; misuse is 1, and need not be said by every process
	[ "$status" -ne 1 ] || { cat "$out.err" >&2; rm -f "$out.err"; die "$1 does not take these settings"; }
	rm -rf "$out.err" "$rejects"
	status=0
	mkdir -p "$rejects"
	touch "$part"
	cut_half_line "$part"
	if [ -s "$part" ]; then
		resumed=1
		todo=$part.todo
		pending "$in" "$part" >"$todo"
		say "   $(records "$part") of them done before"
	fi
	command=$(printf '%q ' "$@" "${model[@]}" -q -t "$THREADS" --rejects "$rejects")
	if [ -t 2 ]; then
		watch "$part" "$total" 9>&- &
		watcher=$!
	fi
	: >"$log"
	if [ -s "$todo" ]; then
		set -m  # a process group of its own, for stop
		PARALLEL_SHELL=/bin/bash parallel --will-cite --pipe --keep-order -N"$CHUNK" -j "$JOBS" \
			--joblog "$log" "${command% }/{#}.jsonl" <"$todo" >>"$part" &
		worker=$!
		set +m
		wait "$worker" || status=$?
		worker=
	fi
	if [ -n "$watcher" ]; then
		kill "$watcher"
		wait "$watcher" 2>/dev/null || true
		printf '\r' >&2
	fi
	[ "$status" -le 101 ] || die "parallel ended with status $status"

	find "$rejects" -name '*.jsonl' | sort -V | xargs -r cat >"$rejects.jsonl"
	rm -r "$rejects"
	[ -s "$rejects.jsonl" ] || rm -f "$rejects.jsonl"
	[ "$(died "$log")" -eq 0 ] || die "$(died "$log") processes were killed or crashed; start again to go on"
	[ -s "$part" ] || die "$step: no record came through"
	if [ "$resumed" -eq 1 ]; then
		rm -f "$todo"
		in_order_of "$in" "$part"
	fi
	if [ "$(records "$part")" -ne "$total" ]; then
		failed=1
		say "   $((total - $(records "$part"))) of $total records failed: ${rejects#"$OUT/"}.jsonl"
	fi
	finish "$step" "$out" "$started"
}

# --- the iteration -----------------------------------------------------------

prompts()
{
	local count=$PROMPTS
	[ "$count" = all ] && count=0
	awk -v count="$count" 'NF && (!count || n++ < count)' "$INPUT" |
		jq -Rr '. as $line | (try fromjson catch null) as $record
			| if ($record | type) == "object" and ($record | has("id") | not)
			  then {id: "line-\(input_line_number)"} + $record | tojson else $line end'
}

chain "$(mr-sample --version)" "$model_key" "$SEED" "$(prompts | sha256sum)"
if ! done_before prompts "$OUT/prompts.jsonl"; then
	prompts >"$OUT/prompts.jsonl.part"
	say "== prompts: from ${INPUT#"$root/"}"
	finish prompts "$OUT/prompts.jsonl" "$SECONDS"
fi

each sample "$OUT/prompts.jsonl" "$OUT/sampled.jsonl" \
	mr-sample -n "$K" --max-tokens "$MAX_TOKENS" --seed "$SEED"
each judge "$OUT/sampled.jsonl" "$OUT/judged.jsonl" \
	mr-judge -n "$N" --max-tokens "$JUDGE_TOKENS" --seed "$SEED" "${guided[@]}"
last=$OUT/judged.jsonl
if [ "$ROLES" = both ]; then
	each metajudge "$last" "$OUT/battles.jsonl" \
		mr-metajudge --max-judgments "$META_JUDGMENTS" --max-tokens "$META_TOKENS" --seed "$SEED" "${guided[@]}"
	step elo "$OUT/battles.jsonl" "$OUT/rated.jsonl" \
		mr-elo --max-chars "$JUDGE_CHARS" -q
	last=$OUT/rated.jsonl
fi
# The actor's choice comes last, so that trying another RHO costs no battles.
step lengthctl "$last" "$OUT/chosen.jsonl" \
	mr-lengthctl --rho "$RHO" --max-chars "$MAX_CHARS" -q
step pairs "$OUT/chosen.jsonl" "$OUT/pairs.jsonl" mr-pairs --role "$ROLES" -q
[ -s "$OUT/pairs.jsonl" ] ||
	die "there is no pair to train on; take more prompts, or a larger K or N"

dpo=(mr-dpo --batch "$BATCH" --epochs "$EPOCHS" --lr "$LR" --seed "$SEED")
chain "${dpo[@]}"
if ! done_before dpo "$OUT/dpo-log.jsonl"; then
	started=$SECONDS
	status=0
	[ ! -e "$OUT/model.gguf" ] || mv -f "$OUT/model.gguf" "$OUT/model.gguf.old"
	say "== dpo: ${dpo[*]} ($(records "$OUT/pairs.jsonl") pairs)"
	"${dpo[@]}" "${model[@]}" -o "$OUT/model.gguf" --rejects "$OUT/rejects/dpo.jsonl" \
		"$OUT/pairs.jsonl" >"$OUT/dpo-log.jsonl.part" || status=$?
	check_status mr-dpo "$status"
	rejected dpo
	finish dpo "$OUT/dpo-log.jsonl" "$started"
fi

{
	for name in "${names[@]}"; do
		case $name in JOBS | THREADS | CHUNK | OUT) ;; *) printf '%s\t%s\n' "$name" "${!name}" ;; esac
	done
} | jq -Rn --arg version "$(mr-sample --version)" \
	--arg sums "$(cd "$OUT" && sha256sum -- *.jsonl model.gguf)" '
	{pipeline: "iteration.sh", version: $version,
	 settings: ([inputs | split("\t") | {(.[0]): .[1]}] | add),
	 files: ($sums | split("\n") | map(split("  ") | {(.[1]): .[0]}) | add)}' >"$OUT/manifest.json.part"
mv -f "$OUT/manifest.json.part" "$OUT/manifest.json"
say "== done: $OUT/model.gguf"
[ "$failed" -eq 0 ] || exit 2
