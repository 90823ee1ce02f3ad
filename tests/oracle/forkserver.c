/* Preloaded into a test program: its main() runs only in forks of a process that waits before
 * main(). Whoever patches that process once has patched every one of its forks.
 *
 * Requests come on the descriptor that REQUESTS names, answers leave on ANSWERS. A request is a 4-byte length and that
 * many bytes of NUL-ended fields: folder, stdin, stdout, stderr, NAME=value ..., "", argv ...
 * The first answer, before any request, says "ready".
 *
 * An answer is the 4-byte wait status and the run's tally of memory: 8 bytes each of allocations
 * asked for and of blocks never given back. FAIL_AT=n in a request makes the n-th allocation and
 * all later ones fail.
 *
 * With COUNTERS naming a file, breakpoints that the harness has planted are counted: the file
 * holds a count and rows of address, original byte, hit. A breakpoint counts once a fork.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { MOST_FIELDS = 256, SECONDS = 120 };

typedef int main_function(int, char **, char **);
struct row { uint64_t address; uint8_t original, hit, pad[6]; };
struct counters { uint64_t count; struct row rows[]; };
struct tally { uint64_t allocations, kept; };

static main_function *program;
static int requests, answers;
static struct counters *counters;
static struct tally idle, *tally = &idle;
static uint64_t fail_at = UINT64_MAX;
static int counting;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

/* Whether the program may have one more block (or keep one, when it resizes it). */
static int may_allocate(void) {
    if (!counting)
        return 1;
    return __atomic_add_fetch(&tally->allocations, 1, __ATOMIC_RELAXED) < fail_at;
}

static void *kept(void *block) {
    if (counting && block != NULL)
        __atomic_add_fetch(&tally->kept, 1, __ATOMIC_RELAXED);
    return block;
}

void *malloc(size_t size) {
    return may_allocate() ? kept(__libc_malloc(size)) : NULL;
}

void *calloc(size_t count, size_t size) {
    return may_allocate() ? kept(__libc_calloc(count, size)) : NULL;
}

void *realloc(void *block, size_t size) {
    if (!may_allocate())
        return NULL;
    return block == NULL ? kept(__libc_realloc(block, size)) : __libc_realloc(block, size);
}

void free(void *block) {
    if (counting && block != NULL)
        __atomic_sub_fetch(&tally->kept, 1, __ATOMIC_RELAXED);
    __libc_free(block);
}

/* Hash tables are seeded with the time: a constant makes every run print in the same order. */
time_t time(time_t *out) {
    if (out != NULL)
        *out = 1000000000;
    return 1000000000;
}

static void count(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t at = (uint64_t)registers[REG_RIP] - 1;
    (void)number, (void)info;
    for (uint64_t i = 0; i < counters->count; i++) {
        struct row *row = &counters->rows[i];
        if (row->address == at) {
            int memory = open("/proc/self/mem", O_RDWR);
            ssize_t written = pwrite(memory, &row->original, 1, (off_t)at);
            close(memory);
            if (written != 1)
                _exit(99);
            row->hit = 1;
            registers[REG_RIP] = (greg_t)at;
            return;
        }
    }
    _exit(98);
}

static void map_counters(void) {
    const char *path = getenv("COUNTERS");
    struct sigaction action = {.sa_sigaction = count, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (path == NULL)
        return;
    int file = open(path, O_RDWR);
    off_t size = lseek(file, 0, SEEK_END);
    counters = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED)
        _exit(97);
    close(file);
    sigaction(SIGTRAP, &action, NULL);
}

static void redirect(const char *path, int descriptor, int flags) {
    int file = open(path, flags, 0600);
    if (file < 0 || dup2(file, descriptor) < 0)
        _exit(96);
    close(file);
}

static void run(char *request, size_t size) {
    char *fields[MOST_FIELDS + 1];
    int count_of_fields = 0, first = 4;
    for (size_t at = 0; at < size && count_of_fields < MOST_FIELDS; at += strlen(request + at) + 1)
        fields[count_of_fields++] = request + at;
    fields[count_of_fields] = NULL;
    if (count_of_fields < 6 || chdir(fields[0]) != 0)
        _exit(95);
    redirect(fields[1], 0, O_RDONLY);
    redirect(fields[2], 1, O_WRONLY | O_CREAT | O_TRUNC);
    redirect(fields[3], 2, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
    for (; first < count_of_fields && *fields[first] != '\0'; first++)
        putenv(fields[first]);
    first++;
    close(requests);
    close(answers);
    alarm(SECONDS);
    if (getenv("FAIL_AT") != NULL)
        fail_at = strtoull(getenv("FAIL_AT"), NULL, 10);
    counting = 1;
    exit(program(count_of_fields - first, fields + first, environ));
}

static int get(void *into, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t more = read(requests, (char *)into + at, size - at);
        if (more <= 0)
            return 0;
        at += (size_t)more;
    }
    return 1;
}

static int answer(int32_t status) {
    char message[sizeof status + sizeof *tally];
    memcpy(message, &status, sizeof status);
    memcpy(message + sizeof status, tally, sizeof *tally);
    return write(answers, message, sizeof message) == sizeof message;
}

static int serve(int argc, char **argv, char **environment) {
    static char request[1 << 16];
    struct rlimit none = {0, 0};
    uint32_t size;
    int status = 0;
    (void)argc, (void)argv, (void)environment;
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tally == MAP_FAILED)
        _exit(94);
    requests = atoi(getenv("REQUESTS"));
    answers = atoi(getenv("ANSWERS"));
    setrlimit(RLIMIT_CORE, &none);
    map_counters();
    while (answer(status) && get(&size, sizeof size)) {
        *tally = idle;
        if (size > sizeof request || !get(request, size))
            break;
        pid_t child = fork();
        if (child == 0)
            run(request, size);
        if (child < 0 || waitpid(child, &status, 0) != child)
            break;
    }
    _exit(0);
}

int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*rtld_fini)(void), void *stack_end) {
    int (*real)(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void),
                void *);
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    program = main;
    return real(serve, argc, argv, init, fini, rtld_fini, stack_end);
}
