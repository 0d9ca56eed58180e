//! Why a received message becomes an anomaly envelope, in the Italian of M8 (spec 2.4, 5.3).

/// The first check of the incoming point that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// V1 to V3: ordinary mail.
    Untrusted,
    /// V4: no type, two types, or one that we do not know.
    UnknownType,
    /// V4: an anomaly envelope, which is for local delivery only.
    AnomalyEnvelope,
    /// V4: the parts.
    Structure,
    /// V4: daticert.xml.
    Certification,
    /// V4: `From:` and the certificate.
    Sender,
    /// V4: `From:` and the signer's domains (D10).
    Domain,
    /// V4: `tipo` and the header.
    Type,
    /// V4: `identificativo` and Message-ID.
    Identifier,
    /// V4: no postacert.eml in an envelope.
    NoOriginal,
    /// V4: the Message-ID inside postacert.eml.
    OriginalIdentifier,
}

impl Reason {
    /// `{descrizione sintetica errore}` of the anomaly envelope.
    pub(super) const fn wire(self) -> &'static str {
        match self {
            Self::Untrusted => "la firma digitale del messaggio non risulta attendibile",
            Self::UnknownType => "il tipo del messaggio di posta certificata non è riconosciuto",
            Self::AnomalyEnvelope => "una busta di anomalia non può provenire da un altro gestore",
            Self::Structure => "la struttura del messaggio non è conforme",
            Self::Certification => "i dati di certificazione mancano o non sono conformi",
            Self::Sender => "il campo From non corrisponde al certificato di firma",
            Self::Domain => "il dominio del campo From non è gestito da chi ha firmato il messaggio",
            Self::Type => "il tipo indicato nei dati di certificazione non corrisponde all'intestazione",
            Self::Identifier => {
                "l'identificativo del messaggio manca o non corrisponde ai dati di certificazione"
            }
            Self::NoOriginal => "il messaggio originale non è incluso in allegato",
            Self::OriginalIdentifier => {
                "l'identificativo del messaggio originale non corrisponde ai dati di certificazione"
            }
        }
    }
}
