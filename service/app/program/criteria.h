/* The list of metrics that a score is made of: criteria, health, what-if. Private to the app layer.
 */
#ifndef KAMD_APP_PROGRAM_CRITERIA_H
#define KAMD_APP_PROGRAM_CRITERIA_H

#include "domain/resource.h"

/* {metric, weight, floor, ceiling} */
extern const struct shape metric_shape;
/* Rules over the list: a range each, no name twice, some weight. */
void metrics_check(const jv *metrics, const char *at, struct err *err);
/* Every region wanted criteria of its own (001-08): false when the document asks for that. */
bool refuse_regions(const jv *doc, struct err *err);

#endif
