/* A thread that runs one task at a time for another thread; a mutex and a condition variable hand
 * over the task and its end. */
#include "background_task.h"

static void *run(void *arg) {
    struct aside *aside = arg;

    pthread_mutex_lock(&aside->lock);
    while (aside->state != ASIDE_ENDING) {
        if (aside->state == ASIDE_ASKED) {
            pthread_mutex_unlock(&aside->lock);
            aside->work(aside->arg);
            pthread_mutex_lock(&aside->lock);
            aside->state = ASIDE_DONE;
            pthread_cond_broadcast(&aside->wake);
        } else {
            pthread_cond_wait(&aside->wake, &aside->lock);
        }
    }
    pthread_mutex_unlock(&aside->lock);
    return NULL;
}

bool aside_open(struct aside *aside, size_t stack) {
    pthread_attr_t attr;

    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_mutex_init(&aside->lock, NULL);
    pthread_cond_init(&aside->wake, NULL);
    aside->state = ASIDE_IDLE;
    pthread_attr_setstacksize(&attr, stack);
    bool ok = pthread_create(&aside->thread, &attr, run, aside) == 0;
    pthread_attr_destroy(&attr);
    if (!ok)
        aside->state = ASIDE_CLOSED;
    return ok;
}

void aside_ask(struct aside *aside, void (*work)(void *arg), void *arg) {
    pthread_mutex_lock(&aside->lock);
    aside->work = work;
    aside->arg = arg;
    aside->state = ASIDE_ASKED;
    pthread_cond_broadcast(&aside->wake);
    pthread_mutex_unlock(&aside->lock);
}

bool aside_done(struct aside *aside, bool wait) {
    pthread_mutex_lock(&aside->lock);
    while (wait && aside->state == ASIDE_ASKED)
        pthread_cond_wait(&aside->wake, &aside->lock);
    bool done = aside->state == ASIDE_DONE;
    if (done)
        aside->state = ASIDE_IDLE;
    pthread_mutex_unlock(&aside->lock);
    return done;
}

void aside_close(struct aside *aside) {
    if (aside->state == ASIDE_CLOSED)
        return;
    pthread_mutex_lock(&aside->lock);
    aside->state = ASIDE_ENDING;
    pthread_cond_broadcast(&aside->wake);
    pthread_mutex_unlock(&aside->lock);
    pthread_join(aside->thread, NULL);
    pthread_cond_destroy(&aside->wake);
    pthread_mutex_destroy(&aside->lock);
    aside->state = ASIDE_CLOSED;
}
