/* What is done with contacts beyond reading and writing them. */
#ifndef KAMD_APP_CONTACTS_H
#define KAMD_APP_CONTACTS_H

#include "app/records.h"

/* Body {account_id}: the contact goes to another account; contact_move() in records.sql. */
use_case contact_move;

#endif
