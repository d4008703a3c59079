/* Operations: work that a worker does, as its asker sees it. */
#ifndef KAMD_APP_OPERATION_H
#define KAMD_APP_OPERATION_H

#include "app/app.h"

use_case operation_get;

/* One that a worker has taken to do it. */
struct taken_operation {
    struct app *app; /* with the worker's store */
    struct str id;
    struct str token; /* of the worker: the operation stays its own as long as it has this */
};

#endif
