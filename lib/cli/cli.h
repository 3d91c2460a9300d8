/*
 * What every tool does alike: options, help, input files, the loop over
 * records with many model requests in flight, output, rejects, resume,
 * manifest, progress, signals, exit status. This room may print, read the
 * environment and exit; those below it may not.
 *
 * A tool: static options → cli_start → cli_records (or its own loop)
 * → return cli_finish().
 */
#ifndef MR_CLI_CLI_H
#define MR_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/opts.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "llm/llm.h"
#include "record/record.h"

enum { EXIT_OK = 0, EXIT_USAGE = 1, EXIT_SOME = 2, EXIT_NOTHING = 3 };

enum cli_needs {
	CLI_MODEL = 1,          /* -m, -t, --chat-template, --batch, --kv-mem, --exact; --endpoint and its options */
	CLI_SAMPLING = 2,       /* --temperature, --top-p, --top-k, --max-tokens */
	CLI_RECORDS = 4,        /* -o, --rejects, --resume, --manifest, FILE operands read as records */
	CLI_OUTPUT = 8,         /* -o and --manifest only */
	CLI_SEED = 16,
	CLI_INPUT = 32,         /* --rejects and FILE operands read as records; output is the tool's own */
	CLI_WEIGHTS = 64,       /* -m, -t, --chat-template only: the model's file, not its generation */
	CLI_ANY_ID = 128,       /* records need no id: the same one may come twice */
};

struct cli_tool {
	const char *name;       /* "mr-judge" */
	const char *usage;      /* "[OPTION]... [FILE]..." */
	const char *summary;    /* what it does, one or two lines for --help */
	unsigned needs;
	struct opt *options;    /* the tool's own */
};

struct cli {
	const struct cli_tool *tool;
	/* common options */
	const char *output, *rejects, *resume, *manifest, *model;
	bool quiet;
	uint64_t seed;
	struct llm_params params;       /* the tool sets its defaults before cli_start */
	struct llm_options llm;
	enum progress_mode progress_mode;
	/* operands */
	char **operands;
	int noperands;
	/* state */
	struct reader reader;
	struct outfile *out;
	struct outfile *rejects_out;
	struct llm *model_handle;
	struct progress progress;
	uint64_t nread, ndone, nfailed, nskipped;
	bool fatal;                     /* → EXIT_NOTHING */
	bool spent;                     /* a budget ended the run before its end */
	struct buf notes;               /* a tool's own part of the summary */
	struct cli_private *priv;
};

/* Parses options (handles --help and --version, exits 1 on misuse), installs
 * signal handlers, opens input and output where the tool needs them, sets
 * the default model's path. Exits with one line where that fails. */
void cli_start(struct cli *c, const struct cli_tool *tool, int argc, char **argv);

/* Opens the model, in this process or the servers' (exits 3 with one line
 * where it cannot). */
struct llm *cli_model(struct cli *c);

/* $MR_MODEL, or the first there is of: models/NAME here, models/NAME of the
 * checkout the program runs from, the user's data folder; NULL: none. */
const char *cli_default_model(void);

/* The whole of a small text file (a template): valid UTF-8, no NUL, at most
 * 1 MiB. NULL and a message (without the path) on error. Notes its hash for the manifest. */
char *cli_text_file(struct cli *c, const char *path, struct err *err);

/* One line on standard error, "mr-judge: …", around the progress line. */
void cli_warn(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void cli_die(struct cli *c, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void cli_usage(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The loop. A job is one record on its way. step is called first with no
 * answers; it may ask (job_ask) any number of requests and is called again
 * when all of them are answered; the call that asks nothing new ends the
 * job: job->out, or the edited record where out is empty, is written, in the
 * order of the input. Returning -1 fails the record with that message: it is
 * reported as "tool: file:line: message" and goes to --rejects as it came.
 * Records that are in --resume's file are skipped; the same id twice is an
 * error. Jobs overlap as far as the model has free slots; memory is bounded
 * by the slots, not by the input. Without a model (c->model_handle NULL)
 * step is called once a record.
 */
struct job {
	struct record rec;
	struct arena arena;
	struct buf out;
	bool silent;            /* write nothing for this record (it is no failure) */
	int step;               /* how many times step was called before */
	int nanswers;           /* requests asked so far, and at each step all answered */
	struct llm_answer **answers;
	void *state;            /* the tool's, in the arena */
	/* private to the loop */
	const char *file;
	long lineno;
	int pending;
	bool ended, failed;
	size_t held;            /* bytes it keeps, about */
	struct err err;
	struct job *next;
	struct cli *cli;
};

typedef int job_step(void *tool, struct job *job, struct err *err);

/* Queues a request for this job (params, seed and id are filled in from the
 * options and the record; set the rest). -1 where it can never run. */
int job_ask(struct job *job, struct llm_request *r, struct err *err);

void cli_records(struct cli *c, job_step *step, void *tool);

/* Writes a piece of output; on failure prints one line and exits 3. */
void cli_write(struct cli *c, const void *data, size_t len);

/* Commits the output and the manifest, prints the summary, returns the exit
 * status: 0; 2 some records failed, or a budget was spent before the end; 3
 * all failed, or there were none. */
int cli_finish(struct cli *c);

/* Manifest: extra members, e.g. "\"omega\":[0.4,0.6]". */
void cli_manifest_add(struct cli *c, const char *members);
/* Writes path.manifest.json (or --manifest's file); cli_finish does it for -o,
 * a tool that writes its own files calls it for each. */
int cli_manifest(struct cli *c, const char *path, struct err *err);

/* Reads the next record of the input for a tool with a loop of its own: 1 and
 * *r (record_free it), 0 at the end. A line that is no record is reported,
 * goes to the rejects and is passed over. */
int cli_next_record(struct cli *c, struct record *r);
/* Fails the record at the reader's place for a reason: reported with file and
 * line, counted, written to the rejects as it came. */
void cli_reject(struct cli *c, const struct record *r, const struct err *err);

/* Set by SIGINT and SIGTERM; loops of a tool's own look at it. */
bool cli_stopping(void);

#endif
