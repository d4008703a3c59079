/* Operations: work that a worker does, as its asker sees it. */
#ifndef KAMD_APP_OPERATION_H
#define KAMD_APP_OPERATION_H

#include "app/app.h"

bool operation_get(struct action *action, struct str id, struct outcome *outcome, struct err *err);

#endif
