/* The nine sections of a plan's single template: a to h are typed, i is generated. */
#ifndef KAMD_APP_SECTIONS_H
#define KAMD_APP_SECTIONS_H

#include "app/records.h"

bool plan_sections(struct action *action, struct str plan_id, struct outcome *outcome,
                   struct err *err);
bool plan_section_get(struct action *action, struct str plan_id, struct str section,
                      struct outcome *outcome, struct err *err);
bool plan_section_write(struct action *action, struct str plan_id, struct str section,
                        const jv *doc, bool replace, struct outcome *outcome, struct err *err);
/* Section i: interactions, problems, orders and held reviews of the account, newest first. */
bool plan_history(struct action *action, struct str plan_id, const struct param *params,
                  size_t n_params, struct outcome *outcome, struct err *err);

#endif
