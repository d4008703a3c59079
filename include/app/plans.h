/* Plans beyond their record: the single template, activation, versions, acknowledgements, and the
 * customer's copy. */
#ifndef KAMD_APP_PLANS_H
#define KAMD_APP_PLANS_H

#include "app/records.h"

/* The versions of the template, newest first; one is in force for all accounts (004-15). */
bool template_list(struct action *action, const struct param *params, size_t n_params,
                   struct outcome *outcome, struct err *err);
bool template_get(struct action *action, struct str version, struct outcome *outcome,
                  struct err *err);
bool template_create(struct action *action, const jv *doc, struct outcome *outcome,
                     struct err *err);
/* Workers bring the plans into it (plans_follow_template()). */
bool template_activate(struct action *action, struct str version, struct outcome *outcome,
                       struct err *err);

/* {customer_impact?, note?}: all gates at once (plan_gates()), then the next version. */
bool plan_activate(struct action *action, struct str plan_id, const jv *doc,
                   struct outcome *outcome, struct err *err);
bool plan_close(struct action *action, struct str plan_id, struct outcome *outcome,
                struct err *err);
/* GET /v1/plans/{id}?view=shared. */
bool plan_shared(struct action *action, struct str plan_id, const struct param *params,
                 size_t n_params, struct outcome *outcome, struct err *err);

bool plan_version_list(struct action *action, struct str plan_id, const struct param *params,
                       size_t n_params, struct outcome *outcome, struct err *err);
bool plan_version_get(struct action *action, struct str plan_id, struct str version_no,
                      struct outcome *outcome, struct err *err);
/* What turns version `against` (the one before, unless given) into this one. */
bool plan_version_diff(struct action *action, struct str plan_id, struct str version_no,
                       const struct param *params, size_t n_params, struct outcome *outcome,
                       struct err *err);

bool acknowledgement_list(struct action *action, struct str plan_id, const struct param *params,
                          size_t n_params, struct outcome *outcome, struct err *err);
bool acknowledgement_add(struct action *action, struct str plan_id, const jv *doc,
                         struct outcome *outcome, struct err *err);

#endif
