/* Reviews beyond their record, and the seven buyer expectations. */
#ifndef KAMD_APP_REVIEWS_H
#define KAMD_APP_REVIEWS_H

#include "app/records.h"

/* In one transaction: the review is held, its follow-ups are made, the plan gets its next version
 * or is closed, the next review of the series is scheduled. */
bool review_complete(struct action *action, struct str review_id, const jv *doc,
                     struct outcome *outcome, struct err *err);

/* The account's latest ratings of all seven, with gap, trend and the weakest (003-12). */
bool expectation_get(struct action *action, struct str account_id, struct outcome *outcome,
                     struct err *err);
/* {rater, ratings[] {expectation, rating}, ...}: what came without a review. */
bool expectation_rate(struct action *action, struct str account_id, const jv *doc,
                      struct outcome *outcome, struct err *err);

#endif
