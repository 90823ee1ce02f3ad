/* The library is loaded a second time, in a namespace of its own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include "target.h"
int main(int count, char **words) { (void)count; if (!dlmopen(LM_ID_NEWLM, words[1], RTLD_NOW)) return 1; serve(); }
