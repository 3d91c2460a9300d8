/* What is behind the door: only this file knows all kinds of models. */
#include "llm/http.h"
#include "llm/local.h"

struct llm *llm_open(const struct llm_options *o, struct err *err)
{
	return o->servers.nendpoints > 0 ? http_open(o, err) : local_open(o, err);
}
