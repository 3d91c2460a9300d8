/* Opening a model, in a file of its own: tools that ask none are not linked
 * with what it takes. */
#include "cli/private.h"

static void on_tick(void *cli)
{
	cli_show_progress(cli);
}

static void on_note(void *cli, const char *line)
{
	struct cli *c = cli;

	if (!c->quiet)
		cli_warn(c, "%s", line);
}

struct llm *cli_model(struct cli *c)
{
	struct err err;

	if (!c->model)
		cli_die(c, EXIT_NOTHING, "no model: name one with -m FILE or MR_MODEL, or run: mr-model fetch");
	c->llm.model = c->model;
	if (c->tool->needs & CLI_RECORDS) {
		c->llm.tick = on_tick;
		c->llm.tick_arg = c;
	}
	c->llm.servers.note = on_note;
	c->llm.servers.note_arg = c;
	c->model_handle = llm_open(&c->llm, &err);
	if (!c->model_handle && cli_has_servers(c))
		cli_die(c, EXIT_USAGE, "%s", err.msg);
	if (!c->model_handle)
		cli_die(c, EXIT_NOTHING, "%s: %s", c->model, err.msg);
	return c->model_handle;
}
