/* The names of the information areas of an account, and which of them are sensitive. */
#include "domain/resource.h"

const char *const area_names[AREA_COUNT + 1] = {
#define X(name, text) [AREA_##name] = text,
    AREAS(X)
#undef X
};

const char *area_name(enum area area) { return area_names[area]; }

bool area_sensitive(enum area area) {
    static const unsigned sensitive = 1u << AREA_ECONOMICS | 1u << AREA_DIVESTMENT |
                                      1u << AREA_LEADER_PERCEPTIONS | 1u << AREA_VALUES_BELIEFS;
    return (sensitive >> area & 1) != 0;
}
