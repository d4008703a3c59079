/* What people and records say of one account's worth: assessed metrics, the fit check, health. */
#ifndef KAMD_APP_FACTS_H
#define KAMD_APP_FACTS_H

#include "app/records.h"

/* {account_id, metrics[{metric, period, value, source, note, assessed_by, updated_at}]} */
use_case account_metrics_get;
/* {metrics[]}: sets the values named, by metric and period; a null value takes one away; what is
 * not named stays. */
use_case account_metrics_put;

/* The strategy checklist with its verdict (000-01 to 000-07); 404 before there is one. */
use_case fit_check_get;
use_case fit_check_put;

/* 0 to 100 with contributions that add up, what it was before, and what changed it. */
use_case account_health;

#endif
