#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/private.h"

void cli_add_option(struct opt **at, struct opt o)
{
	*(*at)++ = o;
}

static void sampling_options(struct cli *c, struct opt **at)
{
	cli_add_option(at, (struct opt){ OPT_GROUP, .help = "Sampling" });
	cli_add_option(at, (struct opt){ OPT_DOUBLE, "temperature", .value = &c->params.temperature, .arg = "T",
	    .help = "0 takes the likeliest token [{}]", .min = 0, .max = 100 });
	cli_add_option(at, (struct opt){ OPT_DOUBLE, "top-p", .value = &c->params.top_p, .arg = "P",
	    .help = "sample from the likeliest tokens that make up P; 1: all [{}]", .min = 1e-6, .max = 1 });
	cli_add_option(at, (struct opt){ OPT_INT, "top-k", .value = &c->params.top_k, .arg = "K",
	    .help = "sample from the K likeliest tokens; 0: all [{}]", .min = 0, .max = 1e9 });
	cli_add_option(at, (struct opt){ OPT_INT, "max-tokens", .value = &c->params.max_tokens, .arg = "N",
	    .help = "longest generation, in tokens [{}]", .min = 1, .max = 1e9 });
}

static void model_options(struct cli *c, struct opt **at, bool engine)
{
	cli_add_option(at, (struct opt){ OPT_GROUP, .help = "Model" });
	cli_add_option(at, (struct opt){ OPT_STRING, "model", 'm', &c->model, .arg = "FILE",
	    .help = engine ? "a GGUF file [$MR_MODEL, or the one mr-model fetch brought]; with --endpoint, "
	        "the model's name there" : "a GGUF file [$MR_MODEL, or the one mr-model fetch brought]" });
	cli_add_option(at, (struct opt){ OPT_STRING, "chat-template", .value = &c->llm.chat_template, .arg = "NAME",
	    .help = "the chat template's family, where the file's is not recognised: chatml, "
	        "llama2, llama3, mistral, zephyr or gemma" });
	cli_add_option(at, (struct opt){ OPT_INT, "threads", 't', &c->llm.threads, .arg = "N",
	    .help = "threads; 0: as many as there are CPUs for this process [{}]", .min = 0, .max = 1024 });
	if (!engine)
		return;
	cli_add_option(at, (struct opt){ OPT_INT, "batch", .value = &c->llm.batch, .arg = "N",
	    .help = "sequences decoded side by side; 0: chosen by the tool [{}]", .min = 0, .max = 4096 });
	cli_add_option(at, (struct opt){ OPT_STRING, "kv-mem", .value = &c->priv->kv_mem, .arg = "SIZE",
	    .help = "bound of the key/value cache, such as 512M or 2G [1G]" });
	cli_add_option(at, (struct opt){ OPT_FLAG, "exact", .value = &c->llm.exact,
	    .help = "the plain float32 reference path" });
	cli_server_options(c, at);
}

static void file_options(struct cli *c, struct opt **at, unsigned needs)
{
	bool records = needs & CLI_RECORDS, output = needs & (CLI_RECORDS | CLI_OUTPUT);

	cli_add_option(at, (struct opt){ OPT_GROUP, .help = "Common" });
	if (output)
		cli_add_option(at, (struct opt){ OPT_STRING, "output", 'o', &c->output, .arg = "FILE",
		    .help = "write FILE, whole or not at all [standard output]" });
	if (records || (needs & CLI_INPUT))
		cli_add_option(at, (struct opt){ OPT_STRING, "rejects", .value = &c->rejects, .arg = "FILE",
		    .help = "write the records that failed, as they came, to FILE" });
	if (records)
		cli_add_option(at, (struct opt){ OPT_STRING, "resume", .value = &c->resume, .arg = "FILE",
		    .help = "skip the records whose ids are in FILE" });
	if (output || (needs & CLI_INPUT))
		cli_add_option(at, (struct opt){ OPT_STRING, "manifest", .value = &c->manifest, .arg = "FILE",
		    .help = "write how the output was made to FILE [the output's name + .manifest.json]" });
	if (needs & CLI_SEED)
		cli_add_option(at, (struct opt){ OPT_U64, "seed", .value = &c->seed, .arg = "N",
		    .help = "the same seed gives the same bytes [{}]" });
	cli_add_option(at, (struct opt){ OPT_STRING, "progress", .value = &c->priv->progress_when, .arg = "WHEN",
	    .help = "auto, always or never; auto: on a terminal [{}]" });
	cli_add_option(at, (struct opt){ OPT_FLAG, "quiet", 'q', &c->quiet, .help = "no progress and no summary" });
	cli_add_option(at, (struct opt){ OPT_FLAG, "help", .value = &c->priv->told, .help = "this text" });
	cli_add_option(at, (struct opt){ OPT_FLAG, "version", .value = &c->priv->told, .help = "the version" });
}

void cli_option_table(struct cli *c)
{
	unsigned needs = c->tool->needs;
	struct opt *at;

	c->priv->common = at = mem_zalloc(64, sizeof(struct opt));
	c->priv->progress_when = "auto";
	if (needs & CLI_SAMPLING)
		sampling_options(c, &at);
	if (needs & (CLI_MODEL | CLI_WEIGHTS))
		model_options(c, &at, needs & CLI_MODEL);
	file_options(c, &at, needs);
	c->priv->tables[0] = c->tool->options ? c->tool->options : c->priv->common;
	c->priv->tables[1] = c->tool->options ? c->priv->common : NULL;
}

void cli_apply_options(struct cli *c)
{
	const char *when = c->priv->progress_when;
	uint64_t bytes = 0;
	struct err err;

	if (strcmp(when, "always") == 0)
		c->progress_mode = PROGRESS_ALWAYS;
	else if (strcmp(when, "never") == 0)
		c->progress_mode = PROGRESS_NEVER;
	else if (strcmp(when, "auto") == 0)
		c->progress_mode = PROGRESS_AUTO;
	else
		cli_usage(c, "--progress: \"%s\" is none of auto, always, never", when);
	if (c->quiet)
		c->progress_mode = PROGRESS_NEVER;
	if (c->priv->kv_mem && memory_parse(c->priv->kv_mem, &bytes, &err) != 0)
		cli_usage(c, "--kv-mem: %s", err.msg);
	c->llm.kv_bytes = (size_t)bytes;
	cli_apply_server_options(c);
}
