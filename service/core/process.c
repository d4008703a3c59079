#include "process.h"

#include "core/str.h"

#include <dirent.h>
#include <fcntl.h>
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
