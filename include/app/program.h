/* The program: who is key, and why. */
#ifndef KAMD_APP_PROGRAM_H
#define KAMD_APP_PROGRAM_H

#include "app/records.h"

use_case program_get;
/* A change of scores, grace or currency queues a full evaluation. */
use_case program_patch;

/* Weights, periods and grace of everything that the program watches. */
use_case settings_get;
use_case settings_patch;
/* How much of the reporting currency one unit of another is worth. A currency without a rate is a
 * missing input. */
use_case rate_list;
use_case rate_put;
use_case rate_delete;

use_case criteria_list;
/* {metrics[{metric, weight, floor, ceiling}], note}: the next version, not active yet. */
use_case criteria_create;
use_case criteria_get;
use_case criteria_activate;

/* {as_of?}: an operation that a worker does. As of today it moves the status machine, as of another
 * day it only stores results. */
use_case evaluation_start;
use_case evaluation_results;
extern const char *const simulation_starts[]; /* NULL-terminated */
/* {criteria | criteria_version, max_key_accounts, enter_score, ..., as_of, start}: what would
 * change. Nothing is written, unless it takes an operation: beyond KAMD_REPORT_ACCOUNTS accounts.
 */
use_case simulation_run;

/* {reason}, by those who decide; by who nominated. Both answer the nomination. */
use_case nomination_decline;
use_case nomination_withdraw;

/* {reason, benefits[], charter, told_customer_at, override {reason, expires_on}} */
use_case account_designate;
use_case account_de_designate;
/* {in_account_id, out_account_id, ...as for a designation}: both or neither. */
use_case key_account_swap;
/* Parameter as_of: status and terms as they were at the end of that day, the score computed now. */
use_case account_key_status;
/* All transitions, newest first; page_size and cursor. */
use_case account_key_history;
#endif
