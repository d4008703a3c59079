/* Salesforce record ids: 15 characters that differ by case, or 18 with a checksum of the case. kamd
 * accepts both and keeps 18. */
#ifndef KAMD_DOMAIN_SALESFORCE_ID_H
#define KAMD_DOMAIN_SALESFORCE_ID_H

#include "core/str.h"

#define SALESFORCE_ID_TEXT 19 /* 18 characters and a NUL */

/* NULL when it is a Salesforce id, else a sentence for people. An 18-character id whose checksum
 * does not fit is refused, not repaired: its case was changed on the way, and it may be another
 * record's. */
const char *check_salesforce_id(struct str text);
/* The form with 18 characters, of 15 or 18; false when check_salesforce_id() complains. */
bool salesforce_id_parse(struct str text, char ret[static SALESFORCE_ID_TEXT]);

#endif
