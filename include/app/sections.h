/* The nine sections of a plan's single template: a to h are typed, i is generated. */
#ifndef KAMD_APP_SECTIONS_H
#define KAMD_APP_SECTIONS_H

#include "app/records.h"

use_case plan_sections;
use_case plan_section_get;
/* `replace`: the document is the whole of what can be changed. */
bool plan_section_write(struct action *action, bool replace, struct outcome *outcome,
                        struct err *err);
/* Section i: interactions, problems, orders and held reviews of the account, newest first. */
use_case plan_history;

#endif
