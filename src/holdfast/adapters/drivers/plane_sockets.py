"""UDP sockets on the addresses of network planes, which may be away now and come later.

Standard library only.
"""

import socket

_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_NETWORK_CONTROL = 0xC0  # The class that switches keep for what keeps the network itself alive.


def open_plane_socket(address: str, port: int) -> socket.socket:
    """Bound to the address whether or not an interface has it now. Port 0: any.

    While the address is away nothing is received, and sending raises OSError; both work again by
    themselves when it is back. Raises OSError when the port is taken.
    """
    family = family_of(address)
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _NETWORK_CONTROL)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _NETWORK_CONTROL)
        opened.bind((address, port))
    except OSError as error:
        opened.close()
        raise OSError(error.errno, error.strerror, f"UDP port {port} of {address}") from None
    return opened


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
