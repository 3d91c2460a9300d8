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

struct checkpoint_file;

struct training_left_out {
	uint64_t length, prompt;        /* longer than --max-length, with a prompt longer than --max-prompt-length */
};

struct training {
	struct cli cli;
	struct train_plan plan;         /* the tool sets its defaults before training_start */
	const char *what;               /* "pairs": what a record is, in messages */
	/* options */
	const char *out, *type_name, *schedule_name;
	bool no_shuffle;
	int max_length;                 /* tokens; 0: the model's context */
	int max_prompt;                 /* the same of the prompt; 0: no limit */
	const char *eval_file, *best_name, *folder;
	bool has_margin;                /* the tool's: --best margin means something */
	int checkpoint_every;
	bool resume;
	struct training_memory memory;
	/* state */
	enum tensor_type type;
	struct model *model;
	struct pool *pool;
	struct trainer *trainer;
	struct adamw adamw;
	struct examples examples, eval; /* eval: the validation set, or none */
	struct training_left_out left_out, eval_left_out;
	struct train_state state;
	uint64_t tokens_before;         /* of the run that this one goes on from */
	float *best;                    /* the best weights; NULL: they are not kept */
	double started;
	int lock;                       /* the checkpoints' folder, held */
	struct checkpoint_file *from;
	struct buf made_by, log;        /* of the checkpoint */
	uint64_t saved;                 /* the step of the last checkpoint */
};

/* own: the tool's options, ended by OPT_END; name, usage and summary of tool
 * are set, the rest is done here. Exits as cli_start does; also where the
 * model or the output file cannot be opened. */
void training_start(struct training *t, struct cli_tool *tool, const struct opt *own, int argc, char **argv);

typedef int training_add(struct examples *e, const struct record *r, const struct model *m, struct err *err);

/* Reads all records, and the validation set's. One that is longer than the
 * context fails; longer than --max-length, or its prompt longer than
 * --max-prompt-length: it is left out and counted. Exits 3 where none is left. */
void training_read(struct training *t, training_add *add);

/* Says what memory will be needed, takes it, and makes the trainer. */
void training_open(struct training *t);

/* A progress line over something else than steps. */
void training_progress(struct training *t, const char *unit, uint64_t done, uint64_t total);

/* The reference log-probabilities that --checkpoint's folder keeps, of the
 * training and the validation set: false where there are none. Exits where
 * they are another model's or other data's. */
bool training_load_reference(struct training *t, double (*ref)[2], double (*eval_ref)[2]);
void training_save_reference(struct training *t, double (*ref)[2], double (*eval_ref)[2]);

/* Trains (going on from a checkpoint with --resume), saves, writes the
 * manifest; the exit status. */
int training_run(struct training *t, train_batch *batch, train_evaluate *evaluate, void *self);

#endif
