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

#endif
