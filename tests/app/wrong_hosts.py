"""Wrong use of what reaches other hosts: --listen, --link, --nameserver, --key-file, join, nameserver, hosts, key."""

import socket

from wrong_use_kit import Kit, case, file

from evoae_cli.hosts.key import make_key


def _open_key(kit: Kit) -> None:
    make_key(kit.folder / "key")
    (kit.folder / "key").chmod(0o644)


def _taken_port(kit: Kit) -> None:
    listener = kit.until_checked.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 47077))
    listener.listen()


def _key(kit: Kit) -> None:
    make_key(kit.folder / "key")


CASES = (
    case("listening on no port", "search denoise --listen gpu-1", "--listen 'gpu-1'", "as in", is_process=True),
    case("listening on a port that cannot be", "search denoise --listen 70777", "--listen '70777'", "65535"),
    case("listening for others without a key", "search denoise --listen 0.0.0.0:7077", "0.0.0.0:7077", "--key-file"),
    case("listening where others listen", "search denoise --listen 47077", "47077", "in use", prepare=_taken_port),
    case("a key for nobody", "search denoise --key-file key", "--key-file key", "--listen PORT", prepare=_key),
    case("a key that is not there", "search denoise --listen 47078 --key-file no", "key file no", "evoae key no"),
    case(
        *("a key that all may read", "search denoise --listen 47078 --key-file key", "0644", "chmod 600 key"),
        prepare=_open_key,
    ),
    case("a key that is none", "search denoise --listen 47078 --key-file key", "others", "chmod", prepare=file("key")),
    case("a link to no address", "search denoise --link gpu-1", "--link 'gpu-1'", "HOST:PORT"),
    case("a link to a number of version 6", "search denoise --link [::1]:7077", "[::1]:7077", "IPv4"),
    case("a nameserver without a port", "search denoise --nameserver gpu-1:", "--nameserver 'gpu-1:'", "65535"),
    case("helping nobody", "join", "evoae join HOST:PORT", "--nameserver", is_process=True),
    case("helping two ways", "join gpu-1:7077 --nameserver gpu-1:7070", "evoae join HOST:PORT", "--nameserver"),
    case("helping another host without a key", "join 10.0.0.9:7077", "10.0.0.9:7077", "evoae key"),
    case("helping with no workers", "join 127.0.0.1:7077 --workers 0", "--workers 0", "at least 1"),
    case("a nameserver on no port", "nameserver --listen x", "--listen 'x'", "as in"),
    case("a nameserver for others without a key", "nameserver --listen 0.0.0.0:7070", "0.0.0.0:7070", "--key-file"),
    case("hosts at no address", "hosts gpu-1", "'gpu-1'", "HOST:PORT"),
    case("a key where a file is", "key a", "a exists", "another file", prepare=file("a")),
    case("a key in no folder", "key no/key", "no/key", "cannot be written"),
)
