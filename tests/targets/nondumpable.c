/* Nobody but root may look into it (PR_SET_DUMPABLE 0), as after a change of user. */
#include <sys/prctl.h>
#include "target.h"
int main(void) { if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L)) return 77; serve(); }
