/* What test containers run: each argument is a step, done in order.
   print:TEXT  wait:MS  exit:CODE  eat (memory, without end)  serve:PORT (TCP, without end) */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void serve(int port) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("listen");
        exit(1);
    }
    for (;;) close(accept(listener, NULL, NULL));
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
        if (!strncmp(steps[index], "serve", 5)) serve(atoi(value));
    }
    return 0;
}
