"""termios through ctypes.

Takes the place of the compiled module when that was built for a newer C library than the stack has. The numbers are
those of Linux on x86-64 and arm64, where they are the same.
"""

import ctypes as _ctypes
import os as _os

_libc = _ctypes.CDLL(None, use_errno=True)
_NCCS = 32


class error(Exception):
    pass


class _Termios(_ctypes.Structure):
    _fields_ = [
        ("iflag", _ctypes.c_uint),
        ("oflag", _ctypes.c_uint),
        ("cflag", _ctypes.c_uint),
        ("lflag", _ctypes.c_uint),
        ("line", _ctypes.c_ubyte),
        ("cc", _ctypes.c_ubyte * _NCCS),
        ("ispeed", _ctypes.c_uint),
        ("ospeed", _ctypes.c_uint),
    ]


class _Winsize(_ctypes.Structure):
    _fields_ = [(name, _ctypes.c_ushort) for name in ("rows", "columns", "x", "y")]


def _fileno(fd):
    return fd if isinstance(fd, int) else fd.fileno()


def _check(result):
    if result != 0:
        code = _ctypes.get_errno()
        raise error(code, _os.strerror(code))


def _now(state):
    """Whether reads are counted in characters and time rather than lines: then two entries are numbers."""
    return not state.lflag & ICANON


def tcgetattr(fd):
    state = _Termios()
    _check(_libc.tcgetattr(_fileno(fd), _ctypes.byref(state)))
    cc = [bytes([code]) for code in state.cc]
    if _now(state):
        cc[VMIN], cc[VTIME] = state.cc[VMIN], state.cc[VTIME]
    speeds = [_libc.cfgetispeed(_ctypes.byref(state)), _libc.cfgetospeed(_ctypes.byref(state))]
    return [state.iflag, state.oflag, state.cflag, state.lflag, *speeds, cc]


def tcsetattr(fd, when, attributes):
    if len(attributes) != 7:
        raise TypeError("tcsetattr, arg 3: must be 7 element list")
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = attributes
    if len(cc) != _NCCS:
        raise TypeError(f"tcsetattr: attributes[6] must be {_NCCS} element list")
    state = _Termios()
    _check(_libc.tcgetattr(_fileno(fd), _ctypes.byref(state)))
    state.iflag, state.oflag, state.cflag, state.lflag = iflag, oflag, cflag, lflag
    for index, code in enumerate(cc):
        state.cc[index] = code if isinstance(code, int) else code[0]
    _check(_libc.cfsetispeed(_ctypes.byref(state), ispeed))
    _check(_libc.cfsetospeed(_ctypes.byref(state), ospeed))
    _check(_libc.tcsetattr(_fileno(fd), when, _ctypes.byref(state)))


def tcsendbreak(fd, duration):
    _check(_libc.tcsendbreak(_fileno(fd), duration))


def tcdrain(fd):
    _check(_libc.tcdrain(_fileno(fd)))


def tcflush(fd, queue):
    _check(_libc.tcflush(_fileno(fd), queue))


def tcflow(fd, action):
    _check(_libc.tcflow(_fileno(fd), action))


def tcgetwinsize(fd):
    size = _Winsize()
    _check(_libc.ioctl(_fileno(fd), _ctypes.c_ulong(TIOCGWINSZ), _ctypes.byref(size)))
    return (size.rows, size.columns)


def tcsetwinsize(fd, winsize):
    rows, columns = winsize
    size = _Winsize()
    _check(_libc.ioctl(_fileno(fd), _ctypes.c_ulong(TIOCGWINSZ), _ctypes.byref(size)))
    size.rows, size.columns = rows, columns
    _check(_libc.ioctl(_fileno(fd), _ctypes.c_ulong(TIOCSWINSZ), _ctypes.byref(size)))


NCCS = _NCCS
VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSWTC = range(8)
VSWTCH = VSWTC
VSTART, VSTOP, VSUSP, VEOL, VREPRINT, VDISCARD, VWERASE, VLNEXT, VEOL2 = range(8, 17)

IGNBRK, BRKINT, IGNPAR, PARMRK, INPCK, ISTRIP = 0o1, 0o2, 0o4, 0o10, 0o20, 0o40
INLCR, IGNCR, ICRNL, IUCLC, IXON, IXANY, IXOFF = 0o100, 0o200, 0o400, 0o1000, 0o2000, 0o4000, 0o10000
IMAXBEL, IUTF8 = 0o20000, 0o40000

OPOST, OLCUC, ONLCR, OCRNL, ONOCR, ONLRET, OFILL, OFDEL = 0o1, 0o2, 0o4, 0o10, 0o20, 0o40, 0o100, 0o200
NLDLY, NL0, NL1 = 0o400, 0, 0o400
CRDLY, CR0, CR1, CR2, CR3 = 0o3000, 0, 0o1000, 0o2000, 0o3000
TABDLY, TAB0, TAB1, TAB2, TAB3, XTABS = 0o14000, 0, 0o4000, 0o10000, 0o14000, 0o14000
BSDLY, BS0, BS1 = 0o20000, 0, 0o20000
VTDLY, VT0, VT1 = 0o40000, 0, 0o40000
FFDLY, FF0, FF1 = 0o100000, 0, 0o100000

CSIZE, CS5, CS6, CS7, CS8 = 0o60, 0, 0o20, 0o40, 0o60
CSTOPB, CREAD, PARENB, PARODD, HUPCL, CLOCAL = 0o100, 0o200, 0o400, 0o1000, 0o2000, 0o4000
CBAUD, CBAUDEX, CIBAUD, CRTSCTS = 0o10017, 0o10000, 0o2003600000, 0o20000000000

ISIG, ICANON, XCASE, ECHO, ECHOE, ECHOK, ECHONL, NOFLSH = 0o1, 0o2, 0o4, 0o10, 0o20, 0o40, 0o100, 0o200
TOSTOP, ECHOCTL, ECHOPRT, ECHOKE, FLUSHO = 0o400, 0o1000, 0o2000, 0o4000, 0o10000
PENDIN, IEXTEN, EXTPROC = 0o40000, 0o100000, 0o200000

B0, B50, B75, B110, B134, B150, B200, B300, B600, B1200, B1800, B2400, B4800, B9600, B19200, B38400 = range(16)
EXTA, EXTB = B19200, B38400
B57600, B115200, B230400, B460800, B500000, B576000, B921600, B1000000 = range(0o10001, 0o10011)
B1152000, B1500000, B2000000, B2500000, B3000000, B3500000, B4000000 = range(0o10011, 0o10020)

TCSANOW, TCSADRAIN, TCSAFLUSH = range(3)
TCIFLUSH, TCOFLUSH, TCIOFLUSH = range(3)
TCOOFF, TCOON, TCIOFF, TCION = range(4)

TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSETA, TCSETAW, TCSETAF = range(0x5401, 0x5409)
TCSBRK, TCXONC, TCFLSH, TIOCEXCL, TIOCNXCL, TIOCSCTTY, TIOCGPGRP, TIOCSPGRP = range(0x5409, 0x5411)
TIOCOUTQ, TIOCSTI, TIOCGWINSZ, TIOCSWINSZ, TIOCMGET, TIOCMBIS, TIOCMBIC, TIOCMSET = range(0x5411, 0x5419)
TIOCGSOFTCAR, TIOCSSOFTCAR, FIONREAD, TIOCLINUX, TIOCCONS, TIOCGSERIAL = range(0x5419, 0x541F)
TIOCINQ = FIONREAD
TIOCSSERIAL, TIOCPKT, FIONBIO, TIOCNOTTY, TIOCSETD, TIOCGETD = range(0x541F, 0x5425)
TCSBRKP, FIONCLEX, FIOCLEX, FIOASYNC = 0x5425, 0x5450, 0x5451, 0x5452
