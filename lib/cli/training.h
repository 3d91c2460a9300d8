/*
 * What mr-dpo and mr-sft do alike: their options, the examples read from the
 * records, the model opened as float32, the run with its log on standard
 * output, the trained model and its manifest.
 *
 * A tool: training_start → training_read → training_open → its own
 * preparation → return training_run().
 */
#ifndef MR_CLI_TRAINING_H
#define MR_CLI_TRAINING_H

#include "cli/cli.h"
#include "cli/training_memory.h"
#include "train/loop.h"

struct training {
	struct cli cli;
	struct train_plan plan;         /* the tool sets its defaults before training_start */
	const char *what;               /* "pairs": what a record is, in messages */
	/* options */
	const char *out, *type_name, *schedule_name;
	bool no_shuffle;
	int max_length;                 /* tokens; 0: the model's context */
	struct training_memory memory;
	/* state */
	enum tensor_type type;
	struct model *model;
	struct pool *pool;
	struct trainer *trainer;
	struct adamw adamw;
	struct examples examples;
	uint64_t too_long;
	struct train_log first, last;   /* their numbers only */
	double started;
};

/* own: the tool's options, ended by OPT_END; name, usage and summary of tool
 * are set, the rest is done here. Exits as cli_start does; also where the
 * model or the output file cannot be opened. */
void training_start(struct training *t, struct cli_tool *tool, const struct opt *own, int argc, char **argv);

typedef int training_add(struct examples *e, const struct record *r, const struct model *m, struct err *err);

/* Reads all records. One that is longer than the context fails; longer than
 * --max-length: it is left out and counted. Exits 3 where none is left. */
void training_read(struct training *t, training_add *add);

/* Says what memory will be needed, takes it, and makes the trainer. */
void training_open(struct training *t);

/* A progress line over something else than steps. */
void training_progress(struct training *t, const char *unit, uint64_t done, uint64_t total);

/* Trains, saves, writes the manifest; the exit status. */
int training_run(struct training *t, train_batch *batch, void *self);

#endif
