//! The one table of Italian wire words and header names (spec 2.3, 3.2).
//!
//! Whatever a machine reads is here; the sentences that people read are in [`crate::text`].

use crate::document::{DeliveryError, Kind, ReceiptForm, RecipientKind};

/// Header fields of PEC (RFC 6109 §8.1).
pub mod header {
    /// Type of a receipt or notice.
    pub const RECEIPT: &str = "X-Ricevuta";
    /// Type of an envelope.
    pub const TRANSPORT: &str = "X-Trasporto";
    /// The Message-ID that the sender's client wrote, with angle brackets.
    pub const REFERENCE: &str = "X-Riferimento-Message-ID";
    /// Marks notices that a virus caused.
    pub const SECURITY: &str = "X-VerificaSicurezza";
    /// Form of delivery receipt that the sender asks for.
    pub const RECEIPT_FORM: &str = "X-TipoRicevuta";
    /// The original sender, in a virus detection notice.
    pub const SENDER: &str = "X-Mittente";
}

/// The value of [`header::SECURITY`].
pub const SECURITY_ERROR: &str = "errore";
/// Name of the part with the certification data (spec 0: not the `certdata.xml` of RFC 6109 §4.3.3).
pub const DATICERT: &str = "daticert.xml";
/// Name of the part with the original (RFC 6109 §4.3.2).
pub const POSTACERT: &str = "postacert.eml";
/// Name of the signature part.
pub const SIGNATURE: &str = "smime.p7s";

/// `postacert/@errore` when there is none; also the default of the DTD.
pub const NO_ERROR: &str = "nessuno";
/// `postacert/@errore` of virus notices.
pub const VIRUS_ERROR: &str = "virus";
/// `postacert/@errore` of everything that has no token of its own.
pub const OTHER_ERROR: &str = "altro";
/// Every `postacert/@errore` of the DTD (spec 3.1).
pub const ERRORS: [&str; 5] = [NO_ERROR, "no-dest", "no-dominio", VIRUS_ERROR, OTHER_ERROR];

/// Before the sender's address in the From of an envelope (spec 2.3; spec 0: not `On behalf of`).
pub const ON_BEHALF_OF: &str = "Per conto di: ";
/// The sender of a wrapped message that names none (spec 0.2 D14).
pub const UNKNOWN_SENDER: &str = "mittente sconosciuto";

/// Code of the last timeout notice, as the enhanced status of RFC 3463 (spec 12).
pub const TIMEOUT_CODE: &str = "5.4.1";
/// `errore-esteso` of the first timeout notice (spec 3.3 M5).
pub const TIMEOUT_FIRST_ERROR: &str = "non consegnato nelle prime dodici ore";
/// Description in the `errore-esteso` of the last timeout notice (spec 3.3 M6).
pub const TIMEOUT_LAST_ERROR: &str =
    "il messaggio non è stato consegnato nelle ventiquattro ore successive al suo invio";

/// The words of one kind of message (one row of spec 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindWords {
    /// [`header::RECEIPT`] or [`header::TRANSPORT`]; what is no PEC message has another.
    pub field: &'static str,
    /// The value of `field`.
    pub value: &'static str,
    /// What stands before the original's subject, with its trailing colon and space.
    pub subject_prefix: &'static str,
    /// `postacert/@tipo`; `None` for what has no certification data.
    pub certification: Option<&'static str>,
    /// `postacert/@errore`; a non-delivery notice says its own ([`DeliveryError::wire`]).
    pub error: &'static str,
    /// Whether [`header::SECURITY`] is written.
    pub security: bool,
}

impl Kind {
    /// The words of this kind.
    #[must_use]
    pub const fn words(self) -> KindWords {
        match self {
            Self::NonAcceptance => receipt("non-accettazione", "AVVISO DI NON ACCETTAZIONE: ", OTHER_ERROR),
            Self::NonAcceptanceVirus => {
                virus(receipt("non-accettazione", "AVVISO DI NON ACCETTAZIONE PER VIRUS: ", VIRUS_ERROR))
            }
            Self::Acceptance => receipt("accettazione", "ACCETTAZIONE: ", NO_ERROR),
            Self::TransportEnvelope => KindWords {
                field: header::TRANSPORT,
                ..receipt("posta-certificata", "POSTA CERTIFICATA: ", NO_ERROR)
            },
            Self::TimeoutFirst | Self::TimeoutLast => receipt(
                "preavviso-errore-consegna",
                "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
                OTHER_ERROR,
            ),
            Self::TakeCharge => receipt("presa-in-carico", "PRESA IN CARICO: ", NO_ERROR),
            Self::AnomalyEnvelope => KindWords {
                field: header::TRANSPORT,
                certification: None,
                ..receipt("errore", "ANOMALIA MESSAGGIO: ", NO_ERROR)
            },
            Self::VirusDetection => receipt("rilevazione-virus", "PROBLEMA DI SICUREZZA: ", VIRUS_ERROR),
            Self::NonDeliveryVirus => {
                virus(receipt("errore-consegna", "AVVISO DI MANCATA CONSEGNA PER VIRUS: ", VIRUS_ERROR))
            }
            Self::Delivery => receipt("avvenuta-consegna", "CONSEGNA: ", NO_ERROR),
            Self::NonDelivery => receipt("errore-consegna", "AVVISO DI MANCATA CONSEGNA: ", OTHER_ERROR),
            // RFC 3834 §5
            Self::DeliveryStatus => KindWords {
                field: "Auto-Submitted",
                certification: None,
                ..receipt("auto-replied", "NOTIFICA DI MANCATO RECAPITO: ", OTHER_ERROR)
            },
        }
    }

    /// The kind that the header speaks of: the field, its value and whether a virus is the cause (spec 2.3, G10).
    /// The timeout notices share their header: this gives the first. `None` for a value that is not in the table.
    #[must_use]
    pub fn from_wire(field: &str, value: &str, security: bool) -> Option<Self> {
        let matching = |kind: &Self| {
            let words = kind.words();
            words.field.eq_ignore_ascii_case(field) && words.value.eq_ignore_ascii_case(value.trim())
        };
        Self::ALL
            .into_iter()
            .find(|kind| matching(kind) && kind.words().security == security)
            .or_else(|| Self::ALL.into_iter().find(matching))
    }
}

/// A receipt or notice, whose header value is the `tipo` of its certification data as well (spec 3.2).
const fn receipt(value: &'static str, subject_prefix: &'static str, error: &'static str) -> KindWords {
    let certification = Some(value);
    KindWords { field: header::RECEIPT, value, subject_prefix, certification, error, security: false }
}

const fn virus(words: KindWords) -> KindWords {
    KindWords { security: true, ..words }
}

impl ReceiptForm {
    /// `ricevuta/@tipo` and the value of [`header::RECEIPT_FORM`].
    #[must_use]
    pub const fn wire(self) -> &'static str {
        match self {
            Self::Complete => "completa",
            Self::Brief => "breve",
            Self::Synthetic => "sintetica",
        }
    }

    /// The form of a token, in any case; `None` for an unknown one.
    #[must_use]
    pub fn from_wire(token: &str) -> Option<Self> {
        [Self::Complete, Self::Brief, Self::Synthetic]
            .into_iter()
            .find(|form| form.wire().eq_ignore_ascii_case(token.trim()))
    }
}

impl RecipientKind {
    /// `destinatari/@tipo`.
    #[must_use]
    pub const fn wire(self) -> &'static str {
        match self {
            Self::Certified => "certificato",
            Self::Ordinary => "esterno",
        }
    }

    /// How the acceptance receipt says it to people (spec 2.4 M3).
    #[must_use]
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::Certified => "posta certificata",
            Self::Ordinary => "posta ordinaria",
        }
    }

    /// The kind of a token, in any case; `None` for an unknown one.
    #[must_use]
    pub fn from_wire(token: &str) -> Option<Self> {
        [Self::Certified, Self::Ordinary]
            .into_iter()
            .find(|kind| kind.wire().eq_ignore_ascii_case(token.trim()))
    }
}

impl DeliveryError {
    /// `postacert/@errore` of a non-delivery notice (spec 0.2 D19).
    #[must_use]
    pub const fn wire(self) -> &'static str {
        match self {
            Self::NoRecipient => "no-dest",
            Self::NoDomain => "no-dominio",
            Self::Other => OTHER_ERROR,
        }
    }
}

/// Subject of the warning about a mailbox that fills up (spec 12).
pub(crate) const QUOTA_SUBJECT: &str = "Avviso: spazio della casella in esaurimento ({percent}%)";

/// Its text.
pub(crate) const QUOTA_TEXT: &str = "Gentile titolare,\r\n\r\n\
    la casella {to} ha raggiunto la soglia di avviso ({percent}%): sono occupati {used} su {quota}.\r\n\r\n\
    Quando lo spazio è esaurito i messaggi di posta certificata che le sono inviati non vengono consegnati, e \
    il mittente riceve un avviso di mancata consegna (casella piena); le ricevute e gli avvisi continuano ad \
    arrivare. Per liberare spazio può eliminare i messaggi che non servono più, dopo averne conservato una copia, \
    oppure chiedere al gestore una casella più grande.\r\n\r\n\
    Questo messaggio ordinario è generato automaticamente da {provider}: non è posta certificata.\r\n";

/// How people are told why something was not delivered: Italian and English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In `errore-esteso` (spec 12) and in texts.
    pub italian: &'static str,
    /// Beside it, where strangers read.
    pub english: &'static str,
}

impl Reason {
    /// Of an enhanced status (RFC 3463, spec 0.2 D19). `is_ours`: it is our system that does not deliver.
    #[must_use]
    pub fn of(code: &str, is_ours: bool) -> Self {
        let (italian, english) = match code {
            "5.1.1" => ("indirizzo non valido", "no such mailbox"),
            "5.1.2" | "5.1.10" | "5.4.4" => {
                ("dominio inesistente o non raggiungibile", "no such domain, or it takes no mail")
            }
            "5.2.1" => ("casella disabilitata", "mailbox disabled"),
            "5.2.2" => ("casella piena", "mailbox full"),
            "5.4.7" => ("tempo massimo di consegna superato", "not delivered in time"),
            "5.7.1" if is_ours => {
                ("la casella non accetta posta ordinaria", "the mailbox takes certified mail only")
            }
            _ => ("messaggio rifiutato dal sistema di destinazione", "refused by the receiving system"),
        };
        Self { italian, english }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 2.3: the whole table, once more, so that no word changes by accident.
    #[test]
    fn the_table_of_wire_words_is_that_of_the_specification() {
        let receipt = |k: Kind| (k.words().field, k.words().value, k.words().subject_prefix, k.words().error);
        let table = [
            ("X-Ricevuta", "non-accettazione", "AVVISO DI NON ACCETTAZIONE: ", "altro"),
            ("X-Ricevuta", "non-accettazione", "AVVISO DI NON ACCETTAZIONE PER VIRUS: ", "virus"),
            ("X-Ricevuta", "accettazione", "ACCETTAZIONE: ", "nessuno"),
            ("X-Trasporto", "posta-certificata", "POSTA CERTIFICATA: ", "nessuno"),
            (
                "X-Ricevuta",
                "preavviso-errore-consegna",
                "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
                "altro",
            ),
            (
                "X-Ricevuta",
                "preavviso-errore-consegna",
                "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
                "altro",
            ),
            ("X-Ricevuta", "presa-in-carico", "PRESA IN CARICO: ", "nessuno"),
            ("X-Trasporto", "errore", "ANOMALIA MESSAGGIO: ", "nessuno"),
            ("X-Ricevuta", "rilevazione-virus", "PROBLEMA DI SICUREZZA: ", "virus"),
            ("X-Ricevuta", "errore-consegna", "AVVISO DI MANCATA CONSEGNA PER VIRUS: ", "virus"),
            ("X-Ricevuta", "avvenuta-consegna", "CONSEGNA: ", "nessuno"),
            ("X-Ricevuta", "errore-consegna", "AVVISO DI MANCATA CONSEGNA: ", "altro"),
        ];
        assert_eq!(Kind::ALL.map(receipt), table);
        let security: Vec<Kind> = Kind::ALL.into_iter().filter(|k| k.words().security).collect();
        assert_eq!(security, [Kind::NonAcceptanceVirus, Kind::NonDeliveryVirus]);
    }

    /// Spec 2.3, G10, G15: header fields classify the message, in any case.
    #[test]
    fn every_kind_is_found_by_its_header() {
        for kind in Kind::ALL {
            let words = kind.words();
            let found =
                Kind::from_wire(&words.field.to_uppercase(), &words.value.to_uppercase(), words.security);
            let expected = if kind == Kind::TimeoutLast { Kind::TimeoutFirst } else { kind };
            assert_eq!(found, Some(expected));
        }
        assert_eq!(Kind::from_wire("X-Ricevuta", "errore", false), None);
        assert_eq!(Kind::from_wire("X-Trasporto", "accettazione", false), None);
        assert_eq!(Kind::from_wire("X-Ricevuta", "accettazione", true), Some(Kind::Acceptance));
    }

    /// Spec 3.1: the tokens of the DTD.
    #[test]
    fn tokens_are_written_and_read_back() {
        for form in [ReceiptForm::Complete, ReceiptForm::Brief, ReceiptForm::Synthetic] {
            assert_eq!(ReceiptForm::from_wire(&form.wire().to_uppercase()), Some(form));
        }
        for kind in [RecipientKind::Certified, RecipientKind::Ordinary] {
            assert_eq!(RecipientKind::from_wire(kind.wire()), Some(kind));
        }
        for error in [DeliveryError::NoRecipient, DeliveryError::NoDomain, DeliveryError::Other] {
            assert!(ERRORS.contains(&error.wire()));
        }
        assert_eq!(ReceiptForm::from_wire("lunga"), None);
        assert_eq!(RecipientKind::from_wire(""), None);
    }
}
