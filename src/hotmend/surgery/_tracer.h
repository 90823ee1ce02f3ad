/*
 * A tracer of one's own: a helper process that shares our memory and holds the target's threads.
 *
 * It is a process, made as vfork makes one, and not a thread of ours, because of what happens when
 * things go wrong. Killed, the patcher does not take it along: what it has begun with the target it
 * ends, and only then goes, and with it the ledger's lock, whose file it shares. A target's thread
 * that will not stop, because it waits in the kernel for a vfork child or a disk, is released by the
 * kernel when the helper ends; PTRACE_DETACH works only in a stop. And it can be given real-time
 * priority, without which a hundred spinning threads would keep it from finishing what it began.
 *
 * It may be stopped itself, by SIGSTOP or a debugger, with the target's threads in its hands: a
 * timer of the kernel's then kills it, which no stop delays, and lets them go.
 *
 * A stop is looked at without being consumed (WNOWAIT): should even the helper be killed, a signal
 * that the target was about to receive is still delivered.
 *
 * Nothing here may allocate, and nothing may touch Python: the memory is our caller's, who waits.
 */
#ifndef HOTMEND_TRACER_H
#define HOTMEND_TRACER_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELPER_STACK (256 * 1024)
#define A_PAGE 4096
#define ALARM (SIGRTMIN + 7)
#define GRACE_NS 1000000000LL

struct thread {
    pid_t tid;
    unsigned char stopped, interrupted, dead;
    int status;  /* of its last stop: signal number, and above it the ptrace event */
};

struct job {
    void (*work)(void *);
    void *argument;
    int64_t alarm_ns; /* from then on waits return early, so that a deadline can be seen */
    int error;        /* why the work could not begin */
};

/* There is one helper at a time; what it works with is kept for the next one. */
static unsigned char helper_stack[HELPER_STACK] __attribute__((aligned(A_PAGE)));

/* Have the pages there: a fault while threads are held would be paid by them. */
static void touch(volatile unsigned char *bytes, size_t size)
{
    for (size_t at = 0; at < size; at += A_PAGE) bytes[at] = 0;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Its arrival ends a wait; there is nothing else to do. */
static void on_alarm(int number) { (void)number; }

static int helper(void *argument)
{
    struct job *job = argument;
    struct sched_param first = {.sched_priority = 1};
    struct sigaction interrupt = {.sa_handler = on_alarm};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = ALARM};
    struct itimerspec when = {
        .it_value = {job->alarm_ns / 1000000000, job->alarm_ns % 1000000000},
        .it_interval = {0, 2000000}, /* a wait that begins just after a tick ends with the next */
    };
    struct sigevent end = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    int64_t late_ns = job->alarm_ns + GRACE_NS;
    struct itimerspec late = {.it_value = {late_ns / 1000000000, late_ns % 1000000000}};
    sigset_t only;
    timer_t timer, watchdog;
    setsid(); /* Ctrl-C is not for us */
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) < 0)
        setpriority(PRIO_PROCESS, 0, -20); /* as far as we are allowed to */
    sigaction(ALARM, &interrupt, NULL); /* our own: handlers are not shared */
    sigemptyset(&only);
    sigaddset(&only, ALARM);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
        timer_settime(timer, 0, &when, NULL) < 0 ||
        timer_create(CLOCK_MONOTONIC, &end, &watchdog) < 0 ||
        timer_settime(watchdog, 0, &late, NULL) < 0) {
        job->error = errno;
        return 0;
    }
    job->work(job->argument);
    return 0;
}

/* Do the job in a helper; returns when it is gone and every thread it held is free. 0 or errno. */
static int run_apart(struct job *job)
{
    sigset_t all, before;
    int status;
    touch(helper_stack, sizeof helper_stack);
    job->error = 0;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* the helper inherits it */
    /* No exit signal: nobody's SIGCHLD handler hears of it, and only __WALL waits for it. */
    pid_t pid = clone(helper, helper_stack + HELPER_STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES, job);
    if (pid < 0) job->error = errno;
    else while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) continue;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return job->error;
}

/* Look whether a thread has stopped or ended, without consuming the news. `wait`: until it has, or
 * the alarm rings. */
static int settled(struct thread *t, int wait)
{
    siginfo_t info = {0};
    int how = WSTOPPED | WEXITED | WNOWAIT | __WALL | (wait ? 0 : WNOHANG);
    if (waitid(P_PID, (id_t)t->tid, &info, how) < 0) {
        if (errno == EINTR) return 0;
        t->dead = 1;
        return 1;
    }
    if (info.si_pid == 0) return 0;
    if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
        t->stopped = 1;
        t->status = info.si_status;
    } else {
        t->dead = 1;
    }
    return 1;
}

/* The signal that a stopped thread is about to receive, 0 in any other stop. A SIGTRAP is one, too:
 * whatever the kernel itself has to say to who seized a thread carries an event or bit 7. */
static int signal_of(const struct thread *t)
{
    return t->status < 0x80 ? t->status : 0;
}

#endif
