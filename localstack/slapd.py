"""A slapd with the schema of the provider index (RFC 6109 §4.5), for a test bed that keeps the index in LDAP."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

SCHEMA = pathlib.Path(__file__).parent.parent / "docs/provider-index.schema"
PATH = os.environ["PATH"] + os.pathsep + "/usr/sbin"
SETTINGS = """include /etc/ldap/schema/core.schema
include {schema}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSVerifyClient demand
database mdb
suffix "o=postacert"
directory {folder}
access to * by users read by * none
"""


class Slapd:
    """Holds an LDIF, for whoever shows a certificate of the authority."""

    def __init__(self, folder, ldif, authority, certificate, key):
        self.folder = pathlib.Path(folder)
        ldif = ldif[ldif.index(b"dn:") :]  # slapadd takes an empty line after the version for an entry
        for name, octets in (("ca.pem", authority), ("server.pem", certificate), ("server.key", key), ("index", ldif)):
            (self.folder / name).write_bytes(octets)
        self.settings = self.folder / "slapd.conf"
        self.settings.write_text(SETTINGS.format(schema=SCHEMA, folder=folder))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"ldaps://localhost:{self.port}"

    def __enter__(self):
        program = {name: shutil.which(name, path=PATH) or name for name in ("slapadd", "slapd")}
        subprocess.run([program["slapadd"], "-q", "-f", self.settings, "-l", self.folder / "index"], check=True)
        self.process = subprocess.Popen(
            [program["slapd"], "-d", "0", "-f", self.settings, "-h", f"ldaps://127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except ConnectionError:
                if time.monotonic() > until or self.process.poll() is not None:
                    self.__exit__()
                    raise
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
