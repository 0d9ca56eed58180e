//! A certificate of the loopback, and a door to knock at.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use sigillo_net::{Connection, Limits, Listener, Security, Stopper, Stream, Tls, client_config};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

/// How long anything may take that takes milliseconds: other tests run on the same cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate of `localhost` that certifies itself, and its key, in PEM.
pub struct Pair {
    pub chain: String,
    pub key: String,
}

pub fn pair() -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    Pair { chain: certificate.pem(), key: key.serialize_pem() }
}

impl Pair {
    pub fn tls(&self) -> Tls {
        Tls::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }

    /// A client that trusts this certificate alone.
    pub fn connector(&self) -> TlsConnector {
        let mut anchors = RootCertStore::empty();
        anchors.add(CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()).unwrap();
        TlsConnector::from(client_config(anchors).unwrap())
    }
}

pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

pub fn implicit(tls: &Tls) -> Security {
    Security::Implicit(tls.acceptor(&[]).unwrap())
}

pub fn starttls(tls: &Tls) -> Security {
    Security::StartTls(tls.acceptor(&[]).unwrap())
}

/// A door that serves until it is stopped.
pub struct Door {
    pub address: SocketAddr,
    pub stopper: Stopper,
    pub serving: JoinHandle<()>,
}

pub async fn open<S, F>(security: Security, limits: Limits, session: S) -> Door
where
    S: Fn(Connection) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), security, limits).await.unwrap();
    let listener = listener.refusing_with(b"421 too many connections\r\n");
    let address = listener.address();
    let (stopper, stop) = Stopper::new();
    Door { address, stopper, serving: tokio::spawn(listener.serve(stop, session)) }
}

impl Door {
    pub async fn knock(&self) -> Stream {
        Stream::plain(TcpStream::connect(self.address).await.unwrap(), PATIENCE)
    }

    pub async fn knock_tls(&self, pair: &Pair) -> Stream {
        let mut stream = self.knock().await;
        stream.connect_tls(&pair.connector(), localhost(), PATIENCE).await.unwrap();
        stream
    }

    pub async fn stop(self) {
        self.stopper.stop();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

/// Answers each line with itself; `STARTTLS` with `go`, then TLS.
pub async fn echo(mut connection: Connection) {
    let mut stop = connection.stop.clone();
    loop {
        let line = tokio::select! {
            line = connection.stream.line(1000) => line,
            () = stop.stopped() => {
                connection.stream.send(b"bye\r\n").await.unwrap();
                return connection.stream.close().await;
            }
        };
        let Ok(Some(line)) = line else { return };
        if line.starts_with(b"STARTTLS") {
            connection.stream.send(b"go\r\n").await.unwrap();
            if connection.stream.starttls().await.is_err() {
                return;
            }
        } else if connection.stream.send(&line).await.is_err() {
            return;
        }
    }
}

pub fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
