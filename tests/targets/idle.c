/* One thread, in read(2). */
#include "target.h"
int main(void) { serve(); }
