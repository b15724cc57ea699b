// What holds for the process as a whole, from its first moment on.
#ifndef IO_PROCESS_H
#define IO_PROCESS_H

// Its memory holds the API key and customers' values: no core dump is made of it, and no other
// process of the same user may read its memory or its environment, unless the environment asks for
// that with IMPRINT_SYNC_DUMPABLE=1.
void process_hide(void);

#endif
