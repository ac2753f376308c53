/* models.h -- names: of the model, and of the adapters beside it. */
#ifndef TENON_SERVE_MODELS_H
#define TENON_SERVE_MODELS_H

#include "serve/int.h"

struct models *models_open(struct server *sv, struct err *e);         /* loads --lora-modules */
void models_close(struct models *m);
void models_rescan(struct server *sv);
/* Takes the member `model` and notes model and adapter of x; an unknown name is answered with 404. */
bool models_resolve(struct exchange *x, const struct json *body);
const char *models_default(const struct server *sv);

#endif
