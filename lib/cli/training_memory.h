/* What mr-dpo and mr-sft train, all weights or adapters, and in how much memory. */
#ifndef MR_CLI_TRAINING_MEMORY_H
#define MR_CLI_TRAINING_MEMORY_H

#include <stdbool.h>

struct training;

struct training_memory {
	const char *limit;              /* --mem; NULL: what the machine has */
	int rank;                       /* 0: all weights */
	double alpha;
	const char *targets;
	bool merged;
};

#define TRAINING_MEMORY_OPTIONS(m) \
	{ OPT_GROUP, .help = "Memory" }, \
	{ OPT_STRING, "mem", .value = &(m)->limit, .arg = "SIZE", .help = "keep within so much memory, such as 8G, " \
	    "at the price of time, or refuse; without it, what is free" }, \
	{ OPT_INT, "lora-rank", .value = &(m)->rank, .arg = "R", .help = "train adapters of this rank, and not the " \
	    "model's own weights; 0: all weights [{}]", .min = 0, .max = 4096 }, \
	{ OPT_DOUBLE, "lora-alpha", .value = &(m)->alpha, .arg = "A", .help = "an adapter counts A / R times [{}]", \
	    .min = 1e-6, .max = 1e6 }, \
	{ OPT_STRING, "lora-targets", .value = &(m)->targets, .arg = "LIST", \
	    .help = "the matrices that get one [{}]" }, \
	{ OPT_FLAG, "merge", .value = &(m)->merged, .help = "-o gets the whole model, adapters added, not them alone" }

void training_memory_defaults(struct training_memory *m);
void training_memory_check(struct training *t);

/* Makes t->trainer and t->adamw: decides how many layers are computed again,
 * says what memory will be needed and takes it. Exits 3 where it does not fit. */
void training_memory_open(struct training *t);

/* "…, peak memory 812 MiB" */
void training_memory_note(struct training *t);

#endif
