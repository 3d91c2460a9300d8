# meta-rewarding.mk: the whole recipe, from a model and prompts to a better model
#
#   make -f pipelines/meta-rewarding.mk RUN=run CONF=small
#
# CONF names the settings: one or more files of recipes/, or of your own, of
# which a later one counts more (CONF='small self-rewarding'). Every setting is
# explained in recipes/paper.conf, which is always read first. Any can be given
# on the command line as well (RHO='0 0.2'), and has to be given each time then.
#
# Everything comes to be in the folder RUN:
#
#   prompts/  generated  pool  held-out
#   seed/     answers: the model that it all starts from, on the held-out prompts
#   sft/      demonstrations, model.gguf, its answers and how they are liked
#   iter1/    prompts  sampled  judged  battles  rated  chosen  pairs  validation,
#             model.gguf, dpo-log, its answers, preferences, self-preferences
#   iter2/ …  report.md  report.html  manifest.json
#
# Stop it when you like; the same command goes on, and makes only what is
# missing or depends on something that has changed: a file of the run, a file
# from outside (RUN/inputs), or the command that makes it (RUN/settings).

MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL     := /bin/bash
.SECONDEXPANSION:
.DELETE_ON_ERROR:

HERE     := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
EXAMPLES := $(HERE)/../examples
MR_BIN   ?= $(wildcard $(HERE)/../build/bin)
ifneq ($(MR_BIN),)
export PATH := $(realpath $(MR_BIN)):$(PATH)
endif

# --- settings ---------------------------------------------------------------------

RUN  = run
CONF = $(or $(file <$(RUN)/conf),paper)

override RUN := $(patsubst %/,%,$(RUN))
$(if $(filter-out 1,$(words $(RUN))),$(error RUN is the name of a folder, one word))

find-conf = $(or $(wildcard $(HERE)/recipes/$1.conf),$(wildcard $1),$(wildcard $(HERE)/recipes/$1),$(error there is no recipe "$1"))
include $(HERE)/recipes/paper.conf
include $(foreach c,$(CONF),$(call find-conf,$c))

MODEL       := $(or $(MODEL),$(MR_MODEL),$(firstword $(wildcard models/*.gguf $(HERE)/../models/*.gguf)))
JUDGE_MODEL := $(or $(JUDGE_MODEL),$(MODEL))
making      := $(filter-out report status verify prune help clean-%,$(or $(MAKECMDGOALS),all))
ifneq ($(making),)
$(if $(MODEL),,$(error there is no model; give MODEL=FILE, or have mr-model fetch bring the default one))
$(foreach f,$(MODEL) $(if $(JUDGE_ENDPOINT),,$(JUDGE_MODEL)) $(PROMPTS) $(SEED_PROMPTS) $(JUDGE_SEED) $(EVAL_PROMPTS),$(if \
	$(wildcard $f),,$(error there is no file $f)))
endif
iterations  := $(shell seq $(ITERATIONS))
models      := sft $(iterations:%=iter%)
guided      := $(if $(filter-out 0,$(GUIDED)),--guided)
evaluated   := $(filter-out 0,$(HELD_OUT))
sampling    := --temperature $(TEMPERATURE) --top-p $(TOP_P)
export RUN BASE SERVER JOBS THREADS CHUNK SSHLOGIN

# An iteration's word of a setting, for RHO = 0 0.32 0.32 0.4
word-of = $(or $(word $2,$($1)),$(lastword $($1)))

# ... of the iteration whose file is being made
n    = $(patsubst iter%,%,$(notdir $(@D)))
this = $(call word-of,$1,$n)

# Whether an iteration has judge pairs: without them the meta-judge has no work
both   = $(filter-out actor,$(call word-of,ROLES,$1))
scored = $(if $(call both,$n),rated,judged)

# The model that an iteration starts from: it answers, it judges, it is trained
start = $(RUN)/$(word $n,$(models))/model.gguf

# Every rule below has a command above it, under the name of its file. A file
# depends on this command too, by way of a file that holds it, RUN/settings/...
command  = $(call made-by,$(basename $(@:$(RUN)/%=%)))
made-by  = $(or $($1),$($(notdir $1)))
settings = $(basename $(@:$(RUN)/%=$(RUN)/settings/%))
inputs  := $(RUN)/inputs

stage     = @$(HERE)/stage.sh $1 $@ $(filter-out FORCE,$^) --
filter    = $(call stage) $(command) -q -o $@ $<
train     = $(call stage,--log $(@D)/$1.jsonl --work $@.work)
resumable = -q --checkpoint $@.work --resume

# $(call spread,MODEL,FILE): the command over many processes or hosts, FILE first
# of what it reads. With SERVER it asks a server of this model, which is up for
# all that the model has to say in a folder: a make of its own has it all made.
ifeq ($(SERVER),)
spread = $(call stage) $(HERE)/spread.sh MODEL=$1 $< $@ $(command) $2
else
spread  = $(if $(filter $1,$(SERVED)),$(ask),$(serve))
ask     = $(call stage,--resume) $(command) -q --endpoint $(ENDPOINT) -m $(ENDPOINT_MODEL) --jobs $(SERVER_JOBS) \
	--rejects $@.rejects.jsonl $(or $3,$2 $<)
serve   = @$(submake) -q SERVED=none $(said) || $(HERE)/with-server.sh $1 \
	$(submake) SERVED=$1 ENDPOINT={endpoint} ENDPOINT_MODEL={name} $(said)
said    = $(or $(call said-of,answers self-preferences),$(call said-of,sampled judged battles),$@)
said-of = $(if $(filter $1,$(basename $(@F))),$(filter $(1:%=$(@D)/%.jsonl),$(files)))
submake = $(MAKE) -f $(HERE)/meta-rewarding.mk
endif

all: $(RUN)/report.md $(RUN)/report.html   ## everything, and the report (the default)

# --- prompts: new ones in the manner of a few, or those of a file --------------------

# Dealt out without overlap. The validation prompts are part of every iteration.
shares  = $(if $(EVAL_PROMPTS),,held-out=$(HELD_OUT)) validation=$(VALIDATION) $(iterations:%=iter%=$(PROMPTS_EACH))
needed := $(shell echo $$(( $(if $(EVAL_PROMPTS),0,$(HELD_OUT)) + $(VALIDATION) + $(ITERATIONS) * $(PROMPTS_EACH) )))

ifeq ($(PROMPTS),)
generated = mr-prompts -n $(needed) --max-rouge $(MAX_ROUGE) --max-tokens $(PROMPT_TOKENS) --seed $(SEED)
$(RUN)/prompts/generated.jsonl: $(inputs)/seed-prompts $(inputs)/model $(inputs)/engine $$(settings)
	$(if $(SERVER),$(call spread,$(MODEL),,$(SEED_PROMPTS)), \
		$(call stage,--resume) $(command) -q -m $(MODEL) $(SEED_PROMPTS))

pool = draw-prompts.sh none $(shares)
$(RUN)/prompts/pool.jsonl: $(RUN)/prompts/generated.jsonl $$(settings)
	$(call stage,--stdout) $(HERE)/$(command) $<
else
pool = draw-prompts.sh $(SEED) $(shares)
$(RUN)/prompts/pool.jsonl: $(inputs)/prompts $$(settings)
	$(call stage,--stdout) $(HERE)/$(command) $(PROMPTS)
endif

ifeq ($(EVAL_PROMPTS),)
held-out = grep '"split":"held-out"}$$'
$(RUN)/prompts/held-out.jsonl: $(RUN)/prompts/pool.jsonl $$(settings)
	$(call stage,--stdout) $(command) $<
else
held-out = draw-prompts.sh $(SEED) held-out=$(HELD_OUT)
$(RUN)/prompts/held-out.jsonl: $(inputs)/eval-prompts $$(settings)
	$(call stage,--stdout) $(HERE)/$(command) $(EVAL_PROMPTS)
endif

# --- a start: supervised training on demonstrations of judging -------------------------

demonstrations = judge-seed.sh -n $(DEMONSTRATIONS)
$(RUN)/sft/demonstrations.jsonl: $(inputs)/judge-seed $$(settings)
	$(call stage,--stdout) $(HERE)/$(command) $(JUDGE_SEED)

sft/model = mr-sft --epochs $(SFT_EPOCHS) --batch $(SFT_BATCH) --lr $(SFT_LR) --type $(MODEL_TYPE) --seed $(SEED)
$(RUN)/sft/model.gguf: $(RUN)/sft/demonstrations.jsonl $(inputs)/model $$(settings)
	$(call train,sft-log) $(command) $(resumable) -m $(MODEL) -o $@ $<

# --- an iteration ----------------------------------------------------------------------

prompts = grep '"split":"\(iter$n\|validation\)"}$$'
$(RUN)/iter%/prompts.jsonl: $(RUN)/prompts/pool.jsonl $$(settings)
	$(call stage,--stdout) $(command) $<

# The actor: K responses to each prompt.
sampled = mr-sample -n $K $(sampling) --max-tokens $(MAX_TOKENS) --seed $(SEED)
$(RUN)/iter%/sampled.jsonl: $(RUN)/iter%/prompts.jsonl $$(start) $(inputs)/engine $$(settings)
	$(call spread,$(start))

# The judge: N judgments of each response, or another command's scores.
ifeq ($(SCORER),)
judged = mr-judge -n $N $(sampling) --max-tokens $(JUDGE_TOKENS) $(guided) --seed $(SEED)
$(RUN)/iter%/judged.jsonl: $(RUN)/iter%/sampled.jsonl $$(start) $(inputs)/engine $$(settings)
	$(call spread,$(start))
else
judged = $(SCORER)
$(RUN)/iter%/judged.jsonl: $(RUN)/iter%/sampled.jsonl $$(settings)
	$(call stage,--stdout) bash -o pipefail -c $(call quote,$(command)) <$<
endif

# The meta-judge: every two judgments of the most disputed response, in both orders.
battles = mr-metajudge --max-judgments $(META_JUDGMENTS) $(sampling) --max-tokens $(META_TOKENS) $(guided) --seed $(SEED)
$(RUN)/iter%/battles.jsonl: $(RUN)/iter%/judged.jsonl $$(start) $(inputs)/engine $$(settings)
	$(call spread,$(start))

# The judge's choice: the judgment with the highest rating against the lowest.
rated = mr-elo --max-chars $(call this,JUDGE_CHARS)
$(RUN)/iter%/rated.jsonl: $(RUN)/iter%/battles.jsonl $$(settings)
	$(filter)

# The actor's choice: a short good response against a long bad one. It comes
# last, so that trying another RHO costs no battles.
chosen = mr-lengthctl --rho $(call this,RHO) --max-chars $(call this,MAX_CHARS)
$(RUN)/iter%/chosen.jsonl: $(RUN)/iter%/$$(scored).jsonl $$(settings)
	$(filter)

# Pairs to train on, and pairs to validate on.
pairs      = mr-pairs --role $(call this,ROLES)
validation = $(pairs)
$(RUN)/iter%/pairs.jsonl: $(RUN)/iter%/chosen.jsonl $$(settings)
	$(call stage) $(HERE)/pairs-of.sh train $< $@ $(command)
$(RUN)/iter%/validation.jsonl: $(RUN)/iter%/chosen.jsonl $$(settings)
	$(call stage) $(HERE)/pairs-of.sh validation $< $@ $(command)

# DPO: the next model, by mr-dpo or another trainer.
ifeq ($(TRAINER),)
model = mr-dpo --beta $(BETA) --lr $(call this,LR) --epochs $(EPOCHS) --batch $(BATCH) --best $(BEST) \
	--type $(MODEL_TYPE) --seed $(SEED)
trained = $(command) $(resumable) $$([ ! -s $(@D)/validation.jsonl ] || echo --eval $(@D)/validation.jsonl) \
	-m $(start) -o $@ $<
else
model = BETA=$(BETA) LR=$(call this,LR) EPOCHS=$(EPOCHS) BATCH=$(BATCH) SEED=$(SEED) $(TRAINER)
trained = env EVAL=$(@D)/validation.jsonl $(command) $< $(start) $@
endif
$(RUN)/iter%/model.gguf: $(RUN)/iter%/pairs.jsonl $(RUN)/iter%/validation.jsonl $$(start) $$(settings)
	$(call train,dpo-log) $(trained)

# --- every model against the one it all began with ----------------------------------------

answers = mr-sample -n 1 --temperature $(EVAL_TEMPERATURE) --max-tokens $(EVAL_TOKENS) --seed $(SEED)
$(RUN)/seed/answers.jsonl: $(RUN)/prompts/held-out.jsonl $(inputs)/model $(inputs)/engine $$(settings)
	$(call spread,$(MODEL))
$(RUN)/%/answers.jsonl: $(RUN)/prompts/held-out.jsonl $(RUN)/%/model.gguf $(inputs)/engine $$(settings) \
		| $(RUN)/seed/answers.jsonl
	$(call spread,$(@D)/model.gguf)

# by a judge that stays the same, and by the model itself
judge = $(if $(JUDGE_ENDPOINT),$(ask-judge),$(call spread,$(JUDGE_MODEL),$(RUN)/seed/answers.jsonl))
ask-judge = $(call stage,--resume) $(command) -q --endpoint $(JUDGE_ENDPOINT) -m $(JUDGE_MODEL) \
	--rejects $@.rejects.jsonl $(RUN)/seed/answers.jsonl $<
preferences      = mr-compare --protocol $(PROTOCOL) --max-tokens $(EVAL_TOKENS) $(guided) --seed $(SEED)
self-preferences = $(preferences)
$(RUN)/%/preferences.jsonl: $(RUN)/%/answers.jsonl $(RUN)/seed/answers.jsonl $(inputs)/judge-model \
		$(inputs)/engine $$(settings)
	$(judge)
$(RUN)/%/self-preferences.jsonl: $(RUN)/%/answers.jsonl $(RUN)/seed/answers.jsonl $(RUN)/%/model.gguf \
		$(inputs)/engine $$(settings)
	$(call spread,$(@D)/model.gguf,$(RUN)/seed/answers.jsonl)

# --- what a run consists of ------------------------------------------------------------------

of-iteration = $(addsuffix .jsonl,prompts sampled judged $(if $(call both,$1),battles rated) chosen pairs validation)
of-model     = model.gguf $(if $(evaluated),answers.jsonl preferences.jsonl self-preferences.jsonl)
of           = $(addprefix $(RUN)/$1/,$(if $(filter iter%,$1),$(call of-iteration,$(1:iter%=%))) $(of-model))

files := $(addprefix $(RUN)/,$(if $(PROMPTS),,prompts/generated.jsonl) prompts/pool.jsonl \
	$(if $(evaluated),prompts/held-out.jsonl seed/answers.jsonl) sft/demonstrations.jsonl) $(foreach m,$(models),$(call of,$m))

# named here, they are what make makes, and nothing that it removes in the end
$(files) $(basename $(files:$(RUN)/%=$(RUN)/settings/%)) \
$(addprefix $(inputs)/,engine model judge-model judge-seed prompts seed-prompts eval-prompts):

sft: $(call of,sft) $(RUN)/conf   ## the model that iteration 1 starts from
iter1:   ## up to the end of an iteration, iter2 and so on
$(iterations:%=iter%): %: $$(call of,$$*) $(RUN)/conf

$(RUN)/report.md: $(files) $(RUN)/conf
	$(HERE)/report.sh $(RUN) >$@.part && mv -f $@.part $@
$(RUN)/report.html: $(files)
	$(HERE)/report.sh --html $(RUN) >$@.part && mv -f $@.part $@

RUNS = $(RUN)
report:   ## the report on what there is, of RUNS='a b' side by side
	@$(HERE)/report.sh $(RUNS)

status:   ## how far it is, and how long it will take
	@$(HERE)/status.sh $(RUN) $(files)

verify:   ## whether each file follows from what it was made of
	@$(HERE)/verify.sh $(RUN)

# What a model is needed for is done when it has been compared and the next is
# there. It is left empty, so that make takes it as made.
prune:   ## to save space, drop the models that are not needed any more
	@set -- $(models); for m; do \
		shift; file=$(RUN)/$$m/model.gguf; \
		[ -s "$$file" ] && [ -s "$(RUN)/$$1/model.gguf" ] $(foreach f,$(filter %.jsonl,$(of-model)), \
			&& [ -e "$(RUN)/$$m/$f" ]) || continue; \
		echo "$$m/model.gguf" >>$(RUN)/.pruned && time=$$(stat -c @%.9Y "$$file") && \
		: >"$$file" && touch -d "$$time" "$$file" && echo "$$file"; \
	done

clean-iter1:   ## remove the files of an iteration, clean-iter2 and so on
$(iterations:%=clean-iter%): clean-iter%:
	rm -rf $(RUN)/iter$* $(RUN)/settings/iter$*

help:   ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

.PHONY: all sft $(iterations:%=iter%) $(iterations:%=clean-iter%) prune report status verify help FORCE

# --- what has changed ----------------------------------------------------------------------------

# The settings are files that change when the command does, and only then.
same  = $(and $(findstring x$1x,x$2x),$(findstring x$2x,x$1x))
quote = '$(subst ','\'',$1)'

$(RUN)/settings/%: $$(if $$(call same,$$(file <$$@),$$(call made-by,$$*)),,FORCE)
	@mkdir -p $(@D) && printf '%s\n' $(call quote,$(call made-by,$*)) >$@

$(RUN)/conf: $(if $(call same,$(file <$(RUN)/conf),$(CONF)),,FORCE)
	@mkdir -p $(@D) && printf '%s\n' $(call quote,$(CONF)) >$@

# What comes from outside is known by its content.
from/model        = $(MODEL)
from/judge-model  = $(JUDGE_ENDPOINT:%=%/)$(JUDGE_MODEL)
from/judge-seed   = $(JUDGE_SEED)
from/prompts      = $(PROMPTS)
from/seed-prompts = $(SEED_PROMPTS)
from/eval-prompts = $(EVAL_PROMPTS)
identity          = $(or $(is/$1),$(shell $(HERE)/identity.sh $(RUN) $(from/$1)))
is/engine         = $(or $(SERVER),the tools themselves)

$(RUN)/inputs/%: $$(if $$(call same,$$(file <$$@),$$(call identity,$$*)),,FORCE)
	@mkdir -p $(@D) && printf '%s\n' $(call quote,$(call identity,$*)) >$@

# A file that is not what was made from its inputs is made anew.
changed := $(if $(making),$(shell $(HERE)/verify.sh --changed $(RUN)))
$(changed:%=$(RUN)/%): FORCE
$(patsubst %/dpo-log.jsonl,$(RUN)/%/model.gguf,$(filter %/dpo-log.jsonl,$(changed))) \
$(patsubst %/sft-log.jsonl,$(RUN)/%/model.gguf,$(filter %/sft-log.jsonl,$(changed))): FORCE
FORCE:
