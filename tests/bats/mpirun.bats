#!/usr/bin/env bats
# Training by several processes, where Open MPI is installed.

load helper

prepare() {
	command -v mpirun >/dev/null && command -v mpicc >/dev/null || skip "Open MPI is not installed"
	case $B in */asan) skip "not with the sanitizers" ;; esac
	# the one file that knows MPI, before the library that has it without
	mkdir mpi
	local flags
	read -ra flags < <(mpicc --showme:compile)
	cc -std=c11 -D_GNU_SOURCE -O2 -DMR_MPI "${flags[@]}" -I"$repo/lib" -c -o mpi/ranks.o "$repo/lib/train/ranks.c"
	read -ra flags < <(mpicc --showme:link)
	for tool in mr-dpo mr-sft; do
		cc -o mpi/$tool "$B/tools/$tool.o" mpi/ranks.o "$B/libmr.a" -lcjson -lopenblas -lpthread -lm "${flags[@]}"
	done
	jq -nc 'range(11) | {id: "p\(.)", role: "actor",
		prompt: [{role: "user", content: "Say something about the number \(.)."}],
		chosen: [{role: "assistant", content: "The number \(.) is good, and so is the answer."}],
		rejected: [{role: "assistant", content: "No, \(.), never. Ask me again on another day, or do not."}]}' >in.jsonl
}

# ranks N TOOL ARGUMENT...
ranks() {
	local n=$1 tool=$2
	shift 2
	mpirun --allow-run-as-root --oversubscribe -n "$n" mpi/"$tool" -q -t 1 "$@"
}

# same_curve LOG WANTED: as many lines, the losses within 1e-5.
same_curve() {
	jq -se --slurpfile wanted "$2" 'length == ($wanted | length) and (to_entries | all(.[];
		(($wanted[.key] | .loss // .eval_loss) / (.value | .loss // .eval_loss) - 1 | fabs) < 1e-5))' "$1" >/dev/null
}

@test "two and three processes train as one does, each number of them with the same bytes" {
	local run=(--batch 4 --epochs 2 --lr 1e-4 --eval in.jsonl in.jsonl) n
	mr-dpo -q -o one.gguf "${run[@]}" >one.log
	for n in 2 3; do
		ranks $n mr-dpo -o n$n.gguf "${run[@]}" >n$n.log
		same_curve n$n.log one.log
		join <("$B/helper/tensor-norms" one.gguf | sort) <("$B/helper/tensor-norms" n$n.gguf | sort) |
			awk '{ d = $4 / $2 - 1; if (d > 1e-5 || d < -1e-5) bad = 1 } END { exit bad || NR < 10 }'
	done
	ranks 2 mr-dpo -o again.gguf "${run[@]}" >again.log
	cmp again.gguf n2.gguf && cmp again.log n2.log
	# alone it is the program that knows nothing of this
	mpi/mr-dpo -q -o alone.gguf "${run[@]}" >alone.log
	cmp alone.gguf one.gguf && cmp alone.log one.log
	jq -c '{prompt, completion: .chosen}' in.jsonl >demos.jsonl
	mr-sft -q --epochs 2 --batch 3 -o sft.gguf demos.jsonl >sft.log
	ranks 2 mr-sft --epochs 2 --batch 3 -o sft2.gguf demos.jsonl >sft2.log
	same_curve sft2.log sft.log
}

@test "what is wrong in one process ends them all, and is said once" {
	run ranks 2 mr-dpo -o out.gguf --batch 2 <in.jsonl
	[ "$status" -ne 0 ]
	assert_output --partial 'under mpirun the records come from FILEs'
	"$B/helper/mktiny" bad.gguf 1 F32
	printf '\000\000\300\177' | dd of=bad.gguf bs=1 seek=$(($(stat -c %s bad.gguf) - 4 - 64 * 4)) conv=notrunc status=none
	run ranks 2 mr-dpo -m bad.gguf -o out.gguf in.jsonl
	[ "$status" -eq 3 ]
	[ "$(grep -c 'are not finite' <<<"$output")" -eq 1 ]
	[ ! -e out.gguf ]
}

@test "a checkpoint of two processes goes on with two" {
	local run=(--batch 4 --epochs 3 --lr 1e-3 in.jsonl)
	ranks 2 mr-dpo -o whole.gguf "${run[@]}" >whole.log
	mkdir -p full
	# the model's folder is gone at the end: the last checkpoint is what is left
	run ranks 2 mr-dpo -o full/out.gguf --checkpoint dir "${run[@]}" --manifest full/absent/m.json
	[ "$status" -eq 3 ]
	[ -e dir/checkpoint ]
	run -3 mr-dpo -q -o out.gguf --checkpoint dir --resume "${run[@]}"
	assert_output --partial 'ranks was 2, and is 1 now'
	ranks 2 mr-dpo -o out.gguf --checkpoint dir --resume "${run[@]}" >log
	cmp log whole.log && cmp out.gguf whole.gguf
}
