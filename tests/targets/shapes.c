/* A library whose functions reach memory in every way that a compiler knows, and begin in every way
 * that matters to a detour. Built with endbr64 in front of each. -DFIXED gives the fixed build. */
#include <string.h>
#ifdef FIXED
#define MORE 1000
#define TEXT "1000"
#else
#define MORE 0
#define TEXT "0"
#endif
#define MODEL(name) __attribute__((tls_model(name)))

static _Thread_local int local_dynamic MODEL("local-dynamic") = 1;
static _Thread_local int beside_it MODEL("local-dynamic") = 1;
_Thread_local int global_dynamic MODEL("global-dynamic") = 2;
static _Thread_local int initial_exec MODEL("initial-exec") = 3;

int tls_local(const char *text) { (void)text; return (local_dynamic += 10) + beside_it + MORE; }
int tls_global(const char *text) { (void)text; return (global_dynamic += 10) + MORE; }
int tls_initial(const char *text) { (void)text; return (initial_exec += 10) + MORE; }

/* strlen and strnlen are IFUNCs of the C library; only the fixed build imports strnlen. */
int through_ifunc(const char *text) { return (int)strlen(text) + MORE; }
int through_new_import(const char *text)
{
#ifdef FIXED
    return (int)strnlen(text, 2) + MORE;
#else
    return text[0];
#endif
}

static int chosen(const char *text) { return text[0]; }
static int (*choose(void))(const char *) { return chosen; }
int own_ifunc(const char *text) __attribute__((ifunc("choose")));
int through_own_ifunc(const char *text) { return own_ifunc(text) + MORE; }

/* Its entry lies across two pages. */
__asm__(".text\n.balign 4096\n.skip 4093, 0x90\n.globl crossing\n.type crossing, @function\ncrossing:\n"
        ".cfi_startproc\nmov $" TEXT ", %eax\nadd $7, %eax\nret\n.cfi_endproc\n.size crossing, .-crossing\n");
