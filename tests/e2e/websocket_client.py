"""The client's side of a WebSocket through a platform's router, down to its frames."""

import base64
import hashlib
import os
import socket
import ssl
import struct


def websocket(platform, app, tls):
    """A connection that has been upgraded, as a file for reading and writing."""
    address = platform.endpoints["router_tls" if tls else "router"].rpartition(":")[2]
    name = f"{app}.{platform.endpoints['domain']}"
    client = socket.create_connection(("127.0.0.1", int(address)), timeout=20)
    if tls:
        client = ssl.create_default_context(cafile=platform.endpoints["ca"]).wrap_socket(client, server_hostname=name)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /socket HTTP/1.1",
        f"Host: {name}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]
    with client:
        stream = client.makefile("rwb")
    stream.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    stream.flush()
    head = [stream.readline().decode().strip()]
    while head[-1]:
        head.append(stream.readline().decode().strip())
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    assert head[0].startswith("HTTP/1.1 101 "), head
    assert f"sec-websocket-accept: {accept}".lower() in [line.lower() for line in head], head
    return stream


def send(stream, payload):
    """One masked text frame."""
    size = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    mask = os.urandom(4)
    stream.write(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
    stream.flush()


def receive(stream):
    """(kind, payload) of one frame that is whole and not masked."""
    first, size = stream.read(2)
    if size == 126:
        [size] = struct.unpack("!H", stream.read(2))
    return first & 0x0F, stream.read(size)
