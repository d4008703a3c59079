/* API keys and who holds them. */
#ifndef KAMD_APP_KEYS_H
#define KAMD_APP_KEYS_H

#include "app/records.h"

/* {name, role, scopes[], user_id, expires_at} -> the key, once. */
use_case api_key_create;
use_case api_key_list;
use_case api_key_get;
/* {overlap_seconds} -> the key's new text, once; the one before it holds for the overlap. */
use_case api_key_rotate;
use_case api_key_revoke;
use_case me_get;

#endif
