/* The least that a proxy can do: connects to ADDRESS PORT, sets TCP_NODELAY, and passes the socket to ssh. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **words)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
    struct iovec one = { .iov_base = "", .iov_len = 1 };
    struct msghdr message = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (count != 3 || inet_pton(AF_INET, words[1], &address.sin_addr) != 1) return 2;
    address.sin_port = htons(atoi(words[2]));
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) return 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(1, &message, 0) != 1;
}
