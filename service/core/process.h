/* Figures of this process as Linux gives them in /proc; 0 where it does not. */
#ifndef KAMD_CORE_PROCESS_H
#define KAMD_CORE_PROCESS_H

struct process_figures {
    double cpu_seconds;
    double resident_bytes;
    double virtual_bytes;
    double open_fds;
    double max_fds;
    double threads;
    double start_seconds; /* since 1970 */
};

struct process_figures process_read(void);
/* CPUs that the process may use: those that it may run on, or fewer where a container's quota
 * (cgroup v2 or v1) allows less; at least 1. */
int process_cpus(void);
/* Of a quota's text: "max 100000" or "150000 100000" (v2). 0: no limit. Rounded up. */
int process_quota(const char *text);

#endif
