/* The Pareto curve as a picture. Private to the app layer. */
#ifndef KAMD_APP_PROGRAM_PARETO_SVG_H
#define KAMD_APP_PROGRAM_PARETO_SVG_H

#include "core/buf.h"

struct pareto_point {
    double rank;
    double cumulative; /* 1 = all */
};

struct pareto {
    struct str metric, period, as_of, currency, total; /* the total as people read it */
    double accounts, cut_off, cut_off_share, keys, covered;
    const struct pareto_point *points; /* none: there is no curve */
    size_t n_points;
};

/* 800 wide, self-contained, no styles or scripts. */
void pareto_svg(const struct pareto *pareto, struct buf *ret);

#endif
