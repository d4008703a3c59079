/* A thread that does one thing at a time for another one, which goes on meanwhile. */
#ifndef KAMD_WORKER_BACKGROUND_TASK_H
#define KAMD_WORKER_BACKGROUND_TASK_H

#include <pthread.h>
#include <stdbool.h>

struct aside {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    enum { ASIDE_CLOSED, ASIDE_IDLE, ASIDE_ASKED, ASIDE_DONE, ASIDE_ENDING } state;
    void (*work)(void *arg);
    void *arg;
};

/* False: there is no thread to be had. */
bool aside_open(struct aside *aside, size_t stack);
/* Has `work` done. What was asked for before must have been taken by aside_done(). */
void aside_ask(struct aside *aside, void (*work)(void *arg), void *arg);
/* Is it done? True once for each thing. `wait`: until it is. */
bool aside_done(struct aside *aside, bool wait);
/* When nothing is under way. */
void aside_close(struct aside *aside);

#endif
