/* The audit: who changed and who read what, in hash chains (audit.sql), and what proves them. */
#ifndef KAMD_APP_AUDIT_H
#define KAMD_APP_AUDIT_H

#include "app/records.h"

struct tx;

/* Newest first; parameters account_id, actor, action, resource, record_id, since, until, page_size,
 * cursor. Callers who do not see all accounts get those of theirs. */
use_case audit_list;
/* Newest first; page_size and cursor. */
use_case audit_anchor_list;
/* The public keys of the anchors' signatures; for anybody. */
use_case audit_keys_show;
/* Parameter account_id: whether its chains, the history below them and their anchors hold, and what
 * is the first link that does not. Without it, of everything: 202 with an operation; so, too, when
 * it takes longer than a request may. */
use_case audit_verify;

/* What the operation finds, as JSON: of one account, or of all and every anchor. Takes as many
 * round trips of `tx` as it needs. */
bool audit_verify_all(const struct keyring *keyring, struct tx *tx, struct str account_id,
                      struct buf *ret, struct err *err);
/* Signs an anchor's body: texts for its row, in hexadecimal but for the key's id. */
struct audit_signature {
    char key_id[17];
    char public_key[2 * CRYPTO_SIGN_PUBLIC + 1];
    char sealed[2 * (CRYPTO_MARK + CRYPTO_SEAL_EXTRA + CRYPTO_SIGN_PUBLIC) + 1];
    char signature[2 * CRYPTO_SIGNATURE + 1];
};
bool audit_sign(const struct keyring *keyring, struct str body, struct audit_signature *ret);
/* What a key's seal is bound to: "audit_key|<id>|sealed". */
#define AUDIT_KEY_CONTEXT 40
struct str audit_key_context(struct str key_id, char ret[static AUDIT_KEY_CONTEXT]);

#endif
