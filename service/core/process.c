/* Reads from Linux how much CPU time, memory, threads and file descriptors the process uses, and
 * how many CPUs its affinity mask and its container's cgroup quota allow. */
#include "process.h"

#include "core/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Fields of /proc/self/stat behind the command's name, which ends at the last ')'; see proc(5),
 * whose numbers are these + 2. */
enum {
    STAT_UTIME = 12,
    STAT_STIME = 13,
    STAT_THREADS = 18,
    STAT_START = 20,
    STAT_VSIZE = 21,
    STAT_RSS = 22,
    STAT_FIELDS
};

static bool stat_read(int64_t ret[static STAT_FIELDS]) {
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    const char *end = strrchr(text, ')');
    struct str rest = str_of(end == NULL ? NULL : end + 1);
    struct str field;
    for (size_t i = 0; i < STAT_FIELDS; i++) {
        ret[i] = 0;
        if (!str_split(&rest, ' ', &field))
            return false;
        str_to_i64(field, &ret[i]); /* field 1 is a letter, field 0 empty */
    }
    return true;
}

static double count_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = -3; /* ".", ".." and the directory itself */

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static double seconds_of(clockid_t id) {
    struct timespec now;

    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct process_figures process_read(void) {
    const double ticks = (double)sysconf(_SC_CLK_TCK);
    int64_t stat[STAT_FIELDS] = {0};
    struct process_figures ret = {.open_fds = count_fds()};
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        ret.max_fds = (double)files.rlim_cur;
    if (!stat_read(stat))
        return ret;
    ret.cpu_seconds = (double)(stat[STAT_UTIME] + stat[STAT_STIME]) / ticks;
    ret.threads = (double)stat[STAT_THREADS];
    ret.virtual_bytes = (double)stat[STAT_VSIZE];
    ret.resident_bytes = (double)stat[STAT_RSS] * (double)sysconf(_SC_PAGESIZE);
    ret.start_seconds =
        seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + (double)stat[STAT_START] / ticks;
    return ret;
}

/* ---- CPUs ---- */

int process_quota(const char *text) {
    struct str rest = str_trim(str_of(text)), first;
    int64_t quota, period;

    if (!str_split(&rest, ' ', &first) || !str_to_i64(first, &quota) ||
        !str_to_i64(rest, &period) || quota <= 0 || period <= 0)
        return 0;
    int64_t cpus = quota / period + (quota % period != 0);
    return cpus > 4096 ? 4096 : (int)cpus;
}

static bool read_line(const char *path, char *ret, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, ret, size - 1);

    if (fd >= 0)
        close(fd);
    ret[len < 0 ? 0 : len] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    return len > 0;
}

/* In a container its own group is the root of what it sees. */
static int quota_read(void) {
    char quota[64], period[64], both[160];

    if (read_line("/sys/fs/cgroup/cpu.max", both, sizeof(both)))
        return process_quota(both);
    if (!read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof(quota)) ||
        !read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof(period)))
        return 0;
    snprintf(both, sizeof(both), "%s %s", quota, period);
    return process_quota(both);
}

int process_cpus(void) {
    cpu_set_t set;
    int cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    int quota = quota_read();

    return quota > 0 && quota < cpus ? quota : cpus;
}
