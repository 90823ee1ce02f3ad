/* httpd PORT THREADS: THREADS threads that answer HTTP on keep-alive connections, one at a time
 * each, with what answer(1) returns. Prints its pid when it serves. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "target.h"

static int listener;

static void *work(void *nothing)
{
    (void)nothing;
    for (;;) {
        char request[4096], reply[128];
        int one = 1, client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while (read(client, request, sizeof request) > 0) {
            int size = snprintf(reply, sizeof reply,
                                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", answer(1));
            if (write(client, reply, (size_t)size) != size) break;
        }
        close(client);
    }
}

int main(int count, char **words)
{
    if (count != 3) return 2;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
    int one = 1;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1024)) return 1;
    pthread_t thread;
    for (int i = atoi(words[2]); i > 0; i--) pthread_create(&thread, NULL, work, NULL);
    serve();
}
