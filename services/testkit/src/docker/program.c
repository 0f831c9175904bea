/* What test containers run: each argument is a step, done in order.
   print:TEXT  wait:MS  exit:CODE  eat (memory, without end)  serve:PORT (TCP, without end)
   speak:PORT (HTTP, without end)  point:PORT=URL (HTTP, sends everybody there, without end)
   open:PORT (HTTP, without end, for whoever is in its network)  ask:PORT (ends with 1 if nobody listens there) */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(int port) {
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!connect(peer, (struct sockaddr *)&address, sizeof address)) return 0;
    perror("connect");
    return 1;
}

static void answer(int peer, const char *elsewhere) {
    char request[4096], reply[4096];
    const char *end = "Content-Length: 2\r\nConnection: close\r\n\r\nok";
    if (elsewhere) snprintf(reply, sizeof reply, "HTTP/1.1 302 Found\r\nLocation: %s\r\n%s", elsewhere, end);
    else snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\n%s", end);
    if (read(peer, request, sizeof request) > 0 && write(peer, reply, strlen(reply)) < 0) perror("write");
}

static void serve(int port, in_addr_t where, int speaks, const char *elsewhere) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(where);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("listen");
        exit(1);
    }
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (speaks) answer(peer, elsewhere);
        close(peer);
    }
}

static void eat(void) {
    for (;;) {
        char *piece = malloc(1 << 20);
        if (piece) memset(piece, 1, 1 << 20);
    }
}

int main(int count, char **steps) {
    for (int index = 1; index < count; index++) {
        char *value = strchr(steps[index], ':');
        value = value ? value + 1 : "";
        if (!strncmp(steps[index], "print", 5)) { puts(value); fflush(stdout); }
        if (!strncmp(steps[index], "wait", 4)) usleep(atoi(value) * 1000);
        if (!strncmp(steps[index], "exit", 4)) return atoi(value);
        if (!strncmp(steps[index], "eat", 3)) eat();
        if (!strncmp(steps[index], "serve", 5)) serve(atoi(value), INADDR_LOOPBACK, 0, NULL);
        if (!strncmp(steps[index], "speak", 5)) serve(atoi(value), INADDR_LOOPBACK, 1, NULL);
        if (!strncmp(steps[index], "point", 5)) serve(atoi(value), INADDR_LOOPBACK, 1, strchr(value, '=') + 1);
        if (!strncmp(steps[index], "open", 4)) serve(atoi(value), INADDR_ANY, 1, NULL);
        if (!strncmp(steps[index], "ask", 3) && ask(atoi(value))) return 1;
    }
    return 0;
}
