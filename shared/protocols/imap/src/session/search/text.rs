//! Looking for texts in the octets of a message: decoded, in any case, some octets at a time.

use memchr::memmem::Finder;
use mime::{
    outline::{Outline, Part},
    stream::{Text, Transfer},
    word,
};
use stages::{Rim, mailbox::Message};

use crate::{
    fault::Fault,
    session::message::{Reader, is_text},
};

/// Where a text is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// `BODY`: in all but the header of the message.
    Body,
    /// `TEXT`: in its header too.
    Whole,
}

/// A text that is looked for, in lower case, not empty.
pub(super) struct Needle {
    scope: Scope,
    finder: Finder<'static>,
}

impl Needle {
    pub(super) fn new(scope: Scope, text: &str) -> Self {
        Self { scope, finder: Finder::new(text).into_owned() }
    }
}

/// For each needle, whether it is in the message: in its texts and in the headers of messages within it. What is no
/// text is not looked into.
pub(super) async fn find(
    rim: &Rim,
    message: &Message,
    outline: &Outline,
    needles: &[Needle],
) -> Result<Vec<bool>, Fault> {
    let mut hay = Hay { needles, found: vec![false; needles.len()], text: String::new(), header: true };
    for (n, part) in outline.root.walk().enumerate() {
        hay.header = n == 0;
        if part.envelope.is_some() {
            header(rim, message, part, &mut hay).await?;
        }
        hay.header = false;
        if is_text(part) && !hay.is_done() {
            body(rim, message, part, &mut hay).await?;
        }
        if hay.is_done() {
            break;
        }
    }
    Ok(hay.found)
}

async fn header(rim: &Rim, message: &Message, part: &Part, hay: &mut Hay<'_>) -> Result<(), Fault> {
    let mut reader = Reader::new(rim, message, part.start, part.body);
    while let Some(octets) = reader.next().await? {
        hay.push(&word::decode(&octets));
    }
    hay.end();
    Ok(())
}

async fn body(rim: &Rim, message: &Message, part: &Part, hay: &mut Hay<'_>) -> Result<(), Fault> {
    let encoding = part.encoding.as_deref().unwrap_or("7bit");
    // What nobody can decode is looked at as it is.
    let Some(mut transfer) = Transfer::new(encoding).or_else(|| Transfer::new("binary")) else {
        return Ok(());
    };
    let mut text = Text::new(part.param("charset"));
    let mut reader = Reader::new(rim, message, part.body, part.end);
    loop {
        let (mut octets, mut read) = (Vec::new(), String::new());
        let next = reader.next().await?;
        let decoded = match &next {
            Some(more) => transfer.push(more, &mut octets),
            None => transfer.finish(&mut octets),
        };
        text.push(&octets, next.is_none(), &mut read);
        hay.push(&read);
        if next.is_none() || decoded.is_err() || hay.is_done() {
            hay.end();
            return Ok(());
        }
    }
}

/// What is looked through.
struct Hay<'a> {
    needles: &'a [Needle],
    found: Vec<bool>,
    /// The end of what came before, which a needle may begin in.
    text: String,
    /// It is the header of the message.
    header: bool,
}

impl Hay<'_> {
    fn push(&mut self, text: &str) {
        if text.is_ascii() {
            let from = self.text.len();
            self.text.push_str(text);
            if let Some(new) = self.text.get_mut(from..) {
                new.make_ascii_lowercase();
            }
        } else {
            self.text.push_str(&text.to_lowercase());
        }
        let mut keep = 0;
        for (needle, found) in self.needles.iter().zip(&mut self.found) {
            keep = keep.max(needle.finder.needle().len());
            if !*found && (needle.scope == Scope::Whole || !self.header) {
                *found = needle.finder.find(self.text.as_bytes()).is_some();
            }
        }
        let cut = self.text.floor_char_boundary(self.text.len().saturating_sub(keep));
        self.text.drain(..cut);
    }

    /// Nothing goes over from one part to the next.
    fn end(&mut self) {
        self.text.clear();
    }

    fn is_done(&self) -> bool {
        self.found.iter().all(|found| *found)
    }
}
