"""Python's imaplib against the IMAP door: every assertion is about octets that came back.

client.py PORT CA USER PASSWORD FILE: FILE is what the first message of INBOX must be, byte for byte.
"""

import imaplib
import re
import ssl
import sys

port, ca, user, password, expected = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
MESSAGE = b"From: mittente@pec.demo.example\r\nSubject: dal cliente\r\n\r\nriga uno\r\n\r\n.\r\nPerch\xc3\xa9\r\n"


def connect():
    return imaplib.IMAP4_SSL("127.0.0.1", int(port), ssl_context=context)


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


# A wrong password, then the right one by AUTHENTICATE, with what the server can do.
client = connect()
try:
    client.login(user, "sbagliata")
    raise SystemExit("a wrong password signed in")
except imaplib.IMAP4.error as error:
    assert b"AUTHENTICATIONFAILED" in error.args[0], error
ok(client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode()))
ok(client.noop())
capabilities = ok(client.capability())[0].decode().split()
for capability in "IMAP4rev1 IMAP4rev2 UIDPLUS MOVE CONDSTORE QRESYNC SPECIAL-USE IDLE LITERAL+".split():
    assert capability in capabilities, (capability, capabilities)

# Folders.
names = [line.decode().split(' "/" ')[1].strip('"') for line in ok(client.list())]
assert names[:5] == ["INBOX", "Receipts", "Drafts", "Sent", "Trash"], names
ok(client.create("Prova/Sotto"))
ok(client.subscribe("Prova/Sotto"))
assert ok(client.lsub('""', "Prova/*")) == [b'() "/" "Prova/Sotto"']
ok(client.rename("Prova", "Altra"))
assert client.select("Prova")[0] == "NO"
assert b"QUOTAROOT" not in ok(client.getquotaroot("INBOX"))[0][0]

# What a letter is in INBOX.
count = int(ok(client.select("INBOX"))[0])
with open(expected, "rb") as file:
    letter = file.read()
assert ok(client.fetch("1", "(BODY.PEEK[])"))[0][1] == letter, "INBOX 1 is not what was filed"
assert ok(client.fetch("1", "(BODY.PEEK[]<100.1000>)"))[0][1] == letter[100:1100]
header = ok(client.fetch("1", "(BODY.PEEK[HEADER])"))[0][1]
assert letter.startswith(header) and header.endswith(b"\r\n\r\n")
structure = ok(client.fetch("1", "(BODYSTRUCTURE)"))[0]
for word in [b"postacert.eml", b"daticert.xml", b"smime.p7s", b'"message" "rfc822"']:
    assert word in structure, (word, structure)
assert b'"POSTA CERTIFICATA: ' in ok(client.fetch("1", "(ENVELOPE)"))[0]

# APPEND, then the same octets back; flags; what others see.
answer = ok(client.append("INBOX", r"(\Seen Lavoro)", '"01-Mar-2026 10:00:00 +0100"', MESSAGE))
uid = re.search(rb"APPENDUID \d+ (\d+)", answer[0]).group(1).decode()
answer = ok(client.uid("FETCH", uid, "(FLAGS INTERNALDATE BODY[])"))
assert answer[0][1] == MESSAGE and b" 1-Mar-2026 09:00:00 +0000" in answer[0][0], answer
assert b"Lavoro" in answer[0][0] + answer[1], answer
other = connect()
ok(other.login(user, password))
ok(other.select("INBOX"))
ok(client.uid("STORE", uid, "+FLAGS.SILENT", r"(\Flagged)"))
ok(other.noop())
_, fetched = other.response("FETCH")
assert fetched and b"Flagged" in fetched[-1], fetched

# SEARCH and SORT.
assert ok(client.uid("SEARCH", None, "SUBJECT", '"dal cliente"', "FLAGGED"))[0].decode() == uid
assert ok(client.uid("SEARCH", "CHARSET", "UTF-8", "BODY", '"riga uno"'))[0].decode() == uid
assert ok(client.sort("(ARRIVAL)", "UTF-8", "ALL"))[0].split()[0] == str(count + 1).encode()

# COPY, MOVE, EXPUNGE.
ok(client.uid("COPY", uid, "Sent"))
ok(client.uid("MOVE", uid, "Altra"))
assert ok(client.uid("SEARCH", None, "ALL"))[0].split() == ok(other.uid("SEARCH", None, "ALL"))[0].split()
ok(client.select("Altra"))
assert ok(client.fetch("1", "(BODY.PEEK[])"))[0][1] == MESSAGE
ok(client.store("1", "+FLAGS", r"(\Deleted)"))
assert ok(client.expunge()) == [b"1"]
ok(client.close())
ok(client.delete("Altra/Sotto"))
ok(client.delete("Altra"))
ok(client.select("Sent"))
assert ok(client.fetch("1", "(RFC822)"))[0][1] == MESSAGE
ok(client.store("1:*", "+FLAGS", r"(\Deleted)"))
ok(client.expunge())
assert client.logout()[0] == "BYE"
other.logout()
print("imaplib: all is as it should be")
