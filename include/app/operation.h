/* Operations: work that a worker does, as its asker sees it. */
#ifndef KAMD_APP_OPERATION_H
#define KAMD_APP_OPERATION_H

#include "app/app.h"

use_case operation_get;

#endif
