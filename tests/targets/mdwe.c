/* Memory that is writable may never become executable (PR_SET_MDWE). */
#include <sys/prctl.h>
#include "target.h"
int main(void) { if (prctl(65, 1L, 0L, 0L, 0L)) return 77; serve(); }
