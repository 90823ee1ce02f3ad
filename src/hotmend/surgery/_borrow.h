/*
 * Borrow one thread for one system call, and give it back as it was.
 *
 * The thread is stopped by PTRACE_INTERRUPT, never in the delivery of a signal: those are let
 * through first, with their siginfo. It then runs a `syscall` instruction that its process has
 * already, from entry stop to exit stop, and gets all its registers back.
 *
 * A thread that sat in a system call has rax = -ERESTART... and orig_rax = the call's number. The
 * kernel makes its restart out of them on the way through its signal code, so after the exit stop
 * the thread is interrupted once more and let go from there.
 */
#ifndef HOTMEND_BORROW_H
#define HOTMEND_BORROW_H

#include <sys/user.h>

#include "_tracer.h"

#define O_SUSPEND_SECCOMP (1 << 21)
#define SYSCALL_STOP (SIGTRAP | 0x80)

enum loan_ending { CALLED, NO_THREAD, ENDED, REFUSED_TRACE, REFUSED_SECCOMP };

struct loan {
    const pid_t *tids; /* candidates, the best first */
    size_t count;
    int filtered; /* the process has a seccomp filter */
    int64_t patience_ns;
    uint64_t site; /* of a `syscall` instruction */
    uint64_t number, arguments[6];
    /* answers */
    enum loan_ending ending;
    uint64_t result;
    int error;
};

/* Until the thread is in a stop that is no signal's delivery. 0; -1: dead, or not before. */
static int rest(struct thread *t, int64_t deadline)
{
    for (;;) {
        t->stopped = 0;
        while (!settled(t, 1))
            if (deadline && now_ns() > deadline) return -1;
        if (t->dead) return -1;
        if (!signal_of(t)) return 0;
        ptrace(PTRACE_CONT, t->tid, NULL, (void *)(intptr_t)signal_of(t));
    }
}

static int interrupted_again(struct thread *t, int deliver)
{
    ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
    ptrace(PTRACE_CONT, t->tid, NULL, (void *)(intptr_t)deliver);
    return rest(t, 0);
}

/* From here the thread has foreign registers; there is no giving up before it has its own again. */
static int call(struct loan *l, struct thread *t)
{
    struct user_regs_struct own, ours;
    int stage = 0; /* 0: before the instruction, 1: in the call, 2: done */
    if (ptrace(PTRACE_GETREGS, t->tid, NULL, &own) < 0) return -1;
    while (stage < 2) {
        if (stage == 0) {
            ours = own;
            ours.rip = l->site;
            ours.orig_rax = ~0ULL; /* nothing for the kernel to restart */
            ours.rax = l->number;
            ours.rdi = l->arguments[0];
            ours.rsi = l->arguments[1];
            ours.rdx = l->arguments[2];
            ours.r10 = l->arguments[3];
            ours.r8 = l->arguments[4];
            ours.r9 = l->arguments[5];
            if (ptrace(PTRACE_SETREGS, t->tid, NULL, &ours) < 0) return -1;
        }
        if (ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL) < 0) return -1;
        t->stopped = 0;
        while (!settled(t, 1)) continue;
        if (t->dead) return -1;
        if (t->status == SYSCALL_STOP) {
            stage++;
        } else if (signal_of(t)) { /* it came before the instruction did */
            if (ptrace(PTRACE_SETREGS, t->tid, NULL, &own) < 0) return -1;
            if (interrupted_again(t, signal_of(t)) < 0) return -1;
            if (ptrace(PTRACE_GETREGS, t->tid, NULL, &own) < 0) return -1;
        }
    }
    if (ptrace(PTRACE_GETREGS, t->tid, NULL, &ours) < 0) return -1;
    l->result = ours.rax;
    if (ptrace(PTRACE_SETREGS, t->tid, NULL, &own) < 0) return -1;
    return interrupted_again(t, 0);
}

static void lend(struct loan *l, struct thread *t)
{
    long options = PTRACE_O_TRACESYSGOOD | O_SUSPEND_SECCOMP;
    int suspended = ptrace(PTRACE_SETOPTIONS, t->tid, NULL, (void *)options) == 0;
    if (!suspended) {
        l->error = errno;
        if (errno == ESRCH) {
            l->ending = ENDED;
            return;
        }
        options = PTRACE_O_TRACESYSGOOD;
        ptrace(PTRACE_SETOPTIONS, t->tid, NULL, (void *)options);
    }
    if (!suspended && l->filtered) l->ending = REFUSED_SECCOMP;
    else l->ending = call(l, t) < 0 ? ENDED : CALLED;
    ptrace(PTRACE_DETACH, t->tid, NULL, NULL);
}

static void borrow(void *argument)
{
    struct loan *l = argument;
    l->ending = ENDED;
    for (size_t i = 0; i < l->count; i++) {
        struct thread t = {.tid = l->tids[i]};
        if (ptrace(PTRACE_SEIZE, t.tid, NULL, NULL) < 0) {
            if (errno == EPERM) {
                l->error = errno;
                l->ending = REFUSED_TRACE;
            }
            continue;
        }
        ptrace(PTRACE_INTERRUPT, t.tid, NULL, NULL);
        if (rest(&t, now_ns() + l->patience_ns) == 0) {
            lend(l, &t);
            return;
        }
        if (!t.dead) l->ending = NO_THREAD; /* it is released when we end */
    }
}

#endif
