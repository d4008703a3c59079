#include "remote/signature.h"

#include "core/crypto.h"

void webhook_secret_text(struct str secret, struct buf *ret) {
    buf_text(ret, "whsec_");
    buf_base64(ret, secret.ptr, secret.len);
}

void webhook_sign(struct str secret, struct str id, struct str timestamp, struct str body,
                  struct buf *ret) {
    const struct str parts[] = {id, STR("."), timestamp, STR("."), body};
    unsigned char mac[CRYPTO_SHA256];

    hmac_sha256(secret.ptr, secret.len, parts, COUNT_OF(parts), mac);
    if (ret->len > 0)
        buf_char(ret, ' ');
    buf_text(ret, "v1,");
    buf_base64(ret, mac, sizeof(mac));
}
