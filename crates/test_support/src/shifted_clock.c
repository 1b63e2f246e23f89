/* Preloaded into a program, lets its wall clock differ from the right one by SHIFTED_CLOCK_S seconds. The monotonic clock stays
   right, and so does how long a wait until a time of the wall clock lasts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static int (*right_clock_gettime)(clockid_t, struct timespec *);
static int (*right_cnd_timedwait)(cnd_t *restrict, mtx_t *restrict, const struct timespec *restrict);
static time_t shift_s;

/* Others' constructors may read the clock before this one has run. */
__attribute__((constructor)) static void set_up(void) {
    const char *shift = getenv("SHIFTED_CLOCK_S");
    shift_s = shift ? atoll(shift) : 0;
    right_cnd_timedwait = dlsym(RTLD_NEXT, "cnd_timedwait");
    right_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!right_clock_gettime) set_up();
    int result = right_clock_gettime(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift_s;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){precise.tv_sec, precise.tv_nsec / 1000};
    return result;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec right = {until->tv_sec - shift_s, until->tv_nsec};
    return right_cnd_timedwait(condition, mutex, &right);
}
