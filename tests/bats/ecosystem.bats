#!/usr/bin/env bats
# What comes out is read by the tools that others use, where their Python
# packages are installed for $PYTHON (python3).

load helper

PYTHON=${PYTHON:-python3}

needs_package() {
	case $B in */asan) skip "once is enough" ;; esac
	local p
	for p; do
		"$PYTHON" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$p') is None)" 2>/dev/null ||
			skip "the Python package $p is not installed"
	done
}

# the ids of a text, and our log-probabilities of each next token
our_logprobs() {
	echo '{"id":"a","text":"The number is good, and so is the answer."}' | mr-model tokenize | jq -c '{id, ids}' >ids.jsonl
	mr-model logprobs --exact -m "$1" ids.jsonl | jq -c .next_logprob >ours.json
}

@test "pairs are a preference data set to TRL, conversational" {
	needs_package datasets trl
	responses 4 | mr-judge -q -n 2 --guided | mr-lengthctl -q | mr-pairs -q --role actor >pairs.jsonl
	[ -s pairs.jsonl ]
	HF_HUB_OFFLINE=1 "$PYTHON" - <<-'EOF'
	from datasets import load_dataset
	from trl.data_utils import is_conversational, maybe_extract_prompt
	d = load_dataset("json", data_files="pairs.jsonl", split="train", cache_dir="cache")
	assert len(d) > 0
	for x in d:
	    assert is_conversational(x), x
	    y = maybe_extract_prompt(x)
	    assert y["prompt"] == x["prompt"] and y["chosen"] == x["chosen"] and y["rejected"] == x["rejected"]
	    assert x["prompt"][-1]["role"] == "user" and x["chosen"][0]["role"] == "assistant"
	EOF
}

@test "trl.sh: TRL's own command line trains on the pairs, from GGUF file to GGUF file" {
	needs_package torch transformers datasets trl accelerate
	responses 4 | mr-judge -q -n 2 --guided | mr-lengthctl -q | mr-pairs -q --role actor >pairs.jsonl
	MR_PYTHON=$PYTHON EVAL=pairs.jsonl LR=1e-3 BATCH=2 EPOCHS=2 "$repo/pipelines/trl.sh" pairs.jsonl "$TINY" trained.gguf >log.jsonl
	# the first loss is log 2, and then it falls on the pairs trained on
	jq -se 'map(select(.loss)) | (.[0].loss - 0.693147 | fabs) < 1e-4 and .[-1].loss < 0.6' log.jsonl
	jq -se 'map(.eval_loss // empty) | length == 2' log.jsonl
	[ ! -e trained.gguf.trl ]
	mr-model check trained.gguf
	[ "$(mr-model info trained.gguf | grep -i architecture)" = "$(mr-model info "$TINY" | grep -i architecture)" ]
	prompts 1 | mr-sample -q -m trained.gguf -n 1 --max-tokens 4 | jq -e '.responses[0].text'
	# what it was given is not what it has now
	our_logprobs "$TINY" && mv ours.json before.json
	our_logprobs trained.gguf
	refute cmp -s before.json ours.json
	run env MR_PYTHON="$PYTHON" BATCH=3 DEVICE_BATCH=2 "$repo/pipelines/trl.sh" pairs.jsonl "$TINY" other.gguf
	assert_failure 3
	assert_output --partial 'a batch of 3 does not go into'
}

@test "a trained model as a Hugging Face folder: transformers loads it and has the same log-probabilities" {
	needs_package torch transformers safetensors
	echo '{"id":"p","prompt":"p","chosen":"This is an answer.","rejected":"No."}' |
		mr-dpo -q --lr 1e-3 -o trained.gguf >/dev/null
	mr-model convert --type F32 trained.gguf folder/
	our_logprobs trained.gguf
	HF_HUB_OFFLINE=1 "$PYTHON" - <<-'EOF'
	import json, torch
	from transformers import AutoModelForCausalLM
	m = AutoModelForCausalLM.from_pretrained("folder", dtype=torch.float32)
	ids = json.loads(open("ids.jsonl").readline())["ids"]
	with torch.no_grad():
	    p = m(torch.tensor([ids])).logits[0].log_softmax(-1)
	theirs = [p[i, ids[i + 1]].item() for i in range(len(ids) - 1)]
	ours = [x for x in json.load(open("ours.json")) if x is not None]
	assert len(ours) == len(theirs) and max(abs(a - b) for a, b in zip(ours, theirs)) < 1e-3, (ours, theirs)
	EOF
}

@test "a trained model loads in llama.cpp and has the same log-probabilities" {
	needs_package llama_cpp numpy
	echo '{"id":"p","prompt":"p","chosen":"This is an answer.","rejected":"No."}' |
		mr-dpo -q --lr 1e-3 -o trained.gguf >/dev/null
	our_logprobs trained.gguf
	"$PYTHON" - <<-'EOF'
	import json, numpy
	from llama_cpp import Llama
	m = Llama("trained.gguf", logits_all=True, n_ctx=256, n_threads=1, verbose=False)
	ids = json.loads(open("ids.jsonl").readline())["ids"]
	m.eval(ids)
	s = numpy.array(m.scores[:len(ids)], dtype=numpy.float64)
	s -= numpy.log(numpy.exp(s - s.max(-1, keepdims=True)).sum(-1, keepdims=True)) + s.max(-1, keepdims=True)
	ours = [x for x in json.load(open("ours.json")) if x is not None]
	theirs = [s[i, ids[i + 1]] for i in range(len(ids) - 1)]
	assert len(ours) == len(theirs) and max(abs(a - b) for a, b in zip(ours, theirs)) < 0.05, (ours, theirs)
	EOF
}

@test "an adapter loads in llama.cpp over its model, and is the merged model" {
	needs_package llama_cpp numpy
	pairs 4 >in.jsonl
	for architecture in llama qwen2; do
		"$B/helper/mktiny" base.gguf 3 F32 $architecture
		mr-dpo -q -m base.gguf --lora-rank 4 --epochs 3 --lr 1e-2 -o adapter.gguf in.jsonl >/dev/null
		mr-model merge -q -o merged.gguf base.gguf adapter.gguf
		our_logprobs merged.gguf
		cp ours.json merged.json
		our_logprobs base.gguf
		"$PYTHON" - <<-'EOF'
		import json, numpy
		from llama_cpp import Llama
		def read(name):
		    return [x for x in json.load(open(name)) if x is not None]
		ids = json.loads(open("ids.jsonl").readline())["ids"]
		def theirs(**more):
		    m = Llama("base.gguf", logits_all=True, n_ctx=256, n_threads=1, verbose=False, **more)
		    m.eval(ids)
		    s = numpy.array(m.scores[:len(ids)], dtype=numpy.float64)
		    s -= numpy.log(numpy.exp(s - s.max(-1, keepdims=True)).sum(-1, keepdims=True)) + s.max(-1, keepdims=True)
		    return [s[i, ids[i + 1]] for i in range(len(ids) - 1)]
		def apart(a, b):
		    return max(abs(x - y) for x, y in zip(a, b))
		base, merged = read("ours.json"), read("merged.json")
		assert apart(base, merged) > 0.5
		assert apart(theirs(), base) < 0.05
		with_adapter = theirs(lora_path="adapter.gguf")
		assert len(with_adapter) == len(merged) and apart(with_adapter, merged) < 0.05, (with_adapter, merged)
		EOF
	done
}
