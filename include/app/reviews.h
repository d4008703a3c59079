/* Reviews beyond their record, and the seven buyer expectations. */
#ifndef KAMD_APP_REVIEWS_H
#define KAMD_APP_REVIEWS_H

#include "app/records.h"

/* In one transaction: the review is held, its follow-ups are made, the plan gets its next version
 * or is closed, the next review of the series is scheduled. */
use_case review_complete;

/* The account's latest ratings of all seven, with gap, trend and the weakest (003-12). */
use_case expectation_get;
extern const char *const expectation_raters[]; /* NULL-terminated */
/* {rater, ratings[] {expectation, rating}, ...}: what came without a review. */
use_case expectation_rate;

#endif
