use super::*;
use crate::RandomIds;

const SECOND: u64 = 1 << 32;

fn answer(stratum: u8, origin: u64, receive: u64, transmit: u64) -> Vec<u8> {
    let mut packet = vec![0; PACKET_BYTES];
    packet[0] = 0x24;
    packet[1] = stratum;
    for (at, number) in [(24, origin), (32, receive), (40, transmit)] {
        packet[at..at + 8].copy_from_slice(&number.to_be_bytes());
    }
    packet
}

fn reading(packet: &[u8], sent: u64, came: u64) -> Result<Reading, String> {
    let answer = Answer::read(packet).ok_or("no answer")?;
    answer.reading(sent, came).map_err(|error| error.to_string())
}

/// RFC 5905 §8: offset and delay of the four timestamps.
#[test]
fn the_offset_is_that_of_the_four_timestamps() {
    let at = |tenths: u64| 4_000_000_000 * SECOND + tenths * SECOND / 10;
    // Sent at 0.0, there at 5.1 by its clock, back at 5.2, here at 0.3: 5.0 ahead, 0.2 on the way.
    let packet = answer(2, 7, at(51), at(52));
    assert_eq!(reading(&packet, at(0), at(3)), Ok(Reading { offset_ms: 5000, delay_ms: 199 }));
    let behind = answer(2, 7, at(51), at(52));
    assert_eq!(reading(&behind, at(100), at(103)).unwrap().offset_ms, -5000);
    // Over the end of the era in 2036: our clock before it, the server's after it.
    let era = u64::MAX - SECOND / 2;
    let packet = answer(1, 7, era.wrapping_add(2 * SECOND), era.wrapping_add(2 * SECOND));
    assert_eq!(reading(&packet, era, era).unwrap().offset_ms, 2000);
}

#[test]
fn who_is_not_in_step_is_not_believed() {
    let now = 4_000_000_000 * SECOND;
    let mut unset = answer(1, 7, now, now);
    unset[0] |= 0xc0;
    for packet in [answer(0, 7, now, now), answer(16, 7, now, now), answer(1, 7, now, 0), unset] {
        assert!(reading(&packet, now, now).is_err(), "{packet:?}");
    }
    assert!(reading(&answer(1, 7, now, now), now, now + 2 * SECOND).is_err(), "too long on its way");
    // Another mode, an answer that breaks off, nothing: no answer at all.
    let mut client = answer(1, 7, now, now);
    client[0] = 0x23;
    assert!(Answer::read(&client).is_none());
    for len in 0..PACKET_BYTES {
        assert!(Answer::read(&answer(1, 7, now, now)[..len]).is_none());
    }
}

/// A server of 127.0.0.1 whose clock is ahead by so many seconds.
async fn server(ahead_s: i64, tells: impl Fn(&[u8], u64) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut packet = [0; 100];
        while let Ok((len, peer)) = socket.recv_from(&mut packet).await {
            let now = ntp(SystemTime::now()).wrapping_add((ahead_s << 32).cast_unsigned());
            for answer in tells(&packet[..len], now) {
                socket.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    address
}

fn origin(question: &[u8]) -> u64 {
    assert_eq!((question.len(), question[0]), (PACKET_BYTES, 0x23));
    u64::from_be_bytes(question[40..].try_into().unwrap())
}

#[tokio::test]
async fn servers_are_asked_and_the_one_in_the_middle_counts() {
    let honest = |question: &[u8], now| vec![answer(1, origin(question), now, now)];
    let [right, late, mad] = [server(0, honest).await, server(2, honest).await, server(90_000, honest).await];
    let near = |reading: Option<Reading>, ms: i64| {
        let reading = reading.unwrap();
        assert!((reading.offset_ms - ms).abs() < 500, "{reading:?}, not {ms}");
    };
    let ids = RandomIds::new();
    near(measure(std::slice::from_ref(&late), &ids).await, 2000);
    near(measure(&[right.clone(), late.clone(), mad], &ids).await, 2000);
    near(measure(&[right, late], &ids).await, 2000);
    assert_eq!(measure(&[], &ids).await, None);
}

#[tokio::test]
async fn only_the_answer_to_the_question_counts() {
    // Guesses of somebody who does not see the question, rubbish, then the answer.
    let server = server(3, |question, now| {
        let wrong = answer(1, origin(question) ^ 1, now << 8, now << 8);
        vec![wrong, vec![0x24; 5], vec![0; 500], answer(1, origin(question), now, now)]
    });
    let reading = ask(&server.await, 77).await.unwrap();
    assert!((reading.offset_ms - 3000).abs() < 500, "{reading:?}");
    let refuses = self::server(0, |question, now| vec![answer(0, origin(question), now, now)]).await;
    assert!(matches!(ask(&refuses, 77).await, Err(SntpError::Unfit(_))));
    assert!(ask("127.0.0.1:1", 77).await.is_err());
}
