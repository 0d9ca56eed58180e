"""Reads a mailbox by POP3 as Python's poplib does, and tells what it saw as JSON: see ../pop3.rs."""

import base64
import json
import poplib
import ssl
import sys

port, ca, user, password, task = sys.argv[1:]


def connect():
    return poplib.POP3_SSL("127.0.0.1", int(port), context=ssl.create_default_context(cafile=ca))


def sign_in(password=password):
    session = connect()
    session.user(user)
    session.pass_(password)
    return session


def refusal(act):
    try:
        act()
    except poplib.error_proto as error:
        return error.args[0].decode()
    raise SystemExit("it was not refused")


def message(lines):
    return base64.b64encode(b"".join(line + b"\r\n" for line in lines)).decode()


def read():
    session = sign_in()
    count, octets = session.stat()
    numbers = range(1, count + 1)
    return {
        "welcome": session.getwelcome().decode(),
        "capabilities": sorted(session.capa()),
        "octets": octets,
        "sizes": [int(line.split()[1]) for line in session.list()[1]],
        "ids": [line.split()[1].decode() for line in session.uidl()[1]],
        "messages": [message(session.retr(n)[1]) for n in numbers],
        "tops": [message(session.top(n, 2)[1]) for n in numbers],
        "second": refusal(sign_in),
        "quit": session.quit().decode(),
    }


def refuse():
    session = sign_in()
    answers = {
        "wrong": refusal(lambda: sign_in("sbagliata")),
        "number": refusal(lambda: session.retr(99)),
        "command": refusal(lambda: session._shortcmd("XYZZY")),
    }
    session.quit()
    return answers


def delete(leave):
    session = sign_in()
    count, _ = session.stat()
    for n in range(1, count + 1):
        session.dele(n)
    left = session.stat()[0]
    if leave:
        session.close()  # without QUIT: nothing is removed
    else:
        session.quit()
    return {"marked": count, "left": left}


tasks = {"read": read, "refuse": refuse, "leave": lambda: delete(True), "delete": lambda: delete(False)}
json.dump(tasks[task](), sys.stdout)
