/* Plans beyond their record: the single template, activation, versions, acknowledgements, and the
 * customer's copy. */
#ifndef KAMD_APP_PLANS_H
#define KAMD_APP_PLANS_H

#include "app/records.h"

/* The versions of the template, newest first; one is in force for all accounts (004-15). */
use_case template_list;
use_case template_get;
extern const char *const template_sections[];     /* NULL-terminated */
extern const char *const template_field_kinds[];  /* NULL-terminated */
extern const char *const template_column_kinds[]; /* NULL-terminated */
use_case template_create;
/* Workers bring the plans into it (plans_follow_template()). */
use_case template_activate;

/* {customer_impact?, note?}: all gates at once (plan_gates()), then the next version. */
use_case plan_activate;
use_case plan_close;
/* GET /v1/plans/{id}?view=shared. */
use_case plan_get;

use_case plan_version_list;
use_case plan_version_get;
/* What turns version `against` (the one before, unless given) into this one. */
use_case plan_version_diff;

use_case acknowledgement_list;
use_case acknowledgement_add;

#endif
