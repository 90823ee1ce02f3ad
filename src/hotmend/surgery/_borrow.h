/*
 * Borrow one thread for one system call, and give it back as it was.
 *
 * The thread is stopped by PTRACE_INTERRUPT, never in the delivery of a signal: those are let
 * through first, with their siginfo. It then runs a `syscall` instruction that its process has
 * already, from entry stop to exit stop, and gets all its registers back.
 *
 * Should we be killed while it has foreign registers, the thread finds home by itself. Below its
 * stack lies a frame as the kernel makes one for a signal handler, with everything that the thread
 * had; the `syscall` is followed by a `ret`, which leads to the C library's call of rt_sigreturn.
 * Until the entry stop, rt_sigreturn is also what the thread is about to call, so that there is
 * no moment from which it would not come back. (One is left where a seccomp filter forbids the
 * borrowed call: between the change of the call's number and its start.)
 *
 * A thread that sat in a system call has rax = -ERESTART... and orig_rax = the call's number. The
 * kernel makes its restart out of them on the way through its signal code, so after the exit stop
 * the thread is interrupted once more and let go from there.
 */
#ifndef HOTMEND_BORROW_H
#define HOTMEND_BORROW_H

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "_tracer.h"

#define O_SUSPEND_SECCOMP (1 << 21)
#define SYSCALL_STOP (SIGTRAP | 0x80)

#define A_FUNCTION (~0ULL)

enum loan_ending { CALLED, NO_THREAD, ENDED, REFUSED_TRACE, REFUSED_SECCOMP };

struct loan {
    pid_t pid;
    unsigned long long start_time; /* of the process: field 22 of its stat */
    const pid_t *tids; /* candidates, the best first */
    size_t count;
    int filtered; /* the process has a seccomp filter */
    int64_t patience_ns;
    uint64_t site; /* of a `syscall` instruction, followed by `ret` where there is a way home */
    uint64_t home; /* of the C library's rt_sigreturn, 0 for none */
    const uint64_t *stacks; /* (start, end) of mappings that are a thread's stack and nothing else */
    size_t stack_count;
    uint64_t number, arguments[6]; /* number: A_FUNCTION to call the function at `site` */
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
    if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0) return -1;
    ptrace(PTRACE_CONT, t->tid, NULL, (void *)(intptr_t)deliver);
    return rest(t, 0);
}

/* It was in a system call that it has to make again. */
static int to_restart(const struct user_regs_struct *own)
{
    int64_t result = (int64_t)own->rax;
    return (int64_t)own->orig_rax >= 0 &&
           (result == -512 || result == -513 || result == -514 || result == -516);
}

/* Its own registers again, from an exit stop. -1: it goes home by itself. */
static int give_back(struct thread *t, const struct user_regs_struct *own)
{
    struct user_regs_struct again = *own;
    if (ptrace(PTRACE_SETREGS, t->tid, NULL, own) < 0) return -1;
    if (interrupted_again(t, 0) == 0 || t->dead || !to_restart(own)) return t->dead ? -1 : 0;
    /* It does not stop once more for the kernel to restart its call; so it is told to. */
    again.rip -= 2;
    again.rax = own->orig_rax;
    again.orig_rax = ~0ULL;
    return ptrace(PTRACE_SETREGS, t->tid, NULL, &again) < 0 ? -1 : 0;
}

/* ---- the way home ---------------------------------------------------------------------------- */

#define RED_ZONE 128
#define NT_XSTATE 0x202
#define GET_SIGMASK 0x420a
#define XSTATE_MOST (16 * 1024)
#define STACK_TO_SPARE (64 * 1024)
#define SIGRETURN 15
/* From the kernel's arch/x86/include/uapi/asm/sigcontext.h and ucontext.h. */
#define MAGIC1 0x46505853U
#define MAGIC2 0x46505845U
#define MAGIC_AT 464 /* in the xsave area: magic1, size with magic2, features, size */
#define UC_RESTORES_SS 6

struct home {
    uint64_t flags, link, stack[3];
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
    uint64_t sigmask;
};

/* Only under us: there is one helper at a time, and it may not have a stack as large. */
static unsigned char xstate[XSTATE_MOST + sizeof(uint32_t)] __attribute__((aligned(64)));

/* What the thread goes on with: an interrupted call is made again, as the kernel would do it. */
static void set_course(struct home *h, const struct user_regs_struct *own)
{
    h->rip = own->rip;
    h->rax = own->rax;
    if (to_restart(own)) {
        h->rip -= 2;
        h->rax = own->orig_rax;
    }
}

/* Write the frame. Its address, which is the stack pointer for rt_sigreturn; 0: there is no way home. */
static uint64_t pave(const struct loan *l, pid_t tid, const struct user_regs_struct *own)
{
    struct iovec state = {xstate, XSTATE_MOST};
    struct home h = {.flags = UC_RESTORES_SS, .cs = 0x33, .ss = 0x2b};
    uint64_t room = 0;
    for (size_t i = 0; l->home && i < l->stack_count; i++)
        if (own->rsp >= l->stacks[2 * i] && own->rsp < l->stacks[2 * i + 1])
            room = own->rsp - l->stacks[2 * i];
    if (room < STACK_TO_SPARE || own->cs != 0x33) return 0;
    if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_XSTATE, &state) < 0 || state.iov_len < 576) return 0;
    if (ptrace((enum __ptrace_request)GET_SIGMASK, tid, (void *)8, &h.sigmask) < 0) return 0;

    uint32_t size = (uint32_t)state.iov_len, magic2 = MAGIC2;
    uint64_t features;
    memcpy(&features, xstate + MAGIC_AT, 8); /* ptrace leaves the mask of what is saved here */
    uint32_t words[3] = {MAGIC1, size + 4, 0};
    memcpy(xstate + MAGIC_AT, words, 8);
    memcpy(xstate + MAGIC_AT + 8, &features, 8);
    memcpy(xstate + MAGIC_AT + 16, &size, 4);
    memcpy(xstate + size, &magic2, 4);

    uint64_t saved = (own->rsp - RED_ZONE - (size + 4)) & ~63ULL;
    uint64_t at = ((saved - sizeof h) & ~15ULL) - 8; /* as after a call: rsp + 8 is aligned */
    h.r8 = own->r8, h.r9 = own->r9, h.r10 = own->r10, h.r11 = own->r11;
    h.r12 = own->r12, h.r13 = own->r13, h.r14 = own->r14, h.r15 = own->r15;
    h.rdi = own->rdi, h.rsi = own->rsi, h.rbp = own->rbp, h.rbx = own->rbx;
    h.rdx = own->rdx, h.rcx = own->rcx, h.rsp = own->rsp, h.eflags = own->eflags;
    h.fpstate = saved;
    set_course(&h, own);
    struct iovec ours[3] = {{(void *)&l->home, 8}, {&h, sizeof h}, {xstate, size + 4}};
    struct iovec theirs[3] = {
        {(void *)at, 8}, {(void *)(at + 8), sizeof h}, {(void *)saved, size + 4}};
    ssize_t all = (ssize_t)(8 + sizeof h + size + 4);
    return process_vm_writev(tid, ours, 3, theirs, 3, 0) == all ? at + 8 : 0;
}

/* ---- the call -------------------------------------------------------------------------------- */

static void arrange(const struct loan *l, struct user_regs_struct *r)
{
    r->rdi = l->arguments[0];
    r->rsi = l->arguments[1];
    r->rdx = l->arguments[2];
    r->r10 = l->arguments[3];
    r->r8 = l->arguments[4];
    r->r9 = l->arguments[5];
}

/* It cannot be resumed, and will be let go where it is. -1, always. */
static int abandon(struct thread *t, const struct user_regs_struct *own,
                   struct user_regs_struct *ours, uint64_t home, int in_call)
{
    if (home && in_call) { /* it is about to make our call: it calls rt_sigreturn instead */
        ours->orig_rax = SIGRETURN;
        ours->rsp = home;
        ptrace(PTRACE_SETREGS, t->tid, NULL, ours);
    } else if (!home) {
        ptrace(PTRACE_SETREGS, t->tid, NULL, own);
    }
    return -1;
}

/* From here the thread has foreign registers; there is no giving up before it has its own again. */
static int call(struct loan *l, struct thread *t)
{
    struct user_regs_struct own, ours;
    uint64_t home = 0;
    int stage = 0; /* 0: before the instruction, 1: in the call, 2: done */
    if (ptrace(PTRACE_GETREGS, t->tid, NULL, &own) < 0) return -1;
    while (stage < 2) {
        if (stage == 0) {
            home = pave(l, t->tid, &own);
            ours = own;
            ours.rip = l->site;
            ours.orig_rax = ~0ULL; /* nothing for the kernel to restart */
            ours.rax = home ? SIGRETURN : l->number;
            if (home) ours.rsp = home;
            arrange(l, &ours);
            if (ptrace(PTRACE_SETREGS, t->tid, NULL, &ours) < 0) return -1;
        } else if (home) {
            if (ptrace(PTRACE_GETREGS, t->tid, NULL, &ours) < 0) return -1;
            ours.orig_rax = l->number;
            ours.rsp = home - 8; /* `ret` goes home from here */
            if (ptrace(PTRACE_SETREGS, t->tid, NULL, &ours) < 0) return -1;
        }
        if (ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL) < 0)
            return abandon(t, &own, &ours, home, stage == 1);
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
    return give_back(t, &own);
}

/* ---- a function ------------------------------------------------------------------------------ */

/* Calls in which threads wait for the world, and which neither an allocator nor an unwinder makes:
 * a thread that sits in one holds none of their locks. futex is not among them. */
static const unsigned short resting[] = {
    SYS_read, SYS_poll, SYS_select, SYS_pause, SYS_nanosleep, SYS_accept, SYS_recvfrom, SYS_recvmsg,
    SYS_wait4, SYS_rt_sigtimedwait, SYS_rt_sigsuspend, SYS_clock_nanosleep, SYS_epoll_wait,
    SYS_waitid, SYS_pselect6, SYS_ppoll, SYS_epoll_pwait, SYS_accept4, SYS_epoll_pwait2,
};

static int rests(const struct user_regs_struct *own)
{
    for (size_t i = 0; i < sizeof resting / sizeof *resting; i++)
        if (own->orig_rax == resting[i]) return 1;
    return 0;
}

/* Let the thread run a function of its process, from which it returns by its way home. 1: done;
 * 0: not this thread, or it has not come back in time, and will by itself; -1: dead. */
static int invoke(struct loan *l, struct thread *t, int64_t deadline)
{
    struct user_regs_struct own, ours;
    uint64_t home;
    int deliver = 0;
    if (ptrace(PTRACE_GETREGS, t->tid, NULL, &own) < 0) return -1;
    if (!rests(&own) || !(home = pave(l, t->tid, &own))) return 0;
    ours = own;
    ours.rip = l->site;
    ours.rsp = home - 8; /* the return address is there */
    ours.orig_rax = ~0ULL;
    ours.rax = 0;
    arrange(l, &ours);
    if (ptrace(PTRACE_SETREGS, t->tid, NULL, &ours) < 0) return -1;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, t->tid, NULL, (void *)(intptr_t)deliver) < 0) return -1;
        t->stopped = 0;
        while (!settled(t, 1))
            if (now_ns() > deadline) { /* it waits for a lock */
                ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
                while (!settled(t, 1)) continue;
                return t->dead ? -1 : 0;
            }
        if (t->dead) return -1;
        deliver = signal_of(t);
        if (t->status != SYSCALL_STOP) continue;
        if (ptrace(PTRACE_GETREGS, t->tid, NULL, &ours) < 0) return -1;
        if (ours.orig_rax == SIGRETURN && ours.rsp == home) break;
    }
    ours.orig_rax = ~0ULL; /* there is no need to call it: its own registers come from us */
    if (ptrace(PTRACE_SETREGS, t->tid, NULL, &ours) < 0) return -1;
    if (ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL) < 0) return -1;
    t->stopped = 0;
    while (!settled(t, 1)) continue;
    return t->dead || give_back(t, &own) < 0 ? -1 : 1;
}

/* The memory is the one that was looked at: since then the process may have called exec. */
static int on_known_ground(const struct loan *l, pid_t tid)
{
    int function = l->number == A_FUNCTION;
    errno = 0;
    uint64_t code = (uint64_t)ptrace(PTRACE_PEEKTEXT, tid, (void *)(function ? l->home : l->site), NULL);
    if (errno) return 0;
    return function ? code == 0x0f0000000fc0c748ULL /* mov $15, %rax; syscall */
                    : (code & 0xffff) == 0x050f;    /* syscall */
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
    if (!suspended && l->filtered) {
        l->ending = REFUSED_SECCOMP;
    } else if (l->number == A_FUNCTION) {
        int done = invoke(l, t, now_ns() + l->patience_ns);
        l->ending = done < 0 ? ENDED : done ? CALLED : NO_THREAD;
    } else {
        l->ending = call(l, t) < 0 ? ENDED : CALLED;
    }
    ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)signal_of(t));
}

/* While we hold the thread, neither its number nor its process's can come to mean another. */
static int is_of(const struct loan *l, pid_t tid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/task/%d", l->pid, tid);
    if (access(path, F_OK) < 0) return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", l->pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    text[size > 0 ? size : 0] = 0;
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    return at && strtoull(at, NULL, 10) == l->start_time;
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
        if (!is_of(l, t.tid)) continue; /* it is released when we end */
        ptrace(PTRACE_INTERRUPT, t.tid, NULL, NULL);
        if (rest(&t, now_ns() + l->patience_ns) == 0) {
            if (!on_known_ground(l, t.tid)) {
                l->ending = ENDED;
                ptrace(PTRACE_DETACH, t.tid, NULL, NULL);
                return;
            }
            lend(l, &t);
            if (l->number == A_FUNCTION && l->ending == NO_THREAD) continue;
            return;
        }
        if (!t.dead) l->ending = NO_THREAD; /* it is released when we end */
    }
}

#endif
