/* Draws the Pareto curve, the cumulative share of revenue or profit over the customers, as an SVG
 * picture with axes, marks, a legend and a description for screen readers. */
#include "program/pareto_svg.h"

#include "core/cleanup.h"

#include <math.h>

#define WIDTH 800
#define HEIGHT 560
#define LEFT 84.0
#define RIGHT 768.0
#define TOP 112.0
#define BOTTOM 424.0

/* On white, all above 4.5 : 1 (WCAG 2.2, 1.4.3). */
#define INK "#1f2933"
#define QUIET "#52606d"
#define GRID "#e4e7eb"
#define CURVE "#0b5fa5"
#define CUT "#b3261e"
#define KEYS "#1b6e3c"

struct frame {
    const struct pareto *pareto;
    struct buf *out;
    double top_share; /* at the upper end of the axis: more than 1 where losses follow */
};

static double at_x(const struct frame *frame, double rank) {
    double n = frame->pareto->accounts > 0 ? frame->pareto->accounts : 1;
    return LEFT + (RIGHT - LEFT) * rank / n;
}

static double at_y(const struct frame *frame, double share) {
    return BOTTOM - (BOTTOM - TOP) * share / frame->top_share;
}

static void put_text(struct buf *out, struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '<')
            buf_text(out, "&lt;");
        else if (text.ptr[i] == '&')
            buf_text(out, "&amp;");
        else
            buf_char(out, text.ptr[i]);
    }
}

struct point {
    double x, y;
};

static void label(struct buf *out, struct point at, const char *anchor, const char *colour,
                  int size) {
    buf_format(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\" font-size=\"%d\"",
               at.x, at.y, anchor, colour, size);
}

static const char *metric_word(const struct pareto *pareto) {
    return str_is(pareto->metric, "revenue") ? "revenue" : "profit";
}

static void period_words(const struct pareto *pareto, struct buf *out) {
    buf_text(out, str_is(pareto->period, "all") ? "all orders up to " : "the 365 days up to ");
    put_text(out, pareto->as_of);
}

/* ---- what it says in words ---- */

static void describe(const struct pareto *pareto, struct buf *out) {
    if (pareto->n_points == 0) {
        buf_format(out, "There is no %s to share out in ", metric_word(pareto));
        period_words(pareto, out);
        buf_char(out, '.');
        return;
    }
    buf_format(out, "Cumulative share of %s over %.0f customers, best first, in ",
               metric_word(pareto), pareto->accounts);
    period_words(pareto, out);
    buf_text(out, ". Total ");
    put_text(out, pareto->total);
    buf_char(out, ' ');
    put_text(out, pareto->currency);
    buf_format(out,
               ". Suggested cut-off: the first %.0f customers hold %.1f %%. "
               "The key list: %.0f customers hold %.1f %%.",
               pareto->cut_off, 100 * pareto->cut_off_share, pareto->keys, 100 * pareto->covered);
}

static void head(const struct pareto *pareto, struct buf *out) {
    buf_format(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" "
               "aria-labelledby=\"title desc\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
               "font-family=\"system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\">"
               "<title id=\"title\">Pareto curve of %s</title><desc id=\"desc\">",
               WIDTH, HEIGHT, WIDTH, HEIGHT, metric_word(pareto));
    describe(pareto, out);
    buf_format(out, "</desc><rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>", WIDTH, HEIGHT);
    label(out, (struct point){24, 38}, "start", INK, 22);
    buf_format(out, " font-weight=\"600\">Which customers bring the %s</text>",
               metric_word(pareto));
    label(out, (struct point){24, 62}, "start", QUIET, 14);
    buf_format(out, ">%.0f customers, ", pareto->accounts);
    period_words(pareto, out);
    buf_text(out, "; total ");
    put_text(out, pareto->total);
    buf_char(out, ' ');
    put_text(out, pareto->currency);
    buf_text(out, "</text>");
}

/* ---- axes ---- */

static void shares_axis(const struct frame *frame) {
    struct buf *out = frame->out;
    double step = frame->top_share > 3     ? ceil(frame->top_share / 6)
                  : frame->top_share > 1.6 ? 0.5
                                           : 0.2;
    for (int i = 0; i * step <= frame->top_share + 1e-9; i++) {
        double y = at_y(frame, i * step);
        buf_format(out,
                   "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                   "stroke-width=\"1\"/>",
                   LEFT, y, RIGHT, y, i == 0 ? QUIET : GRID);
        label(out, (struct point){LEFT - 10, y + 5}, "end", QUIET, 14);
        buf_format(out, " class=\"tick-y\">%.0f %%</text>", 100 * i * step);
    }
    buf_format(out,
               "<text transform=\"translate(24 %.1f) rotate(-90)\" text-anchor=\"middle\" "
               "fill=\"%s\" font-size=\"14\" class=\"axis\">Cumulative share of %s (%%)</text>",
               (TOP + BOTTOM) / 2, INK, metric_word(frame->pareto));
}

/* 1, 2 or 5 times a power of ten: at most ten steps. */
static double nice_step(double n) {
    static const double factors[] = {1, 2, 5, 10};
    double power = pow(10, floor(log10(n > 1 ? n / 10 : 1)));
    for (size_t i = 0; i < COUNT_OF(factors); i++)
        if (n / (factors[i] * power) <= 10)
            return factors[i] * power;
    return 10 * power;
}

static void customers_tick(const struct frame *frame, double rank) {
    struct buf *out = frame->out;
    double x = at_x(frame, rank);
    buf_format(out,
               "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
               "stroke-width=\"1\"/>",
               x, BOTTOM, x, BOTTOM + 6, QUIET);
    label(out, (struct point){x, BOTTOM + 23}, "middle", QUIET, 14);
    buf_format(out, " class=\"tick-x\">%.0f</text>", rank);
}

/* The last tick says how many there are; one that would touch it is left out. */
static void customers_axis(const struct frame *frame) {
    double n = frame->pareto->accounts, step = nice_step(n);
    for (int i = 0; i * step < n - 0.6 * step; i++)
        customers_tick(frame, i * step);
    customers_tick(frame, n);
    label(frame->out, (struct point){(LEFT + RIGHT) / 2, BOTTOM + 48}, "middle", INK, 14);
    buf_format(frame->out, " class=\"axis\">Customers, largest %s first (number)</text>",
               metric_word(frame->pareto));
}

/* ---- the drawing ---- */

static void curve(const struct frame *frame) {
    const struct pareto *pareto = frame->pareto;
    struct buf *out = frame->out;
    buf_format(out,
               "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
               "stroke-width=\"1.5\" stroke-dasharray=\"6 5\"/>",
               LEFT, BOTTOM, RIGHT, at_y(frame, 1), QUIET);
    for (int filled = 1; filled >= 0; filled--) {
        buf_format(out, "<path %s d=\"M%.1f %.1f",
                   filled ? "fill=\"" CURVE "\" fill-opacity=\"0.08\""
                          : "class=\"curve\" fill=\"none\" stroke=\"" CURVE
                            "\" stroke-width=\"3\" stroke-linejoin=\"round\"",
                   LEFT, BOTTOM);
        for (size_t i = 0; i < pareto->n_points; i++)
            buf_format(out, "L%.1f %.1f", at_x(frame, pareto->points[i].rank),
                       at_y(frame, pareto->points[i].cumulative));
        if (filled)
            buf_format(out, "L%.1f %.1fZ", RIGHT, BOTTOM);
        buf_text(out, "\"/>");
    }
}

static void diamond(struct buf *out, double x, double y) {
    buf_format(out,
               "<path d=\"M%.1f %.1fl7 7l-7 7l-7 -7z\" fill=\"%s\" stroke=\"#ffffff\" "
               "stroke-width=\"1.5\"/>",
               x, y - 7, KEYS);
}

static void dot(struct buf *out, double x, double y) {
    buf_format(out,
               "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"6\" fill=\"%s\" stroke=\"#ffffff\" "
               "stroke-width=\"1.5\"/>",
               x, y, CUT);
}

static void marks(const struct frame *frame) {
    const struct pareto *pareto = frame->pareto;
    struct buf *out = frame->out;
    double x = at_x(frame, pareto->cut_off), y = at_y(frame, pareto->cut_off_share);
    const char *anchor = x < LEFT + 120 ? "start" : x > RIGHT - 120 ? "end" : "middle";
    buf_format(out,
               "<path d=\"M%.1f %.1fV%.1f\" stroke=\"%s\" stroke-width=\"1.5\" "
               "stroke-dasharray=\"3 3\" fill=\"none\"/>",
               x, BOTTOM, TOP - 8, CUT);
    dot(out, x, y);
    label(out, (struct point){x < LEFT + 120 ? LEFT : x, TOP - 16}, anchor, CUT, 14);
    buf_format(out,
               " font-weight=\"600\" class=\"cut-off\">Cut-off: %.0f customers, %.1f %%</text>",
               pareto->cut_off, 100 * pareto->cut_off_share);
    if (pareto->keys > 0)
        diamond(out, at_x(frame, pareto->keys), at_y(frame, pareto->covered));
}

/* ---- legend ---- */

static void legend_text(struct buf *out, double x, double y, const char *text) {
    label(out, (struct point){x + 40, y + 5}, "start", INK, 14);
    buf_format(out, " class=\"legend\">%s", text);
}

static void legend_line(struct buf *out, double x, double y, const char *colour, const char *more) {
    buf_format(out, "<path d=\"M%.1f %.1fh28\" stroke=\"%s\" fill=\"none\" %s/>", x, y, colour,
               more);
}

static void legend(const struct pareto *pareto, struct buf *out) {
    double left = 84, right = 430, first = BOTTOM + 84, second = BOTTOM + 112;
    legend_line(out, left, first, CURVE, "stroke-width=\"3\"");
    legend_text(out, left, first, "Cumulative share of ");
    buf_format(out, "%s</text>", metric_word(pareto));
    legend_line(out, left, second, QUIET, "stroke-width=\"1.5\" stroke-dasharray=\"6 5\"");
    legend_text(out, left, second, "If all customers were equal</text>");
    dot(out, right + 14, first);
    legend_text(out, right, first, "Suggested cut-off: ");
    buf_format(out, "%.0f hold %.1f %%</text>", pareto->cut_off, 100 * pareto->cut_off_share);
    diamond(out, right + 14, second);
    legend_text(out, right, second, "Key list: ");
    buf_format(out, "%.0f hold %.1f %%</text>", pareto->keys, 100 * pareto->covered);
}

void pareto_svg(const struct pareto *pareto, struct buf *ret) {
    struct frame frame = {.pareto = pareto, .out = ret, .top_share = 1};
    for (size_t i = 0; i < pareto->n_points; i++)
        frame.top_share = fmax(frame.top_share, ceil(pareto->points[i].cumulative * 5 - 1e-6) / 5);
    head(pareto, ret);
    if (pareto->n_points == 0) {
        label(ret, (struct point){WIDTH / 2.0, HEIGHT / 2.0}, "middle", QUIET, 18);
        buf_format(ret, ">There is no %s to share out.</text></svg>\n", metric_word(pareto));
        return;
    }
    shares_axis(&frame);
    customers_axis(&frame);
    curve(&frame);
    marks(&frame);
    legend(pareto, ret);
    buf_text(ret, "</svg>\n");
}
