/*
 * floor PID ADDRESS ROUNDS ordinary|realtime: what stopping a process costs by itself. Stop every
 * thread, put the eight bytes that stand at ADDRESS there again, let go. Prints the nanoseconds from
 * the first interrupt to the last detach, one line for each round.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int count, char **words)
{
    if (count != 5) return 2;
    char path[64];
    uint64_t word;
    static pid_t tids[32768];
    if (words[4][0] == 'r' &&
        sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}))
        return 1;
    snprintf(path, sizeof path, "/proc/%s/mem", words[1]);
    int memory = open(path, O_RDWR);
    off_t address = (off_t)strtoull(words[2], NULL, 0);
    if (memory < 0 || pread(memory, &word, 8, address) != 8) return 1;
    snprintf(path, sizeof path, "/proc/%s/task", words[1]);
    for (int round = atoi(words[3]); round > 0; round--) {
        int threads = 0, status;
        DIR *task = opendir(path);
        for (struct dirent *entry; task && (entry = readdir(task));)
            if (entry->d_name[0] != '.') tids[threads++] = atoi(entry->d_name);
        closedir(task);
        for (int i = 0; i < threads; i++)
            if (ptrace(PTRACE_SEIZE, tids[i], NULL, NULL)) return 1;
        int64_t began = now();
        for (int i = 0; i < threads; i++) ptrace(PTRACE_INTERRUPT, tids[i], NULL, NULL);
        for (int i = 0; i < threads; i++) waitpid(tids[i], &status, __WALL);
        if (pwrite(memory, &word, 8, address) != 8) return 1;
        for (int i = 0; i < threads; i++) ptrace(PTRACE_DETACH, tids[i], NULL, NULL);
        printf("%lld\n", (long long)(now() - began));
        fflush(stdout);
        usleep(20000);
    }
    return 0;
}
