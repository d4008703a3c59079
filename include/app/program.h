/* The program: who is key, and why. */
#ifndef KAMD_APP_PROGRAM_H
#define KAMD_APP_PROGRAM_H

#include "app/records.h"

bool program_get(struct action *action, struct outcome *outcome, struct err *err);
/* A change of scores, grace or currency queues a full evaluation. */
bool program_patch(struct action *action, const jv *patch, struct outcome *outcome,
                   struct err *err);

/* Weights, periods and grace of everything that the program watches. */
bool settings_get(struct action *action, struct outcome *outcome, struct err *err);
bool settings_patch(struct action *action, const jv *patch, struct outcome *outcome,
                    struct err *err);
/* How much of the reporting currency one unit of another is worth. A currency without a rate is a
 * missing input. */
bool rate_list(struct action *action, struct outcome *outcome, struct err *err);
bool rate_put(struct action *action, struct str currency_code, const jv *doc,
              struct outcome *outcome, struct err *err);
bool rate_delete(struct action *action, struct str currency_code, struct outcome *outcome,
                 struct err *err);

bool criteria_list(struct action *action, const struct param *params, size_t n_params,
                   struct outcome *outcome, struct err *err);
/* {metrics[{metric, weight, floor, ceiling}], note}: the next version, not active yet. */
bool criteria_create(struct action *action, const jv *doc, struct outcome *outcome,
                     struct err *err);
bool criteria_get(struct action *action, struct str version, struct outcome *outcome,
                  struct err *err);
bool criteria_activate(struct action *action, struct str version, struct outcome *outcome,
                       struct err *err);

/* {as_of?}: an operation that a worker does. As of today it moves the status machine, as of another
 * day it only stores results. */
bool evaluation_start(struct action *action, const jv *doc, struct outcome *outcome,
                      struct err *err);
bool evaluation_results(struct action *action, struct str id, const struct param *params,
                        size_t n_params, struct outcome *outcome, struct err *err);
/* {criteria | criteria_version, max_key_accounts, enter_score, ..., as_of, start}: what would
 * change. Nothing is written, unless it takes an operation: beyond KAMD_REPORT_ACCOUNTS accounts.
 */
bool simulation_run(struct action *action, const jv *doc, struct outcome *outcome, struct err *err);

/* {reason}, by those who decide; by who nominated. Both answer the nomination. */
bool nomination_decline(struct action *action, struct str id, const jv *doc,
                        struct outcome *outcome, struct err *err);
bool nomination_withdraw(struct action *action, struct str id, struct outcome *outcome,
                         struct err *err);

/* {reason, benefits[], charter, told_customer_at, override {reason, expires_on}} */
bool account_designate(struct action *action, struct str account_id, const jv *doc,
                       struct outcome *outcome, struct err *err);
bool account_de_designate(struct action *action, struct str account_id, const jv *doc,
                          struct outcome *outcome, struct err *err);
/* {in_account_id, out_account_id, ...as for a designation}: both or neither. */
bool key_account_swap(struct action *action, const jv *doc, struct outcome *outcome,
                      struct err *err);
/* Parameter as_of: status and terms as they were at the end of that day, the score computed now. */
bool account_key_status(struct action *action, struct str account_id, const struct param *params,
                        size_t n_params, struct outcome *outcome, struct err *err);
/* All transitions, newest first; page_size and cursor. */
bool account_key_history(struct action *action, struct str account_id, const struct param *params,
                         size_t n_params, struct outcome *outcome, struct err *err);
#endif
