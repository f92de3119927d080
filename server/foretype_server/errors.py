"""What a request can run into, in words for the one who made it.

    RequestError
    ├── InvalidRequest   it breaks a stated limit
    ├── NotFound         it names something that is not there
    ├── UnknownHead      it leaves out what the server does not have
    ├── NotReady         what it asks for cannot be had as things stand
    ├── SwitchedOff      the server was told not to do it
    ├── Overloaded       too many requests are under way
    └── OutOfTime        it took longer than the server allows

and, before there are requests:

    ServingError         the server cannot start where and as it was told
"""


class RequestError(Exception):
    """A request that is not answered; the message is for whoever made it."""


class InvalidRequest(RequestError):
    """It breaks a stated limit."""


class NotFound(RequestError):
    """It names something that is not there."""


class UnknownHead(RequestError):
    """It leaves out the beginning of a text, which the server does not have."""


class NotReady(RequestError):
    """What it asks for cannot be had as things stand."""


class SwitchedOff(RequestError):
    """The server was told not to do it."""


class Overloaded(RequestError):
    """Too many requests are under way."""


class OutOfTime(RequestError):
    """It took longer than the server allows."""


class ServingError(Exception):
    """The server cannot start where and as it was told."""

    exit_code = 2
