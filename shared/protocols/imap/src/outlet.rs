//! Where answers go.

use crate::write::Writer;

/// Octets that are gathered before they are sent.
const GATHERED: usize = 16 * 1024;

/// The client is gone, or does not read: the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("send the answer")]
pub struct Gone;

/// Takes answers. It waits while the client does not read, so that nothing piles up, and gives up in the end.
pub trait Outlet: Send {
    /// Sends all of it.
    fn send(&mut self, octets: &[u8]) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// For tests: everything that was sent.
impl Outlet for Vec<u8> {
    async fn send(&mut self, octets: &[u8]) -> Result<(), Gone> {
        self.extend_from_slice(octets);
        Ok(())
    }
}

/// An answer in the making: at most some [`GATHERED`] octets of it are in memory.
pub(crate) struct Out<'a, O> {
    outlet: &'a mut O,
    pub(crate) writer: Writer,
}

impl<'a, O: Outlet> Out<'a, O> {
    pub(crate) const fn new(outlet: &'a mut O, utf8: bool) -> Self {
        Self { outlet, writer: Writer::new(utf8) }
    }

    /// Sends what was gathered if it is enough.
    pub(crate) async fn pace(&mut self) -> Result<(), Gone> {
        if self.writer.out.len() >= GATHERED { self.flush().await } else { Ok(()) }
    }

    /// Octets of a message.
    pub(crate) async fn octets(&mut self, octets: &[u8]) -> Result<(), Gone> {
        if octets.len() < GATHERED {
            self.writer.raw(octets);
            return self.pace().await;
        }
        self.flush().await?;
        self.outlet.send(octets).await
    }

    /// Sends what was gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        if !self.writer.out.is_empty() {
            self.outlet.send(&self.writer.out).await?;
            self.writer.out.clear();
        }
        Ok(())
    }

    /// A whole line, without its end.
    pub(crate) async fn line(&mut self, line: impl AsRef<[u8]>) -> Result<(), Gone> {
        self.writer.raw(line).raw("\r\n");
        self.pace().await
    }
}
